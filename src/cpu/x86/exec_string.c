/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions. Forward repeats run page by page with the host's own string
 * instruction on host pointers; what cannot be pointed at, and backward ones, go element by
 * element. Registers are up to date after every step, so a fault or an interrupt leaves the
 * instruction restartable as on hardware.
 */
#include "cpu/x86/exec.h"

static uint64_t get_counted(const struct cpu *cpu, const struct insn *insn, unsigned reg)
{
	uint64_t v = cpu->gpr[reg];

	return insn->addrsize == 8 ? v : insn->addrsize == 4 ? (uint32_t)v : (uint16_t)v;
}

static void add_counted(struct cpu *cpu, const struct insn *insn, unsigned reg, int64_t n)
{
	uint64_t v = cpu->gpr[reg] + n;

	if (insn->addrsize == 8)
		SET_REG64(reg * 8, v);
	else if (insn->addrsize == 4)
		SET_REG32(reg * 8, v);
	else
		SET_REG16(reg * 8, v);
}

static bool is_repeated(const struct insn *insn)
{
	return insn->flags & (INSN_REP | INSN_REPNE);
}

static int64_t step_of(const struct cpu *cpu, const struct insn *insn)
{
	return cpu->state.rflags & RFLAGS_DF ? -(int64_t)insn->opsize : insn->opsize;
}

static uint64_t source(struct cpu *cpu, const struct insn *insn, unsigned size)
{
	return mmu_linear(cpu, insn, insn->seg, get_counted(cpu, insn, X86_RSI), size, false);
}

/* `write`: not for CMPS and SCAS. In 64-bit mode ES has no base. */
static uint64_t destination(struct cpu *cpu, const struct insn *insn, unsigned size, bool write)
{
	return mmu_linear(cpu, insn, X86_ES, get_counted(cpu, insn, X86_RDI), size, write);
}

/* Elements from `address` to its page's end that a forward repeat of `count` may take at once. */
static uint64_t page_run(const struct cpu *cpu, const struct insn *insn, uint64_t address,
			 uint64_t count)
{
	if (!is_repeated(insn) || (cpu->state.rflags & (RFLAGS_DF | RFLAGS_TF)) ||
	    insn->addrsize == 2 || (cpu->seg_checked & (1u << insn->seg | 1u << X86_ES)))
		return 1;
	return CLAMP((4096 - address % 4096) / insn->opsize, 1, count);
}

/* What one step of a string instruction did: elements taken, and whether to go on. */
struct step {
	uint64_t taken;
	bool stop;
};
typedef struct step (*step_fn)(struct cpu *cpu, const struct insn *insn, uint64_t count);

/* Between two elements interrupts are taken, and the trap of a single step. */
static bool is_interrupted(const struct cpu *cpu)
{
	return atomic_load_explicit(&cpu->attention, memory_order_relaxed) ||
	       (cpu->state.rflags & RFLAGS_TF);
}

/*
 * Runs steps until the count is used up or one says stop. False: it was interrupted, rip is
 * left at this instruction and the block is to be left.
 */
static inline bool repeat(struct cpu *cpu, const struct insn *insn, step_fn step)
{
	if (!is_repeated(insn)) {
		step(cpu, insn, 1);
		return true;
	}
	for (;;) {
		uint64_t count = get_counted(cpu, insn, X86_RCX);
		struct step done;

		if (!count)
			return true;
		done = step(cpu, insn, count);
		add_counted(cpu, insn, X86_RCX, -(int64_t)done.taken);
		if (done.stop)
			return true;
		if (count != done.taken && is_interrupted(cpu)) {
			cpu_leave_block(cpu, insn, insn_pc(cpu, insn));
			return false;
		}
	}
}

