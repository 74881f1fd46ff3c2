/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "insn_program.h"

#include <string.h>

#include "cpu/x86/model.h"
#include "guest.h"
#include "insn_compare.h"

#define MAX_CALLS 6
#define MAX_DEPTH 3

struct maker {
	struct insn_program *p;
	uint16_t reserved; /* registers that instructions are not to write: loops count in them */
	unsigned depth;
	unsigned calls[MAX_CALLS], n_calls; /* places of displacements */
};

static unsigned put(struct maker *m, const void *bytes, unsigned n)
{
	unsigned at = m->p->len;

	g_assert_cmpuint(at + n, <=, PROGRAM_MAX_BYTES);
	memcpy(m->p->bytes + at, bytes, n);
	m->p->len += n;
	return at;
}
#define PUT(m, ...) put(m, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static unsigned put32(struct maker *m, uint32_t v)
{
	return put(m, &v, 4);
}

static void patch32(struct maker *m, unsigned at, uint32_t v)
{
	memcpy(m->p->bytes + at, &v, 4);
}

/* Lets the displacement of 4 bytes at `at` lead to the program's present end. */
static void patch_here(struct maker *m, unsigned at)
{
	patch32(m, at, m->p->len - (at + 4));
}

static uint64_t address_of(const struct maker *m, unsigned at)
{
	return HOST_CODE + m->p->offset + at;
}

static void note(struct maker *m, unsigned start, const char *name)
{
	m->p->parts[m->p->n_parts++] = (struct program_part){start, m->p->len - start, name};
}

static bool is_full(const struct maker *m)
{
	return m->p->len > PROGRAM_MAX_BYTES - 600 || m->p->n_parts > PROGRAM_MAX_PARTS - 40;
}

/* MOV r, imm; returns the immediate's place. */
static unsigned put_load(struct maker *m, unsigned reg, uint64_t value)
{
	bool wide = value >> 32;

	PUT(m, 0x40 | wide << 3 | reg >> 3, 0xb8 | (reg & 7));
	return put(m, &value, wide ? 8 : 4);
}

/* Which rows, and how often: what the translator does itself, and flags, most of all. */
static bool is_wanted(const struct insn_row *row)
{
	static const char *const rare[] = {"enter", "leave", "cmps",  "scas", "lods",
					   "movs",  "stos",  "cpuid", "fwait"};

	if (!sample_is_testable(row) || sample_is_branch(row) || insn_is_image(row) ||
	    (row->flags & (IF_CPL0 | IF_END)) || sample_names(row, "SCD"))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(rare); i++)
		if (sample_is_named(row, rare[i]))
			return one_in(8);
	if (row->flags & (IF_X87 | IF_MMX))
		return one_in(24);
	if (row->flags & (IF_SSE | IF_AVX))
		return one_in(8);
	return true;
}

static const struct insn_row *random_row(void)
{
	static const char *const often[] = {"mov", "lea", "push", "pop", "movzx", "cmov",
					    "set", "add", "sub",  "cmp", "test"};
	const char *name = one_in(2) ? often[below(G_N_ELEMENTS(often))] : "";

	for (;;) {
		const struct insn_row *row = insn_row_get(below(insn_table_size()));

		if (sample_is_named(row, name) && is_wanted(row))
			return row;
	}
}

static bool touches(const struct sample *s, uint16_t regs)
{
	const struct insn *insn = &s->insn;
	uint16_t named = 0;

	if (sample_names(s->row, "G"))
		named |= 1 << insn->reg / 8;
	if (sample_names(s->row, "B"))
		named |= 1 << insn->vvvv / 8;
	if (sample_names(s->row, "ERZ") && !(insn->flags & INSN_MEM))
		named |= 1 << insn->rm / 8;
	return named & regs;
}

static bool addresses_by(const struct sample *s, uint16_t regs)
{
	const struct insn *insn = &s->insn;

	return (insn->flags & INSN_MEM) &&
	       ((insn->base < INSN_ZERO && (regs >> insn->base / 8 & 1)) ||
		(insn->index < INSN_ZERO && (regs >> insn->index / 8 & 1)));
}

static void add_segment(struct sample *s)
{
	memmove(s->bytes + 1, s->bytes, sizeof(s->bytes) - 1);
	s->bytes[0] = one_in(2) ? 0x64 : 0x65;
	s->modrm++;
}

