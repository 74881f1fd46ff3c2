/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EVEX instructions with memory operands. Where all of the operand can be pointed at, the host's
 * own instruction honours the mask. Else the elements that the mask selects are moved one by one,
 * through a bounce buffer, so that others neither fault nor are seen by devices (SDM volume
 * 2, 2.7.8).
 */
#include "cpu/x86/vector_int.h"

#define ZMM_SIZE 64

struct bounce {
	uint8_t bytes[ZMM_SIZE] __attribute__((aligned(ZMM_SIZE)));
};

/* The low `n` bits of the instruction's mask; all of them where it has none. */
static uint64_t mask_bits(const struct cpu *cpu, const struct insn *insn, unsigned n)
{
	unsigned k = insn->evex & INSN_EVEX_MASK;
	uint64_t mask = k ? cpu->state.k[k] : ~0ull;

	return n < 64 ? mask & ((1ull << n) - 1) : mask;
}

/* Which of `n` memory elements are needed. An element that is broadcast is one for several lanes.
 */
static uint64_t needed_elements(const struct cpu *cpu, const struct insn *insn,
				const struct insn_row *row, unsigned n)
{
	unsigned lanes = insn_mask_lanes(row, insn);
	uint64_t mask = mask_bits(cpu, insn, lanes);

	for (; lanes > n; lanes /= 2)
		mask |= mask >> (lanes / 2);
	return n < 64 ? mask & ((1ull << n) - 1) : mask;
}

/* Bytes of an operand that is as long as its mask has bits. */
static unsigned packed_size(const struct cpu *cpu, const struct insn *insn,
			    const struct insn_row *row)
{
	uint64_t mask = mask_bits(cpu, insn, insn_mask_lanes(row, insn));

	return __builtin_popcountll(mask) * row->element;
}

static bool is_masked(const struct insn_row *row, const struct insn *insn)
{
	return row->element && (insn->evex & INSN_EVEX_MASK);
}

static void load_elements(struct cpu *cpu, const struct insn *insn, const struct insn_row *row,
			  uint64_t address, struct bounce *b)
{
	unsigned size = row->element, n = insn->opsize / size;
	uint64_t needed = needed_elements(cpu, insn, row, n);

	for (unsigned i = 0; i < n; i++)
		if (needed >> i & 1)
			mem_read_bytes(cpu, insn, address + i * size, b->bytes + i * size, size);
}

/* Faults as the store would. */
static void probe_store(struct cpu *cpu, const struct insn *insn, const struct insn_row *row,
			uint64_t address)
{
	unsigned size = row->element, n = size ? insn->opsize / size : 0;
	bool masked = is_masked(row, insn);
	uint64_t needed = masked ? needed_elements(cpu, insn, row, n) : 0;

	if (!masked || row->faults_whole)
		mmu_probe(cpu, insn, address, insn->opsize, true);
	for (unsigned i = 0; i < n; i++)
		if (needed >> i & 1)
			mmu_probe(cpu, insn, address + i * size, size, true);
}

/* All are probed first, since the instruction starts again after a fault. */
static void store_elements(struct cpu *cpu, const struct insn *insn, const struct insn_row *row,
			   uint64_t address, const struct bounce *b)
{
	unsigned size = row->element, n = insn->opsize / size;
	uint64_t needed = needed_elements(cpu, insn, row, n);

	probe_store(cpu, insn, row, address);
	for (unsigned i = 0; i < n; i++)
		if (needed >> i & 1)
			mem_write_bytes(cpu, insn, address + i * size, b->bytes + i * size, size);
}

static G_GNUC_NO_INLINE void load_slow(struct cpu *cpu, const struct insn *insn, uint64_t address)
{
	const struct insn_row *row = insn_row_get(insn->row);
	struct bounce b = {0};
	unsigned size = insn->opsize;

	if (row->flags & IF_PACKED)
		size = packed_size(cpu, insn, row);
	if (is_masked(row, insn) && !(row->flags & IF_PACKED))
		load_elements(cpu, insn, row, address, &b);
	else if (size)
		mmu_read_slow(cpu, insn, address, b.bytes, size);
	vector_run(cpu, insn, b.bytes);
}

/* Which comes first is as in vector.c. */
static G_GNUC_NO_INLINE void store_slow(struct cpu *cpu, const struct insn *insn, uint64_t address)
{
	const struct insn_row *row = insn_row_get(insn->row);
	struct bounce b;
	unsigned size = insn->opsize;

	if (x86_model_host()->is_amd && (row->flags & IF_FP))
		probe_store(cpu, insn, row, address);
	vector_run(cpu, insn, b.bytes);
	if (row->flags & IF_PACKED)
		size = packed_size(cpu, insn, row);
	if (is_masked(row, insn) && !(row->flags & IF_PACKED))
		store_elements(cpu, insn, row, address, &b);
	else if (size)
		mmu_write_slow(cpu, insn, address, b.bytes, size);
}

