/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv create, start, clone, inspect and rm: VMs that stay when they do not run. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/remote.h"
#include "cli/stored.h"
#include "cli/sub.h"
#include "cli/verb.h"

static const char create_head[] =
	"Usage: viv create NAME --image IMAGE [OPTIONS]\n"
	"\n"
	"Makes a VM of an image: its disk holds only what it will change, and MAC address, UUID,\n"
	"host's name, machine-id and ssh host keys are its own. `viv start` starts it. Options of\n"
	"`viv run` are kept with it, like -p 8080:80.\n"
	"\n"
	"Options:\n";

struct create_options {
	bool help, json;
};

static bool set_help(void *target, const char *value, GError **error)
{
	return ((struct create_options *)target)->help = true;
}

static bool set_json(void *target, const char *value, GError **error)
{
	return ((struct create_options *)target)->json = true;
}

static const struct option_row own_rows[] = {
	{"json", 0, NULL, "JSON, for programs", set_json},
	{"help", 'h', NULL, "this page", set_help},
};

static void print_help(const struct option_group *groups)
{
	g_autoptr(GString) text = g_string_new(create_head);

	for (unsigned i = 1; i < 4; i++)
		option_append_help(text, &groups[i]);
	g_string_append(text, "\nOptions that are kept for `viv run`:\n");
	option_append_help(text, &groups[0]);
	fputs(text->str, stdout);
}

/* Takes it. */
static void print_vm(struct vm_def *vm, bool json)
{
	if (json)
		sub_print_json(vm_def_json(vm));
	else
		puts(vm->name);
	vm_def_clear(vm);
}

static int create_with(const char *name, const struct stored_options *stored,
		       const struct option_group *groups, unsigned n_groups, int argc, char **argv, bool json)
{
	GError *error = NULL;
	struct store *store = store_open(&error);
	struct vm_def vm;
	bool done = false;

	if (store && !stored->image)
		error = g_error_new(
			VIV_ERROR, VIV_ERROR_INPUT,
			"--image is missing; write viv create %s --image IMAGE: viv image ls lists images",
			name);
	else if (store)
		done = stored_create(store, name, stored, groups, n_groups, argc, argv, &vm, &error);
	store_close(store);
	if (!done)
		return report_error(error);
	print_vm(&vm, json);
	return EXIT_STATUS_OK;
}

static int create_main(int argc, char **argv)
{
	struct vm_config config;
	struct stored_options stored = {0};
	struct create_options options = {0};
	const struct option_group groups[] = {
		{vm_config_options, vm_config_n_options, &config},
		{&stored_image_row, 1, &stored},
		{stored_rows, stored_n_rows, &stored},
		{own_rows, G_N_ELEMENTS(own_rows), &options},
	};
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	GError *error = NULL;
	int status;

	vm_config_init(&config);
	if (!option_parse_words(groups, G_N_ELEMENTS(groups), argc, argv, "viv create --help", words,
				&error)) {
		status = report_error(error);
	} else if (options.help) {
		print_help(groups);
		status = EXIT_STATUS_OK;
	} else if (words->len != 1) {
		status = report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
						  "one name is wanted; write viv create NAME --image IMAGE"));
	} else {
		status = create_with(words->pdata[0], &stored, groups, G_N_ELEMENTS(groups), argc, argv,
				     options.json);
	}
	vm_config_fini(&config);
	stored_options_clear(&stored);
	return status;
}

struct flags {
	bool json, attach;
};

static bool set_flag_json(void *target, const char *value, GError **error)
{
	return ((struct flags *)target)->json = true;
}

static bool set_attach(void *target, const char *value, GError **error)
{
	return ((struct flags *)target)->attach = true;
}

static const struct option_row json_rows[] = {{"json", 0, NULL, "JSON, for programs", set_flag_json}};
static const struct option_row start_rows[] = {
	{"attach", 0, NULL, "here, with its console in this terminal", set_attach},
};

