/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 3: 11.8.6 CR8 and the task priority; 11.12 the x2APIC's registers; 12.11.2
 * MTRRs, 12.12 PAT; volume 4 and WRMSR: addresses must be canonical; 6.7 NMI. */
#include "guest.h"

enum {
	MSR_APIC_BASE = 0x1b,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MTRR_BASE0 = 0x200,
	MSR_MTRR_MASK0 = 0x201,
	MSR_MTRR_FIX64K = 0x250,
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_X2APIC_TPR = 0x808,
	MSR_X2APIC_EOI = 0x80b,
	MSR_X2APIC_SVR = 0x80f,
	MSR_X2APIC_ICR = 0x830,
	MSR_X2APIC_SELF_IPI = 0x83f,
	MSR_EFER = 0xc0000080,
	MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083,
	MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS_BASE = 0xc0000102,
	EXTD = 1 << 10,
	EFER_LME = 1 << 8,
	DELIVER_NMI = 4 << 8,
};

static void try_wrmsr(uint32_t index, uint64_t v)
{
	try_asm("wrmsr",
		:
		: "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
		: "r11", "memory");
}

static void check_refused(uint32_t index, uint64_t v)
{
	uint64_t before = rdmsr(index);

	try_wrmsr(index, v);
	check_equal(last.vector, 13);
	check_equal(last.error, 0);
	check_equal(rdmsr(index), before);
}

static void check_taken(uint32_t index, uint64_t v)
{
	uint64_t before = rdmsr(index);

	try_wrmsr(index, v);
	check_equal(last.vector, 256);
	check_equal(rdmsr(index), v);
	wrmsr(index, before);
}

static void canonical(void)
{
	static const uint32_t addresses[] = {MSR_LSTAR,	      MSR_CSTAR,	  MSR_FS_BASE,
					     MSR_GS_BASE,     MSR_KERNEL_GS_BASE, MSR_SYSENTER_ESP,
					     MSR_SYSENTER_EIP};

	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		/* What KVM makes of SYSENTER's is the host's affair. */
		if (is_kvm() && addresses[i] < MSR_EFER)
			continue;
		check_taken(addresses[i], 0x00007fffffffffff);
		check_taken(addresses[i], 0xffff800000000000);
		check_refused(addresses[i], 0x0000800000000000);
		check_refused(addresses[i], 0xffff7fffffffffff);
		check_refused(addresses[i], 1ull << 63);
	}
}

static void efer(void)
{
	check_refused(MSR_EFER, rdmsr(MSR_EFER) | 1ull << 40);
	check_refused(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_LME);
}

static void memory_types(void)
{
	check_taken(MSR_MTRR_DEF_TYPE, 0xc06);
	check_refused(MSR_MTRR_DEF_TYPE, 0xc02);
	check_refused(MSR_MTRR_DEF_TYPE, 0x10c06);
	check_taken(MSR_MTRR_BASE0, 0xc0000006);
	check_refused(MSR_MTRR_BASE0, 0xc0000003);
	check_refused(MSR_MTRR_BASE0, 0xc0000106);
	check_refused(MSR_MTRR_BASE0, 1ull << 60);
	check_taken(MSR_MTRR_MASK0, 0xfc0000800);
	check_refused(MSR_MTRR_MASK0, 0xfc0000801);
	check_taken(MSR_MTRR_FIX64K, 0x0605040100060504);
	check_refused(MSR_MTRR_FIX64K, 0x0606060606060706);
	check_taken(MSR_PAT, 0x0007040600070406);
	check_refused(MSR_PAT, 0x0007040600070206);
}

static uint64_t read_cr8(void)
{
	uint64_t v;

	asm volatile("mov %%cr8, %0" : "=r"(v));
	return v;
}

static void write_cr8(uint64_t v)
{
	asm volatile("mov %0, %%cr8" : : "r"(v) : "memory");
}

static void task_priority(void)
{
	wrmsr(MSR_X2APIC_SVR, 0x1ff);
	write_cr8(5);
	check_equal(rdmsr(MSR_X2APIC_TPR), 0x50);
	wrmsr(MSR_X2APIC_TPR, 0xaf);
	check_equal(read_cr8(), 10);
	try_asm("mov %0, %%cr8", : : "r"(0x10ull) : "r11", "memory");
	check_equal(last.vector, 13);
	check_equal(read_cr8(), 10);
	/* Vectors of the priority's class and below wait. */
	write_cr8(4);
	interrupts = 0;
	wrmsr(MSR_X2APIC_SELF_IPI, 0x45);
	asm volatile("sti\n\tnop\n\tnop\n\tcli");
	check_equal(interrupts, 0);
	write_cr8(3);
	check_equal(interrupts, 0);
	asm volatile("sti\n\thlt\n\tcli");
	check_equal(interrupts, 1);
	check_equal(last.vector, 0x45);
	wrmsr(MSR_X2APIC_EOI, 0);
	write_cr8(0);
}

/* It comes with interrupts off; the second one shows that IRET has ended the masking. */
static void nmi(void)
{
	for (unsigned i = 0; i < 2; i++) {
		try_asm("wrmsr\n\tnop\n\tnop\n\tnop",
			:
			: "c"(MSR_X2APIC_ICR), "a"(DELIVER_NMI), "d"(0)
			: "r11", "memory");
		check_equal(last.vector, 2);
	}
}

void test_main(void)
{
	/* A KVM that emulates takes what it is given. */
	if (!is_emulated()) {
		canonical();
		efer();
		memory_types();
	}
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | EXTD);
	task_priority();
	nmi();
}
