/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of two exceptions comes: SDM volume 3, table 6-2 (priorities), 4.7 (bits of a page fault's
 * error code), 6.15 and table 6-5 (exceptions while one is delivered).
 */
#include "guest.h"

enum {
	ABSENT = 30,
	ABSENT2 = 31,
	READ_ONLY = 32,
	PRESENT = 33,
	USER = 34,
	CR0_EM = 4,
	CR0_TS = 8,
	CR0_AM = 1 << 18
};
#define AT(page) (WINDOW + 4096ull * (page))

static uint8_t page[4096] __attribute__((aligned(4096)));
static uint8_t own_stack[4096] __attribute__((aligned(16)));

static void map(unsigned n, uint64_t rights)
{
	*(volatile uint64_t *)window_entry(n) = rights ? (uint64_t)page | rights : 0;
	invlpg(AT(n));
}

#define raises(v, code, text, ...)                                                      \
	do {                                                                            \
		try_asm("mov %%rsp, %%r15\n\t" text, "\n\tmov %%r15, %%rsp" __VA_ARGS__ \
			: "rax", "rbx", "r11", "r15", "memory", "cc");                  \
		check_equal(last.vector, v);                                            \
		if ((v) < 32)                                                           \
			check_equal(last.error, code);                                  \
	} while (0)
#define page_fault(code, at, text, ...)              \
	do {                                         \
		raises(14, code, text, __VA_ARGS__); \
		check_equal(last_cr2, at);           \
	} while (0)

static void set_debug(uint64_t dr0, uint64_t dr7)
{
	asm volatile("mov %0, %%dr0\n\tmov %1, %%dr7" : : "r"(dr0), "r"(dr7));
}

static uint64_t take_dr6(void)
{
	uint64_t v;

	asm volatile("mov %%dr6, %0\n\tmov %1, %%dr6" : "=&r"(v) : "r"(0ull));
	return v & 0xe00f;
}

/* Traps on the instruction before, then the breakpoint on this one, then its fetch. */
static void before_execution(void)
{
	uint64_t at;

	set_debug(AT(ABSENT), 1);
	take_dr6();
	raises(1, 0, "jmp *%0", : : "r"(AT(ABSENT)));
	check_equal(last.rip, AT(ABSENT));
	check_equal(take_dr6(), 1);
	set_debug(0, 0);
	page_fault(16, AT(ABSENT), "jmp *%0", : : "r"(AT(ABSENT)));
	/* Single step's trap: RIP is the absent page, which has not been fetched from. */
	raises(1, 0, "pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tjmp *%0", : : "r"(AT(ABSENT)));
	check_equal(last.rip, AT(ABSENT));
	check_equal(take_dr6(), 1 << 14);
	/* A data breakpoint's trap comes before the fault of the next instruction. */
	set_debug((uint64_t)page, 1 | 0xd << 16);
	raises(1, 0, "lea 8f(%%rip), %0\n\tmovl $1, (%1)\n8:\tud2", : "=&r"(at) : "r"(page));
	check_equal(last.rip, at);
	check_equal(take_dr6(), 1);
	/* And one on the instruction that faults itself is not told. */
	set_debug(AT(ABSENT), 1 | 0xd << 16);
	page_fault(2, AT(ABSENT), "movl $1, (%0)", : : "r"(AT(ABSENT)));
	check_equal(take_dr6(), 0);
	set_debug(0, 0);
}

/* What decoding finds comes before what executing does. */
static void decoding(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	raises(13, 0, ".fill 15, 1, 0x66\n\tud2", : :);
	raises(6, 0, ".byte 0xf0\n\tmovl %%eax, (%0)", : : "r"(AT(ABSENT)));
	raises(6, 0, ".byte 0xf0, 0x0f, 0x01, 0x17", : : "D"(AT(ABSENT))); /* lock lgdt (%rdi) */
	write_cr0(cr0 | CR0_TS);
	write_cr4(cr4 | 3 << 9);
	raises(7, 0, "fldl (%0)", : : "r"(AT(ABSENT)));
	raises(7, 0, "movups (%0), %%xmm0", : : "r"(AT(ABSENT)));
	write_cr0(cr0 | CR0_TS | CR0_EM);
	raises(6, 0, "movups (%0), %%xmm0", : : "r"(AT(ABSENT)));
	raises(7, 0, "fldl (%0)", : : "r"(AT(ABSENT)));
	write_cr0(cr0);
	/* Alignment of SSE's operand before the page. */
	raises(13, 0, "movaps (%0), %%xmm0", : : "r"(AT(ABSENT) + 8));
	write_cr4(cr4);
	raises(6, 0, "movups (%0), %%xmm0", : : "r"(AT(ABSENT)));
}

