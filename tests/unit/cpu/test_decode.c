/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder against Zydis: the code of programs on this machine, swept linearly by Zydis's
 * lengths, and random bytes in all three modes (VIV_DECODE_COUNT and VIV_DECODE_SEED say how many
 * and which).
 */
#include <Zydis/Zydis.h>
#include <elf.h>
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/x86/insn_int.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

#define MAX_CODE   (3u << 20) /* bytes swept of one file */
#define MAX_REPORT 40

static ZydisDecoder decoders[3];
static unsigned n_differences;

/* Extensions that Zydis knows and we do not decode: never (F_N_FEATURES), since the guest's CPUID
 * hides them, or not on a host without the feature. */
static const struct {
	ZydisISAExt ext;
	enum insn_feature feature;
} hidden_ext[] = {
	{ZYDIS_ISA_EXT_AMD3DNOW, F_N_FEATURES},
	{ZYDIS_ISA_EXT_AMD_INVLPGB, F_N_FEATURES},
	{ZYDIS_ISA_EXT_AMX_BF16, F_N_FEATURES},
	{ZYDIS_ISA_EXT_AMX_INT8, F_N_FEATURES},
	{ZYDIS_ISA_EXT_AMX_TILE, F_N_FEATURES},
	{ZYDIS_ISA_EXT_AVX_VNNI, F_N_FEATURES},
	{ZYDIS_ISA_EXT_CET, F_N_FEATURES},
	{ZYDIS_ISA_EXT_CLZERO, F_N_FEATURES},
	{ZYDIS_ISA_EXT_ENQCMD, F_N_FEATURES},
	{ZYDIS_ISA_EXT_FMA4, F_N_FEATURES},
	{ZYDIS_ISA_EXT_HRESET, F_N_FEATURES},
	{ZYDIS_ISA_EXT_KNC, F_N_FEATURES},
	{ZYDIS_ISA_EXT_KNCE, F_N_FEATURES},
	{ZYDIS_ISA_EXT_KNCV, F_N_FEATURES},
	{ZYDIS_ISA_EXT_KEYLOCKER, F_N_FEATURES},
	{ZYDIS_ISA_EXT_KEYLOCKER_WIDE, F_N_FEATURES},
	{ZYDIS_ISA_EXT_MCOMMIT, F_N_FEATURES},
	{ZYDIS_ISA_EXT_MONITOR, F_N_FEATURES},
	{ZYDIS_ISA_EXT_MONITORX, F_N_FEATURES},
	{ZYDIS_ISA_EXT_MOVDIR, F_N_FEATURES},
	{ZYDIS_ISA_EXT_MPX, F_N_FEATURES},
	{ZYDIS_ISA_EXT_PADLOCK, F_N_FEATURES},
	{ZYDIS_ISA_EXT_PCONFIG, F_N_FEATURES},
	{ZYDIS_ISA_EXT_PKU, F_N_FEATURES},
	{ZYDIS_ISA_EXT_PT, F_N_FEATURES},
	{ZYDIS_ISA_EXT_RDPRU, F_N_FEATURES},
	{ZYDIS_ISA_EXT_RTM, F_N_FEATURES},
	{ZYDIS_ISA_EXT_SERIALIZE, F_N_FEATURES},
	{ZYDIS_ISA_EXT_SGX, F_N_FEATURES},
	{ZYDIS_ISA_EXT_SGX_ENCLV, F_N_FEATURES},
	{ZYDIS_ISA_EXT_SMX, F_N_FEATURES},
	{ZYDIS_ISA_EXT_SNP, F_N_FEATURES},
	{ZYDIS_ISA_EXT_SSE4A, F_N_FEATURES},
	{ZYDIS_ISA_EXT_SVM, F_N_FEATURES},
	{ZYDIS_ISA_EXT_TBM, F_N_FEATURES},
	{ZYDIS_ISA_EXT_TDX, F_N_FEATURES},
	{ZYDIS_ISA_EXT_TSX_LDTRK, F_N_FEATURES},
	{ZYDIS_ISA_EXT_UINTR, F_N_FEATURES},
	{ZYDIS_ISA_EXT_VMFUNC, F_N_FEATURES},
	{ZYDIS_ISA_EXT_VTX, F_N_FEATURES},
	{ZYDIS_ISA_EXT_WAITPKG, F_N_FEATURES},
	{ZYDIS_ISA_EXT_XOP, F_N_FEATURES},
	{ZYDIS_ISA_EXT_XSAVES, F_N_FEATURES},
	{ZYDIS_ISA_EXT_ADOX_ADCX, F_ADX},
	{ZYDIS_ISA_EXT_AES, F_AES},
	{ZYDIS_ISA_EXT_AVX, F_AVX},
	{ZYDIS_ISA_EXT_AVX2, F_AVX2},
	{ZYDIS_ISA_EXT_AVX2GATHER, F_AVX2},
	{ZYDIS_ISA_EXT_AVXAES, F_AES},
	{ZYDIS_ISA_EXT_BMI1, F_BMI1},
	{ZYDIS_ISA_EXT_BMI2, F_BMI2},
	{ZYDIS_ISA_EXT_F16C, F_F16C},
	{ZYDIS_ISA_EXT_FMA, F_FMA},
	{ZYDIS_ISA_EXT_GFNI, F_GFNI},
	{ZYDIS_ISA_EXT_MOVBE, F_MOVBE},
	{ZYDIS_ISA_EXT_PCLMULQDQ, F_PCLMUL},
	{ZYDIS_ISA_EXT_RDRAND, F_RDRAND},
	{ZYDIS_ISA_EXT_RDSEED, F_RDSEED},
	{ZYDIS_ISA_EXT_SHA, F_SHA},
	{ZYDIS_ISA_EXT_VAES, F_VAES},
	{ZYDIS_ISA_EXT_VPCLMULQDQ, F_VPCLMUL},
};

