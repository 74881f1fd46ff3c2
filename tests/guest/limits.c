/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 3, 5.3 (limits), 5.5 and 5.6 (types, null selectors), 5.10 (LAR, LSL, VERR, VERW). */
#include "guest32.h"

enum { S1 = SEL_FREE, LDT = SEL_FREE + 8 };
enum { RO = 0x91, RW = 0x93, DOWN = 0x97, CODE_X = 0x99, CODE_RX = 0x9b, CONFORMING = 0x9f };
enum { BYTES = 0, WIDE = 4, PAGES = 12 };
#define NONE 256

static uint8_t memory[8192] __attribute__((aligned(4096)));
static uint32_t offset;

/* Accesses to ES (or SS) at `offset`. */
#define ACCESS(name, text)                                                                       \
	static void name(void)                                                                   \
	{                                                                                        \
		asm volatile(text : : "D"(offset) : "eax", "ecx", "edx", "esi", "memory", "cc"); \
	}
ACCESS(read8, "mov %%es:(%%edi), %%al")
ACCESS(read16, "mov %%es:(%%edi), %%ax")
ACCESS(read32, "mov %%es:(%%edi), %%eax")
ACCESS(write8, "movb $1, %%es:(%%edi)")
ACCESS(write32, "movl $1, %%es:(%%edi)")
ACCESS(add32, "addl $1, %%es:(%%edi)")
ACCESS(compare32, "cmpl $1, %%es:(%%edi)")
ACCESS(stos32, "stosl")
ACCESS(scas32, "scasl")
ACCESS(movs_to, "mov $memory, %%esi\n\tmovsl")
ACCESS(movs_from, "mov %%edi, %%esi\n\tmov $memory, %%edi\n\tpush %%es\n\tpush %%ds\n\tpop "
		  "%%es\n\tpop %%ds\n\tmovsl\n\tpush %%ss\n\tpop %%ds")
ACCESS(bit_far, "mov $0x800, %%eax\n\tbts %%eax, %%es:-0x100(%%edi)")
ACCESS(moffs, "movb %%es:0x100, %%al")
ACCESS(load_fpu, "fninit\n\tfldl %%es:(%%edi)")

static const struct {
	unsigned type, flags, limit;
	uint32_t offset;
	void (*access)(void);
	unsigned vector;
} cases[] = {
	{RW, BYTES, 0xff, 0xff, read8, NONE},
	{RW, BYTES, 0xff, 0x100, read8, 13},
	{RW, BYTES, 0xff, 0xfe, read16, NONE},
	{RW, BYTES, 0xff, 0xff, read16, 13},
	{RW, BYTES, 0xff, 0xfc, write32, NONE},
	{RW, BYTES, 0xff, 0xfd, write32, 13},
	{RW, BYTES, 0xff, 0xfffffffe, read32, 13},
	{RW, PAGES, 0, 0xffc, read32, NONE},
	{RW, PAGES, 0, 0xffd, read32, 13},
	{RO, PAGES, 1, 0, read32, NONE},
	{RO, PAGES, 1, 0, compare32, NONE},
	{RO, PAGES, 1, 0, write8, 13},
	{RO, PAGES, 1, 0, add32, 13},
	{RO, PAGES, 0xfffff, 0, write8, 13},
	{CODE_RX, PAGES, 1, 0, read32, NONE},
	{CODE_RX, PAGES, 1, 0, write32, 13},
	{DOWN, WIDE, 0xff, 0xff, read8, 13},
	{DOWN, WIDE, 0xff, 0x100, read8, NONE},
	{DOWN, WIDE, 0xff, 0xfd, read32, 13},
	{DOWN, BYTES, 0xff, 0xfffc, read32, NONE},
	{DOWN, BYTES, 0xff, 0xfffd, read32, 13},
	{RW, BYTES, 0xff, 0xfc, stos32, NONE},
	{RW, BYTES, 0xff, 0xfd, stos32, 13},
	{RO, BYTES, 0xff, 0, stos32, 13},
	{RO, BYTES, 0xff, 0, scas32, NONE},
	{RW, BYTES, 0xff, 0xfd, scas32, 13},
	{RO, BYTES, 0xff, 0, movs_to, 13},
	{RW, BYTES, 0xff, 0xfd, movs_to, 13},
	{RO, BYTES, 0xff, 0xfc, movs_from, NONE},
	{RO, BYTES, 0xff, 0xfd, movs_from, 13},
	{RW, BYTES, 0xff, 0xfc, bit_far, NONE},
	{RW, BYTES, 0xff, 0x100, bit_far, 13},
	{RW, BYTES, 0xff, 0, moffs, 13},
	{RW, BYTES, 0x100, 0, moffs, NONE},
	{RW, BYTES, 0xff, 0xf8, load_fpu, NONE},
	{RW, BYTES, 0xff, 0xf9, load_fpu, 13},
};

