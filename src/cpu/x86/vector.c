/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routines of MMX, SSE and AVX: through stubs, except where a mask says which bytes of
 * memory are touched at all. x87.c has the x87's.
 */
#include "cpu/x86/vector_int.h"
#include "cpu/x86/model.h"

void vector_raise(struct cpu *cpu, const struct insn *insn, unsigned vector)
{
	if (vector == EXC_XM && !(cpu->state.cr4 & CR4_OSXMMEXCPT))
		vector = EXC_UD;
	cpu_fault(cpu, insn, vector);
}

/* A pending exception of the x87's comes before the memory operand's, except that CVTPI2PS and
 * CVTPI2PD from memory touch no MMX register. */
static void check_pending(struct cpu *cpu, const struct insn *insn)
{
	const struct insn_row *row = insn_row_get(insn->row);

	if ((row->flags & (IF_MMX | IF_X87)) && row->operand[0].kind != 'V')
		x87_check_pending(cpu, insn);
}

/* Memory that cannot be pointed at. */
static G_GNUC_NO_INLINE void load_slow(struct cpu *cpu, const struct insn *insn, uint64_t address)
{
	uint8_t bounce[32] __attribute__((aligned(32)));

	check_pending(cpu, insn);
	mmu_read_slow(cpu, insn, address, bounce, insn->opsize);
	vector_run(cpu, insn, bounce);
}

/* On Intel's processors VCVTPS2PH computes first: MXCSR as it leaves it stays when the store
 * faults. On AMD's the store's faults come first. */
static G_GNUC_NO_INLINE void store_slow(struct cpu *cpu, const struct insn *insn, uint64_t address)
{
	uint8_t bounce[32] __attribute__((aligned(32)));

	if (x86_model_host()->is_amd && (insn_row_get(insn->row)->flags & IF_FP))
		mmu_probe(cpu, insn, address, insn->opsize, true);
	vector_run(cpu, insn, bounce);
	mmu_write_slow(cpu, insn, address, bounce, insn->opsize);
}

void vector_raise_misaligned(struct cpu *cpu, const struct insn *insn)
{
	check_pending(cpu, insn);
	cpu_fault_code(cpu, insn, EXC_GP, 0);
}

static inline uint64_t vector_address(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = insn_ea(cpu, insn);

	if (G_UNLIKELY(address & insn->imm))
		vector_raise_misaligned(cpu, insn);
	return address;
}

static inline void vector_load_operand(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = vector_address(cpu, insn);
	void *mem = tlb_read(cpu, address, insn->opsize);

	if (G_LIKELY(mem != NULL))
		vector_run(cpu, insn, mem);
	else
		load_slow(cpu, insn, address);
}

static inline void vector_store_operand(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = vector_address(cpu, insn);
	void *mem = tlb_write(cpu, address, insn->opsize);

	if (G_LIKELY(mem != NULL))
		vector_run(cpu, insn, mem);
	else
		store_slow(cpu, insn, address);
}

static void vector_register(struct cpu *cpu, const struct insn *insn)
{
	vector_run(cpu, insn, NULL);
	NEXT();
}

static void vector_load(struct cpu *cpu, const struct insn *insn)
{
	vector_load_operand(cpu, insn);
	NEXT();
}

void vector_store(struct cpu *cpu, const struct insn *insn)
{
	vector_store_operand(cpu, insn);
	NEXT();
}

static void mmx_register(struct cpu *cpu, const struct insn *insn)
{
	x87_need(cpu);
	vector_run(cpu, insn, NULL);
	NEXT();
}

void mmx_load(struct cpu *cpu, const struct insn *insn)
{
	x87_need(cpu);
	vector_load_operand(cpu, insn);
	NEXT();
}

void mmx_store(struct cpu *cpu, const struct insn *insn)
{
	x87_need(cpu);
	vector_store_operand(cpu, insn);
	NEXT();
}

VECTOR_SET(vector, vector_register, vector_load)
VECTOR_SET(mmx, mmx_register, mmx_load)

static void zero_upper(struct cpu *cpu, unsigned from)
{
	unsigned n = cpu->state.efer & EFER_LMA && cpu->state.seg[X86_CS].attr & SEG_L ? 16 : 8;

	for (unsigned i = 0; i < n; i++) {
		memset(cpu->state.ymm[i] + from, 0, 32 - from);
		vector_zero_high(cpu, i);
	}
}

void vector_note_zmm(struct cpu *cpu)
{
	static const uint8_t zero[sizeof(cpu->state.zmm_high)];

	cpu->zmm_used = memcmp(cpu->state.zmm_high, zero, sizeof(zero)) != 0;
}

static void vzeroupper(struct cpu *cpu, const struct insn *insn)
{
	zero_upper(cpu, 16);
	NEXT();
}

