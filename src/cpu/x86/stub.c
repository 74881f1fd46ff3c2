/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Generates stubs. The instruction is encoded anew from its row and fields, on fixed registers:
 *
 *   operand         host register    its place in struct cpu
 *   V  or G         xmm1, eax        r9
 *   H               xmm2             r8
 *   W, U or E, R    xmm3, eax        r10, or memory at rsi
 *   L               xmm4             (only read)
 *   xmm0            xmm0             cpu->state.ymm[0]
 *   the mask        k1               by rcx, as the next ones
 *   Kr, Kh, Km      k2, k3, k4
 *   P, Q, N, T      as the guest's: they are live in the host
 *
 * with cpu in rdi and the insn in rdx. Legacy SSE moves 16 bytes and so leaves the upper
 * halves alone; VEX and EVEX move 32 and the instruction itself zeroes them. Only those of 512 bits
 * read zmm_high; the others zero the result's.
 *
 * An unmasked exception raises SIGFPE in the stub. The handler makes the stub return through
 * fault_exit, with the vector in eax; r11d says whether the stub has MXCSR loaded.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/x86/insn_int.h"
#include "cpu/x86/stub.h"

#define ARENA_SIZE   (128u << 20)
#define STUB_MAX     256
#define HOST_MXCSR   0x1f80
#define STATE(field) offsetof(struct cpu, field)

enum host_gpr { RAX = 0, RSI = 6, RDI = 7, R8 = 8, R9 = 9, R10 = 10 };

/* The process's stubs: generated code does not depend on a VM. */
static struct {
	GMutex lock;
	uint8_t *rw; /* the same pages twice, so that none is writable and executable */
	uint8_t *rx;
	size_t used;
	GHashTable *by_key; /* stub_key() -> stub_fn */
	struct sigaction foreign;
} arena;

struct emitter {
	uint8_t code[STUB_MAX];
	unsigned n;
};

static void emit_bytes(struct emitter *e, const void *bytes, unsigned n)
{
	g_assert(e->n + n <= sizeof(e->code));
	memcpy(e->code + e->n, bytes, n);
	e->n += n;
}
#define EMIT(e, ...) emit_bytes(e, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

/* ModRM and displacement of [base + disp], base's bit 3 being in REX or VEX already. */
static void emit_disp32(struct emitter *e, unsigned reg, enum host_gpr base, int32_t disp)
{
	EMIT(e, 0x80 | reg << 3 | (base & 7));
	emit_bytes(e, &disp, 4);
}

/* base = cpu + insn's byte at `field`, times 32 for a vector's number. */
static void emit_place(struct emitter *e, enum host_gpr base, size_t field, bool vector)
{
	uint8_t high = base >> 3, low = base & 7;

	EMIT(e, 0x40 | high << 2, 0x0f, 0xb6, 0x42 | low << 3, field); /* movzx base, [rdx+field] */
	if (vector)
		EMIT(e, 0x40 | high, 0xc1, 0xe0 | low, 5); /* shl base, 5 */
	EMIT(e, 0x48 | high, 0x01, 0xf8 | low);		   /* add base, rdi */
}

static void emit_vector_move(struct emitter *e, bool avx, bool store, unsigned reg,
			     enum host_gpr base)
{
	if (avx) /* vmovdqu ymm */
		EMIT(e, 0xc4, base >= R8 ? 0xc1 : 0xe1, 0x7e, store ? 0x7f : 0x6f);
	else /* movups */
		EMIT(e, 0x40 | base >> 3, 0x0f, store ? 0x11 : 0x10);
	emit_disp32(e, reg, base, STATE(state.ymm));
}

/* The upper half of a 512-bit register: vinserti64x4, vextracti64x4. */
static void emit_high_move(struct emitter *e, bool store, unsigned reg, enum host_gpr base)
{
	EMIT(e, 0x62, base >= R8 ? 0xd3 : 0xf3, store ? 0xfd : 0x85 | (~reg & 15) << 3, 0x48,
	     store ? 0x3b : 0x3a);
	emit_disp32(e, reg, base, STATE(state.zmm_high));
	EMIT(e, 1);
}

