/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program has in its processor is there after another engine has taken over. */
#include "guest.h"

enum { MSR_APIC_BASE = 0x1b, MSR_PAT = 0x277, MSR_TSC_DEADLINE = 0x6e0, MSR_KVM_SYSTEM_TIME = 0x4b564d01,
       X2APIC = 0x800, EOI = 0x0b, SVR = 0x0f, LVT_TIMER = 0x32, INITIAL = 0x38, CURRENT = 0x39, DIVIDE = 0x3e, SELF_IPI = 0x3f };
enum { ROUNDS = 4, RFLAGS_DF = 0x400 };

static void general_registers(void)
{
	static uint64_t before[16], after[16];
	uint64_t flags;

	for (unsigned i = 0; i < 16; i++)
		before[i] = 0x0123456789abcdef * (i + 1);
	asm volatile("push %%rbp\n\tpush %[flags]\n\tpush %[after]\n\tmov %[before], %%rax\n\tmov 8(%%rax), %%rcx\n\t"
		     "mov 16(%%rax), %%rdx\n\tmov 24(%%rax), %%rbx\n\tmov 40(%%rax), %%rbp\n\t"
		     "mov 48(%%rax), %%rsi\n\tmov 56(%%rax), %%rdi\n\tmov 64(%%rax), %%r8\n\t"
		     "mov 72(%%rax), %%r9\n\tmov 80(%%rax), %%r10\n\tmov 88(%%rax), %%r11\n\t"
		     "mov 96(%%rax), %%r12\n\tmov 104(%%rax), %%r13\n\tmov 112(%%rax), %%r14\n\t"
		     "mov 120(%%rax), %%r15\n\tmov (%%rax), %%rax\n\tstd\n\tstc\n\tout %%al, $0xf8\n\t"
		     "xchg %%rax, (%%rsp)\n\tmov %%rcx, 8(%%rax)\n\tmov %%rdx, 16(%%rax)\n\t"
		     "mov %%rbx, 24(%%rax)\n\tmov %%rbp, 40(%%rax)\n\tmov %%rsi, 48(%%rax)\n\t"
		     "mov %%rdi, 56(%%rax)\n\tmov %%r8, 64(%%rax)\n\tmov %%r9, 72(%%rax)\n\t"
		     "mov %%r10, 80(%%rax)\n\tmov %%r11, 88(%%rax)\n\tmov %%r12, 96(%%rax)\n\t"
		     "mov %%r13, 104(%%rax)\n\tmov %%r14, 112(%%rax)\n\tmov %%r15, 120(%%rax)\n\t"
		     "pop (%%rax)\n\tpop %%rcx\n\tpushfq\n\tpop (%%rcx)\n\tcld\n\tpop %%rbp"
		     :
		     : [before] "a"(before), [after] "c"(after), [flags] "d"(&flags)
		     : "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		       "memory", "cc");
	for (unsigned i = 0; i < 16; i++)
		if (i != 4) /* RSP stays the program's */
			check_equal(after[i], before[i]);
	check(flags & RFLAGS_DF);
	check(flags & 1);
}

static void system_registers(void)
{
	static const uint32_t msrs[] = {0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083,
					0xc0000100, 0xc0000101, 0xc0000102};
	uint64_t pat = rdmsr(MSR_PAT), dr, cr4 = read_cr4();

	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		wrmsr(msrs[i], 0x1000 * i + 8);
	wrmsr(MSR_PAT, 0x0007010600070106);
	write_cr2(0x123456789a);
	write_cr4(cr4 | 1 << 7);
	asm volatile("mov %0, %%db1" : : "r"(0x5555000ull));
	hand_over();
	for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
		check_equal(rdmsr(msrs[i]), 0x1000 * i + 8);
	check_equal(rdmsr(MSR_PAT), 0x0007010600070106);
	check_equal(read_cr2(), 0x123456789a);
	check_equal(read_cr4(), cr4 | 1 << 7);
	asm volatile("mov %%db1, %0" : "=r"(dr));
	check_equal(dr, 0x5555000);
	write_cr4(cr4);
	wrmsr(MSR_PAT, pat);
}

/* Through FXRSTOR and FXSAVE, as the emulator has little else. */
static void vector_registers(void)
{
	enum { FCW = 0, FSW = 2, FTW = 4, MXCSR = 24, ST = 32, XMM = 160, END = 416 };
	static uint8_t in[512] __attribute__((aligned(16))), out[512] __attribute__((aligned(16)));

	for (unsigned i = ST; i < END; i++)
		in[i] = i < XMM && i % 16 >= 10 ? 0 : i * 7;
	*(uint16_t *)(in + FCW) = 0x27f;
	*(uint16_t *)(in + FSW) = 5 << 11;
	in[FTW] = 0xe0;
	*(uint32_t *)(in + MXCSR) = 0x1f80 | 1 << 15;
	write_cr4(read_cr4() | 1 << 9);
	asm volatile("fxrstor %0" : : "m"(in));
	hand_over();
	asm volatile("fxsave %0" : "=m"(out));
	for (unsigned i = 0; i < FTW + 1; i++)
		check_equal(out[i], in[i]);
	check_equal(*(uint32_t *)(out + MXCSR), *(uint32_t *)(in + MXCSR));
	for (unsigned i = ST; i < END; i++)
		check_equal(out[i], in[i]);
}

static uint32_t cpuid_d(uint32_t subleaf, uint32_t *offset)
{
	uint32_t a = 0xd, b, c = subleaf, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	*offset = b;
	return a;
}

/* All components that XCR0 can have, through XRSTOR and XSAVE of the standard form. */
static void extended_registers(void)
{
	enum { LEGACY = 512, HEADER_END = 576, SIZE = 4096 };
	static uint8_t in[SIZE] __attribute__((aligned(64))),
		out[SIZE] __attribute__((aligned(64)));
	uint32_t offset, size, components = cpuid_d(0, &offset);

	if (is_emulated()) /* without XSAVE */
		return;
	hand_over();
	components &= cpuid_d(0, &offset); /* what both engines have */
	if (!components)
		return;
	write_cr4(read_cr4() | 1 << 9 | 1 << 18);
	asm volatile("xsetbv" : : "a"(components), "c"(0), "d"(0));
	*(uint32_t *)(in + 24) = 0x1f80;
	*(uint64_t *)(in + LEGACY) = components & ~1u;
	for (unsigned i = 160; i < 416; i++)
		in[i] = i * 11;
	for (unsigned n = 2; n < 32; n++) {
		size = cpuid_d(n, &offset);
		for (unsigned i = 0; (components >> n & 1) && i < size; i++)
			in[offset + i] = (offset + i) * 13 + n;
	}
	asm volatile("xrstor %0" : : "m"(in), "a"(components), "d"(0));
	hand_over();
	asm volatile("xsave %0" : "+m"(out) : "a"(components), "d"(0));
	check_equal(*(uint64_t *)(out + LEGACY) & ~1ull, components & ~1ull);
	for (unsigned i = 160; i < SIZE; i++)
		if (i < 416 || i >= HEADER_END)
			check_equal(out[i], in[i]);
}

/* A segment stays as it was loaded, whatever its descriptor has become. */
static void hidden_parts(void)
{
	static uint64_t here = 0x1122334455667788;
	uint64_t base = (uint64_t)&here, v;

	gdt[10] = 0x00cf93000000ffff | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	asm volatile("mov %0, %%fs" : : "r"(10 * 8) : "memory");
	gdt[10] = 0;
	hand_over();
	asm volatile("mov %%fs:0, %0" : "=r"(v));
	check_equal(v, here);
	asm volatile("mov %0, %%fs" : : "r"(0));
}

static void time_goes_on(void)
{
	uint64_t before = rdtsc(), after;

	hand_over();
	after = rdtsc();
	check(after > before);
	check(after - before < 5000000000);
}

/* Taken by the APIC before, delivered after; and a deadline that lies after the change. */
static void interrupts_wait(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1 << 10);
	wrmsr(X2APIC + SVR, 0x1ff);
	interrupts = 0;
	wrmsr(X2APIC + SELF_IPI, 0x61);
	hand_over();
	check_equal(interrupts, 0);
	asm volatile("sti\n\thlt\n\tcli");
	check_equal(interrupts, 1);
	check_equal(last.vector, 0x61);
	wrmsr(X2APIC + EOI, 0);
	wrmsr(X2APIC + LVT_TIMER, 2 << 17 | 0x62);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 10000000);
	hand_over();
	asm volatile("sti\n\thlt\n\tcli");
	check_equal(interrupts, 2);
	check_equal(last.vector, 0x62);
	wrmsr(X2APIC + EOI, 0);
}

