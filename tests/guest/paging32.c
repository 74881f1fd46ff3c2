/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 3, 4.3 (32-bit paging, PSE, PSE-36), 4.4 (PAE, the PDPTE registers), 4.7, 4.8. */
#include "guest32.h"

#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)
enum { CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX   (1ull << 63)
#define NONE 256

/* The window under test; the first 4 MiB (PAE: GiB) are mapped to themselves. */
#define WINDOW 0x40000000u

static uint32_t directory[1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));
static uint64_t pdpt[4] __attribute__((aligned(32)));
static uint64_t pae_directory[2][512] __attribute__((aligned(4096)));
static uint64_t pae_table[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));

static uint32_t at;

static void read_at(void)
{
	asm volatile("movl (%0), %%eax" : : "r"(at) : "eax", "memory");
}

static void write_at(void)
{
	asm volatile("movl $0x90c3, (%0)" : : "r"(at) : "memory");
}

static void call_at(void)
{
	asm volatile("call *%0" : : "r"(at) : "memory");
}

static void user_reads(void)
{
	asm volatile("movl (%0), %%eax\n\tint3" : : "r"(at) : "eax", "memory");
}

static void read_as_user(void)
{
	run_user(user_reads);
}

static const struct {
	uint32_t pde, pte; /* rights */
	void (*access)(void);
	unsigned error;
} cases32[] = {
	{P | W, P | W, write_at, NONE}, {P | W, P | W, read_at, NONE}, {P | W, P, write_at, 3},
	{P, P | W, write_at, 3},	{P | W, 0, read_at, 0},	       {0, P | W, write_at, 2},
	{P | U, P, read_as_user, 5},	{P, P | U, read_as_user, 5},
};

static void check_fault(void (*access)(void), unsigned error)
{
	run(access);
	check_equal(last_vector, error == NONE ? NONE : 14);
	if (error == NONE)
		return;
	check_equal(last.error, error);
	check_equal(last_cr2, at);
}

static void paging_32bit(void)
{
	at = WINDOW + 8;
	directory[0] = P | W | U | PS;
	write_cr4(CR4_PSE);
	write_cr3((uint32_t)directory);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
	for (unsigned i = 0; i < sizeof(cases32) / sizeof(cases32[0]); i++) {
		directory[WINDOW >> 22] = (uint32_t)table | cases32[i].pde;
		table[0] = (uint32_t)page | cases32[i].pte;
		write_cr3((uint32_t)directory);
		check_fault(cases32[i].access, cases32[i].error);
		check_equal(table[0] & (A | D), cases32[i].error != NONE	? 0
						: cases32[i].access == write_at ? A | D
										: A);
		check_equal(!!(directory[WINDOW >> 22] & A), cases32[i].error == NONE);
	}
}

/* A 4 MiB page; its address' bits 39..32 in bits 20..13; bit 21 reserved; without PSE a table. */
static void large_pages(void)
{
	directory[WINDOW >> 22] = P | W | PS;
	at = WINDOW + (uint32_t)page;
	page[0] = 0x5a;
	write_cr3((uint32_t)directory);
	check_equal(*(volatile uint8_t *)at, 0x5a);
	check_equal(directory[WINDOW >> 22] & (A | D), A);
	*(volatile uint8_t *)at = 0xa5;
	check_equal(page[0], 0xa5);
	check_equal(directory[WINDOW >> 22] & (A | D), A | D);
	/* Nothing answers at 4 GiB: it is not page[0]. */
	directory[WINDOW >> 22] = P | W | PS | 1 << 13;
	write_cr3((uint32_t)directory);
	check(*(volatile uint8_t *)at != 0xa5);
	directory[WINDOW >> 22] = P | W | PS | 1 << 21;
	write_cr3((uint32_t)directory);
	check_fault(read_at, 9);
	for (unsigned i = 0; i < 1024; i++)
		table[i] = i << 12 | P | W | U;
	directory[0] = (uint32_t)table | P | W | U;
	directory[WINDOW >> 22] = (uint32_t)table | P | W | PS;
	write_cr3((uint32_t)directory);
	write_cr4(0);
	check_equal(*(volatile uint8_t *)at, 0xa5);
	write_cr0(read_cr0() & ~CR0_PG);
}

static void load_cr3(void)
{
	write_cr3((uint32_t)pdpt);
}

static const struct {
	uint64_t pde, pte;
	void (*access)(void);
	unsigned error;
} cases_pae[] = {
	{P | W, P | W, write_at, NONE},	     {P | W, P, write_at, 3},
	{P | W, P | W | NX, call_at, 17},    {P | W | NX, P | W, call_at, 17},
	{P | W, P | W | NX, read_at, NONE},  {P | W, 0, call_at, 16},
	{P | U, P, read_as_user, 5},	     {P | W, P | 1ull << 52, read_at, 9},
	{P | W | 1ull << 45, P, read_at, 9},
};

static void pae(void)
{
	page[0] = 0xc3;
	pdpt[0] = (uint32_t)pae_directory[0] | P;
	pdpt[1] = (uint32_t)pae_directory[1] | P;
	for (unsigned i = 0; i < 512; i++)
		pae_directory[0][i] = i << 21 | P | W | U | PS;
	write_cr4(CR4_PAE);
	wrmsr(0xc0000080, 1 << 11);
	write_cr3((uint32_t)pdpt);
	write_cr0(read_cr0() | CR0_PG);
	at = WINDOW;
	for (unsigned i = 0; i < sizeof(cases_pae) / sizeof(cases_pae[0]); i++) {
		pae_directory[1][0] = (uint32_t)pae_table | cases_pae[i].pde;
		pae_table[0] = (uint32_t)page | cases_pae[i].pte;
		page[0] = 0xc3;
		write_cr3((uint32_t)pdpt);
		check_fault(cases_pae[i].access, cases_pae[i].error);
	}
	/* Without NXE, NX is a reserved bit, and a fetch has no bit of its own. */
	wrmsr(0xc0000080, 0);
	pae_directory[1][0] = (uint32_t)pae_table | P | W;
	pae_table[0] = (uint32_t)page | P | NX;
	write_cr3((uint32_t)pdpt);
	check_fault(call_at, 9);
	wrmsr(0xc0000080, 1 << 11);
}

/* 4.4.1: the PDPTEs are read with CR3; reserved bits in a present one make #GP(0). */
static void pdpte_registers(void)
{
	pae_table[0] = (uint32_t)page | P | W;
	write_cr3((uint32_t)pdpt);
	page[0] = 0x77;
	pdpt[1] = 0;
	asm volatile("invlpg (%0)" : : "r"(at) : "memory");
	check_equal(*(volatile uint8_t *)at, 0x77);
	write_cr3((uint32_t)pdpt);
	check_fault(read_at, 0);
	pdpt[1] = (uint32_t)pae_directory[1] | P | W;
	check_raises(load_cr3, 13, 0);
	pdpt[1] = ((uint32_t)pae_directory[1] | P) | 1ull << 45;
	check_raises(load_cr3, 13, 0);
	check_fault(read_at, 0);
	pdpt[1] = (uint32_t)pae_directory[1] | P;
	check_raises(load_cr3, NONE, 0);
	check_fault(read_at, NONE);
	pdpt[1] = 2;
	check_raises(load_cr3, NONE, 0);
}

void test_main(void)
{
	paging_32bit();
	large_pages();
	pae();
	pdpte_registers();
}