static void emit_high_zero(struct emitter *e, enum host_gpr base)
{
	EMIT(e, 0xc5, 0xd1, 0xef, 0xed);		     /* vpxor xmm5, xmm5, xmm5 */
	EMIT(e, 0xc4, base >= R8 ? 0xc1 : 0xe1, 0x7e, 0x7f); /* vmovdqu ymm5 */
	emit_disp32(e, 5, base, STATE(state.zmm_high));
}

/* A whole vector of VEX or EVEX. */
static void emit_wide_move(struct emitter *e, const struct insn *insn, bool store, unsigned reg,
			   enum host_gpr base)
{
	emit_vector_move(e, true, store, reg, base);
	if (insn_vector_size(insn) == 64)
		emit_high_move(e, store, reg, base);
	else if (store && x86_model_host()->has[F_AVX512F])
		emit_high_zero(e, base);
}

/* k<reg> from or to state.k[], whose number is in the low 3 bits of insn's byte at `field`. */
static void emit_opmask_move(struct emitter *e, bool store, unsigned reg, size_t field)
{
	int32_t place = STATE(state.k);

	EMIT(e, 0x0f, 0xb6, 0x4a, field, 0x83, 0xe1, 7); /* movzx ecx, [rdx+field]; and ecx, 7 */
	EMIT(e, 0xc4, 0xe1, 0xf8, store ? 0x91 : 0x90, 0x84 | reg << 3, 0xcf); /* kmovq */
	emit_bytes(e, &place, 4); /* [rdi + rcx * 8 + place] */
}

static void emit_rax_move(struct emitter *e, bool store, enum host_gpr base)
{
	EMIT(e, 0x49, store ? 0x89 : 0x8b, base & 7);
}

static bool is_fixed(const struct insn_operand *op, const char *name)
{
	return op->kind == 'f' && !strncmp(op->size, name, sizeof(op->size));
}

/* The string comparisons name their result as the first operand. */
static bool is_string(const struct insn_row *row)
{
	return is_fixed(&row->operand[0], "ecx") || is_fixed(&row->operand[0], "xmm");
}

/* Loads an operand, or with `store` writes it back. */
static void emit_operand(struct emitter *e, const struct insn_row *row, const struct insn *insn,
			 const struct insn_operand *op, bool store)
{
	static const struct {
		char kind;
		bool vector;
		uint8_t host_reg, base, field;
	} places[] = {
		{'V', true, 1, R9, offsetof(struct insn, reg)},
		{'G', false, 0, R9, offsetof(struct insn, reg)},
		{'H', true, 2, R8, offsetof(struct insn, vvvv)},
		{'W', true, 3, R10, offsetof(struct insn, rm)},
		{'U', true, 3, R10, offsetof(struct insn, rm)},
		{'E', false, 0, R10, offsetof(struct insn, rm)},
		{'R', false, 0, R10, offsetof(struct insn, rm)},
		{'L', true, 4, RAX, offsetof(struct insn, imm2)},
	};
	static const struct {
		char letter;
		uint8_t host_reg, field;
	} opmasks[] = {
		{'r', 2, offsetof(struct insn, reg)},
		{'h', 3, offsetof(struct insn, vvvv)},
		{'m', 4, offsetof(struct insn, rm)},
	};
	bool avx = row->vex != INSN_VEX_NONE;

	for (unsigned i = 0; op->kind == 'K' && i < G_N_ELEMENTS(opmasks); i++)
		if (op->size[0] == opmasks[i].letter)
			emit_opmask_move(e, store, opmasks[i].host_reg, opmasks[i].field);
	if (is_fixed(op, "xmm") && avx)
		emit_wide_move(e, insn, store, 0, RDI);
	else if (is_fixed(op, "xmm"))
		emit_vector_move(e, false, store, 0, RDI);
	if (is_fixed(op, "ecx") && store)
		EMIT(e, 0x48, 0x89, 0x4f, 8 * X86_RCX); /* mov [rdi+rcx's], rcx */
	if (is_fixed(op, "ax"))
		EMIT(e, 0x48, store ? 0x89 : 0x8b, 0x07); /* mov rax, [rdi] */
	for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
		if (places[i].kind != op->kind ||
		    ((insn->flags & INSN_MEM) && (op->kind == 'W' || op->kind == 'E')))
			continue;
		if (!store)
			emit_place(e, places[i].base, places[i].field, places[i].vector);
		if (places[i].vector && avx)
			emit_wide_move(e, insn, store, places[i].host_reg, places[i].base);
		else if (places[i].vector)
			emit_vector_move(e, false, store, places[i].host_reg, places[i].base);
		else
			emit_rax_move(e, store, places[i].base);
	}
}

