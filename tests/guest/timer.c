/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APIC timer and interrupts (SDM volume 3, 11.5.4, 11.8), HLT, STI's shadow. */
#include "guest.h"

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, X2APIC = 0x800, TPR = 0x08, EOI = 0x0b, SVR = 0x0f,
       ISR = 0x10, LVT_TIMER = 0x32, INITIAL = 0x38, CURRENT = 0x39, DIVIDE = 0x3e, SELF_IPI = 0x3f };

static void apic_write(unsigned reg, uint64_t v)
{
	wrmsr(X2APIC + reg, v);
}

static void deadline(void)
{
	apic_write(LVT_TIMER, 2 << 17 | 0x40);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 2000000);
	check(rdmsr(MSR_TSC_DEADLINE) != 0);
	interrupts = 0;
	asm volatile("sti\n\thlt\n\tcli");
	check_equal(interrupts, 1);
	check_equal(last.vector, 0x40);
	check_equal(rdmsr(MSR_TSC_DEADLINE), 0);
	apic_write(EOI, 0);
}

static void periodic(void)
{
	uint64_t start = rdtsc();

	apic_write(DIVIDE, 0xb); /* by 1 */
	apic_write(LVT_TIMER, 1 << 17 | 0x41);
	apic_write(INITIAL, 1000000);
	interrupts = 0;
	for (unsigned i = 0; i < 5; i++) {
		asm volatile("sti\n\thlt\n\tcli");
		apic_write(EOI, 0);
	}
	check_equal(interrupts, 5);
	check(rdtsc() - start >= 4000000);
	apic_write(LVT_TIMER, 1 << 16 | 0x41);
	apic_write(INITIAL, 0);
}

/* Lets interrupts in. The emulator looks for them now and then only. */
static void open_window(void)
{
	if (is_emulated())
		asm volatile("sti\n\t.fill 2000, 1, 0x90\n\tcli");
	else
		asm volatile("sti\n\tnop\n\tnop\n\tcli");
}

/* A vector of the task's priority class waits until the priority falls. */
static void priority(void)
{
	interrupts = 0;
	apic_write(TPR, 0x50);
	apic_write(SELF_IPI, 0x51);
	open_window();
	check_equal(interrupts, 0);
	apic_write(TPR, 0);
	open_window();
	check_equal(interrupts, 1);
	check_equal(rdmsr(X2APIC + ISR + 2), 1u << (0x51 - 64));
	apic_write(EOI, 0);
	check_equal(rdmsr(X2APIC + ISR + 2), 0);
}

/* STI lets one more instruction run before an interrupt. */
static void shadow(void)
{
	uint64_t at;

	apic_write(SELF_IPI, 0x52);
	if (is_emulated()) {
		open_window();
		check_equal(last.vector, 0x52);
		apic_write(EOI, 0);
		return;
	}
	asm volatile("lea 1f(%%rip), %0\n\tsti\n\tnop\n1:\tnop\n\tcli" : "=r"(at));
	check_equal(last.vector, 0x52);
	check_equal(last.rip, at);
	apic_write(EOI, 0);
}

void test_main(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1 << 10);
	apic_write(SVR, 0x1ff);
	deadline();
	periodic();
	priority();
	shadow();
}
