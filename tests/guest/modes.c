/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From mode to mode: SDM volume 3, 10.9 and 21.1 (what a segment's limit is in real mode after
 * protected mode: "unreal"), 22 (16-bit code in protected mode), 10.8.5 and 5.2.1 (into long mode,
 * compatibility and 64-bit code, and back), volume 2, ARPL and LAR in real mode.
 */
#include "guest32.h"

enum {
	TSS286 = SEL_FREE,
	CODE64 = SEL_FREE + 8,
	CR0_PG = 1u << 31,
	CR4_PAE = 1 << 5,
	EFER = 0xc0000080,
	LME = 1 << 8,
	LMA = 1 << 10,
};

static volatile uint32_t seen[8];

/* In .text16, so that real mode reaches it. */
extern volatile uint32_t big_value;
extern volatile uint16_t faults;
extern char skip_handler[], unreal[];
asm(".pushsection .text16, \"awx\"\n\t.code16\n"
    /* The faulting instructions are of 4 bytes. */
    "skip_handler: push %bp\n\tmov %sp, %bp\n\taddw $4, 2(%bp)\n\tincw faults\n\tpop %bp\n\tiret\n"
    "unreal:\n\t"
    "mov $0x180000, %ebx\n\t"
    "mov %es:(%ebx), %eax\n\t" /* 64 KiB so far: faults */
    "mov %cr0, %eax\n\tor $1, %al\n\tmov %eax, %cr0\n\t"
    "mov $0x10, %dx\n\tmov %dx, %es\n\t" /* SEL_DATA: 4 GiB */
    "and $0xfe, %al\n\tmov %eax, %cr0\n\t"
    "mov %es:(%ebx), %eax\n\tmov %eax, big_value\n\t"
    "xor %dx, %dx\n\tmov %dx, %es\n\t" /* a load in real mode makes a base and leaves the limit */
    "mov %es:(%ebx), %eax\n\tadd %eax, big_value\n\t"
    "mov $0x1000, %dx\n\tmov %dx, %es\n\t"
    "mov %es:-0x10000(%ebx), %eax\n\tadd %eax, big_value\n\t"
    "mov %fs:(%ebx), %eax\n\t" /* no other segment is wider */
    "mov %cr0, %eax\n\tor $1, %al\n\tmov %eax, %cr0\n\t"
    "mov $0x30, %dx\n\tmov %dx, %es\n\t" /* SEL_DATA16 */
    "and $0xfe, %al\n\tmov %eax, %cr0\n\t"
    "xor %dx, %dx\n\tmov %dx, %es\n\tret\n"
    "big_value: .long 0\nfaults: .word 0\n\t.code32\n\t.popsection");

static void set_vector(unsigned vector, void *handler)
{
	volatile uint32_t *vectors = NULL;

	asm("" : "+r"(vectors));
	vectors[vector] = (uint32_t)handler;
}

static void test_unreal(void)
{
	*(volatile uint32_t *)0x180000 = 0x01020304;
	set_vector(13, skip_handler);
	run_real((void (*)(void))unreal);
	check_equal(big_value, 3 * 0x01020304);
	check_equal(faults, 2);
}

/* ARPL and LAR are #UD in real mode. */
extern char real_arpl[], real_lar[];
asm(".pushsection .text16, \"awx\"\n\t.code16\n"
    "real_arpl: .byte 0x63, 0x84, 0x00, 0x00\n\tret\n" /* arpl %ax, 0(%si) */
    "real_lar: .byte 0x0f, 0x02, 0x40, 0x00\n\tret\n"  /* lar 0(%bx,%si), %ax */
    ".code32\n\t.popsection");

static void test_unknown_in_real_mode(void)
{
	faults = 0;
	set_vector(6, skip_handler);
	run_real((void (*)(void))real_arpl);
	run_real((void (*)(void))real_lar);
	check_equal(faults, 2);
}

/*
 * 16-bit code in protected mode: sizes are 16 bits unless a prefix says otherwise, addresses wrap
 * at 64 KiB, and a stack pointer's upper half is not the stack's. A 32-bit gate pushes 32 bits
 * there, too.
 */
