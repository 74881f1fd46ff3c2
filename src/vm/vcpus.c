/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/vcpus.h"

#include <signal.h>
#include <time.h>

#include "base/host_clock.h"

struct one {
	struct vcpus *vcpus;
	struct vcpu *vcpu;
	GThread *thread;
	int64_t cpu_ns; /* of its threads so far; written by the thread, read once it is joined */
	/* Under the lock. */
	bool held;
	bool running; /* the engine has it */
	bool has_stop;
	struct engine_stop stop;
};

struct vcpus {
	const struct engine *engine;
	struct vcpus_owner owner;
	GMutex lock;
	GCond changed; /* held, paused, running or ending */
	bool ending, paused;
	unsigned n; /* created so far */
	struct one one[];
};

struct vcpus *vcpus_new(const struct engine *engine, struct engine_env *env,
			const struct vcpus_owner *owner, GError **error)
{
	struct vcpus *vcpus = g_malloc0(sizeof(*vcpus) + env->n_vcpus * sizeof(vcpus->one[0]));

	vcpus->engine = engine;
	vcpus->owner = *owner;
	g_mutex_init(&vcpus->lock);
	g_cond_init(&vcpus->changed);
	for (; vcpus->n < env->n_vcpus; vcpus->n++) {
		struct one *one = &vcpus->one[vcpus->n];

		one->vcpus = vcpus;
		one->vcpu = engine->vcpu_new(env, vcpus->n, error);
		if (!one->vcpu) {
			vcpus_free(vcpus);
			return NULL;
		}
	}
	return vcpus;
}

void vcpus_free(struct vcpus *vcpus)
{
	if (!vcpus)
		return;
	for (unsigned i = 0; i < vcpus->n; i++)
		vcpus->engine->vcpu_free(vcpus->one[i].vcpu);
	g_mutex_clear(&vcpus->lock);
	g_cond_clear(&vcpus->changed);
	g_free(vcpus);
}

struct vcpu *vcpus_get(const struct vcpus *vcpus, unsigned id)
{
	return vcpus->one[id].vcpu;
}

/* Between two runs: waits while the vCPU is held. False: the thread is to end. */
static bool wait_released(struct one *one)
{
	struct vcpus *vcpus = one->vcpus;

	g_mutex_lock(&vcpus->lock);
	one->running = false;
	g_cond_broadcast(&vcpus->changed);
	while ((one->held || vcpus->paused) && !vcpus->ending)
		g_cond_wait(&vcpus->changed, &vcpus->lock);
	one->running = !vcpus->ending;
	g_mutex_unlock(&vcpus->lock);
	return one->running;
}

static void park(struct one *one)
{
	g_mutex_lock(&one->vcpus->lock);
	one->running = false;
	g_cond_broadcast(&one->vcpus->changed);
	g_mutex_unlock(&one->vcpus->lock);
}

static void note_stop(struct one *one)
{
	struct vcpus *vcpus = one->vcpus;

	g_mutex_lock(&vcpus->lock);
	one->held = one->has_stop = true;
	vcpus->engine->debug_stop(one->vcpu, &one->stop);
	g_mutex_unlock(&vcpus->lock);
	vcpus->owner.stopped(vcpus->owner.opaque);
}

static void run_one(struct one *one)
{
	struct vcpus *vcpus = one->vcpus;

	while (wait_released(one)) {
		enum engine_exit exit = vcpus->engine->run(one->vcpu);

		if (exit == ENGINE_EXIT_DEBUG) {
			note_stop(one);
		} else if (exit != ENGINE_EXIT_KICK) {
			park(one);
			vcpus->owner.ended(vcpus->owner.opaque, exit,
					   vcpus->engine->last_error(one->vcpu));
			return;
		}
	}
}

