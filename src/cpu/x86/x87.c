/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x87: its registers between cpu->state and the host, its routines, and its environment
 * in memory (SDM volume 1, 8.1.10).
 *
 * The pointers to the last instruction, which in the host would be ours, are kept by the
 * routines in cpu->state.fpu and put into every image.
 */
#include "cpu/x86/vector_int.h"

/* FXSAVE64's image (SDM volume 1, 10.5.1). */
struct fxsave {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16], xmm[16][16], available[96];
} __attribute__((aligned(16)));

#define CLOBBERS_XMM                                                                             \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

void cpu_x87_load(struct cpu *cpu)
{
	const struct x86_fpu *fpu = &cpu->state.fpu;
	struct fxsave image = {.fcw = fpu->fcw, .fsw = fpu->fsw, .ftw = fpu->ftw, .mxcsr = 0x1f80};

	if (cpu->x87_live)
		return;
	memcpy(image.st, fpu->st, sizeof(image.st));
	asm volatile("fxrstor64 %0" : : "m"(image) : CLOBBERS_XMM);
	cpu->x87_live = true;
}

void cpu_x87_save(struct cpu *cpu)
{
	struct x86_fpu *fpu = &cpu->state.fpu;
	struct fxsave image;

	if (!cpu->x87_live)
		return;
	/* FNINIT, so that no exception of the guest's stays pending on the host. */
	asm volatile("fxsave64 %0\n\tfninit" : "=m"(image));
	fpu->fcw = image.fcw;
	fpu->fsw = image.fsw;
	fpu->ftw = image.ftw;
	for (unsigned i = 0; i < 8; i++)
		memcpy(fpu->st[i], image.st[i], 10);
	cpu->x87_live = false;
}

void vector_leave(struct cpu *cpu)
{
	cpu_x87_save(cpu);
}

void x87_enter_mmx(struct cpu *cpu)
{
	struct x86_fpu *fpu = &cpu->state.fpu;
	unsigned top = fpu->fsw >> FSW_TOP_SHIFT & 7;
	uint8_t st[8][16];

	for (unsigned i = 0; i < 8; i++)
		memcpy(st[(i + top) & 7], fpu->st[i], 16);
	memcpy(fpu->st, st, sizeof(st));
	fpu->fsw &= ~(7 << FSW_TOP_SHIFT);
	fpu->ftw = 0xff;
}

/* Notes the instruction as the last one. */
static inline void x87_record(struct cpu *cpu, const struct insn *insn)
{
	cpu->state.fpu.fip = insn_pc(cpu, insn);
	cpu->state.fpu.fop = insn->imm;
}

static inline void x87_record_operand(struct cpu *cpu, const struct insn *insn, uint64_t address)
{
	x87_record(cpu, insn);
	cpu->state.fpu.fdp = address - cpu->seg_base[insn->seg];
}

static void x87_register(struct cpu *cpu, const struct insn *insn)
{
	x87_need(cpu);
	vector_run(cpu, insn, NULL);
	x87_record(cpu, insn);
	NEXT();
}

static uint16_t x87_status(void)
{
	uint16_t fsw;

	asm volatile("fnstsw %0" : "=a"(fsw));
	return fsw;
}

void x87_check_pending(struct cpu *cpu, const struct insn *insn)
{
	if ((cpu->x87_live ? x87_status() : cpu->state.fpu.fsw) & FSW_ES)
		cpu_fault(cpu, insn, EXC_MF);
}

static G_GNUC_NO_INLINE void x87_load_slow(struct cpu *cpu, const struct insn *insn,
					   uint64_t address)
{
	uint8_t bounce[16];

	x87_check_pending(cpu, insn);
	mmu_read_slow(cpu, insn, address, bounce, insn->opsize);
	vector_run(cpu, insn, bounce);
}

static void x87_load(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = insn_ea(cpu, insn);
	void *mem = tlb_read(cpu, address, insn->opsize);

	x87_need(cpu);
	if (G_LIKELY(mem != NULL))
		vector_run(cpu, insn, mem);
	else
		x87_load_slow(cpu, insn, address);
	x87_record_operand(cpu, insn, address);
	NEXT();
}

