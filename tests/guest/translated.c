/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a translator has to notice: code that changes while it runs, that becomes another page, that
 * is stepped through (SDM volume 3, 11.6, 4.10.4 and 18.3.1.4). Every piece runs often enough to be
 * translated, and linked to what it calls.
 */
#include "guest.h"

#define RUNS 100

static uint8_t code[4 * 4096] __attribute__((aligned(4096)));

static uint64_t call(const void *function)
{
	uint64_t result;

	asm volatile("call *%1"
		     : "=a"(result)
		     : "r"(function)
		     : "memory", "cc", "rcx", "rdx", "rsi", "rdi", "r8", "r10", "r11");
	return result;
}

static uint8_t *put(uint8_t *at, const void *bytes, uint64_t n)
{
	asm volatile("rep movsb" : "+D"(at), "+S"(bytes), "+c"(n) : : "memory");
	return at;
}

/* mov eax, n; ret */
static void put_function(uint8_t *at, uint32_t n)
{
	at = put(at, "\xb8", 1);
	at = put(at, &n, 4);
	put(at, "\xc3", 1);
}

/* A loop that adds one to the immediate it adds up, each time it goes round: 1 + 2 + ... */
static void loop_patches_itself(void)
{
	static const uint8_t program[] = {
		0x31, 0xc0,			    /* xor eax, eax */
		0xb9, RUNS, 0,	  0,	0,	    /* mov ecx, RUNS */
		0x05, 1,    0,	  0,	0,	    /* L: add eax, 1 */
		0xff, 0x05, 0xf6, 0xff, 0xff, 0xff, /* inc dword [rip - 10], the immediate */
		0xff, 0xc9,			    /* dec ecx */
		0x75, 0xf1,			    /* jnz L */
		0xc3,
	};

	for (unsigned i = 0; i < 10; i++) {
		put(code, program, sizeof(program));
		check_equal(call(code), RUNS * (RUNS + 1) / 2);
	}
}

/* Code that patches what follows it in another page, which it then jumps to. */
static void patches_another_page(void)
{
	static const uint8_t program[] = {
		0xff, 0x05, 0x16, 0, 0, 0, /* inc dword [rip + 22], the immediate beyond the jump */
		0xe9, 0x10, 0,	  0, 0,	   /* jmp +16 */
	};
	uint8_t *at = code + 2 * 4096 - sizeof(program);

	put(at, program, sizeof(program));
	put_function(at + sizeof(program) + 16, 0);
	for (uint32_t i = 1; i < RUNS; i++)
		check_equal(call(at), i);
}

/* A page in the window that is one frame or another. */
static void map(unsigned page, const void *to)
{
	*window_entry(page) = (uint64_t)to | PTE_P | PTE_W;
}

static void remapped_by(void (*flush)(uint64_t address))
{
	uint8_t *first = code, *second = code + 4096, *caller = code + 2 * 4096;
	uint64_t address = WINDOW + 7 * 4096;
	int32_t distance;

	put_function(first, 1);
	put_function(second, 2);
	/* In the window, too, so that it can call by a displacement. */
	map(8, caller);
	invlpg(address + 4096);
	distance = -(4096 + 5);
	put(put(put(caller, "\xe8", 1), &distance, 4), "\xc3", 1); /* call; ret */
	for (unsigned i = 0; i < RUNS; i++) {
		map(7, i % 2 ? second : first);
		flush(address);
		check_equal(call((void *)address), 1 + i % 2);
		check_equal(call((void *)(address + 4096)), 1 + i % 2);
	}
}

static void reload_cr3(uint64_t address)
{
	write_cr3(read_cr3());
}

/* An instruction on two pages, of which the second changes. */
static void remapped_across(void)
{
	uint8_t *start = code, *one = code + 4096, *other = code + 2 * 4096;
	uint64_t address = WINDOW + 9 * 4096 - 2;

	put(start + 4094, "\xb8\x05", 2); /* mov eax, ...05 */
	put(one, "\0\0\1\xc3", 4);
	put(other, "\0\0\2\xc3", 4);
	map(8, start);
	invlpg(address);
	for (unsigned i = 0; i < RUNS; i++) {
		map(9, i % 2 ? other : one);
		invlpg(address + 2);
		check_equal(call((void *)address), i % 2 ? 0x02000005 : 0x01000005);
	}
}

/* The page of running code loses its rights while it runs: the next instruction faults. It is a
 * page that nothing else writes to, so that nothing but the flush has the processor look at it
 * again. */
static uint8_t alone[2][4096] __attribute__((aligned(4096)));

