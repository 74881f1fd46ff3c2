/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two processors on the same memory: the order of their accesses (SDM volume 3, 8.2), locked
 * instructions, code that one writes and the other runs (8.1.3), and a page table that one changes
 * and the other has in its TLB (4.10.5). With one processor there is nothing to do.
 */
#include "guest.h"

#define ROUNDS 3000

static volatile uint32_t round, done, stop; /* of the second processor */
static void (*volatile task)(void);
extern uint8_t second_stack[16384];
uint8_t second_stack[16384] __attribute__((aligned(16)));
static uint8_t code[4096] __attribute__((aligned(4096)));
static uint64_t frames[2][512] __attribute__((aligned(4096)));

static struct {
	volatile uint32_t v;
	uint32_t pad[15];
} __attribute__((aligned(64))) x, y, seen_x, seen_y;
static volatile uint64_t counter;

void second_main(void);

void second_main(void)
{
	for (uint32_t n = 1;; n++) {
		while (round != n)
			asm volatile("pause" : : : "memory");
		task();
		done = n;
	}
}

void second_start(void);
asm(".text\nsecond_start:\n\tlea second_stack + 16384(%rip), %rsp\n\tcall second_main");

/* Runs fn on the second processor and `mine` here, at the same time. */
static void together(void (*fn)(void), void (*mine)(void))
{
	task = fn;
	round++;
	mine();
	while (done != round)
		asm volatile("pause" : : : "memory");
}

/* Stores are seen in their order, and loads are made in theirs (8.2.3.2). */
static void writer(void)
{
	for (uint32_t i = 1; i <= 20000; i++) {
		x.v = i;
		y.v = i;
	}
}

static void reader(void)
{
	uint32_t a, b;

	do {
		b = y.v;
		a = x.v;
		check(a >= b);
	} while (b < 20000);
}

static void message_passing(void)
{
	x.v = y.v = 0;
	together(writer, reader);
	x.v = y.v = 0;
	together(reader, writer);
}

/* A store and then a load of another place may pass each other, but not MFENCE or XCHG
 * (8.2.3.4, 8.2.3.9). */
static volatile uint32_t gate;

static void store_load(volatile uint32_t *store, volatile uint32_t *load, volatile uint32_t *seen,
		       bool fence)
{
	uint32_t v = 1;

	asm volatile("lock incl %0" : "+m"(gate) : : "memory", "cc");
	while (gate != 2)
		;
	if (fence)
		asm volatile("movl %2, %0\n\tmfence\n\tmovl %1, %2"
			     : "+m"(*store), "+m"(*load), "+r"(v)
			     :
			     : "memory");
	else
		asm volatile("xchgl %2, %0\n\tmovl %1, %2"
			     : "+m"(*store), "+m"(*load), "+r"(v)
			     :
			     : "memory");
	*seen = v;
}

static volatile bool fenced;

static void store_x(void)
{
	store_load(&x.v, &y.v, &seen_y.v, fenced);
}

static void store_y(void)
{
	store_load(&y.v, &x.v, &seen_x.v, fenced);
}

static void store_buffers(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		x.v = y.v = gate = 0;
		fenced = i % 2;
		together(store_y, store_x);
		check(seen_x.v || seen_y.v);
	}
}

/* Locked instructions of all kinds, on a line of their own and across two. */
static uint8_t split[128] __attribute__((aligned(64)));

static void count(void)
{
	uint64_t *across = (uint64_t *)(split + 60);

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t was, next, one = 1;

		asm volatile("lock incq %0" : "+m"(counter) : : "memory", "cc");
		asm volatile("lock xaddq %1, %0" : "+m"(counter), "+r"(one) : : "memory", "cc");
		was = counter;
		do
			next = was + 1;
		while (!__atomic_compare_exchange_n(&counter, &was, next, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST));
		if (i % 64 == 0)
			asm volatile("lock addq $1, %0" : "+m"(*across) : : "memory", "cc");
	}
}

static void locked(void)
{
	counter = 0;
	*(uint64_t *)(split + 60) = 0;
	together(count, count);
	check_equal(counter, 2 * 3 * 20000);
	check_equal(*(uint64_t *)(split + 60), 2 * 313);
}

/* Code that is written here while it runs there: each run gives a value that was there. */
static uint32_t call_code(void)
{
	uint32_t result;

	asm volatile("call *%1" : "=a"(result) : "r"((void *)code) : "memory", "cc");
	return result;
}

static void run_code(void)
{
	uint32_t last_value = 0, value;

	while (!stop) {
		value = call_code();
		check(value >= last_value);
		last_value = value;
	}
}

/* The aligned immediate of nop; nop; nop; mov eax, imm32. */
static void write_code(void)
{
	volatile uint32_t *immediate = (volatile uint32_t *)(code + 4);

	for (uint32_t i = 1; i <= 5000; i++) {
		*immediate = i;
		if (i % 16 == 0)
			asm volatile("pause");
		check_equal(call_code(), i);
	}
	stop = 1;
}

static void put_code(void)
{
	static const uint8_t program[] = {0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3};

	__builtin_memcpy(code, program, sizeof(program));
}

static void written_code(void)
{
	put_code();
	stop = 0;
	together(run_code, write_code);
	put_code();
	stop = 0;
	together(write_code, run_code);
}

/* The same with an agreement: what was written before is what runs after (8.1.3). */
static void run_agreed(void)
{
	uint32_t eax = 0, ecx = 0;

	asm volatile("cpuid" : "+a"(eax), "+c"(ecx) : : "rbx", "rdx", "memory");
	check_equal(call_code(), x.v);
}

static void nothing(void)
{
}

static void agreed_code(void)
{
	put_code();
	for (uint32_t i = 1; i < ROUNDS; i++) {
		*(volatile uint32_t *)(code + 4) = i;
		x.v = i;
		together(run_agreed, nothing);
	}
}

/* A page that becomes another one: once the other processor has been told it sees no more of the
 * first. */
static volatile uint64_t *const window = (volatile uint64_t *)(WINDOW + 20 * 4096);
static volatile uint32_t told, heard;

static void watch_window(void)
{
	while (!stop) {
		uint64_t which = *window;

		check(which < 2);
		if (told != heard) {
			invlpg((uint64_t)window);
			check_equal(*window, told % 2);
			*(volatile uint64_t *)(window + 1) = told;
			heard = told;
		}
	}
}

static void change_window(void)
{
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		*window_entry(20) = (uint64_t)frames[i % 2] | PTE_P | PTE_W;
		invlpg((uint64_t)window);
		told = i;
		while (heard != i)
			asm volatile("pause" : : : "memory");
		check_equal(frames[i % 2][1], i);
		check(frames[(i + 1) % 2][1] < i);
	}
	stop = 1;
}

static void shot_down(void)
{
	frames[0][0] = 0;
	frames[1][0] = 1;
	*window_entry(20) = (uint64_t)frames[0] | PTE_P | PTE_W;
	stop = 0;
	together(watch_window, change_window);
}

void test_main(void)
{
	if (inl(0xe0) < 2)
		return;
	outl(0xe0, (uint64_t)second_start);
	message_passing();
	store_buffers();
	locked();
	written_code();
	agreed_code();
	shot_down();
}
