/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SDM volume 1, 3.3.7.1: what an address that is not canonical does in each place that takes one;
 * MSRs are in registers.c. And bits of CR0, CR3 and CR4 that are reserved (volume 3, 2.5), 5-level
 * paging among them.
 */
#include "guest.h"

#define BAD  0x0000800000000000ull
#define LAST 0x00007ffffffff000ull /* the lower half's last page */

static uint64_t tables[3][512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));
static uint8_t other_stack[4096] __attribute__((aligned(16)));
static struct {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) table = {0xff, BAD};
static struct {
	uint64_t offset;
	uint16_t selector;
} __attribute__((packed)) pointer = {BAD, SEL_CODE};

#define raises(v, code, text, ...)                               \
	do {                                                     \
		try_asm(text, "\n\tmov %%r15, %%rsp" __VA_ARGS__ \
			: "rbx", "r11", "r15", "memory", "cc");  \
		check_equal(last.vector, v);                     \
		if ((v) < 32)                                    \
			check_equal(last.error, code);           \
	} while (0)
/* The stack that the text leaves; #SS comes on one of its own. */
#define KEEP "mov %%rsp, %%r15\n\t"

static void map_last_page(void)
{
	uint64_t *pml4 = (uint64_t *)(read_cr3() & ~0xfffull);

	pml4[255] = (uint64_t)tables[0] | PTE_P | PTE_W;
	tables[0][511] = (uint64_t)tables[1] | PTE_P | PTE_W;
	tables[1][511] = (uint64_t)tables[2] | PTE_P | PTE_W;
	tables[2][511] = (uint64_t)page | PTE_P | PTE_W;
	write_cr3(read_cr3());
}

static void data(void)
{
	raises(13, 0, KEEP "mov (%0), %%rbx", : : "r"(BAD));
	raises(13, 0, KEEP "mov %%bl, (%0)", : : "r"(BAD));
	raises(13, 0, KEEP "lock incl (%0)", : : "r"(BAD));
	raises(13, 0, KEEP "mov (%0), %%ebx", : : "r"(LAST + 4093)); /* over the end */
	raises(256, 0, KEEP "mov (%0), %%ebx", : : "r"(LAST + 4092));
	raises(13, 0, KEEP "mov %%ebx, (%0)", : : "r"(LAST + 4093));
	raises(13, 0, KEEP "mov (%0), %%rbx", : : "r"(0xffff7ffffffffff8));
	raises(13, 0, KEEP "stosb", : : "D"(BAD));
	raises(13, 0, KEEP "movsb", : : "S"(BAD), "D"(page));
	raises(13, 0, KEEP "clflush (%0)", : : "r"(BAD));
	raises(13, 0, KEEP "fldl (%0)", : : "r"(BAD));
	/* What only names an address, or has no use for it, does not mind. */
	raises(256, 0, KEEP "lea (%0), %%rbx", : : "r"(BAD));
	raises(256, 0, KEEP "prefetcht0 (%0)", : : "r"(BAD));
	raises(256, 0, KEEP "nopl (%0)", : : "r"(BAD));
	raises(256, 0, KEEP "invlpg (%0)", : : "r"(BAD));
	raises(256, 0, KEEP "mov %0, %%dr0\n\tmov %%dr0, %%rbx", : : "r"(BAD));
	raises(256, 0, KEEP "mov %0, %%cr2", : : "r"(BAD));
}

/* Accesses by RSP or RBP, and the stack's own, are #SS. */
static void stack(void)
{
	*(uint64_t *)&tss[11] = (uint64_t)other_stack + sizeof(other_stack);
	idt[12][0] |= 2ull << 32; /* IST 2 */
	raises(12, 0, KEEP "mov %0, %%rsp\n\tpush %%rbx", : : "r"(BAD + 8));
	raises(12, 0, KEEP "mov %0, %%rsp\n\tpop %%rbx", : : "r"(BAD));
	raises(12, 0, KEEP "mov %0, %%rsp\n\tcall 1f\n1:", : : "r"(BAD + 8));
	raises(12, 0, KEEP "mov %0, %%rsp\n\tret", : : "r"(BAD));
	raises(12, 0, KEEP "mov %0, %%rsp\n\tpushfq", : : "r"(BAD + 8));
	raises(12, 0, KEEP "mov %0, %%rsp\n\tiretq", : : "r"(BAD));
	raises(12, 0, KEEP "mov %0, %%rsp\n\tmov 8(%%rsp), %%rbx", : : "r"(BAD));
	raises(12, 0, KEEP "push %%rbp\n\tmov %0, %%rbp\n\tmov (%%rbp), %%rbx",
	       "\n\tmov -8(%%r15), %%rbp"
	       :
	       : "r"(BAD));
	raises(13, 0, KEEP "mov %%ds:(%0), %%rbx", : : "r"(BAD));
	raises(13, 0, KEEP "mov %%fs:(%0), %%rbx", : : "r"(BAD));
	idt[12][0] &= ~(7ull << 32);
}

