/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real mode: interrupts and exceptions through the vectors, IRET, far branches (SDM volume
 * 3, 21.1). */
#include "guest32.h"

/* What real_handler found on its stack and in its flags. */
extern volatile uint16_t real_ip, real_cs, real_flags, real_inner_flags, real_after, real_sp,
	real_count;
extern volatile uint16_t real_skip; /* added to the return address */
extern char real_handler[];

asm(".pushsection .text16, \"awx\"\n\t.code16\n"
    "real_handler:\n\t"
    "push %bp\n\tpush %ax\n\tmov %sp, %bp\n\t"
    "mov 4(%bp), %ax\n\tmov %ax, real_ip\n\t"
    "mov 6(%bp), %ax\n\tmov %ax, real_cs\n\t"
    "mov 8(%bp), %ax\n\tmov %ax, real_flags\n\t"
    "pushf\n\tpopw real_inner_flags\n\tincw real_count\n\t"
    "mov real_skip, %ax\n\tadd %ax, 4(%bp)\n\t"
    "pop %ax\n\tpop %bp\n\tiret\n"
    "real_ip: .word 0\nreal_cs: .word 0\nreal_flags: .word 0\nreal_inner_flags: .word 0\n"
    "real_after: .word 0\nreal_sp: .word 0\nreal_count: .word 0\nreal_skip: .word 0\n\t"
    ".code32\n\t.popsection");

#define REAL_CODE(name, text)                                               \
	extern char name[], name##_at[];                                    \
	asm(".pushsection .text16, \"awx\"\n\t.code16\n" #name ":\n\t" text \
	    "\n\tret\n\t.code32\n\t.popsection")

REAL_CODE(real_int,
	  "pushf\n\tpop %ax\n\tor $0x300, %ax\n\tand $0xfeff, %ax\n\tor $1, %ax\n\t"
	  "push %ax\n\tpopf\n\tint $0x21\nreal_int_at:\n\tpushf\n\tpopw real_after\n\tcli");
REAL_CODE(real_divide, "xor %cx, %cx\nreal_divide_at:\n\tdiv %cl\n\tmov %sp, real_sp");
REAL_CODE(real_step,
	  "pushf\n\tpop %ax\n\tor $0x100, %ax\n\tpush %ax\n\tpopf\n\tnop\nreal_step_at:\n\t"
	  "pushf\n\tpop %ax\n\tand $0xfeff, %ax\n\tpush %ax\n\tpopf\n\tnop");
REAL_CODE(real_far, "lcall $0x10, $real_far_target - 0x100\n\tmov %sp, real_sp\n\t.subsection 1\n"
		    "real_far_target:\n\tmov %cs, real_cs\n\tpop %ax\n\tmov %ax, real_ip\n\tpush "
		    "%ax\n\tlret\n\t"
		    ".previous\nreal_far_at:");
REAL_CODE(real_iret32,
	  "pushfl\n\tpushl $0\n\tpushl $real_iret32_at\n\tiretl\n\tud2\nreal_iret32_at:\n\t"
	  "mov %sp, real_sp");
REAL_CODE(real_wide,
	  "mov $0x12345678, %eax\n\tpush %eax\n\tpop %ebx\n\tmov %ebx, real_ip\nreal_wide_at:");

static void vector_to_handler(unsigned vector)
{
	volatile uint32_t *vectors = NULL;

	asm("" : "+r"(vectors));
	vectors[vector] = (uint32_t)real_handler;
}

static void run_code(void *code, uint16_t skip)
{
	real_skip = skip;
	real_count = 0;
	run_real((void (*)(void))code);
}

void test_main(void)
{
	vector_to_handler(0);
	vector_to_handler(1);
	vector_to_handler(0x21);

	run_code(real_int, 0);
	check_equal(real_count, 1);
	check_equal(real_ip, (uint16_t)(uint32_t)real_int_at);
	check_equal(real_cs, 0);
	check_equal(real_flags & (EFLAGS_IF | EFLAGS_CF), EFLAGS_IF | EFLAGS_CF);
	check_equal(real_inner_flags & EFLAGS_IF, 0);
	check_equal(real_after & (EFLAGS_IF | EFLAGS_CF), EFLAGS_IF | EFLAGS_CF);

	/* A fault's address is the instruction's own, and there is no error code. */
	run_code(real_divide, 2);
	check_equal(real_count, 1);
	check_equal(real_ip, (uint16_t)(uint32_t)real_divide_at);
	check_equal(real_sp, 0x7000 - 2);

	/* TF traps after the instruction that follows POPF, for each until it is cleared. */
	run_code(real_step, 0);
	check_equal(real_count, 6);
	check_equal(real_inner_flags & EFLAGS_TF, 0);

	run_code(real_far, 0);
	check_equal(real_cs, 0x10);
	check_equal(real_sp, 0x7000 - 2);

	run_code(real_iret32, 0);
	check_equal(real_sp, 0x7000 - 2);
	run_code(real_wide, 0);
	check_equal(real_ip, 0x5678);
}
