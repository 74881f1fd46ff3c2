/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs that run long enough to be translated, once with the translator and once without: x87 and
 * MMX, whose pointers must be the same, too; and 32-bit code.
 */
#include <glib.h>
#include <string.h>

#include "cpu/jit/jit_int.h"
#include "cpu/x86/model.h"
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

/* SUB's register has another value when its flags are wanted again. */
PROGRAM(recipes, "mov %ecx, %edx; sub $7, %edx; lea 100(%rdx), %edx; mov %edx, 0x140(%rbx)\n"
		 "adc $0, %edi; and $8, %edx; mov %ecx, %edx; mov %edx, 0x144(%rbx); jz 1f\n"
		 "inc %esi; 1:")

/* 32-bit programs, in compatibility mode. The upper halves of registers hold garbage. */
#define PROGRAM32(name, text)                                           \
	asm(".pushsection .rodata\n\t.code32\n" #name ": " text        \
	    "\n\tdec %ecx\n\tjnz " #name "\n\tud2\n" #name "_end:\n" \
	    "\t.code64\n\t.popsection");                               \
	extern const uint8_t name[], name##_end[];

PROGRAM32(registers32, "stc; inc %eax; adc %eax, %edx; dec %esi; inc %esp; dec %esp; incw %si\n"
		       "decw %di; .byte 0xff, 0xc0; xchg %eax, %ebp; nop; bswap %edx; cwtl; cltd\n"
		       "adc %ah, %dh; imul $-7, %edx, %edi; shld $5, %edx, %ebp; setc %bh\n"
		       "lea 3(%edx,%edi,4), %eax; lea 0x1234, %edi; lea -1(,%edx,8), %ebp\n"
		       "lea (%edx,%ebp), %si; .byte 0x67, 0x8d, 0x47, 0x20; .byte 0x82, 0xc2, 5\n"
		       "daa; das; aam; mov $0x10000000, %ebx")
PROGRAM32(stack32, "push %ecx; push $-3; push $0x12345678; push %esp; pop %eax; sub %esp, %eax\n"
		   "pop %edx; pop %esi; push 0x100(%ebx); pop %edi; pushw %dx; popw %bp; call 1f\n"
		   "push %ecx; push $8; call 2f; lea -0x80(%esp), %ebp; and $-64, %ebp\n"
		   "xchg %esp, %ebp; push %ebp; mov %esp, %ebp; push %edx; leave; mov %ebp, %esp\n"
		   "pushf; pop %eax; and $~0x8d5, %eax; pusha; popa; pop %ecx; jmp 4f\n"
		   "1: mov (%esp), %esi; add %edi, %esi; ret; 2: add 4(%esp), %edi; ret $8; 4:")
PROGRAM32(branches32, "call 9f; 9: pop %edi; lea 1f-9b(%edi), %eax; jmp *%eax; ud2\n"
		      "1: lea 2f-9b(%edi), %eax; mov %eax, 0x200(%ebx,%ecx,4)\n"
		      "jmp *0x200(%ebx,%ecx,4); ud2; 2: lea 3f-9b(%edi), %eax; call *%eax\n"
		      "mov %eax, 0x1ffd(%ebx); call *0x1ffd(%ebx); test $1, %cl; jz 4f; inc %esi\n"
		      "jmp 5f; 3: lea 1(%esi), %esi; ret; 4: add $5, %edx; jecxz 4b; 5: sub %edi, %eax\n"
		      "mov %eax, 0x200(%ebx,%ecx,4); movl $0, 0x1ffd(%ebx)")
PROGRAM32(memory32, "mov 0x10000100, %eax; add %ecx, %eax; mov %eax, 0x10000100; mov 0x10000104, %al\n"
		    "mov %al, 0x10000109; mov 0x1000010a, %ax; mov %ax, 0x1000010c\n"
		    "mov 0x10000ffe, %eax; mov %eax, 0x10001ffd; mov %ah, 0x110(%ebx)\n"
		    "mov 0x111(%ebx), %dh; add %dl, %dh; xchg %dh, 0x112(%ebx)\n"
		    "mov $0xfffffff0, %esi; mov 0x130(%ebx,%esi), %edx; add %edx, 0xff0(%ebx,%esi)\n"
		    "mov $0xf0000000, %ebp; mov 0x20000124(%ebp), %edi; lea 4(%ebx,%ebp), %esi\n"
		    "incl 0x10000120(%esi); decw 0x10000fff(%esi); cmpxchg8b 0x128(%ebx)\n"
		    "lock xaddl %edx, 0xffe(%ebx); mov %edx, %es:0x140(%ebx)\n"
		    "mov %ss:0x144(%ebx), %eax; mov %cs:0x10000148, %edx; movzwl 0x1fff(%ebx), %esi\n"
		    "mov $0x9f, %eax; bts %eax, 0x150(%ebx); btc %ecx, 0x1fff(%ebx); sbb %edx, %edx\n"
		    "mov $-40, %eax; btr %eax, 0x160(%ebx)")
