/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest.h"

volatile struct frame last;
volatile uint64_t last_cr2;
uint64_t resume_rip, resume_rsp;
volatile unsigned interrupts;

uint64_t idt[256][2] __attribute__((aligned(16)));
uint32_t tss[26] __attribute__((aligned(16)));
uint64_t gdt[16] = {
	[SEL_CODE / 8] = 0x00af9b000000ffff,	  [SEL_DATA / 8] = 0x00cf93000000ffff,
	[SEL_USER32 / 8] = 0x00cffb000000ffff,	  [SEL_USER_DATA / 8] = 0x00cff3000000ffff,
	[SEL_USER64 / 8] = 0x00affb000000ffff,
};
static uint64_t window_table[512] __attribute__((aligned(4096)));
static uint64_t window_directory[512] __attribute__((aligned(4096)));

static void print(const char *s)
{
	while (*s)
		outb(0x402, *s++);
}

static void print_hex(uint64_t v)
{
	char digits[17];

	for (int i = 15; i >= 0; i--, v >>= 4)
		digits[i] = "0123456789abcdef"[v & 15];
	digits[16] = 0;
	print(digits);
}

void fail(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
	print("# ");
	print(file);
	print(" line ");
	print_hex(line);
	print(": ");
	print(what);
	print(": ");
	print_hex(a);
	print(", ");
	print_hex(b);
	print("; last exception ");
	print_hex(last.vector);
	print(" error ");
	print_hex(last.error);
	print(" rip ");
	print_hex(last.rip);
	print(" cr2 ");
	print_hex(last_cr2);
	print("\n");
	outl(0xf4, 1);
}

void on_exception(struct frame *f)
{
	last = *f;
	last_cr2 = read_cr2();
	if (f->vector >= 32) {
		interrupts++;
		return;
	}
	if (!resume_rip)
		fail(__FILE__, __LINE__, "unexpected exception", f->vector, f->rip);
	f->rip = resume_rip;
	resume_rip = 0;
	if (resume_rsp) {
		f->cs = SEL_CODE;
		f->ss = 0;
		f->rsp = resume_rsp;
		resume_rsp = 0;
	}
	f->rflags &= ~0x100ull;
}

static void set_gate(unsigned n, unsigned ist, unsigned dpl)
{
	uint64_t at = (uint64_t)exception_stubs + 16 * n;

	idt[n][0] = (at & 0xffff) | (uint64_t)SEL_CODE << 16 | (uint64_t)ist << 32 |
		    (uint64_t)(0x8e | dpl << 5) << 40 | (at >> 16 & 0xffff) << 48;
	idt[n][1] = at >> 32;
}

void guest_setup(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table;

	for (unsigned i = 0; i < 256; i++)
		set_gate(i, i == 8 ? 1 : 0, i == 3 || i == 0x80 ? 3 : 0);
	tss[1] = (uint64_t)ring0_top;
	tss[9] = (uint64_t)ist_top;
	tss[25] = 0x680000;
	gdt[SEL_TSS / 8] = 0x0000890000000067 | ((uint64_t)tss & 0xffffff) << 16;
	gdt[SEL_TSS / 8 + 1] = 0;
	table.limit = sizeof(gdt) - 1;
	table.base = (uint64_t)gdt;
	asm volatile("lgdt %0" : : "m"(table));
	table.limit = sizeof(idt) - 1;
	table.base = (uint64_t)idt;
	asm volatile("lidt %0" : : "m"(table));
	asm volatile("push %0\n\tlea 1f(%%rip), %%rax\n\tpush %%rax\n\tlretq\n1:\n\t"
		     "mov %1, %%ds\n\tmov %1, %%es\n\tmov %1, %%ss\n\tltr %w2"
		     :
		     : "i"(SEL_CODE), "r"(SEL_DATA), "r"(SEL_TSS)
		     : "rax", "memory");
	last.vector = 256;
}

uint64_t *window_entry(unsigned page)
{
	uint64_t *pml4 = (uint64_t *)(read_cr3() & ~0xfffull);
	uint64_t *pdpt = (uint64_t *)(pml4[0] & ~0xfffull);

	pml4[0] |= PTE_U;
	pdpt[1] = (uint64_t)window_directory | PTE_P | PTE_W | PTE_U;
	window_directory[0] = (uint64_t)window_table | PTE_P | PTE_W | PTE_U;
	return &window_table[page];
}

void allow_user(void)
{
	uint64_t *pml4 = (uint64_t *)(read_cr3() & ~0xfffull);
	uint64_t *pdpt = (uint64_t *)(pml4[0] & ~0xfffull);
	uint64_t *directory = (uint64_t *)(pdpt[0] & ~0xfffull);

	pml4[0] |= PTE_U;
	pdpt[0] |= PTE_U;
	directory[0] |= PTE_U;
	write_cr3(read_cr3());
}

void call_user64(void (*fn)(void))
{
	try_asm("push %%rbx\n\tpush %%rbp\n\tmov %%rsp, resume_rsp(%%rip)\n\t"
		"push %[ss]\n\tpush %%rsp\n\tpushfq\n\tpush %[cs]\n\tpush %[fn]\n\tiretq",
		"\n\tpop %%rbp\n\tpop %%rbx" : [fn] "+D"(fn) : [ss] "i"(SEL_USER_DATA), [cs] "i"(SEL_USER64)
		: "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
		  "r15", "memory", "cc");
}
