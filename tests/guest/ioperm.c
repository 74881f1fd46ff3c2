/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM volume 1, 19.5: IOPL and the I/O permission map, by the TSS' limit and over bytes' ends. */
#include "guest32.h"

enum { PORT = 0x80, NONE = 6 /* the code's own UD2 */ };

static uint16_t port;
static uint8_t buffer[4];

#define ACCESS(name, text)                                         \
	static void name(void)                                     \
	{                                                          \
		asm volatile(text "\n\tud2"                        \
			     :                                     \
			     : "d"(port), "D"(buffer), "S"(buffer) \
			     : "eax", "memory");                   \
	}                                                          \
	static void user_##name(void)                              \
	{                                                          \
		run_user(name);                                    \
	}
ACCESS(out8, "out %%al, %%dx")
ACCESS(out16, "out %%ax, %%dx")
ACCESS(out32, "out %%eax, %%dx")
ACCESS(in8, "in %%dx, %%al")
ACCESS(in16, "in %%dx, %%ax")
ACCESS(in32, "in %%dx, %%eax")
ACCESS(ins8, "insb")
ACCESS(ins32, "insl")
ACCESS(outs16, "outsw")

static const struct {
	void (*kernel)(void), (*user)(void);
	unsigned size;
} accesses[] = {
	{out8, user_out8, 1}, {out16, user_out16, 2}, {out32, user_out32, 4},
	{in8, user_in8, 1},   {in16, user_in16, 2},   {in32, user_in32, 4},
	{ins8, user_ins8, 1}, {ins32, user_ins32, 4}, {outs16, user_outs16, 2},
};
#define N_ACCESSES (sizeof(accesses) / sizeof(accesses[0]))

static void set_iopl(unsigned iopl)
{
	asm volatile("pushf\n\tandl $~0x3000, (%%esp)\n\tor %0, (%%esp)\n\tpopf"
		     :
		     : "r"(iopl << 12)
		     : "cc", "memory");
}

static void try_port(unsigned i, uint16_t at, bool allowed)
{
	port = at;
	run(accesses[i].user);
	if (last_vector != (allowed ? NONE : 13))
		fail(__FILE__, __LINE__, "access", i << 16 | at, allowed);
	check_equal(last.error, 0);
}

/* One bit clear, none clear, or all that the access needs: at each place in a byte and over its
 * end. */
static void bits(void)
{
	for (unsigned i = 0; i < N_ACCESSES; i++)
		for (unsigned at = PORT; at < PORT + 8; at++) {
			for (unsigned n = 0; n < accesses[i].size; n++)
				tss.io[(at + n) / 8] &= ~(1u << (at + n) % 8);
			try_port(i, at, true);
			try_port(i, at + 1, false);
			try_port(i, at - 1, false);
			for (unsigned n = 0; n < accesses[i].size; n++) {
				tss.io[(at + n) / 8] |= 1u << (at + n) % 8;
				try_port(i, at, false);
			}
			tss.io[PORT / 8] = tss.io[PORT / 8 + 1] = 0xff;
		}
}

static void by_iopl(void)
{
	for (unsigned iopl = 0; iopl < 4; iopl++) {
		set_iopl(iopl);
		for (unsigned i = 0; i < N_ACCESSES; i++) {
			try_port(i, PORT, iopl == 3);
			port = PORT;
			run(accesses[i].kernel);
			check_equal(last_vector, NONE);
		}
	}
	set_iopl(0);
}

static void use_limit(uint32_t limit)
{
	gdt[SEL_TSS / 8] = descriptor((uint32_t)&tss, limit, 0x89, 0);
	load_task(SEL_TSS);
}

/* A port's byte and the one after it have to be in the segment; so has the map's offset. */
static void by_limit(void)
{
	uint32_t map = offsetof(struct tss32, io);

	tss.io[PORT / 8] = tss.io[PORT / 8 + 1] = 0;
	for (unsigned i = 0; i < N_ACCESSES; i++) {
		use_limit(map + PORT / 8 + 1);
		try_port(i, PORT, true);
		use_limit(map + PORT / 8);
		try_port(i, PORT, false);
		use_limit(map + PORT / 8 - 1);
		try_port(i, PORT, false);
		use_limit(0x67);
		try_port(i, PORT, false);
		tss.io_base = 0xffff;
		use_limit(sizeof(tss) - 1);
		try_port(i, PORT, false);
		tss.io_base = map;
	}
	tss.io[PORT / 8] = tss.io[PORT / 8 + 1] = 0xff;
}

/* The last port's second byte is the one of ones that ends the map. */
static void last_port(void)
{
	tss.io[0xffff / 8] = 0x7f;
	try_port(0, 0xffff, true);
	try_port(1, 0xffff, false);
	tss.io[0xffff / 8] = 0xff;
}

void test_main(void)
{
	bits();
	by_iopl();
	by_limit();
	last_port();
}
