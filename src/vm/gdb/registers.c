/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/gdb/registers.h"

#include <string.h>

/* How a register is kept and what may be written to it. */
enum kind {
	KIND_PLAIN,   /* any value */
	KIND_ADDRESS, /* a canonical one */
	KIND_FLAGS,   /* those that a program could change, and IF and IOPL */
	KIND_MXCSR,
	KIND_READ_ONLY, /* a write would leave the processor half in another mode */
	KIND_FTAG,	/* the full tag word, kept abridged */
	KIND_ZERO,	/* not kept */
};

struct row {
	const char *name;
	unsigned bits;
	const char *type;
	enum kind kind;
	size_t offset, size; /* in struct x86_state, where it may be wider or narrower */
};

#define MEMBER(m) offsetof(struct x86_state, m), sizeof(((struct x86_state *)0)->m)
#define GPR(name, n, type)                                  \
	{                                                   \
#name, 64, type, KIND_PLAIN, MEMBER(gpr[n]) \
	}
#define SEG(name, n)                                                        \
	{                                                                   \
#name, 32, "int32", KIND_READ_ONLY, MEMBER(seg[n].selector) \
	}
#define ST(n)                                                          \
	{                                                              \
		"st" #n, 80, "i387_ext", KIND_PLAIN, MEMBER(fpu.st[n]) \
	}
#define FPU(name, m)                                        \
	{                                                   \
#name, 32, "int", KIND_PLAIN, MEMBER(fpu.m) \
	}
#define XMM(n)                                                                              \
	{                                                                                   \
		"xmm" #n, 128, "vec128", KIND_PLAIN, offsetof(struct x86_state, ymm[n]), 16 \
	}
#define YMMH(n)                                                                                   \
	{                                                                                         \
		"ymm" #n "h", 128, "uint128", KIND_PLAIN, offsetof(struct x86_state, ymm[n][16]), \
			16                                                                        \
	}
#define CONTROL(name)                                            \
	{                                                        \
#name, 64, "int64", KIND_READ_ONLY, MEMBER(name) \
	}

static const struct row core[] = {
	GPR(rax, X86_RAX, "int64"),
	GPR(rbx, X86_RBX, "int64"),
	GPR(rcx, X86_RCX, "int64"),
	GPR(rdx, X86_RDX, "int64"),
	GPR(rsi, X86_RSI, "int64"),
	GPR(rdi, X86_RDI, "int64"),
	GPR(rbp, X86_RBP, "data_ptr"),
	GPR(rsp, X86_RSP, "data_ptr"),
	GPR(r8, X86_R8, "int64"),
	GPR(r9, X86_R9, "int64"),
	GPR(r10, X86_R10, "int64"),
	GPR(r11, X86_R11, "int64"),
	GPR(r12, X86_R12, "int64"),
	GPR(r13, X86_R13, "int64"),
	GPR(r14, X86_R14, "int64"),
	GPR(r15, X86_R15, "int64"),
	{"rip", 64, "code_ptr", KIND_ADDRESS, MEMBER(rip)},
	{"eflags", 32, "i386_eflags", KIND_FLAGS, MEMBER(rflags)},
	SEG(cs, X86_CS),
	SEG(ss, X86_SS),
	SEG(ds, X86_DS),
	SEG(es, X86_ES),
	SEG(fs, X86_FS),
	SEG(gs, X86_GS),
	ST(0),
	ST(1),
	ST(2),
	ST(3),
	ST(4),
	ST(5),
	ST(6),
	ST(7),
	FPU(fctrl, fcw),
	FPU(fstat, fsw),
	{"ftag", 32, "int", KIND_FTAG, MEMBER(fpu.ftw)},
	{"fiseg", 32, "int", KIND_ZERO},
	FPU(fioff, fip),
	{"foseg", 32, "int", KIND_ZERO},
	FPU(fooff, fdp),
	FPU(fop, fop),
};

static const struct row sse[] = {
	XMM(0),
	XMM(1),
	XMM(2),
	XMM(3),
	XMM(4),
	XMM(5),
	XMM(6),
	XMM(7),
	XMM(8),
	XMM(9),
	XMM(10),
	XMM(11),
	XMM(12),
	XMM(13),
	XMM(14),
	XMM(15),
	{"mxcsr", 32, "i386_mxcsr", KIND_MXCSR, MEMBER(mxcsr)},
};

/* ZMM and opmask registers are not shown. */
static const struct row avx[] = {
	YMMH(0), YMMH(1), YMMH(2),  YMMH(3),  YMMH(4),	YMMH(5),  YMMH(6),  YMMH(7),
	YMMH(8), YMMH(9), YMMH(10), YMMH(11), YMMH(12), YMMH(13), YMMH(14), YMMH(15),
};

static const struct row segments[] = {
	{"fs_base", 64, "int64", KIND_ADDRESS, MEMBER(seg[X86_FS].base)},
	{"gs_base", 64, "int64", KIND_ADDRESS, MEMBER(seg[X86_GS].base)},
};

static const struct row control[] = {
	{"k_gs_base", 64, "int64", KIND_ADDRESS, MEMBER(kernel_gs_base)},
	CONTROL(cr0),
	CONTROL(cr2),
	CONTROL(cr3),
	CONTROL(cr4),
	CONTROL(efer),
	CONTROL(xcr0),
};

