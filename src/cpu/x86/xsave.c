/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FXSAVE and the XSAVE family (SDM volume 1, 10.5 and chapter 13), on cpu->state. Components are
 * x87, SSE, AVX and AVX-512's three; XSAVEOPT does XSAVE's init optimisation and never the modified
 * one. There is no supervisor's component, IA32_XSS being 0: XSAVES does what XSAVEC does.
 */
#include "cpu/x86/vector_int.h"

enum {
	LEGACY_SIZE = XSAVE_LEGACY_SIZE,
	MXCSR_OFFSET = 24,
	ST_OFFSET = 32,
	XMM_OFFSET = 160,
};
#define XCOMP_COMPACTED (1ull << 63)
#define MXCSR_RESET	0x1f80u
#define FCW_RESET	0x37f

static bool is_long(const struct cpu *cpu)
{
	return (cpu->state.efer & EFER_LMA) && (cpu->state.seg[X86_CS].attr & SEG_L);
}

/* XMM8 and up neither exist nor are touched outside 64-bit mode. */
static unsigned n_vectors(const struct cpu *cpu)
{
	return is_long(cpu) ? 16 : 8;
}

/* Bytes 0..23: control, status, pointers; 32-bit forms have selectors, always 0, beside them. */
static void pack_x87(const struct cpu *cpu, const struct insn *insn, uint8_t *image)
{
	const struct x86_fpu *fpu = &cpu->state.fpu;
	unsigned pointer_size = insn->flags & INSN_REX_W ? 8 : 4;

	memset(image, 0, MXCSR_OFFSET);
	memcpy(image, &fpu->fcw, 2);
	memcpy(image + 2, &fpu->fsw, 2);
	image[4] = fpu->ftw;
	memcpy(image + 6, &fpu->fop, 2);
	memcpy(image + 8, &fpu->fip, pointer_size);
	memcpy(image + 16, &fpu->fdp, pointer_size);
	memcpy(image + ST_OFFSET, fpu->st, sizeof(fpu->st));
}

/* ES and B follow from the flags and masks, whatever the image says. */
static void unpack_x87(struct cpu *cpu, const struct insn *insn, const uint8_t *image)
{
	struct x86_fpu *fpu = &cpu->state.fpu;
	unsigned pointer_size = insn->flags & INSN_REX_W ? 8 : 4;

	memset(fpu, 0, sizeof(*fpu));
	memcpy(&fpu->fcw, image, 2);
	memcpy(&fpu->fsw, image + 2, 2);
	fpu->ftw = image[4];
	memcpy(&fpu->fop, image + 6, 2);
	fpu->fop &= 0x7ff;
	memcpy(&fpu->fip, image + 8, pointer_size);
	memcpy(&fpu->fdp, image + 16, pointer_size);
	for (unsigned i = 0; i < 8; i++)
		memcpy(fpu->st[i], image + ST_OFFSET + i * 16, 10);
	fpu->fcw = (fpu->fcw & 0x1f3f) | 0x40;
	fpu->fsw &= ~(FSW_ES | FSW_B);
	if (fpu->fsw & ~fpu->fcw & 0x3f)
		fpu->fsw |= FSW_ES | FSW_B;
}

static void reset_x87(struct cpu *cpu)
{
	cpu->state.fpu = (struct x86_fpu){.fcw = FCW_RESET};
}

static void pack_mxcsr(const struct cpu *cpu, uint8_t *image)
{
	uint32_t mask = vector_mxcsr_mask();

	memcpy(image + MXCSR_OFFSET, &cpu->state.mxcsr, 4);
	memcpy(image + MXCSR_OFFSET + 4, &mask, 4);
}

/* MXCSR of an image; reserved bits are #GP(0). */
static uint32_t check_mxcsr(struct cpu *cpu, const struct insn *insn, const uint8_t *image)
{
	uint32_t v;

	memcpy(&v, image + MXCSR_OFFSET, 4);
	if (v & ~vector_mxcsr_mask())
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	return v;
}

/*
 * The vector components: each is rows of equal size, taken from the registers one after the other.
 * Components 0 and 1 lie in the legacy region, XMM registers at XMM_OFFSET.
 */
