/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System-management mode of a processor without long mode: its state-save area (SDM volume 3, table
 * 34-1). */
#include "guest32.h"

enum {
	SMBASE = 0x30000,
	HANDLER = 0x8000,
	SMI_PORT = 0xfa,
	COUNT = 0x50000,
	SAVED_EBX = SMBASE + 0xffdc,
	SAVED_ESI = SMBASE + 0xffe8,
	SAVED_CR0 = SMBASE + 0xfffc,
	SAVED_CS = SMBASE + 0xffac,
	REVISION = SMBASE + 0xfefc,
	SAVED_SMBASE = SMBASE + 0xfef8,
};

extern char handler[], handler_end[];
asm(".pushsection .text\n\t.code16\n"
    "handler:\n\t"
    "mov $0x50000, %ecx\n\tincl %ds:(%ecx)\n\tmov %cs:0xffdc, %eax\n\tnot %eax\n\tmov %eax, "
    "%cs:0xffdc\n\trsm\n"
    "handler_end:\n\t.code32\n\t.popsection");

static uint32_t at(uint32_t address)
{
	return *(volatile uint32_t *)address;
}

static void do_rsm(void)
{
	asm volatile("rsm");
}

void test_main(void)
{
	uint32_t ebx = 0x11223344, esi = 0x55667788, edi = 0x99aabbcc;

	for (unsigned i = 0; i < handler_end - handler; i++)
		((volatile char *)SMBASE + HANDLER)[i] = handler[i];
	asm volatile("outb %%al, %3\n1:\tcmpl $0, 0x50000\n\tje 1b"
		     : "+b"(ebx), "+S"(esi), "+D"(edi)
		     : "i"(SMI_PORT)
		     : "memory", "cc");
	check_equal(at(COUNT), 1);
	check_equal(ebx, ~0x11223344);
	check_equal(esi, 0x55667788);
	check_equal(edi, 0x99aabbcc);
	check_equal(at(SAVED_ESI), esi);
	check_equal(at(SAVED_CR0), read_cr0());
	check_equal(at(SAVED_CS) & 0xffff, SEL_CODE);
	check_equal(at(REVISION), 0x20000);
	check_equal(at(SAVED_SMBASE), SMBASE);
	check_raises(do_rsm, 6, 0);
}
