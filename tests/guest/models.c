/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What CPUID says and what there is agree, whatever the processor's model (SDM volume 2, CPUID):
 * instructions are #UD, MSRs, and bits of CR4 and EFER, #GP(0), exactly where the feature is
 * missing. Without CPUID, RFLAGS.ID stays clear and the instruction is #UD.
 */
#include "guest32.h"

enum { EAX, EBX, ECX, EDX };

struct bit {
	uint32_t leaf, subleaf;
	unsigned reg, bit;
};

#define CODE(bytes) bytes, sizeof(bytes) - 1
static const struct {
	struct bit bit;
	const char *code; /* memory operands are at EAX */
	unsigned len;
} instructions[] = {
	{{1, 0, EDX, 4}, CODE("\x0f\x31")},		     /* rdtsc */
	{{1, 0, EDX, 5}, CODE("\x0f\x32")},		     /* rdmsr */
	{{1, 0, EDX, 8}, CODE("\x0f\xc7\x08")},		     /* cmpxchg8b */
	{{1, 0, EDX, 11}, CODE("\x0f\x34")},		     /* sysenter */
	{{1, 0, EDX, 11}, CODE("\x0f\x35")},		     /* sysexit */
	{{1, 0, EDX, 15}, CODE("\x0f\x44\xc0")},	     /* cmovz */
	{{1, 0, EDX, 15}, CODE("\xdb\xf0")},		     /* fcomi */
	{{1, 0, EDX, 15}, CODE("\xda\xc0")},		     /* fcmovb */
	{{1, 0, EDX, 15}, CODE("\x0f\x1f\x00")},	     /* nop */
	{{1, 0, EDX, 19}, CODE("\x0f\xae\x38")},	     /* clflush */
	{{1, 0, EDX, 23}, CODE("\x0f\x77")},		     /* emms */
	{{1, 0, EDX, 23}, CODE("\x0f\x33")},		     /* rdpmc */
	{{1, 0, EDX, 24}, CODE("\x0f\xae\x00")},	     /* fxsave */
	{{1, 0, EDX, 25}, CODE("\x0f\x58\xc0")},	     /* addps */
	{{1, 0, EDX, 25}, CODE("\x0f\xae\xf8")},	     /* sfence */
	{{1, 0, EDX, 26}, CODE("\x66\x0f\x58\xc0")},	     /* addpd */
	{{1, 0, EDX, 26}, CODE("\x0f\xd4\xc0")},	     /* paddq mm */
	{{1, 0, ECX, 0}, CODE("\xf2\x0f\xd0\xc0")},	     /* addsubps */
	{{1, 0, ECX, 0}, CODE("\xdb\x08")},		     /* fisttp */
	{{1, 0, ECX, 1}, CODE("\x66\x0f\x3a\x44\xc0\x00")},  /* pclmulqdq */
	{{1, 0, ECX, 9}, CODE("\x66\x0f\x38\x00\xc0")},	     /* pshufb */
	{{1, 0, ECX, 12}, CODE("\xc4\xe2\x79\x98\xc0")},     /* vfmadd132ps */
	{{1, 0, ECX, 19}, CODE("\x66\x0f\x38\x17\xc0")},     /* ptest */
	{{1, 0, ECX, 20}, CODE("\x66\x0f\x38\x37\xc0")},     /* pcmpgtq */
	{{1, 0, ECX, 20}, CODE("\xf2\x0f\x38\xf1\xc0")},     /* crc32 */
	{{1, 0, ECX, 22}, CODE("\x0f\x38\xf0\x00")},	     /* movbe */
	{{1, 0, ECX, 23}, CODE("\xf3\x0f\xb8\xc0")},	     /* popcnt */
	{{1, 0, ECX, 25}, CODE("\x66\x0f\x38\xdc\xc0")},     /* aesenc */
	{{1, 0, ECX, 26}, CODE("\x0f\x01\xd0")},	     /* xgetbv */
	{{1, 0, ECX, 26}, CODE("\x0f\xae\x20")},	     /* xsave */
	{{1, 0, ECX, 28}, CODE("\xc5\xf8\x58\xc0")},	     /* vaddps */
	{{1, 0, ECX, 29}, CODE("\xc4\xe2\x79\x13\xc0")},     /* vcvtph2ps */
	{{1, 0, ECX, 30}, CODE("\x0f\xc7\xf0")},	     /* rdrand */
	{{7, 0, EBX, 3}, CODE("\xc4\xe2\x78\xf2\xc0")},	     /* andn */
	{{7, 0, EBX, 5}, CODE("\xc5\xfd\xfe\xc0")},	     /* vpaddd ymm */
	{{7, 0, EBX, 8}, CODE("\xc4\xe2\x78\xf5\xc0")},	     /* bzhi */
	{{7, 0, EBX, 10}, CODE("\x66\x0f\x38\x82\x00")},     /* invpcid */
	{{7, 0, EBX, 18}, CODE("\x0f\xc7\xf8")},	     /* rdseed */
	{{7, 0, EBX, 19}, CODE("\x66\x0f\x38\xf6\xc0")},     /* adcx */
	{{7, 0, EBX, 20}, CODE("\x0f\x01\xca")},	     /* clac */
	{{7, 0, EBX, 23}, CODE("\x66\x0f\xae\x38")},	     /* clflushopt */
	{{7, 0, EBX, 24}, CODE("\x66\x0f\xae\x30")},	     /* clwb */
	{{7, 0, EBX, 29}, CODE("\x0f\x38\xc8\xc0")},	     /* sha1nexte */
	{{7, 0, ECX, 8}, CODE("\x66\x0f\x38\xcf\xc0")},	     /* gf2p8mulb */
	{{7, 0, ECX, 9}, CODE("\xc4\xe2\x7d\xdc\xc0")},	     /* vaesenc ymm */
	{{7, 0, ECX, 10}, CODE("\xc4\xe3\x7d\x44\xc0\x00")}, /* vpclmulqdq ymm */
	{{7, 0, ECX, 22}, CODE("\xf3\x0f\xc7\xf8")},	     /* rdpid */
	{{7, 0, EBX, 16}, CODE("\x62\xf1\x7c\x48\x58\xc0")}, /* vaddps zmm */
	{{7, 0, EBX, 16}, CODE("\xc5\xf8\x90\xc0")},	     /* kmovw */
	{{7, 0, EBX, 17}, CODE("\x62\xf1\x7c\x48\x54\xc0")}, /* vandps zmm */
	{{7, 0, EBX, 17}, CODE("\xc5\xf9\x90\xc0")},	     /* kmovb */
	{{7, 0, EBX, 21}, CODE("\x62\xf2\xfd\x48\xb4\xc0")}, /* vpmadd52luq */
	{{7, 0, EBX, 28}, CODE("\x62\xf2\x7d\x48\x44\xc0")}, /* vplzcntd */
	{{7, 0, EBX, 30}, CODE("\x62\xf1\x7d\x48\xfc\xc0")}, /* vpaddb zmm */
	{{7, 0, EBX, 31}, CODE("\x62\xf1\x7c\x28\x58\xc0")}, /* vaddps ymm, EVEX */
	{{7, 0, ECX, 1}, CODE("\x62\xf2\x7d\x48\x8d\xc0")},  /* vpermb */
	{{7, 0, ECX, 6}, CODE("\x62\xf2\x7d\x48\x63\xc0")},  /* vpcompressb */
	{{7, 0, ECX, 11}, CODE("\x62\xf2\x7d\x48\x50\xc0")}, /* vpdpbusd */
	{{7, 0, ECX, 12}, CODE("\x62\xf2\x7d\x48\x54\xc0")}, /* vpopcntb */
	{{7, 0, ECX, 14}, CODE("\x62\xf2\x7d\x48\x55\xc0")}, /* vpopcntd */
	{{7, 1, EAX, 5}, CODE("\x62\xf2\x7e\x48\x52\xc0")},  /* vdpbf16ps */
	{{0xd, 1, EAX, 0}, CODE("\x0f\xae\x30")},	     /* xsaveopt */
	{{0xd, 1, EAX, 1}, CODE("\x0f\xc7\x20")},	     /* xsavec */
	{{0xd, 1, EAX, 3}, CODE("\x0f\xc7\x28")},	     /* xsaves */
	{{0x80000001, 0, EDX, 27}, CODE("\x0f\x01\xf9")},    /* rdtscp */
	{{0x80000001, 0, EDX, 29}, CODE("\x0f\x0d\x00")},    /* prefetch */
};