static const struct part {
	uint8_t component;
	uint8_t first, n; /* registers; those above ZMM7 are left alone outside 64-bit mode */
	uint16_t from;	  /* where the first one is in struct x86_state */
	uint8_t stride, size;
	uint16_t at; /* within the component, which has `stride` bytes a register, too */
	uint8_t to_stride;
} parts[] = {
#define FROM(member) offsetof(struct x86_state, member)
	{1, 0, 16, FROM(ymm), 32, 16, 0, 16},
	{2, 0, 16, FROM(ymm[0][16]), 32, 16, 0, 16},
	{5, 0, 8, FROM(k), 8, 8, 0, 8},
	{6, 0, 16, FROM(zmm_high), 32, 32, 0, 32},
	{7, 16, 16, FROM(ymm[16]), 32, 32, 0, 64},
	{7, 16, 16, FROM(zmm_high[16]), 32, 32, 32, 64},
#undef FROM
};

static unsigned n_registers(const struct cpu *cpu, const struct part *p)
{
	if (is_long(cpu))
		return p->n;
	return p->first ? 0 : 8;
}

static void pack(const struct cpu *cpu, unsigned component, uint8_t *image)
{
	const uint8_t *state = (const uint8_t *)&cpu->state;

	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		const struct part *p = &parts[i];

		for (unsigned j = 0; p->component == component && j < n_registers(cpu, p); j++)
			memcpy(image + p->at + j * p->to_stride, state + p->from + j * p->stride,
			       p->size);
	}
}

/* The other way; without an image, to the initial configuration. */
static void unpack(struct cpu *cpu, unsigned component, const uint8_t *image)
{
	uint8_t *state = (uint8_t *)&cpu->state;

	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		const struct part *p = &parts[i];

		for (unsigned j = 0; p->component == component && j < n_registers(cpu, p); j++) {
			uint8_t *to = state + p->from + j * p->stride;

			if (image)
				memcpy(to, image + p->at + j * p->to_stride, p->size);
			else
				memset(to, 0, p->size);
		}
	}
}

/* Also registers that cannot be reached in this mode. */
static bool in_use(const struct cpu *cpu, unsigned component)
{
	uint64_t any = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		const struct part *p = &parts[i];
		const uint8_t *from = (const uint8_t *)&cpu->state + p->from;

		for (unsigned j = 0; p->component == component && j < p->n; j++)
			for (unsigned k = 0; k < p->size; k += 8)
				any |= le64_load(from + j * p->stride + k);
	}
	return any;
}

/* Bytes of a component that there are in this mode. */
static unsigned component_size(const struct cpu *cpu, unsigned component)
{
	unsigned size = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		const struct part *p = &parts[i];
		unsigned n = n_registers(cpu, p);

		if (p->component == component && n)
			size = p->at + (n - 1) * p->to_stride + p->size;
	}
	return size;
}

static bool x87_in_use(const struct cpu *cpu)
{
	static const struct x86_fpu reset = {.fcw = FCW_RESET};

	return memcmp(&cpu->state.fpu, &reset, sizeof(reset)) != 0;
}

/* FXSAVE's and XSAVE's address, checked; both need the x87 in cpu->state. */
static uint64_t image_address(struct cpu *cpu, const struct insn *insn, unsigned align)
{
	uint64_t address = insn_ea(cpu, insn);

	if (address & (align - 1))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	cpu_x87_save(cpu);
	return address;
}

static void fxsave(struct cpu *cpu, const struct insn *insn)
{
	uint8_t image[LEGACY_SIZE] = {0};
	uint64_t address;

	if (cpu->state.cr0 & (CR0_EM | CR0_TS))
		cpu_fault(cpu, insn, EXC_NM);
	address = image_address(cpu, insn, 16);
	pack_x87(cpu, insn, image);
	pack_mxcsr(cpu, image);
	pack(cpu, 1, image + XMM_OFFSET);
	mem_write_bytes(cpu, insn, address, image, XMM_OFFSET + 16 * n_vectors(cpu));
	NEXT();
}