/* Branches: the instruction faults, and has pushed or popped nothing. */
static void branches(void)
{
	uint64_t frame[5] = {BAD, SEL_CODE, 2, (uint64_t)other_stack + 2048, SEL_DATA};

	raises(13, 0, KEEP "jmp *%0", : : "r"(BAD));
	raises(13, 0, KEEP "call *%0", : : "r"(BAD));
	check_equal(last.rsp, last.r15);
	raises(13, 0, KEEP "push %0\n\tmov %%rsp, %%rbx\n\tret", : : "r"(BAD));
	check_equal(last.rsp, last.rbx);
	raises(13, 0, KEEP "push %1\n\tpush %0\n\tmov %%rsp, %%rbx\n\tlretq",
	       :
	       : "r"(BAD), "r"((uint64_t)SEL_CODE));
	check_equal(last.rsp, last.rbx);
	raises(13, 0, KEEP "mov %0, %%rbx\n\tlea %1, %%rsp\n\tiretq", : : "r"(BAD), "m"(frame));
	check_equal(last.rsp, (uint64_t)frame);
	raises(13, 0, KEEP "rex.W ljmp *%0", : : "m"(pointer));
	raises(13, 0, KEEP "rex.W lcall *%0", : : "m"(pointer));
	check_equal(last.rsp, last.r15);
}

static void tables_of_descriptors(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) now;

	raises(13, 0, KEEP "lgdt %0", : : "m"(table));
	raises(13, 0, KEEP "lidt %0", : : "m"(table));
	asm volatile("sgdt %0" : "=m"(now));
	check_equal(now.base, (uint64_t)gdt);
	asm volatile("sidt %0" : "=m"(now));
	check_equal(now.base, (uint64_t)idt);
}

/* Running off the lower half's end: the fetch behind it is #GP(0), of an instruction that is not
 * there. */
static void runs_off(void)
{
	page[4095] = 0x90;
	raises(13, 0, KEEP "jmp *%0", : : "r"(LAST + 4095));
	check_equal(last.rip, BAD);
	/* And one that lies over it. */
	page[4094] = 0xb8;
	raises(13, 0, KEEP "jmp *%0", : : "r"(LAST + 4094));
	check_equal(last.rip, LAST + 4094);
}

static void control_registers(void)
{
	uint64_t cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

	raises(13, 0, KEEP "mov %0, %%cr0", : : "r"(cr0 | 1ull << 32));
	raises(13, 0, KEEP "mov %0, %%cr0", : : "r"(cr0 & ~1ull));	   /* PG without PE */
	raises(13, 0, KEEP "mov %0, %%cr0", : : "r"(cr0 & ~(1ull << 31))); /* from 64-bit code */
	raises(13, 0, KEEP "mov %0, %%cr0",
	       :
	       : "r"((cr0 | 1ull << 29) & ~(1ull << 30))); /* NW without CD */
	raises(13, 0, KEEP "mov %0, %%cr3", : : "r"(cr3 | 1ull << 52));
	raises(13, 0, KEEP "mov %0, %%cr3", : : "r"(cr3 | 1ull << 63));
	raises(13, 0, KEEP "mov %0, %%cr4", : : "r"(cr4 & ~(1ull << 5))); /* PAE */
	raises(13, 0, KEEP "mov %0, %%cr4",
	       :
	       : "r"(cr4 | 1ull << 12)); /* LA57: no change in long mode anyway */
	raises(13, 0, KEEP "mov %0, %%cr4", : : "r"(cr4 | 1ull << 13)); /* VMXE */
	raises(13, 0, KEEP "mov %0, %%cr4", : : "r"(cr4 | 1ull << 63));
	raises(13, 0, KEEP "mov %0, %%dr7", : : "r"(1ull << 32));
	raises(13, 0, KEEP "mov %0, %%dr6", : : "r"(1ull << 32));
	raises(6, 0, KEEP "mov %%cr1, %%rbx", : :);
	raises(6, 0, KEEP "mov %%cr5, %%rbx", : :);
	raises(6, 0, KEEP "mov %%db8, %%rbx", : :);
	check_equal(read_cr0(), cr0);
	check_equal(read_cr3(), cr3);
	check_equal(read_cr4(), cr4);
}

/* With PCIDs (4.10.1): only in long mode with PCID 0, and CR3's bit 63 is not kept. */
static void pcids(void)
{
	uint64_t cr3 = read_cr3(), cr4 = read_cr4();
	uint32_t a = 1, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (!(c >> 17 & 1))
		return;
	write_cr3(cr3 | 1);
	raises(13, 0, KEEP "mov %0, %%cr4", : : "r"(cr4 | 1ull << 17));
	write_cr3(cr3);
	raises(256, 0, KEEP "mov %0, %%cr4", : : "r"(cr4 | 1ull << 17));
	write_cr3(cr3 | 5 | 1ull << 63);
	check_equal(read_cr3(), cr3 | 5);
	write_cr3(cr3);
	write_cr4(cr4);
}

void test_main(void)
{
	/* A KVM that emulates checks little of this. */
	if (is_emulated())
		return;
	map_last_page();
	data();
	stack();
	branches();
	tables_of_descriptors();
	runs_off();
	control_registers();
	pcids();
}
