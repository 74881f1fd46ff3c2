/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 3, 6.15, Interrupt 8: an exception while a double fault is delivered shuts the
 * processor down. */
#include "guest.h"

static void set_idt_limit(uint16_t limit)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = {limit, (uint64_t)idt};

	asm volatile("lidt %0" : : "m"(table));
}

/* No handler at all: #UD, #GP for its gate, #DF for that one's, and the end. */
static void no_handlers(void)
{
	set_idt_limit(0);
	asm volatile("ud2");
}

/* The double fault's gate is the one that is absent. */
static void no_double_fault(void)
{
	idt[13][0] &= ~(1ull << 47);
	idt[8][0] &= ~(1ull << 47);
	asm volatile("mov %0, %%ds" : : "r"(0x1000));
}

/* A page fault by pushing the double fault's frame. */
static void no_stack(void)
{
	*(uint64_t *)&tss[9] = WINDOW + 4096;
	idt[14][0] &= ~(1ull << 47);
	asm volatile("mov %0, %%rax\n\tmov (%%rax), %%rax" : : "r"(WINDOW) : "rax");
}

/* Nothing is mapped any more. */
static void no_pages(void)
{
	static uint64_t nothing[512] __attribute__((aligned(4096)));

	write_cr3((uint64_t)nothing);
}

void test_main(void)
{
	static void (*const ways[])(void) = {no_handlers, no_double_fault, no_stack, no_pages};
	unsigned n = inb(0xfc);

	if (n == sizeof(ways) / sizeof(ways[0]))
		return;
	window_entry(0);
	outb(0xfc, 1);
	ways[n]();
}