/* Where the mask leaves nothing to access, processors do not look at the alignment either. */
static G_GNUC_NO_INLINE void check_misaligned(struct cpu *cpu, const struct insn *insn)
{
	const struct insn_row *row = insn_row_get(insn->row);

	if (!is_masked(row, insn) || needed_elements(cpu, insn, row, insn->opsize / row->element))
		vector_raise_misaligned(cpu, insn);
}

static inline uint64_t evex_address(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = insn_ea(cpu, insn);

	if (G_UNLIKELY(address & insn->imm))
		check_misaligned(cpu, insn);
	return address;
}

/* That more than YMM may be written: by its length, or by rounding, which has L'L for itself. */
static inline void note_zmm(struct cpu *cpu, const struct insn *insn)
{
	if (insn->evex & (2 << INSN_EVEX_LENGTH_SHIFT | INSN_EVEX_B))
		cpu->zmm_used = true;
}

static void evex_register(struct cpu *cpu, const struct insn *insn)
{
	note_zmm(cpu, insn);
	vector_run(cpu, insn, NULL);
	NEXT();
}

static void evex_load(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = evex_address(cpu, insn);
	void *mem = tlb_read(cpu, address, insn->opsize);

	note_zmm(cpu, insn);
	if (G_LIKELY(mem != NULL))
		vector_run(cpu, insn, mem);
	else
		load_slow(cpu, insn, address);
	NEXT();
}

void evex_store(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = evex_address(cpu, insn);
	void *mem = tlb_write(cpu, address, insn->opsize);

	if (G_LIKELY(mem != NULL))
		vector_run(cpu, insn, mem);
	else
		store_slow(cpu, insn, address);
	NEXT();
}

VECTOR_SET(evex, evex_register, evex_load)

/*
 * Gathers and scatters go from the lowest element up and clear an element's mask bit when it is
 * done, so that after a fault only the rest is left to do.
 */
static uint8_t *vector_bytes(struct cpu *cpu, unsigned reg, unsigned at)
{
	return at < 32 ? cpu->state.ymm[reg] + at : cpu->state.zmm_high[reg] + at - 32;
}

struct spread {
	uint64_t base;
	unsigned index_size, size, n;
};

static struct spread spread_init(struct cpu *cpu, const struct insn *insn)
{
	const struct insn_row *row = insn_row_get(insn->row);
	struct spread s = {.base = insn_ea(cpu, insn),
			   .index_size = row->opcode & 1 ? 8 : 4,
			   .size = row->w ? 8 : 4};

	s.n = insn_vector_size(insn) / MAX(s.index_size, s.size);
	return s;
}

static uint64_t spread_address(struct cpu *cpu, const struct insn *insn, const struct spread *s,
			       unsigned i)
{
	const uint8_t *at = vector_bytes(cpu, insn->imm2, i * s->index_size);
	int64_t index = s->index_size == 8 ? (int64_t)le64_load(at) : (int32_t)le32_load(at);
	uint64_t address = s->base + ((uint64_t)index << insn->scale);
	uint64_t segment = cpu->seg_base[insn->seg];

	return insn->addrsize == 8 ? address : segment + (uint32_t)(address - segment);
}

static void gather(struct cpu *cpu, const struct insn *insn)
{
	struct spread s = spread_init(cpu, insn);
	uint64_t *mask = &cpu->state.k[insn->evex & INSN_EVEX_MASK];

	note_zmm(cpu, insn);
	for (unsigned i = 0; i < s.n; i++) {
		uint8_t bytes[8];

		if (!(*mask >> i & 1))
			continue;
		mem_read_bytes(cpu, insn, spread_address(cpu, insn, &s, i), bytes, s.size);
		memcpy(vector_bytes(cpu, insn->reg, i * s.size), bytes, s.size);
		*mask &= ~(1ull << i);
	}
	*mask = 0;
	for (unsigned at = s.n * s.size; at < ZMM_SIZE; at += 8)
		memset(vector_bytes(cpu, insn->reg, at), 0, 8);
}

static void scatter(struct cpu *cpu, const struct insn *insn)
{
	struct spread s = spread_init(cpu, insn);
	uint64_t *mask = &cpu->state.k[insn->evex & INSN_EVEX_MASK];

	for (unsigned i = 0; i < s.n; i++) {
		if (!(*mask >> i & 1))
			continue;
		mem_write_bytes(cpu, insn, spread_address(cpu, insn, &s, i),
				vector_bytes(cpu, insn->reg, i * s.size), s.size);
		*mask &= ~(1ull << i);
	}
	*mask = 0;
}

static void evex_gather(struct cpu *cpu, const struct insn *insn)
{
	gather(cpu, insn);
	NEXT();
}

static void evex_scatter(struct cpu *cpu, const struct insn *insn)
{
	scatter(cpu, insn);
	NEXT();
}

VECTOR_SET(evex_gather, NULL, evex_gather)
VECTOR_SET(evex_scatter, NULL, evex_scatter)
