/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SDM volume 3, 5.6 and 5.7: loads of segment registers by type, DPL, RPL and CPL; 5.8.1: direct
 * transfers to code segments, conforming and not; 5.10 and volume 2: who may ask with LAR, LSL,
 * VERR and VERW; ARPL; 6.12.1.3: what gates do to IF.
 */
#include "guest32.h"

enum { S1 = SEL_FREE, LDT = SEL_FREE + 8 };
enum { NONE = 6 /* the code's own UD2 */, S = 0x10, P = 0x80, A = 1 };

/* Types without P and DPL; the accessed bit is clear where there is one. */
static const uint8_t types[] = {
	S | 0x0, S | 0x2, S | 0x4, S | 0x6, /* data: read-only, writable, expand-down both */
	S | 0x8, S | 0xa, S | 0xc, S | 0xe, /* code: execute-only, readable, conforming both */
	0x1,	 0x2,	  0x3,	   0x4,	    0x5, 0x6, 0x7, 0x9, 0xb, 0xc, 0xe, 0xf, 0x0, 0x8,
};

static uint32_t selector;

static bool is_code(unsigned type)
{
	return (type & (S | 8)) == (S | 8);
}

static bool is_conforming(unsigned type)
{
	return (type & (S | 0xc)) == (S | 0xc);
}