static void vzeroall(struct cpu *cpu, const struct insn *insn)
{
	zero_upper(cpu, 0);
	NEXT();
}
VECTOR_SET(vzeroupper, vzeroupper, NULL)
VECTOR_SET(vzeroall, vzeroall, NULL)

uint32_t vector_mxcsr_mask(void)
{
	static gsize mask;

	if (g_once_init_enter(&mask)) {
		uint8_t image[512] __attribute__((aligned(16))) = {0};
		uint32_t m;

		asm volatile("fxsave64 %0" : "=m"(image));
		memcpy(&m, image + 28, sizeof(m));
		g_once_init_leave(&mask, m ? m : 0xffbf); /* SDM volume 1, 11.6.6 */
	}
	return mask;
}

static void ldmxcsr(struct cpu *cpu, const struct insn *insn)
{
	uint32_t v = mem_load32(cpu, insn, insn_ea(cpu, insn));

	if (v & ~vector_mxcsr_mask())
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	cpu->state.mxcsr = v;
	NEXT();
}

static void stmxcsr(struct cpu *cpu, const struct insn *insn)
{
	mem_store32(cpu, insn, insn_ea(cpu, insn), cpu->state.mxcsr);
	NEXT();
}
VECTOR_SET(ldmxcsr, NULL, ldmxcsr)
VECTOR_SET(stmxcsr, NULL, stmxcsr)

static uint64_t load_element(struct cpu *cpu, const struct insn *insn, uint64_t address,
			     unsigned size)
{
	return size == 4 ? mem_load32(cpu, insn, address) : mem_load64(cpu, insn, address);
}

static bool element_selected(const uint8_t *mask, unsigned i, unsigned size)
{
	return mask[i * size + size - 1] & 0x80;
}

/* VMASKMOV, VPMASKMOV: in one go where all of the operand can be pointed at. */
static void maskmov_load(struct cpu *cpu, const struct insn *insn, unsigned size)
{
	const uint8_t *mask = cpu->state.ymm[insn->vvvv];
	uint64_t address = insn_ea(cpu, insn);
	void *mem = tlb_read(cpu, address, insn->opsize);
	uint8_t result[32] = {0};

	if (G_LIKELY(mem != NULL)) {
		vector_run(cpu, insn, mem);
		return;
	}
	for (unsigned i = 0; i < insn->opsize / size; i++) {
		if (!element_selected(mask, i, size))
			continue;
		uint64_t v = load_element(cpu, insn, address + i * size, size);
		memcpy(result + i * size, &v, size);
	}
	memcpy(cpu->state.ymm[insn->reg], result, 32);
	vector_zero_high(cpu, insn->reg);
}

static void maskmov_store(struct cpu *cpu, const struct insn *insn, unsigned size)
{
	const uint8_t *mask = cpu->state.ymm[insn->vvvv], *data = cpu->state.ymm[insn->reg];
	uint64_t address = insn_ea(cpu, insn);
	void *mem = tlb_write(cpu, address, insn->opsize);

	if (G_LIKELY(mem != NULL)) {
		vector_run(cpu, insn, mem);
		return;
	}
	for (unsigned i = 0; i < insn->opsize / size; i++)
		if (element_selected(mask, i, size))
			mmu_probe(cpu, insn, address + i * size, size, true);
	for (unsigned i = 0; i < insn->opsize / size; i++)
		if (element_selected(mask, i, size))
			mem_write_bytes(cpu, insn, address + i * size, data + i * size, size);
}