static void user_lgdt(void)
{
	asm volatile("lgdt (%0)" : : "r"(AT(ABSENT)));
}
static void user_invlpg(void)
{
	asm volatile("invlpg (%0)" : : "r"(0x0000800000000000));
}
static void user_misaligned(void)
{
	asm volatile("pushfq\n\torq $0x40000, (%%rsp)\n\tpopfq\n\tmov 1(%0), %%eax"
		     :
		     : "r"(AT(ABSENT))
		     : "eax");
}
static void user_misaligned_there(void)
{
	asm volatile("pushfq\n\torq $0x40000, (%%rsp)\n\tpopfq\n\tmov 1(%0), %%eax"
		     :
		     : "r"(AT(USER))
		     : "eax");
}
static void user_divides(void)
{
	asm volatile("xor %%edx, %%edx\n\tdivl (%0)" : : "r"(AT(ABSENT)) : "eax", "edx");
}

static void privilege(void)
{
	call_user64(user_lgdt);
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
	call_user64(user_invlpg);
	check_equal(last.vector, 13);
	/* #AC is the last of all. */
	write_cr0(read_cr0() | CR0_AM);
	call_user64(user_misaligned);
	check_equal(last.vector, 14);
	check_equal(last.error, 4);
	map(USER, PTE_P | PTE_W | PTE_U);
	call_user64(user_misaligned_there);
	check_equal(last.vector, 17);
	check_equal(last.error, 0);
	asm volatile("pushfq\n\tandq $~0x40000, (%%rsp)\n\tpopfq" : : : "memory", "cc");
	write_cr0(read_cr0() & ~(uint64_t)CR0_AM);
	call_user64(user_divides);
	check_equal(last.vector, 14);
}

/* Of two operands in memory: which fault is told, and that nothing was changed. */
static void operands(void)
{
	uint64_t a = AT(ABSENT), b = AT(ABSENT2), gate = idt[14][0];

	*(uint64_t *)&tss[11] = (uint64_t)own_stack + sizeof(own_stack);
	idt[14][0] |= 2ull << 32; /* IST 2: the program's may be what is absent */
	page_fault(0, a, "mov %1, %%rsp\n\tpushq (%0)", : : "r"(a), "r"(b + 8));
	page_fault(2, b, "mov %1, %%rsp\n\tpushq (%0)", : : "r"(page), "r"(b + 8));
	page_fault(0, b, "mov %1, %%rsp\n\tpopq (%0)", : : "r"(a), "r"(b));
	page_fault(2, a, "push $5\n\tpopq (%0)", : : "r"(a));
	check_equal(last.rsp, last.r15 - 8);
	page_fault(0, a, "mov %1, %%rsp\n\tcall *(%0)", : : "r"(a), "r"(b + 8));
	page_fault(0, a, "movsb", : : "S"(a), "D"(b));
	page_fault(2, b, "movsb", : : "S"(page), "D"(b));
	page_fault(0, a, "cmpsb", : : "S"(a), "D"(b));
	/* Read-modify-write faults as a write, also where it would not change a thing. */
	map(READ_ONLY, PTE_P);
	page[0] = 7;
	page_fault(3, AT(READ_ONLY), "lock cmpxchgb %%bl, (%0)", : : "r"(AT(READ_ONLY)));
	page_fault(3, AT(READ_ONLY), "addb $0, (%0)", : : "r"(AT(READ_ONLY)));
	page_fault(3, AT(READ_ONLY), "xaddb %%bl, (%0)", : : "r"(AT(READ_ONLY)));
	page_fault(3, AT(READ_ONLY), "shll $0, (%0)", : : "r"(AT(READ_ONLY)));
	page_fault(3, AT(READ_ONLY), "btsl $0, (%0)", : : "r"(AT(READ_ONLY)));
	raises(256, 0, "btl $0, (%0)\n\ttestb $1, (%0)\n\tcmpb $1, (%0)", : : "r"(AT(READ_ONLY)));
	check_equal(page[0], 7);
	/* The second page of two is the one at fault, and of neither a byte is written. */
	map(PRESENT, PTE_P | PTE_W);
	map(PRESENT + 1, 0);
	page[4095] = 0x11;
	page_fault(2, AT(PRESENT + 1), "movl $0x22222222, (%0)", : : "r"(AT(PRESENT + 1) - 1));
	check_equal(page[4095], 0x11);
	idt[14][0] = gate;
}

