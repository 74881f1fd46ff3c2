/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host_run.h"

#include <glib.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "cpu/x86/model.h"

/* In the low 2 GiB, to be addressed by displacement alone while all registers are the guest's. */
#define CONTEXT 0x35a50000
#define CS64	0x33 /* Linux's selector for 64-bit code */
struct context {
	struct host_registers r;
	uint64_t host_rsp, target, vector;
	struct host_fault fault;
	void *enter;
	uint64_t avx512; /* is there */
	struct {
		uint32_t offset;
		uint16_t selector;
	} far;
	uint8_t stack[4096]; /* flags go through it */
};
#define CTX ((struct context *)CONTEXT)

void host_thunk(void);
extern uint8_t host_thunk_exit[], host_thunk_landed[], host_thunk_enter64[], host_thunk_enter32[];

#define OFFSETS                                                               \
	[gpr] "i"(CONTEXT + offsetof(struct context, r.gpr)),                 \
		[flags] "i"(CONTEXT + offsetof(struct context, r.rflags)),    \
		[mxcsr] "i"(CONTEXT + offsetof(struct context, r.mxcsr)),     \
		[ymm] "i"(CONTEXT + offsetof(struct context, r.ymm)),         \
		[high] "i"(CONTEXT + offsetof(struct context, r.zmm_high)),   \
		[k] "i"(CONTEXT + offsetof(struct context, r.k)),             \
		[avx512] "i"(CONTEXT + offsetof(struct context, avx512)),     \
		[x87] "i"(CONTEXT + offsetof(struct context, r.x87)),         \
		[host_rsp] "i"(CONTEXT + offsetof(struct context, host_rsp)), \
		[vector] "i"(CONTEXT + offsetof(struct context, vector)),     \
		[enter] "i"(CONTEXT + offsetof(struct context, enter)),       \
		[far] "i"(CONTEXT + offsetof(struct context, far)),           \
		[target] "i"(CONTEXT + offsetof(struct context, target)),     \
		[stack] "i"(CONTEXT + offsetof(struct context, stack) + 4096)

#define ALL_32 \
	"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"

/* Not called: a home for assembly that needs operands. */
static void __attribute__((used)) thunk_text(void)
{
	asm volatile(
		".pushsection .text\n"
		".globl host_thunk, host_thunk_exit, host_thunk_landed\n"
		".globl host_thunk_enter64, host_thunk_enter32\n"
		"host_thunk:\n\t"
		"push %%rbx\n\tpush %%rbp\n\tpush %%r12\n\tpush %%r13\n\tpush %%r14\n\t"
		"push %%r15\n\t"
		"mov %%rsp, %c[host_rsp]\n\t"
		"fxrstor64 %c[x87]\n\t"
		"ldmxcsr %c[mxcsr]\n\t"
		".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
		"vmovdqu %c[ymm] + 32 * \\n, %%ymm\\n\n\t"
		".endr\n\t"
		"cmpq $0, %c[avx512]\n\tje 1f\n\t"
		".irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
		"vmovdqu64 %c[ymm] + 32 * \\n, %%ymm\\n\n\t"
		".endr\n\t"
		".irp n, " ALL_32 "\n\t"
		"vinserti64x4 $1, %c[high] + 32 * \\n, %%zmm\\n, %%zmm\\n\n\t"
		".endr\n\t"
		".irp n, 0,1,2,3,4,5,6,7\n\t"
		"kmovq %c[k] + 8 * \\n, %%k\\n\n\t"
		".endr\n"
		"1:\t"
		"pushq %c[flags]\n\tpopfq\n\t"
		"mov %c[gpr], %%rax\n\tmov %c[gpr] + 8, %%rcx\n\t"
		"mov %c[gpr] + 16, %%rdx\n\tmov %c[gpr] + 24, %%rbx\n\t"
		"mov %c[gpr] + 32, %%rsp\n\tmov %c[gpr] + 40, %%rbp\n\t"
		"mov %c[gpr] + 48, %%rsi\n\tmov %c[gpr] + 56, %%rdi\n\t"
		".irp n, 8,9,10,11,12,13,14,15\n\t"
		"mov %c[gpr] + 8 * \\n, %%r\\n\n\t"
		".endr\n\t"
		"jmp *%c[enter]\n"
		"host_thunk_enter64:\n\t"
		"jmp *%c[target]\n"
		"host_thunk_enter32:\n\t"
		"ljmpl *%c[far]\n"
		"host_thunk_landed:\n\t"
		"movq $-2, %c[vector]\n"
		"host_thunk_exit:\n\t"
		"mov %%rsp, %c[gpr] + 32\n\t"
		"mov $%c[stack], %%rsp\n\t"
		"pushfq\n\tpopq %c[flags]\n\t"
		"mov %%rax, %c[gpr]\n\tmov %%rcx, %c[gpr] + 8\n\t"
		"mov %%rdx, %c[gpr] + 16\n\tmov %%rbx, %c[gpr] + 24\n\t"
		"mov %%rbp, %c[gpr] + 40\n\t"
		"mov %%rsi, %c[gpr] + 48\n\tmov %%rdi, %c[gpr] + 56\n\t"
		".irp n, 8,9,10,11,12,13,14,15\n\t"
		"mov %%r\\n, %c[gpr] + 8 * \\n\n\t"
		".endr\n\t"
		".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
		"vmovdqu %%ymm\\n, %c[ymm] + 32 * \\n\n\t"
		".endr\n\t"
		"cmpq $0, %c[avx512]\n\tje 1f\n\t"
		".irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
		"vmovdqu64 %%ymm\\n, %c[ymm] + 32 * \\n\n\t"
		".endr\n\t"
		".irp n, " ALL_32 "\n\t"
		"vextracti64x4 $1, %%zmm\\n, %c[high] + 32 * \\n\n\t"
		".endr\n\t"
		".irp n, 0,1,2,3,4,5,6,7\n\t"
		"kmovq %%k\\n, %c[k] + 8 * \\n\n\t"
		".endr\n"
		"1:\t"
		"vzeroupper\n\t"
		"stmxcsr %c[mxcsr]\n\t"
		"fxsave64 %c[x87]\n\t"
		"fninit\n\t"
		"mov %c[host_rsp], %%rsp\n\t"
		"movl $0x1f80, -8(%%rsp)\n\tldmxcsr -8(%%rsp)\n\t"
		"cld\n\t"
		"pop %%r15\n\tpop %%r14\n\tpop %%r13\n\tpop %%r12\n\tpop %%rbp\n\tpop %%rbx\n\t"
		"ret\n"
		".popsection"
		:
		: OFFSETS);
}

