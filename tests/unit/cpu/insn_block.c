/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "insn_block.h"

#include <string.h>

/* Images of the x87's and vectors' state hold what differs from processor to processor. */
static bool is_for_blocks(const struct insn_row *row)
{
	if (insn_is_image(row))
		return false;
	return sample_is_testable(row) && !(row->flags & IF_VSIB) &&
	       (!(row->flags & IF_CPL0) || one_in(64));
}

static const struct insn_row *random_row(void)
{
	bool integer = !one_in(3);

	for (;;) {
		const struct insn_row *row = insn_row_get(below(insn_table_size()));

		if (is_for_blocks(row) &&
		    !(integer && (row->flags & (IF_SSE | IF_AVX | IF_MMX | IF_X87))))
			return row;
	}
}

static unsigned append(struct insn_block *b, const void *bytes, unsigned n)
{
	unsigned at = b->code.len;

	g_assert_cmpuint(at + n, <=, BLOCK_MAX_BYTES);
	memcpy(b->bytes + at, bytes, n);
	b->code.len += n;
	return at;
}

/* MOV r, imm; returns the immediate's place. */
static unsigned append_load(struct insn_block *b, unsigned reg, uint64_t value)
{
	bool is64 = sample_mode() == INSN_MODE_64, wide = value >> 32;
	uint8_t bytes[] = {0x40 | wide << 3 | reg >> 3, 0xb8 | (reg & 7)};

	append(b, is64 ? bytes : bytes + 1, is64 ? 2 : 1);
	return append(b, &value, wide ? 8 : 4);
}

static bool is_stack_row(const struct insn_row *row)
{
	static const char *const names[] = {"push", "pop", "call", "ret", "enter", "leave"};

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (sample_is_named(row, names[i]))
			return true;
	return false;
}

/* Loads what sample_tame() wants in registers. */
static void append_registers(struct insn_block *b, struct block_insn *i)
{
	struct host_registers before, after;

	sample_registers(&before);
	for (unsigned reg = 0; reg < 16;
	     reg++) /* values by which a register that is set is known */
		before.gpr[reg] = sample_mode() == INSN_MODE_64 ? random64() : (uint32_t)random64();
	after = before;
	if (is_stack_row(i->sample.row) && !one_in(3))
		after.gpr[X86_RSP] = HOST_DATA + 0x3000 + 8 * below(200);
	sample_tame(&i->sample, &after);
	for (unsigned reg = 0; reg < 16; reg++)
		if (after.gpr[reg] != before.gpr[reg])
			append_load(b, reg, after.gpr[reg]);
	/* RIP-relative: now that the place is known. */
	i->sample.offset = b->code.offset + b->code.len;
	if ((i->sample.insn.flags & INSN_MEM) && i->sample.insn.base == INSN_PC)
		sample_aim(&i->sample, &after, i->sample.target);
}

static void set_patch(struct block_insn *i, unsigned at, unsigned size, bool relative)
{
	i->patch = at;
	i->patch_size = size;
	i->patch_relative = relative;
}

/* What a branch needs before it: RET an address on the stack, an indirect one a register. */
static void append_target(struct insn_block *b, struct block_insn *i)
{
	const struct insn *insn = &i->sample.insn;

	if (sample_is_named(i->sample.row, "ret")) {
		append(b, "\x68", 1);
		set_patch(i, append(b, "\0\0\0", 4), 4, false);
	} else if (i->sample.row->operand[0].kind != 'J') {
		set_patch(i, append_load(b, insn->rm / 8, 0), 4, false);
	}
}

static void append_sample(struct insn_block *b, struct block_insn *i)
{
	const struct sample *s = &i->sample;
	static const uint8_t define_flags[] = {0x3c, 0x55}; /* cmp al, 0x55 */

	append(b, s->bytes, s->insn.len);
	if (sample_is_branch(s->row) && s->row->operand[0].kind == 'J') {
		unsigned size = s->row->operand[0].size[0] == 'b' ? 1 : 4;

		set_patch(i, b->code.len - size, size, true);
	}
	if (insn_compared_flags(s->row) != (RFLAGS_ARITH | RFLAGS_DF) ||
	    (!b->code.undefined_flags && insn_leaves_flags_undefined(s->row)))
		append(b, define_flags, sizeof(define_flags));
}

static bool is_usable(const struct sample *s)
{
	const struct insn *insn = &s->insn;
	bool memory = insn->flags & INSN_MEM;

	/* What is stored there may be anything; and a stack in the code would overwrite it. */
	if (sample_is_branch(s->row) && s->row->operand[0].kind == 'E' &&
	    (memory || insn->rm == 8 * X86_RSP))
		return false;
	return insn->addrsize != 2;
}

static void append_insn(struct insn_block *b)
{
	struct block_insn *i = &b->insn[b->n++];

	do
		i->sample = (struct sample){.row = random_row()};
	while (!sample_make_encoding(&i->sample) || !is_usable(&i->sample));
	i->start = b->code.len;
	i->patch = 0;
	i->gone = false;
	append_registers(b, i);
	if (sample_is_branch(i->sample.row))
		append_target(b, i);
	append_sample(b, i);
	i->len = b->code.len - i->start;
}

/* Lets each branch go to the start of a later instruction or to the end. */
static void aim_branches(struct insn_block *b)
{
	for (unsigned n = 0; n < b->n; n++) {
		struct block_insn *i = &b->insn[n];
		unsigned next = i->start + i->len, to, target;

		if (!i->patch)
			continue;
		to = n + 1 + below(b->n - n);
		target = to < b->n ? b->insn[to].start : b->code.len;
		if (i->patch_size == 1 && target - next > 127)
			target = next;
		target = i->patch_relative ? target - next : HOST_CODE + b->code.offset + target;
		memcpy(b->bytes + i->patch, &target, i->patch_size);
	}
}

/* The row at a place; NULL where it is one of ours. */
static const struct insn_row *row_at(const void *opaque, unsigned offset)
{
	const struct insn_block *b = opaque;

	for (unsigned n = 0; n < b->n; n++)
		if (b->insn[n].sample.offset == offset)
			return b->insn[n].sample.row;
	return NULL;
}

void insn_block_make(struct insn_block *b)
{
	unsigned n = 1 + below(BLOCK_MAX_INSNS);

	b->n = 0;
	b->code = (struct compared_code){
		.bytes = b->bytes,
		/* At times over the border of two pages. */
		.offset = one_in(4) ? 4096 - 1 - below(300) : below(2000),
		.is32 = sample_mode() == INSN_MODE_32,
		.undefined_flags = one_in(3),
		.max = 100 * BLOCK_MAX_INSNS,
		.row_at = row_at,
		.opaque = b,
	};
	sample_registers(&b->code.registers);
	sample_data();
	while (b->n < n)
		append_insn(b);
	aim_branches(b);
}

void insn_block_describe(const struct insn_block *b, GString *text)
{
	for (unsigned n = 0; n < b->n; n++) {
		const struct block_insn *i = &b->insn[n];

		if (i->gone)
			continue;
		g_string_append_printf(text, "\n  %+5d %-12s", i->start, i->sample.row->name);
		for (unsigned k = i->start; k < i->start + i->len; k++)
			g_string_append_printf(text, "%s%02x",
					       b->code.offset + k == i->sample.offset ? "  " : " ",
					       b->bytes[k]);
	}
}
