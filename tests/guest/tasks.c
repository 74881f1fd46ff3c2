/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hardware task switching (SDM volume 3, chapter 8; table 8-1 for the order of checks). */
#include "guest32.h"

enum {
	OTHER = SEL_FREE,
	GATE = SEL_FREE + 8,
	OLD286 = SEL_FREE + 16,
	LDT = SEL_FREE + 24,
	BAD = SEL_FREE + 32
};
enum { BUSY = 2, CR0_TS = 8 };

static struct tss32 other __attribute__((aligned(128)));
static uint16_t old286[22] __attribute__((aligned(64)));
static uint8_t other_stack[4096] __attribute__((aligned(16)));
#define OTHER_TOP ((uint32_t)other_stack + sizeof(other_stack))

static volatile uint32_t seen[8];

static void jump_other(void)
{
	asm volatile("ljmp %0, $0" : : "i"(OTHER) : "memory");
}
static void call_other(void)
{
	asm volatile("mov $0x55, %%ebx\n\tlcall %0, $0\n\tmov %%ebx, seen"
		     :
		     : "i"(OTHER)
		     : "ebx", "memory");
}
static void call_gate(void)
{
	asm volatile("lcall %0, $0" : : "i"(GATE) : "memory");
}
static void call_286(void)
{
	asm volatile("lcall %0, $0" : : "i"(OLD286) : "memory");
}

extern char back[], ends[], back286[];
/* The other task: notes what it started with, and returns to its caller. */
asm(".text\nback:\n\tmov %eax, seen + 4\n\tpushf\n\tpop seen + 8\n\tstr seen + 12\n\tmov %esp, "
    "seen + 16\n\tiret\n\t"
    "jmp back\nends: ud2\n"
    "back286:\n\tmov %eax, seen + 4\n\tmov %fs, %eax\n\tmov %eax, seen + 8\n\tstr seen + 12\n\t"
    "mov %esp, seen + 16\n\tiret");

static unsigned type_of(unsigned selector)
{
	return gdt[selector / 8] >> 40 & 0x1f;
}

static void prepare(void *entry)
{
	other = (struct tss32){.eip = (uint32_t)entry,
			       .eflags = 2,
			       .esp = OTHER_TOP,
			       .es = SEL_DATA,
			       .cs = SEL_CODE,
			       .ss = SEL_DATA,
			       .ds = SEL_DATA,
			       .fs = SEL_DATA,
			       .gs = SEL_DATA,
			       .eax = 0x1234};
	gdt[OTHER / 8] = descriptor((uint32_t)&other, sizeof(other) - 1, 0x89, 0);
	gdt[GATE / 8] = (uint64_t)0x85 << 40 | OTHER << 16;
	/* As the machine's own task, whatever a case left behind. */
	gdt[SEL_TSS / 8] &= ~((uint64_t)BUSY << 40);
	load_task(SEL_TSS);
	asm volatile("clts");
}

static void nested_call(void)
{
	prepare(back);
	check_raises(call_other, 256, 0);
	check_equal(seen[0], 0x55);
	check_equal(seen[1], 0x1234);
	check(seen[2] & EFLAGS_NT);
	check_equal(seen[3] & 0xffff, OTHER);
	check_equal(seen[4], OTHER_TOP);
	check_equal(other.link, SEL_TSS);
	/* IRET saved the other task behind its IRET, not nested, and not busy. */
	check_equal(other.eip, (uint32_t)ends - 2);
	check_equal(other.eflags & EFLAGS_NT, 0);
	check_equal(type_of(OTHER), 9);
	check_equal(type_of(SEL_TSS), 11);
	check(read_cr0() & CR0_TS);
	prepare(back);
	check_raises(call_gate, 256, 0);
	check_equal(seen[3] & 0xffff, OTHER);
}

static void jump(void)
{
	prepare(ends);
	check_raises(jump_other, 6, 0);
	check_equal(last.eip, (uint32_t)ends);
	check_equal(last.eflags & EFLAGS_NT, 0);
	check_equal(type_of(SEL_TSS), 9);
	check_equal(type_of(OTHER), 11);
	check_equal(other.link, 0);
}

/* What is wrong with the TSS' descriptor belongs to the old task. */
static void bad_tasks(void)
{
	prepare(ends);
	gdt[OTHER / 8] |= (uint64_t)BUSY << 40;
	check_raises(jump_other, 13, OTHER);
	prepare(ends);
	gdt[OTHER / 8] &= ~(1ull << 47);
	check_raises(jump_other, 11, OTHER);
	prepare(ends);
	gdt[OTHER / 8] = descriptor((uint32_t)&other, 0x66, 0x89, 0);
	check_raises(jump_other, 10, OTHER);
	check_equal(last.eip, (uint32_t)jump_other);
	check_equal(type_of(SEL_TSS), 11);
	prepare(ends);
	gdt[GATE / 8] &= ~(1ull << 47);
	check_raises(call_gate, 11, GATE);
}

static void iret_nested(void)
{
	asm volatile("pushf\n\torl $0x4000, (%%esp)\n\tpopf\n\tiret" : : : "memory", "cc");
}

static void link_raises(uint32_t link, unsigned vector, unsigned code)
{
	tss.link = link;
	check_raises(iret_nested, vector, code);
	check_equal(type_of(SEL_TSS), 11);
	check(last.eflags & EFLAGS_NT);
}

