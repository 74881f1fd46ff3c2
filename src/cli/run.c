/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viv run: a VM in the foreground, its first serial port on the terminal.
 *
 * Everything that can be wrong with what the user said is found before the terminal is made
 * raw; from then on every way out, crashes included, gives it back.
 */
#include <glib-unix.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "block/image.h"
#include "cli/detach.h"
#include "cli/stored.h"
#include "cli/sub.h"
#include "cli/verb.h"
#include "store/recipe.h"
#include "stream/terminal.h"
#include "vm/control/server.h"
#include "vm/runtime_dir.h"
#include "vm/vm.h"

#define ESCAPE_CTRL_BRACKET 0x1d

struct run_options {
	bool help, stats, detach;
	bool reboot, no_reboot; /* neither: as suits the guest */
	bool remove;		/* the VM of the store, when it has ended */
};

struct run {
	struct vm_name name;
	struct vm *vm;
	struct control_server *control;
	enum vm_result result;
	int signal; /* the one that ended the run, or 0 */
	/* What outlives the VM, whose end writes out what the guest has printed. */
	char *reason;
	GString *report;
	struct vm_stats stats;
};

static bool set_help(void *target, const char *value, GError **error)
{
	return ((struct run_options *)target)->help = true;
}

static bool set_reboot(void *target, const char *value, GError **error)
{
	return ((struct run_options *)target)->reboot = true;
}

static bool set_no_reboot(void *target, const char *value, GError **error)
{
	return ((struct run_options *)target)->no_reboot = true;
}

static bool set_stats(void *target, const char *value, GError **error)
{
	return ((struct run_options *)target)->stats = true;
}

static bool set_detach(void *target, const char *value, GError **error)
{
	return ((struct run_options *)target)->detach = true;
}

static bool set_remove(void *target, const char *value, GError **error)
{
	return ((struct run_options *)target)->remove = true;
}

static const struct option_row run_rows[] = {
	{"detach", 0, NULL, "run in the background, and print the VM's name", set_detach},
	{"reboot", 0, NULL,
	 "start again when the guest resets, instead of ending;\nwith firmware that goes without saying",
	 set_reboot},
	{"no-reboot", 0, NULL, "end when the guest resets, with firmware, too", set_no_reboot},
	{"rm", 0, NULL, "with IMAGE: remove the VM and its disk when it ends", set_remove},
	{"stats", 0, NULL, "at the end, tell what the engine did (standard error)", set_stats},
	{"help", 'h', NULL, "this page", set_help},
};

/* Of what is said with an image, those that are not for the `viv run` that it becomes. */
static const char *const image_only[] = {"rm", "detach", "help", NULL};

static const char help_head[] =
	"Usage: viv run IMAGE [OPTIONS]\n"
	"       viv run --kernel FILE [OPTIONS]\n"
	"\n"
	"Runs a PC made of software: its own x86-64 processor, chipset and virtio devices. No root\n"
	"and no /dev/kvm is needed. The first serial port is the terminal; Ctrl-] leaves, which is\n"
	"like pulling the plug. `viv ls` lists running VMs, and `viv help` the verbs that ask\n"
	"something of them.\n"
	"\n"
	"IMAGE, as in `viv run debian`, becomes a VM of that name, or of --name's, whose disk stays:\n"
	"the next time it is started as it was left. Options of the first time are kept with it. An\n"
	"image that is missing is built, if there is a recipe of that name.\n"
	"\n"
	"Options:\n";

static const char help_tail[] =
	"\n"
	"Examples:\n"
	"  viv run debian\n"
	"  viv run debian --name web --type small -p 8080:80\n"
	"  viv run --kernel vmlinuz --initrd initrd.gz\n"
	"  viv run --kernel vmlinuz -m 2G --disk root.raw --append 'console=ttyS0 root=/dev/vda1'\n"
	"  viv run --kernel vmlinuz --initrd test.gz </dev/null >log; echo $?\n"
	"\n"
	"Exit status:\n"
	"  0    the guest switched itself off, or Ctrl-] was typed\n"
	"  1    the host refused something\n"
	"  2    an option, or a file it names, is wrong; nothing was started\n"
	"  3    the guest asked for a reset (without firmware, or with --no-reboot)\n"
	"  4    the guest crashed: triple fault\n"
	"  128+N  ended by signal N (SIGHUP, SIGINT, SIGTERM)\n";