static G_GNUC_NO_INLINE void x87_store_slow(struct cpu *cpu, const struct insn *insn,
					    uint64_t address)
{
	enum { IE = 1 << 0, OE = 1 << 3, UE = 1 << 4 };
	uint8_t bounce[16];
	uint16_t fcw;

	x87_check_pending(cpu, insn);
	mmu_probe(cpu, insn, address, insn->opsize, true);
	vector_run(cpu, insn, bounce);
	/* With one of these unmasked, nothing has been stored. */
	asm volatile("fnstcw %0" : "=m"(fcw));
	if (!(x87_status() & ~fcw & (IE | OE | UE)))
		mmu_write_slow(cpu, insn, address, bounce, insn->opsize);
}

void x87_store(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = insn_ea(cpu, insn);
	void *mem = tlb_write(cpu, address, insn->opsize);

	x87_need(cpu);
	if (G_LIKELY(mem != NULL))
		vector_run(cpu, insn, mem);
	else
		x87_store_slow(cpu, insn, address);
	x87_record_operand(cpu, insn, address);
	NEXT();
}
VECTOR_SET(x87, x87_register, x87_load)

/* Control instructions leave the pointers alone; on memory they are like MMX's. */
static void x87_control_register(struct cpu *cpu, const struct insn *insn)
{
	x87_need(cpu);
	vector_run(cpu, insn, NULL);
	NEXT();
}
VECTOR_SET(x87_control, x87_control_register, mmx_load)

static void forget_pointers(struct cpu *cpu)
{
	cpu->state.fpu.fip = cpu->state.fpu.fdp = cpu->state.fpu.fop = 0;
}

static void fninit(struct cpu *cpu, const struct insn *insn)
{
	x87_need(cpu);
	vector_run(cpu, insn, NULL);
	forget_pointers(cpu);
	NEXT();
}
VECTOR_SET(fninit, fninit, NULL)

static void fwait(struct cpu *cpu, const struct insn *insn)
{
	uint64_t both = CR0_MP | CR0_TS;

	if ((cpu->state.cr0 & both) == both)
		cpu_fault(cpu, insn, EXC_NM);
	x87_check_pending(cpu, insn);
	NEXT();
}
VECTOR_SET(fwait, fwait, fwait)

/* The host's own form: 32-bit, protected mode. */
struct environment {
	uint32_t fcw, fsw, ftw, fip, fcs_fop, fdp, fds;
};

#define ENVIRONMENT16 14
#define STACK_SIZE    80

static bool is_protected(const struct cpu *cpu)
{
	return (cpu->state.cr0 & CR0_PE) && !(cpu->state.rflags & RFLAGS_VM);
}

/* The seven words of the environment as the guest's mode has them; the selectors are zero. */
static void environment_words(const struct cpu *cpu, const struct environment *env, uint32_t w[7])
{
	const struct x86_fpu *fpu = &cpu->state.fpu;
	uint32_t fip = fpu->fip, fdp = fpu->fdp, fop = fpu->fop & 0x7ff;

	w[0] = env->fcw;
	w[1] = env->fsw;
	w[2] = env->ftw;
	w[3] = fip;
	w[4] = fop << 16;
	w[5] = fdp;
	w[6] = env->fds & 0xffff0000; /* reserved: what the host writes */
	if (!is_protected(cpu)) {
		w[3] = fip & 0xffff;
		w[4] = fip >> 16 << 12 | fop;
		w[5] = fdp & 0xffff;
		w[6] = fdp >> 16 << 12;
	}
}

static unsigned environment_size(const struct insn *insn)
{
	return insn->opsize == 2 ? ENVIRONMENT16 : sizeof(struct environment);
}

/* Writes `env` in the guest's form to `out`. */
static void environment_pack(const struct cpu *cpu, const struct insn *insn,
			     const struct environment *env, uint8_t *out)
{
	uint32_t w[7];

	environment_words(cpu, env, w);
	if (!is_protected(cpu) && insn->opsize == 2) {
		w[4] &= 0xffff;
		w[6] &= 0xffff;
	} else if (insn->opsize == 2) {
		w[4] = 0; /* the 16-bit protected form has no opcode */
	}
	for (unsigned i = 0; i < 7; i++)
		memcpy(out + i * (insn->opsize == 2 ? 2 : 4), &w[i], insn->opsize == 2 ? 2 : 4);
}