/* AVX-512's parts are isa_sets of Zydis's, each for several lengths. The first that fits. */
static enum insn_feature avx512_feature(const ZydisDecodedInstruction *z)
{
	static const struct {
		const char *prefix;
		enum insn_feature feature;
	} sets[] = {
		{"AVX512F_", F_AVX512F},
		{"AVX512BW_", F_AVX512F},
		{"AVX512CD_", F_AVX512F},
		{"AVX512DQ_", F_AVX512F},
		{"AVX512_IFMA", F_AVX512_IFMA},
		{"AVX512_VBMI2", F_AVX512_VBMI2},
		{"AVX512_VBMI", F_AVX512_VBMI},
		{"AVX512_VNNI", F_AVX512_VNNI},
		{"AVX512_BITALG", F_AVX512_BITALG},
		{"AVX512_VPOPCNTDQ", F_AVX512_VPOPCNTDQ},
		{"AVX512_BF16", F_AVX512_BF16},
		{"AVX512_GFNI", F_GFNI},
		{"AVX512_VAES", F_VAES},
		{"AVX512_VPCLMULQDQ", F_VPCLMUL},
	};
	const char *name = ZydisISASetGetString(z->meta.isa_set);

	for (size_t i = 0; i < G_N_ELEMENTS(sets); i++)
		if (g_str_has_prefix(name, sets[i].prefix))
			return sets[i].feature;
	return F_N_FEATURES;
}

static bool is_hidden(const ZydisDecodedInstruction *z)
{
	if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
	    z->meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX) {
		enum insn_feature feature = avx512_feature(z);

		return feature == F_N_FEATURES || !feature_available(feature) ||
		       !x86_model_host()->has[F_AVX512F];
	}
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    z->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return true;
	for (size_t i = 0; i < G_N_ELEMENTS(hidden_ext); i++)
		if (z->meta.isa_ext == hidden_ext[i].ext)
			return hidden_ext[i].feature == F_N_FEATURES ||
			       !feature_available(hidden_ext[i].feature);
	return false;
}

static void report(const uint8_t *bytes, size_t n, enum insn_mode mode, const char *format, ...)
	G_GNUC_PRINTF(4, 5);
