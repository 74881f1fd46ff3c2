/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result decides everything: whoever sets it first ends the run. The loop thread
 * sees it, kicks the vCPUs and joins their threads; a vCPU thread sees it when
 * run() returns.
 */
#include "vm/vm.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/error.h"
#include "block/block.h"
#include "clock/clock.h"
#include "cpu/engine_choose.h"
#include "machine/board.h"
#include "machine/machine.h"
#include "stream/stream.h"
#include "vm/boot.h"

struct vm_vcpu {
	struct vm *vm;
	struct vcpu *vcpu;
	GThread *thread;
	int64_t cpu_ns; /* of its threads so far; written by the thread, read once it is joined */
};

struct vm {
	const struct vm_config *config;
	const struct engine *engine;
	GMainContext *context;
	struct clock *clock;
	GSource *clock_source;
	struct stream *serial;
	struct block *disks[VM_MAX_DISKS];
	struct machine *machine;
	struct engine_env engine_env;
	struct vm_vcpu *vcpus;
	unsigned n_vcpus; /* created so far */
	int64_t wall_ns;
	_Atomic enum vm_result result;
	char *reason; /* written by the vCPU thread that set the result, read once it is joined */
};

/* Whether this call's result is the one that counts. */
static bool end_run(struct vm *vm, enum vm_result result)
{
	enum vm_result running = VM_RUNNING;

	if (!atomic_compare_exchange_strong(&vm->result, &running, result))
		return false;
	g_main_context_wakeup(vm->context);
	return true;
}

void vm_stop(struct vm *vm, enum vm_result result)
{
	end_run(vm, result);
}

static void on_escape(void *opaque)
{
	vm_stop(opaque, VM_LEFT);
}

static void on_request(void *opaque, enum bus_request request)
{
	vm_stop(opaque, request == BUS_REQUEST_POWEROFF ? VM_POWEROFF : VM_RESET);
}

static gboolean on_clock(gint fd, GIOCondition condition, gpointer opaque)
{
	clock_run_due(((struct vm *)opaque)->clock);
	return G_SOURCE_CONTINUE;
}

static void attach_clock(struct vm *vm)
{
	vm->clock = clock_new();
	vm->clock_source = g_unix_fd_source_new(clock_fd(vm->clock), G_IO_IN);
	g_source_set_callback(vm->clock_source, G_SOURCE_FUNC(on_clock), vm, NULL);
	g_source_attach(vm->clock_source, vm->context);
}

static const struct engine *find_engine(const struct vm_config *config)
{
	struct engine_choice choice;

	if (config->engine)
		return config->engine;
	engine_choose(&choice);
	g_free(choice.reason);
	return choice.engine;
}

static bool check(const struct vm_config *config, const struct engine *engine, GError **error)
{
	if (!config->kernel) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "no kernel given; name one with --kernel FILE");
		return false;
	}
	if (config->n_vcpus > engine->max_vcpus) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--cpus: %u is too many for the %s engine; give at most %u",
			    config->n_vcpus, engine->name, engine->max_vcpus);
		return false;
	}
	return true;
}

static bool open_disks(struct vm *vm, GError **error)
{
	for (unsigned i = 0; i < vm->config->n_disks; i++) {
		struct block_options options = {
			.path = vm->config->disks[i].path,
			.format = "raw",
			.read_only = vm->config->disks[i].read_only,
		};

		vm->disks[i] = block_open(&options, error);
		if (!vm->disks[i])
			return false;
	}
	return true;
}

static bool build_machine(struct vm *vm, GError **error)
{
	struct machine_config config = {
		.ram_size = vm->config->ram_size,
		.n_vcpus = vm->config->n_vcpus,
		.clock = vm->clock,
		.serial = vm->serial,
		.disks = vm->disks,
		.n_disks = vm->config->n_disks,
	};

	vm->machine = machine_new(&board_pc, &config, error);
	if (!vm->machine)
		return false;
	bus_set_request_sink(vm->machine->env.bus, on_request, vm);
	return true;
}

static bool create_vcpus(struct vm *vm, GError **error)
{
	vm->engine_env = (struct engine_env){
		.mem = vm->machine->env.mem,
		.bus = vm->machine->env.bus,
		.clock = vm->clock,
		.lapics = vm->machine->lapics,
		.n_vcpus = vm->config->n_vcpus,
	};
	vm->vcpus = g_new0(struct vm_vcpu, vm->config->n_vcpus);
	for (; vm->n_vcpus < vm->config->n_vcpus; vm->n_vcpus++) {
		struct vm_vcpu *vcpu = &vm->vcpus[vm->n_vcpus];

		vcpu->vm = vm;
		vcpu->vcpu = vm->engine->vcpu_new(&vm->engine_env, vm->n_vcpus, error);
		if (!vcpu->vcpu)
			return false;
	}
	return true;
}

