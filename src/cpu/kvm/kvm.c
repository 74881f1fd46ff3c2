/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM engine: the loop around KVM_RUN.
 *
 * KVM finishes an access that came to us as an exit when KVM_RUN is called again. So a request to
 * leave is not looked at before KVM_RUN has come back with EINTR, which immediate_exit makes it
 * do once nothing is left to finish.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/kvm/kvm_int.h"

/* Gets a thread out of KVM_RUN. GLib and the C library leave it alone. */
#define SIG_KICK (SIGRTMIN + 3)

static void on_kick(int number)
{
}

/* The signal only has to be caught; a handler installed twice is the same. */
static void catch_kicks(void)
{
	struct sigaction action = {.sa_handler = on_kick, .sa_flags = SA_RESTART};

	sigaction(SIG_KICK, &action, NULL);
}

void kvm_interrupt_run(struct kvm_vcpu *v)
{
	v->attention = true;
	g_cond_signal(&v->wakeup);
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (v->running && atomic_load(&v->in_kvm))
		pthread_kill(v->thread, SIG_KICK);
}

void kvm_wake(struct kvm_vcpu *v)
{
	g_mutex_lock(&v->lock);
	if (!v->running || !pthread_equal(v->thread, pthread_self()))
		kvm_interrupt_run(v);
	g_mutex_unlock(&v->lock);
}

static void on_apic(void *opaque)
{
	kvm_wake(opaque);
}

static void kvm_kick(struct vcpu *vcpu)
{
	struct kvm_vcpu *v = (struct kvm_vcpu *)vcpu;

	g_mutex_lock(&v->lock);
	atomic_store(&v->kicked, true);
	kvm_interrupt_run(v);
	g_mutex_unlock(&v->lock);
}

static void set_running(struct kvm_vcpu *v, bool running)
{
	g_mutex_lock(&v->lock);
	v->thread = pthread_self();
	v->running = running;
	g_mutex_unlock(&v->lock);
}

/* Sleeps until something may have come. */
static void wait_halted(struct kvm_vcpu *v)
{
	g_mutex_lock(&v->lock);
	while (!v->attention)
		g_cond_wait(&v->wakeup, &v->lock);
	v->attention = false;
	g_mutex_unlock(&v->lock);
}

static bool take_kick(struct kvm_vcpu *v)
{
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	return atomic_exchange(&v->kicked, false);
}

static bool has_machine_check(struct kvm_vcpu *v)
{
	bool has;

	g_mutex_lock(&v->lock);
	has = v->machine_checks->len;
	g_mutex_unlock(&v->lock);
	return has;
}

/* What a halted or waiting vCPU wakes up for. */
static bool has_reason_to_wake(struct kvm_vcpu *v)
{
	bool halted = v->activity == X86_HALTED;

	if (halted && has_machine_check(v))
		return true;
	return lapic_pending(v->lapic, LAPIC_ACCEPT_INIT |
					       (halted && v->if_flag ? LAPIC_ACCEPT_INTERRUPT : 0) |
					       (halted && !v->nmi_masked ? LAPIC_ACCEPT_NMI : 0));
}

/* False: kicked. */
static bool sleep_halted(struct kvm_vcpu *v)
{
	while (!has_reason_to_wake(v)) {
		wait_halted(v);
		if (take_kick(v))
			return false;
	}
	if (v->activity == X86_HALTED)
		v->activity = X86_ACTIVE;
	return true;
}

static void take_init(struct kvm_vcpu *v)
{
	struct x86_state s;

	kvm_tsc_sample(v);
	kvm_state_get(v, &s);
	x86_state_init(&s, v->id == 0);
	s.gpr[X86_RDX] = v->model->signature;
	kvm_state_set(v, &s);
}

static void take_sipi(struct kvm_vcpu *v, uint8_t vector)
{
	struct x86_state s;

	if (v->activity != X86_WAIT_FOR_SIPI)
		return;
	kvm_tsc_sample(v);
	kvm_state_get(v, &s);
	x86_state_startup(&s, vector);
	kvm_state_set(v, &s);
}