/* FS has a page's base, GS has not, and offsets from it wrap around in the linear address. */
PROGRAM32(segments32, "mov %gs:0x14, %eax; add %ecx, %gs:-4; mov %gs:(,%ecx,4), %edx\n"
		      "mov $-8, %esi; xor %edx, %gs:(%esi); incl %fs:0x100; addb $3, %fs:-1(%ecx)\n"
		      "lea %gs:4(%esi), %edi; mov %fs:0xffe, %ebp; push %gs:0x20; pop %fs:0x24\n"
		      "flds %gs:0x28; fstps %fs:0x2c; cmp %eax, %gs:0x14; adc %eax, %gs:0x18")
/* Within its limit at first, and T0's; beyond it in the last round. */
PROGRAM32(limited32, "mov %gs:-4(,%ecx,4), %eax; add %eax, %edx; mov %edx, 0x140(%ebx)\n"
		     "mov %ecx, %esi; dec %esi; neg %esi; sbb %esi, %esi; not %esi\n"
		     "and $0x1000, %esi; mov %gs:(%esi), %eax")
PROGRAM32(vectors32, "movdqu 0x104(%ebx), %xmm1; paddd 0x110(%ebx), %xmm1; movd %ecx, %xmm2\n"
		     "pinsrw $3, %edx, %xmm2; movd %xmm1, %edx; pmovmskb %xmm1, %esi\n"
		     "cvtsi2sd %ecx, %xmm3; movups %xmm1, 0xff8(%ebx); movq 0x104(%ebx), %mm1\n"
		     "paddw %mm1, %mm1; movq %mm1, %fs:0x30; popcnt 0x100(%ebx), %edi\n"
		     "ucomisd %xmm3, %xmm2; adc $0, %edi; emms")

/* From the last page of 4 GiB to the first one. */
PROGRAM32(wrapping32, "mov $0xfffffffe, %esi; mov (%esi), %eax; add %eax, %edx; xor %fs:-2(%esi,%ecx), %eax")

PROGRAM32(strings32, "mov %ecx, %ebp; mov $3, %ecx; mov $0x10000400, %esi; rep movsl\n"
		     "mov $0x10000500, %edi; mov $100, %ecx; rep movsb; mov $9, %ecx; rep movsw\n"
		     "mov $0x10000ff8, %edi; mov $5, %ecx; rep stosl; mov $0, %ecx; rep stosb\n"
		     "mov $0x14, %esi; mov $4, %ecx; rep movsl %gs:(%esi), (%edi)\n"
		     "std; mov $7, %ecx; rep movsb; cld; addr16 rep movsb; movsl; lodsl; scasb\n"
		     "mov $0xfffffff1, %esi; mov (%esi), %eax; mov $0x10000600, %edi; mov %ecx, (%edi); mov $15, %ecx\n"
		     "rep movsb; mov $0xfffffff0, %edi; mov $4, %ecx; rep stosl; mov %ebp, %ecx")

/* VPADDD with a bit that is ignored and in 64-bit mode would name ZMM17. */
PROGRAM32(evex32, ".byte 0x62, 0xe1, 0x75, 0x08, 0xfe, 0xca; vmovd %xmm1, %edx")

struct outcome {
	struct x86_state state;
	uint8_t data[HOST_DATA_SIZE];
};

static struct guest guest;

