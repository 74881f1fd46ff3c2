/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPUs of a VM and their threads: started and joined together, held and released one by one.
 * All functions on the loop thread. Seen in this folder only.
 */
#ifndef VIV_VM_VCPUS_H
#define VIV_VM_VCPUS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/engine.h"

struct vcpus;

/* Who is told; both are called on a vCPU's thread. */
struct vcpus_owner {
	/* The vCPU runs no more; `why` is the engine's last_error(). */
	void (*ended)(void *opaque, enum engine_exit exit, const char *why);
	/* A vCPU holds itself and vcpus_take_stop() says why. */
	void (*stopped)(void *opaque);
	void *opaque;
};

/* `env` outlives the vCPUs. */
struct vcpus *vcpus_new(const struct engine *engine, struct engine_env *env,
			const struct vcpus_owner *owner, GError **error);
void vcpus_free(struct vcpus *vcpus);
struct vcpu *vcpus_get(const struct vcpus *vcpus, unsigned id);

/* Threads that run those vCPUs which are not held. */
void vcpus_start(struct vcpus *vcpus);
void vcpus_join(struct vcpus *vcpus);

/* No vCPU runs guest code when this returns, nor until it is released. */
void vcpus_hold(struct vcpus *vcpus);
void vcpus_release(struct vcpus *vcpus, unsigned id);
/* The same for all of them, and apart: a vCPU runs while it is neither held nor paused. */
void vcpus_pause(struct vcpus *vcpus);
void vcpus_resume(struct vcpus *vcpus);
/* The stop of a vCPU, once. */
bool vcpus_take_stop(struct vcpus *vcpus, unsigned *id, struct engine_stop *stop);

/* After vcpus_join(). Append what engine.h's report() and list() say of each. */
void vcpus_report(const struct vcpus *vcpus, GString *out);
void vcpus_list(const struct vcpus *vcpus, FILE *to);
/* Summed over the vCPUs. */
void vcpus_stats(const struct vcpus *vcpus, struct engine_stats *stats, int64_t *cpu_ns);

#endif
