/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine contract: what runs guest code. The interpreter, the translator and KVM
 * stand behind it; one architectural state (x86/state.h) serves them all, so a
 * VM saved under one engine resumes under another.
 *
 * An engine performs port, MMIO, MSR and CPUID accesses itself: it calls the bus
 * (which takes the device's lock) and the shared tables of cpu/x86. It fetches interrupts
 * from the vCPU's local APIC, and it sleeps in HLT. So run() returns only for
 * what concerns the VM.
 *
 * Hand-over: get_state() of every vCPU, the old engine's vCPUs freed, the new one's made, set_state().
 * A vCPU that was not there cannot know what the other engine wrote over code it has decoded.
 *
 * Threads: a vCPU belongs to the thread that calls run() on it. kick() comes from any
 * thread. get_state() and set_state() only while run() is not running.
 */
#ifndef VIV_CPU_ENGINE_H
#define VIV_CPU_ENGINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/trace.h"
#include "bus/bus.h"
#include "clock/clock.h"
#include "mem/mem.h"

struct lapic_set;
struct vcpu;
struct x86_model;
struct x86_state;

enum engine_exit {
	ENGINE_EXIT_KICK,     /* kick() was called; run() again goes on where it stopped */
	ENGINE_EXIT_SHUTDOWN, /* triple fault: the guest crashed, or asked for a reset this way */
	ENGINE_EXIT_ERROR,    /* the engine cannot go on; last_error() says why */
	ENGINE_EXIT_DEBUG,    /* something that set_debug() asked for; debug_stop() says what */
};

/*
 * What a debugger wants to be told of; addresses are linear. EXECUTE stops before the instruction
 * that starts there, the first one of a run() too; the others after the instruction that
 * touched one of the bytes. The guest's own debug registers are not involved.
 */
enum engine_point_kind {
	ENGINE_POINT_EXECUTE,
	ENGINE_POINT_WRITE,
	ENGINE_POINT_READ,
	ENGINE_POINT_ACCESS, /* either */
};

struct engine_point {
	enum engine_point_kind kind;
	uint64_t address, len;
};

#define ENGINE_MAX_POINTS 64

struct engine_debug {
	/* Stop after an instruction or the exception that it raised. External interrupts wait
	 * meanwhile, but where a halted vCPU waits for one. */
	bool step;
	const struct engine_point *points;
	unsigned n_points;
};

/*
 * An error that the hardware has found, as its bank of MSRs tells it (SDM volume 3, 16.3): where the processor
 * has no such banks (machine-check architecture), only whether it is uncorrected counts.
 */
struct engine_machine_check {
	unsigned bank;
	uint64_t status, addr, misc; /* IA32_MCi_STATUS, _ADDR, _MISC */
	uint64_t mcg_status;	     /* RIPV and EIPV of IA32_MCG_STATUS */
};

#define ENGINE_MC_VALID	      (1ull << 63)
#define ENGINE_MC_OVERFLOW    (1ull << 62)
#define ENGINE_MC_UNCORRECTED (1ull << 61)

struct engine_stop {
	bool is_point; /* a point, and not the end of a step */
	struct engine_point point;
};

/* Bytes of translated code that a vCPU keeps, unless told; and what it may be told. */
#define ENGINE_CODE_CACHE     (64ull << 20)
#define ENGINE_CODE_CACHE_MIN (1ull << 20)
#define ENGINE_CODE_CACHE_MAX (1ull << 30)

/* What the vCPUs of one VM share; outlives them. */
struct engine_env {
	struct mem *mem;
	struct bus *bus;
	struct clock *clock;
	struct lapic_set *lapics;
	const struct x86_model *model; /* NULL: x86_model_host() */
	unsigned n_vcpus;
	const struct trace *trace; /* NULL: off */
	/* Where the engine names the code that it makes, for Linux's perf; NULL: nowhere. */
	FILE *perf_map;
	bool sample; /* report() is to say where CPU time went */
	uint64_t code_cache; /* 0: ENGINE_CODE_CACHE */
	/* Each so many-th run of translated code is compared with the interpreter, on one vCPU; 0: none.
	 * Who else writes guest RAM holds the gate meanwhile; NULL: nobody does. */
	unsigned lockstep;
	GMutex *ram_gate;
	void *engine_vm; /* the engine's own, made by its first vCPU and freed by its last; NULL before */
};

struct engine_stats {
	uint64_t instructions; /* retired */
	uint64_t decoded;      /* instructions decoded or translated */
	uint64_t tlb_misses;
	uint64_t interrupts; /* external ones delivered */
	uint64_t exceptions;
	uint64_t code_writes; /* stores that hit decoded code */
};

struct engine {
	const char *name;
	unsigned max_vcpus; /* the most one VM may have */
	bool no_smm;	    /* SMIs come to nothing */
	/* vCPU `id`, in power-on state; NULL with the error set. */
	struct vcpu *(*vcpu_new)(struct engine_env *env, unsigned id, GError **error);
	void (*vcpu_free)(struct vcpu *vcpu);
	enum engine_exit (*run)(struct vcpu *vcpu);
	/* Makes run() return soon; remembered if it is not running. */
	void (*kick)(struct vcpu *vcpu);
	void (*get_state)(struct vcpu *vcpu, struct x86_state *state);
	void (*set_state)(struct vcpu *vcpu, const struct x86_state *state);
	/*
	 * Tells the vCPU of an error. A corrected one is logged. An uncorrected one is logged and raises #MC; where
	 * CR4.MCE is clear or another one is being handled it shuts the processor down, and where the bank's
	 * control register is not all ones it is ignored. Any thread; seen at the next instruction or so, also by
	 * a halted vCPU. False, and nothing happens: there is no such bank, or the error is none, or the host's
	 * KVM has no machine checks.
	 */
	bool (*machine_check)(struct vcpu *vcpu, const struct engine_machine_check *error);
	/* Readable while running; each counter is exact once run() has returned. */
	void (*stats)(const struct vcpu *vcpu, struct engine_stats *stats);
	/* What stats() has no number for, as lines for a human. After run(); NULL: nothing. */
	void (*report)(const struct vcpu *vcpu, GString *out);
	/* Writes what was translated, into what, as tools/regions reads it. After run(); NULL: the engine
	 * translates nothing, and has no use for perf_map. */
	void (*list)(const struct vcpu *vcpu, FILE *to);
	/* Why run() returned ENGINE_EXIT_ERROR or _SHUTDOWN: a line for a human. */
	const char *(*last_error)(const struct vcpu *vcpu);
	/* Where guest stores do not pass through our code, the written pages are gathered from
	 * log_dirty(true) on, and fetch_dirty() adds them to mem's dirty map. Any thread. NULL: the
	 * engine keeps the map at every store. */
	bool (*log_dirty)(struct engine_env *env, bool on, GError **error);
	bool (*fetch_dirty)(struct engine_env *env, GError **error);
	/*
	 * Debugging: replaces what was asked for before; false, and nothing changes, where the engine
	 * cannot have so many points of these kinds. While run() is not running. NULL: the engine cannot
	 * debug.
	 */
	bool (*set_debug)(struct vcpu *vcpu, const struct engine_debug *debug);
	/* Why run() returned ENGINE_EXIT_DEBUG. */
	void (*debug_stop)(const struct vcpu *vcpu, struct engine_stop *stop);
};

/* The software CPU: the interpreter, T0, and the translator, T1. */
extern const struct engine engine_soft;
/* T0 alone. */
extern const struct engine engine_interp;
/* The host's processor, by /dev/kvm. */
extern const struct engine engine_kvm;

#endif