static bool make_encoding(const struct maker *m, struct sample *s)
{
	uint16_t kept = m->reserved | (one_in(16) ? 0 : 1 << X86_RSP);

	*s = (struct sample){.row = random_row()};
	if (!sample_make_encoding(s))
		return false;
	if ((s->insn.flags & INSN_MEM) && s->insn.base != INSN_PC && one_in(6))
		add_segment(s);
	return insn_decode(s->bytes, INSN_MAX_LEN, INSN_MODE_64, x86_model_host()->has, 0,
			   &s->insn) == INSN_OK &&
	       insn_row_get(s->insn.row) == s->row && !touches(s, kept) && !addresses_by(s, kept);
}

static uint64_t random_place(void)
{
	unsigned page = one_in(4) ? below(PROGRAM_PAGES) : below(PAGE_SAME), at;

	switch (below(8)) {
	case 0:
		at = 4096 - below(40);
		break;
	case 1:
	case 2:
		at = below(4096);
		break;
	default:
		at = 64 * below(64);
		break;
	}
	return HOST_DATA + 4096 * page + at;
}

static uint64_t segment_base(const struct maker *m, const struct insn *insn)
{
	return insn->seg == X86_FS ? m->p->fs : insn->seg == X86_GS ? m->p->gs : 0;
}

/* Loads what lets the instruction's accesses be where they should; now and then it does not matter.
 */
static void put_registers(struct maker *m, struct sample *s)
{
	struct host_registers before, after;
	uint16_t kept = m->reserved | 1 << X86_RSP;

	sample_registers(&before);
	for (unsigned reg = 0; reg < 16; reg++)
		before.gpr[reg] = random64(); /* so that one that is set is known by it */
	after = before;
	sample_tame(s, &after);
	s->target = random_place() - segment_base(m, &s->insn);
	if ((s->insn.flags & INSN_MEM) && !(s->row->flags & IF_VSIB))
		sample_aim(s, &after, s->target);
	for (unsigned reg = 0; reg < 16; reg++)
		if (after.gpr[reg] != before.gpr[reg] && !(kept >> reg & 1) && !one_in(8))
			put_load(m, reg, after.gpr[reg]);
	s->offset = m->p->offset + m->p->len;
	if ((s->insn.flags & INSN_MEM) && s->insn.base == INSN_PC)
		sample_aim(s, &after, s->target);
}

static void put_insn(struct maker *m)
{
	static const uint8_t define_flags[] = {0x3c, 0x55}; /* cmp al, 0x55 */
	unsigned start = m->p->len;
	struct sample s;

	while (!make_encoding(m, &s))
		;
	put_registers(m, &s);
	put(m, s.bytes, s.insn.len);
	if (insn_compared_flags(s.row) != (RFLAGS_ARITH | RFLAGS_DF))
		put(m, define_flags, sizeof(define_flags));
	note(m, start, s.row->name);
}

static void put_parts(struct maker *m, unsigned n);

/* A branch over what follows. */
static void put_if(struct maker *m)
{
	unsigned start = m->p->len, at, len;

	if (one_in(4)) { /* JRCXZ, LOOP and its like, or Jcc; short */
		at = PUT(m, one_in(3) ? 0xe0 + below(4) : 0x70 | below(16), 0) + 1;
		note(m, start, "short branch");
		put_insn(m);
		len = m->p->len - at - 1;
		m->p->bytes[at] = len;
		return;
	}
	PUT(m, 0x0f, 0x80 | below(16));
	at = put32(m, 0);
	note(m, start, "jcc");
	put_parts(m, 1 + below(3));
	patch_here(m, at);
}

static void put_loop(struct maker *m)
{
	unsigned reg = 8 + below(8), start = m->p->len, head, at;
	uint8_t rex = 0x49, rm = reg & 7;

	if (m->reserved >> reg & 1)
		return;
	m->reserved |= 1 << reg;
	put_load(m, reg, 1 + below(3));
	note(m, start, "loop count");
	head = m->p->len;
	put_parts(m, 1 + below(4));
	start = m->p->len;
	switch (below(3)) {
	case 0: /* dec */
		PUT(m, rex, 0xff, 0xc8 | rm);
		break;
	case 1: /* sub */
		PUT(m, rex, 0x83, 0xe8 | rm, 1);
		break;
	default: /* lea, test */
		PUT(m, 0x4d, 0x8d, 0x40 | rm << 3 | rm);
		if (rm == 4)
			PUT(m, 0x24);
		PUT(m, 0xff, 0x4d, 0x85, 0xc0 | rm << 3 | rm);
		break;
	}
	if (one_in(3)) /* mov to where no flag is changed */
		put_load(m, (reg + 1) % 8, random64());
	PUT(m, 0x0f, one_in(2) ? 0x85 : 0x8f); /* jnz, jg */
	at = put32(m, 0);
	patch32(m, at, head - (at + 4));
	note(m, start, "loop");
	m->reserved &= ~(1 << reg);
}

