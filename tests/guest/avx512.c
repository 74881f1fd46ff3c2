/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AVX-512 under XCR0 and paging, in loops that are long enough to be translated. */
#include "guest.h"

enum { AVX512F = 1 << 16, AVX512VL = 1u << 31, XCR0_ALL = 0xe7, LOOPS = 3000 };
enum { CR4_OSFXSR = 1 << 9, CR4_OSXMMEXCPT = 1 << 10, CR4_OSXSAVE = 1 << 18 };
enum { UD = 6, GP = 13, NONE = 256 };

static uint8_t ones[64] __attribute__((aligned(64))), out[64] __attribute__((aligned(64)));

static bool has_avx512(void)
{
	uint32_t a = 7, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (b & AVX512F) && (b & AVX512VL);
}

static void set_xcr0(uint32_t v)
{
	asm volatile("xsetbv" : : "a"(v), "c"(0), "d"(0));
}

/* Whether bytes from..64 of `out` are `v`, and those before `low`. */
static void check_out(unsigned from, uint8_t low, uint8_t high)
{
	for (unsigned i = 0; i < 64; i++)
		check_equal(out[i], i < from ? low : high);
}

/* VEX zeroes what is above YMM, legacy SSE leaves it; and ZMM16 and up are in nobody's way. */
static void upper_halves(void)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		asm volatile("vmovdqu64 %0, %%zmm1\n\tvmovdqu64 %%zmm1, %%zmm17\n\t"
			     "vmovdqu64 %%zmm1, %%zmm2" : : "m"(ones));
		asm volatile("vpaddd %%ymm1, %%ymm1, %%ymm1\n\t"
			     "vpsubd %%ymm2, %%ymm1, %%ymm1\n\tpaddd %%xmm1, %%xmm2\n\t"
			     "psubd %%xmm1, %%xmm2" : : : "memory");
		asm volatile("vmovdqu64 %%zmm1, %0" : "=m"(out));
		check_out(32, 0xff, 0);
		asm volatile("vmovdqu64 %%zmm2, %0" : "=m"(out));
		check_out(0, 0, 0xff);
		asm volatile("vzeroupper\n\tvmovdqu64 %%zmm2, %0" : "=m"(out));
		check_out(16, 0xff, 0);
		asm volatile("vmovdqu64 %%zmm17, %0" : "=m"(out));
		check_out(0, 0, 0xff);
	}
}

/* As string functions do it: compare, move the mask to a register, count. */
static void masks(void)
{
	for (unsigned i = 0; i < LOOPS; i++) {
		uint64_t mask, n = i % 64;

		for (unsigned j = 0; j < 64; j++)
			out[j] = j == n || j > 60 ? 0 : 1 + j;
		asm volatile("vptestnmb %1, %%zmm18, %%k1\n\tvmovdqu64 %1, %%zmm16\n\t"
			     "vptestnmb %%zmm16, %%zmm16, %%k1\n\tkmovq %%k1, %0\n\t"
			     "tzcntq %0, %0"
			     : "=r"(mask)
			     : "m"(out)
			     : "cc");
		check_equal(mask, n > 61 ? 61 : n);
	}
}

static unsigned try_evex(void)
{
	try_asm("vpaddd %%zmm1, %%zmm1, %%zmm1", : : : "r11");
	return last.vector;
}

static void enabling(void)
{
	static const uint32_t invalid[] = {0x27, 0x67, 0xa7, 0xe3, 0xe0, 0x100e7};

	for (unsigned i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		try_asm("xsetbv", : : "a"(invalid[i]), "c"(0), "d"(0) : "r11");
		check_equal(last.vector, GP);
	}
	set_xcr0(7);
	check_equal(try_evex(), UD);
	set_xcr0(XCR0_ALL);
	check_equal(try_evex(), NONE);
}

void test_main(void)
{
	if (!has_avx512() || is_emulated())
		return;
	for (unsigned i = 0; i < 64; i++)
		ones[i] = 0xff;
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
	set_xcr0(XCR0_ALL);
	upper_halves();
	masks();
	enabling();
}
