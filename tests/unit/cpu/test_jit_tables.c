/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the translator knows of instructions against Zydis, on random encodings of every row that it
 * translates: flags read and written, registers written; and that an instruction encoded again,
 * with other registers or another memory operand, is what was asked for.
 */
#include <Zydis/Zydis.h>
#include <glib.h>
#include <string.h>

#include "cpu/jit/recode.h"
#include "cpu/jit/region.h"
#include "insn_sample.h"

#define SAMPLES 40

struct decoding {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

static ZydisDecoder decoder;

static bool decode(const uint8_t *bytes, unsigned n, struct decoding *z)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &z->insn, z->operand));
}

static G_GNUC_PRINTF(4, 5) void fail(const struct insn_row *row, const uint8_t *bytes, unsigned n,
				     const char *format, ...)
{
	g_autoptr(GString) text = g_string_new(NULL);
	va_list args;

	for (unsigned i = 0; i < n; i++)
		g_string_append_printf(text, "%02x ", bytes[i]);
	va_start(args, format);
	g_string_append_vprintf(text, format, args);
	va_end(args);
	g_test_message("%s (%s): %s", row->name, row->encoding, text->str);
	g_test_fail();
}

static bool is_translated(const struct insn_row *row, const struct jit_effects *fx)
{
	return sample_is_testable(row) && fx->class != JIT_STEP && fx->class != JIT_END;
}

/* A sample that Zydis can read, too. */
static bool make(struct sample *s, const struct insn_row *row, struct decoding *z)
{
	*s = (struct sample){.row = row};
	return sample_make_encoding(s) && decode(s->bytes, s->insn.len, z) &&
	       z->insn.length == s->insn.len;
}

/* RFLAGS' bits as the translator's set. */
static unsigned flags_of(uint32_t mask)
{
	return (mask & RFLAGS_CF ? FL_CF : 0) | (mask & RFLAGS_PF ? FL_PF : 0) |
	       (mask & RFLAGS_AF ? FL_AF : 0) | (mask & RFLAGS_ZF ? FL_ZF : 0) |
	       (mask & RFLAGS_SF ? FL_SF : 0) | (mask & RFLAGS_OF ? FL_OF : 0);
}

static void check_flags(const struct sample *s, const struct jit_effects *fx,
			const struct decoding *z)
{
	const ZydisAccessedFlags *f = z->insn.cpu_flags;
	unsigned read = fx->flags_read, tested, written;

	if (!f)
		return;
	if (fx->by_condition)
		read |= effects_condition_flags(s->row->opcode & 0xf);
	/* Not what ends a repetition, which is the instruction's own. */
	tested = s->row->flags & IF_REP ? 0 : flags_of(f->tested);
	written = flags_of(f->modified | f->set_0 | f->set_1 | f->undefined);
	if (tested & ~read)
		fail(s->row, s->bytes, s->insn.len, "reads flags %x, not %x", tested, read);
	if (written & ~fx->flags_changed)
		fail(s->row, s->bytes, s->insn.len, "writes flags %x, not %x", written,
		     fx->flags_changed);
	/* Zydis 4.0 leaves out the flags that these clear. */
	if (!strcmp(s->row->name, "vptest") || sample_is_named(s->row, "vtestp"))
		written = FL_ALL;
	if (fx->flags_killed & ~written)
		fail(s->row, s->bytes, s->insn.len, "writes flags %x, less than %x", written,
		     fx->flags_killed);
}

static int general_register(ZydisRegister reg)
{
	ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return ZydisRegisterGetClass(wide) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(wide) : -1;
}

static void check_registers(const struct sample *s, const struct jit_effects *fx,
			    const struct decoding *z)
{
	struct decoded d = {.insn = s->insn, .row = s->row, .fx = *fx};
	uint16_t ours = region_registers_written(&d), theirs = 0;

	for (unsigned i = 0; i < z->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &z->operand[i];
		int reg = o->type == ZYDIS_OPERAND_TYPE_REGISTER ? general_register(o->reg.value)
								 : -1;

		if (reg >= 0 && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			theirs |= 1 << reg;
	}
	if (theirs & ~ours)
		fail(s->row, s->bytes, s->insn.len, "writes registers %x, not %x", theirs, ours);
}

static void test_effects(void)
{
	for (size_t i = 0; i < insn_table_size(); i++) {
		const struct insn_row *row = insn_row_get(i);
		const struct jit_effects *fx = effects_get(i);
		struct decoding z;
		struct sample s;

		if (!is_translated(row, fx))
			continue;
		sample_seed(1, i, 0);
		for (unsigned n = 0; n < SAMPLES; n++) {
			if (!make(&s, row, &z))
				continue;
			check_flags(&s, fx, &z);
			check_registers(&s, fx, &z);
		}
	}
}

/* Recoding */

static bool names_byte_register(const struct insn_row *row)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind && strchr("GERZ", row->operand[i].kind) &&
		    row->operand[i].size[0] == 'b' && !row->operand[i].size[1])
			return true;
	return false;
}

static struct host_mem random_memory(void)
{
	struct host_mem m = MEM_AT(below(16));