/* The backlink that IRET follows names no task, one that is not busy, an absent or a short one. */
static void bad_links(void)
{
	prepare(ends);
	link_raises(0, 10, 0);
	link_raises(SEL_DATA, 10, SEL_DATA);
	link_raises(OTHER, 10, OTHER);
	link_raises(OTHER | 4, 10, OTHER | 4);
	link_raises(sizeof(gdt), 10, sizeof(gdt));
	gdt[OTHER / 8] = descriptor((uint32_t)&other, sizeof(other) - 1, 0x0b, 0);
	link_raises(OTHER, 11, OTHER);
	gdt[OTHER / 8] = descriptor((uint32_t)&other, 0x66, 0x8b, 0);
	link_raises(OTHER, 10, OTHER);
	/* A good one: this task is free then, and not nested. */
	gdt[OTHER / 8] = descriptor((uint32_t)&other, sizeof(other) - 1, 0x8b, 0);
	tss.link = OTHER;
	check_raises(iret_nested, 6, 0);
	check_equal(last.eip, (uint32_t)ends);
	check_equal(type_of(SEL_TSS), 9);
	check_equal(tss.eflags & EFLAGS_NT, 0);
	tss.link = 0;
}

/* What is wrong with its contents, to the new one: its TSS is the one in use. */
static void bad_contents(void)
{
	static const struct {
		unsigned field, value, vector, code;
	} cases[] = {
		{offsetof(struct tss32, cs), 0, 10, 0},
		{offsetof(struct tss32, cs), SEL_DATA, 10, SEL_DATA},
		{offsetof(struct tss32, ss), 0, 10, 0},
		{offsetof(struct tss32, ss), SEL_CODE, 10, SEL_CODE},
		{offsetof(struct tss32, ss), BAD, 12, BAD},
		{offsetof(struct tss32, ds), BAD, 11, BAD},
		{offsetof(struct tss32, ds), 0x1000, 10, 0x1000},
		{offsetof(struct tss32, ldt), SEL_DATA, 10, SEL_DATA},
	};

	gdt[BAD / 8] = descriptor(0, 0xfffff, 0x13, 0xc);
	/* The handlers run on a task of their own: the new task's stack may be the trouble. */
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct tss32 handler __attribute__((aligned(128)));
		uint64_t saved = idt[cases[i].vector];

		prepare(ends);
		*(uint32_t *)((char *)&other + cases[i].field) = cases[i].value;
		handler = other;
		handler.eip = (uint32_t)exception_stubs + 16 * cases[i].vector;
		handler.cs = SEL_CODE;
		handler.ss = handler.ds = SEL_DATA;
		handler.ldt = 0;
		handler.esp = OTHER_TOP - 1024;
		gdt[OLD286 / 8] = descriptor((uint32_t)&handler, 0x67, 0x89, 0);
		idt[cases[i].vector] = (uint64_t)0x85 << 40 | OLD286 << 16;
		run(jump_other);
		idt[cases[i].vector] = saved;
		check_equal(last_vector, cases[i].vector);
		check_equal(last.error, cases[i].code);
		check_equal(handler.link, OTHER);
		check_equal(other.eip, (uint32_t)ends);
	}
}

/* An exception through a task gate: its error code is on the new task's stack. */
static void load_bad(void)
{
	asm volatile("mov %0, %%ds" : : "r"(0x1000));
}
static void task_gate(void)
{
	uint64_t saved = idt[13];

	prepare(exception_stubs + 16 * 13);
	idt[13] = (uint64_t)0x85 << 40 | OTHER << 16;
	run(load_bad);
	idt[13] = saved;
	check_equal(last_vector, 13);
	check_equal(last.error, 0x1000);
	check_equal(other.link, SEL_TSS);
	check(tss.eip - (uint32_t)load_bad < 16);
}

/* T makes #DB before the task's first instruction, with DR6.BT. */
static void trap_flag(void)
{
	uint32_t dr6 = 0;

	prepare(ends);
	other.trap = 1;
	asm volatile("mov %0, %%dr6" : : "r"(0));
	check_raises(jump_other, 1, 0);
	check_equal(last.eip, (uint32_t)ends);
	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	check_equal(dr6 & 0xe00f, 0x8000);
}

/* A 286 TSS: words, no FS and GS, no CR3. */
static void task_286(void)
{
	gdt[LDT / 8] = descriptor((uint32_t)gdt, 0xff, 0x82, 0);
	prepare(ends);
	old286[7] = 0; /* IP, in a segment based at the code */
	gdt[BAD / 8] = descriptor((uint32_t)back286, 0xffff, 0x9b, 4);
	old286[8] = 2;
	old286[9] = 0x4321;
	old286[13] = 0x7ff0;
	old286[17] = SEL_DATA;
	old286[18] = BAD;
	old286[19] = SEL_DATA16;
	old286[20] = SEL_DATA;
	old286[21] = LDT;
	gdt[OLD286 / 8] = descriptor((uint32_t)old286, 43, 0x81, 0);
	check_raises(call_286, 256, 0);
	check_equal(seen[1] & 0xffff, 0x4321);
	check_equal(seen[2], 0);
	check_equal(seen[3] & 0xffff, OLD286);
	check_equal(seen[4] & 0xffff, 0x7ff0);
	check_equal(old286[0], SEL_TSS);
	check_equal(type_of(OLD286), 1);
	check_equal(old286[9], 0);
}

void test_main(void)
{
	nested_call();
	jump();
	bad_tasks();
	bad_links();
	bad_contents();
	task_gate();
	trap_flag();
	task_286();
}
