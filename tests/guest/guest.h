/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guest programs stand on. A program is test_main(); it returns for success and
 * fails by check(), which names its line. It starts in 64-bit mode at CPL 0 with interrupts off,
 * the low 1 GiB mapped by 2 MiB pages, and an IDT whose handlers end in on_exception().
 *
 * The runner answers on ports: 0xf4 ends the run (0: passed), 0x402 prints a character, and a
 * write to 0xf8 hands over to the other engine, if there are two. 0xfa and 0xfb are a chipset's part in
 * system-management mode (smm.c), 0x92 has the A20 gate. A write to 0xfc says that the processor is going to shut down; then the program
 * starts again, and reads there how often it has. Written with an address, 0xe0 starts the second processor there, and
 * 0xe4 has a device increment the 4 bytes there, and 0xe8 has the hardware find the error described there (0xec:
 * a while later); read, 0xe0 tells how many processors there are, and 0xe8 whether there could be such an error.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* Selectors of the GDT that guest_setup() loads. */
enum { SEL_CODE = 0x08, SEL_DATA = 0x10, SEL_USER32 = 0x1b, SEL_USER_DATA = 0x23,
       SEL_USER64 = 0x2b, SEL_TSS = 0x30 };

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX (1ull << 63)

/* The last exception or interrupt; vector 256 means none since it was cleared. */
extern volatile struct frame last;
extern volatile uint64_t last_cr2;
extern volatile unsigned interrupts; /* vectors from 32 up, counted */
/* Where an exception goes on, instead of at the faulting instruction. */
extern uint64_t resume_rip;
/* With a stack at CPL 0, where the code may have left both; 0: go on with what it had. */
extern uint64_t resume_rsp;

extern char stack_top[], ist_top[], ring0_top[], exception_stubs[];
extern uint64_t gdt[16];
extern uint32_t tss[26];
extern uint64_t idt[256][2];

void fail(const char *file, int line, const char *what, uint64_t a, uint64_t b);
#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail(__FILE__, __LINE__, #condition, 0, 0);                                \
	} while (0)
#define check_equal(a, b)                                                                          \
	do {                                                                                       \
		uint64_t a_ = (a), b_ = (b);                                                       \
		if (a_ != b_)                                                                      \
			fail(__FILE__, __LINE__, #a " == " #b, a_, b_);                            \
	} while (0)

/* Runs assembly that may fault; afterwards last.vector says. Clobbers what the text does. */
#define try_asm(text, ...)                                                                         \
	do {                                                                                       \
		last.vector = 256;                                                                 \
		asm volatile("lea 9f(%%rip), %%r11\n\tmov %%r11, resume_rip(%%rip)\n\t" text       \
			     "\n9:\n\tmovq $0, resume_rip(%%rip)"                                  \
			     __VA_ARGS__);                                                         \
	} while (0)

void guest_setup(void);
void test_main(void);
/* The page table entry of a 4 KiB page in the window at 1 GiB, made on first use. */
uint64_t *window_entry(unsigned page);
#define WINDOW 0x40000000ull

/* Gives CPL 3 the low 2 MiB, where the program is. */
void allow_user(void);
/* Calls fn at CPL 3, in 64-bit or compatibility mode; it comes back by any exception. */
void call_user64(void (*fn)(void));

static inline void invlpg(uint64_t address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}
#define CONTROL_REGISTER(n)                                                                        \
	static inline uint64_t read_cr##n(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v));                                      \
		return v;                                                                          \
	}                                                                                          \
	static inline void write_cr##n(uint64_t v)                                                 \
	{                                                                                          \
		asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                             \
	}
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t a, d;
	asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(index));
	return (uint64_t)d << 32 | a;
}
static inline void wrmsr(uint32_t index, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
	uint32_t a, d;
	asm volatile("rdtsc" : "=a"(a), "=d"(d));
	return (uint64_t)d << 32 | a;
}
static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t v;
	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;
	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline void hand_over(void)
{
	outb(0xf8, 0);
}
/* Under a KVM that emulates code at CPL 0, whose emulator is known to be wrong in places; what depends
 * on them is not checked there. */
static inline bool is_emulated(void)
{
	return inb(0xf8) & 1;
}
static inline bool is_kvm(void)
{
	return inb(0xf8) & 2;
}

#endif