	switch (below(3)) {
	case 0:
		return MEM_GS(below(1u << 20));
	case 1:
		do
			m.index = below(16);
		while (m.index == RSP);
		m.scale = below(4);
		break;
	}
	m.disp = one_in(2) ? 0 : one_in(2) ? (int)below(256) - 128 : (int32_t)random64();
	return m;
}

/* Without a REX prefix a byte operand can be none of SIL... and with one none of AH... */
static void choose_operands(struct recode *r)
{
	unsigned n = names_byte_register(r->row) ? 4 : 16;

	if (sample_names(r->row, "G"))
		r->reg = below(n);
	if (sample_names(r->row, "B"))
		r->vvvv = below(16);
	if (!r->is_mem && sample_names(r->row, "ERZ"))
		r->rm = below(n);
	if (r->is_mem)
		r->mem = random_memory();
}

static bool is_memory_as_asked(const ZydisDecodedOperandMem *m, const struct host_mem *asked)
{
	int base = m->base == ZYDIS_REGISTER_NONE ? NO_REG : general_register(m->base);
	int index = m->index == ZYDIS_REGISTER_NONE ? NO_REG : general_register(m->index);
	int64_t disp = m->disp.has_displacement ? m->disp.value : 0;

	return base == asked->base && index == asked->index && disp == asked->disp &&
	       (index == NO_REG || m->scale == 1 << asked->scale) &&
	       (m->segment == ZYDIS_REGISTER_GS) == asked->gs;
}

/* The register that an operand of this kind names, or -1: what it was. */
static int asked_register(const struct recode *r, char kind)
{
	return kind == 'G'			     ? r->reg
	       : kind == 'B'			     ? r->vvvv
	       : kind && strchr("ERZ", kind) != NULL ? r->rm
						     : -1;
}

/* The row's operand for the i-th of Zydis's, to whom an opmask is the second. */
static char kind_of(const struct recode *r, unsigned i)
{
	if (r->evex && i == 1)
		return 0;
	i -= r->evex && i > 1;
	return i < INSN_MAX_OPERANDS ? r->row->operand[i].kind : 0;
}

static const char *compare_operand(const struct recode *r, unsigned i,
				   const ZydisDecodedOperand *was, const ZydisDecodedOperand *is)
{
	int asked = asked_register(r, kind_of(r, i));

	if (was->type != is->type || was->size != is->size || was->actions != is->actions)
		return "is of another kind";
	if (is->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return is_memory_as_asked(&is->mem, &r->mem) ? NULL : "is other memory";
	if (is->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return is->imm.value.u == was->imm.value.u ? NULL : "is another immediate";
	if (is->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return NULL;
	if (asked >= 0)
		return general_register(is->reg.value) == asked ? NULL : "is another register";
	return is->reg.value == was->reg.value ? NULL : "changed";
}

static void check_recoded(const struct sample *s, const struct decoding *was)
{
	uint8_t bytes[32];
	struct emit e = {.p = bytes};
	struct decoding is;
	struct recode r;

	recode_parse(&r, s->row, s->bytes, s->insn.len, true);
	choose_operands(&r);
	recode_emit(&e, &r);
	if (!decode(bytes, e.p - bytes, &is) || is.insn.length != e.p - bytes) {
		fail(s->row, bytes, e.p - bytes, "is no instruction");
		return;
	}
	if (is.insn.mnemonic != was->insn.mnemonic ||
	    is.insn.operand_count_visible != was->insn.operand_count_visible) {
		fail(s->row, bytes, e.p - bytes, "is %s", ZydisMnemonicGetString(is.insn.mnemonic));
		return;
	}
	for (unsigned i = 0; i < is.insn.operand_count_visible; i++) {
		const char *why = compare_operand(&r, i, &was->operand[i], &is.operand[i]);

		if (why)
			fail(s->row, bytes, e.p - bytes, "operand %u %s", i, why);
	}
}

/* As the translator has it: the address size is 64 bits then, and of an EVEX prefix's instruction
 * only memory is another. XCHG with RAX is NOP for RAX. */
static bool is_recoded(const struct insn_row *row, const struct sample *s)
{
	if (row->evex && !(s->insn.flags & INSN_MEM))
		return false;
	if (!strcmp(row->name, "xchg") && row->plus_r)
		return false;
	return !(s->insn.flags & INSN_MEM) || (!(row->flags & IF_VSIB) && s->insn.addrsize == 8);
}

static void test_recode(void)
{
	unsigned n_recoded = 0;

	for (size_t i = 0; i < insn_table_size(); i++) {
		const struct insn_row *row = insn_row_get(i);
		const struct jit_effects *fx = effects_get(i);
		struct decoding z;
		struct sample s;

		if (!is_translated(row, fx) || fx->class != JIT_COPY)
			continue;
		sample_seed(2, i, 0);
		for (unsigned n = 0; n < SAMPLES; n++) {
			if (!make(&s, row, &z) || !is_recoded(row, &s))
				continue;
			check_recoded(&s, &z);
			n_recoded++;
		}
	}
	g_assert_cmpuint(n_recoded, >, 10000);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	insn_table_init();
	effects_init();
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	sample_set_mode(INSN_MODE_64);
	sample_seed(1, 0, 0);
	g_test_add_func("/jit/tables/effects", test_effects);
	g_test_add_func("/jit/tables/recode", test_recode);
	return g_test_run();
}
