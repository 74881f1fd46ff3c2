/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the translator knows of each instruction besides its row: how it is translated, which flags it
 * reads and writes (SDM volume 1, appendix A), and which registers it writes unseen.
 *
 * An instruction that no line names is left to T0, except vector ones, whose rows say enough.
 */
#include "cpu/jit/jit_int.h"
#include "cpu/x86/vector_int.h"

enum {
	A = FL_ALL,
	NOT_CF = FL_ALL & ~FL_CF,
	NOT_OF = FL_ALL & ~FL_OF,
	B_RAX = 1 << RAX, B_RCX = 1 << RCX, B_RDX = 1 << RDX, B_RBX = 1 << RBX,
	B_RSP = 1 << RSP, B_RBP = 1 << RBP, B_RSI = 1 << RSI, B_RDI = 1 << RDI,
};

/* Flags that the architecture leaves undefined count as killed where every host writes them. */
static const struct {
	const char *names; /* blank-separated */
	struct jit_effects effects;
} lines[] = {
	{"mov movzx movsx movsxd movbe movnti bswap pext pdep rorx shlx sarx shrx crc32",
	 {JIT_COPY}},
	{"lfence mfence sfence", {JIT_COPY}},
	{"xchg", {JIT_COPY, .writes_second = true}},
	{"lea", {JIT_LEA}},
	{"add sub and or xor cmp test neg popcnt andn bextr bzhi blsr blsmsk blsi",
	 {JIT_COPY, 0, A, A}},
	{"not", {JIT_COPY}},
	{"adc sbb", {JIT_COPY, FL_CF, A, A}},
	{"inc dec", {JIT_COPY, 0, NOT_CF, NOT_CF}},
	{"xadd", {JIT_COPY, 0, A, A, .writes_second = true}},
	{"cmpxchg", {JIT_COPY, 0, A, A, .regs = B_RAX}},
	{"cmpxchg8b cmpxchg16b", {JIT_COPY, 0, FL_ZF, FL_ZF, .regs = B_RAX | B_RDX}},
	{"mulx", {JIT_COPY, .writes_second = true}},
	{"shl shr sar shld shrd", {JIT_COPY, 0, A, A, .shift = true}},
	{"rol ror", {JIT_COPY, 0, FL_CF | FL_OF, FL_CF, .shift = true}},
	{"rcl rcr", {JIT_COPY, FL_CF, FL_CF | FL_OF, FL_CF, .shift = true}},
	{"bt bts btr btc", {JIT_COPY, 0, A, FL_CF}},
	{"bsf bsr", {JIT_COPY, 0, A, FL_ZF}},
	{"tzcnt lzcnt", {JIT_COPY, 0, A, FL_CF | FL_ZF}},
	{"adcx", {JIT_COPY, FL_CF, FL_CF, FL_CF}},
	{"adox", {JIT_COPY, FL_OF, FL_OF, FL_OF}},
	{"mul", {JIT_COPY, 0, A, FL_CF | FL_OF, .regs = B_RAX | B_RDX}},
	{"div idiv", {JIT_COPY, 0, A, 0, .regs = B_RAX | B_RDX}},
	{"imul", {JIT_COPY, 0, A, FL_CF | FL_OF}},
	{"cbw", {JIT_COPY, .regs = B_RAX}},
	{"cwd", {JIT_COPY, .regs = B_RDX}},
	{"sahf", {JIT_COPY, 0, NOT_OF, NOT_OF}},
	{"lahf", {JIT_COPY, NOT_OF, .regs = B_RAX}},
	{"clc stc", {JIT_COPY, 0, FL_CF, FL_CF}},
	{"cmc", {JIT_COPY, FL_CF, FL_CF, FL_CF}},
	{"nop endbr64 endbr32 prefetch", {JIT_NOP}},
	{"push", {JIT_PUSH, .regs = B_RSP}},
	{"pop", {JIT_POP, .regs = B_RSP}},
	{"pushf", {JIT_PUSHF, FL_ALL, .regs = B_RSP}},
	{"movs", {JIT_REP, .regs = B_RCX | B_RSI | B_RDI}},
	{"stos", {JIT_REP, .regs = B_RCX | B_RDI}},
	{"cmps", {JIT_REP, 0, A, .regs = B_RCX | B_RSI | B_RDI}},
	{"scas", {JIT_REP, 0, A, .regs = B_RCX | B_RDI}},
	{"swapgs", {JIT_SWAPGS}},
	{"cli", {JIT_CLI}},
	{"sti", {JIT_STI}},
	{"stac clac", {JIT_AC}},
	{"leave", {JIT_LEAVE, .regs = B_RSP | B_RBP}},
	{"jmp", {JIT_JMP}},
	{"call", {JIT_CALL, .regs = B_RSP}},
	{"ret", {JIT_RET, .regs = B_RSP}},
	{"vzeroupper vzeroall ldmxcsr stmxcsr vldmxcsr vstmxcsr", {JIT_COPY, .vector = true}},
	{"fwait", {JIT_COPY, .x87 = true}},
};

static struct jit_effects *table;

static bool is_named(const char *names, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = names; (p = strstr(p, name)); p += n)
		if ((p == names || p[-1] == ' ') && (p[n] == 0 || p[n] == ' '))
			return true;
	return false;
}

uint8_t effects_condition_flags(unsigned cc)
{
	static const uint8_t flags[8] = {FL_OF, FL_CF, FL_ZF, FL_CF | FL_ZF, FL_SF, FL_PF,
					 FL_SF | FL_OF, FL_SF | FL_OF | FL_ZF};

	return flags[cc >> 1 & 7];
}