static unsigned free_register(struct maker *m)
{
	unsigned reg;

	do
		reg = below(16);
	while ((m->reserved | 1 << X86_RSP) >> reg & 1);
	return reg;
}

/* An access to [base + index << scale + disp] by a common instruction; index 4: none. */
static void put_access(struct maker *m, unsigned base, unsigned index)
{
	static const struct {
		uint8_t prefix, bytes[2];
		bool writes_reg, digit;
	} ops[] = {
		{0, {0x8b}, .writes_reg = true},       {0, {0x03}, .writes_reg = true},
		{0, {0x33}, .writes_reg = true},       {0, {0x0f, 0xb6}, .writes_reg = true},
		{0, {0x89}},			       {0, {0x88}},
		{0, {0x01}},			       {0, {0x3b}},
		{0, {0x83}, .digit = true},	       {0, {0x0f, 0x10}},
		{0, {0x0f, 0x11}},		       {0x66, {0x0f, 0xfe}},
		{0xf3, {0x0f, 0x6f}},
	};
	unsigned op = below(G_N_ELEMENTS(ops)), start = m->p->len;
	unsigned reg = ops[op].digit	    ? 0
		       : ops[op].writes_reg ? free_register(m)
					    : below(16);

	if (ops[op].prefix)
		PUT(m, ops[op].prefix);
	PUT(m, 0x40 | one_in(2) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3);
	put(m, ops[op].bytes, ops[op].bytes[0] == 0x0f ? 2 : 1);
	PUT(m, 0x84 | (reg & 7) << 3, (index == 4 ? 0 : below(4)) << 6 | (index & 7) << 3 | (base & 7));
	put32(m, (int)below(one_in(4) ? 800 : 48) - 24);
	if (ops[op].digit)
		PUT(m, below(256));
	note(m, start, "access");
}

/* ADD or SUB of what a register moves by; or INC, DEC, LEA. */
static void put_move(struct maker *m, unsigned reg, int by)
{
	unsigned start = m->p->len, rex = 0x48 | reg >> 3;

	if (one_in(2) && ABS(by) == 1) {
		PUT(m, rex, 0xff, (by > 0 ? 0xc0 : 0xc8) | (reg & 7));
	} else if (one_in(3)) {
		PUT(m, rex | reg >> 3 << 2, 0x8d, 0x80 | (reg & 7) << 3 | (reg & 7));
		if ((reg & 7) == 4)
			PUT(m, 0x24);
		put32(m, by);
	} else {
		bool add = one_in(2);

		PUT(m, rex, 0x81, (add ? 0xc0 : 0xe8) | (reg & 7));
		put32(m, add ? by : -by);
	}
	note(m, start, "move");
}

/* A loop that goes through memory step by step. */
static void put_walk(struct maker *m)
{
	static const int strides[] = {1, 2, 4, 8, 16, 24, 32, 64, 100, 256, 512, 700, 0,
				      -1, -4, -8, -16, -48, -256};
	int stride = strides[below(G_N_ELEMENTS(strides))], start = m->p->len, at;
	int index_stride = one_in(3) ? strides[below(6)] : 0;
	unsigned passes = 1 + below(one_in(4) ? 40 : 8), head, pointer, index, count;
	uint16_t before = m->reserved;

	if (__builtin_popcount(m->reserved) > 6)
		return;
	m->reserved |= 1 << (pointer = free_register(m));
	m->reserved |= 1 << (index = free_register(m));
	m->reserved |= 1 << (count = free_register(m));
	put_load(m, pointer, random_place());
	put_load(m, index, below(one_in(3) ? 2 : 100));
	put_load(m, count, passes);
	note(m, start, "walk");
	head = m->p->len;
	for (unsigned n = 1 + below(6); n; n--) {
		if (one_in(4))
			put_parts(m, 1);
		else
			put_access(m, pointer, one_in(2) ? 4 : index);
		if (one_in(8))
			put_move(m, pointer, stride);
	}
	if (!one_in(8))
		put_move(m, pointer, stride);
	if (index_stride)
		put_move(m, index, index_stride);
	start = m->p->len;
	PUT(m, 0x48 | count >> 3, 0x83, 0xe8 | (count & 7), 1, 0x0f, one_in(2) ? 0x85 : 0x8f);
	at = put32(m, 0);
	patch32(m, at, head - (at + 4));
	note(m, start, "walk on");
	m->reserved = before;
}