/* The other way; the pointers go to `fpu`, the host's see zeros. */
static void environment_unpack(const struct cpu *cpu, const struct insn *insn, const uint8_t *in,
			       struct environment *env, struct x86_fpu *fpu)
{
	uint32_t w[7] = {0};

	for (unsigned i = 0; i < 7; i++)
		memcpy(&w[i], in + i * (insn->opsize == 2 ? 2 : 4), insn->opsize == 2 ? 2 : 4);
	*env = (struct environment){
		.fcw = w[0] & 0xffff, .fsw = w[1] & 0xffff, .ftw = w[2] & 0xffff};
	fpu->fip = w[3];
	fpu->fdp = w[5];
	fpu->fop = insn->opsize == 2 ? 0 : w[4] >> 16 & 0x7ff;
	if (!is_protected(cpu)) {
		fpu->fip = (w[3] & 0xffff) | (w[4] >> 12 & 0xffff) << 16;
		fpu->fdp = (w[5] & 0xffff) | (w[6] >> 12 & 0xffff) << 16;
		fpu->fop = w[4] & 0x7ff;
	}
}

static void fnstenv(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = insn_ea(cpu, insn);
	struct environment env;
	uint8_t out[sizeof(env)];

	mmu_probe(cpu, insn, address, environment_size(insn), true);
	x87_need(cpu);
	asm volatile("fnstenv %0" : "=m"(env));
	environment_pack(cpu, insn, &env, out);
	mem_write_bytes(cpu, insn, address, out, environment_size(insn));
	NEXT();
}

static void fnsave(struct cpu *cpu, const struct insn *insn)
{
	uint64_t address = insn_ea(cpu, insn);
	unsigned size = environment_size(insn);
	struct {
		struct environment env;
		uint8_t st[STACK_SIZE];
	} image;
	uint8_t out[sizeof(image)];

	mmu_probe(cpu, insn, address, size + STACK_SIZE, true);
	x87_need(cpu);
	asm volatile("fnsave %0" : "=m"(image));
	environment_pack(cpu, insn, &image.env, out);
	memcpy(out + size, image.st, STACK_SIZE);
	forget_pointers(cpu);
	mem_write_bytes(cpu, insn, address, out, size + STACK_SIZE);
	NEXT();
}

static void fldenv(struct cpu *cpu, const struct insn *insn)
{
	struct x86_fpu pointers;
	struct environment env;
	uint8_t in[sizeof(env)];

	x87_check_pending(cpu, insn);
	mem_read_bytes(cpu, insn, insn_ea(cpu, insn), in, environment_size(insn));
	environment_unpack(cpu, insn, in, &env, &pointers);
	x87_need(cpu);
	vector_run(cpu, insn, &env);
	cpu->state.fpu.fip = pointers.fip;
	cpu->state.fpu.fdp = pointers.fdp;
	cpu->state.fpu.fop = pointers.fop;
	NEXT();
}

static void frstor(struct cpu *cpu, const struct insn *insn)
{
	unsigned size = environment_size(insn);
	struct x86_fpu pointers;
	struct {
		struct environment env;
		uint8_t st[STACK_SIZE];
	} image;
	uint8_t in[sizeof(image)];

	x87_check_pending(cpu, insn);
	mem_read_bytes(cpu, insn, insn_ea(cpu, insn), in, size + STACK_SIZE);
	environment_unpack(cpu, insn, in, &image.env, &pointers);
	memcpy(image.st, in + size, STACK_SIZE);
	x87_need(cpu);
	vector_run(cpu, insn, &image);
	cpu->state.fpu.fip = pointers.fip;
	cpu->state.fpu.fdp = pointers.fdp;
	cpu->state.fpu.fop = pointers.fop;
	NEXT();
}
VECTOR_SET(fnstenv, NULL, fnstenv)
VECTOR_SET(fnsave, NULL, fnsave)
VECTOR_SET(fldenv, NULL, fldenv)
VECTOR_SET(frstor, NULL, frstor)