uint8_t *host_data;
static const char *epitaph = "";

void host_set_epitaph(const char *text)
{
	epitaph = text;
}

const struct host_fault *host_last_fault(void)
{
	return &CTX->fault;
}

static void on_fault(int signal_number, siginfo_t *info, void *opaque)
{
	greg_t *regs = ((ucontext_t *)opaque)->uc_mcontext.gregs;

	if ((uint64_t)regs[REG_RIP] - HOST_CODE >= HOST_CODE_SIZE) {
		signal(signal_number, SIG_DFL); /* not ours: faults again and dies */
		if (write(STDERR_FILENO, epitaph, strlen(epitaph)) < 0)
			return;
		return;
	}
	CTX->vector = regs[REG_TRAPNO];
	CTX->fault = (struct host_fault){
		.rip = regs[REG_RIP], .cr2 = regs[REG_CR2], .error_code = regs[REG_ERR]};
	regs[REG_RIP] = (greg_t)host_thunk_exit;
	regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffffll) | CS64;
}

static void map(uint64_t address, size_t size, int prot)
{
	void *p = mmap((void *)address, size, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	g_assert(p == (void *)address);
}

/* Twice, so that we can write what the code cannot; populated, so that #PF tells of protection. */
static void map_data(void)
{
	int fd = memfd_create("data", MFD_CLOEXEC);
	void *code_view;

	g_assert(fd >= 0 && ftruncate(fd, HOST_DATA_SIZE) == 0);
	code_view = mmap((void *)HOST_DATA, HOST_DATA_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0);
	g_assert(code_view == (void *)HOST_DATA);
	g_assert(mprotect((uint8_t *)HOST_DATA + HOST_READ_ONLY, 4096, PROT_READ) == 0);
	host_data = mmap(NULL, HOST_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 fd, 0);
	g_assert(host_data != MAP_FAILED);
	close(fd);
}

void host_init(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	static uint8_t stack_bytes[1 << 20];
	stack_t stack = {.ss_sp = stack_bytes, .ss_size = sizeof(stack_bytes)};

	map_data();
	map(HOST_CODE, HOST_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
	map(CONTEXT, sizeof(struct context), PROT_READ | PROT_WRITE);
	CTX->avx512 = x86_model_host()->has[F_AVX512F];
	sigaltstack(&stack, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
		sigaction(signals[i], &action, NULL);
}

/* jmp [rip], and where to. */
static void put_jump(unsigned offset, uint8_t *to)
{
	static const uint8_t jump[6] = {0xff, 0x25};
	uint8_t *at = (uint8_t *)HOST_CODE + offset;

	memcpy(at, jump, sizeof(jump));
	memcpy(at + sizeof(jump), &to, sizeof(to));
}

/* A way back; from 32-bit code by a far jump to a jump in low memory. */
static void put_return(unsigned offset, bool landed, bool compat, uint8_t saved[HOST_RETURN])
{
	unsigned low = HOST_CODE_SIZE - (landed ? 32 : 16);
	uint8_t *to = landed ? host_thunk_landed : host_thunk_exit,
		*at = (uint8_t *)HOST_CODE + offset;
	uint32_t low_address = HOST_CODE + low;
	uint16_t selector = CS64;

	memcpy(saved, at, HOST_RETURN);
	if (!compat) {
		put_jump(offset, to);
		return;
	}
	put_jump(low, to);
	at[0] = 0xea;
	memcpy(at + 1, &low_address, 4);
	memcpy(at + 5, &selector, 2);
}

/* In 64-bit mode these segments do not matter. */
static void set_data_segments(uint16_t selector)
{
	asm volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"((uint32_t)selector));
}

int host_run(struct host_registers *registers, unsigned offset, unsigned len, unsigned landing,
	     bool compat)
{
	uint8_t *code = (uint8_t *)HOST_CODE, after[HOST_RETURN], there[HOST_RETURN];

	put_return(offset + len, false, compat, after);
	if (landing)
		put_return(landing, true, compat, there);
	CTX->r = *registers;
	CTX->target = HOST_CODE + offset;
	CTX->far.offset = HOST_CODE + offset;
	CTX->far.selector = HOST_CS32;
	CTX->enter = compat ? host_thunk_enter32 : host_thunk_enter64;
	CTX->vector = -1;
	if (compat)
		set_data_segments(HOST_DS32);
	host_thunk();
	if (compat)
		set_data_segments(0);
	*registers = CTX->r;
	if (landing)
		memcpy(code + landing, there, HOST_RETURN);
	memcpy(code + offset + len, after, HOST_RETURN);
	return CTX->vector;
}
