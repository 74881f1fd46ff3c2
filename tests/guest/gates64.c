/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gates and system descriptors of long mode: SDM volume 3, 6.14 (frames, alignment, IST, null
 * SS), 5.8.3.1 (call gates), 5.3.1 (no limits in 64-bit mode), 8.7 (no task switches), volume 2:
 * IRET, LTR, LLDT, LAR, LSL.
 */
#include "guest.h"

enum {
	FREE = 8 * 8 /* and the selector after it */,
	COMPAT = 10 * 8,
	SMALL = 11 * 8,
	LONG_COMPAT = 12 * 8
};
enum { CALL_GATE = 0x8c, PRESENT = 0x80, DPL3 = 0x60, IF = 1 << 9, NT = 1 << 14 };

uint64_t seen[8];
static struct {
	uint64_t offset;
	uint16_t selector;
} __attribute__((packed)) pointer;

static void set_call_gate(unsigned selector, const void *target, unsigned access)
{
	uint64_t at = (uint64_t)target;

	gdt[FREE / 8] = (at & 0xffff) | (uint64_t)selector << 16 | (uint64_t)access << 40 |
			(at >> 16 & 0xffff) << 48;
	gdt[FREE / 8 + 1] = at >> 32;
}

/* At CPL 0: notes the frame, and goes back. */
extern char inner[];
asm(".text\ninner:\n\tmov %rsp, seen(%rip)\n\tmov %ss, %eax\n\tmov %rax, seen+8(%rip)\n\tmov %cs, "
    "%eax\n\t"
    "mov %rax, seen+16(%rip)\n\tmov 8(%rsp), %rax\n\tmov %rax, seen+24(%rip)\n\tmov 16(%rsp), "
    "%rax\n\t"
    "mov %rax, seen+32(%rip)\n\tmov 24(%rsp), %rax\n\tmov %rax, seen+40(%rip)\n\tlretq");

static void user_call(void)
{
	asm volatile("mov %%rsp, %%rbx\n\trex.W lcall *%0\n\tud2" : : "m"(pointer) : "rbx");
}

static void call_raises(unsigned vector, unsigned code)
{
	call_user64(user_call);
	check_equal(last.vector, vector);
	check_equal(last.error, code);
	check_equal(last.cs, SEL_USER64);
}

static void call_gates(void)
{
	pointer.selector = FREE | 3;
	set_call_gate(SEL_CODE, inner, CALL_GATE | DPL3);
	call_raises(6, 0);
	check_equal(last.rsp, last.rbx);
	check_equal(seen[0], (uint64_t)ring0_top - 32);
	check_equal(seen[1], 0);
	check_equal(seen[2], SEL_CODE);
	check_equal(seen[3], SEL_USER64);
	check_equal(seen[4], last.rbx);
	check_equal(seen[5], SEL_USER_DATA);
	set_call_gate(SEL_CODE, inner, CALL_GATE);
	call_raises(13, FREE);
	set_call_gate(SEL_CODE, inner, (CALL_GATE & ~PRESENT) | DPL3);
	call_raises(11, FREE);
	set_call_gate(SEL_DATA, inner, CALL_GATE | DPL3);
	call_raises(13, SEL_DATA);
	set_call_gate(0, inner, CALL_GATE | DPL3);
	call_raises(13, 0);
	/* To 32-bit code a gate of long mode does not lead. */
	gdt[COMPAT / 8] = 0x00cf9b000000ffff;
	set_call_gate(COMPAT, inner, CALL_GATE | DPL3);
	call_raises(13, COMPAT);
	set_call_gate(SEL_CODE, (void *)0x0000800000000000, CALL_GATE | DPL3);
	call_raises(13, 0);
	/* A type in the upper half makes it something else. */
	set_call_gate(SEL_CODE, inner, CALL_GATE | DPL3);
	gdt[FREE / 8 + 1] |= 1ull << 40;
	call_raises(13, FREE);
	/* Types that only legacy modes have: 286 call gate, task gate, TSS. */
	for (unsigned type = 0x80; type < 0x90; type++) {
		if (type == CALL_GATE)
			continue;
		set_call_gate(SEL_CODE, inner, type | DPL3);
		call_raises(13, FREE);
	}
	/* The second half is beyond the table. */
	gdt[15] = (uint64_t)(CALL_GATE | DPL3) << 40;
	pointer.selector = 15 * 8 | 3;
	call_raises(13, 15 * 8);
}

/* Interrupt and trap gates: notes RSP, IF and SS. */
extern char note[];
asm(".text\nnote: push %rax\n\tlea 8(%rsp), %rax\n\tmov %rax, seen(%rip)\n\tpushfq\n\tpop %rax\n\t"
    "mov %rax, seen+8(%rip)\n\tmov %ss, %eax\n\tmov %rax, seen+16(%rip)\n\tpop %rax\n\tiretq");

static void set_idt(unsigned vector, const void *target, unsigned access, unsigned ist)
{
	uint64_t at = (uint64_t)target;

	idt[vector][0] = (at & 0xffff) | (uint64_t)SEL_CODE << 16 | (uint64_t)ist << 32 |
			 (uint64_t)access << 40 | (at >> 16 & 0xffff) << 48;
	idt[vector][1] = at >> 32;
}