static unsigned max(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

/* The vector of a load of ES. */
static unsigned data_load(unsigned cpl, unsigned rpl, unsigned dpl, unsigned type, bool present)
{
	if (!(type & S) || (is_code(type) && !(type & 2)))
		return 13;
	if (!is_conforming(type) && max(cpl, rpl) > dpl)
		return 13;
	return present ? NONE : 11;
}

static unsigned stack_load(unsigned cpl, unsigned rpl, unsigned dpl, unsigned type, bool present)
{
	if (rpl != cpl || dpl != cpl || !(type & S) || is_code(type) || !(type & 2))
		return 13;
	return present ? NONE : 12;
}

static void load_es(void)
{
	asm volatile("mov %0, %%es\n\tud2" : : "r"(selector));
}
static void load_ss(void)
{
	asm volatile("mov %0, %%ss\n\tud2" : : "r"(selector));
}
static void user_load_es(void)
{
	run_user(load_es);
}
static void user_load_ss(void)
{
	run_user(load_ss);
}

static void one_load(bool stack, unsigned cpl, unsigned rpl, unsigned dpl, unsigned type,
		     bool present)
{
	unsigned vector = (stack ? stack_load : data_load)(cpl, rpl, dpl, type, present);
	/* Expand-down, so that a stack there has room. */
	uint32_t limit = (type & (S | 0xc)) == (S | 4) ? 0 : 0xfffff;

	gdt[S1 / 8] = descriptor(0, limit, type | dpl << 5 | (present ? P : 0), 0xc);
	selector = S1 | rpl;
	run(stack ? cpl ? user_load_ss : load_ss : cpl ? user_load_es : load_es);
	asm volatile("mov %0, %%ss" : : "r"(SEL_DATA));
	if (last_vector != vector)
		fail(__FILE__, __LINE__, "load",
		     stack << 28 | cpl << 24 | rpl << 20 | dpl << 16 | present << 12 | type,
		     vector);
	if (vector != NONE)
		check_equal(last.error, S1);
	/* Only what is loaded has been accessed. */
	check_equal(gdt[S1 / 8] >> 40 & A, (type & A) || vector == NONE);
}

static void loads(void)
{
	for (unsigned i = 0; i < sizeof(types); i++)
		for (unsigned n = 0; n < 4 * 4 * 2 * 2; n++) {
			one_load(false, n & 16 ? 3 : 0, n & 3, n >> 2 & 3, types[i], n & 32);
			one_load(true, n & 16 ? 3 : 0, n & 3, n >> 2 & 3, types[i], n & 32);
		}
}

static void load_is(void (*load)(void), uint32_t which, unsigned vector, unsigned code)
{
	selector = which;
	check_raises(load, vector, code);
}

static void null_and_beyond(void)
{
	static uint64_t ldt[2];

	for (unsigned rpl = 0; rpl < 4; rpl++) {
		load_is(load_es, rpl, NONE, 0);
		load_is(user_load_es, rpl, NONE, 0);
		load_is(load_ss, rpl, 13, 0);
	}
	load_is(load_es, sizeof(gdt) | 3, 13, sizeof(gdt));
	load_is(load_es, 4, 13, 4); /* there is no LDT yet */
	ldt[1] = descriptor(0, 0xfffff, 0x93, 0xc);
	gdt[LDT / 8] = descriptor((uint32_t)ldt, sizeof(ldt) - 1, 0x82, 0);
	asm volatile("lldt %w0" : : "r"(LDT));
	load_is(load_es, 12, NONE, 0);
	load_is(load_es, 4, 13, 4); /* not null, and not of a type */
	load_is(load_es, 20, 13, 20);
	asm volatile("lldt %w0" : : "r"(0));
	load_is(load_es, 12, 13, 12);
}

/* A direct JMP: conforming code of an inner level runs at the outer one; the selector's RPL is
 * CPL's. */
extern char target[];
asm(".text\ntarget: ud2");
static struct {
	uint32_t offset;
	uint16_t selector;
} __attribute__((packed)) pointer;

static void jump(void)
{
	asm volatile("ljmp *%0" : : "m"(pointer));
}
static void user_jump(void)
{
	run_user(jump);
}

static void one_jump(unsigned cpl, unsigned rpl, unsigned dpl, bool conforming)
{
	bool ok = conforming ? dpl <= cpl : dpl == cpl && rpl <= cpl;

	gdt[S1 / 8] = descriptor(0, 0xfffff, P | S | 0xa | (conforming ? 4 : 0) | dpl << 5, 0xc);
	pointer.offset = (uint32_t)target;
	pointer.selector = S1 | rpl;
	run(cpl ? user_jump : jump);
	if (last_vector != (ok ? 6 : 13))
		fail(__FILE__, __LINE__, "jump", cpl << 12 | rpl << 8 | dpl << 4 | conforming, ok);
	if (ok) {
		check_equal(last.cs, S1 | cpl);
		check_equal(last.eip, (uint32_t)target);
	} else {
		check_equal(last.error, S1);
	}
}

static void transfers(void)
{
	for (unsigned n = 0; n < 4 * 4 * 2 * 2; n++)
		one_jump(n & 16 ? 3 : 0, n & 3, n >> 2 & 3, n & 32);
	gdt[S1 / 8] = descriptor(0, 0xfffff, S | 0xa, 0xc);
	pointer.selector = S1;
	check_raises(jump, 11, S1);
}

/* Who may ask about what. */
static volatile uint32_t answer;

static void ask(void)
{
	uint8_t lar, lsl, verr, verw;
	uint32_t value = 0;

	asm volatile("lar %2, %0\n\tsetz %1" : "+r"(value), "=q"(lar) : "r"(selector) : "cc");
	asm volatile("lsl %2, %0\n\tsetz %1" : "+r"(value), "=q"(lsl) : "r"(selector) : "cc");
	asm volatile("verr %w1\n\tsetz %0" : "=q"(verr) : "r"(selector) : "cc");
	asm volatile("verw %w1\n\tsetz %0" : "=q"(verw) : "r"(selector) : "cc");
	answer = lar | lsl << 1 | verr << 2 | verw << 3;
	asm volatile("ud2");
}
static void user_ask(void)
{
	run_user(ask);
}

static uint32_t expected_answer(unsigned cpl, unsigned rpl, unsigned dpl, unsigned type)
{
	enum { LAR_TYPES = 0x1a3e, LSL_TYPES = 0x0a0e };
	bool code = is_code(type);

	if (!is_conforming(type) && max(cpl, rpl) > dpl)
		return 0;
	if (!(type & S))
		return (LAR_TYPES >> type & 1) | (LSL_TYPES >> type & 1) << 1;
	return 3 | (!code || (type & 2)) << 2 | (!code && (type & 2)) << 3;
}

static void questions(void)
{
	for (unsigned i = 0; i < sizeof(types); i++)
		for (unsigned n = 0; n < 4 * 4 * 2; n++) {
			unsigned cpl = n & 16 ? 3 : 0, rpl = n & 3, dpl = n >> 2 & 3;

			gdt[S1 / 8] = descriptor(0, 0xfffff, types[i] | P | dpl << 5, 0xc);
			selector = S1 | rpl;
			check_raises(cpl ? user_ask : ask, 6, 0);
			if (answer != expected_answer(cpl, rpl, dpl, types[i]))
				fail(__FILE__, __LINE__, "answer",
				     cpl << 24 | rpl << 20 | dpl << 16 | types[i] << 8 | answer,
				     expected_answer(cpl, rpl, dpl, types[i]));
		}
	selector = 0;
	check_raises(ask, 6, 0);
	check_equal(answer, 0);
	selector = sizeof(gdt);
	check_raises(ask, 6, 0);
	check_equal(answer, 0);
}

static void arpl(void)
{
	for (unsigned n = 0; n < 16; n++) {
		uint16_t memory = 0x1230 | (n & 3), reg = 0x1230 | (n & 3),
			 source = 0x4564 | n >> 2;
		uint16_t result = 0x1230 | max(n & 3, n >> 2);
		uint8_t by_memory, by_reg;

		asm volatile("arpl %2, %0\n\tsetz %1"
			     : "+m"(memory), "=q"(by_memory)
			     : "r"(source)
			     : "cc");
		asm volatile("arpl %2, %0\n\tsetz %1"
			     : "+r"(reg), "=q"(by_reg)
			     : "r"(source)
			     : "cc");
		check_equal(memory, result);
		check_equal(reg, result);
		check_equal(by_memory, (n >> 2) > (n & 3));
		check_equal(by_reg, by_memory);
	}
}

/* Interrupt gates clear IF, trap gates leave it. */
extern char note_flags[];
asm(".text\nnote_flags: push %eax\n\tpushf\n\tpop %eax\n\tmov %eax, answer\n\tpop %eax\n\tiret");

static void gates(void)
{
	for (unsigned trap = 0; trap < 2; trap++) {
		set_gate(0x43, SEL_CODE, note_flags, 0x0e + trap);
		asm volatile("sti\n\tint $0x43\n\tcli" : : : "memory", "cc");
		check_equal(answer & (EFLAGS_IF | EFLAGS_TF | EFLAGS_NT), trap ? EFLAGS_IF : 0);
	}
}

void test_main(void)
{
	loads();
	null_and_beyond();
	transfers();
	questions();
	arpl();
	gates();
}
