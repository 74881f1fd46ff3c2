/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine checks: SDM volume 3, 16.3 (the MSRs), 6.15, Interrupt 18 (what is pushed, IF and HLT,
 * shutdown), 16.3.2.2 (errors that follow each other).
 */
#include "guest.h"

enum { MCG_CAP = 0x179, MCG_STATUS = 0x17a, MC0_CTL = 0x400, CTL = 0, STATUS, ADDR, MISC };
enum { RIPV = 1, EIPV = 2, MCIP = 4, CR4_MCE = 1 << 6, BANK = 1 };
#define VALID	    (1ull << 63)
#define OVERFLOW    (1ull << 62)
#define UNCORRECTED (1ull << 61)
#define FATAL	    (VALID | UNCORRECTED | 1ull << 60 | 1ull << 57 | 0x115)
#define CORRECTED   (VALID | 1ull << 60 | 0x135)

static struct {
	uint64_t bank, status, addr, misc, mcg_status;
} error;

static uint64_t mc(unsigned bank, unsigned which)
{
	return rdmsr(MC0_CTL + 4 * bank + which);
}

static void describe(unsigned bank, uint64_t status, uint64_t mcg_status)
{
	error.bank = bank;
	error.status = status;
	error.addr = 0x1234000;
	error.misc = 0x86;
	error.mcg_status = mcg_status;
}

static bool raise_at_once(void)
{
	outl(0xe8, (uint64_t)&error);
	return inl(0xe8);
}

static void clear(void)
{
	wrmsr(MC0_CTL + 4 * BANK + STATUS, 0);
	wrmsr(MC0_CTL + 4 * BANK + ADDR, 0);
	wrmsr(MC0_CTL + 4 * BANK + MISC, 0);
	wrmsr(MCG_STATUS, 0);
}

static void registers(void)
{
	uint32_t a = 1, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	check(d >> 7 & 1 && d >> 14 & 1);
	check((rdmsr(MCG_CAP) & 0xff) > BANK);
	check_equal(rdmsr(MCG_STATUS), 0);
	for (unsigned bank = 0; bank < (rdmsr(MCG_CAP) & 0xff); bank++) {
		wrmsr(MC0_CTL + 4 * bank + CTL, 0);
		check_equal(mc(bank, CTL), 0);
		wrmsr(MC0_CTL + 4 * bank + CTL, ~0ull);
		check_equal(mc(bank, CTL), ~0ull);
		wrmsr(MC0_CTL + 4 * bank + STATUS, 0);
		check_equal(mc(bank, STATUS), 0);
	}
	try_asm("wrmsr", : : "c"(MC0_CTL + STATUS), "a"(1), "d"(0) : "r11", "memory");
	check_equal(last.vector, 13);
	try_asm("wrmsr", : : "c"(MCG_CAP), "a"(0), "d"(0) : "r11", "memory");
	check_equal(last.vector, 13);
	try_asm("rdmsr",
		:
		: "c"(MC0_CTL + 4 * (rdmsr(MCG_CAP) & 0xff)), "a"(0), "d"(0)
		: "r11", "memory");
	check_equal(last.vector, 13);
}

/* With interrupts off; no error code; RIP is between two instructions, soon after. */
static void exception(void)
{
	uint64_t after, rsp;

	describe(BANK, FATAL, RIPV | EIPV);
	write_cr4(read_cr4() | CR4_MCE);
	try_asm("lea 8f(%%rip), %0\n\tmov %%rsp, %1\n\toutl %%eax, $0xe8\n\tcli\n8:\tnop\n\tud2",
		: "=&r"(after), "=&r"(rsp)
		: "a"((uint32_t)(uint64_t)&error)
		: "r11", "memory", "cc");
	check_equal(last.vector, 18);
	check_equal(last.error, 0);
	check(last.rip == after || last.rip == after - 1);
	check_equal(last.rsp, rsp);
	check_equal(last.cs, SEL_CODE);
	check_equal(rdmsr(MCG_STATUS), MCIP | RIPV | EIPV);
	check_equal(mc(BANK, STATUS), FATAL);
	check_equal(mc(BANK, ADDR), 0x1234000);
	check_equal(mc(BANK, MISC), 0x86);
	/* Another one, in a bank that still holds the first. */
	wrmsr(MCG_STATUS, 0);
	try_asm("outl %%eax, $0xe8\n\tcli\n\tnop\n\tud2",
		:
		: "a"((uint32_t)(uint64_t)&error)
		: "r11", "memory");
	check_equal(last.vector, 18);
	check_equal(mc(BANK, STATUS), FATAL | OVERFLOW);
	clear();
}