static void take_event(struct kvm_vcpu *v, unsigned accept)
{
	uint8_t vector = 0;
	enum lapic_event event = lapic_take(v->lapic, accept, &vector);
	struct kvm_interrupt interrupt = {.irq = vector};

	switch (event) {
	case LAPIC_EVENT_NONE:
	case LAPIC_EVENT_SMI: /* nor kept for an engine that has the mode, but no handler there */
		break;
	case LAPIC_EVENT_INIT:
		take_init(v);
		break;
	case LAPIC_EVENT_SIPI:
		take_sipi(v, vector);
		break;
	case LAPIC_EVENT_NMI:
		/* Kept by KVM while NMIs are masked. */
		v->stats.interrupts++;
		if (ioctl(v->fd, KVM_NMI) < 0)
			kvm_refuse(v, "an NMI");
		break;
	case LAPIC_EVENT_INTERRUPT:
		v->stats.interrupts++;
		v->can_inject = false;
		if (ioctl(v->fd, KVM_INTERRUPT, &interrupt) < 0)
			kvm_refuse(v, "an interrupt");
		break;
	}
}

/* Gives KVM what the APIC has for it, and asks to be told when it can take more. */
static void inject(struct kvm_vcpu *v)
{
	/* A debugger's step is not to end up in a timer's handler. */
	bool step = v->debug.step;

	if (v->activity == X86_ACTIVE)
		kvm_machine_check_inject(v);
	for (;;) {
		unsigned accept = LAPIC_ACCEPT_INIT | LAPIC_ACCEPT_NMI | LAPIC_ACCEPT_SMI |
				  (v->can_inject && !step ? LAPIC_ACCEPT_INTERRUPT : 0);

		if (v->activity != X86_ACTIVE || !lapic_pending(v->lapic, accept))
			break;
		take_event(v, accept);
	}
	v->run->request_interrupt_window =
		!step && !v->can_inject &&
		lapic_pending(v->lapic, LAPIC_ACCEPT_INIT | LAPIC_ACCEPT_INTERRUPT);
}

static int enter(struct kvm_vcpu *v)
{
	int result;

	v->run->cr8 = v->cr8 = lapic_cr8(v->lapic);
	if (!kvm_slots_enter(v))
		return ENOMEM;
	result = ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;
	kvm_slots_leave(v);
	if (v->run->cr8 != v->cr8)
		lapic_set_cr8(v->lapic, v->run->cr8);
	v->if_flag = v->run->if_flag;
	v->can_inject = v->run->ready_for_interrupt_injection;
	return result;
}

static void do_port(struct kvm_vcpu *v)
{
	unsigned size = v->run->io.size;
	uint8_t *data = (uint8_t *)v->run + v->run->io.data_offset;

	for (uint32_t i = 0; i < v->run->io.count; i++, data += size) {
		uint64_t value = 0;

		if (v->run->io.direction == KVM_EXIT_IO_IN) {
			value = bus_read(v->env->bus, BUS_PIO, v->run->io.port, size);
			memcpy(data, &value, size);
		} else {
			memcpy(&value, data, size);
			bus_write(v->env->bus, BUS_PIO, v->run->io.port, value, size);
		}
	}
}

static bool is_lapic(const struct kvm_vcpu *v, uint64_t gpa)
{
	uint64_t base = lapic_base(v->lapic);

	return (base & (APIC_BASE_EN | APIC_BASE_EXTD)) == APIC_BASE_EN && (base ^ gpa) < 4096;
}

static uint64_t mmio_read(struct kvm_vcpu *v, uint64_t gpa, unsigned size)
{
	if (is_lapic(v, gpa))
		return lapic_mmio_read(v->lapic, gpa & 0xffc) >> (8 * (gpa & 3));
	return bus_read(v->env->bus, BUS_MMIO, gpa, size);
}

static void mmio_write(struct kvm_vcpu *v, uint64_t gpa, uint64_t value, unsigned size)
{
	if (!is_lapic(v, gpa))
		bus_write(v->env->bus, BUS_MMIO, gpa, value, size);
	else if (gpa % 4 == 0)
		lapic_mmio_write(v->lapic, gpa & 0xffc, value);
}

/* Any 1 to 8 bytes, where an access crosses a page; the bus takes aligned powers of two. */
static void do_mmio(struct kvm_vcpu *v)
{
	uint64_t gpa = v->run->mmio.phys_addr;
	uint8_t *data = v->run->mmio.data;

	for (unsigned left = v->run->mmio.len, piece; left; left -= piece) {
		uint64_t value = 0;

		for (piece = 8; piece > left || gpa % piece;)
			piece /= 2;
		if (v->run->mmio.is_write) {
			memcpy(&value, data, piece);
			mmio_write(v, gpa, value, piece);
		} else {
			value = mmio_read(v, gpa, piece);
			memcpy(data, &value, piece);
		}
		gpa += piece;
		data += piece;
	}
}

static void do_halt(struct kvm_vcpu *v)
{
	struct kvm_vcpu_events events = {0};

	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		kvm_refuse(v, "to give the pending events");
	v->nmi_masked = events.nmi.masked;
	v->activity = X86_HALTED;
}