static const struct {
	struct bit bit;
	uint32_t index;
} msrs[] = {
	{{1, 0, EDX, 4}, 0x10},
	{{1, 0, EDX, 9}, 0x1b},
	{{7, 0, EDX, 26}, 0x48},
	{{1, 0, EDX, 12}, 0xfe},
	{{7, 0, EDX, 29}, 0x10a},
	{{1, 0, EDX, 11}, 0x174},
	{{1, 0, EDX, 14}, 0x179},
	{{1, 0, EDX, 12}, 0x200},
	{{1, 0, EDX, 12}, 0x250},
	{{1, 0, EDX, 16}, 0x277},
	{{1, 0, EDX, 12}, 0x2ff},
	{{1, 0, ECX, 24}, 0x6e0},
	{{0xd, 1, EAX, 3}, 0xda0},
	{{1, 0, ECX, 31}, 0x4b564d01},
	{{0x80000001, 0, EDX, 11}, 0xc0000081},
	{{0x80000001, 0, EDX, 29}, 0xc0000082},
	{{0x80000001, 0, EDX, 29}, 0xc0000101},
	{{0x80000001, 0, EDX, 27}, 0xc0000103},
};

static const struct {
	struct bit bit;
	uint32_t mask;
} cr4_bits[] = {
	{{1, 0, EDX, 1}, 3},	    {{1, 0, EDX, 4}, 1 << 2},  {{1, 0, EDX, 2}, 1 << 3},
	{{1, 0, EDX, 3}, 1 << 4},   {{1, 0, EDX, 6}, 1 << 5},  {{1, 0, EDX, 7}, 1 << 6},
	{{1, 0, EDX, 13}, 1 << 7},  {{1, 0, EDX, 23}, 1 << 8}, {{1, 0, EDX, 24}, 1 << 9},
	{{1, 0, EDX, 25}, 1 << 10}, {{7, 0, ECX, 2}, 1 << 11}, {{7, 0, EBX, 0}, 1 << 16},
	{{1, 0, ECX, 26}, 1 << 18}, {{7, 0, EBX, 7}, 1 << 20}, {{7, 0, EBX, 20}, 1 << 21},
};