/* Corrected errors are only logged. */
static void corrected(void)
{
	describe(BANK, CORRECTED, 0);
	check(raise_at_once());
	check_equal(mc(BANK, STATUS), CORRECTED);
	check_equal(mc(BANK, ADDR), 0x1234000);
	check_equal(rdmsr(MCG_STATUS), 0);
	check(raise_at_once());
	check_equal(mc(BANK, STATUS), CORRECTED | OVERFLOW);
	/* An uncorrected one takes its place. */
	describe(BANK, FATAL, RIPV);
	try_asm("outl %%eax, $0xe8\n\tcli\n\tnop\n\tud2",
		:
		: "a"((uint32_t)(uint64_t)&error)
		: "r11", "memory");
	check_equal(last.vector, 18);
	check_equal(mc(BANK, STATUS), FATAL | OVERFLOW);
	/* And keeps it. */
	describe(BANK, CORRECTED, 0);
	error.addr = 0x5678000;
	check(raise_at_once());
	check_equal(mc(BANK, STATUS), FATAL | OVERFLOW);
	check_equal(mc(BANK, ADDR), 0x1234000);
	clear();
}

/* A bank that is not to report errors; a bank, and an error, that there is not. */
static void ignored(void)
{
	wrmsr(MC0_CTL + 4 * BANK + CTL, 0);
	describe(BANK, FATAL, RIPV);
	check(raise_at_once());
	check_equal(rdmsr(MCG_STATUS), 0);
	wrmsr(MC0_CTL + 4 * BANK + CTL, ~0ull);
	describe(rdmsr(MCG_CAP) & 0xff, FATAL, RIPV);
	check(!raise_at_once());
	describe(BANK, FATAL & ~VALID, RIPV);
	check(!raise_at_once());
	check_equal(mc(BANK, STATUS), 0);
}

/* It ends HLT, with interrupts off, and comes from any thread: now and then before HLT is reached.
 */
static void while_halted(void)
{
	unsigned tries = 0;
	uint64_t after;

	do {
		describe(BANK, FATAL, RIPV);
		try_asm("lea 8f(%%rip), %0\n\toutl %%eax, $0xec\n\tcli\n\thlt\n8:\tud2",
			: "=&r"(after)
			: "a"((uint32_t)(uint64_t)&error)
			: "r11", "memory", "cc");
		check_equal(last.vector, 18);
		check_equal(rdmsr(MCG_STATUS), MCIP | RIPV);
		clear();
	} while (last.rip != after && ++tries < 50);
	check_equal(last.rip, after);
}

/* One while another is handled, and one that CR4.MCE does not allow. */
static void shutdown(unsigned n)
{
	if (n) {
		write_cr4(read_cr4() & ~(uint64_t)CR4_MCE);
	} else {
		write_cr4(read_cr4() | CR4_MCE);
		wrmsr(MCG_STATUS, MCIP);
	}
	describe(BANK, FATAL, RIPV);
	outb(0xfc, 1);
	raise_at_once();
}

void test_main(void)
{
	unsigned n = inb(0xfc);

	/* Whether KVM has machine checks is the host's affair. */
	describe(BANK, CORRECTED, 0);
	if (is_kvm() && !raise_at_once())
		return;
	clear();
	if (n < 2) {
		shutdown(n);
		return;
	}
	registers();
	exception();
	corrected();
	ignored();
	while_halted();
}
