/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest32.h"

volatile struct frame last;
volatile uint32_t last_vector, last_cr2;
extern uint32_t run_esp;

uint64_t gdt[GDT_SIZE] __attribute__((aligned(16))), idt[256] __attribute__((aligned(16)));
struct tss32 tss __attribute__((aligned(128)));
struct table {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed));
struct table protected_idtr = {sizeof(idt) - 1, (uint32_t)idt};
static const struct table gdtr = {sizeof(gdt) - 1, (uint32_t)gdt};

/* The compiler calls it for large initialisers. */
void *memset(void *to, int value, size_t n)
{
	void *p = to;

	asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(value) : "memory");
	return to;
}

static void print(const char *s)
{
	while (*s)
		outb(0x402, *s++);
}

static void print_hex(uint32_t v)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		outb(0x402, "0123456789abcdef"[v >> shift & 15]);
}

void fail(const char *file, int line, const char *what, uint32_t a, uint32_t b)
{
	const uint32_t values[] = {a, b, last_vector, last.error, last.cs, last.eip, last_cr2};
	static const char *const names[] = {": ", ", ",	  "; last exception ", " error ", " at ",
					    ":",  " cr2 "};

	print("# ");
	print(file);
	print(" line ");
	print_hex(line);
	print(": ");
	print(what);
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		print(names[i]);
		print_hex(values[i]);
	}
	print("\n");
	outl(0xf4, 1);
	for (;;)
		asm volatile("hlt");
}

void on_exception(const struct frame *f)
{
	last = *f;
	last_vector = f->vector;
	last_cr2 = read_cr2();
	if (f->vector >= 32)
		return;
	if (!run_esp)
		fail(__FILE__, __LINE__, "unexpected exception", f->vector, f->eip);
	leave_run();
}

uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	return (uint64_t)(base >> 24) << 56 | (uint64_t)(flags << 4 | limit >> 16) << 48 |
	       (uint64_t)access << 40 | (uint64_t)(base & 0xffffff) << 16 | (limit & 0xffff);
}

void set_gate(unsigned vector, unsigned selector, void *target, unsigned type_and_dpl)
{
	uint32_t at = (uint32_t)target;

	idt[vector] = (uint64_t)(at & 0xffff0000) << 32 | (uint64_t)(0x80 | type_and_dpl) << 40 |
		      selector << 16 | (at & 0xffff);
}

void load_task(unsigned selector)
{
	asm volatile("ltr %w0" : : "r"(selector));
}

void guest_setup(void)
{
	gdt[SEL_CODE / 8] = descriptor(0, 0xfffff, 0x9b, 0xc);
	gdt[SEL_DATA / 8] = descriptor(0, 0xfffff, 0x93, 0xc);
	gdt[SEL_USER / 8] = descriptor(0, 0xfffff, 0xfb, 0xc);
	gdt[SEL_USER_DATA / 8] = descriptor(0, 0xfffff, 0xf3, 0xc);
	gdt[SEL_CODE16 / 8] = descriptor(0, 0xffff, 0x9b, 0);
	gdt[SEL_DATA16 / 8] = descriptor(0, 0xffff, 0x93, 0);
	gdt[SEL_TSS / 8] = descriptor((uint32_t)&tss, sizeof(tss) - 1, 0x89, 0);
	tss.esp0 = (uint32_t)ring0_top;
	tss.ss0 = SEL_DATA;
	tss.io_base = offsetof(struct tss32, io);
	for (unsigned i = 0; i < sizeof(tss.io); i++)
		tss.io[i] = 0xff;
	for (unsigned i = 0; i < 256; i++)
		set_gate(i, SEL_CODE, exception_stubs + 16 * i, i == 3 || i == 0x80 ? 0x6e : 0x0e);
	asm volatile("lgdt %0\n\tlidt %1\n\tljmp %2, $1f\n1:\n\t"
		     "mov %3, %%ds\n\tmov %3, %%es\n\tmov %3, %%ss\n\tmov %3, %%fs\n\tmov %3, %%gs"
		     :
		     : "m"(gdtr), "m"(protected_idtr), "i"(SEL_CODE), "r"(SEL_DATA)
		     : "memory");
	load_task(SEL_TSS);
	last_vector = 256;
}
