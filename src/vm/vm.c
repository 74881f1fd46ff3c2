/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result decides everything: whoever sets it first ends the run. The loop thread
 * sees it and joins the vCPUs' threads.
 */
#include "vm/vm.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "block/block.h"
#include "clock/clock.h"
#include "cpu/engine_choose.h"
#include "dev/virtio/virtio_balloon.h"
#include "display/vnc.h"
#include "display/vnc_tls.h"
#include "machine/board.h"
#include "machine/machine.h"
#include "stream/stream.h"
#include "vm/address.h"
#include "vm/boot.h"
#include "vm/gdb/server.h"
#include "vm/hardware.h"
#include "vm/listing.h"
#include "vm/serial.h"
#include "vm/vcpus.h"

struct vm {
	const struct vm_config *config;
	const struct engine *engine;
	GMainContext *context;
	struct clock *clock;
	GSource *clock_source;
	struct stream *serial, *hvc; /* the latter NULL: none */
	int serial_fd, hvc_fd; /* -1: not ours */
	struct hardware hardware;
	struct vnc *vnc; /* NULL: none */
	struct machine *machine;
	struct engine_env engine_env;
	GMutex ram_gate; /* of engine_env and disks */
	struct vcpus *vcpus;
	struct gdb_target gdb_target;
	struct gdb_server *gdb; /* NULL: none */
	struct listing listing;
	struct trace trace;
	bool in_run; /* vm_run() */
	/* gdb has the guest stopped; the user has. The clock stands in either case. */
	bool held, paused;
	GSource *deadline; /* of vm_end_after(); NULL: none */
	int64_t start_us;
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

/* An option that only an engine which translates can honour; NULL: none was given. */
static const char *translator_option(const struct vm_config *config)
{
	return config->perf_map		? "perf-map"
	       : config->dump_regions ? "dump-regions"
	       : config->code_cache	? "code-cache"
	       : config->lockstep	? "lockstep"
					: NULL;
}

static int64_t trace_now_ns(const void *clock)
{
	return clock_now_ns(clock);
}

/* What is told of events; NULL: nothing. */
static const struct trace *get_trace(struct vm *vm)
{
	vm->trace = (struct trace){
		.to = vm->listing.trace, .now_ns = trace_now_ns, .clock = vm->clock};
	memcpy(vm->trace.on, vm->config->trace, sizeof(vm->trace.on));
	return vm->config->traces ? &vm->trace : NULL;
}

static const struct engine *find_engine(const struct vm_config *config)
{
	struct engine_choice choice;

	if (config->engine)
		return config->engine;
	if (config->gdb || translator_option(config))
		return &engine_soft; /* the one that can be debugged, and that translates */
	engine_choose(&choice);
	g_free(choice.reason);
	return choice.engine;
}

static bool check(const struct vm_config *config, const struct engine *engine, GError **error)
{
	if (!config->kernel && !config->firmware && !config->n_disks && !config->n_nics) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "nothing to boot; name a kernel with --kernel FILE, or a disk with --disk FILE");
		return false;
	}
	if (!config->kernel && !vm_config_has_firmware(config)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--firmware: without any, a kernel has to be named; add --kernel FILE");
		return false;
	}
	if (config->kernel && vm_config_has_firmware(config)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--kernel: a kernel is started without firmware; leave --kernel or --firmware out");
		return false;
	}
	if (config->gdb_wait && !config->gdb) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--gdb-wait: nowhere to wait for gdb; add --gdb ADDRESS");
		return false;
	}
	if (config->gdb && !engine->set_debug) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--gdb: the %s engine cannot be debugged; add --engine soft",
			    engine->name);
		return false;
	}
	if (translator_option(config) && !engine->list) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--%s: the %s engine translates nothing; add --engine soft",
			    translator_option(config), engine->name);
		return false;
	}
	if (config->trace_file && !config->traces) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--trace-file: nothing to write there; add --trace EVENT");
		return false;
	}
	if (config->lockstep && config->n_vcpus > 1) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--lockstep: what another processor writes would be taken for a difference; "
			    "leave --cpus out");
		return false;
	}
	if (config->n_vcpus > 1 && !config->cpu.has[F_APIC]) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--cpu: '%s' without an APIC works alone; leave --cpus out, or add "
			    ",+apic",
			    config->cpu.name);
		return false;
	}
	if (engine == &engine_kvm && !config->cpu.has[F_CPUID]) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--cpu: KVM cannot take CPUID away; add --engine soft");
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

