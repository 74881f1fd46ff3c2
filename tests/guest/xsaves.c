/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SDM volume 1, 13.11 and 13.12: XSAVES and XRSTORS, which are CPL 0's and know the compacted form
 * only; IA32_XSS (13.3), of whose components there is none.
 */
#include "guest.h"

#include <cpuid.h>

#define CR4_OSXSAVE	(1u << 18)
#define IA32_XSS	0xda0
#define BITS		7 /* x87, SSE, AVX */
#define XCOMP_COMPACTED (1ull << 63)
#define XSTATE_BV	512
#define XCOMP_BV	520
#define XSAVE_RESERVED	528
#define COMPACTED_AVX	576

static uint8_t area[4096] __attribute__((aligned(64)));
static uint8_t in[32], out[32];

static uint64_t *word(unsigned offset)
{
	return (uint64_t *)(area + offset);
}

#define on_area(name, raised, code)                                                      \
	do {                                                                             \
		try_asm(name " %0", : "+m"(area) : "a"(BITS), "d"(0) : "r11", "memory"); \
		check_equal(last.vector, raised);                                        \
		if ((raised) == 13)                                                      \
			check_equal(last.error, code);                                   \
	} while (0)

static void load_ymm(void)
{
	asm volatile("vmovdqu %0, %%ymm3" : : "m"(in));
}

static void check_ymm(uint8_t first, uint8_t step)
{
	asm volatile("vmovdqu %%ymm3, %0" : "=m"(out));
	for (unsigned i = 0; i < 32; i++)
		check_equal(out[i], (uint8_t)(first + step * i));
}

static void saved_and_restored(void)
{
	load_ymm();
	on_area("xsaves64", 256, 0);
	check_equal(*word(XCOMP_BV), XCOMP_COMPACTED | BITS);
	check_equal(*word(XSTATE_BV) & 6, 6);
	/* The upper half of YMM3, where the compacted form has it. */
	for (unsigned i = 0; i < 16; i++)
		check_equal(area[COMPACTED_AVX + 3 * 16 + i], in[16 + i]);
	asm volatile("vzeroall");
	on_area("xrstors64", 256, 0);
	check_ymm(1, 1);
	/* What the area does not have becomes what it is at first. */
	*word(XSTATE_BV) = 0;
	on_area("xrstors64", 256, 0);
	check_ymm(0, 0);
}

static void refused(void)
{
	on_area("xsave64", 256, 0);
	for (unsigned i = 0; i < 7; i++)
		word(XCOMP_BV)[i] = 0;
	on_area("xrstor64", 256, 0);
	on_area("xrstors64", 13, 0); /* the standard form */
	on_area("xsaves64", 256, 0);
	*word(XCOMP_BV) |= 1ull << 8; /* a component that XCR0 has not */
	on_area("xrstors64", 13, 0);
	*word(XCOMP_BV) = XCOMP_COMPACTED | 3;
	*word(XSTATE_BV) = BITS; /* in the area, by its own word, but not in the form */
	on_area("xrstors64", 13, 0);
	*word(XCOMP_BV) = XCOMP_COMPACTED | BITS;
	*word(XSAVE_RESERVED) = 1;
	on_area("xrstors64", 13, 0);
	*word(XSAVE_RESERVED) = 0;
	on_area("xrstors64", 256, 0);
}

static void xsave_at_3(void)
{
	asm volatile("xsaves64 %0" : "+m"(area) : "a"(BITS), "d"(0));
}

static void xrstor_at_3(void)
{
	asm volatile("xrstors64 %0" : "+m"(area) : "a"(BITS), "d"(0));
}

static void privilege(void)
{
	allow_user();
	call_user64(xsave_at_3);
	check_equal(last.vector, 13);
	call_user64(xrstor_at_3);
	check_equal(last.vector, 13);
}

static void msr(void)
{
	check_equal(rdmsr(IA32_XSS), 0);
	wrmsr(IA32_XSS, 0);
	try_asm("wrmsr", : : "c"(IA32_XSS), "a"(1 << 8), "d"(0) : "r11", "memory");
	check_equal(last.vector, 13);
	check_equal(rdmsr(IA32_XSS), 0);
}

void test_main(void)
{
	uint32_t a, b, c, d;

	__cpuid_count(0xd, 1, a, b, c, d);
	if (!(a >> 3 & 1))
		return;
	check_equal(c | d, 0);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	asm volatile("xsetbv" : : "c"(0), "a"(BITS), "d"(0));
	__cpuid_count(0xd, 1, a, b, c, d);
	check_equal(b, COMPACTED_AVX + 256);
	for (unsigned i = 0; i < 32; i++)
		in[i] = 1 + i;
	saved_and_restored();
	refused();
	msr();
	privilege();
}
