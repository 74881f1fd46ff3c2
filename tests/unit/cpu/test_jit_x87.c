/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and MMX in translated code: programs that run long enough to be translated, once with the
 * translator and once without. All that they leave must be the same, the x87's pointers included.
 */
#include <glib.h>
#include <string.h>

#include "cpu/jit/jit_int.h"
#include "guest.h"
#include "host_run.h"

/* At HOST_DATA, which is in RBX. */
enum { NUMBERS = 0x100, CONTROL = 0x180, IMAGE = 0x400 };
#define ROUNDS 40

/* Each round of a program, whose number counts down in RCX; it ends with UD2. */
#define PROGRAM(name, text)                                                       \
	asm(".pushsection .rodata\n" #name ": " text "\n\tdec %ecx\n\tjnz " #name \
	    "\n\tud2\n" #name "_end:\n"                                           \
	    ".popsection");                                                       \
	extern const uint8_t name[], name##_end[];

/* Loads, stores and arithmetic of all sizes, some across pages, one of them at an address
that is a constant; the stack stays balanced. */
PROGRAM(arithmetic, "fldt 0x100(%rbx); fldl 0x110(%rbx); fadds 0x118(%rbx); fildll 0x120(%rbx)\n"
		    "fmul %st(1), %st; fsubrp %st, %st(1); fldt 0xffa(%rbx); faddp; fsqrt\n"
		    "fdivs 0x118(%rbx); fld %st; fistpll 0x140(%rbx); fld %st; fbstp 0x150(%rbx)\n"
		    "fsts 0x160(%rbx); fstl 0xffe(%rbx); fldpi; fxch; fstpt 0x100(%rbx)\n"
		    "fiadds 0x122(%rbx,%rcx); fstpt 0x1ffb(%rbx); fstps 0x10001ffc\n"
		    "fldl2e; fstl 0x118(%rbx,%rcx,8); fstp %st(0); fstp %st(0)")

PROGRAM(comparisons, "fildl 0x124(%rbx); fldpi; fcomi %st(1), %st; ja 1f; inc %edx\n"
		     "1: fcmovb %st(1), %st; fcmovnu %st(1), %st; fucomip %st(1), %st; jp 2f\n"
		     "adc $3, %edx; fldz; fcomp %st(1); fnstsw %ax; sahf; jb 2f; add %ecx, %edx\n"
		     "2: add %eax, 0x130(%rbx); fcoms 0x118(%rbx); fnstsw 0x138(%rbx)\n"
		     "fstpl 0x110(%rbx); decl 0x124(%rbx)")

PROGRAM(control,
	"fnstcw 0x190(%rbx); fldcw 0x180(%rbx); fldt 0x100(%rbx); fdivl 0x110(%rbx)\n"
	"fistl 0x194(%rbx); fldcw 0x190(%rbx); fistl 0x198(%rbx); fnclex; fstp %st; fwait\n"
	"fincstp; ffree %st(2)")

/* The images go through T0, in the middle of a region, and the registers leave the host's for it.
 */
PROGRAM(images, "fldpi; fmull 0x110(%rbx); fnstenv 0x400(%rbx); fld1; fnsave 0x440(%rbx)\n"
		"frstor 0x440(%rbx); fadd %st(1), %st; fstps 0x160(%rbx); fxsave64 0x500(%rbx)\n"
		"fldl2t; fxrstor64 0x500(%rbx); fmul %st; fldenv 0x400(%rbx); fstpt 0x100(%rbx)\n"
		"fninit; test $3, %cl; jnz 1f; fnstenv 0x400(%rbx)\n"
		"1: fldz; fstl 0x110(%rbx,%rcx,8); fstp %st")

