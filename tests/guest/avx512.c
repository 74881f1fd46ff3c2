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
			     "vmovdqu64 %%zmm1, %%zmm2"
			     :
			     : "m"(ones));
		asm volatile("vpaddd %%ymm1, %%ymm1, %%ymm1\n\t"
			     "vpsubd %%ymm2, %%ymm1, %%ymm1\n\tpaddd %%xmm1, %%xmm2\n\t"
			     "psubd %%xmm1, %%xmm2"
			     :
			     :
			     : "memory");
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

static uint8_t from[8192] __attribute__((aligned(4096))), to[8192] __attribute__((aligned(4096)));

static void fill(unsigned seed)
{
	for (unsigned i = 0; i < 512; i++) {
		from[i] = i * 167 + seed;
		from[3840 + i] = i * 59 + seed * 3;
	}
}

static void check_copy(unsigned to_offset, unsigned from_offset, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		check_equal(to[to_offset + i], from[from_offset + i]);
		to[to_offset + i] = 0;
	}
}

/* Ways of addressing: near each other, by registers that translated code has elsewhere, relative to
 * RIP, and over a page's end. */
static void addresses(void)
{
	asm volatile("mov %0, %%r10\n\tmov %1, %%r11\n\tmov $1, %%r9\n\t"
		     "vmovdqu64 (%%r10), %%zmm31\n\tvmovdqu64 64(%%r10), %%zmm24\n\t"
		     "vmovdqu8 128(%%r10), %%ymm19\n\tvmovdqu16 160(%%r10), %%xmm8\n\t"
		     "vmovdqu64 176(%%r10), %%zmm7\n\tvmovdqu64 3(%%r10, %%r9, 8), %%zmm20\n\t"
		     "vmovdqu64 %%zmm31, (%%r11)\n\tvmovdqa32 %%zmm24, 64(%%r11)\n\t"
		     "vmovdqu8 %%ymm19, 128(%%r11)\n\tvmovdqu32 %%xmm8, 160(%%r11)\n\t"
		     "vmovdqu64 %%zmm7, 176(%%r11)\n\tvmovdqu64 %%zmm20, 300(%%r11)"
		     :
		     : "r"(from), "r"(to)
		     : "r9", "r10", "r11", "memory");
	check_copy(300, 11, 64);
	check_copy(0, 0, 240);
	asm volatile("vmovdqu64 from+128(%%rip), %%zmm17\n\tvmovdqu64 from+64(%%rip), %%zmm18\n\t"
		     "vmovdqu64 64(%%rax), %%zmm4\n\tvmovdqu64 from+4064(%%rip), %%zmm28\n\t"
		     "vmovdqu64 %%zmm17, to+4064(%%rip)\n\tvmovdqu64 %%zmm18, to+64(%%rip)\n\t"
		     "vmovdqu64 %%zmm4, 128(%%rcx)\n\tvmovdqu64 %%zmm28, 256(%%rcx)"
		     :
		     : "a"(from), "c"(to)
		     : "memory");
	check_copy(64, 64, 64);
	check_copy(128, 64, 64);
	check_copy(256, 4064, 64);
	check_copy(4064, 128, 64);
}

/* Masked accesses are not translated, what stands around them is: both see the same opmasks. */
static void masks_and_steps(uint64_t mask)
{
	uint64_t complement;

	asm volatile("kmovq %1, %%k3\n\tknotq %%k3, %%k4\n\tvmovdqu64 from+128(%%rip), %%zmm16\n\t"
		     "vmovdqu8 from(%%rip), %%zmm16%{%%k3%}\n\t"
		     "vmovdqu8 %%zmm16, to+4096(%%rip)%{%%k4%}\n\t"
		     "vmovdqu64 %%zmm16, to(%%rip)\n\tkmovq %%k4, %0"
		     : "=r"(complement)
		     : "r"(mask)
		     : "memory");
	check_equal(complement, ~mask);
	for (unsigned i = 0; i < 64; i++) {
		check_equal(to[i], from[i + (mask >> i & 1 ? 0 : 128)]);
		check_equal(to[4096 + i], mask >> i & 1 ? 0 : from[i + 128]);
		to[i] = to[4096 + i] = 0;
	}
}

