/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM engine: what its files share. Seen only in this folder.
 *
 * KVM has the instructions, the page tables and most MSRs; everything else is ours, as under any
 * engine: the local APIC (no in-kernel irqchip), IA32_APIC_BASE, the x2APIC's registers, the TSC
 * deadline and kvmclock, the ports and the devices. Linux's documentation, virt/kvm/api, is
 * the source for each ioctl.
 */
#ifndef VIV_CPU_KVM_KVM_INT_H
#define VIV_CPU_KVM_KVM_INT_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cpu/engine.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

struct kvm_vcpu;

#define KVM_ENGINE_MAX_VCPUS 64

/* What the vCPUs of a VM share: engine_env.engine_vm. The last vCPU takes it along. */
struct kvm_vm {
	struct mem *mem;
	int kvm_fd, fd;
	unsigned n_vcpus;
	struct kvm_vcpu *vcpus[KVM_ENGINE_MAX_VCPUS]; /* by id; set up before any runs */
	size_t run_size;
	bool user_msrs; /* MSRs can be ours: x2APIC, TSC deadline and kvmclock are offered */

	/* slots.c's */
	_Atomic unsigned changes, changes_done; /* of what mem shows: counted, and put into slots */
	GMutex lock;				/* of the rest; below all others */
	GCond left;				/* a vCPU left KVM_RUN, or the slots were changed */
	GArray *slots;				/* struct slot, by KVM's number */
	bool log_dirty;
};

struct kvm_vcpu {
	struct engine_env *env;
	struct kvm_vm *vm;
	const struct x86_model *model;
	struct lapic *lapic;
	unsigned id;
	int fd;
	struct kvm_run *run;
	struct engine_stats stats;

	enum x86_activity activity;
	bool if_flag;		 /* RFLAGS.IF when KVM_RUN last came back */
	bool can_inject;	 /* KVM would take an interrupt now */
	bool nmi_masked;	 /* kept while halted */
	bool has_machine_checks; /* KVM has our banks */
	uint32_t smbase;	 /* of the state; no SMI is taken (docs/adr/0012) */
	uint8_t cr8;		 /* as given to KVM_RUN */

	uint64_t tsc_khz;
	uint64_t tsc_offset;	   /* guest TSC minus the VM's clock, when run() was last left */
	uint64_t lapic_tsc_offset; /* the one the APIC's deadline is counted by */
	int64_t clock_lag_ns;	   /* CLOCK_MONOTONIC minus the VM's clock, at the same time */
	uint64_t kvm_system_time, kvm_wall_clock;

	/* Any thread. */
	GMutex lock; /* below the APIC's */
	GCond wakeup;
	bool running, attention; /* under the lock */
	GArray *machine_checks;	 /* struct engine_machine_check, under the lock */
	pthread_t thread;	 /* valid while running */
	_Atomic bool in_kvm, kicked;

	struct {
		struct engine_point point[4]; /* of each debug register in use */
		unsigned n;
		bool step;
		struct engine_stop stop;
	} debug;

	bool refused; /* KVM did not take the state */
	char error[256];
};

/* vm.c. The first reference makes the VM. */
struct kvm_vm *kvm_vm_ref(struct engine_env *env, GError **error);
void kvm_vm_unref(struct engine_env *env);
bool kvm_vm_log_dirty(struct engine_env *env, bool on, GError **error);
bool kvm_vm_fetch_dirty(struct engine_env *env, GError **error);

/*
 * slots.c: guest memory. init and fini, and make, which makes the first slots; any thread: log_dirty and
 * fetch_dirty. False with errno set. KVM_RUN stands between enter and leave; enter fails with the vCPU refused.
 */
void kvm_slots_init(struct kvm_vm *vm);
void kvm_slots_fini(struct kvm_vm *vm);
bool kvm_slots_make(struct kvm_vm *vm);
bool kvm_slots_log_dirty(struct kvm_vm *vm, bool on);
bool kvm_slots_fetch_dirty(struct kvm_vm *vm);
bool kvm_slots_enter(struct kvm_vcpu *v);
void kvm_slots_leave(struct kvm_vcpu *v);

/* cpuid.c: the processor's identity; before its first run. */
bool kvm_cpuid_set(struct kvm_vcpu *v, GError **error);

/* state.c */
void kvm_state_get(struct kvm_vcpu *v, struct x86_state *state);
void kvm_state_set(struct kvm_vcpu *v, const struct x86_state *state);
/* The vCPU cannot go on because of what was just tried: run() will say so. */
void kvm_refuse(struct kvm_vcpu *v, const char *what);
bool kvm_msr_get(struct kvm_vcpu *v, uint32_t index, uint64_t *value);
bool kvm_msr_set(struct kvm_vcpu *v, uint32_t index, uint64_t value);

/* machine_check.c. Before the vCPU's first run; from any thread; and before KVM_RUN. */
void kvm_machine_check_init(struct kvm_vcpu *v);
bool kvm_machine_check_send(struct kvm_vcpu *v, const struct engine_machine_check *error);
void kvm_machine_check_inject(struct kvm_vcpu *v);

/* kvm.c: KVM_RUN, now or next, comes back at once, and a halted vCPU wakes up. Under the lock. */
void kvm_interrupt_run(struct kvm_vcpu *v);
/* The same from any thread without the lock; nothing on the vCPU's own, which looks before each KVM_RUN. */
void kvm_wake(struct kvm_vcpu *v);

/* debug.c */
bool kvm_debug_set(struct kvm_vcpu *v, const struct engine_debug *debug);
/* After KVM_EXIT_DEBUG, or the halt that ended a step: notes why. */
void kvm_debug_stopped(struct kvm_vcpu *v);

/* msr.c: MSRs and time that are not KVM's. */
bool kvm_user_msr_read(struct kvm_vcpu *v, uint32_t index, uint64_t *value);
bool kvm_user_msr_write(struct kvm_vcpu *v, uint32_t index, uint64_t value);
bool kvm_filter_msrs(struct kvm_vm *vm);
bool kvm_tsc_init(struct kvm_vcpu *v, GError **error);
void kvm_tsc_resume(struct kvm_vcpu *v);
void kvm_tsc_sample(struct kvm_vcpu *v);
void kvm_tsc_load(struct kvm_vcpu *v, uint64_t offset);
void kvm_tsc_rebase_lapic(struct kvm_vcpu *v);

#endif
