/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What translated code needs of the thread that runs it: the base of gs, and signals out of its way. */
#include <asm/prctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "cpu/jit/jit_int.h"
#include "cpu/jit/sample.h"

/* Last: it defines names of ours. */
#include <sys/auxv.h>

#define HWCAP2_HAS_FSGSBASE (1 << 1)
#define SIGNAL_STACK_SIZE   (64u << 10)
#define DISARM		    (1u << 31) /* SS_AUTODISARM */

/* The vCPU whose translated code this thread may be in. */
static _Thread_local struct cpu *current;

static struct sigaction foreign_segv, foreign_fpe;

static void call_foreign(const struct sigaction *foreign, int number, siginfo_t *info,
			 void *context)
{
	if (foreign->sa_flags & SA_SIGINFO)
		foreign->sa_sigaction(number, info, context);
	else if (foreign->sa_handler != SIG_DFL && foreign->sa_handler != SIG_IGN)
		foreign->sa_handler(number);
	else
		signal(number, SIG_DFL); /* and the instruction faults again */
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uint8_t *pc = (const uint8_t *)regs[REG_RIP];
	struct cpu *cpu = current;
	const struct jit_region *region = NULL;

	if (cpu && pc >= cpu->jit.cache->rx && pc < cpu->jit.cache->rx + cpu->jit.cache->size)
		region = cache_region_at(cpu->jit.cache, pc);
	if (!region || pc >= region->code + region->starts[region->n_insns]) {
		call_foreign(number == SIGSEGV ? &foreign_segv : &foreign_fpe, number, info,
			     context);
		return;
	}
	cpu->jit.fault_pc = pc;
	regs[REG_RIP] = (greg_t)cpu->jit.cache->thunk.fault;
}

static gpointer install_handlers(gpointer unused)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaction(SIGSEGV, &action, &foreign_segv);
	sigaction(SIGFPE, &action, &foreign_fpe);
	return NULL;
}

/*
 * The stack pointer is the guest's in translated code. So signals go to a stack of their own, whatever
 * the stack pointer says, which is what SS_AUTODISARM is for; and none that can wait is let in.
 */
static void prepare_signals(struct cpu *cpu)
{
	static GOnce once = G_ONCE_INIT;
	sigset_t all;
	stack_t stack = {.ss_sp = cpu->jit.signal_stack,
			 .ss_size = SIGNAL_STACK_SIZE,
			 .ss_flags = DISARM};

	g_once(&once, install_handlers, NULL);
	if (!cpu->jit.signal_stack)
		stack.ss_sp = cpu->jit.signal_stack = g_malloc(SIGNAL_STACK_SIZE);
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &all, &cpu->jit.signals_before);
	sigaltstack(&stack, &cpu->jit.stack_before);
}

static void set_gs_base(const void *base)
{
	if (getauxval(AT_HWCAP2) & HWCAP2_HAS_FSGSBASE)
		asm volatile("wrgsbase %0" : : "r"(base));
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

void jit_enter_thread(struct cpu *cpu)
{
	if (!cpu->jit.cache)
		return;
	prepare_signals(cpu);
	set_gs_base(cpu);
	current = cpu;
	sample_start(cpu);
}

void jit_leave_thread(struct cpu *cpu)
{
	if (!cpu->jit.cache)
		return;
	sample_stop(cpu);
	current = NULL;
	set_gs_base(NULL);
	sigaltstack(&cpu->jit.stack_before, NULL);
	pthread_sigmask(SIG_SETMASK, &cpu->jit.signals_before, NULL);
}