static void fxrstor(struct cpu *cpu, const struct insn *insn)
{
	uint8_t image[LEGACY_SIZE];
	uint64_t address;

	if (cpu->state.cr0 & (CR0_EM | CR0_TS))
		cpu_fault(cpu, insn, EXC_NM);
	address = image_address(cpu, insn, 16);
	mem_read_bytes(cpu, insn, address, image, sizeof(image));
	cpu->state.mxcsr = check_mxcsr(cpu, insn, image);
	unpack_x87(cpu, insn, image);
	unpack(cpu, 1, image + XMM_OFFSET);
	NEXT();
}
VECTOR_SET(fxsave, NULL, fxsave)
VECTOR_SET(fxrstor, NULL, fxrstor)

static uint64_t xsave_address(struct cpu *cpu, const struct insn *insn)
{
	if (!(cpu->state.cr4 & CR4_OSXSAVE))
		cpu_fault(cpu, insn, EXC_UD);
	if (cpu->state.cr0 & CR0_TS)
		cpu_fault(cpu, insn, EXC_NM);
	return image_address(cpu, insn, 64);
}

/* Components asked for by EDX:EAX and enabled. */
static uint64_t requested(const struct cpu *cpu)
{
	return cpu->state.xcr0 & cpu->model->xcr0_mask &
	       (cpu->gpr[X86_RDX] << 32 | (uint32_t)cpu->gpr[X86_RAX]);
}

/* Of some components, those not in their initial configuration (XINUSE). */
static uint64_t components_in_use(const struct cpu *cpu, uint64_t components)
{
	uint64_t used = x87_in_use(cpu) ? XCR0_X87 : 0;

	for (unsigned i = 1; i < XSAVE_N_COMPONENTS; i++)
		if ((components >> i & 1) && in_use(cpu, i))
			used |= 1ull << i;
	return used & components;
}

/* Where a component above SSE is in an area that has `compacted` in the compacted form, or, if that
 * is 0, in the standard one. */
static unsigned component_offset(unsigned component, uint64_t compacted)
{
	if (compacted)
		return cpuid_xsave_size(compacted & ((1ull << component) - 1), true);
	return cpuid_xsave_component(component)->offset;
}

static void write_part(struct cpu *cpu, const struct insn *insn, uint64_t address,
		       const uint8_t *image, unsigned offset, unsigned size)
{
	mem_write_bytes(cpu, insn, address + offset, image + offset, size);
}

/* Writes just the components' bytes, and MXCSR where asked for. All was probed before. */
static void write_components(struct cpu *cpu, const struct insn *insn, uint64_t address,
			     uint64_t components, uint64_t compacted, bool mxcsr)
{
	uint8_t image[LEGACY_SIZE], part[XSAVE_PART_MAX];

	if (components & XCR0_X87) {
		pack_x87(cpu, insn, image);
		write_part(cpu, insn, address, image, 0, MXCSR_OFFSET);
		write_part(cpu, insn, address, image, ST_OFFSET, XMM_OFFSET - ST_OFFSET);
	}
	pack_mxcsr(cpu, image);
	if (mxcsr)
		write_part(cpu, insn, address, image, MXCSR_OFFSET, 8);
	if (components & XCR0_SSE) {
		pack(cpu, 1, image + XMM_OFFSET);
		write_part(cpu, insn, address, image, XMM_OFFSET, 16 * n_vectors(cpu));
	}
	for (unsigned i = 2; i < XSAVE_N_COMPONENTS; i++) {
		unsigned size = component_size(cpu, i);

		if (!(components >> i & 1) || !size)
			continue;
		pack(cpu, i, part);
		mem_write_bytes(cpu, insn, address + component_offset(i, compacted), part, size);
	}
}

static void save_standard(struct cpu *cpu, const struct insn *insn, bool optimise)
{
	uint64_t address = xsave_address(cpu, insn);
	uint64_t rfbm = requested(cpu), used = components_in_use(cpu, rfbm), bv;

	mmu_probe(cpu, insn, address, cpuid_xsave_size(rfbm, false), true);
	mem_read_bytes(cpu, insn, address + LEGACY_SIZE, &bv, 8);
	bv = (bv & ~rfbm) | used;
	write_components(cpu, insn, address, optimise ? used : rfbm, 0,
			 rfbm & (XCR0_SSE | XCR0_AVX));
	mem_write_bytes(cpu, insn, address + LEGACY_SIZE, &bv, 8);
}

static void xsave(struct cpu *cpu, const struct insn *insn)
{
	save_standard(cpu, insn, false);
	NEXT();
}