static const struct {
	const char *feature, *types;
	const struct row *rows;
	unsigned n;
} features[] = {
	{"org.gnu.gdb.i386.core",
	 "<flags id=\"i386_eflags\" size=\"4\">"
	 "<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/>"
	 "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
	 "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
	 "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
	 "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
	 "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
	 "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
	 "<field name=\"VIF\" start=\"19\" end=\"19\"/><field name=\"VIP\" start=\"20\" "
	 "end=\"20\"/>"
	 "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>",
	 core, G_N_ELEMENTS(core)},
	{"org.gnu.gdb.i386.sse",
	 "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	 "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	 "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
	 "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	 "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
	 "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	 "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
	 "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
	 "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
	 "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/>"
	 "</union><flags id=\"i386_mxcsr\" size=\"4\">"
	 "<field name=\"IE\" start=\"0\" end=\"0\"/><field name=\"DE\" start=\"1\" end=\"1\"/>"
	 "<field name=\"ZE\" start=\"2\" end=\"2\"/><field name=\"OE\" start=\"3\" end=\"3\"/>"
	 "<field name=\"UE\" start=\"4\" end=\"4\"/><field name=\"PE\" start=\"5\" end=\"5\"/>"
	 "<field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"IM\" start=\"7\" end=\"7\"/>"
	 "<field name=\"DM\" start=\"8\" end=\"8\"/><field name=\"ZM\" start=\"9\" end=\"9\"/>"
	 "<field name=\"OM\" start=\"10\" end=\"10\"/><field name=\"UM\" start=\"11\" end=\"11\"/>"
	 "<field name=\"PM\" start=\"12\" end=\"12\"/><field name=\"FZ\" start=\"15\" end=\"15\"/>"
	 "</flags>",
	 sse, G_N_ELEMENTS(sse)},
	{"org.gnu.gdb.i386.avx", "", avx, G_N_ELEMENTS(avx)},
	{"org.gnu.gdb.i386.segments", "", segments, G_N_ELEMENTS(segments)},
	{"org.vivarium.x86.control", "", control, G_N_ELEMENTS(control)},
};

char *gdb_registers_xml(void)
{
	GString *xml = g_string_new("<?xml version=\"1.0\"?>"
				    "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target>"
				    "<architecture>i386:x86-64</architecture>\n");

	for (unsigned f = 0; f < G_N_ELEMENTS(features); f++) {
		g_string_append_printf(xml, "<feature name=\"%s\">%s\n", features[f].feature,
				       features[f].types);
		for (unsigned i = 0; i < features[f].n; i++)
			g_string_append_printf(xml,
					       "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>\n",
					       features[f].rows[i].name, features[f].rows[i].bits,
					       features[f].rows[i].type);
		g_string_append(xml, "</feature>\n");
	}
	g_string_append(xml, "</target>\n");
	return g_string_free(xml, false);
}

static const struct row *row_of(unsigned number)
{
	for (unsigned f = 0; f < G_N_ELEMENTS(features); f++) {
		if (number < features[f].n)
			return &features[f].rows[number];
		number -= features[f].n;
	}
	g_assert_not_reached();
}

unsigned gdb_registers_count(void)
{
	unsigned n = 0;

	for (unsigned f = 0; f < G_N_ELEMENTS(features); f++)
		n += features[f].n;
	return n;
}

unsigned gdb_register_size(unsigned number)
{
	return row_of(number)->bits / 8;
}

static size_t kept_size(const struct row *row)
{
	return MIN(row->bits / 8, row->size);
}

/* Two bits a physical register, of which only empty (3) is told from valid (0). */
static uint16_t full_tag(uint8_t abridged)
{
	uint16_t tag = 0;

	for (unsigned i = 0; i < 8; i++)
		if (!(abridged >> i & 1))
			tag |= 3 << 2 * i;
	return tag;
}

static uint8_t abridged_tag(uint16_t full)
{
	uint8_t tag = 0;

	for (unsigned i = 0; i < 8; i++)
		tag |= ((full >> 2 * i & 3) != 3) << i;
	return tag;
}

void gdb_register_read(const struct x86_state *state, unsigned number, uint8_t *value)
{
	const struct row *row = row_of(number);
	uint16_t tag = full_tag(state->fpu.ftw);

	memset(value, 0, row->bits / 8);
	if (row->kind == KIND_FTAG)
		memcpy(value, &tag, sizeof(tag));
	else if (row->kind != KIND_ZERO)
		memcpy(value, (const uint8_t *)state + row->offset, kept_size(row));
}

static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

bool gdb_register_write(struct x86_state *state, unsigned number, const uint8_t *value)
{
	static const uint64_t flags = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_IF | RFLAGS_DF |
				      RFLAGS_IOPL | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
	const struct row *row = row_of(number);
	uint64_t v = 0;

	memcpy(&v, value, MIN(row->bits / 8, sizeof(v)));
	switch (row->kind) {
	case KIND_FLAGS:
		state->rflags = (state->rflags & ~flags) | (v & flags);
		return true;
	case KIND_FTAG:
		state->fpu.ftw = abridged_tag(v);
		return true;
	case KIND_ADDRESS:
		if (!is_canonical(v))
			return false;
		break;
	case KIND_MXCSR:
		if (v & ~0xffffull)
			return false;
		break;
	case KIND_READ_ONLY:
	case KIND_ZERO:
		return false;
	case KIND_PLAIN:
		break;
	}
	memcpy((uint8_t *)state + row->offset, value, kept_size(row));
	return true;
}
