/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System-management mode: SMIs by the APIC and by the pin, the state-save area (AMD APM volume 2,
 * table 10-1), RSM, SMBASE (SDM volume 3, 34.11), auto-HALT (34.10), NMIs and SMIs held back
 * (34.3, 34.8), SMRAM.
 */
#include "guest.h"

enum {
	AREA = 0xfe00, /* offsets from SMBASE */
	HANDLER = 0x8000,
	HALT_RESTART = AREA + 0xc9,
	REVISION = AREA + 0xfc,
	SMBASE = AREA + 0x100,
	RESET_SMBASE = 0x30000,
	OTHER_SMBASE = 0x60000,
	SMRAM = 0xa0000,
	SMI_PORT = 0xfa,
	SMRAM_PORT = 0xfb,
	LOG = 0x50000,	/* what the handler leaves there */
	STACK = 0x8000, /* while it may run: its SS is 0, and so is RSP's upper half */
};

/* Bits of what the handler is told to do. */
enum { DO_RELOCATE = 1, DO_CHANGE = 2, DO_NMI = 4, DO_SMI = 8, DO_WAKE = 16 };

struct log {
	uint32_t count, todo, new_smbase;
	uint32_t cr0, cr4, rflags, efer;
	uint16_t cs, ip, ss, ds;
};
static volatile struct log *const log = (struct log *)LOG;

extern char handler[], handler_end[];
/*
 * Starts with CS = SMBASE / 16, the other segments flat at 0 with 4 GiB; [LOG] is reached by DS.
 * Offsets are struct log's. SMBASE itself comes from CS.
 */
asm(".pushsection .text\n\t.code16\n"
    "handler:\n\t"
    "call 1f\n1:\tpop %bx\n\t" /* on the stack at SP, which is the program's low half */
    "mov %bx, %cs:0x7ffe\n\t"
    "mov $0x50000, %ebp\n\t"
    "incl %ds:(%ebp)\n\t"
    "mov %cr0, %eax\n\tmov %eax, %ds:12(%ebp)\n\t"
    "mov %cr4, %eax\n\tmov %eax, %ds:16(%ebp)\n\t"
    "pushfl\n\tpop %eax\n\tmov %eax, %ds:20(%ebp)\n\t"
    "mov $0xc0000080, %ecx\n\trdmsr\n\tmov %eax, %ds:24(%ebp)\n\t"
    "mov %cs, %ds:28(%ebp)\n\t"
    "sub $handler_after_call - handler, %bx\n\tmov %bx, %ds:30(%ebp)\n\t"
    "mov %ss, %ds:32(%ebp)\n\tmov %ds, %ds:34(%ebp)\n\t"
    "mov %ds:4(%ebp), %esi\n\tmovl $0, %ds:4(%ebp)\n\t"
    "xor %edi, %edi\n\tmov %cs, %di\n\tshl $4, %edi\n\t" /* SMBASE */
    "test $1, %esi\n\tjz 2f\n\tmov %ds:8(%ebp), %eax\n\tmov %eax, %ds:0xff00(%edi)\n"
    "2:\ttest $2, %esi\n\tjz 3f\n\t"
    "notl %ds:0xfff8(%edi)\n\tnotl %ds:0xfffc(%edi)\n\t" /* RAX */
    "movl $0x12345678, %ds:0xff84(%edi)\n"		 /* R15's upper half */
    "3:\tmov $0x830, %ecx\n\txor %edx, %edx\n\t"
    "test $4, %esi\n\tjz 4f\n\tmov $0x4400, %eax\n\twrmsr\n"
    "4:\ttest $8, %esi\n\tjz 5f\n\tmov $0x4200, %eax\n\twrmsr\n\tnop\n\tnop\n"
    "5:\ttest $16, %esi\n\tjz 6f\n\tmovb $0, %ds:0xfec9(%edi)\n"
    "6:\trsm\n"
    "handler_end:\n\t"
    ".set handler_after_call, handler + 3\n\t"
    ".code64\n\t.popsection");

static void install(uint32_t smbase)
{
	uint8_t *to = (uint8_t *)(uint64_t)smbase + HANDLER;

	for (unsigned i = 0; i < handler_end - handler; i++)
		to[i] = handler[i];
}

static uint64_t saved(uint32_t smbase, unsigned offset)
{
	return *(volatile uint64_t *)((uint64_t)smbase + AREA + offset);
}

struct registers {
	uint64_t rax, rbx, rsi, r15, rflags;
};