static void print_help(const struct option_group *groups, size_t n_groups)
{
	g_autoptr(GString) text = g_string_new(help_head);

	for (size_t i = 0; i < n_groups; i++)
		option_append_help(text, &groups[i]);
	g_string_append(text, help_tail);
	fputs(text->str, stdout);
}

static void print_models(void)
{
	g_autoptr(GString) text = g_string_new(NULL);

	x86_model_append_help(text);
	fputs(text->str, stdout);
}

static void print_events(void)
{
	g_autoptr(GString) text = g_string_new(NULL);

	trace_append_help(text);
	fputs(text->str, stdout);
}

static void on_crash(int number)
{
	terminal_restore();
	signal(number, SIG_DFL);
	raise(number); /* delivered when the handler returns */
}

/* Before the engine installs its own handlers, which pass on to these what is not theirs. */
static void install_crash_handlers(void)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT};
	struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};

	for (size_t i = 0; i < G_N_ELEMENTS(crashes); i++)
		sigaction(crashes[i], &action, NULL);
	/* A reader of our output that goes away ends output and nothing else. */
	signal(SIGPIPE, SIG_IGN);
}

static gboolean take_signal(struct run *run, int number)
{
	run->signal = number;
	vm_stop(run->vm, VM_STOPPED);
	return G_SOURCE_CONTINUE;
}

static gboolean on_sighup(gpointer run)
{
	return take_signal(run, SIGHUP);
}

static gboolean on_sigint(gpointer run)
{
	return take_signal(run, SIGINT);
}

/* The guest's console has the size of the terminal that it is on. */
static gboolean on_sigwinch(gpointer run)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		vm_resize_console(((struct run *)run)->vm, size.ws_col, size.ws_row);
	return G_SOURCE_CONTINUE;
}

static gboolean on_sigterm(gpointer run)
{
	return take_signal(run, SIGTERM);
}

static void print_stats(const struct vm_stats *s, const char *report)
{
	const struct engine_stats *e = &s->engine;

	fprintf(stderr,
		"viv: %" PRIu64
		" instructions in %.3f s of CPU time: %.1f MIPS; %.3f s of wall time\n",
		e->instructions, s->cpu_ns / 1e9,
		s->cpu_ns ? e->instructions * 1e3 / s->cpu_ns : 0.0, s->wall_ns / 1e9);
	fprintf(stderr,
		"viv: %" PRIu64 " decoded, %" PRIu64 " TLB misses, %" PRIu64 " interrupts, %" PRIu64
		" exceptions, %" PRIu64 " code writes, %" PRIu64 " console bytes dropped\n",
		e->decoded, e->tlb_misses, e->interrupts, e->exceptions, e->code_writes,
		s->console_dropped);
	fputs(report, stderr);
}

/* Says why the run ended, where the guest's own output does not, and gives the exit status. */
static int conclude(const struct run *run)
{
	switch (run->result) {
	case VM_RUNNING:
	case VM_RESTART:
	case VM_POWEROFF:
		return EXIT_STATUS_OK;
	case VM_LEFT:
		fprintf(stderr, "\nviv: left the guest by Ctrl-]\n");
		return EXIT_STATUS_OK;
	case VM_KILLED:
		fprintf(stderr, "viv: killed by gdb\n");
		return EXIT_STATUS_OK;
	case VM_ENDED:
		fprintf(stderr, "viv: killed by its control socket\n");
		return EXIT_STATUS_OK;
	case VM_RESET:
		fprintf(stderr, "viv: the guest asked for a reset; --reboot starts it again\n");
		return EXIT_STATUS_RESET;
	case VM_CRASH:
		fprintf(stderr, "viv: the guest crashed: %s\n", run->reason);
		return EXIT_STATUS_CRASH;
	case VM_STOPPED:
		fprintf(stderr, "viv: ended by signal %d (%s)\n", run->signal,
			strsignal(run->signal));
		return EXIT_STATUS_SIGNAL + run->signal;
	case VM_FAILED:
		fprintf(stderr, "viv: the engine cannot go on: %s\n", run->reason);
		return EXIT_STATUS_HOST;
	}
	g_assert_not_reached();
}