/* One doubleword for all; a comparison's mask in a register that translated code has elsewhere. */
static void broadcasts(void)
{
	uint64_t all, mask;

	asm volatile("vpaddd from(%%rip)%{1to16%}, %%zmm18, %%zmm23\n\t"
		     "vpsubd %%zmm18, %%zmm23, %%zmm23\n\t"
		     "vpcmpeqd from(%%rip)%{1to16%}, %%zmm23, %%k1\n\tkmovw %%k1, %%r11d\n\t"
		     "kortestw %%k1, %%k1\n\tsetc %%r10b\n\tmovzbl %%r10b, %%r10d\n\t"
		     "mov %%r10, %0\n\tmov %%r11, %1"
		     : "=&a"(all), "=&c"(mask)
		     :
		     : "r10", "r11", "cc", "memory");
	check_equal(all, 1);
	check_equal(mask, 0xffff);
}

static void __attribute__((noinline)) zero_high_by_vex(void)
{
	uint32_t a = 0, c = 0;

	asm volatile("vpaddd %%ymm1, %%ymm1, %%ymm1\n\tcpuid" : "+a"(a), "+c"(c) : : "rbx", "rdx");
}

/* Regions with and without EVEX, and T0 between them. */
static void by_turns(void)
{
	uint32_t a = 0, c = 0;

	asm volatile("vmovdqu64 %2, %%zmm1\n\tcpuid" : "+a"(a), "+c"(c) : "m"(ones) : "rbx", "rdx");
	zero_high_by_vex();
	asm volatile("vmovdqu64 %%zmm1, %0" : "=m"(out));
	for (unsigned i = 0; i < 64; i++)
		check_equal(out[i], i >= 32 ? 0 : i % 4 ? 0xff : 0xfe);
}

/* XRSTOR leaves nothing in use above YMM, and ZMM16 0; but K5 is. */
static void restored_between(uint64_t k)
{
	static uint8_t image[4096] __attribute__((aligned(64)));
	uint64_t k_after;

	asm volatile("kmovq %3, %%k5\n\tvmovdqu64 from(%%rip), %%ymm16\n\txrstor %2\n\t"
		     "vmovdqu64 %%ymm16, %0\n\tkmovq %%k5, %1"
		     : "=m"(out), "=r"(k_after)
		     : "m"(image), "r"(k), "a"(3 << 6), "d"(0));
	check_equal(k_after, k);
	for (unsigned i = 0; i < 32; i++)
		check_equal(out[i], 0);
}

/* The same of 256 bits, while nothing above YMM is in use. */
static void short_steps(uint32_t mask)
{
	asm volatile("kmovd %1, %%k3\n\tvmovdqu64 from+64(%%rip), %%ymm18\n\t"
		     "vmovdqu8 from(%%rip), %%ymm18%{%%k3%}\n\tvmovdqu64 %%ymm18, %0"
		     : "=m"(out)
		     : "r"(mask)
		     : "memory");
	for (unsigned i = 0; i < 32; i++)
		check_equal(out[i], from[i + (mask >> i & 1 ? 0 : 64)]);
}

static void translated(void)
{
	for (unsigned i = 0; i < 50; i++)
		zero_high_by_vex();
	for (unsigned i = 0; i < 300; i++) {
		fill(i);
		restored_between(~0x123456789abcdef1 * (i + 1));
		short_steps(0x12345679 * (i + 1));
		by_turns(); /* at first on T0, then not */
		restored_between(~0x123456789abcdef1 * (i + 1));
		masks_and_steps(0x123456789abcdef1 * (i + 1));
		addresses();
		broadcasts();
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
	translated();
	enabling();
}