/*
 * What is not arithmetic, a load, a store or plain control changes more than the host's registers:
 * T0 does it. A comparison that raises an unmasked exception leaves the flags alone; they count as
 * killed nevertheless, since a guest that unmasks them waits for the exception first.
 */
static struct jit_effects x87_effects(const struct insn_row *row, struct jit_effects e)
{
	bool moves = g_str_has_prefix(row->name, "fcmov");

	if (row->exec != &exec_x87 && row->exec != &exec_x87_control)
		return (struct jit_effects){JIT_STEP};
	e.x87_noted = row->exec == &exec_x87;
	if (moves)
		e.flags_read = FL_CF | FL_ZF | FL_PF;
	else if (row->flags & IF_FLAGS)
		e.flags_changed = e.flags_killed = FL_ALL;
	return e;
}

static struct jit_effects vector_effects(const struct insn_row *row)
{
	struct jit_effects e = {JIT_COPY,
				.vector = row->flags & (IF_SSE | IF_AVX),
				.wide = row->flags & IF_AVX512,
				.x87 = row->flags & (IF_X87 | IF_MMX)};

	/* EVEX is not encoded again with other general registers. */
	if (row->evex && insn_has_kind(row, INSN_KIND('G') | INSN_KIND('E') | INSN_KIND('R')))
		return (struct jit_effects){JIT_STEP, .regs = 0xffff};
	if (row->flags & (IF_NOSTUB | IF_VSIB))
		return (struct jit_effects){JIT_STEP};
	/* Operands under a mask touch what the mask says, which only T0 knows. */
	if (strstr(row->name, "maskmov"))
		return (struct jit_effects){JIT_STEP};
	if (row->flags & IF_X87)
		return x87_effects(row, e);
	if (row->flags & IF_FLAGS)
		e.flags_changed = e.flags_killed = FL_ALL;
	/* The string comparisons' index. */
	if (row->operand[0].kind == 'f' && row->operand[0].size[0] == 'e')
		e.regs = B_RCX;
	return e;
}

/* Branches by the row's operands; IF_END rows that are none of them end the region. */
static struct jit_effects branch_effects(const struct insn_row *row, struct jit_effects e)
{
	bool relative = row->operand[0].kind == 'J', indirect = row->operand[0].kind == 'E';

	if (row->name[0] == 'j' && relative && e.class == JIT_END && strcmp(row->name, "jcxz")) {
		e = (struct jit_effects){JIT_JCC, .by_condition = true};
	} else if ((e.class == JIT_JMP || e.class == JIT_CALL) && indirect) {
		e.class = e.class == JIT_JMP ? JIT_JMP_IND : JIT_CALL_IND;
	} else if (e.class == JIT_CLI || e.class == JIT_STI) {
		return e;
	} else if (e.class != JIT_RET && !relative) {
		e.class = JIT_END;
	}
	return e;
}

static struct jit_effects find(const struct insn_row *row)
{
	struct jit_effects e = {row->flags & IF_END ? JIT_END : JIT_STEP, .regs = 0xffff};

	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++)
		if (is_named(lines[i].names, row->name))
			e = lines[i].effects;
	if (row->flags & IF_END)
		return branch_effects(row, e);
	if (e.class == JIT_SWAPGS)
		return e;
	if ((row->flags & IF_CPL0) || insn_has_kind(row, INSN_KIND('S') | INSN_KIND('C') |
							       INSN_KIND('D') | INSN_KIND('O')))
		return (struct jit_effects){JIT_STEP, .regs = 0xffff};
	if (g_str_has_prefix(row->name, "cmov") || g_str_has_prefix(row->name, "set"))
		return (struct jit_effects){JIT_COPY, .by_condition = true};
	if ((row->flags & (IF_SSE | IF_AVX | IF_MMX | IF_X87)) && !e.vector)
		return vector_effects(row);
	if (!strcmp(row->name, "imul") && row->operand[0].kind == 'E')
		e.regs = B_RAX | B_RDX;
	if (e.class == JIT_POP && !insn_has_kind(row, INSN_KIND('Z')))
		return (struct jit_effects){JIT_STEP, .regs = 0xffff};
	if (e.class == JIT_PUSH && !insn_has_kind(row, INSN_KIND('Z') | INSN_KIND('I') | INSN_KIND('E')))
		return (struct jit_effects){JIT_STEP, .regs = 0xffff};
	return e;
}

static uint8_t find_op(const struct insn_row *row)
{
	static const struct {
		const char *names;
		enum jit_op op;
	} ops[] = {
		{"mov", JIT_OP_MOV}, {"add", JIT_OP_ADD}, {"sub", JIT_OP_SUB}, {"inc", JIT_OP_INC},
		{"dec", JIT_OP_DEC}, {"cmp test", JIT_OP_COMPARE}, {"and or xor", JIT_OP_LOGIC},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(ops); i++)
		if (is_named(ops[i].names, row->name))
			return ops[i].op;
	return JIT_OP_OTHER;
}

static gpointer init_once(gpointer unused)
{
	table = g_new(struct jit_effects, insn_table_size());
	for (size_t i = 0; i < insn_table_size(); i++) {
		table[i] = find(insn_row_get(i));
		table[i].op = find_op(insn_row_get(i));
	}
	return NULL;
}

void effects_init(void)
{
	static GOnce once = G_ONCE_INIT;

	g_once(&once, init_once, NULL);
}

const struct jit_effects *effects_get(unsigned row)
{
	return &table[row];
}