static const struct {
	struct bit bit;
	uint32_t mask;
} efer_bits[] = {
	{{0x80000001, 0, EDX, 11}, 1 << 0},
	{{0x80000001, 0, EDX, 29}, 1 << 8},
	{{0x80000001, 0, EDX, 20}, 1 << 11},
};

static uint8_t area[1024] __attribute__((aligned(64))), code[16];
static uint32_t wanted_cr4, wanted_msr, value;

static void get_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	asm volatile("cpuid"
		     : "=a"(r[EAX]), "=b"(r[EBX]), "=c"(r[ECX]), "=d"(r[EDX])
		     : "a"(leaf), "c"(subleaf));
}

/* Leaves past the last are not asked: Intel's processors answer with another one's data. */
static bool has(struct bit b)
{
	uint32_t r[4];

	get_cpuid(b.leaf & 0x80000000, 0, r);
	if (r[EAX] < b.leaf || (r[EAX] ^ b.leaf) >> 31)
		return false;
	get_cpuid(b.leaf, b.subleaf, r);
	return r[b.reg] >> b.bit & 1;
}

static void run_code(void)
{
	asm volatile("call *%1" : : "a"(area), "r"(code), "c"(0), "d"(0) : "memory", "cc");
}

static void set_code(const char *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		code[i] = bytes[i];
	code[n] = 0xc3;
}

static void do_write_cr4(void)
{
	write_cr4(wanted_cr4);
}

static void do_rdmsr(void)
{
	asm volatile("rdmsr" : "=a"(value) : "c"(wanted_msr) : "edx");
}

static void do_write_efer(void)
{
	wrmsr(0xc0000080, wanted_msr);
}

static void do_cpuid(void)
{
	asm volatile("cpuid" : : "a"(0) : "ebx", "ecx", "edx");
}