static void report(const uint8_t *bytes, size_t n, enum insn_mode mode, const char *format, ...)
{
	g_autoptr(GString) line = g_string_new(NULL);
	va_list args;

	if (n_differences++ >= MAX_REPORT)
		return;
	for (size_t i = 0; i < n; i++)
		g_string_append_printf(line, "%02x ", bytes[i]);
	va_start(args, format);
	g_string_append_vprintf(line, format, args);
	va_end(args);
	g_test_message("mode %d: %s", 16 << mode, line->str);
}

/* The conditions that Zydis spells in another way than our rows. */
static bool same_condition(const char *ours, const char *zydis)
{
	static const char *const stems[] = {"j", "cmov", "set"};
	static const char *const spelt[][2] = {{"e", "z"},   {"ne", "nz"}, {"a", "nbe"},
					       {"ae", "nb"}, {"g", "nle"}, {"ge", "nl"}};

	for (size_t i = 0; i < G_N_ELEMENTS(stems); i++) {
		size_t n = strlen(stems[i]);

		if (strncmp(ours, stems[i], n) || strncmp(zydis, stems[i], n))
			continue;
		for (size_t j = 0; j < G_N_ELEMENTS(spelt); j++)
			if (!strcmp(ours + n, spelt[j][0]) && !strcmp(zydis + n, spelt[j][1]))
				return true;
	}
	return false;
}

/* Zydis has a mnemonic for each size or form; a row is all of them. */
static bool same_name(const char *ours, const char *zydis)
{
	static const struct {
		const char *ours, *zydis;
	} aliases[] = {
		{"call far", "call"},	{"cbw", "cdqe"},
		{"cbw", "cwde"},	{"cmpxchg8b", "cmpxchg16b"},
		{"cwd", "cdq"},		{"cwd", "cqo"},
		{"endbr32", "nop"}, /* with CET hidden */
		{"endbr64", "nop"},	{"jmp far", "jmp"},
		{"kmovd", "kmovq"},	{"movd", "movq"},
		{"pextrd", "pextrq"},	{"vpbroadcastd", "vpbroadcastq"},
		{"pinsrd", "pinsrq"},	{"prefetch", "nop"},
		{"prefetchw", "nop"}, /* with a register */
		{"ret far", "ret"},	{"vmovd", "vmovq"},
		{"vpextrd", "vpextrq"}, {"vpinsrd", "vpinsrq"},
		{"wbnoinvd", "wbinvd"}, {"xchg", "nop"},
	};
	/* Where only the end of the name differs, by size. */
	static const char *const sized[] = {
		"cmps",	   "ins",     "iret",	  "jcxz",   "lods",	"movs", "outs",
		"popa",	   "popf",    "pusha",	  "pushf",  "prefetch", "scas", "stos",
		"sysret",  "sysexit", "fcom",	  "fcomp",  "fxch",	"fstp", "fxsave",
		"fxrstor", "xsave",   "xsaveopt", "xsavec", "xrstor"};
	size_t n = strlen(ours);

	if (!strcmp(ours, zydis) || same_condition(ours, zydis))
		return true;
	for (size_t i = 0; i < G_N_ELEMENTS(aliases); i++)
		if (!strcmp(ours, aliases[i].ours) && !strcmp(zydis, aliases[i].zydis))
			return true;
	for (size_t i = 0; i < G_N_ELEMENTS(sized); i++)
		if (!strcmp(ours, sized[i]) &&
		    (!strncmp(ours, zydis, n) ||
		     (!strcmp(ours, "jcxz") && g_str_has_suffix(zydis, "cxz"))))
			return true;
	return false;
}

/* Offset of a general register of Zydis's in the way of struct insn; rip and none have their own.
 */
static unsigned register_offset(ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	if (reg == ZYDIS_REGISTER_NONE)
		return INSN_ZERO;
	if (class == ZYDIS_REGCLASS_IP)
		return INSN_PC;
	return 8 * ZydisRegisterGetId(reg);
}