PROGRAM(mmx, "movq 0x100(%rbx), %mm0; paddb 0xffc(%rbx), %mm0; pshufw $0x1b, %mm0, %mm1\n"
	     "movd %ecx, %mm2; movd %mm2, %edx; movd %r10, %mm3; movd %mm1, %r11\n"
	     "pxor %mm3, %mm1; pmovmskb %mm1, %r10d; cvtpi2ps %mm1, %xmm3; cvttps2pi %xmm3, %mm4\n"
	     "movq %mm4, 0x1ffd(%rbx); movq2dq %mm1, %xmm5; movdq2q %xmm3, %mm6\n"
	     "pinsrw $2, %ecx, %mm6; maskmovq %mm1, %mm0; movntq %mm6, 0x100(%rbx)\n"
	     "test $7, %cl; jnz 1f; emms; fldpi; fstpl 0x110(%rbx)\n"
	     "1: palignr $3, 0x118(%rbx), %mm7")

/* The division by zero of round 5 is pending when the next x87 instruction comes. */
#define DIVIDE                                                                     \
	"mov %ecx, %edx; sub $5, %edx; mov %edx, 0x128(%rbx); fldcw 0x182(%rbx)\n" \
	"fld1; fidivl 0x128(%rbx); add $7, %esi; "
PROGRAM(pending_load, DIVIDE "fldl 0x110(%rbx); fstp %st; fstp %st")
/* The operand of round 5 is not mapped, either: no #PF. */
PROGRAM(pending_far, DIVIDE "fldl -8(%rbx,%rdx,8); fstp %st; fstp %st")
PROGRAM(pending_wait, DIVIDE "fwait; fstp %st")
PROGRAM(pending_mmx, DIVIDE "movq %mm1, 0x140(%rbx); emms")
PROGRAM(pending_control, DIVIDE "fnstsw %ax; or %eax, %edi; fnstcw 0x190(%rbx); fstp %st")
PROGRAM(pending_cleared, DIVIDE "fnclex; fstp %st; fldz; fstp %st")
PROGRAM(pending_image, DIVIDE "fnstenv 0x400(%rbx); fnclex; fstp %st")

struct outcome {
	struct x86_state state;
	uint8_t data[HOST_DATA_SIZE];
};

static struct guest guest;

static void set_up(void)
{
	static const struct {
		uint64_t low;
		uint16_t high;
	} number = {0xc90fdaa22168c235, 0x4001};
	static const double two = 2.25;
	static const float single = -1.75;
	static const int64_t integer = -123456789;
	static const uint16_t words[] = {0x0f7f, 0x037b}; /* truncates; ZM clear */
	struct cpu *cpu = guest.cpu;

	for (unsigned i = 0; i < HOST_DATA_SIZE; i++)
		guest.data[i] = i * 7 + i / 256;
	memcpy(guest.data + NUMBERS, &number, 10);
	memcpy(guest.data + NUMBERS + 0x10, &two, 8);
	memcpy(guest.data + NUMBERS + 0x18, &single, 4);
	memcpy(guest.data + NUMBERS + 0x20, &integer, 8);
	memcpy(guest.data + CONTROL, words, sizeof(words));
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	cpu->gpr[X86_RBX] = HOST_DATA;
	cpu->gpr[X86_RDI] = HOST_DATA + 0x300;
	cpu->gpr[X86_RSP] = HOST_DATA + 0x3000;
	cpu->gpr[X86_R10] = 0x0123456789abcdef;
	cpu->gpr[X86_RCX] = ROUNDS;
	cpu->state.fpu = (struct x86_fpu){.fcw = 0x37f};
	cpu->state.mxcsr = 0x1f80;
	cpu->state.cr0 &= ~(CR0_TS | CR0_EM);
	cpu->state.idtr.limit = 0;
	memset(cpu->state.ymm, 0x3c, sizeof(cpu->state.ymm));
	cpu_update_mode(cpu);
}

/* Runs to an exception, for which there is no IDT. */
static void run(const uint8_t *code, unsigned n, bool translate, struct outcome *out)
{
	struct cpu *cpu = guest.cpu;
	struct jit_cache *cache = cpu->jit.cache;

	set_up();
	guest_set_code(&guest, 0x100, code, n);
	if (!translate)
		cpu->jit.cache = NULL;
	g_assert_cmpint(engine_soft.run((struct vcpu *)cpu), ==, ENGINE_EXIT_SHUTDOWN);
	cpu->jit.cache = cache;
	engine_soft.get_state((struct vcpu *)cpu, &out->state);
	out->state.rflags &= ~(uint64_t)RFLAGS_ARITH; /* may be dead */
	memcpy(out->data, guest.data, HOST_DATA_SIZE);
}