/* One by the APIC, in x2APIC mode, with values in registers; gives what they are afterwards. The
 * handler pushes at the low half of RSP, so it has a stack of its own. */
static struct registers smi_with(uint64_t todo)
{
	struct registers r;

	register uint64_t r15 asm("r15");
	register uint64_t r13 asm("r13");

	log->todo = todo;
	asm volatile("mov %%rsp, %%r14\n\tmov %[stack], %%rsp\n\t"
		     "movabs $0x1111222233334444, %%r15\n\tmovabs $0x5555666677778888, %%rbx\n\t"
		     "movabs $0x9999aaaabbbbcccc, %%rsi\n\t"
		     "mov $0x830, %%ecx\n\txor %%edx, %%edx\n\tmov $0x4200, %%eax\n\t"
		     "wrmsr\n\tpushfq\n\tpop %%r13\n\tmov %%r14, %%rsp"
		     : "=&a"(r.rax), "=&b"(r.rbx), "=&S"(r.rsi), "=&r"(r15), "=&r"(r13)
		     : [stack] "i"(STACK)
		     : "rcx", "rdx", "r14", "memory", "cc");
	r.r15 = r15;
	r.rflags = r13;
	return r;
}

static void test_in_and_out(void)
{
	struct registers r = smi_with(0);
	uint64_t cr3 = read_cr3();

	check_equal(log->count, 1);
	check_equal(r.rax, 0x4200);
	check_equal(r.rbx, 0x5555666677778888);
	check_equal(r.rsi, 0x9999aaaabbbbcccc);
	/* What the handler started with (34.5.1, table 34-3). */
	check_equal(log->cr0 & 0x8000000d, 0);
	check_equal(log->cr4, 0);
	check_equal(log->efer, 0);
	check_equal(log->rflags & 0x3f7fd5 & ~0x8d5, 0);
	check_equal(log->cs, RESET_SMBASE / 16);
	check_equal(log->ip, HANDLER);
	check_equal(log->ss, 0);
	check_equal(log->ds, 0);
	/* What it found. */
	check_equal(*(volatile uint32_t *)(RESET_SMBASE + REVISION), 0x20064);
	check_equal(*(volatile uint32_t *)(RESET_SMBASE + SMBASE), RESET_SMBASE);
	check_equal(saved(RESET_SMBASE, 0x1f8), 0x4200);
	check_equal(saved(RESET_SMBASE, 0x1f0), 0x830);
	check_equal(saved(RESET_SMBASE, 0x1e0), 0x5555666677778888);
	check_equal(saved(RESET_SMBASE, 0x1c8), 0x9999aaaabbbbcccc);
	check_equal(saved(RESET_SMBASE, 0x180), 0x1111222233334444);
	check_equal(saved(RESET_SMBASE, 0x1d8), STACK);
	check_equal(saved(RESET_SMBASE, 0x150), cr3);
	check_equal(saved(RESET_SMBASE, 0x148), read_cr4());
	check_equal(saved(RESET_SMBASE, 0x158), read_cr0());
	check_equal(saved(RESET_SMBASE, 0xd0), rdmsr(0xc0000080));
	check_equal(saved(RESET_SMBASE, 0x10) & 0xffff, SEL_CODE);
	check_equal(saved(RESET_SMBASE, 0x10) >> 16 & 0x20ff, 0x209b);
	check_equal(saved(RESET_SMBASE, 0x68), (uint64_t)gdt);
	check_equal(saved(RESET_SMBASE, 0x64) & 0xffff, sizeof(gdt) - 1);
	check_equal(saved(RESET_SMBASE, 0x88), (uint64_t)idt);
	check_equal(saved(RESET_SMBASE, 0x90) & 0xffff, SEL_TSS);
	check_equal(saved(RESET_SMBASE, 0x98), (uint64_t)tss);
	check_equal(*(volatile uint8_t *)(RESET_SMBASE + HALT_RESTART), 0);
}

/* What the handler writes into the area is what RSM loads. */
static void test_change(void)
{
	struct registers r = smi_with(DO_CHANGE);

	check_equal(r.rax, ~0x4200ull);
	check_equal(r.r15, 0x1234567833334444);
}