static void compare_memory(const uint8_t *bytes, enum insn_mode mode, const struct insn *insn,
			   const ZydisDecodedInstruction *z, const ZydisDecodedOperandMem *m)
{
	int64_t disp = insn->disp - (insn->base == INSN_PC ? insn->next : 0);
	unsigned base = register_offset(m->base), index = register_offset(m->index);
	unsigned scale = m->index && !(insn_row_get(insn->row)->flags & IF_VSIB) ? 1 << insn->scale
										 : m->scale;

	if (m->type == ZYDIS_MEMOP_TYPE_VSIB) {
		if (insn->imm2 != ZydisRegisterGetId(m->index))
			report(bytes, z->length, mode, "vector index %u", insn->imm2);
		index = INSN_ZERO;
	}
	/* SIB's base 5 with mod 0 is a displacement alone; with REX.B and 32-bit addresses,
	 * Zydis 4.0 takes it for R13D. */
	if (z->raw.modrm.mod == 0 && z->raw.sib.base == 5 && m->base == ZYDIS_REGISTER_R13D)
		return;
	/* Zydis has no scale of 16-bit addresses. */
	if (base != insn->base || index != insn->index || (m->scale && scale != m->scale) ||
	    (m->disp.has_displacement ? m->disp.value : 0) != disp)
		report(bytes, z->length, mode,
		       "memory [%u + %u << %u + %" PRId64 "], Zydis [%u + %u * %u + %" PRId64 "]",
		       insn->base, insn->index, insn->scale, disp, base, index, m->scale,
		       (int64_t)m->disp.value);
	/* LEA's does not matter. */
	if (m->segment != ZYDIS_REGISTER_NONE && m->type != ZYDIS_MEMOP_TYPE_AGEN) {
		unsigned seg = ZydisRegisterGetId(m->segment);
		bool flat = mode == INSN_MODE_64 && seg != X86_FS && seg != X86_GS;

		if (insn->seg != (flat ? INSN_SEG_NONE : seg))
			report(bytes, z->length, mode, "segment %u, Zydis %u", insn->seg, seg);
	}
}

static void compare_immediate(const uint8_t *bytes, enum insn_mode mode, const struct insn *insn,
			      const ZydisDecodedInstruction *z, unsigned size)
{
	uint64_t ours = insn->imm, theirs = z->raw.imm[0].value.u, mask;

	if (z->raw.imm[0].is_relative)
		ours -= insn->next;
	mask = size >= 64 ? ~0ull : (1ull << size) - 1;
	if ((ours ^ theirs) & mask)
		report(bytes, z->length, mode, "immediate %" PRIx64 ", Zydis %" PRIx64, ours,
		       theirs);
}

/* The register of one of the row's operands, as Zydis counts them; -1: it is in memory or none. */
static int our_register(const struct insn_operand *op, const struct insn *insn)
{
	bool memory = insn->flags & INSN_MEM;

	switch (op->kind) {
	case 'V':
		return insn->reg;
	case 'H':
		return insn->vvvv;
	case 'W':
		return memory ? -1 : insn->rm;
	case 'U':
		return insn->rm;
	case 'G':
		return insn->reg / 8;
	case 'E':
		return memory ? -1 : insn->rm / 8;
	case 'R':
		return insn->rm / 8;
	case 'K':
		return op->size[0] == 'r' ? insn->reg : op->size[0] == 'h' ? insn->vvvv : insn->rm;
	}
	return -1;
}

static void compare_registers(const uint8_t *bytes, enum insn_mode mode, const struct insn *insn,
			      const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	const struct insn_row *row = insn_row_get(insn->row);
	unsigned at = 0;

	for (unsigned i = 0; i < z->operand_count_visible; i++) {
		const ZydisDecodedOperand *o = &operands[i];
		int ours;

		if (o->encoding == ZYDIS_OPERAND_ENCODING_MASK)
			continue;
		while (at < INSN_MAX_OPERANDS && row->operand[at].kind == 'f')
			at++;
		ours = at < INSN_MAX_OPERANDS ? our_register(&row->operand[at++], insn) : -1;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && ours >= 0 &&
		    ours != ZydisRegisterGetId(o->reg.value))
			report(bytes, z->length, mode, "%s: register %d, Zydis %s", row->name, ours,
			       ZydisRegisterGetString(o->reg.value));
	}
}