static void xsaveopt(struct cpu *cpu, const struct insn *insn)
{
	save_standard(cpu, insn, true);
	NEXT();
}

static void xsavec(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = xsave_address(cpu, insn);
	uint64_t rfbm = requested(cpu), used = components_in_use(cpu, rfbm);

	if (cpu->state.mxcsr != MXCSR_RESET)
		used |= rfbm & XCR0_SSE;
	uint64_t header[2] = {used, rfbm | XCOMP_COMPACTED};
	mmu_probe(cpu, insn, address, cpuid_xsave_size(rfbm, true), true);
	write_components(cpu, insn, address, used, rfbm | XCOMP_COMPACTED, used & XCR0_SSE);
	mem_write_bytes(cpu, insn, address + LEGACY_SIZE, header, sizeof(header));
	NEXT();
}

struct xsave_header {
	uint64_t xstate_bv, xcomp_bv, reserved[6];
};

/* SDM volume 1, 13.8: what makes XRSTOR raise #GP(0). */
static bool header_valid(const struct cpu *cpu, const struct xsave_header *h)
{
	static const uint64_t zero[6];

	if (h->xcomp_bv & XCOMP_COMPACTED)
		return !((h->xcomp_bv & ~XCOMP_COMPACTED) & ~cpu->state.xcr0) &&
		       !(h->xstate_bv & ~h->xcomp_bv) && !memcmp(h->reserved, zero, sizeof(zero));
	return !(h->xstate_bv & ~cpu->state.xcr0) && !h->xcomp_bv && !h->reserved[0];
}

static void restore(struct cpu *cpu, const struct insn *insn, bool compacted_only)
{
	uint8_t image[XSAVE_HEADER_END], part[XSAVE_N_COMPONENTS][XSAVE_PART_MAX];
	uint64_t address = xsave_address(cpu, insn), rfbm = requested(cpu);
	struct xsave_header header;

	mem_read_bytes(cpu, insn, address, image, sizeof(image));
	memcpy(&header, image + LEGACY_SIZE, sizeof(header));
	if (!header_valid(cpu, &header) ||
	    (compacted_only && !(header.xcomp_bv & XCOMP_COMPACTED)))
		cpu_fault_code(cpu, insn, EXC_GP, 0);

	bool compacted = header.xcomp_bv & XCOMP_COMPACTED;
	uint64_t load = rfbm & header.xstate_bv;
	uint32_t mxcsr = cpu->state.mxcsr;

	/* The standard form loads MXCSR even where SSE is in its initial configuration. */
	if (compacted ? load & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX))
		mxcsr = check_mxcsr(cpu, insn, image);
	else if (compacted && (rfbm & XCR0_SSE))
		mxcsr = MXCSR_RESET;
	for (unsigned i = 2; i < XSAVE_N_COMPONENTS; i++)
		if (load >> i & 1)
			mem_read_bytes(cpu, insn, address + component_offset(i, header.xcomp_bv),
				       part[i], cpuid_xsave_component(i)->size);

	cpu->state.mxcsr = mxcsr;
	if (load & XCR0_X87)
		unpack_x87(cpu, insn, image);
	else if (rfbm & XCR0_X87)
		reset_x87(cpu);
	for (unsigned i = 1; i < XSAVE_N_COMPONENTS; i++) {
		const uint8_t *from = i == 1 ? image + XMM_OFFSET : part[i];

		if (rfbm >> i & 1)
			unpack(cpu, i, load >> i & 1 ? from : NULL);
	}
	if (rfbm & (XCR0_ZMM_HIGH | XCR0_ZMM_16_31))
		vector_note_zmm(cpu);
}

static void xrstor(struct cpu *cpu, const struct insn *insn)
{
	restore(cpu, insn, false);
	NEXT();
}

static void xrstors(struct cpu *cpu, const struct insn *insn)
{
	restore(cpu, insn, true);
	NEXT();
}
VECTOR_SET(xsave, NULL, xsave)
VECTOR_SET(xsaveopt, NULL, xsaveopt)
VECTOR_SET(xsavec, NULL, xsavec)
VECTOR_SET(xrstor, NULL, xrstor)
VECTOR_SET(xrstors, NULL, xrstors)