static void set_up(bool is32)
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
	memset(cpu->state.ymm, 0x3c, sizeof(cpu->state.ymm));
	for (unsigned i = 0; is32 && i < 16; i++)
		cpu->gpr[i] |= 0xa5a5a5a500000000;
	guest_set_mode(&guest, is32 ? INSN_MODE_32 : INSN_MODE_64);
	cpu->state.seg[X86_FS].base = is32 ? HOST_DATA + 0x1000 : 0;
	cpu->state.seg[X86_GS].base = is32 ? HOST_DATA + 0x1234 : 0;
	cpu->state.idtr.limit = 0;
	cpu_update_mode(cpu);
}

struct program {
	const char *name;
	const uint8_t *code, *end;
	bool is32;
	bool avx512;
	bool faults;	   /* before its UD2 */
	uint32_t gs_limit; /* less than 4 GiB, or 0 */
	uint64_t ds_base;
	unsigned steps; /* instructions of a round that T0 runs */
};

/* Linear addresses around 4 GiB and 0. */
static void map_ends(void)
{
	enum { PDPT = 0x2000, DIRECTORY = 0x3000, PTE = 0x67 };
	static const struct {
		uint32_t gpa;
		uint64_t entry;
	} entries[] = {
		{PDPT + 8 * 3, 0xa00000},	{0xa00000 + 8 * 511, 0xa01000},
		{0xa01000 + 8 * 511, 0xa10000}, {PDPT + 8 * 4, 0xa02000},
		{0xa02000, 0xa03000},		{0xa03000, 0xa11000},
		{DIRECTORY, 0xa04000},		{0xa04000, 0xa12000},
	};
	uint8_t *ram = guest.env.mem->base;

	for (size_t i = 0; i < G_N_ELEMENTS(entries); i++)
		*(uint64_t *)(ram + entries[i].gpa) = entries[i].entry | PTE;
	for (unsigned i = 0; i < 0x3000; i++)
		ram[0xa10000 + i] = i * 5 + i / 4096;
}

/* Runs to an exception, for which there is no IDT. */
static void run(const struct program *p, unsigned offset, bool translate, struct outcome *out)
{
	struct cpu *cpu = guest.cpu;
	struct jit_cache *cache = cpu->jit.cache;

	set_up(p->is32);
	cpu->state.seg[X86_GS].limit = p->gs_limit - 1;
	cpu->state.seg[X86_DS].base = p->ds_base;
	cpu_update_mode(cpu);
	guest_set_code(&guest, offset, p->code, p->end - p->code);
	if (!translate)
		cpu->jit.cache = NULL;
	g_assert_cmpint(engine_soft.run((struct vcpu *)cpu), ==, ENGINE_EXIT_SHUTDOWN);
	cpu->jit.cache = cache;
	engine_soft.get_state((struct vcpu *)cpu, &out->state);
	out->state.rflags &= ~(uint64_t)RFLAGS_ARITH; /* may be dead */
	memcpy(out->data, guest.data, HOST_DATA_SIZE);
}

/* Instructions of regions that are left to T0. */
static uint64_t steps(void)
{
	const struct jit_cache *cache = guest.cpu->jit.cache;
	uint64_t n = 0;

	for (size_t row = 0; row < insn_table_size(); row++)
		n += cache->steps[row];
	return n;
}

static void compare(const struct outcome *t0, const struct outcome *t1)
{
	g_assert_cmphex(t1->state.rip, ==, t0->state.rip);
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmphex(t1->state.gpr[i], ==, t0->state.gpr[i]);
	g_assert_cmphex(t1->state.fpu.fsw, ==, t0->state.fpu.fsw);
	g_assert_cmphex(t1->state.fpu.fip, ==, t0->state.fpu.fip);
	g_assert_cmphex(t1->state.fpu.fdp, ==, t0->state.fpu.fdp);
	g_assert_cmphex(t1->state.fpu.fop, ==, t0->state.fpu.fop);
	g_assert_cmpmem(&t1->state.fpu, sizeof(t1->state.fpu), &t0->state.fpu,
			sizeof(t0->state.fpu));
	for (unsigned i = 0; i < HOST_DATA_SIZE; i++)
		if (t1->data[i] != t0->data[i])
			g_error("byte %#x is %02x, not %02x", i, t1->data[i], t0->data[i]);
	g_assert_cmpmem(&t1->state, sizeof(t1->state), &t0->state, sizeof(t0->state));
}

