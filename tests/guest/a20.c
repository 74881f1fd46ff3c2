/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A20M# (SDM volume 3, 9.7.1.1 and 21.1.1): while the gate is closed bit 20 of physical addresses
 * is 0, for data, code and page tables, with paging and without. The code lies below 1 MiB, as it
 * has to.
 */
#include "guest32.h"

enum { CR0_PG = 1u << 31, CR4_PSE = 1 << 4, DIRECTORY = 0x20000 };

/* What was found: with the gate closed, open again, and by a far call to FFFF:0010h. */
extern volatile uint32_t found[8];
extern char real_a20[], paged_a20[];
asm(".pushsection .text16, \"awx\"\n\t.code16\n"
    "real_a20:\n\t"
    "mov $0xffff, %ax\n\tmov %ax, %es\n\t"
    "movl $0x11111111, %ds:0x600\n\tmovl $0x22222222, %es:0x610\n\t"
    "mov %ds:0x600, %eax\n\tmov %eax, found\n\t"
    "movb $0, %al\n\tout %al, $0x92\n\tjmp 1f\n1:\t"
    "mov %es:0x610, %eax\n\tmov %eax, found + 4\n\t"
    "movl $0x33333333, %es:0x610\n\tmov %ds:0x600, %eax\n\tmov %eax, found + 8\n\t"
    /* inc word [found + 12]; lret at 0:0620h, which is FFFF:0630h, too */
    "movw $0x06ff, %ds:0x620\n\tmovw $found + 12, %ds:0x622\n\tmovb $0xcb, %ds:0x624\n\t"
    "lcall $0xffff, $0x630\n\t"
    "movb $2, %al\n\tout %al, $0x92\n\tjmp 1f\n1:\t"
    "mov %es:0x610, %eax\n\tmov %eax, found + 16\n\t"
    "mov %ds:0x600, %eax\n\tmov %eax, found + 20\n\tret\n\t"
    ".balign 4\nfound: .fill 8, 4, 0\n\t"
    ".code32\n"
    "paged_a20:\n\t"
    "movb $0, %al\n\tout %al, $0x92\n\tjmp 1f\n1:\t"
    "mov 0x300000, %eax\n\tmov %eax, found\n\t"	    /* identity-mapped by a page of 4 MiB */
    "mov 0x400000, %eax\n\tmov %eax, found + 4\n\t" /* by a table at 300000h, where 200000h is */
    "movb $2, %al\n\tout %al, $0x92\n\tjmp 1f\n1:\t"
    "mov 0x300000, %eax\n\tmov %eax, found + 8\n\tret\n\t"
    ".popsection");

static void in_real_mode(void)
{
	run_real((void (*)(void))real_a20);
	check_equal(found[0], 0x11111111);
	check_equal(found[1], 0x11111111);
	check_equal(found[2], 0x33333333);
	check_equal(found[3], 1);
	check_equal(found[4], 0x22222222);
	check_equal(found[5], 0x33333333);
}

static volatile uint32_t *at(uint32_t address)
{
	return (volatile uint32_t *)address;
}

static void with_paging(void)
{
	*at(0x200010) = 0;
	*at(0x300000) = 0x400003; /* a table's entry, which is not looked at */
	*at(0x200000) = 0x500003; /* the one that is: with bit 20 clear 400000h */
	*at(0x400000) = 0x44444444;
	*at(0x500000) = 0x55555555;
	*at(DIRECTORY) = 0x83;
	*at(DIRECTORY + 4) = 0x300003;
	write_cr4(CR4_PSE);
	write_cr3(DIRECTORY);
	write_cr0(read_cr0() | CR0_PG);
	asm volatile("mov %%esp, %%ebx\n\tmov $0x7000, %%esp\n\tcall paged_a20\n\tmov %%ebx, %%esp"
		     :
		     :
		     : "eax", "ebx", "memory", "cc");
	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4(0);
	check_equal(found[0], 0x500003);
	check_equal(found[1], 0x44444444);
	check_equal(found[2], 0x400003);
}

void test_main(void)
{
	if (is_kvm()) /* its memory has no gate */
		return;
	in_real_mode();
	with_paging();
}