static void user_int(void)
{
	asm volatile("int $0x90\n\tud2");
}

static void interrupt_gates(void)
{
	uint64_t rsp;

	asm volatile("mov %0, %%ss" : : "r"(SEL_DATA));
	for (unsigned trap = 0; trap < 2; trap++) {
		set_idt(0x90, note, 0x8e + trap, 0);
		asm volatile("mov %%rsp, %%rbx\n\tand $-16, %%rsp\n\tsub $24, %%rsp\n\tmov %%rsp, "
			     "%0\n\tsti\n\tint $0x90\n\tcli\n\t"
			     "mov %%rbx, %%rsp"
			     : "=&r"(rsp)
			     :
			     : "rbx", "memory", "cc");
		/* Aligned to 16 bytes before five words are pushed. */
		check_equal(seen[0], (rsp & ~15ull) - 40);
		check_equal(seen[1] & IF, trap ? IF : 0);
		check_equal(seen[2], SEL_DATA);
	}
	set_idt(0x90, note, 0xee, 0);
	call_user64(user_int);
	check_equal(last.vector, 6);
	check_equal(seen[0], (uint64_t)ring0_top - 40);
	check_equal(seen[2], 0);
	/* An IST entry is taken at any level, aligned, too. */
	*(uint64_t *)&tss[11] = (uint64_t)ist_top - 4096 + 9;
	set_idt(0x90, note, 0xee, 2);
	asm volatile("int $0x90" : : : "memory");
	check_equal(seen[0], (uint64_t)ist_top - 4096 - 40);
	call_user64(user_int);
	check_equal(last.vector, 6);
	check_equal(seen[0], (uint64_t)ist_top - 4096 - 40);
	/* Gates of legacy modes are none. */
	for (unsigned type = 0x80; type < 0x8e; type++) {
		set_idt(0x90, note, type | DPL3, 0);
		try_asm("int $0x90", : : : "r11", "memory");
		check_equal(last.vector, 13);
		check_equal(last.error, 0x90 * 8 + 2);
	}
	set_idt(0x90, (void *)0x0000800000000000, 0x8e, 0);
	try_asm("int $0x90", : : : "r11", "memory");
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
}

#define try_iret(cs, ss, flags, rip)                                                             \
	try_asm("mov %%rsp, %%rbx\n\tpush %[s]\n\tpush %%rsp\n\tpush %[f]\n\tpush %[c]\n\tpush " \
		"%[i]\n\tiretq\n8:\tud2",                                                        \
		"\n\tmov %%rbx, %%rsp"                                                           \
		:                                                                                \
		: [s] "r"((uint64_t)(ss)), [f] "r"((uint64_t)(flags)), [c] "r"((uint64_t)(cs)),  \
		  [i] "r"((uint64_t)(rip))                                                       \
		: "rbx", "r11", "memory", "cc")

extern char lands[];
asm(".text\nlands: ud2");

static void irets(void)
{
	/* A null SS is fine at CPL 0 in 64-bit mode. */
	try_iret(SEL_CODE, 0, 2, lands);
	check_equal(last.vector, 6);
	check_equal(last.ss, 0);
	asm volatile("mov %0, %%ss" : : "r"(SEL_DATA));
	try_iret(SEL_USER64, 3, 2, lands);
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
	try_iret(SEL_USER64, SEL_DATA, 2, lands);
	check_equal(last.vector, 13);
	check_equal(last.error, SEL_DATA);
	try_iret(SEL_DATA, SEL_DATA, 2, lands);
	check_equal(last.vector, 13);
	check_equal(last.error, SEL_DATA);
	try_iret(SEL_CODE, SEL_DATA, 2, 0x0000800000000000);
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
	/* L and D together are no code. */
	gdt[LONG_COMPAT / 8] = 0x00ef9b000000ffff;
	try_iret(LONG_COMPAT, SEL_DATA, 2, lands);
	check_equal(last.vector, 13);
	check_equal(last.error, LONG_COMPAT);
	/* No task to return to. */
	try_asm("pushfq\n\torq $0x4000, (%%rsp)\n\tpopfq\n\tiretq", : : : "r11", "memory", "cc");
	asm volatile("pushfq\n\tandq $~0x4000, (%%rsp)\n\tpopfq" : : : "memory", "cc");
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
	check(last.rflags & NT);
}

static void set_system(unsigned type, uint64_t base, uint32_t limit)
{
	gdt[FREE / 8] = (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)type << 40 |
			(base >> 24 & 0xff) << 56;
	gdt[FREE / 8 + 1] = base >> 32;
}

#define try_load(insn, selector, v, code)                                  \
	do {                                                               \
		try_asm(insn " %w0", : : "r"(selector) : "r11", "memory"); \
		check_equal(last.vector, v);                               \
		check_equal(last.error, code);                             \
	} while (0)