#define STRING_ROUTINE(name)                        \
	ROUTINE(name)                               \
	{                                           \
		if (repeat(cpu, insn, name##_step)) \
			NEXT();                     \
	}                                           \
	EXEC_ONE(name)

static uint64_t load_element(struct cpu *cpu, const struct insn *insn, uint64_t address)
{
	switch (insn->opsize) {
	case 1:
		return mem_load8(cpu, insn, address);
	case 2:
		return mem_load16(cpu, insn, address);
	case 4:
		return mem_load32(cpu, insn, address);
	default:
		return mem_load64(cpu, insn, address);
	}
}

static void store_element(struct cpu *cpu, const struct insn *insn, uint64_t address, uint64_t v)
{
	switch (insn->opsize) {
	case 1:
		mem_store8(cpu, insn, address, v);
		break;
	case 2:
		mem_store16(cpu, insn, address, v);
		break;
	case 4:
		mem_store32(cpu, insn, address, v);
		break;
	default:
		mem_store64(cpu, insn, address, v);
	}
}

static void host_movs(void *to, const void *from, uint64_t n, unsigned size)
{
	switch (size) {
	case 1:
		asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 2:
		asm volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 4:
		asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	default:
		asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	}
}

static struct step movs_step(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	uint64_t from = source(cpu, insn, insn->opsize),
		 to = destination(cpu, insn, insn->opsize, true);
	uint64_t n = MIN(page_run(cpu, insn, from, count), page_run(cpu, insn, to, count));
	void *read = tlb_read(cpu, from, n * insn->opsize);
	void *write = tlb_write(cpu, to, n * insn->opsize);

	if (read && write) {
		host_movs(write, read, n, insn->opsize);
	} else {
		n = 1;
		store_element(cpu, insn, to, load_element(cpu, insn, from));
	}
	add_counted(cpu, insn, X86_RSI, step_of(cpu, insn) * n);
	add_counted(cpu, insn, X86_RDI, step_of(cpu, insn) * n);
	return (struct step){n, false};
}
STRING_ROUTINE(movs)

static void host_stos(void *to, uint64_t v, uint64_t n, unsigned size)
{
	switch (size) {
	case 1:
		asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(v) : "memory");
		break;
	case 2:
		asm volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(v) : "memory");
		break;
	case 4:
		asm volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(v) : "memory");
		break;
	default:
		asm volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(v) : "memory");
	}
}

static struct step stos_step(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	uint64_t to = destination(cpu, insn, insn->opsize, true),
		 n = page_run(cpu, insn, to, count);
	void *write = tlb_write(cpu, to, n * insn->opsize);

	if (write) {
		host_stos(write, cpu->gpr[X86_RAX], n, insn->opsize);
	} else {
		n = 1;
		store_element(cpu, insn, to, cpu->gpr[X86_RAX]);
	}
	add_counted(cpu, insn, X86_RDI, step_of(cpu, insn) * n);
	return (struct step){n, false};
}
STRING_ROUTINE(stos)

static struct step lods_step(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	uint64_t v = load_element(cpu, insn, source(cpu, insn, insn->opsize));

	if (insn->opsize == 1)
		SET_REG8(R_RAX, v);
	else if (insn->opsize == 2)
		SET_REG16(R_RAX, v);
	else
		SET_REG64(R_RAX, v);
	add_counted(cpu, insn, X86_RSI, step_of(cpu, insn));
	return (struct step){1, false};
}
STRING_ROUTINE(lods)

static void compare_element(struct cpu *cpu, unsigned size, uint64_t a, uint64_t b)
{
	uint16_t f;

	switch (size) {
	case 1:
		asm("cmpb %b2, %b1" FLAGS_OUT : "=a"(f) : "r"(a), "r"(b) : "cc");
		break;
	case 2:
		asm("cmpw %w2, %w1" FLAGS_OUT : "=a"(f) : "r"(a), "r"(b) : "cc");
		break;
	case 4:
		asm("cmpl %k2, %k1" FLAGS_OUT : "=a"(f) : "r"(a), "r"(b) : "cc");
		break;
	default:
		asm("cmpq %2, %1" FLAGS_OUT : "=a"(f) : "r"(a), "r"(b) : "cc");
	}
	cpu->flags = f;
}