/* Loads the kernel and gives each vCPU the state it starts with. */
static bool load(struct vm *vm, GError **error)
{
	struct x86_state state;

	if (!boot_load(vm->machine, vm->config, &state, error))
		return false;
	vm->engine->set_state(vm->vcpus[0].vcpu, &state);
	for (unsigned i = 1; i < vm->n_vcpus; i++) {
		boot_park(&state, false);
		vm->engine->set_state(vm->vcpus[i].vcpu, &state);
	}
	return true;
}

struct vm *vm_new(const struct vm_config *config, const struct vm_console *console,
		  GMainContext *context, GError **error)
{
	const struct engine *engine = find_engine(config);

	if (!check(config, engine, error))
		return NULL;

	struct vm *vm = g_new0(struct vm, 1);

	vm->config = config;
	vm->engine = engine;
	vm->context = g_main_context_ref(context);
	attach_clock(vm);
	vm->serial = stream_new_fd(context, console->in_fd, console->out_fd, console->escape,
				   on_escape, vm);
	if (open_disks(vm, error) && build_machine(vm, error) && create_vcpus(vm, error) &&
	    load(vm, error))
		return vm;
	vm_free(vm);
	return NULL;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	/* A disk request that completed later would tell a vCPU of what it wrote. */
	if (vm->machine)
		machine_quiesce(vm->machine);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		vm->engine->vcpu_free(vm->vcpus[i].vcpu);
	g_free(vm->vcpus);
	machine_free(vm->machine);
	for (unsigned i = 0; i < vm->config->n_disks; i++)
		block_close(vm->disks[i]);
	stream_free(vm->serial);
	g_source_destroy(vm->clock_source);
	g_source_unref(vm->clock_source);
	clock_free(vm->clock);
	g_main_context_unref(vm->context);
	g_free(vm->reason);
	g_free(vm);
}

static void end_with_reason(struct vm_vcpu *vcpu, enum vm_result result)
{
	struct vm *vm = vcpu->vm;

	if (end_run(vm, result))
		vm->reason = g_strdup(vm->engine->last_error(vcpu->vcpu));
}

static void run_vcpu(struct vm_vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	while (atomic_load(&vm->result) == VM_RUNNING) {
		switch (vm->engine->run(vcpu->vcpu)) {
		case ENGINE_EXIT_KICK:
		case ENGINE_EXIT_DEBUG:
			break;
		case ENGINE_EXIT_SHUTDOWN:
			end_with_reason(vcpu, VM_CRASH);
			return;
		case ENGINE_EXIT_ERROR:
			end_with_reason(vcpu, VM_FAILED);
			return;
		}
	}
}

static int64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static gpointer vcpu_thread(gpointer opaque)
{
	struct vm_vcpu *vcpu = opaque;

	run_vcpu(vcpu);
	vcpu->cpu_ns += thread_cpu_ns();
	return NULL;
}

/* Signals that end the program are the loop thread's to take, never a vCPU's. */
static void start_threads(struct vm *vm)
{
	sigset_t ours, before;

	sigemptyset(&ours);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ours, &before);
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		g_autofree char *name = g_strdup_printf("vcpu%u", i);

		vm->vcpus[i].thread = g_thread_new(name, vcpu_thread, &vm->vcpus[i]);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void join_threads(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		vm->engine->kick(vm->vcpus[i].vcpu);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		g_thread_join(vm->vcpus[i].thread);
}

enum vm_result vm_run(struct vm *vm)
{
	int64_t start_us = g_get_monotonic_time();

	clock_start(vm->clock);
	start_threads(vm);
	while (atomic_load(&vm->result) == VM_RUNNING)
		g_main_context_iteration(vm->context, TRUE);
	join_threads(vm);
	clock_stop(vm->clock);
	vm->wall_ns += (g_get_monotonic_time() - start_us) * 1000;
	return atomic_load(&vm->result);
}

bool vm_reset(struct vm *vm, GError **error)
{
	if (!machine_reset(vm->machine, error) || !load(vm, error))
		return false;
	bus_request_take(vm->machine->env.bus);
	g_clear_pointer(&vm->reason, g_free);
	atomic_store(&vm->result, VM_RUNNING);
	return true;
}

const char *vm_reason(const struct vm *vm)
{
	return vm->reason ? vm->reason : "no reason is known";
}

void vm_get_stats(const struct vm *vm, struct vm_stats *stats)
{
	*stats = (struct vm_stats){
		.wall_ns = vm->wall_ns,
		.console_dropped = stream_dropped(vm->serial),
	};
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct engine_stats one = {0};

		vm->engine->stats(vm->vcpus[i].vcpu, &one);
		stats->engine.instructions += one.instructions;
		stats->engine.decoded += one.decoded;
		stats->engine.tlb_misses += one.tlb_misses;
		stats->engine.interrupts += one.interrupts;
		stats->engine.exceptions += one.exceptions;
		stats->engine.code_writes += one.code_writes;
		stats->cpu_ns += vm->vcpus[i].cpu_ns;
	}
}
