/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SYSCALL, SYSRET, SYSENTER's fault, SWAPGS, FSGSBASE (SDM volume 2), compatibility mode (volume 3, 9.8). */
#include "guest.h"

enum { MSR_SYSENTER_CS = 0x174, MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082, MSR_SFMASK = 0xc0000084,
       MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102 };

/* At CPL 0 again on the user's stack: what SYSCALL left in registers, then an exception to end. */
extern char syscall_target[];
asm("syscall_target: mov %cs, %eax\n\tmov %ss, %edx\n\tpushfq\n\tpop %rbx\n\tud2");

static void user_syscall(void)
{
	asm volatile("std\n\tsyscall");
}

static void syscall_enters(void)
{
	wrmsr(MSR_STAR, (uint64_t)SEL_USER32 << 48 | (uint64_t)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (uint64_t)syscall_target);
	wrmsr(MSR_SFMASK, 0x400);
	call_user64(user_syscall);
	check_equal(last.vector, 6);
	/* Such a KVM shows the host's selectors, and to code after SYSCALL that it is at CPL 3. */
	if (!is_emulated()) {
		check_equal(last.cs & 3, 0);
		check_equal(last.rax, SEL_CODE);
		check_equal(last.rdx, SEL_CODE + 8);
	}
	check_equal(last.rbx & 0x400, 0);
	check(last.r11 & 0x400);
	asm volatile("cld");
}

static void user_target(void)
{
	asm volatile("mov %cs, %eax\n\tmov %ss, %edx\n\tud2");
}

static void sysret_leaves(void)
{
	try_asm("push %%rbp\n\tmov %%rsp, resume_rsp(%%rip)\n\tpushfq\n\tpop %%r12\n\tmov %%r12, %%r11\n\tsysretq",
		"\n\tpop %%rbp" : : "c"(user_target)
		: "rax", "rdx", "r11", "r12", "memory", "cc");
	check_equal(last.vector, 6);
	check_equal(last.cs, SEL_USER64);
	if (!is_emulated()) {
		check_equal(last.rax, SEL_USER64);
		check_equal(last.rdx, SEL_USER_DATA);
	}
	/* A target that is not canonical faults while still at CPL 0; such a KVM faults after it. */
	if (is_emulated())
		return;
	try_asm("pushfq\n\tpop %%r11\n\tsysretq", : : "c"(0x0000800000000000) : "r11", "memory", "cc");
	check_equal(last.vector, 13);
	check_equal(last.cs, SEL_CODE);
}

static void gs_bases(void)
{
	uint64_t v;

	wrmsr(MSR_GS_BASE, 0x1111);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2222);
	asm volatile("swapgs");
	check_equal(rdmsr(MSR_GS_BASE), 0x2222);
	check_equal(rdmsr(MSR_KERNEL_GS_BASE), 0x1111);
	try_asm("wrmsr", : : "a"(0), "d"(0x8000), "c"(MSR_GS_BASE) : "r11");
	/* Such a KVM takes any base, and has RDGSBASE whatever CPUID and CR4 say. */
	if (is_emulated())
		return;
	check_equal(last.vector, 13);
	try_asm("rdgsbase %%rax", : : : "rax", "r11");
	check_equal(last.vector, 6);
	write_cr4(read_cr4() | 1 << 16);
	asm volatile("rdgsbase %0" : "=r"(v));
	check_equal(v, 0x2222);
	asm volatile("wrgsbase %0" : : "r"((uint64_t)&gdt[5]));
	asm volatile("mov %%gs:0, %0" : "=r"(v));
	check_equal(v, gdt[5]);
}

/* 32-bit code at CPL 3: default sizes, INC's one-byte form, and addresses that wrap at 4 GiB. */
extern char code32[];
asm("code32: .byte 0xb8,0xff,0xff,0xff,0xff\n\t" /* mov eax, -1 */
    ".byte 0x40\n\t"				 /* inc eax */
    ".byte 0xb9,0x08,0x00,0x00,0x00\n\t"	 /* mov ecx, 8 */
    ".byte 0x8d,0x91,0xf8,0xff,0xff,0xff\n\t"	 /* lea edx, [ecx - 8] */
    ".byte 0x37\n\t"				 /* aaa */
    ".byte 0x0f,0x0b");				 /* ud2 */

static void compatibility_mode(void)
{
	try_asm("push %%rbp\n\tmov %%rsp, resume_rsp(%%rip)\n\tpush %[ss]\n\tpush %%rsp\n\tpush $2\n\tpush %[cs]\n\t"
		"push %[fn]\n\tiretq", "\n\tpop %%rbp"
		: : [ss] "i"(SEL_USER_DATA), [cs] "i"(SEL_USER32), [fn] "D"(code32)
		: "rax", "rcx", "rdx", "r11", "memory", "cc");
	check_equal(last.vector, 6);
	check_equal(last.cs, SEL_USER32);
	check_equal(last.rcx, 8);
	check_equal(last.rdx, 0);
	/* The emulator has no AAA. */
	if (is_emulated())
		return;
	check_equal(last.rax, 0x106 & 0xff0f);
	check_equal(last.rip, (uint64_t)code32 + 18);
}

static void sysenter_faults(void)
{
	/* The emulator has no SYSENTER in 64-bit mode. */
	if (is_emulated())
		return;
	wrmsr(MSR_SYSENTER_CS, 0);
	try_asm("sysenter", : : : "r11");
	check_equal(last.vector, 13);
}

void test_main(void)
{
	allow_user();
	syscall_enters();
	sysret_leaves();
	gs_bases();
	compatibility_mode();
	sysenter_faults();
}