static void (*access)(void);

static void with_es(void)
{
	asm volatile("mov %0, %%es" : : "r"(S1));
	access();
}

static void with_null(void)
{
	asm volatile("mov %0, %%es" : : "r"(3));
	read8();
}

static void data(void)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Expand-down 32-bit segments have their valid part above. */
		gdt[S1 / 8] =
			descriptor((uint32_t)memory, cases[i].limit, cases[i].type, cases[i].flags);
		offset = cases[i].offset;
		access = cases[i].access;
		run(with_es);
		if (last_vector != cases[i].vector)
			fail(__FILE__, __LINE__, "case", i, cases[i].vector);
		if (last_vector != NONE)
			check_equal(last.error, 0);
	}
	check_raises(with_null, 13, 0);
}

/* A stack of 256 bytes, and one of 16 bits whose pointer wraps. */
#define ON_STACK(name, text)                                                              \
	static void name(void)                                                            \
	{                                                                                 \
		asm volatile("mov %%esp, %%ebx\n\tmov %0, %%ss\n\tmov %1, %%esp\n\t" text \
			     "\n\tmov %2, %%eax\n\tmov %%eax, %%ss\n\tmov %%ebx, %%esp"   \
			     :                                                            \
			     : "r"(S1), "D"(offset), "i"(SEL_DATA)                        \
			     : "eax", "ebx", "ecx", "memory");                            \
	}
ON_STACK(push32, "push %%ecx")
ON_STACK(pop32, "pop %%ecx")
ON_STACK(pusha32, "pusha")
ON_STACK(near_call, "call 1f\n1:")
ON_STACK(enter_frame, "mov %%ebp, %%ecx\n\tenter $0x20, $0\n\tmov %%ecx, %%ebp")
ON_STACK(by_esp, "mov (%%esp), %%eax")
ON_STACK(by_ss, "mov %%ss:4(%%edi), %%eax")

static const struct {
	uint32_t esp;
	void (*use)(void);
	unsigned vector;
} stack_cases[] = {
	{0x100, push32, NONE},	{0x104, push32, 12},	   {0xfc, pop32, NONE},
	{0xfd, pop32, 12},	{0x20, pusha32, NONE},	   {0x1c, pusha32, 12},
	{0x104, near_call, 12}, {0x24, enter_frame, NONE}, {0x23, enter_frame, 12},
	{0xfc, by_esp, NONE},	{0xfd, by_esp, 12},	   {0xf8, by_ss, NONE},
	{0xf9, by_ss, 12},
};

