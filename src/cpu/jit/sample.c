/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a vCPU's CPU time goes, by samples: a timer of the thread's own CPU time interrupts it,
 * whatever it runs, and what it runs is told by where it is. Nothing else needs to keep account.
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "cpu/jit/jit_int.h"
#include "cpu/jit/sample.h"

/* Last: it defines names of ours. */
#include <ucontext.h>

/* The host's clock tick, where it is the usual 250 Hz; CPU time has no finer timers. */
#define INTERVAL_NS 4000000

static _Thread_local struct cpu *sampled;

static void on_sample(int number, siginfo_t *info, void *context)
{
	const uint8_t *pc = (const uint8_t *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	struct cpu *cpu = sampled;
	enum jit_sample where = JIT_SAMPLE_REST;

	if (!cpu)
		return;
	if (pc >= cpu->jit.cache->rx && pc < cpu->jit.cache->rx + cpu->jit.cache->size)
		where = JIT_SAMPLE_CODE;
	else if (cpu->jit.translating)
		where = JIT_SAMPLE_TRANSLATOR;
	cpu->jit.samples[where]++;
}

static gpointer install_handler(gpointer unused)
{
	struct sigaction action = {.sa_sigaction = on_sample,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

	sigaction(SIGPROF, &action, NULL);
	return NULL;
}

void sample_start(struct cpu *cpu)
{
	static GOnce once = G_ONCE_INIT;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct itimerspec interval = {{0, INTERVAL_NS}, {0, INTERVAL_NS}};
	sigset_t set;

	if (!cpu->env.sample)
		return;
	g_once(&once, install_handler, NULL);
	event._sigev_un._tid = gettid();
	/* A host without such timers has no samples to show. */
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &cpu->jit.sample_timer))
		return;
	sampled = cpu;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	timer_settime(cpu->jit.sample_timer, 0, &interval, NULL);
}

void sample_stop(struct cpu *cpu)
{
	if (!sampled)
		return;
	timer_delete(cpu->jit.sample_timer);
	sampled = NULL;
}

void sample_report(const struct cpu *cpu, GString *out)
{
	const uint64_t *n = cpu->jit.samples;
	double all = n[JIT_SAMPLE_CODE] + n[JIT_SAMPLE_TRANSLATOR] + n[JIT_SAMPLE_REST];

	if (!all)
		return;
	g_string_append_printf(out,
			       "vCPU %u: of %.0f samples of CPU time %.1f %% in translated code, "
			       "%.1f %% translating, %.1f %% on T0 and in what both call\n",
			       cpu->id, all, 100 * n[JIT_SAMPLE_CODE] / all,
			       100 * n[JIT_SAMPLE_TRANSLATOR] / all,
			       100 * n[JIT_SAMPLE_REST] / all);
}
