/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As models.c, what there is in 64-bit mode only. */
#include "guest.h"

static uint64_t operand[2] __attribute__((aligned(16)));

static uint32_t extended(unsigned reg)
{
	uint32_t a = 0x80000001, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return reg == 2 ? c : d;
}

static uint32_t feature(uint32_t leaf, unsigned reg)
{
	uint32_t max = 0, a = leaf, b, c = 0, d;

	asm volatile("cpuid" : "+a"(max) : : "rbx", "rcx", "rdx");
	if (max < leaf)
		return 0;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return reg == 1 ? b : c;
}

#define check_there(text, there)                                                       \
	do {                                                                           \
		try_asm(text, : : "D"(operand) : "rax", "rcx", "r11", "memory", "cc"); \
		check_equal(last.vector == 6, !(there));                               \
	} while (0)

/* A 1 GiB page where there is none has a reserved bit set. */
static void test_large_page(void)
{
	uint64_t *pdpt, saved;

	window_entry(0);
	pdpt = (uint64_t *)(*(uint64_t *)(read_cr3() & ~0xfffull) & ~0xfffull);
	saved = pdpt[1];
	pdpt[1] = PTE_P | PTE_W | PTE_PS;
	write_cr3(read_cr3());
	try_asm("mov (%0), %%eax", : : "r"(WINDOW + 0x100000) : "rax", "r11", "memory");
	if (extended(3) >> 26 & 1) {
		check_equal(last.vector, 256);
	} else {
		check_equal(last.vector, 14);
		check_equal(last.error, 9);
	}
	pdpt[1] = saved;
	write_cr3(read_cr3());
}

void test_main(void)
{
	uint64_t lstar;

	/* It lacks CMPXCHG16B and others that its CPUID has. */
	if (is_emulated())
		return;
	check_there("lahf", extended(2) & 1);
	check_there("cmpxchg16b (%%rdi)", feature(1, 2) >> 13 & 1);
	if (feature(7, 1) & 1)
		write_cr4(read_cr4() | 1 << 16);
	check_there("rdfsbase %%rax", feature(7, 1) & 1);
	if (!(extended(3) >> 11 & 1)) {
		check_there("syscall", false);
	} else {
		lstar = (uint64_t) && here;
		wrmsr(0xc0000082, lstar);
		wrmsr(0xc0000081, (uint64_t)SEL_CODE << 32);
		asm goto volatile("syscall" : : : "rcx", "r11", "memory" : here);
		check(false);
	here:;
	}
	test_large_page();
}