/* Linux documentation, virt/kvm/x86/msr: MSR_KVM_SYSTEM_TIME_NEW. */
static volatile struct {
	uint32_t version, pad0;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
} page __attribute__((aligned(64)));

static uint64_t kvmclock_ns(void)
{
	uint64_t ticks = rdtsc() - page.tsc;

	check_equal(page.version & 1, 0);
	ticks = page.shift < 0 ? ticks >> -page.shift : ticks << page.shift;
	return page.ns + (uint64_t)((unsigned __int128)ticks * page.mul >> 32);
}

/* Readings of kvmclock around and within an interval of the APIC's timer, which counts the VM's clock:
 * a rate that is wrong either way shows, however late the reading. */
static void compare_rates(void)
{
	enum { INTERVAL_NS = 3000000, START = 0x7fffffff };
	uint64_t outer[2], inner[2];
	uint32_t count[2], interval;

	wrmsr(X2APIC + LVT_TIMER, 1 << 16);
	wrmsr(X2APIC + DIVIDE, 0xb); /* by 1 */
	wrmsr(X2APIC + INITIAL, START);
	outer[0] = kvmclock_ns();
	count[0] = rdmsr(X2APIC + CURRENT);
	inner[0] = kvmclock_ns();
	while (count[0] - rdmsr(X2APIC + CURRENT) < INTERVAL_NS)
		;
	inner[1] = kvmclock_ns();
	count[1] = rdmsr(X2APIC + CURRENT);
	outer[1] = kvmclock_ns();
	wrmsr(X2APIC + INITIAL, 0);
	interval = count[0] - count[1];
	check(inner[1] - inner[0] <= interval + interval / 64);
	check(outer[1] - outer[0] >= interval - interval / 64);
}