static const struct insn_operand *find_operand(const struct insn_row *row, const char *kinds)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind && strchr(kinds, row->operand[i].kind))
			return &row->operand[i];
	return NULL;
}

static bool has_opmask(const struct insn_row *row, char place)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind == 'K' && row->operand[i].size[0] == place)
			return true;
	return false;
}

static uint8_t modrm(const struct insn_row *row, const struct insn *insn)
{
	unsigned reg = row->reg, rm = row->rm;

	if (reg == INSN_ANY)
		reg = find_operand(row, "V")   ? 1
		      : has_opmask(row, 'r')   ? 2
		      : find_operand(row, "P") ? insn->reg
					       : 0;
	if (insn->flags & INSN_MEM)
		return reg << 3 | RSI;
	if (rm == INSN_ANY)
		rm = find_operand(row, "WU")	? 3
		     : has_opmask(row, 'm')	? 4
		     : find_operand(row, "QNT") ? insn->rm
						: 0;
	return 0xc0 | reg << 3 | rm;
}

/* W where it changes the operation; elsewhere it is ignored, and one stub serves both. */
static bool needs_w(const struct insn_row *row, const struct insn *insn)
{
	bool sized = is_string(row);

	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		sized |= row->operand[i].kind != 'f' && row->operand[i].size[0] == 'y';
	return row->w == 1 || (sized && (insn->flags & INSN_REX_W));
}

static const uint8_t pp[] = {[INSN_PREFIX_66] = 1, [INSN_PREFIX_F3] = 2, [INSN_PREFIX_F2] = 3};

/* The stub's own: any mask is in k1, and L'L is 0 where the instruction ignores it. */
static uint8_t stub_evex(const struct insn_row *row, const struct insn *insn)
{
	bool rounds = (insn->evex & INSN_EVEX_B) && !(insn->flags & INSN_MEM);
	uint8_t evex = insn->evex & ~INSN_EVEX_MASK;

	if (rounds ? row->rounding == INSN_ROUNDING_SAE : row->vex == INSN_VEX_LIG)
		evex &= ~INSN_EVEX_LENGTH;
	return evex | !!(insn->evex & INSN_EVEX_MASK);
}

static void emit_evex(struct emitter *e, const struct insn_row *row, const struct insn *insn)
{
	unsigned vvvv = find_operand(row, "H") ? 2 : 0;

	EMIT(e, 0x62, 0xf0 | row->map,
	     needs_w(row, insn) << 7 | (~vvvv & 0xf) << 3 | 4 | pp[row->prefix],
	     stub_evex(row, insn));
}

static void emit_vex(struct emitter *e, const struct insn_row *row, const struct insn *insn)
{
	unsigned vvvv = find_operand(row, "H") ? 2 : has_opmask(row, 'h') ? 3 : 0;
	bool l = row->vex != INSN_VEX_LIG && (insn->flags & INSN_VEX_L1);

	EMIT(e, 0xc4, 0xe0 | row->map,
	     needs_w(row, insn) << 7 | (~vvvv & 0xf) << 3 | l << 2 | pp[row->prefix]);
}