/* What only EVEX says: mask, broadcast, length; and the size of memory, which scales displacements.
 */
static void compare_evex(const uint8_t *bytes, enum insn_mode mode, const struct insn *insn,
			 const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	const struct insn_row *row = insn_row_get(insn->row);
	bool memory = insn->flags & INSN_MEM;
	bool zeroing = z->raw.evex.z; /* mask.mode also says so of comparisons */
	bool broadcast = z->avx.broadcast.mode && !z->avx.broadcast.is_static;

	if ((insn->evex & INSN_EVEX_MASK) != ZydisRegisterGetId(z->avx.mask.reg) ||
	    !(insn->evex & INSN_EVEX_Z) != !zeroing)
		report(bytes, z->length, mode, "%s: mask %x, Zydis %s%s", row->name, insn->evex,
		       ZydisRegisterGetString(z->avx.mask.reg), zeroing ? " {z}" : "");
	if ((memory && (insn->evex & INSN_EVEX_B)) != broadcast)
		report(bytes, z->length, mode, "%s: broadcast, Zydis %d", row->name, broadcast);
	if (row->vex != INSN_VEX_LIG && insn_vector_size(insn) * 8 != z->avx.vector_length)
		report(bytes, z->length, mode, "%s: %u bits, Zydis %u", row->name,
		       insn_vector_size(insn) * 8, z->avx.vector_length);
	for (unsigned i = 0; memory && i < z->operand_count_visible; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    operands[i].size != 8 * insn_mem_size(row, insn))
			report(bytes, z->length, mode, "%s: %u bytes, Zydis %u", row->name,
			       insn_mem_size(row, insn), operands[i].size / 8);
}

static void compare_operands(const uint8_t *bytes, enum insn_mode mode, const struct insn *insn,
			     const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	const struct insn_row *row = insn_row_get(insn->row);
	const char *name = ZydisMnemonicGetString(z->mnemonic);

	if (!same_name(row->name, name))
		report(bytes, z->length, mode, "%s, Zydis %s", row->name, name);
	if (row->vex != INSN_VEX_NONE)
		compare_registers(bytes, mode, insn, z, operands);
	if (row->evex)
		compare_evex(bytes, mode, insn, z, operands);
	for (unsigned i = 0; i < z->operand_count_visible; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && (insn->flags & INSN_MEM))
			compare_memory(bytes, mode, insn, z, &operands[i].mem);
	if (z->raw.imm[0].size && !(row->operand[0].kind == 'A'))
		compare_immediate(bytes, mode, insn, z, z->raw.imm[0].size);
}

/* Returns Zydis's length, 1 where it finds no instruction. */
static unsigned compare(const uint8_t *bytes, size_t n, enum insn_mode mode)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus zs = ZydisDecoderDecodeFull(&decoders[mode], bytes, n, &z, operands);
	struct insn insn;
	enum insn_status s = insn_decode(bytes, n, mode, x86_model_host()->has, 0, &insn);

	if (zs == ZYDIS_STATUS_NO_MORE_DATA)
		return n;
	if (!ZYAN_SUCCESS(zs)) {
		if (s == INSN_OK)
			report(bytes, MIN(n, insn.len), mode, "%s, undefined for Zydis (%x)",
			       insn_row_get(insn.row)->name, zs & 0xfffff);
		return 1;
	}
	if (is_hidden(&z))
		return z.length;
	if (s != INSN_OK)
		report(bytes, z.length, mode, "undefined (%d), %s for Zydis (ext %d)", s,
		       ZydisMnemonicGetString(z.mnemonic), z.meta.isa_ext);
	else if (insn.len != z.length)
		report(bytes, z.length, mode, "%s: length %u, Zydis %u",
		       ZydisMnemonicGetString(z.mnemonic), insn.len, z.length);
	else
		compare_operands(bytes, mode, &insn, &z, operands);
	return z.length;
}

static void sweep_section(const uint8_t *code, size_t size)
{
	uint64_t n = 0;

	for (size_t at = 0; at < size; n++)
		at += compare(code + at, MIN(size - at, 15), INSN_MODE_64);
	g_test_message("%" PRIu64 " instructions", n);
}