/* A PC that firmware has started resets itself also by a triple fault, which is a crash elsewhere. */
static bool starts_again(enum vm_result result, const struct vm_config *config, const struct run_options *options)
{
	bool firmware = vm_config_has_firmware(config);
	bool reboot = options->reboot || (firmware && !options->no_reboot);

	return result == VM_RESTART || (result == VM_RESET && reboot) ||
	       (result == VM_CRASH && firmware && reboot);
}

/* Runs the guest to its end, through resets where they are wanted. */
static bool run_guest(struct run *run, const struct vm_config *config, const struct run_options *options,
		      GError **error)
{
	g_unix_signal_add(SIGHUP, on_sighup, run);
	g_unix_signal_add(SIGINT, on_sigint, run);
	g_unix_signal_add(SIGTERM, on_sigterm, run);
	g_unix_signal_add(SIGWINCH, on_sigwinch, run);
	on_sigwinch(run);
	if ((config->serial.kind == VM_SERIAL_STDIO || config->hvc.kind == VM_SERIAL_STDIO) &&
	    !terminal_raw(STDIN_FILENO, error))
		return false;
	for (;;) {
		run->result = vm_run(run->vm);
		if (!starts_again(run->result, config, options))
			return true;
		if (!vm_reset(run->vm, error))
			return false;
	}
}

/* Everything that can be wrong with what the user said. */
static bool open_run(struct run *run, struct vm_config *config, GError **error)
{
	struct vm_console console = {
		.in_fd = STDIN_FILENO,
		.out_fd = STDOUT_FILENO,
		.escape = isatty(STDIN_FILENO) ? ESCAPE_CTRL_BRACKET : -1,
	};
	GMainContext *context = g_main_context_default();

	if (!config->name)
		config->name = g_strdup_printf("vm-%ld", (long)getpid());
	if (!vm_name_claim(&run->name, config->name, error))
		return false;
	if (config->has_vnc && !config->vnc)
		config->vnc = g_strconcat("unix:", run->name.screen, NULL);
	if (config->agent && !vm_config_add_port(config, VM_AGENT_PORT, run->name.agent, error)) {
		g_prefix_error(error, "--agent: ");
		return false;
	}
	if (config->cid && !config->vsock)
		config->vsock = g_strdup(run->name.vsock);
	run->vm = vm_new(config, &console, context, error);
	if (!run->vm)
		return false;
	run->control = control_server_new(run->name.socket, context, run->vm, error);
	return run->control != NULL;
}

/* Whoever sees a connection closed finds disks closed and the name free. */
static void close_run(struct run *run)
{
	vm_free(run->vm);
	vm_name_release(&run->name);
	control_server_free(run->control);
}

/* It boots nothing so, and the first write to it is the end of what it was. */
static void warn_of_disks(const struct vm_config *config)
{
	for (unsigned i = 0; i < config->n_disks; i++) {
		const struct vm_disk *disk = &config->disks[i];
		const char *suspect =
			disk->path && !disk->format ? image_suspect_format(disk->path) : NULL;

		if (suspect)
			fprintf(stderr,
				"viv: disk '%s' is taken for raw, but looks like %s; say what it is by "
				",format=%s or ,format=raw\n",
				disk->path, suspect, suspect);
	}
}