static void kvmclock(void)
{
	uint64_t before, after;

	wrmsr(MSR_KVM_SYSTEM_TIME, (uint64_t)&page | 1);
	compare_rates();
	before = kvmclock_ns();
	hand_over();
	after = kvmclock_ns();
	check(after > before);
	check(after - before < 5000000000);
	compare_rates();
	wrmsr(MSR_KVM_SYSTEM_TIME, 0);
}

/* What a bank has logged. */
static void machine_check_banks(void)
{
	enum { MC2_STATUS = 0x409, MC2_ADDR = 0x40a };
	static const uint64_t corrected[5] = {2, 1ull << 63 | 0x135, 0x4321000, 0x86, 0};

	outl(0xe8, (uint64_t)corrected);
	if (!inl(0xe8))
		return;
	/* KVM logs it when it is next entered. */
	while (rdmsr(MC2_STATUS) != corrected[1])
		inl(0xe8);
	hand_over();
	check_equal(rdmsr(MC2_STATUS), corrected[1]);
	check_equal(rdmsr(MC2_ADDR), corrected[2]);
	wrmsr(MC2_STATUS, 0);
	hand_over();
	check_equal(rdmsr(MC2_STATUS), 0);
}

void test_main(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		general_registers();
		system_registers();
	machine_check_banks();
		vector_registers();
		extended_registers();
		hidden_parts();
		time_goes_on();
		interrupts_wait();
		kvmclock();
	}
}