static void test_relocate(void)
{
	unsigned count = log->count;

	install(OTHER_SMBASE);
	log->new_smbase = OTHER_SMBASE;
	smi_with(DO_RELOCATE);
	check_equal(log->cs, RESET_SMBASE / 16);
	smi_with(0);
	check_equal(log->count, count + 2);
	check_equal(log->cs, OTHER_SMBASE / 16);
	check_equal(*(volatile uint32_t *)(OTHER_SMBASE + SMBASE), OTHER_SMBASE);
	log->new_smbase = RESET_SMBASE;
	smi_with(DO_RELOCATE);
}

static void test_rsm_outside(void)
{
	try_asm("rsm", : : : "r11", "memory");
	check_equal(last.vector, 6);
}

/* NMIs and SMIs that come in the meantime are taken after RSM. */
static void test_held_back(void)
{
	unsigned count = log->count;

	smi_with(DO_SMI);
	check_equal(log->count, count + 2);
	last.vector = 256;
	resume_rip = (uint64_t) && after_nmi; /* any: NMI's handler is on_exception() */
	asm volatile("" : : : "memory");
	log->todo = DO_NMI;
	asm goto volatile("mov %%rsp, %%r14\n\tmov $0x8000, %%esp\n\t"
			  "mov $0x830, %%ecx\n\txor %%edx, %%edx\n\tmov $0x4200, %%eax\n\twrmsr\n\t"
			  "nop\n\tud2"
			  :
			  :
			  : "rax", "rcx", "rdx", "r14", "memory"
			  : after_nmi);
	__builtin_unreachable();
after_nmi:
	asm volatile("mov %r14, %rsp");
	check_equal(log->count, count + 3);
	check_equal(last.vector, 2);
}

static void apic_timer(uint32_t ns)
{
	wrmsr(0x80f, 0x1ff);
	wrmsr(0x83e, 0xb);
	wrmsr(0x832, 0x40);
	wrmsr(0x838, ns);
}

/* An SMI by the pin, a while after HLT has begun; then the timer's interrupt ends it, unless the
 * handler did. */
static void test_halt(void)
{
	for (unsigned wake = 0; wake < 2; wake++) {
		unsigned count = log->count;

		log->todo = wake ? DO_WAKE : 0;
		interrupts = 0;
		apic_timer(wake ? 2000000000 : 30000000);
		asm volatile(
			"mov %%rsp, %%r14\n\tmov $0x8000, %%esp\n\t"
			"mov $1, %%eax\n\tout %%al, %0\n\tsti\n\thlt\n\tcli\n\tmov %%r14, %%rsp"
			:
			: "i"(SMI_PORT)
			: "rax", "r14", "memory", "cc");
		check_equal(log->count, count + 1);
		check_equal(interrupts, !wake);
		check_equal(*(volatile uint8_t *)(RESET_SMBASE + HALT_RESTART), !wake);
		wrmsr(0x838, 0);
		wrmsr(0x80b, 0);
	}
}

/* Closed SMRAM is there in system-management mode and nowhere else. */
static void test_smram(void)
{
	volatile uint8_t *first = (volatile uint8_t *)(SMRAM + HANDLER);
	unsigned count = log->count;
	uint8_t open;

	install(SMRAM);
	log->new_smbase = SMRAM;
	smi_with(DO_RELOCATE);
	open = *first;
	check(open != 0xff);
	outb(SMRAM_PORT, 1);
	check_equal(*first, 0xff);
	*first = 0xf4;
	smi_with(0);
	check_equal(log->count, count + 2);
	check_equal(log->cs, SMRAM / 16);
	check_equal(*first, 0xff);
	/* Nor can it be run. */
	last.vector = 256;
	resume_rip = (uint64_t) && after_call;
	asm goto volatile("mov %%rsp, %%r14\n\tjmp *%0"
			  :
			  : "r"(first)
			  : "r14", "memory"
			  : after_call);
	__builtin_unreachable();
after_call:
	asm volatile("mov %r14, %rsp");
	check_equal(last.vector, 6);
	outb(SMRAM_PORT, 0);
	check_equal(*first, open);
	check_equal(*(volatile uint32_t *)(SMRAM + SMBASE), SMRAM);
	log->new_smbase = RESET_SMBASE;
	smi_with(DO_RELOCATE);
}

void test_main(void)
{
	if (is_kvm()) /* its engine takes no SMI */
		return;
	wrmsr(0x1b, rdmsr(0x1b) | 1 << 10);
	install(RESET_SMBASE);
	test_in_and_out();
	test_change();
	test_relocate();
	test_rsm_outside();
	test_held_back();
	test_halt();
	test_smram();
}