/* `ready_fd`: the one of detach_fork(), or -1. */
static int run_config(struct vm_config *config, const struct run_options *options, int ready_fd)
{
	GError *error = NULL;
	struct run run = {0};
	int status;

	config->sample = options->stats;
	install_crash_handlers();
	warn_of_disks(config);
	if (!open_run(&run, config, &error)) {
		close_run(&run);
		status = report_error(error);
		if (ready_fd >= 0)
			detach_fail(ready_fd, status);
		return status;
	}
	if (ready_fd >= 0)
		detach_ready(ready_fd, config->name);
	run_guest(&run, config, options, &error);
	run.reason = g_strdup(vm_reason(run.vm));
	vm_get_stats(run.vm, &run.stats);
	run.report = g_string_new(NULL);
	vm_report(run.vm, run.report);
	if (!error)
		vm_list_regions(run.vm, &error);
	close_run(&run);
	terminal_restore();
	if (options->stats)
		print_stats(&run.stats, run.report->str);
	status = error ? report_error(error) : conclude(&run);
	g_free(run.reason);
	g_string_free(run.report, TRUE);
	return status;
}

/* Chooses where the serial port goes, and where the VM runs. */
static int start(struct vm_config *config, const struct run_options *options)
{
	GError *error = NULL;
	int ready_fd = -1, status;

	bool hvc = config->hvc.kind == VM_SERIAL_STDIO;

	if (!vm_config_complete(config, &error))
		return report_error(error);
	if (options->detach && (config->serial.kind == VM_SERIAL_STDIO || hvc))
		return report_error(g_error_new(
			VIV_ERROR, VIV_ERROR_INPUT,
			"--detach: nobody is at standard input; give --%s unix:PATH, file:PATH "
			"or none", hvc ? "hvc" : "serial"));
	if (hvc && config->serial.kind == VM_SERIAL_STDIO)
		return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
						"--hvc: standard input is the serial port's; add --serial none"));
	if (config->serial.kind == VM_SERIAL_DEFAULT)
		config->serial.kind = options->detach || hvc ? VM_SERIAL_NONE : VM_SERIAL_STDIO;
	if (options->detach && !detach_fork(&ready_fd, &status, &error))
		return error ? report_error(error) : status;
	return run_config(config, options, ready_fd);
}

static int run_main(int argc, char **argv);

struct image_run {
	const char *image;
	struct vm_config *config;
	const struct run_options *options;
	struct stored_options *stored;
	const struct option_group *groups; /* run_rows, those of vm_config, stored_rows */
	int argc;
	char **argv;
};
#define N_GROUPS 3

/* What the user says of a VM that is there, which is for this time. */
static bool open_stored(const struct image_run *run, const struct store *store, const char *name, struct vm_def *vm,
			GPtrArray *said, GError **error)
{
	static const char *const not_said[] = {"name", "uuid", NULL};
	const struct option_group groups[N_GROUPS] = {run->groups[1], run->groups[0], run->groups[2]};
	const char *new_only = stored_options_any(run->stored);

	if (!vms_find(store, name, vm, error))
		return false;
	option_select(groups, N_GROUPS, run->argc, run->argv, not_said, said);
	if (new_only)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "%s: VM '%s' is there already; give another --name, or remove it: viv rm %s", new_only, name,
			    name);
	else if (strcmp(run->image, name) && !g_str_has_prefix(run->image, vm->image))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "VM '%s' is there already, and made of image '%s'; give another --name", name, vm->image);
	else
		return true;
	vm_def_clear(vm);
	return false;
}

static bool make_stored(const struct image_run *run, const struct store *store, const char *name, struct vm_def *vm,
			GError **error)
{
	const struct option_group groups[N_GROUPS] = {run->groups[1], run->groups[0], run->groups[2]};

	run->stored->image = g_strdup(run->image);
	if (!images_has(store, run->image) && !recipe_exists(store, run->image)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "there is no image, recipe or VM '%s'; viv image ls lists images, and viv run --help says how a "
			    "kernel or a disk is run",
			    run->image);
		return false;
	}
	return stored_create(store, name, run->stored, groups, N_GROUPS, run->argc, run->argv, vm, error);
}

