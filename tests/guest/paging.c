/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 3, 4.6 (access rights), 4.7 (page-fault exceptions), 4.8 (accessed and dirty flags).
 */
#include "guest.h"

static uint8_t page[4096] __attribute__((aligned(4096)));

#define CR0_WP	 (1ull << 16)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define NONE	 256

enum access { READ, WRITE, FETCH };

static const struct {
	uint64_t rights; /* of the last-level entry, beside its address */
	bool user, ac, wp, smep, smap;
	enum access access;
	unsigned error; /* of #PF; NONE: no fault */
} cases[] = {
	{PTE_P | PTE_W, false, false, true, false, false, READ, NONE},
	{PTE_P | PTE_W, false, false, true, false, false, WRITE, NONE},
	{PTE_P, false, false, true, false, false, WRITE, 3},
	{PTE_P, false, false, false, false, false, WRITE, NONE},
	{0, false, false, true, false, false, READ, 0},
	{0, false, false, true, false, false, WRITE, 2},
	{0, false, false, true, false, false, FETCH, 16},
	{PTE_P | PTE_NX, false, false, true, false, false, READ, NONE},
	{PTE_P | PTE_NX, false, false, true, false, false, FETCH, 17},
	{PTE_P, false, false, true, false, false, FETCH, NONE},
	{PTE_P | PTE_U, false, false, true, true, false, FETCH, 17},
	{PTE_P | PTE_U, false, false, true, false, false, FETCH, NONE},
	{PTE_P | PTE_U, false, false, true, false, true, READ, 1},
	{PTE_P | PTE_U | PTE_W, false, false, true, false, true, WRITE, 3},
	{PTE_P | PTE_U, false, true, true, false, true, READ, NONE},
	{PTE_P | PTE_U | PTE_W, false, true, true, false, true, WRITE, NONE},
	{PTE_P | PTE_U, false, false, true, false, false, READ, NONE},
	/* reserved bits: a physical address beyond what CPUID offers */
	{PTE_P | PTE_W | 1ull << 45, false, false, true, false, false, READ, 9},
	{PTE_P | PTE_W | 1ull << 45, false, false, true, false, false, WRITE, 11},
};

static void set_ac(bool ac)
{
	uint64_t flags;

	asm volatile("pushfq\n\tpop %0" : "=r"(flags));
	flags = ac ? flags | 1 << 18 : flags & ~(1ull << 18);
	asm volatile("push %0\n\tpopfq" : : "r"(flags) : "cc");
}

static void do_access(enum access access, uint64_t at)
{
	if (access == READ)
		try_asm("mov (%0), %%rax", : : "r"(at) : "rax", "r11", "memory");
	else if (access == WRITE)
		try_asm("movq $0x90c3, (%0)", : : "r"(at) : "r11", "memory");
	else
		/* A faulting call leaves its return address on the stack. */
		try_asm("mov %%rsp, %%rbx\n\tcall *%0", "\n\tmov %%rbx, %%rsp"
			:
			: "r"(at)
			: "rbx", "r11", "memory");
}

static void one_case(unsigned n)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();
	volatile uint64_t *entry = window_entry(n);
	uint64_t at = WINDOW + 4096 * n;

	page[0] = 0xc3; /* ret */
	*entry = (uint64_t)page | cases[n].rights;
	write_cr0(cases[n].wp ? cr0 | CR0_WP : cr0 & ~CR0_WP);
	write_cr4(cr4 | (cases[n].smep ? CR4_SMEP : 0) | (cases[n].smap ? CR4_SMAP : 0));
	set_ac(cases[n].ac);
	do_access(cases[n].access, at);
	set_ac(false);
	write_cr0(cr0);
	write_cr4(cr4);
	if (cases[n].error == NONE) {
		check_equal(last.vector, NONE);
		check(*entry & PTE_A);
		check_equal(!!(*entry & PTE_D), cases[n].access == WRITE);
	} else {
		check_equal(last.vector, 14);
		check_equal(last.error, cases[n].error);
		check_equal(last_cr2, at);
		check_equal(*entry & (PTE_A | PTE_D), 0);
	}
}

