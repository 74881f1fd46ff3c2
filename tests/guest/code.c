/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Self-modifying code (SDM volume 3, 11.6) and string instructions over pages. */
#include "guest.h"

static uint8_t code[3 * 4096] __attribute__((aligned(4096)));

static uint64_t call_code(unsigned offset)
{
	uint64_t result;

	asm volatile("call *%1" : "=a"(result) : "r"(code + offset) : "memory", "rcx", "rdx", "rdi");
	return result;
}

/* mov eax, n; ret */
static void write_function(unsigned offset, uint32_t n)
{
	code[offset] = 0xb8;
	__builtin_memcpy(code + offset + 1, &n, 4);
	code[offset + 5] = 0xc3;
}

static void patched_between_calls(void)
{
	for (uint32_t n = 0; n < 1000; n++) {
		write_function(64, n);
		check_equal(call_code(64), n);
	}
}

/* A store to the instruction right after it, in the same block. */
static void patched_ahead(void)
{
	static const uint8_t program[] = {
		0xc7, 0x05, 0x01, 0x00, 0x00, 0x00, 0x2a, 0x00, 0x00, 0x00, /* mov dword [rip+1], 42 */
		0xb8, 0x00, 0x00, 0x00, 0x00, 0xc3,			    /* mov eax, 0; ret */
	};

	__builtin_memcpy(code + 256, program, sizeof(program));
	check_equal(call_code(256), 42);
}

/* An instruction that lies on two pages, patched on the second. */
static void patched_across(void)
{
	for (uint32_t n = 1; n < 20; n++) {
		write_function(4096 - 2, n * 0x01010101);
		check_equal(call_code(4096 - 2), n * 0x01010101u);
	}
}

/* A repeated store that overwrites the code after it. */
static void patched_by_string(void)
{
	static const uint8_t program[] = {
		0xfc,				  /* cld */
		0xb0, 0x90,			  /* mov al, 0x90 */
		0x48, 0x8d, 0x3d, 0x07, 0, 0, 0,  /* lea rdi, [rip+7] */
		0xb9, 0x02, 0, 0, 0,		  /* mov ecx, 2 */
		0xf3, 0xaa,			  /* rep stosb */
		0x0f, 0x0b,			  /* ud2, becomes nop; nop */
		0xb8, 0x07, 0, 0, 0, 0xc3,	  /* mov eax, 7; ret */
	};

	__builtin_memcpy(code + 512, program, sizeof(program));
	check_equal(call_code(512), 7);
}

static void strings_over_pages(void)
{
	static uint8_t from[3 * 4096], to[3 * 4096];
	uint64_t n = sizeof(from) - 100;
	void *d = to + 50, *s = from + 13;

	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = i * 7 + (i >> 8);
	asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	check_equal(n, 0);
	check_equal((uint64_t)d, (uint64_t)to + 50 + sizeof(from) - 100);
	for (unsigned i = 0; i < sizeof(from) - 100; i++)
		check_equal(to[50 + i], from[13 + i]);
	/* backwards, overlapping by one */
	d = to + 4200;
	s = to + 4199;
	n = 4150;
	asm volatile("std\n\trep movsb\n\tcld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	for (unsigned i = 0; i < 4149; i++)
		check_equal(to[51 + i], from[13 + i]);
}

/* REP stops at a fault with its registers where it got to. */
static void string_fault(void)
{
	volatile uint64_t *first = window_entry(200), *second = window_entry(201);
	register uint64_t rdi asm("rdi") = WINDOW + 201 * 4096 - 24;
	register uint64_t rcx asm("rcx") = 10;

	*first = (uint64_t)code | PTE_P | PTE_W;
	*second = 0;
	try_asm("xor %%eax, %%eax\n\trep stosq", : "+r"(rdi), "+r"(rcx) : : "rax", "r11", "memory", "cc");
	check_equal(last.vector, 14);
	check_equal(last.error, 2);
	check_equal(last.rcx, 7);
	check_equal(last.rdi, WINDOW + 201 * 4096);
}

/*
 * A page table that is code, too: its entry's dirty bit makes the AND that it begins with a MOVSXD, and RET
 * comes after that. The page walk that sets the bit is a store like another.
 */
static void patched_by_page_walk(void)
{
	volatile uint64_t *entry = window_entry(300);
	uint64_t result;

	*entry = 0xc3c300 | PTE_P | PTE_W | PTE_A;
	invlpg(WINDOW + 300 * 4096);
	for (unsigned i = 0; i < 2; i++) {
		asm volatile("call *%1" : "=a"(result) : "r"(entry), "a"(0xf0), "b"(0x3c) : "memory", "cc");
		check_equal(result, i ? 0x3c : 0x30);
		*(volatile uint32_t *)(WINDOW + 300 * 4096) = 1;
		check(*entry & PTE_D);
		write_cr3(read_cr3());
	}
}

void test_main(void)
{
	patched_between_calls();
	patched_ahead();
	patched_across();
	patched_by_string();
	strings_over_pages();
	string_fault();
	if (!is_emulated())
		patched_by_page_walk();
}