/* A call, whose target follows the program's end. */
static void put_call(struct maker *m)
{
	unsigned start = m->p->len;

	if (m->n_calls == MAX_CALLS)
		return;
	PUT(m, 0xe8);
	m->calls[m->n_calls++] = put32(m, 0);
	note(m, start, "call");
}

/* JMP or CALL by a register or by memory, over a hole. */
static void put_indirect(struct maker *m)
{
	unsigned start = m->p->len, reg = below(16), hole = below(70), at;
	bool call = one_in(3);
	uint8_t filler[70];
	uint64_t to;

	memset(filler, 0xcd, sizeof(filler));
	if (one_in(2) && !((m->reserved | 1 << X86_RSP) >> reg & 1)) {
		at = put_load(m, reg, 0);
		PUT(m, 0x40 | reg >> 3, 0xff, (call ? 0xd0 : 0xe0) | (reg & 7));
		put(m, filler, hole);
		patch32(m, at, address_of(m, m->p->len));
	} else {
		PUT(m, 0xff, call ? 0x15 : 0x25); /* [rip + hole] */
		put32(m, hole);
		put(m, filler, hole);
		to = address_of(m, m->p->len + 8);
		put(m, &to, 8);
	}
	note(m, start, call ? "call indirect" : "jmp indirect");
	if (call) { /* drop what was pushed */
		start = m->p->len;
		PUT(m, 0x48, 0x8d, 0x64, 0x24, 8);
		note(m, start, "lea");
	}
}

/* A store to the immediate of an instruction that follows. */
static void put_patcher(struct maker *m)
{
	unsigned start = m->p->len, reg = below(16), at, end;

	if ((m->reserved | 1 << X86_RSP) >> reg & 1)
		return;
	if (one_in(2)) { /* mov dword [rip + x], imm32 */
		PUT(m, 0xc7, 0x05);
		at = put32(m, 0);
		put32(m, random64());
	} else { /* add dword [rip + x], imm8 */
		PUT(m, 0x83, 0x05);
		at = put32(m, 0);
		PUT(m, below(256));
	}
	end = m->p->len;
	note(m, start, "patch");
	if (!one_in(3))
		put_parts(m, 1 + below(2));
	start = m->p->len;
	m->p->patched[m->p->n_patched] = put_load(m, reg, below(1000));
	patch32(m, at, m->p->patched[m->p->n_patched++] - end);
	note(m, start, "patched");
}

static void put_parts(struct maker *m, unsigned n)
{
	static void (*const structures[])(struct maker * m) = {put_if,	 put_if,       put_loop, put_walk, put_walk,
							       put_call, put_indirect, put_patcher};

	m->depth++;
	for (unsigned i = 0; i < n && !is_full(m); i++)
		if (m->depth <= MAX_DEPTH && one_in(5))
			structures[below(G_N_ELEMENTS(structures))](m);
		else
			put_insn(m);
	m->depth--;
}

static void choose_registers(struct insn_program *p)
{
	sample_registers(&p->registers);
	for (unsigned i = 0; i < 16; i++)
		if (one_in(2))
			p->registers.gpr[i] = random_place();
	p->registers.gpr[X86_RSP] = HOST_DATA + 0x3000 + 8 * below(400);
	p->fs = one_in(2) ? random64() >> 17 : 4096 * (uint64_t)below(1000);
	p->gs = one_in(2) ? (uint64_t) - (int64_t)below(1u << 30) : 0;
}

void insn_program_make(struct insn_program *p, unsigned n)
{
	struct maker m = {.p = p};
	unsigned start;

	p->len = p->n_parts = p->n_patched = 0;
	p->offset = one_in(4) ? 4096 - below(400) : below(2000);
	choose_registers(p);
	put_parts(&m, n);
	start = m.p->len;
	put(&m, GUEST_END, GUEST_END_SIZE);
	note(&m, start, "end");
	for (unsigned i = 0; i < m.n_calls; i++) {
		patch_here(&m, m.calls[i]);
		put_parts(&m, 1 + below(4));
		start = m.p->len;
		if (one_in(4))
			PUT(&m, 0xc2, 8 * below(4), 0);
		else
			PUT(&m, 0xc3);
		note(&m, start, "ret");
	}
}

void insn_program_describe(const struct insn_program *p, GString *text)
{
	for (unsigned n = 0; n < p->n_parts; n++) {
		const struct program_part *part = &p->parts[n];

		g_string_append_printf(text, "\n  %08x %-14s",
				       (unsigned)(HOST_CODE + p->offset + part->start), part->name);
		for (unsigned i = 0; i < part->len; i++)
			g_string_append_printf(text, " %02x", p->bytes[part->start + i]);
	}
}
