/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 3, 18.2 and 18.3: breakpoints, RF, single step, GD; 6.15: #AC; MOV SS and STI. */
#include "guest32.h"

enum {
	L0 = 1,
	L1 = 4,
	EXECUTE = 0,
	WRITE = 1,
	PORT = 2,
	ACCESS = 3,
	LEN1 = 0,
	LEN2 = 4,
	LEN8 = 8,
	LEN4 = 12
};
enum { B0 = 1, B1 = 2, BD = 1 << 13, BS = 1 << 14, GD = 1 << 13, CR4_DE = 8, CR0_AM = 1 << 18 };

static volatile uint32_t data[16] __attribute__((aligned(64)));

static void set_dr7(uint32_t v)
{
	asm volatile("mov %0, %%dr7" : : "r"(v));
}

static uint32_t take_dr6(void)
{
	uint32_t v;

	asm volatile("mov %%dr6, %0" : "=r"(v));
	asm volatile("mov %0, %%dr6" : : "r"(0));
	return v & 0xe00f;
}

static void set_dr0(const volatile void *address, uint32_t kind)
{
	asm volatile("mov %0, %%dr0" : : "r"(address));
	set_dr7(L0 | kind << 16);
}

/* Runs fn with the breakpoint, which it hits at `at`, or not (NULL). */
static void expect(void (*fn)(void), const volatile void *address, uint32_t kind, const char *at)
{
	set_dr0(address, kind);
	run(fn);
	set_dr7(0);
	check_equal(last_vector, at ? 1 : 256);
	check_equal(take_dr6(), at ? B0 : 0);
	if (at)
		check_equal(last.eip, (uint32_t)at);
}

#define CODE(name, text)                                                                       \
	extern const char name##_at[];                                                         \
	static void __attribute__((noinline)) name(void)                                       \
	{                                                                                      \
		asm volatile(text : : "D"(data) : "eax", "ecx", "edx", "esi", "memory", "cc"); \
	}
CODE(nops, "nop\nnops_at:\n\tnop\n\tnop")
CODE(store, "movl $1, 4(%%edi)\nstore_at:\n\tnop")
CODE(load, "mov 4(%%edi), %%eax\nload_at:\n\tnop")
CODE(add, "lock addl $1, 4(%%edi)\nadd_at:\n\tnop")
CODE(store_byte, "movb $1, 7(%%edi)\nstore_byte_at:\n\tnop")
CODE(push_it, "mov %%esp, %%edx\n\tlea 8(%%edi), %%esp\n\tpush $5\npush_it_at:\n\tmov %%edx, %%esp")
CODE(string, "mov $4, %%ecx\n\txor %%eax, %%eax\n\trep stosl\nstring_at:\n\tnop")
CODE(step_string,
     "mov $3, %%ecx\n\tpushf\n\torl $0x100, (%%esp)\n\tpopf\n\trep stosl\nstep_string_at:\n\tnop")
CODE(fault, "fault_at: ud2")
CODE(output, "mov $0x81, %%dx\n\toutb %%al, %%dx\noutput_at:\n\tnop")
CODE(after_ss, "mov %%ss, %%eax\n\tmov %%eax, %%ss\nafter_ss_at:\n\tnop\n\tnop")
CODE(after_sti, "sti\nafter_sti_at:\n\tcli\n\tnop")
CODE(ss_int1, "mov 4(%%edi), %%ss\n\t.byte 0xf1\nss_int1_at:\n\tnop")
CODE(get_dr, "get_dr_at: mov %%dr0, %%eax")
CODE(iret_rf,
     "pushf\n\torl $0x10000, (%%esp)\n\tpush %%cs\n\tpush $iret_rf_at\n\tiret\niret_rf_at:\n\tnop")

static void data_breakpoints(void)
{
	expect(store, data + 1, WRITE | LEN4, store_at);
	expect(load, data + 1, WRITE | LEN4, NULL);
	expect(load, data + 1, ACCESS | LEN4, load_at);
	expect(add, data + 1, WRITE | LEN4, add_at);
	expect(store, data + 2, WRITE | LEN4, NULL);
	expect(store, (char *)data + 7, WRITE | LEN1, store_at);
	expect(store_byte, (char *)data + 6, WRITE | LEN2, store_byte_at);
	expect(store_byte, (char *)data + 4, WRITE | LEN2, NULL);
	/* The address' low bits do not count. */
	expect(store_byte, (char *)data + 5, WRITE | LEN4, store_byte_at);
	expect(push_it, data + 1, WRITE | LEN4, push_it_at);
	check_equal(data[1], 5);
	/* A repeated instruction stops after the element; a prefix of two bytes stands before its
	 * end. */
	expect(string, data + 1, WRITE | LEN4, string_at - 2);
	check_equal(last.ecx, 2);
	check(last.eflags & EFLAGS_RF);
	expect(string, data + 3, WRITE | LEN4, string_at);
	check_equal(last.eflags & EFLAGS_RF, 0);
	/* The trap of MOV SS waits, and INT1's #DB takes it along. */
	asm volatile("mov %%ss, %0" : "=r"(data[1]));
	expect(ss_int1, data + 1, ACCESS | LEN4, ss_int1_at);
}

static void code_breakpoints(void)
{
	expect(nops, nops_at, EXECUTE, nops_at);
	/* A fault, but RF is as it was: the handler sets it to get past. */
	check_equal(last.eflags & EFLAGS_RF, 0);
	expect(nops, nops_at + 10, EXECUTE, NULL);
	expect(after_ss, after_ss_at, EXECUTE, NULL);
	expect(after_ss, after_ss_at + 1, EXECUTE, after_ss_at + 1);
	expect(after_sti, after_sti_at, EXECUTE, after_sti_at);
	asm volatile("cli");
	expect(iret_rf, iret_rf_at, EXECUTE, NULL);
}