/* A function that ends with RET to an x87 instruction. */
PROGRAM(returns, "call 1f; fldz; fstp %st; jmp 2f; 1: ret; 2: nop")

/* Where translated code returns to depends on the mode, too. */
static void test_not_available(void)
{
	struct cpu *cpu = guest.cpu;
	struct outcome out;

	run(returns, returns_end - returns, true, &out);
	g_assert_cmphex(out.state.rip, ==, HOST_CODE + 0x100 + (returns_end - returns) - 2);
	for (unsigned i = 0; i < ROUNDS; i++) {
		set_up();
		cpu->state.cr0 |= CR0_TS;
		cpu_update_mode(cpu);
		cpu->state.rip = HOST_CODE + 0x100;
		g_assert_cmpint(engine_soft.run((struct vcpu *)cpu), ==, ENGINE_EXIT_SHUTDOWN);
		g_assert_cmphex(cpu->state.rip, ==, HOST_CODE + 0x100 + 5);
	}
}

struct program {
	const char *name;
	const uint8_t *code, *end;
	bool faults;	/* before its UD2 */
	unsigned steps; /* instructions of a round that T0 runs */
};

/* Instructions of regions that are left to T0. */
static uint64_t steps(void)
{
	const struct jit_cache *cache = guest.cpu->jit.cache;
	uint64_t n = 0;

	for (size_t row = 0; row < insn_table_size(); row++)
		n += cache->steps[row];
	return n;
}

static void test_program(gconstpointer opaque)
{
	const struct program *p = opaque;
	unsigned n = p->end - p->code;
	struct cpu *cpu = guest.cpu;
	uint64_t before, translated;
	struct outcome t0, t1;

	run(p->code, n, false, &t0);
	g_assert_cmpint(t0.state.rip != HOST_CODE + 0x100 + n - 2, ==, p->faults);
	if (!cpu->jit.cache)
		return;
	before = steps();
	translated = cpu->jit.count.insns;
	run(p->code, n, true, &t1);
	g_assert_cmpuint(cpu->jit.count.insns, >, translated);
	g_assert_cmpuint(steps() - before, <=, p->steps * ROUNDS + 2);
	g_assert_cmphex(t1.state.rip, ==, t0.state.rip);
	g_assert_cmphex(t1.state.fpu.fsw, ==, t0.state.fpu.fsw);
	g_assert_cmphex(t1.state.fpu.fip, ==, t0.state.fpu.fip);
	g_assert_cmphex(t1.state.fpu.fdp, ==, t0.state.fpu.fdp);
	g_assert_cmphex(t1.state.fpu.fop, ==, t0.state.fpu.fop);
	g_assert_cmpmem(&t1.state.fpu, sizeof(t1.state.fpu), &t0.state.fpu, sizeof(t0.state.fpu));
	g_assert_cmpmem(t1.data, HOST_DATA_SIZE, t0.data, HOST_DATA_SIZE);
	g_assert_cmpmem(&t1.state, sizeof(t1.state), &t0.state, sizeof(t0.state));
}

#define P(name, ...)                                             \
	{                                                        \
		"/jit/x87/" #name, name, name##_end, __VA_ARGS__ \
	}

int main(int argc, char **argv)
{
	static const struct program programs[] = {
		P(arithmetic),
		P(comparisons),
		P(control),
		P(images, .steps = 9),
		P(mmx, .steps = 1),
		P(pending_load, .faults = true),
		P(pending_far, .faults = true),
		P(pending_wait, .faults = true),
		P(pending_mmx, .faults = true),
		P(pending_control, .faults = true),
		P(pending_cleared),
		P(pending_image, .steps = 1),
	};

	g_test_init(&argc, &argv, NULL);
	guest_init(&guest);
	for (size_t i = 0; i < G_N_ELEMENTS(programs); i++)
		g_test_add_data_func(programs[i].name, &programs[i], test_program);
	g_test_add_func("/jit/x87/not-available", test_not_available);
	return g_test_run();
}