static bool build_machine(struct vm *vm, GError **error)
{
	struct machine_config config = {
		.ram_size = vm->config->ram_size,
		.n_vcpus = vm->config->n_vcpus,
		.cpu = &vm->config->cpu,
		.clock = vm->clock,
		.trace = get_trace(vm),
		.no_smm = vm->engine->no_smm,
		.packed_rings = vm->config->packed_rings,
		.serial = vm->serial,
		.hvc = vm->hvc,
	};

	if (!hardware_open(&vm->hardware, vm->config, vm->context,
			   vm->config->lockstep ? &vm->ram_gate : NULL, error))
		return false;
	hardware_describe(&vm->hardware, &config);
	memcpy(config.uuid, vm->config->uuid, sizeof(config.uuid));
	vm->machine = machine_new(vm->config->board, &config, error);
	if (!vm->machine)
		return false;
	bus_set_request_sink(vm->machine->env.bus, on_request, vm);
	return true;
}

static bool listen_for_viewers(struct vm *vm, GError **error)
{
	g_autoptr(GTlsCertificate) certificate = NULL;
	int fd;

	if (!vm->config->vnc)
		return true;
	if (vm->config->vnc_tls && !(certificate = vnc_tls_load(vm->config->vnc_tls, error))) {
		g_prefix_error(error, "--vnc-tls: ");
		return false;
	}
	fd = address_listen(vm->config->vnc, error);
	if (fd < 0) {
		g_prefix_error(error, "--display: ");
		return false;
	}
	vm->vnc = vnc_new(vm->context, vm->hardware.display, vm->hardware.input, fd,
			  vm->config->vnc_password, certificate, error);
	return vm->vnc != NULL;
}

static void on_ended(void *opaque, enum engine_exit exit, const char *why)
{
	struct vm *vm = opaque;

	if (end_run(vm, exit == ENGINE_EXIT_SHUTDOWN ? VM_CRASH : VM_FAILED))
		vm->reason = g_strdup(why);
}

static void on_stopped(void *opaque)
{
	g_main_context_wakeup(((struct vm *)opaque)->context);
}

static bool create_vcpus(struct vm *vm, GError **error)
{
	struct vcpus_owner owner = {on_ended, on_stopped, vm};

	vm->engine_env = (struct engine_env){
		.mem = vm->machine->env.mem,
		.bus = vm->machine->env.bus,
		.clock = vm->clock,
		.lapics = vm->machine->lapics,
		.model = &vm->config->cpu,
		.n_vcpus = vm->config->n_vcpus,
		.trace = vm->machine->env.trace,
		.perf_map = vm->listing.perf_map,
		.sample = vm->config->sample,
		.code_cache = vm->config->code_cache,
		.lockstep = vm->config->lockstep,
		.ram_gate = &vm->ram_gate,
	};
	vm->vcpus = vcpus_new(vm->engine, &vm->engine_env, &owner, error);
	return vm->vcpus != NULL;
}

static void gdb_get_state(void *opaque, unsigned id, struct x86_state *state)
{
	struct vm *vm = opaque;

	vm->engine->get_state(vcpus_get(vm->vcpus, id), state);
}

static void gdb_set_state(void *opaque, unsigned id, const struct x86_state *state)
{
	struct vm *vm = opaque;

	vm->engine->set_state(vcpus_get(vm->vcpus, id), state);
}

static bool gdb_set_debug(void *opaque, unsigned id, const struct engine_debug *debug)
{
	struct vm *vm = opaque;

	return vm->engine->set_debug(vcpus_get(vm->vcpus, id), debug);
}

/* Time stands still for a guest that is stopped. */
static void move_clock(struct vm *vm)
{
	if (vm->in_run && !vm->held && !vm->paused)
		clock_start(vm->clock);
	else
		clock_stop(vm->clock);
}

static void gdb_hold(void *opaque)
{
	struct vm *vm = opaque;

	vm->held = true;
	vcpus_hold(vm->vcpus);
	move_clock(vm);
}

static void gdb_release(void *opaque, unsigned id)
{
	struct vm *vm = opaque;

	vm->held = false;
	move_clock(vm);
	vcpus_release(vm->vcpus, id);
}