static uint64_t current_rip(struct kvm_vcpu *v)
{
	struct kvm_regs regs = {0};

	return ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

static enum engine_exit shut_down(struct kvm_vcpu *v)
{
	g_snprintf(v->error, sizeof(v->error), "triple fault at rip %#" G_GINT64_MODIFIER "x",
		   current_rip(v));
	return ENGINE_EXIT_SHUTDOWN;
}

/* The instruction's bytes, where KVM tells them (KVM_INTERNAL_ERROR_EMULATION). */
static char *describe_instruction(const struct kvm_run *run)
{
	GString *text = g_string_new(NULL);

	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
		return g_string_free(text, FALSE);
	g_string_append(text, ", which it cannot emulate");
	if (run->emulation_failure.ndata >= 3 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		unsigned n = MIN(run->emulation_failure.insn_size, 15);

		g_string_append(text, ":");
		for (unsigned i = 0; i < n; i++)
			g_string_append_printf(text, " %02x", run->emulation_failure.insn_bytes[i]);
	}
	return g_string_free(text, FALSE);
}

static enum engine_exit fail(struct kvm_vcpu *v, int error)
{
	const struct kvm_run *run = v->run;
	uint64_t rip = current_rip(v);
	size_t size = sizeof(v->error);

	if (v->refused)
		return ENGINE_EXIT_ERROR;
	if (error) {
		g_snprintf(v->error, size, "KVM_RUN at rip %#" G_GINT64_MODIFIER "x: %s", rip,
			   g_strerror(error));
	} else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
		g_autofree char *insn = describe_instruction(run);

		g_snprintf(
			v->error, size,
			"the host's KVM stopped with internal error %u at rip %#" G_GINT64_MODIFIER
			"x%s; try --engine soft",
			run->internal.suberror, rip, insn);
	} else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY) {
		g_snprintf(
			v->error, size,
			"the host's processor refuses the guest's state at rip %#" G_GINT64_MODIFIER
			"x, reason %#llx; try --engine soft",
			rip, (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	} else {
		g_snprintf(v->error, size,
			   "KVM_RUN left for unknown reason %u at rip %#" G_GINT64_MODIFIER "x",
			   run->exit_reason, rip);
	}
	return ENGINE_EXIT_ERROR;
}

/* ENGINE_EXIT_KICK: go on. */
static enum engine_exit handle_exit(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t value = 0;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		do_port(v);
		break;
	case KVM_EXIT_MMIO:
		do_mmio(v);
		break;
	case KVM_EXIT_X86_RDMSR:
		run->msr.error = !kvm_user_msr_read(v, run->msr.index, &value);
		run->msr.data = value;
		break;
	case KVM_EXIT_X86_WRMSR:
		run->msr.error = !kvm_user_msr_write(v, run->msr.index, run->msr.data);
		break;
	case KVM_EXIT_HLT:
		do_halt(v);
		if (!v->debug.step)
			break;
		run->debug.arch = (struct kvm_debug_exit_arch){0};
		kvm_debug_stopped(v);
		return ENGINE_EXIT_DEBUG;
	case KVM_EXIT_DEBUG:
		kvm_debug_stopped(v);
		return ENGINE_EXIT_DEBUG;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR: /* enter() has seen to CR8 */
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SHUTDOWN:
		return shut_down(v);
	default:
		return fail(v, 0);
	}
	return ENGINE_EXIT_KICK;
}

static enum engine_exit run_loop(struct kvm_vcpu *v)
{
	enum engine_exit exit = ENGINE_EXIT_KICK;

	while (exit == ENGINE_EXIT_KICK) {
		int error;

		if (v->activity != X86_ACTIVE && !sleep_halted(v))
			return ENGINE_EXIT_KICK;
		if (v->activity == X86_WAIT_FOR_SIPI) {
			take_event(v, LAPIC_ACCEPT_INIT);
			continue;
		}
		inject(v);
		if (v->refused)
			return ENGINE_EXIT_ERROR;
		if (v->activity != X86_ACTIVE)
			continue;
		error = enter(v);
		if (!error)
			exit = handle_exit(v);
		else if (error != EINTR && error != EAGAIN)
			exit = fail(v, error);
		else if (take_kick(v))
			return ENGINE_EXIT_KICK;
	}
	return exit;
}

static enum engine_exit kvm_run(struct vcpu *vcpu)
{
	struct kvm_vcpu *v = (struct kvm_vcpu *)vcpu;
	enum engine_exit exit;

