/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What gdb asks of a VM, and the answers: GDB's remote serial protocol in all-stop mode, a vCPU
 * being thread id + 1. No socket, no thread: bytes in, bytes out. Loop thread.
 *
 * While the guest runs, gdb may send an interrupt and nothing else. The state, the memory and the
 * debug requests of vCPUs are touched only while all of them are held.
 */
#ifndef VIV_VM_GDB_SESSION_H
#define VIV_VM_GDB_SESSION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/engine.h"
#include "cpu/x86/state.h"

/* The VM as a session sees it. hold() returns when no vCPU runs; release() lets one run. */
struct gdb_target {
	unsigned n_vcpus;
	struct mem *mem;
	void *opaque;
	void (*get_state)(void *opaque, unsigned vcpu, struct x86_state *state);
	void (*set_state)(void *opaque, unsigned vcpu, const struct x86_state *state);
	bool (*set_debug)(void *opaque, unsigned vcpu, const struct engine_debug *debug);
	void (*hold)(void *opaque);
	void (*release)(void *opaque, unsigned vcpu);
	/* A stop that no one has taken yet, of a vCPU that waits for release(). */
	bool (*take_stop)(void *opaque, unsigned *vcpu, struct engine_stop *stop);
	void (*kill)(void *opaque);
};

struct gdb_session;

/* All vCPUs are held, until gdb says otherwise. `target` outlives the session. */
struct gdb_session *gdb_session_new(const struct gdb_target *target);
/* Takes breakpoints out and lets the guest run on. NULL is fine. */
void gdb_session_free(struct gdb_session *session);

/* Takes what gdb sent; answers are appended to `out`. */
void gdb_session_input(struct gdb_session *session, const uint8_t *bytes, size_t len,
		       GByteArray *out);
/* Looks whether a vCPU has stopped. */
void gdb_session_poll(struct gdb_session *session, GByteArray *out);
/* The VM has ended; `reply` is a stop reply, W or X. */
void gdb_session_end(struct gdb_session *session, const char *reply, GByteArray *out);
/* gdb has detached or killed: the connection is to be closed. */
bool gdb_session_is_over(const struct gdb_session *session);

#endif