static bool gdb_take_stop(void *opaque, unsigned *id, struct engine_stop *stop)
{
	return vcpus_take_stop(((struct vm *)opaque)->vcpus, id, stop);
}

static void gdb_kill(void *opaque)
{
	vm_stop(opaque, VM_KILLED);
}

static bool listen_for_gdb(struct vm *vm, GError **error)
{
	if (!vm->config->gdb)
		return true;
	vm->gdb_target = (struct gdb_target){
		.n_vcpus = vm->config->n_vcpus,
		.mem = vm->machine->env.mem,
		.opaque = vm,
		.get_state = gdb_get_state,
		.set_state = gdb_set_state,
		.set_debug = gdb_set_debug,
		.hold = gdb_hold,
		.release = gdb_release,
		.take_stop = gdb_take_stop,
		.kill = gdb_kill,
	};
	vm->gdb = gdb_server_new(vm->config->gdb, vm->context, &vm->gdb_target, error);
	if (vm->gdb && vm->config->gdb_wait)
		gdb_hold(vm);
	return vm->gdb != NULL;
}

/* Loads the kernel and gives each vCPU the state it starts with. */
static bool load(struct vm *vm, GError **error)
{
	struct x86_state state;

	if (vm->machine->has_firmware)
		x86_state_reset(&state, true);
	else if (!boot_load(vm->machine, vm->config, &state, error))
		return false;
	vm->engine->set_state(vcpus_get(vm->vcpus, 0), &state);
	for (unsigned i = 1; i < vm->config->n_vcpus; i++) {
		if (vm->machine->has_firmware)
			x86_state_reset(&state, false);
		else
			boot_park(vm->machine, &state, false);
		vm->engine->set_state(vcpus_get(vm->vcpus, i), &state);
	}
	return true;
}

static void clear_deadline(struct vm *vm)
{
	if (!vm->deadline)
		return;
	g_source_destroy(vm->deadline);
	g_source_unref(vm->deadline);
	vm->deadline = NULL;
}

static bool open_streams(struct vm *vm, const struct vm_console *console, GError **error)
{
	const struct vm_config *config = vm->config;

	vm->hvc_fd = -1;
	vm->serial = serial_open("--serial", &config->serial, console, vm->context, on_escape, vm, &vm->serial_fd, error);
	if (!vm->serial || config->hvc.kind == VM_SERIAL_DEFAULT)
		return vm->serial != NULL;
	vm->hvc = serial_open("--hvc", &config->hvc, console, vm->context, on_escape, vm, &vm->hvc_fd, error);
	return vm->hvc != NULL;
}

struct device *vm_balloon(const struct vm *vm)
{
	return machine_find(vm->machine, &virtio_balloon_class);
}

void vm_resize_console(struct vm *vm, uint16_t columns, uint16_t rows)
{
	if (vm->hvc)
		stream_host_resize(vm->hvc, columns, rows);
}

struct vm *vm_new(const struct vm_config *config, const struct vm_console *console,
		  GMainContext *context, GError **error)
{
	const struct engine *engine = find_engine(config);

	if (!check(config, engine, error))
		return NULL;

	struct vm *vm = g_new0(struct vm, 1);

	vm->config = config;
	g_mutex_init(&vm->ram_gate);
	vm->engine = engine;
	vm->context = g_main_context_ref(context);
	vm->start_us = g_get_monotonic_time();
	attach_clock(vm);
	if (open_streams(vm, console, error) && listing_open(&vm->listing, config, error) && build_machine(vm, error) &&
	    create_vcpus(vm, error) && load(vm, error) &&
	    listen_for_viewers(vm, error) && listen_for_gdb(vm, error))
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
	gdb_server_free(vm->gdb);
	vnc_free(vm->vnc);
	if (vm->vnc && address_path(vm->config->vnc))
		unlink(address_path(vm->config->vnc));
	vcpus_free(vm->vcpus);
	listing_close(&vm->listing);
	machine_free(vm->machine);
	hardware_close(&vm->hardware);
	stream_free(vm->serial);
	if (vm->serial_fd >= 0)
		close(vm->serial_fd);
	stream_free(vm->hvc);
	if (vm->hvc_fd >= 0)
		close(vm->hvc_fd);
	clear_deadline(vm);
	g_source_destroy(vm->clock_source);
	g_source_unref(vm->clock_source);
	clock_free(vm->clock);
	g_main_context_unref(vm->context);
	g_free(vm->reason);
	g_mutex_clear(&vm->ram_gate);
	g_free(vm);
}