/* The handlers of #SS run on a task of their own, since this stack is what is wrong. */
static void stacks(void)
{
	static struct tss32 handler __attribute__((aligned(128)));
	uint64_t saved = idt[12];

	gdt[S1 / 8] = descriptor((uint32_t)memory, 0xff, RW, WIDE);
	gdt[LDT / 8] = descriptor((uint32_t)&handler, 0x67, 0x89, 0);
	for (unsigned i = 0; i < sizeof(stack_cases) / sizeof(stack_cases[0]); i++) {
		handler = (struct tss32){.eip = (uint32_t)exception_stubs + 16 * 12,
					 .eflags = 2,
					 .esp = (uint32_t)ring0_top,
					 .cs = SEL_CODE,
					 .ss = SEL_DATA,
					 .ds = SEL_DATA,
					 .es = SEL_DATA};
		idt[12] = (uint64_t)0x85 << 40 | LDT << 16;
		offset = stack_cases[i].esp;
		run(stack_cases[i].use);
		idt[12] = saved;
		if (last_vector != stack_cases[i].vector)
			fail(__FILE__, __LINE__, "stack case", i, stack_cases[i].vector);
		if (last_vector == NONE)
			continue;
		check_equal(last.error, 0);
		gdt[SEL_TSS / 8] &= ~(2ull << 40);
		gdt[LDT / 8] &= ~(2ull << 40);
		load_task(SEL_TSS);
		asm volatile("clts");
	}
}

static uint32_t answers(unsigned type, unsigned limit, unsigned flags)
{
	uint32_t ok = 0, access_rights = 0, l = 0;
	uint8_t zf;

	gdt[S1 / 8] = descriptor(0, limit, type, flags);
	asm volatile("lar %2, %0\n\tsetz %1" : "+r"(access_rights), "=q"(zf) : "r"(S1) : "cc");
	ok |= zf;
	if (zf)
		check_equal(access_rights, (uint32_t)(gdt[S1 / 8] >> 32) & 0x00f0ff00);
	asm volatile("lsl %2, %0\n\tsetz %1" : "+r"(l), "=q"(zf) : "r"(S1) : "cc");
	ok |= zf << 1;
	if (zf)
		check_equal(l, flags & 8 ? limit << 12 | 0xfff : limit);
	asm volatile("verr %w1\n\tsetz %0" : "=q"(zf) : "r"(S1) : "cc");
	ok |= zf << 2;
	asm volatile("verw %w1\n\tsetz %0" : "=q"(zf) : "r"(S1) : "cc");
	return ok | zf << 3;
}

static void questions(void)
{
	check_equal(answers(RW, 0x1234, BYTES), 15);
	check_equal(answers(RO, 0x1234, PAGES), 7);
	check_equal(answers(CODE_X, 0x1234, PAGES), 3);
	check_equal(answers(CODE_RX, 0x1234, PAGES), 7);
	check_equal(answers(0x81, 43, BYTES), 3); /* 286 TSS */
	check_equal(answers(0x84, 0, BYTES), 1);  /* 286 call gate */
	check_equal(answers(0x85, 0, BYTES), 1);  /* task gate */
	check_equal(answers(0x8c, 0, BYTES), 1);
	check_equal(answers(0x8e, 0, BYTES), 0); /* interrupt gate */
	check_equal(answers(0x80, 0, BYTES), 0);
}

/* Real mode: 64 KiB whatever the address size, unless protected mode left another limit. */
extern char real_wide_read[];
extern volatile uint16_t real_raised;
asm(".pushsection .text16, \"awx\"\n\t.code16\n"
    "limit_handler: mov %sp, %bp\n\taddw $3, (%bp)\n\tincw real_raised\n\tiret\n"
    "real_wide_read: mov $0xffff, %bx\n\tmov $0x10000, %eax\n\tmov (%bx), %cl\n\t"
    "mov %ds:2(%bx), %cx\n\tmov %cs:(%bx), %cx\n\taddr32 mov (%eax), %cx\n\tret\n"
    "real_raised: .word 0\n\t.code32\n\t.popsection");
extern char limit_handler[];

static void real_limits(void)
{
	volatile uint32_t *vectors = NULL;

	asm("" : "+r"(vectors));
	vectors[13] = (uint32_t)limit_handler;
	run_real((void (*)(void))real_wide_read);
	check_equal(real_raised, 2);
}

void test_main(void)
{
	data();
	stacks();
	questions();
	real_limits();
}