/* Bits of the error code: without P nothing else is looked at; a reserved bit before rights. */
static void error_codes(void)
{
	uint64_t reserved = 1ull << 45;

	map(PRESENT, 0);
	*window_entry(PRESENT) = (uint64_t)page | reserved;
	invlpg(AT(PRESENT));
	page_fault(2, AT(PRESENT), "movl $1, (%0)", : : "r"(AT(PRESENT)));
	map(PRESENT, PTE_P | reserved);
	page_fault(11, AT(PRESENT), "movl $1, (%0)", : : "r"(AT(PRESENT)));
	map(PRESENT, PTE_P | reserved | PTE_NX);
	page_fault(25, AT(PRESENT), "jmp *%0", : : "r"(AT(PRESENT)));
	map(PRESENT, PTE_P | PTE_NX);
	page_fault(17, AT(PRESENT), "jmp *%0", : : "r"(AT(PRESENT)));
}

/*
 * While one exception is delivered another one comes: by an absent gate (#NP, contributory) or by a
 * stack that is not mapped (#PF).
 */
enum second { GATE, STACK };

static void set_up(unsigned vector, enum second second)
{
	*(uint64_t *)&tss[13] = AT(ABSENT2) + 4096; /* IST 3 */
	if (second == GATE)
		idt[vector][0] &= ~(1ull << 47);
	else
		idt[vector][0] |= 3ull << 32;
}

#define after(vector, second, v, code, text, ...)   \
	do {                                        \
		uint64_t saved = idt[vector][0];    \
		set_up(vector, second);             \
		raises(v, code, text, __VA_ARGS__); \
		idt[vector][0] = saved;             \
	} while (0)

static void while_delivering(void)
{
	uint64_t a = AT(ABSENT);

	/* #DE is contributory. */
	after(0, GATE, 8, 0, "xor %%eax, %%eax\n\tdiv %%eax", : : "d"(0));
	after(0, STACK, 14, 2, "xor %%eax, %%eax\n\tdiv %%eax", : : "d"(0));
	check_equal(last_cr2, AT(ABSENT2) + 4096 - 40);
	/* #UD, #DB and #BP are benign. */
	after(6, GATE, 11, 6 * 8 + 3, "ud2", : :);
	after(6, STACK, 14, 2, "ud2", : :);
	after(1, GATE, 11, 1 * 8 + 3, "pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop", : :);
	asm volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" : : : "memory", "cc");
	/* #GP, #NP and #SS are contributory. */
	after(13, GATE, 8, 0, "mov %0, %%ds", : : "r"(0x1000));
	after(13, STACK, 14, 2, "mov %0, %%ds", : : "r"(0x1000));
	gdt[12] = 0x00cf13000000ffff;
	after(11, GATE, 8, 0, "mov %0, %%ds", : : "r"(12 * 8));
	/* A page fault and either of them make a double fault. */
	after(14, GATE, 8, 0, "mov (%0), %%eax", : : "r"(a));
	check_equal(last_cr2, a);
	after(14, STACK, 8, 0, "mov (%0), %%eax", : : "r"(a));
	check_equal(last_cr2, AT(ABSENT2) + 4096 - 48);
	/* INT n is no exception: what is wrong with its gate has no EXT. DPL is looked at before P.
	 */
	after(0x80, GATE, 11, 0x80 * 8 + 2, "int $0x80", : :);
	after(0x80, STACK, 14, 2, "int $0x80", : :);
}

void test_main(void)
{
	/* A KVM that emulates has an order of its own. */
	if (is_emulated())
		return;
	window_entry(0);
	allow_user();
	before_execution();
	decoding();
	operands();
	error_codes();
	privilege();
	while_delivering();
}