/* What gdb is told, as of a process: an exit status, or the signal that ended it. */
static const char *gdb_end_reply(enum vm_result result)
{
	switch (result) {
	case VM_CRASH:
		return "X0b"; /* SIGSEGV */
	case VM_STOPPED:
		return "X0f"; /* SIGTERM */
	case VM_FAILED:
		return "X06"; /* SIGABRT */
	default:
		return "W00";
	}
}

enum vm_result vm_run(struct vm *vm)
{
	int64_t start_us = g_get_monotonic_time();

	vm->in_run = true;
	move_clock(vm);
	vcpus_start(vm->vcpus);
	while (atomic_load(&vm->result) == VM_RUNNING) {
		g_main_context_iteration(vm->context, TRUE);
		if (vm->gdb)
			gdb_server_poll(vm->gdb);
	}
	vcpus_join(vm->vcpus);
	vm->in_run = false;
	move_clock(vm);
	if (vm->gdb)
		gdb_server_end(vm->gdb, gdb_end_reply(atomic_load(&vm->result)));
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

void vm_pause(struct vm *vm)
{
	vm->paused = true;
	vcpus_pause(vm->vcpus);
	move_clock(vm);
}

void vm_resume(struct vm *vm)
{
	vm->paused = false;
	move_clock(vm);
	vcpus_resume(vm->vcpus);
}

bool vm_press_power_button(struct vm *vm)
{
	return bus_press_power_button(vm->machine->env.bus);
}

static gboolean on_deadline(gpointer vm)
{
	vm_stop(vm, VM_ENDED);
	return G_SOURCE_CONTINUE;
}

void vm_end_after(struct vm *vm, unsigned seconds)
{
	clear_deadline(vm);
	vm->deadline = g_timeout_source_new(seconds * 1000);
	g_source_set_callback(vm->deadline, on_deadline, vm, NULL);
	g_source_attach(vm->deadline, vm->context);
}

bool vm_set_medium(struct vm *vm, const char *drive, const char *path, GError **error)
{
	struct vm_disk disk = {.path = (char *)path, .read_only = g_str_has_prefix(drive, "cd")};
	struct block *medium = NULL;
	bool paused = vm->paused;

	if (!machine_check_drive(vm->machine, drive, error))
		return false;
	if (path && !(medium = hardware_open_disk(&vm->hardware, &disk, drive, error)))
		return false;
	vm_pause(vm);
	hardware_close_disk(&vm->hardware, machine_set_medium(vm->machine, drive, medium));
	if (!paused)
		vm_resume(vm);
	return true;
}

const GPtrArray *vm_disks(const struct vm *vm)
{
	return vm->hardware.blocks;
}

void vm_get_status(const struct vm *vm, struct vm_status *status)
{
	*status = (struct vm_status){
		.config = vm->config,
		.engine = vm->engine,
		.board = vm->machine->board->name,
		.state = vm->paused ? VM_STATE_PAUSED
			 : vm->held ? VM_STATE_DEBUGGED
				    : VM_STATE_RUNNING,
		.uptime_ns = (g_get_monotonic_time() - vm->start_us) * 1000,
		.virtual_ns = clock_now_ns(vm->clock),
	};
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
	vcpus_stats(vm->vcpus, &stats->engine, &stats->cpu_ns);
}

void vm_report(const struct vm *vm, GString *out)
{
	vcpus_report(vm->vcpus, out);
}

bool vm_list_regions(struct vm *vm, GError **error)
{
	if (vm->listing.regions)
		vcpus_list(vm->vcpus, vm->listing.regions);
	return listing_finish(&vm->listing, vm->config, error);
}

struct display *vm_display(const struct vm *vm)
{
	return vm->hardware.display;
}

struct input *vm_input(const struct vm *vm)
{
	return vm->hardware.input;
}

struct nets *vm_nets(const struct vm *vm)
{
	return vm->hardware.nets;
}

struct typist *vm_typist(const struct vm *vm)
{
	return vm->hardware.typist;
}