static gpointer vcpu_thread(gpointer opaque)
{
	struct one *one = opaque;

	run_one(one);
	one->cpu_ns += host_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

/* Signals that end the program are the loop thread's to take, never a vCPU's. */
void vcpus_start(struct vcpus *vcpus)
{
	sigset_t ours, before;

	vcpus->ending = false;
	sigemptyset(&ours);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ours, &before);
	for (unsigned i = 0; i < vcpus->n; i++) {
		g_autofree char *name = g_strdup_printf("vcpu%u", i);

		vcpus->one[i].thread = g_thread_new(name, vcpu_thread, &vcpus->one[i]);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void vcpus_join(struct vcpus *vcpus)
{
	g_mutex_lock(&vcpus->lock);
	vcpus->ending = true;
	g_cond_broadcast(&vcpus->changed);
	g_mutex_unlock(&vcpus->lock);
	for (unsigned i = 0; i < vcpus->n; i++)
		vcpus->engine->kick(vcpus->one[i].vcpu);
	for (unsigned i = 0; i < vcpus->n; i++)
		g_thread_join(vcpus->one[i].thread);
}

static bool any_runs(const struct vcpus *vcpus)
{
	for (unsigned i = 0; i < vcpus->n; i++)
		if (vcpus->one[i].running)
			return true;
	return false;
}

/* Under the lock. */
static void bring_in(struct vcpus *vcpus)
{
	for (unsigned i = 0; i < vcpus->n; i++) {
		if (vcpus->one[i].running)
			vcpus->engine->kick(vcpus->one[i].vcpu);
	}
	while (any_runs(vcpus))
		g_cond_wait(&vcpus->changed, &vcpus->lock);
}

void vcpus_hold(struct vcpus *vcpus)
{
	g_mutex_lock(&vcpus->lock);
	for (unsigned i = 0; i < vcpus->n; i++)
		vcpus->one[i].held = true;
	bring_in(vcpus);
	g_mutex_unlock(&vcpus->lock);
}

void vcpus_pause(struct vcpus *vcpus)
{
	g_mutex_lock(&vcpus->lock);
	vcpus->paused = true;
	bring_in(vcpus);
	g_mutex_unlock(&vcpus->lock);
}

void vcpus_resume(struct vcpus *vcpus)
{
	g_mutex_lock(&vcpus->lock);
	vcpus->paused = false;
	g_cond_broadcast(&vcpus->changed);
	g_mutex_unlock(&vcpus->lock);
}

void vcpus_release(struct vcpus *vcpus, unsigned id)
{
	g_mutex_lock(&vcpus->lock);
	vcpus->one[id].held = false;
	g_cond_broadcast(&vcpus->changed);
	g_mutex_unlock(&vcpus->lock);
}

bool vcpus_take_stop(struct vcpus *vcpus, unsigned *id, struct engine_stop *stop)
{
	bool found = false;

	g_mutex_lock(&vcpus->lock);
	for (unsigned i = 0; i < vcpus->n && !found; i++) {
		if (!vcpus->one[i].has_stop)
			continue;
		vcpus->one[i].has_stop = false;
		*id = i;
		*stop = vcpus->one[i].stop;
		found = true;
	}
	g_mutex_unlock(&vcpus->lock);
	return found;
}

void vcpus_stats(const struct vcpus *vcpus, struct engine_stats *stats, int64_t *cpu_ns)
{
	for (unsigned i = 0; i < vcpus->n; i++) {
		struct engine_stats one = {0};

		vcpus->engine->stats(vcpus->one[i].vcpu, &one);
		stats->instructions += one.instructions;
		stats->decoded += one.decoded;
		stats->tlb_misses += one.tlb_misses;
		stats->interrupts += one.interrupts;
		stats->exceptions += one.exceptions;
		stats->code_writes += one.code_writes;
		*cpu_ns += vcpus->one[i].cpu_ns;
	}
}

void vcpus_report(const struct vcpus *vcpus, GString *out)
{
	for (unsigned i = 0; i < vcpus->n && vcpus->engine->report; i++)
		vcpus->engine->report(vcpus->one[i].vcpu, out);
}

void vcpus_list(const struct vcpus *vcpus, FILE *to)
{
	for (unsigned i = 0; i < vcpus->n; i++)
		vcpus->engine->list(vcpus->one[i].vcpu, to);
}