static void system_descriptors(void)
{
	uint32_t v = 0;
	uint8_t zf;

	set_system(0x8b, (uint64_t)tss, 0x67);
	try_load("ltr", FREE, 13, FREE); /* busy */
	set_system(0x81, (uint64_t)tss, 0x67);
	try_load("ltr", FREE, 13, FREE); /* a 286's */
	set_system(0x09, (uint64_t)tss, 0x67);
	try_load("ltr", FREE, 11, FREE);
	set_system(0x89, 0x0000800000000000, 0x67);
	try_load("ltr", FREE, 13, FREE);
	try_load("ltr", 0, 13, 0);
	set_system(0x82, 0x0000800000000000, 0x67);
	try_load("lldt", FREE, 13, FREE);
	set_system(0x02, (uint64_t)gdt, 0x67);
	try_load("lldt", FREE, 11, FREE);
	set_system(0x82, 0xffff800000001000, 0x67);
	try_asm("lldt %w0\n\tsldt %1", "" : : "r"(FREE), "m"(v) : "r11", "memory");
	check_equal(last.vector, 256);
	check_equal(v, FREE);
	asm volatile("lldt %w0" : : "r"(0));
	set_system(0x89, (uint64_t)tss, 0x1234);
	asm volatile("lsl %2, %0\n\tsetz %1" : "=r"(v), "=q"(zf) : "r"(FREE) : "cc");
	check(zf);
	check_equal(v, 0x1234);
	for (unsigned type = 0; type < 16; type++) {
		enum { LAR_TYPES = 0x1a04, LSL_TYPES = 0x0a04 };

		set_system(0x80 | type, 0, 0);
		asm volatile("lar %2, %0\n\tsetz %1" : "=r"(v), "=q"(zf) : "r"(FREE) : "cc");
		check_equal(zf, LAR_TYPES >> type & 1);
		asm volatile("lsl %2, %0\n\tsetz %1" : "=r"(v), "=q"(zf) : "r"(FREE) : "cc");
		check_equal(zf, LSL_TYPES >> type & 1);
	}
	/* The task register of guest_setup() again. */
	gdt[SEL_TSS / 8] &= ~(2ull << 40);
	asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

/* Far JMP to 32-bit code at CPL 0 and back; segments have limits and bases there and not in 64-bit
 * mode. */
extern char in_compat[], compat_faults[], compat_fault_at[];
asm(".text\n.code32\nin_compat:\n\tmov %ds:0xffc, %eax\n\tmov %eax, %ecx\n\tmov $0xffffffff, "
    "%eax\n\t"
    ".byte 0x40\n\t" /* inc eax, and no REX */
    "lret\n"
    "compat_faults: compat_fault_at: mov %ds:0xffd, %eax\n\tlret\n.code64");

static void compatibility_code(void)
{
	uint64_t rax = 1, rcx = 0;
	static struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) to;

	gdt[COMPAT / 8] = 0x00cf9b000000ffff;
	gdt[SMALL / 8] = 0x0040930000000fff | (0x7000ull << 16);
	*(volatile uint32_t *)0x7ffc = 0x13572468;
	to.offset = (uint32_t)(uint64_t)in_compat;
	to.selector = COMPAT;
	try_asm("mov %4, %%ds\n\tmov %%ds:0x7ffc, %%ebx\n\tlcall *%3", "\n\tmov %5, %%ds"
		: "+a"(rax), "+c"(rcx)
		: "m"(to), "m"(to), "r"(SMALL), "r"(SEL_DATA)
		: "rbx", "r11", "memory", "cc");
	check_equal(last.vector, 256);
	check_equal(rax, 0);
	check_equal(rcx, 0x13572468);
	to.offset = (uint32_t)(uint64_t)compat_faults;
	try_asm("mov %%rsp, resume_rsp(%%rip)\n\tmov %4, %%ds\n\tlcall *%3",
		"\n\tmov %5, %%ds\n\tmov %5, %%ss"
		: "+a"(rax), "+c"(rcx)
		: "m"(to), "m"(to), "r"(SMALL), "r"(SEL_DATA)
		: "rbx", "r11", "memory", "cc");
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
	check_equal(last.cs, COMPAT);
	check_equal(last.rip, (uint64_t)compat_fault_at);
}

/* Opcodes that 64-bit mode does not have. */
static void removed_opcodes(void)
{
	static const uint8_t opcodes[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f,
					  0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82,
					  0x9a, 0xce, 0xd4, 0xd5, 0xea};
	static uint8_t code[16];

	for (unsigned i = 0; i < sizeof(opcodes); i++) {
		code[0] = opcodes[i];
		try_asm("mov %%rsp, resume_rsp(%%rip)\n\tjmp *%0", "\n\tmov %1, %%ss"
			:
			: "r"(code), "r"(SEL_DATA)
			: "rax", "r11", "memory", "cc");
		check_equal(last.vector, 6);
		check_equal(last.rip, (uint64_t)code);
	}
}

void test_main(void)
{
	/* A KVM that emulates has none of these right. */
	if (is_emulated())
		return;
	allow_user();
	removed_opcodes();
	call_gates();
	interrupt_gates();
	irets();
	system_descriptors();
	compatibility_code();
}