static void ports(void)
{
	write_cr4(CR4_DE);
	expect(output, (void *)0x80, PORT | LEN2, output_at);
	expect(output, (void *)0x82, PORT | LEN2, NULL);
	write_cr4(0);
	expect(output, (void *)0x80, PORT | LEN2, NULL);
}

static void general_detect(void)
{
	uint32_t dr7;

	set_dr7(GD);
	run(get_dr);
	check_equal(last_vector, 1);
	check_equal(last.eip, (uint32_t)get_dr_at);
	check_equal(take_dr6(), BD);
	asm volatile("mov %%dr7, %0" : "=r"(dr7));
	check_equal(dr7 & GD, 0);
}

static uint32_t wanted;

static void get_dr4(void)
{
	asm volatile("mov %%dr4, %0" : "=r"(wanted));
}

static void set_dr5(void)
{
	asm volatile("mov %0, %%dr5" : : "r"(wanted));
}

/* 18.2.2: DR4 and DR5 are DR6 and DR7, or nothing. 18.3.1.1: what RF is in a fault's frame, and
 * single step in a repeated instruction. */
static void aliases_and_flags(void)
{
	uint32_t dr7;

	asm volatile("mov %0, %%dr6" : : "r"(0xffff4ff1));
	check_raises(get_dr4, 256, 0);
	check_equal(wanted, 0xffff4ff1);
	wanted = 0x400;
	check_raises(set_dr5, 256, 0);
	asm volatile("mov %%dr7, %0" : "=r"(dr7));
	check_equal(dr7, 0x400);
	write_cr4(CR4_DE);
	check_raises(get_dr4, 6, 0);
	check_raises(set_dr5, 6, 0);
	write_cr4(0);
	take_dr6();
	check_raises(fault, 6, 0);
	check(last.eflags & EFLAGS_RF);
	check_raises(step_string, 1, 0);
	check_equal(last.eip, (uint32_t)step_string_at - 2);
	check_equal(last.ecx, 2);
	check(last.eflags & EFLAGS_RF);
	check_equal(take_dr6(), BS);
}

/* Two at once, and single step with them: one #DB. */
CODE(step_store, "pushf\n\torl $0x100, (%%esp)\n\tpopf\n\tmovl $1, 4(%%edi)\nstep_store_at:\n\tnop")
CODE(step_ss, "mov %%ss, %%eax\n\tpushf\n\torl $0x100, (%%esp)\n\tpopf\n\tmov %%eax, "
	      "%%ss\n\tnop\nstep_ss_at:\n\tnop")
CODE(step_sti, "pushf\n\torl $0x100, (%%esp)\n\tpopf\n\tsti\nstep_sti_at:\n\tcli")
CODE(step_int, "pushf\n\torl $0x100, (%%esp)\n\tpopf\n\tint $0x80\n\tnop\nstep_int_at:\n\tnop")

static void together(void)
{
	asm volatile("mov %0, %%dr1" : : "r"(data + 1));
	set_dr0(data + 1, WRITE | LEN4);
	set_dr7(L0 | L1 | (WRITE | LEN4) << 16 | (WRITE | LEN4) << 20);
	run(step_store);
	set_dr7(0);
	check_equal(last_vector, 1);
	check_equal(last.eip, (uint32_t)step_store_at);
	check_equal(take_dr6(), B0 | B1 | BS);
	/* A load of SS holds the trap off for one instruction, STI does not. */
	check_raises(step_ss, 1, 0);
	check_equal(last.eip, (uint32_t)step_ss_at);
	check_equal(take_dr6(), BS);
	check_raises(step_sti, 1, 0);
	check_equal(last.eip, (uint32_t)step_sti_at);
	take_dr6();
	/* INT clears TF: the next trap is behind the handler's IRET, after one instruction. */
	check_raises(step_int, 1, 0);
	check_equal(last.eip, (uint32_t)step_int_at);
	take_dr6();
}

/* #AC: at CPL 3, with CR0.AM and EFLAGS.AC. */
#define MISALIGNED(name, text)                                           \
	static void name##_user(void)                                    \
	{                                                                \
		asm volatile("pushl $0x40002\n\tpopf\n\t" text "\n\tud2" \
			     :                                           \
			     : "D"(data)                                 \
			     : "eax", "memory", "cc");                   \
	}                                                                \
	static void name(void)                                           \
	{                                                                \
		run_user(name##_user);                                   \
	}
MISALIGNED(word, "mov 1(%%edi), %%ax")
MISALIGNED(dword, "mov %%eax, 2(%%edi)")
MISALIGNED(locked, "lock incl 2(%%edi)")
MISALIGNED(aligned, "mov 4(%%edi), %%eax\n\tmov 1(%%edi), %%al\n\tlock incl 4(%%edi)")
MISALIGNED(pushed, "dec %%esp\n\tpush %%eax")
MISALIGNED(qword, "fldl 4(%%edi)")

static void alignment(void)
{
	check_raises(word, 6, 0);
	write_cr0(read_cr0() | CR0_AM);
	check_raises(word, 17, 0);
	check_raises(dword, 17, 0);
	check_raises(locked, 17, 0);
	check_raises(pushed, 17, 0);
	check_raises(qword, 17, 0);
	data[1] = 7;
	check_raises(aligned, 6, 0);
	check_equal(data[1], 8);
	write_cr0(read_cr0() & ~CR0_AM);
}

void test_main(void)
{
	take_dr6();
	data_breakpoints();
	code_breakpoints();
	ports();
	general_detect();
	check(last.eflags & EFLAGS_RF);
	aliases_and_flags();
	together();
	alignment();
}