/* A clean page that was read first must still have D set by the first write. */
static void dirty_after_read(void)
{
	volatile uint64_t *entry = window_entry(100);
	volatile uint64_t *p = (uint64_t *)(WINDOW + 100 * 4096);

	*entry = (uint64_t)page | PTE_P | PTE_W;
	(void)*p;
	check_equal(*entry & (PTE_A | PTE_D), PTE_A);
	*p = 0xc3;
	check_equal(*entry & (PTE_A | PTE_D), PTE_A | PTE_D);
}

/* A stale translation may be used until INVLPG, and not after it. */
static void invalidate(void)
{
	volatile uint64_t *entry = window_entry(101);
	volatile uint64_t *p = (uint64_t *)(WINDOW + 101 * 4096);
	static uint8_t other[4096] __attribute__((aligned(4096)));

	*entry = (uint64_t)page | PTE_P | PTE_W;
	*p = 1;
	other[0] = 2;
	*entry = (uint64_t)other | PTE_P | PTE_W;
	invlpg((uint64_t)p);
	check_equal(*p, 2);
	*entry = 0;
	invlpg((uint64_t)p);
	do_access(READ, (uint64_t)p);
	check_equal(last.vector, 14);
}

static bool has_1gib_pages(void)
{
	uint32_t a = 0x80000001, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return d >> 26 & 1;
}

/* INVLPG anywhere in a large page drops all of it, whatever addresses were translated before. */
static void invalidate_large(unsigned level)
{
	static uint64_t directory[512] __attribute__((aligned(4096)));
	uint64_t *pdpt = (uint64_t *)(*(uint64_t *)(read_cr3() & ~0xfffull) & ~0xfffull);
	volatile uint64_t *entry = level == 2 ? &pdpt[2] : &directory[0];
	uint64_t at = 2 * WINDOW, old = 0x1000000, new = level == 2 ? WINDOW : 0x1400000;
	volatile uint64_t *first = (uint64_t *)(at + (level == 2 ? old : 0) + 0x5000);

	pdpt[2] = (uint64_t)directory | PTE_P | PTE_W;
	*entry = (level == 2 ? 0 : old) | PTE_P | PTE_W | PTE_PS;
	invlpg(at);
	*(uint64_t *)(old + 0x5000) = 1;
	check_equal(*first, 1);
	*entry = new | PTE_P | PTE_W | PTE_PS;
	invlpg(at + (level == 2 ? 0x7000000 : 0x7000));
	check(*first != 1);
	*entry = 0;
	invlpg(at);
}

/* CMPXCHG16B on device memory: there is nothing to compare, and nothing to break. */
static void locked_on_device(void)
{
	volatile uint64_t *entry = window_entry(104);

	/* KVM has no CMPXCHG16B on device memory at all. */
	if (is_kvm())
		return;
	*entry = 0xd0000000 | PTE_P | PTE_W;
	try_asm("lock cmpxchg16b (%0)",
		:
		: "r"(WINDOW + 104 * 4096)
		: "rax", "rbx", "rcx", "rdx", "r11", "memory");
	check_equal(last.vector, NONE);
}

/* An access over a page's end faults on the second page, changing nothing in the first. */
static void crossing(void)
{
	volatile uint64_t *entry = window_entry(102), *second = window_entry(103);
	uint64_t at = WINDOW + 103 * 4096 - 4;

	*entry = (uint64_t)page | PTE_P | PTE_W;
	*second = 0;
	page[4092] = 0x11;
	do_access(WRITE, at);
	check_equal(last.vector, 14);
	check_equal(last_cr2, WINDOW + 103 * 4096);
	/* The emulator writes page by page. */
	if (!is_emulated())
		check_equal(page[4092], 0x11);
}

void test_main(void)
{
	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++)
		one_case(n);
	dirty_after_read();
	invalidate();
	invalidate_large(1);
	if (has_1gib_pages())
		invalidate_large(2);
	crossing();
	locked_on_device();
	do_access(READ, 0x0000800000000000);
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
}