	set_running(v, true);
	kvm_tsc_resume(v);
	exit = run_loop(v);
	kvm_tsc_sample(v);
	set_running(v, false);
	return exit;
}

static void kvm_get_state(struct vcpu *vcpu, struct x86_state *state)
{
	kvm_state_get((struct kvm_vcpu *)vcpu, state);
}

static void kvm_set_state(struct vcpu *vcpu, const struct x86_state *state)
{
	kvm_state_set((struct kvm_vcpu *)vcpu, state);
}

static void kvm_free(struct vcpu *vcpu)
{
	struct kvm_vcpu *v = (struct kvm_vcpu *)vcpu;

	if (!v)
		return;
	lapic_set_wake(v->lapic, NULL, NULL);
	if (v->run != MAP_FAILED)
		munmap(v->run, v->vm->run_size);
	if (v->fd >= 0)
		close(v->fd);
	if (v->vm) {
		v->vm->vcpus[v->id] = NULL;
		kvm_vm_unref(v->env);
	}
	g_clear_pointer(&v->machine_checks, g_array_unref);
	g_mutex_clear(&v->lock);
	g_cond_clear(&v->wakeup);
	g_free(v);
}

static bool create(struct kvm_vcpu *v, GError **error)
{
	v->vm = kvm_vm_ref(v->env, error);
	if (!v->vm)
		return false;
	v->fd = ioctl(v->vm->fd, KVM_CREATE_VCPU, v->id);
	if (v->fd >= 0)
		v->run = mmap(NULL, v->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "the host's KVM refuses processor %u: %s; use --engine soft", v->id,
			    g_strerror(errno));
		return false;
	}
	v->vm->vcpus[v->id] = v;
	kvm_machine_check_init(v);
	return kvm_tsc_init(v, error) && kvm_cpuid_set(v, error);
}

static struct vcpu *kvm_new(struct engine_env *env, unsigned id, GError **error)
{
	struct kvm_vcpu *v = g_new0(struct kvm_vcpu, 1);
	struct x86_state reset;

	v->env = env;
	v->id = id;
	v->model = env->model ? env->model : x86_model_host();
	v->lapic = lapic_get(env->lapics, id);
	lapic_set_kinds(v->lapic, v->model->has[F_APIC], v->model->has[F_X2APIC]);
	v->fd = -1;
	v->run = MAP_FAILED;
	g_mutex_init(&v->lock);
	g_cond_init(&v->wakeup);
	catch_kicks();
	if (!create(v, error))
		goto fail;
	x86_state_reset(&reset, id == 0);
	reset.gpr[X86_RDX] = v->model->signature;
	kvm_state_set(v, &reset);
	if (v->refused) {
		g_set_error_literal(error, VIV_ERROR, VIV_ERROR_HOST, v->error);
		goto fail;
	}
	lapic_set_wake(v->lapic, on_apic, v);
	return (struct vcpu *)v;
fail:
	kvm_free((struct vcpu *)v);
	return NULL;
}

static bool kvm_machine_check(struct vcpu *vcpu, const struct engine_machine_check *error)
{
	return kvm_machine_check_send((struct kvm_vcpu *)vcpu, error);
}

static bool kvm_set_debug(struct vcpu *vcpu, const struct engine_debug *debug)
{
	return kvm_debug_set((struct kvm_vcpu *)vcpu, debug);
}

static void kvm_debug_stop(const struct vcpu *vcpu, struct engine_stop *stop)
{
	*stop = ((const struct kvm_vcpu *)vcpu)->debug.stop;
}

static void kvm_stats(const struct vcpu *vcpu, struct engine_stats *stats)
{
	*stats = ((const struct kvm_vcpu *)vcpu)->stats;
}

static const char *kvm_last_error(const struct vcpu *vcpu)
{
	return ((const struct kvm_vcpu *)vcpu)->error;
}

const struct engine engine_kvm = {
	.name = "kvm",
	.max_vcpus = KVM_ENGINE_MAX_VCPUS,
	.no_smm = true,
	.vcpu_new = kvm_new,
	.vcpu_free = kvm_free,
	.run = kvm_run,
	.kick = kvm_kick,
	.get_state = kvm_get_state,
	.set_state = kvm_set_state,
	.machine_check = kvm_machine_check,
	.stats = kvm_stats,
	.last_error = kvm_last_error,
	.log_dirty = kvm_vm_log_dirty,
	.fetch_dirty = kvm_vm_fetch_dirty,
	.set_debug = kvm_set_debug,
	.debug_stop = kvm_debug_stop,
};