static GPtrArray *image_command(const struct image_run *run, const struct store *store, const char *name, GError **error)
{
	g_autoptr(GPtrArray) said = g_ptr_array_new_with_free_func(g_free);
	GPtrArray *command;
	struct vm_def vm;

	if (vms_has(store, name) ? !open_stored(run, store, name, &vm, said, error)
				 : !make_stored(run, store, name, &vm, error))
		return NULL;
	command = stored_command(store, &vm, said, run->options->detach, error);
	if (command) {
		option_select(run->groups, N_GROUPS, run->argc, run->argv, image_only, command);
		stored_tell(&vm, run->options->detach);
	}
	vm_def_clear(&vm);
	return command;
}

static int remove_stored(const struct store *store, const char *name, int status)
{
	GError *error = NULL;
	struct vm_def vm;

	if (vms_find(store, name, &vm, &error)) {
		vms_remove(store, &vm, &error);
		vm_def_clear(&vm);
	}
	return error ? report_error(error) : status;
}

static int run_command(GPtrArray *command)
{
	unsigned n = command->len;

	g_ptr_array_add(command, NULL);
	return run_main(n, (char **)command->pdata);
}

static int run_image(const struct image_run *run)
{
	g_autofree char *name = run->config->name ? g_strdup(run->config->name) : g_strdup(run->image);
	g_autoptr(GPtrArray) command = NULL;
	GError *error = NULL;
	struct store *store = NULL;
	int status = EXIT_STATUS_USAGE;

	if (!run->config->name)
		name[strcspn(name, ":")] = '\0';
	if (run->options->remove && run->options->detach)
		error = g_error_new(VIV_ERROR, VIV_ERROR_INPUT, "--rm: with --detach nobody is there at its end; use viv rm");
	else if (sub_check_stopped(name, &error))
		store = store_open(&error);
	command = store ? image_command(run, store, name, &error) : NULL;
	if (command)
		status = run_command(command);
	if (command && run->options->remove)
		status = remove_stored(store, name, status);
	store_close(store);
	return error ? report_error(error) : status;
}

static int run_words(const struct image_run *run, const GPtrArray *words)
{
	const char *stray = stored_options_any(run->stored);

	if (words->len > 1)
		return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
						"'%s' is one word too many; write viv run IMAGE", (char *)words->pdata[1]));
	if (words->len)
		return run_image(run);
	if (stray || run->options->remove)
		return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
						"%s is for a VM of an image; write viv run IMAGE", stray ? stray : "--rm"));
	return start(run->config, run->options);
}

static int run_main(int argc, char **argv)
{
	struct vm_config config;
	struct run_options options = {0};
	struct stored_options stored = {0};
	const struct option_group groups[N_GROUPS] = {
		{run_rows, G_N_ELEMENTS(run_rows), &options},
		{vm_config_options, vm_config_n_options, &config},
		{stored_rows, stored_n_rows, &stored},
	};
	struct image_run run = {NULL, &config, &options, &stored, groups, argc, argv};
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	GError *error = NULL;
	int status = EXIT_STATUS_OK;

	vm_config_init(&config);
	if (!option_parse_words(groups, N_GROUPS, argc, argv, "viv run --help", words, &error)) {
		status = report_error(error);
	} else if (options.help) {
		print_help(groups, N_GROUPS);
	} else if (config.cpu_help) {
		print_models();
	} else if (config.trace_help) {
		print_events();
	} else {
		run.image = words->len ? words->pdata[0] : NULL;
		status = run_words(&run, words);
	}
	vm_config_fini(&config);
	stored_options_clear(&stored);
	return status;
}

const struct verb verb_run = {"run", "run a PC here: an image, a disk, or a Linux kernel", run_main};