static bool stops(const struct cpu *cpu, const struct insn *insn)
{
	bool equal = cpu->flags & FLAG_ZF;

	return insn->flags & INSN_REPNE ? equal : !equal;
}

static uint64_t element(const void *p, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, p, size);
	return v;
}

static struct step cmps_step(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	uint64_t a = source(cpu, insn, insn->opsize),
		 b = destination(cpu, insn, insn->opsize, false), n = 0;
	uint64_t run = MIN(page_run(cpu, insn, a, count), page_run(cpu, insn, b, count));
	unsigned size = insn->opsize;
	const uint8_t *pa = tlb_read(cpu, a, run * size), *pb = tlb_read(cpu, b, run * size);

	if (pa && pb) {
		bool until_equal = insn->flags & INSN_REPNE;

		do
			n++;
		while (n < run && (element(pa + (n - 1) * size, size) ==
				   element(pb + (n - 1) * size, size)) != until_equal);
		compare_element(cpu, size, element(pa + (n - 1) * size, size),
				element(pb + (n - 1) * size, size));
	} else {
		uint64_t va = load_element(cpu, insn, a), vb = load_element(cpu, insn, b);

		n = 1;
		compare_element(cpu, size, va, vb);
	}
	add_counted(cpu, insn, X86_RSI, step_of(cpu, insn) * n);
	add_counted(cpu, insn, X86_RDI, step_of(cpu, insn) * n);
	return (struct step){n, stops(cpu, insn)};
}
STRING_ROUTINE(cmps)

static struct step scas_step(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	uint64_t b = destination(cpu, insn, insn->opsize, false), n = 0,
		 run = page_run(cpu, insn, b, count);
	unsigned size = insn->opsize;
	const uint8_t *p = tlb_read(cpu, b, run * size);

	if (p) {
		bool until_equal = insn->flags & INSN_REPNE;
		uint64_t want = element(&cpu->gpr[X86_RAX], size);

		do
			n++;
		while (n < run && (element(p + (n - 1) * size, size) == want) != until_equal);
		compare_element(cpu, size, want, element(p + (n - 1) * size, size));
	} else {
		n = 1;
		compare_element(cpu, size, cpu->gpr[X86_RAX], load_element(cpu, insn, b));
	}
	add_counted(cpu, insn, X86_RDI, step_of(cpu, insn) * n);
	return (struct step){n, stops(cpu, insn)};
}
STRING_ROUTINE(scas)

/* Port strings: the permission check (exec_io.c) has been made by the step's first line. */
static struct step ins_step(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	unsigned size = MIN(insn->opsize, 4);
	uint64_t to = destination(cpu, insn, size, true);
	uint16_t port = REG(uint16_t, R_RDX);
	uint32_t v;

	cpu_check_port(cpu, insn, port, size);
	/* The port must not be read if the store would fault. */
	mmu_probe(cpu, insn, to, size, true);
	v = bus_read(cpu->env.bus, BUS_PIO, port, size);
	mem_write_bytes(cpu, insn, to, &v, size);
	add_counted(cpu, insn, X86_RDI, cpu->state.rflags & RFLAGS_DF ? -(int64_t)size : size);
	return (struct step){1, false};
}
STRING_ROUTINE(ins)

static struct step outs_step(struct cpu *cpu, const struct insn *insn, uint64_t count)
{
	unsigned size = MIN(insn->opsize, 4);
	uint16_t port = REG(uint16_t, R_RDX);
	uint32_t v = 0;

	cpu_check_port(cpu, insn, port, size);
	mem_read_bytes(cpu, insn, source(cpu, insn, size), &v, size);
	bus_write(cpu->env.bus, BUS_PIO, port, v, size);
	add_counted(cpu, insn, X86_RSI, cpu->state.rflags & RFLAGS_DF ? -(int64_t)size : size);
	return (struct step){1, false};
}
STRING_ROUTINE(outs)