#define MASKMOV(size)                                                             \
	static void maskmov_load##size(struct cpu *cpu, const struct insn *insn)  \
	{                                                                         \
		maskmov_load(cpu, insn, size);                                    \
		NEXT();                                                           \
	}                                                                         \
	static void maskmov_store##size(struct cpu *cpu, const struct insn *insn) \
	{                                                                         \
		maskmov_store(cpu, insn, size);                                   \
		NEXT();                                                           \
	}                                                                         \
	VECTOR_SET(maskmov_load##size, NULL, maskmov_load##size)                  \
	VECTOR_SET(maskmov_store##size, NULL, maskmov_store##size)
MASKMOV(4)
MASKMOV(8)
#undef MASKMOV

/* MASKMOVQ, MASKMOVDQU: bytes to [rDI]. */
static void maskmov_bytes(struct cpu *cpu, const struct insn *insn, const uint8_t *data,
			  const uint8_t *mask, unsigned size)
{
	static const uint64_t address_mask[] = {[2] = 0xffff, [4] = 0xffffffff, [8] = ~0ull};
	uint64_t offset = cpu->gpr[X86_RDI], limit = address_mask[insn->addrsize];
	uint64_t address[16];

	for (unsigned i = 0; i < size; i++) {
		if (!(mask[i] & 0x80))
			continue;
		address[i] = mmu_linear(cpu, insn, insn->seg, (offset + i) & limit, 1, true);
		mmu_probe(cpu, insn, address[i], 1, true);
	}
	for (unsigned i = 0; i < size; i++)
		if (mask[i] & 0x80)
			mem_store8(cpu, insn, address[i], data[i]);
}

static void maskmovdqu(struct cpu *cpu, const struct insn *insn)
{
	maskmov_bytes(cpu, insn, cpu->state.ymm[insn->reg], cpu->state.ymm[insn->rm], 16);
	NEXT();
}
VECTOR_SET(maskmovdqu, maskmovdqu, NULL)

static void maskmovq(struct cpu *cpu, const struct insn *insn)
{
	struct x86_fpu *fpu = &cpu->state.fpu;

	x87_check_pending(cpu, insn);
	cpu_x87_save(cpu);
	/* st[] starts at the top of the stack, MMX registers are physical ones. */
	unsigned top = fpu->fsw >> FSW_TOP_SHIFT & 7;
	maskmov_bytes(cpu, insn, fpu->st[(insn->reg - top) & 7], fpu->st[(insn->rm - top) & 7], 8);
	x87_enter_mmx(cpu);
	NEXT();
}
VECTOR_SET(maskmovq, maskmovq, NULL)

/*
 * Gathers. A fault in the middle leaves everything as it was, as if no element had been
 * fetched; the SDM lets the instruction also complete a part.
 */
static uint64_t gather_address(struct cpu *cpu, const struct insn *insn, uint64_t address,
			       int64_t index)
{
	uint64_t segment = cpu->seg_base[insn->seg];

	address += (uint64_t)index << insn->scale;
	return insn->addrsize == 8 ? address : segment + (uint32_t)(address - segment);
}

static void gather(struct cpu *cpu, const struct insn *insn, unsigned index_size, unsigned size)
{
	unsigned length = insn->flags & INSN_VEX_L1 ? 32 : 16, n = length / MAX(index_size, size);
	const uint8_t *mask = cpu->state.ymm[insn->vvvv], *index = cpu->state.ymm[insn->imm2];
	uint64_t address = insn_ea(cpu, insn);
	uint8_t result[32] = {0};

	memcpy(result, cpu->state.ymm[insn->reg], n * size);
	for (unsigned i = 0; i < n; i++) {
		int64_t offset = 0;
		uint64_t v;

		if (!element_selected(mask, i, size))
			continue;
		memcpy(&offset, index + i * index_size, index_size);
		if (index_size == 4)
			offset = (int32_t)offset;
		v = load_element(cpu, insn, gather_address(cpu, insn, address, offset), size);
		memcpy(result + i * size, &v, size);
	}
	memcpy(cpu->state.ymm[insn->reg], result, 32);
	memset(cpu->state.ymm[insn->vvvv], 0, 32);
	vector_zero_high(cpu, insn->reg);
	vector_zero_high(cpu, insn->vvvv);
}

#define GATHER(index_size, size)                                                       \
	static void gather##index_size##size(struct cpu *cpu, const struct insn *insn) \
	{                                                                              \
		gather(cpu, insn, index_size, size);                                   \
		NEXT();                                                                \
	}                                                                              \
	VECTOR_SET(gather##index_size##size, NULL, gather##index_size##size)
GATHER(4, 4)
GATHER(4, 8)
GATHER(8, 4)
GATHER(8, 8)
#undef GATHER

bool vector_init(GError **error)
{
	vector_mxcsr_mask();
	return stub_init(error);
}

uint16_t x87_opcode(const uint8_t *bytes)
{
	while ((*bytes & 0xf8) != 0xd8)
		bytes++;
	return (bytes[0] & 7) << 8 | bytes[1];
}

/* AMD's processors take SHA's operands wherever they are. */
static bool is_aligned(const struct insn_row *row)
{
	return (row->flags & IF_ALIGN) && !(row->feature == F_SHA && x86_model_host()->is_amd);
}

bool vector_prepare(const uint8_t *bytes, struct insn *insn)
{
	static const struct {
		const struct exec_set *set;
		exec_fn store;
	} stores[] = {
		{&exec_vector, vector_store},	{&exec_evex, evex_store},
		{&exec_mmx, mmx_store},		{&exec_x87, x87_store},
		{&exec_x87_control, mmx_store},
	};
	const struct insn_row *row = insn_row_get(insn->row);
	unsigned size = insn_mem_size(row, insn);
	bool memory = insn->flags & INSN_MEM;

	if (!(row->flags & IF_NOSTUB)) {
		insn->stub = (const void *)stub_get(insn);
		if (!insn->stub)
			return false;
	}
	if (memory && size)
		insn->opsize = size;
	insn->imm = memory && is_aligned(row) ? size - 1 : 0;
	if (row->exec == &exec_x87)
		insn->imm = x87_opcode(bytes);
	for (unsigned i = 0; memory && row->flags & IF_STORE && i < G_N_ELEMENTS(stores); i++)
		if (row->exec == stores[i].set)
			insn->exec = stores[i].store;
	return true;
}