static void try(const struct program *p, unsigned offset)
{
	struct cpu *cpu = guest.cpu;
	struct outcome t0, t1;
	uint64_t before, translated;

	run(p, offset, false, &t0);
	g_assert_cmpint(t0.state.rip != HOST_CODE + offset + (p->end - p->code) - 2, ==,
			p->faults);
	if (!cpu->jit.cache)
		return;
	before = steps();
	translated = cpu->jit.count.insns;
	run(p, offset, true, &t1);
	g_assert_cmpint(cpu->jit.count.insns > translated, ==, !p->ds_base);
	g_assert_cmpuint(steps() - before, <=, p->steps * ROUNDS + 2);
	compare(&t0, &t1);
}

static void test_program(gconstpointer opaque)
{
	const struct program *p = opaque;
	unsigned n = p->end - p->code;

	if (p->avx512 && !guest.cpu->model->has[F_AVX512F]) {
		g_test_skip("this host has no AVX-512");
		return;
	}
	try(p, 0x100);
	/* On two pages, the border between two bytes of an instruction at some of the times. */
	for (unsigned i = 1; i < 8; i++)
		try(p, 4096 - n / 2 + i);
}

/* A function that ends with RET to an x87 instruction. */
PROGRAM(returns, "call 1f; fldz; fstp %st; jmp 2f; 1: ret; 2: nop")

/* Where translated code returns to depends on the mode, too. */
static void test_not_available(void)
{
	static const struct program p = {"returns", returns, returns_end};
	struct cpu *cpu = guest.cpu;
	struct outcome out;

	run(&p, 0x100, true, &out);
	g_assert_cmphex(out.state.rip, ==, HOST_CODE + 0x100 + (returns_end - returns) - 2);
	for (unsigned i = 0; i < ROUNDS; i++) {
		set_up(false);
		cpu->state.cr0 |= CR0_TS;
		cpu_update_mode(cpu);
		cpu->state.rip = HOST_CODE + 0x100;
		g_assert_cmpint(engine_soft.run((struct vcpu *)cpu), ==, ENGINE_EXIT_SHUTDOWN);
		g_assert_cmphex(cpu->state.rip, ==, HOST_CODE + 0x100 + 5);
	}
}

PROGRAM(privileged, "cli; nop")

/* What CPL 0 may do without more ado, CPL 1 may not. */
static void test_privileged(void)
{
	static const struct program p = {"privileged", privileged, privileged_end};
	struct cpu *cpu = guest.cpu;

	set_up(false);
	guest_set_code(&guest, 0x100, p.code, p.end - p.code);
	for (unsigned cpl = 0; cpl < 2; cpl++) {
		set_up(false);
		cpu->state.seg[X86_SS].attr ^= (3 ^ cpl) << SEG_DPL_SHIFT;
		cpu->state.seg[X86_CS].attr ^= (3 ^ cpl) << SEG_DPL_SHIFT;
		cpu_update_mode(cpu);
		cpu->state.rip = HOST_CODE + 0x100;
		g_assert_cmpint(engine_soft.run((struct vcpu *)cpu), ==, ENGINE_EXIT_SHUTDOWN);
		g_assert_cmphex(cpu->state.rip - HOST_CODE - 0x100, ==,
				cpl ? 0 : p.end - p.code - 2);
	}
}

#define P(name, ...)   {"/jit/x87/" #name, name, name##_end, __VA_ARGS__}
#define P32(name, ...) {"/jit/32/" #name, name##32, name##32_end, true, __VA_ARGS__}

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
		{"/jit/recipes", recipes, recipes_end},
		P32(registers, .steps = 6),
		P32(stack, .steps = 5),
		P32(branches, .steps = 1),
		P32(memory, .steps = 1),
		P32(segments, .steps = 1), /* POP to memory */
		P32(limited, .steps = 2, .faults = true, .gs_limit = 0x1000),
		P32(vectors),
		P32(evex, .avx512 = true, .steps = 1),
		P32(strings, .steps = 10),
		P32(wrapping, .steps = 1),
		{"/jit/32/based", registers32, registers32_end, true, .ds_base = 0x1000},
	};

	g_test_init(&argc, &argv, NULL);
	guest_init(&guest, &engine_soft);
	map_ends();
	for (size_t i = 0; i < G_N_ELEMENTS(programs); i++)
		g_test_add_data_func(programs[i].name, &programs[i], test_program);
	g_test_add_func("/jit/not-available", test_not_available);
	g_test_add_func("/jit/privileged", test_privileged);
	return g_test_run();
}
