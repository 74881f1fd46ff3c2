/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As shutdown.c, in real and in 32-bit protected mode, and with a double fault's task (SDM volume
 * 3, 6.15). */
#include "guest32.h"

enum { TASK = SEL_FREE };

static struct tss32 handler __attribute__((aligned(128)));

/* Real mode: no vector for #GP and #DF in the table. */
extern char real_short_table[];
asm(".pushsection .text16, \"awx\"\n\t.code16\n"
    "real_short_table: lidt real_short_idtr\n\tint $0x40\n\tret\n"
    "real_short_idtr: .word 0x1f\n\t.long 0\n\t.code32\n\t.popsection");

static void in_real_mode(void)
{
	run_real((void (*)(void))real_short_table);
}

static void no_gates(void)
{
	for (unsigned i = 0; i < 32; i++)
		idt[i] = 0;
	asm volatile("ud2");
}

/* The stack is gone: #SS cannot be pushed, nor can #DF. */
static void no_stack(void)
{
	gdt[SEL_FREE / 8 + 1] = descriptor(0, 0xfff, 0x93, 4);
	asm volatile("mov %0, %%ss\n\tpush %%eax" : : "r"(SEL_FREE + 8));
}

/* The double fault's task has no code. */
static void bad_task(void)
{
	gdt[TASK / 8] = descriptor((uint32_t)&handler, 0x67, 0x89, 0);
	idt[8] = (uint64_t)0x85 << 40 | TASK << 16;
	idt[13] = 0;
	asm volatile("mov %0, %%ds" : : "r"(0x1000));
}

/* With a task of its own #DF is taken though the stack is gone: the one way that does not shut
 * down. */
static void good_task(void)
{
	handler = (struct tss32){.eip = (uint32_t)exception_stubs + 16 * 8,
				 .eflags = 2,
				 .esp = (uint32_t)ring0_top,
				 .cs = SEL_CODE,
				 .ss = SEL_DATA,
				 .ds = SEL_DATA,
				 .es = SEL_DATA};
	gdt[TASK / 8] = descriptor((uint32_t)&handler, 0x67, 0x89, 0);
	idt[8] = (uint64_t)0x85 << 40 | TASK << 16;
	no_stack();
}

void test_main(void)
{
	static void (*const ways[])(void) = {in_real_mode, no_gates, no_stack, bad_task};
	unsigned n = inb(0xfc);

	if (n < sizeof(ways) / sizeof(ways[0])) {
		outb(0xfc, 1);
		ways[n]();
		return;
	}
	check_raises(good_task, 8, 0);
	check_equal(handler.link, SEL_TSS);
}