static void sweep_file(const char *path)
{
	g_autoptr(GMappedFile) file = g_mapped_file_new(path, false, NULL);

	if (!file) {
		g_test_message("%s is not on this machine", path);
		return;
	}
	const uint8_t *image = (const uint8_t *)g_mapped_file_get_contents(file);
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
	const Elf64_Shdr *sections = (const Elf64_Shdr *)(image + header->e_shoff);

	g_test_message("%s", path);
	for (unsigned i = 0; i < header->e_shnum; i++)
		if (sections[i].sh_type == SHT_PROGBITS && (sections[i].sh_flags & SHF_EXECINSTR))
			sweep_section(image + sections[i].sh_offset,
				      MIN(sections[i].sh_size, MAX_CODE));
}

static void test_programs(void)
{
	static const char *const paths[] = {
		"/proc/self/exe",
		"/bin/bash",
		"/usr/bin/python3",
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/lib/x86_64-linux-gnu/libm.so.6",
		"/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/usr/lib/gcc/x86_64-linux-gnu/12/cc1",
	};

	n_differences = 0;
	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
		sweep_file(paths[i]);
	g_assert_cmpuint(n_differences, ==, 0);
}

/* Half of the time plain noise; else likely prefixes, then an opcode of any map. */
static void random_bytes(GRand *rand, uint8_t *bytes)
{
	static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0x67, 0x48, 0x41, 0x2e, 0x64, 0xf0};
	unsigned at = 0, choice = g_rand_int_range(rand, 0, 10);

	for (unsigned i = 0; i < 15; i++)
		bytes[i] = g_rand_int(rand);
	if (choice < 4)
		return;
	while (g_rand_boolean(rand))
		bytes[at++ % 4] = prefixes[g_rand_int_range(rand, 0, G_N_ELEMENTS(prefixes))];
	at %= 5;
	if (choice == 4) {
		bytes[at] = 0x0f;
	} else if (choice == 5) {
		bytes[at] = 0x0f;
		bytes[at + 1] = g_rand_boolean(rand) ? 0x38 : 0x3a;
	} else if (choice == 6) {
		bytes[0] = 0xc5;
	} else if (choice >= 8) {
		/* EVEX, mostly without reserved bits; half of the time with as few demands as may
		 * be. */
		bytes[0] = 0x62;
		bytes[1] =
			(bytes[1] & 0xf0) | g_rand_int_range(rand, g_rand_int_range(rand, 0, 2), 4);
		bytes[2] |= g_rand_int_range(rand, 0, 16) ? 4 : 0;
		if (choice == 9) {
			bytes[2] |= 0x78;
			bytes[3] = (bytes[3] & 0x67) | 8;
		}
	} else {
		bytes[0] = 0xc4;
		bytes[1] = (bytes[1] & 0xe0) | g_rand_int_range(rand, 1, 4);
	}
}

static void test_random(void)
{
	const char *count = g_getenv("VIV_DECODE_COUNT"), *seed = g_getenv("VIV_DECODE_SEED");
	uint64_t n = count ? strtoull(count, NULL, 0) : 1000000;
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed ? strtoul(seed, NULL, 0) : 1);
	uint8_t bytes[15];

	n_differences = 0;
	for (uint64_t i = 0; i < n; i++) {
		random_bytes(rand, bytes);
		for (unsigned mode = 0; mode < 3; mode++)
			compare(bytes, sizeof(bytes), mode);
	}
	g_assert_cmpuint(n_differences, ==, 0);
}

static void init_zydis(void)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth width;
	} modes[] = {
		[INSN_MODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		[INSN_MODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		[INSN_MODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
	};

	for (unsigned i = 0; i < 3; i++) {
		ZydisDecoderInit(&decoders[i], modes[i].mode, modes[i].width);
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_MPX, false);
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_CLDEMOTE, false);
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_KNC, false);
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_CET, false);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	insn_table_init();
	init_zydis();
	g_test_add_func("/decode/programs", test_programs);
	g_test_add_func("/decode/random", test_random);
	return g_test_run();
}