static uint32_t flip_flag(uint32_t flag)
{
	uint32_t before, after;

	asm volatile("pushf\n\tpop %0\n\tmov %0, %1\n\txor %2, %1\n\tpush %1\n\tpopf\n\tpushf\n\t"
		     "pop %1\n\tpush %0\n\tpopf"
		     : "=&r"(before), "=&r"(after)
		     : "ri"(flag)
		     : "cc");
	return before ^ after;
}

static void test_cr4(void)
{
	uint32_t base = read_cr4(), all = base;

	for (unsigned i = 0; i < sizeof(cr4_bits) / sizeof(cr4_bits[0]); i++) {
		bool there = has(cr4_bits[i].bit);

		wanted_cr4 = base | cr4_bits[i].mask;
		run(do_write_cr4);
		check_equal(last_vector, there ? 256 : 13);
		check_equal(read_cr4(), there ? wanted_cr4 : base);
		write_cr4(base);
		if (there)
			all |= cr4_bits[i].mask & (3 << 9 | 1 << 18);
	}
	if (all != base)
		write_cr4(all);
}

static void test_instructions(void)
{
	if (has((struct bit){1, 0, ECX, 28}))
		asm volatile("xsetbv"
			     :
			     : "a"(has((struct bit){7, 0, EBX, 16}) ? 0xe7 : 7), "c"(0), "d"(0));
	asm volatile("fninit");
	for (unsigned i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
		bool there = has(instructions[i].bit);

		set_code(instructions[i].code, instructions[i].len);
		run(run_code);
		/* What is there may fault in other ways. */
		if ((last_vector == 6) == there)
			fail(__FILE__, __LINE__, "instruction by number is there; CPUID has it", i,
			     there);
	}
}

/* F3 before BSF and BSR means something else where there are TZCNT and LZCNT. */
static void test_counts(void)
{
	uint32_t trailing, leading;

	asm volatile(".byte 0xf3, 0x0f, 0xbc, 0xc2" : "=a"(trailing) : "a"(7), "d"(0) : "cc");
	check_equal(trailing, has((struct bit){7, 0, EBX, 3}) ? 32 : 7);
	asm volatile(".byte 0xf3, 0x0f, 0xbd, 0xc2" : "=a"(leading) : "d"(1 << 16) : "cc");
	check_equal(leading, has((struct bit){0x80000001, 0, ECX, 5}) ? 15 : 16);
}

static void test_msrs(void)
{
	if (!has((struct bit){1, 0, EDX, 5}))
		return;
	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		wanted_msr = msrs[i].index;
		run(do_rdmsr);
		if (last_vector != (has(msrs[i].bit) ? 256 : 13))
			fail(__FILE__, __LINE__, "MSR's vector", wanted_msr, last_vector);
	}
	for (unsigned i = 0; i < sizeof(efer_bits) / sizeof(efer_bits[0]); i++) {
		bool any = has(efer_bits[0].bit) || has(efer_bits[1].bit) || has(efer_bits[2].bit);

		wanted_msr = efer_bits[i].mask;
		run(do_write_efer);
		check_equal(last_vector, has(efer_bits[i].bit) ? 256 : 13);
		wanted_msr = 0;
		run(do_write_efer);
		check_equal(last_vector, any ? 256 : 13);
	}
}

/* The APIC answers in its page where there is one, and says what modes it knows. */
static void do_x2apic(void)
{
	wrmsr(0x1b, 0xfee00d00);
}

static void test_apic(void)
{
	volatile uint32_t *version = (volatile uint32_t *)0xfee00030;
	bool there = has((struct bit){1, 0, EDX, 9});

	check_equal(*version != ~0u, there);
	if (!there || !has((struct bit){1, 0, EDX, 5}))
		return;
	run(do_x2apic);
	check_equal(last_vector, has((struct bit){1, 0, ECX, 21}) ? 256 : 13);
	wrmsr(0x1b, 0xfee00100);
	check(!has((struct bit){1, 0, EDX, 9}));
}

void test_main(void)
{
	check_equal(flip_flag(EFLAGS_AC), EFLAGS_AC);
	if (!flip_flag(1 << 21)) {
		check_raises(do_cpuid, 6, 0);
		return;
	}
	check_equal(flip_flag(1 << 21), 1 << 21);
	test_cr4();
	test_instructions();
	test_counts();
	test_msrs();
	test_apic();
}