static void emit_legacy(struct emitter *e, const struct insn_row *row, const struct insn *insn)
{
	static const uint8_t prefixes[] = {
		[INSN_PREFIX_66] = 0x66, [INSN_PREFIX_F3] = 0xf3, [INSN_PREFIX_F2] = 0xf2};

	if (row->prefix >= INSN_PREFIX_66)
		EMIT(e, prefixes[row->prefix]);
	if (needs_w(row, insn))
		EMIT(e, 0x48);
	if (row->map)
		EMIT(e, 0x0f);
	if (row->map > 1)
		EMIT(e, row->map == 2 ? 0x38 : 0x3a);
}

static void emit_instruction(struct emitter *e, const struct insn_row *row, const struct insn *insn)
{
	if (row->evex)
		emit_evex(e, row, insn);
	else if (row->vex != INSN_VEX_NONE)
		emit_vex(e, row, insn);
	else
		emit_legacy(e, row, insn);
	EMIT(e, row->opcode);
	if (row->has_modrm)
		EMIT(e, modrm(row, insn));
	if (find_operand(row, "I"))
		EMIT(e, insn->imm);
	else if (find_operand(row, "L"))
		EMIT(e, 4 << 4);
}

static void emit_mxcsr_in(struct emitter *e)
{
	EMIT(e, 0x0f, 0xae); /* ldmxcsr */
	emit_disp32(e, 2, RDI, STATE(state.mxcsr));
}

/* The host's goes through the red zone. Flags stay. */
static void emit_mxcsr_out(struct emitter *e)
{
	EMIT(e, 0x0f, 0xae); /* stmxcsr */
	emit_disp32(e, 3, RDI, STATE(state.mxcsr));
	EMIT(e, 0xc7, 0x44, 0x24, 0xf8, HOST_MXCSR & 0xff, HOST_MXCSR >> 8, 0, 0);
	EMIT(e, 0x0f, 0xae, 0x54, 0x24, 0xf8);
}

static void emit_inputs(struct emitter *e, const struct insn_row *row, const struct insn *insn)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		emit_operand(e, row, insn, &row->operand[i], false);
	if (insn->evex & INSN_EVEX_MASK)
		emit_opmask_move(e, false, 1, offsetof(struct insn, evex));
	if (row->flags & IF_FP) {
		EMIT(e, 0x41, 0xbb, 1, 0, 0, 0); /* mov r11d, 1 */
		emit_mxcsr_in(e);
	} else {
		EMIT(e, 0x45, 0x31, 0xdb); /* xor r11d, r11d */
	}
	if ((row->flags & IF_FLAGS) && (row->flags & IF_X87)) {
		EMIT(e, 0x0f, 0xb7); /* movzx eax, flags */
		emit_disp32(e, RAX, RDI, STATE(flags));
		EMIT(e, 0x04, 0x7f, 0x9e); /* add al, 0x7f; sahf */
	}
	if (is_string(row)) {
		EMIT(e, 0x48, 0x8b, 0x07);		/* mov rax, [rdi] */
		EMIT(e, 0x48, 0x8b, 0x57, 8 * X86_RDX); /* mov rdx, [rdi+16] */
	}
}

static void emit_outputs(struct emitter *e, const struct insn_row *row, const struct insn *insn)
{
	if (row->flags & IF_FLAGS) {
		EMIT(e, 0x9f, 0x0f, 0x90, 0xc0, 0x66, 0x89); /* lahf; seto al; mov flags, ax */
		emit_disp32(e, RAX, RDI, STATE(flags));
	}
	if (row->flags & IF_FP)
		emit_mxcsr_out(e);
	if (!(row->flags & IF_NODST))
		emit_operand(e, row, insn, &row->operand[0], true);
	if (row->vex != INSN_VEX_NONE)
		EMIT(e, 0xc5, 0xf8, 0x77); /* vzeroupper */
	EMIT(e, 0x31, 0xc0, 0xc3);	   /* xor eax, eax; ret */
}

/* Where SIGFPE sends a stub: the first code in the arena. */
static void emit_fault_exit(struct emitter *e)
{
	EMIT(e, 0x45, 0x85, 0xdb, 0x74, 0); /* test r11d, r11d; jz over */
	unsigned jump = e->n;

	emit_mxcsr_out(e);
	e->code[jump - 1] = e->n - jump;
	if (feature_available(F_AVX))
		EMIT(e, 0xc5, 0xf8, 0x77); /* vzeroupper */
	EMIT(e, 0xc3);
}

