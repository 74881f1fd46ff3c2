/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 3, chapter 6: frames, error codes, stack switching, double faults; 5.8 gates' DPL. */
#include "guest.h"

static void divide_error(void)
{
	try_asm("xor %%eax, %%eax\n\txor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tdivl %%ecx",
		:
		:
		: "rax", "rcx", "rdx", "r11", "cc");
	check_equal(last.vector, 0);
	/* INT64_MIN / -1 does not fit either. */
	try_asm("mov $1, %%edx\n\tshl $63, %%rdx\n\txor %%eax, %%eax\n\tmov $-1, %%rcx\n\tidivq "
		"%%rcx",
		:
		:
		: "rax", "rcx", "rdx", "r11", "cc");
	check_equal(last.vector, 0);
}

static void invalid_opcode(void)
{
	uint64_t at = 0;

	try_asm("lea 8f(%%rip), %0\n8:\tud2", : "=&r"(at) : : "r11");
	check_equal(last.vector, 6);
	check_equal(last.rip, at);
	/* LOCK where it is not allowed, and on a register destination */
	try_asm(".byte 0xf0, 0x89, 0xc0", : : : "r11");
	check_equal(last.vector, 6);
	try_asm(".byte 0xf0, 0x8b, 0x00", : : : "r11");
	check_equal(last.vector, 6);
}

/* 15 bytes are the limit: a 16th makes #GP(0), whatever the instruction. */
static void too_long(void)
{
	try_asm(".fill 14, 1, 0x66\n\t.byte 0x90", : : : "r11");
	check_equal(last.vector, 256);
	try_asm(".fill 15, 1, 0x66\n\t.byte 0x90", : : : "r11");
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
}

static void selectors(void)
{
	/* past the GDT's limit */
	try_asm("mov %0, %%ds", : : "r"(0x1000) : "r11");
	check_equal(last.vector, 13);
	check_equal(last.error, 0x1000);
	/* a code segment that cannot be read is no data segment; an absent one is #NP */
	gdt[10] = 0x00af98000000ffff;
	gdt[11] = 0x00cf13000000ffff;
	try_asm("mov %0, %%es", : : "r"(10 * 8) : "r11");
	check_equal(last.vector, 13);
	check_equal(last.error, 10 * 8);
	try_asm("mov %0, %%es", : : "r"(11 * 8) : "r11");
	check_equal(last.vector, 11);
	check_equal(last.error, 11 * 8);
	/* a null selector in CS by far return */
	try_asm("mov %%rsp, %%rbx\n\tpush $0\n\tlea 9f(%%rip), %%rax\n\tpush %%rax\n\tlretq",
		"\n\tmov %%rbx, %%rsp"
		:
		:
		: "rax", "rbx", "r11", "memory");
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
}

static void software_interrupts(void)
{
	uint64_t after = 0;

	/* The emulator has no INT3 and INT n. */
	if (is_emulated())
		return;
	try_asm("lea 8f(%%rip), %0\n\tint3\n8:", : "=&r"(after) : : "r11");
	check_equal(last.vector, 3);
	check_equal(last.rip, after);
	last.vector = 256;
	asm volatile("int $0x80");
	check_equal(last.vector, 0x80);
}

static void user_int_forbidden(void)
{
	asm volatile("int $0x81");
}
static void user_int_allowed(void)
{
	asm volatile("int3");
}
static void user_hlt(void)
{
	asm volatile("hlt");
}
static void user_ud(void)
{
	asm volatile("ud2");
}

static void from_user(void)
{
	allow_user();
	call_user64(user_ud);
	check_equal(last.vector, 6);
	check_equal(last.cs, SEL_USER64);
	check_equal(last.ss, SEL_USER_DATA);
	call_user64(user_hlt);
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
	if (is_emulated())
		return;
	call_user64(user_int_forbidden);
	check_equal(last.vector, 13);
	check_equal(last.error, 0x81 * 8 + 2);
	call_user64(user_int_allowed);
	check_equal(last.vector, 3);
}

/* A page fault while a #GP's gate is absent: contributory on contributory is a double fault, on
 * IST 1. */
static void double_fault(void)
{
	uint64_t saved = idt[13][0];

	idt[13][0] &= ~(1ull << 47);
	try_asm("mov %0, %%ds", : : "r"(0x1000) : "r11", "memory");
	idt[13][0] = saved;
	check_equal(last.vector, 8);
	check_equal(last.error, 0);
}

static void single_step(void)
{
	try_asm("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop\n8:\tnop",
		:
		:
		: "r11", "memory", "cc");
	check_equal(last.vector, 1);
}

/* What enters a handler with TF clear is not followed by a trap (SDM volume 3, 18.3.1.4; SYSCALL).
 */
static void single_step_into(void)
{
	uint64_t entered = 0, efer = rdmsr(0xc0000080);
	unsigned before = interrupts;

	/* KVM's emulator has no INT n. */
	if (is_emulated())
		return;
	try_asm("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tint $0x80\n8:\tnop",
		:
		:
		: "r11", "memory", "cc");
	check_equal(last.vector, 1);
	check_equal(interrupts, before + 1);
	wrmsr(0xc0000080, efer | 1);
	wrmsr(0xc0000081, (uint64_t)SEL_CODE << 32);
	wrmsr(0xc0000084, 0x100);
	try_asm("mov $0xc0000082, %%ecx\n\tlea 7f(%%rip), %%rax\n\tmov %%rax, %%rdx\n\t"
		"shr $32, %%rdx\n\twrmsr\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"
		"syscall\n\tjmp 9f\n7:\tinc %0\n\tjmp *%%rcx",
		: "+r"(entered)
		:
		: "rax", "rcx", "rdx", "r11", "memory", "cc");
	check_equal(last.vector, 256);
	check_equal(entered, 1);
	wrmsr(0xc0000080, efer);
}

void test_main(void)
{
	divide_error();
	invalid_opcode();
	too_long();
	selectors();
	software_interrupts();
	single_step();
	single_step_into();
	double_fault();
	from_user();
}
