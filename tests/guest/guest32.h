/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What 32-bit guest programs stand on; as guest.h, but a program starts in 32-bit protected mode at
 * CPL 0 with paging and interrupts off and flat segments, and goes to other modes from there.
 */
#ifndef GUEST32_H
#define GUEST32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
	uint32_t gs, fs, es, ds;
	uint32_t edi, esi, ebp, old_esp, ebx, edx, ecx, eax;
	uint32_t vector, error, eip, cs, eflags;
	uint32_t esp, ss; /* pushed where CPL changed */
	uint32_t v86_es, v86_ds, v86_fs, v86_gs;
};

enum {
	SEL_CODE = 0x08,
	SEL_DATA = 0x10,
	SEL_USER = 0x1b,
	SEL_USER_DATA = 0x23,
	SEL_CODE16 = 0x28,
	SEL_DATA16 = 0x30,
	SEL_TSS = 0x38,
	SEL_FREE = 0x40 /* and up: the test's own */
};
enum { GDT_SIZE = 32 };

enum {
	EFLAGS_CF = 1,
	EFLAGS_TF = 1 << 8,
	EFLAGS_IF = 1 << 9,
	EFLAGS_IOPL = 3 << 12,
	EFLAGS_NT = 1 << 14,
	EFLAGS_RF = 1 << 16,
	EFLAGS_VM = 1 << 17,
	EFLAGS_AC = 1 << 18,
	EFLAGS_VIF = 1 << 19,
	EFLAGS_VIP = 1 << 20
};

struct tss32 {
	uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
	uint16_t trap, io_base;
	uint8_t redirection[32], io[8193];
};

/* The last exception or interrupt. last_vector is 256 where none came since it was set so. */
extern volatile struct frame last;
extern volatile uint32_t last_vector, last_cr2;

extern uint64_t gdt[GDT_SIZE], idt[256];
extern struct tss32 tss;
extern char stack_top[], ring0_top[], user_top[], exception_stubs[];

/* Calls fn, which ends by returning or by an exception below 32: then last_vector is not 256. */
void run(void (*fn)(void));
/* In a function under run(): goes on with fn at CPL 3, which only an exception leaves. */
void run_user(void (*fn)(void));
/* Calls fn, 16-bit code in the section .text16, in real mode with all segments 0. */
void run_real(void (*fn)(void));
void leave_run(void) __attribute__((noreturn));

uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags);
void set_gate(unsigned vector, unsigned selector, void *target, unsigned type_and_dpl);
void load_task(unsigned selector);

void fail(const char *file, int line, const char *what, uint32_t a, uint32_t b);
#define check(condition)                                            \
	do {                                                        \
		if (!(condition))                                   \
			fail(__FILE__, __LINE__, #condition, 0, 0); \
	} while (0)
#define check_equal(a, b)                                               \
	do {                                                            \
		uint32_t a_ = (a), b_ = (b);                            \
		if (a_ != b_)                                           \
			fail(__FILE__, __LINE__, #a " == " #b, a_, b_); \
	} while (0)
/* fn under run() raises the exception with the error code; 256: none. */
#define check_raises(fn, vector, code)                 \
	do {                                           \
		run(fn);                               \
		check_equal(last_vector, vector);      \
		if (last_vector != 256)                \
			check_equal(last.error, code); \
	} while (0)

#define CONTROL_REGISTER(n)                                            \
	static inline uint32_t read_cr##n(void)                        \
	{                                                              \
		uint32_t v;                                            \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v));          \
		return v;                                              \
	}                                                              \
	static inline void write_cr##n(uint32_t v)                     \
	{                                                              \
		asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory"); \
	}
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
static inline void wrmsr(uint32_t index, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(index), "A"(v) : "memory");
}
static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;
	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline bool is_kvm(void)
{
	return inb(0xf8) & 2;
}

#endif