/* The caller holds arena.lock. NULL: no more room. */
static stub_fn arena_add(const struct emitter *e)
{
	stub_fn stub = (stub_fn)(arena.rx + arena.used);

	if (arena.used + STUB_MAX > ARENA_SIZE)
		return NULL;
	memcpy(arena.rw + arena.used, e->code, e->n);
	arena.used += (e->n + 15) & ~15u;
	return stub;
}

/* All that the code depends on. */
static uint64_t stub_key(const struct insn_row *row, const struct insn *insn)
{
	uint64_t length = insn->flags & INSN_VEX_L1, w = needs_w(row, insn);
	uint64_t evex = row->evex ? stub_evex(row, insn) : 0;
	uint64_t imm = find_operand(row, "I") ? insn->imm & 0xff : 0;

	return insn->row | (uint64_t)modrm(row, insn) << 16 | evex << 24 | imm << 32 |
	       length << 40 | w << 48;
}

static guint hash_key(gconstpointer key)
{
	return (uint64_t)key * 0x9e3779b97f4a7c15 >> 32;
}

static stub_fn stub_make(const struct insn_row *row, const struct insn *insn)
{
	struct emitter e = {0};

	emit_inputs(&e, row, insn);
	emit_instruction(&e, row, insn);
	emit_outputs(&e, row, insn);
	return arena_add(&e);
}

stub_fn stub_get(const struct insn *insn)
{
	const struct insn_row *row = insn_row_get(insn->row);
	gpointer key = (gpointer)stub_key(row, insn);
	stub_fn stub;

	g_mutex_lock(&arena.lock);
	g_assert(arena.rw);
	stub = (stub_fn)g_hash_table_lookup(arena.by_key, key);
	if (!stub) {
		stub = stub_make(row, insn);
		if (stub)
			g_hash_table_insert(arena.by_key, key, (gpointer)stub);
	}
	g_mutex_unlock(&arena.lock);
	return stub;
}

static void call_foreign(int signal_number, siginfo_t *info, void *context)
{
	if (arena.foreign.sa_flags & SA_SIGINFO)
		arena.foreign.sa_sigaction(signal_number, info, context);
	else if (arena.foreign.sa_handler != SIG_DFL && arena.foreign.sa_handler != SIG_IGN)
		arena.foreign.sa_handler(signal_number);
	else
		signal(signal_number, SIG_DFL); /* and the instruction faults again */
}

static void on_sigfpe(int signal_number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	if ((uint64_t)regs[REG_RIP] - (uint64_t)arena.rx >= ARENA_SIZE) {
		call_foreign(signal_number, info, context);
		return;
	}
	/* The host's exception vectors are the guest's: #XM or #MF. */
	regs[REG_RAX] = regs[REG_TRAPNO];
	regs[REG_RIP] = (greg_t)arena.rx;
}

static bool arena_map(GError **error)
{
	int fd = memfd_create("viv-stubs", MFD_CLOEXEC);
	bool ok = fd >= 0 && ftruncate(fd, ARENA_SIZE) == 0;

	if (ok) {
		arena.rw = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		arena.rx = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
		ok = arena.rw != MAP_FAILED && arena.rx != MAP_FAILED;
	}
	if (!ok)
		g_set_error(
			error, VIV_ERROR, VIV_ERROR_HOST,
			"cannot map %u MiB for generated code: %s; does the host allow executable "
			"shared memory?",
			ARENA_SIZE >> 20, g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

bool stub_init(GError **error)
{
	struct sigaction action = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct emitter e = {0};
	bool ok;

	g_mutex_lock(&arena.lock);
	ok = arena.by_key || arena_map(error);
	if (ok && !arena.by_key) {
		arena.by_key = g_hash_table_new(hash_key, NULL);
		emit_fault_exit(&e);
		arena_add(&e);
		sigaction(SIGFPE, &action, &arena.foreign);
	}
	g_mutex_unlock(&arena.lock);
	return ok;
}