static const struct usage start_usage = {
	.words = "NAME",
	.min_words = 1,
	.max_words = 1,
	.text = "Starts a VM that viv create, viv clone or viv run IMAGE made; in the background, unless\n"
		"told otherwise.\n",
	.rows = start_rows,
	.n_rows = G_N_ELEMENTS(start_rows),
};

static int start_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	g_autoptr(GPtrArray) command = NULL;
	struct flags flags = {0};
	GError *error = NULL;
	struct store *store;
	struct vm_def vm;
	int status;

	if (!usage_parse(&start_usage, argc, argv, &flags, words, &status))
		return status;
	store = store_open(&error);
	if (store && sub_check_stopped(words[0], &error) && vms_find(store, words[0], &vm, &error)) {
		command = stored_command(store, &vm, NULL, !flags.attach, &error);
		if (command)
			stored_tell(&vm, !flags.attach);
		vm_def_clear(&vm);
	}
	store_close(store);
	if (!command)
		return report_error(error);
	g_ptr_array_add(command, NULL);
	return verb_run.run(command->len - 1, (char **)command->pdata);
}

static const struct usage clone_usage = {
	.words = "VM NEW",
	.min_words = 2,
	.max_words = 2,
	.text = "Makes another machine with a copy of a stopped VM's disk, and an identity of its own.\n"
		"VMs of an image need no clone: viv create NEW --image IMAGE.\n",
	.rows = json_rows,
	.n_rows = G_N_ELEMENTS(json_rows),
};

static int clone_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct flags flags = {0};
	GError *error = NULL;
	struct store *store;
	struct vm_def from, vm;
	bool done = false;
	int status;

	if (!usage_parse(&clone_usage, argc, argv, &flags, words, &status))
		return status;
	store = store_open(&error);
	if (store && sub_check_stopped(words[0], &error) && vms_find(store, words[0], &from, &error)) {
		done = vms_clone(store, &from, words[1], &vm, &error);
		vm_def_clear(&from);
	}
	store_close(store);
	if (!done)
		return report_error(error);
	print_vm(&vm, flags.json);
	return EXIT_STATUS_OK;
}

static const struct usage inspect_usage = {
	.words = "NAME",
	.min_words = 1,
	.max_words = 1,
	.text = "Tells what a VM of the store is, running or not: its console's password, too.\n",
	.rows = json_rows,
	.n_rows = G_N_ELEMENTS(json_rows),
};

static int inspect_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct flags flags = {0};
	GError *error = NULL;
	struct store *store;
	struct vm_def vm;
	bool found;
	int status;

	if (!usage_parse(&inspect_usage, argc, argv, &flags, words, &status))
		return status;
	store = store_open(&error);
	found = store && vms_find(store, words[0], &vm, &error);
	store_close(store);
	if (!found)
		return report_error(error);
	if (flags.json)
		sub_print_json(vm_def_json(&vm));
	else
		sub_print_members(vm_def_json(&vm));
	vm_def_clear(&vm);
	return EXIT_STATUS_OK;
}

static const struct usage rm_usage = {
	.words = "NAME",
	.min_words = 1,
	.max_words = 1,
	.text = "Removes a stopped VM, its disk and all that is on it.\n",
};

static int rm_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	GError *error = NULL;
	struct store *store;
	struct vm_def vm;
	bool done = false;
	int status;

	if (!usage_parse(&rm_usage, argc, argv, NULL, words, &status))
		return status;
	store = store_open(&error);
	if (store && sub_check_stopped(words[0], &error) && vms_find(store, words[0], &vm, &error)) {
		done = vms_remove(store, &vm, &error);
		vm_def_clear(&vm);
	}
	store_close(store);
	return done ? EXIT_STATUS_OK : report_error(error);
}

const struct verb verb_create = {"create", "make a VM of an image", create_main};
const struct verb verb_start = {"start", "start a VM that was made", start_main};
const struct verb verb_clone = {"clone", "make another machine with a copy of a VM's disk", clone_main};
const struct verb verb_inspect = {"inspect", "tell what a VM is", inspect_main};
const struct verb verb_rm = {"rm", "remove a VM and its disk", rm_main};