void enter16(void);
void enter_beyond16(void);
asm(".pushsection .text16, \"awx\"\n\t.code16\n"
    "code16:\n\t"
    "mov %esp, %ecx\n\tpush %ax\n\tmov %esp, %edx\n\tsub %edx, %ecx\n\taddr32 mov %ecx, "
    "%fs:seen\n\t"
    "pushl %eax\n\tsub %esp, %edx\n\taddr32 mov %edx, %fs:seen + 4\n\tadd $6, %sp\n\t"
    "call 1f\n"
    "1:\taddr32 mov %esp, %fs:seen + 8\n\tpop %ax\n\t"
    "mov $0xffff, %bx\n\tmov $3, %si\n\tmovb (%bx,%si), %al\n\taddr32 mov %al, %fs:seen + 12\n\t"
    "int $0x44\n\tljmpl $0x08, $leave16\n"
    "beyond16: mov $0x10000, %ebx\n\taddr32 mov (%ebx), %al\n"
    "\t.code32\n\t.popsection\n\t"
    ".text\nenter16: push %ebp\n\tmov $0x30, %eax\n\tmov %eax, %ds\n\t"
    "mov %esp, %ebp\n\tmov %eax, %ss\n\tmov $0xabcd7000, %esp\n\tljmp $0x28, $code16\n"
    "leave16: mov $0x10, %eax\n\tmov %eax, %ds\n\tmov %eax, %ss\n\tmov %ebp, %esp\n\tpop "
    "%ebp\n\tret\n"
    "enter_beyond16: mov $0x30, %eax\n\tmov %eax, %ds\n\tljmp $0x28, $beyond16\n"
    "handler44: push %eax\n\tmov %esp, %fs:seen + 16\n\tpush %fs\n\tpop %ds\n\t"
    "movzwl %sp, %eax\n\tmov 8(%eax), %eax\n\tmov %eax, seen + 20\n\tmov $0x30, %eax\n\t"
    "mov %eax, %ds\n\tpop %eax\n\tiretl");
extern char handler44[];

static void test_16bit(void)
{
	*(volatile uint8_t *)2 = 0x5a;
	set_gate(0x44, SEL_CODE, handler44, 0x0e);
	asm volatile("call enter16" : : : "eax", "ebx", "ecx", "edx", "esi", "memory", "cc");
	check_equal(seen[0], 2);
	check_equal(seen[1], 4);
	check_equal(seen[2], 0xabcd7000 - 2);
	check_equal(seen[3] & 0xff, 0x5a);
	check_equal(seen[4], 0xabcd7000 - 16);
	check_equal(seen[5], SEL_CODE16);
	/* With a prefix addresses are of 32 bits, and beyond the limit. */
	check_raises(enter_beyond16, 13, 0);
	check_equal(last.cs, SEL_CODE16);
}

/* Long mode, entered and left; compatibility code has the segments that it came with. */
static uint64_t pml4[512] __attribute__((aligned(4096)));
static uint64_t pdpt[512] __attribute__((aligned(4096)));
static uint64_t directory[512] __attribute__((aligned(4096)));

static void set_pg(void)
{
	write_cr0(read_cr0() | CR0_PG);
}

static uint32_t efer(void)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(EFER));
	return low;
}

/* In 64-bit code: REX prefixes, and what 64 bits hold. */
extern char in_64bit[];
asm(".text\n.code64\nin_64bit:\n\t"
    "movabs $0x123456789abcdef0, %rax\n\tmov %rax, seen(%rip)\n\t"
    "mov %rax, %r8\n\tmov %r8, seen+8(%rip)\n\t"
    "inc %eax\n\tmov %rax, seen+16(%rip)\n\t" /* 32-bit results clear the upper half */
    "lretl\n.code32");

static void test_long_mode(void)
{
	pml4[0] = (uint32_t)pdpt | 3;
	pdpt[0] = (uint32_t)directory | 3;
	for (unsigned i = 0; i < 512; i++)
		directory[i] = i << 21 | 0x83;
	gdt[CODE64 / 8] = 0x00209b0000000000;
	write_cr3((uint32_t)pml4);
	wrmsr(EFER, LME);
	/* Not without PAE, and not from a code segment that would be 64-bit. */
	check_raises(set_pg, 13, 0);
	check_equal(efer(), LME);
	write_cr4(CR4_PAE);
	/* From here to the end an exception would find gates of the wrong size. */
	write_cr0(read_cr0() | CR0_PG);
	seen[6] = efer();
	asm volatile("lcall %0, $in_64bit" : : "i"(CODE64) : "eax", "memory", "cc");
	/* 0x40 is INC here, and no prefix. */
	asm volatile(".byte 0x40" : "=a"(seen[7]) : "a"(6) : "cc");
	write_cr0(read_cr0() & ~CR0_PG);
	check_equal(seen[6], LME | LMA);
	check_equal(efer(), LME);
	check_equal(seen[0], 0x9abcdef0);
	check_equal(seen[1], 0x12345678);
	check_equal(seen[3], 0x12345678);
	check_equal(seen[4], 0x9abcdef1);
	check_equal(seen[5], 0);
	check_equal(seen[7], 7);
	wrmsr(EFER, 0);
	write_cr4(0);
}

/* Nor with a TSS of a 286 (volume 2, MOV to control registers). */
static void test_long_mode_286(void)
{
	static uint16_t tss286[22];

	gdt[TSS286 / 8] = descriptor((uint32_t)tss286, 43, 0x81, 0);
	load_task(TSS286);
	wrmsr(EFER, LME);
	write_cr4(CR4_PAE);
	check_raises(set_pg, 13, 0);
	check_equal(efer(), LME);
	wrmsr(EFER, 0);
	write_cr4(0);
	gdt[SEL_TSS / 8] = descriptor((uint32_t)&tss, sizeof(tss) - 1, 0x89, 0);
	load_task(SEL_TSS);
}

void test_main(void)
{
	test_unreal();
	test_unknown_in_real_mode();
	test_16bit();
	test_long_mode();
	test_long_mode_286();
}