static void unmapped_by(uint8_t *code_page, const void *program, unsigned size, uint64_t operand,
			unsigned flushed)
{
	volatile uint64_t *entry = window_entry(10);
	uint64_t address = WINDOW + 10 * 4096;

	put(code_page, program, size);
	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t present = (uint64_t)code_page | PTE_P | PTE_W;

		*entry = present;
		invlpg(address);
		if (i % 4 == 3) {
			try_asm("mov %%rsp, resume_rsp(%%rip)\n\tcall *%0\n\t",
				:
				: "r"(address), "D"(entry), "S"(operand), "d"(0ull)
				: "rax", "r11", "memory", "cc");
			check_equal(last.vector, 14);
			/* A processor may have dropped the page by itself, before it was told. */
			check(last.rip == address + flushed ||
			      (is_kvm() && last.rip < address + flushed && last.rip > address));
			check_equal(last_cr2, last.rip);
		} else {
			uint64_t result;

			asm volatile("call *%1"
				     : "=a"(result)
				     : "r"(address), "D"(entry), "S"(operand), "d"(present)
				     : "memory", "cc");
			check_equal(result, 7);
		}
	}
}

static bool has_invpcid(void)
{
	uint32_t a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a < 7)
		return false;
	a = 7;
	c = 0;
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b >> 10 & 1;
}

static void unmapped_while_running(void)
{
	static const uint8_t by_invlpg[] = {
		0x48, 0x89, 0x17,	      /* mov [rdi], rdx: the page table entry */
		0x0f, 0x01, 0x3e,	      /* invlpg [rsi] */
		0xb8, 0x07, 0,	  0, 0, 0xc3, /* mov eax, 7; ret */
	};
	static const uint8_t by_invpcid[] = {
		0x31, 0xc0,			    /* xor eax, eax: one address */
		0x48, 0x89, 0x17,		    /* mov [rdi], rdx */
		0x66, 0x0f, 0x38, 0x82, 0x06,	    /* invpcid rax, [rsi] */
		0xb8, 0x07, 0,	  0,	0,    0xc3, /* mov eax, 7; ret */
	};
	static const uint64_t descriptor[2] = {0, WINDOW + 10 * 4096};

	unmapped_by(alone[0], by_invlpg, sizeof(by_invlpg), descriptor[1], 6);
	if (has_invpcid() && !is_emulated())
		unmapped_by(alone[1], by_invpcid, sizeof(by_invpcid), (uint64_t)descriptor, 10);
}

/* What a device writes over code. */
static void written_by_a_device(void)
{
	put_function(code + 64, 0);
	for (uint32_t i = 1; i < RUNS; i++) {
		outl(0xe4, (uint64_t)code + 65);
		check_equal(call(code + 64), i);
	}
}

/* Faults in the middle of code that is translated, with what went before done and nothing else. */
static void faults_inside(void)
{
	volatile uint64_t *entry = window_entry(11);
	uint64_t *memory = (uint64_t *)(WINDOW + 11 * 4096);

	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t a = 0, b = 0;

		*entry = (uint64_t)(code + 3 * 4096) | PTE_P | PTE_W;
		invlpg((uint64_t)memory);
		memory[0] = memory[1] = 0;
		if (i % 3 == 2) {
			*entry = i % 2 ? 0 : (uint64_t)(code + 3 * 4096) | PTE_P;
			invlpg((uint64_t)memory);
		}
		try_asm("inc %0\n\tlea 5(%0,%0), %1\n\tmov %1, 8(%2)\n\tinc %0\n\tadd %0, (%2)",
			: "+r"(a), "+r"(b)
			: "r"(memory)
			: "r11", "memory", "cc");
		check_equal(last.vector, i % 3 == 2 ? 14 : 256);
		check_equal(a, i % 3 == 2 ? 1 : 2);
		check_equal(b, 7);
		if (i % 3 != 2) {
			check_equal(memory[0], 2);
			check_equal(memory[1], 7);
		}
	}
}

/* Stepping begins and ends inside of code that was translated without it. */
static void stepped(void)
{
	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t n = 0;

		if (i % 5 != 4) {
			asm volatile("pushfq\n\tpop %%rax\n\tinc %0\n\tinc %0\n\tinc %0"
				     : "+r"(n)
				     :
				     : "rax", "cc");
		} else {
			try_asm("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tinc %0\n\tinc %0\n\tinc "
				"%0",
				: "+r"(n)
				:
				: "r11", "memory", "cc");
			check_equal(last.vector, 1);
			check_equal(n, 1); /* after the first the handler goes on at the end */
			n += 2;
		}
		check_equal(n, 3);
	}
}

void test_main(void)
{
	loop_patches_itself();
	patches_another_page();
	remapped_by(invlpg);
	remapped_by(reload_cr3);
	remapped_across();
	unmapped_while_running();
	if (!is_kvm())
		written_by_a_device();
	faults_inside();
	stepped();
}
