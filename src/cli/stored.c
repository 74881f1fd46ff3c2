/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/stored.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/sub.h"
#include "store/build.h"
#include "store/seed.h"
#include "store/types.h"
#include "vm/runtime_dir.h"

/* A VM's own; each start says them anew. */
static const char *const not_kept[] = {"name", "uuid", NULL};

#define TEXT(member)                                                              \
	static bool set_##member(void *target, const char *value, GError **error) \
	{                                                                         \
		struct stored_options *options = target;                          \
                                                                                  \
		g_free(options->member);                                          \
		options->member = g_strdup(value);                                \
		return true;                                                      \
	}
TEXT(image)
TEXT(type)
TEXT(user_data)
TEXT(ssh_key)

static bool set_host(void *target, const char *value, GError **error)
{
	struct stored_options *options = target;
	g_autofree char *host = store_host_name(value);

	/* RFC 1123: labels of letters, digits and dashes. */
	if (!*value || strlen(value) > 63 || g_ascii_strcasecmp(host, value) || value[0] == '-') {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is no host's name; write up to 63 letters, digits and dashes", value);
		return false;
	}
	g_free(options->host);
	options->host = g_steal_pointer(&host);
	return true;
}

static bool set_size(void *target, const char *value, GError **error)
{
	struct stored_options *options = target;

	if (!size_parse(value, 20, &options->size) || !options->size || options->size % 512) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is not a size; write it like 20G",
			    value);
		return false;
	}
	return true;
}

const struct option_row stored_rows[] = {
	{"type", 0, "TYPE", "how large it is: `viv type ls` lists types", set_type},
	{"disk-size", 0, "SIZE", "of its disk, like 20G; without it: as the type or the image\nhas",
	 set_size},
	{"ssh-key", 0, "FILE", "public key that may enter; without it: one that\n`viv ssh` has", set_ssh_key},
	{"user-data", 0, "FILE", "what its cloud-init shall do", set_user_data},
	{"hostname", 0, "NAME", "what it calls itself; without it: as the VM is called", set_host},
};
const size_t stored_n_rows = G_N_ELEMENTS(stored_rows);
const struct option_row stored_image_row = {"image", 0, "IMAGE",
					    "what it is made of: `viv image ls` lists images", set_image};

void stored_options_clear(struct stored_options *options)
{
	g_free(options->image);
	g_free(options->type);
	g_free(options->user_data);
	g_free(options->ssh_key);
	g_free(options->host);
}

const char *stored_options_any(const struct stored_options *options)
{
	return options->type	    ? "--type"
	       : options->size	    ? "--disk-size"
	       : options->ssh_key   ? "--ssh-key"
	       : options->user_data ? "--user-data"
	       : options->host	    ? "--hostname"
				    : NULL;
}

static bool build_if_missing(const struct store *store, const char *ref, GError **error)
{
	g_autofree char *what = g_strdup_printf("building image %s", ref);
	struct image_ref image;
	struct steps steps;
	bool done;

	if (images_has(store, ref) || !recipe_exists(store, ref))
		return true;
	fprintf(stderr, "viv: there is no image '%s' yet: building it, which takes some minutes\n", ref);
	steps_begin(&steps, what, false);
	done = build_image(store, ref, &steps, &image, error);
	steps_end(&steps);
	if (done)
		image_ref_clear(&image);
	return done;
}

/* One key a line, as ssh-keygen writes them: what a seed disk is to quote. */
static bool add_keys(struct vm_def *vm, const char *path, GError **error)
{
	g_autofree char *text = store_read(path, 64 << 10, NULL, error);
	g_auto(GStrv) lines = text ? g_strsplit(text, "\n", 0) : NULL;

	for (unsigned i = 0; lines && lines[i]; i++) {
		g_strstrip(lines[i]);
		if (!*lines[i] || lines[i][0] == '#')
			continue;
		if (strstr(lines[i], "PRIVATE KEY") || !strchr(lines[i], ' ') ||
		    !g_utf8_validate(lines[i], -1, NULL)) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
				    "--ssh-key: '%s' is no public key; name the file that ends in .pub",
				    path);
			return false;
		}
		g_ptr_array_add(vm->keys, g_strdup(lines[i]));
	}
	if (!text)
		g_prefix_error(error, "--ssh-key: ");
	else if (!vm->keys->len)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "--ssh-key: there is no key in '%s'", path);
	return vm->keys->len;
}

static bool choose_keys(const struct store *store, struct vm_def *vm, const char *path, GError **error)
{
	g_autofree char *public = NULL, *private = NULL;

	if (!path) {
		vm->identity = vms_ssh_key(store, &public, error);
		if (vm->identity)
			g_ptr_array_add(vm->keys, g_steal_pointer(&public));
		return vm->identity;
	}
	if (g_str_has_suffix(path, ".pub")) {
		g_autofree char *base = g_strndup(path, strlen(path) - strlen(".pub"));

		private = g_canonicalize_filename(base, NULL);
	}
	if (private && access(private, R_OK) == 0)
		vm->identity = g_steal_pointer(&private);
	return add_keys(vm, path, error);
}

static bool apply_type(const struct store *store, struct vm_def *vm, const char *name, uint64_t *size,
		       GError **error)
{
	g_autoptr(GPtrArray) types = NULL;
	const struct instance_type *type;

	if (!name)
		return true;
	types = types_load(store, error);
	type = types ? types_find(types, name, error) : NULL;
	if (!type) {
		g_prefix_error(error, "--type: ");
		return false;
	}
	vm->type = g_strdup(name);
	vm->memory = type->memory;
	vm->cpus = type->cpus;
	if (!*size)
		*size = type->disk;
	return true;
}

/* Whether the option is among them. */
static bool is_said(const GPtrArray *options, const char *name, const char *letter)
{
	for (unsigned i = 0; i < options->len; i++)
		if (g_str_has_prefix(options->pdata[i], name) ||
		    (letter && g_str_has_prefix(options->pdata[i], letter)))
			return true;
	return false;
}

/* Memory and processors that the user has said win over the type's. */
static void apply_config(struct vm_def *vm, const struct vm_config *said)
{
	if (is_said(vm->options, "--memory", "-m"))
		vm->memory = said->ram_size;
	if (is_said(vm->options, "--cpus", NULL))
		vm->cpus = said->n_vcpus;
}

bool stored_create(const struct store *store, const char *name, const struct stored_options *options,
		   const struct option_group *groups, size_t n_groups, int argc, char **argv,
		   struct vm_def *vm, GError **error)
{
	uint64_t size = options->size;
	bool done;

	vm_def_init(vm);
	vm->name = g_strdup(name);
	vm->host = g_strdup(options->host);
	vm->cwd = g_get_current_dir();
	option_select(groups, n_groups, argc, argv, not_kept, vm->options);
	done = apply_type(store, vm, options->type, &size, error) &&
	       build_if_missing(store, options->image, error) &&
	       choose_keys(store, vm, options->ssh_key, error);
	apply_config(vm, groups[0].target);
	done = done && vms_create(store, vm, options->image, size, options->user_data, error);
	if (!done)
		vm_def_clear(vm);
	return done;
}

G_GNUC_PRINTF(2, 3)
static void add(GPtrArray *argv, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(argv, g_strdup_vprintf(format, args));
	va_end(args);
}

static void add_disk(GPtrArray *argv, const struct vm_def *vm, const struct instance_type *type)
{
	g_autofree char *path = vm_def_path(vm, vm->disk);

	add(argv, "--disk=%s,format=qcow2", path);
	if (type && (type->iops || type->io)) {
		char **last = (char **)&argv->pdata[argv->len - 1];
		g_autofree char *iops =
			type->iops ? g_strdup_printf(",iops=%" PRIu64, type->iops) : g_strdup("");
		g_autofree char *io =
			type->io ? g_strdup_printf(",bps=%" PRIu64 "K", type->io >> 10) : g_strdup("");
		char *limited = g_strconcat(*last, iops, io, NULL);

		g_free(*last);
		*last = limited;
	}
}

static void add_net(GPtrArray *argv, const struct vm_def *vm, const struct instance_type *type)
{
	g_autofree char *rate = type && type->network
					? g_strdup_printf(",rate=%" PRIu64 "M", type->network / 1000000)
					: g_strdup("");

	add(argv, "--net=user,mac=%s,hostname=%s%s", vm->mac, vm->host, rate);
}

/* Folders whose tags are paths: what others are for is the guest's to say. */
static unsigned find_mounts(const struct vm_config *config, struct seed_mount mounts[VM_MAX_SHARES])
{
	static const char *const options[2][2] = {
		/* by FUSE, by 9P; read-only is the second */
		{"rw", "ro"},
		{"rw,trans=virtio,version=9p2000.L,msize=524288", "ro,trans=virtio,version=9p2000.L,msize=524288"}};
	unsigned n = 0;

	for (unsigned i = 0; i < config->n_shares; i++) {
		const struct vm_share *share = &config->shares[i];

		if (share->tag[0] == '/')
			mounts[n++] = (struct seed_mount){share->tag, share->by_9p ? "9p" : "virtiofs",
							  options[share->by_9p][share->read_only]};
	}
	return n;
}

static bool add_seed(GPtrArray *argv, const struct vm_def *vm, const struct vm_config *config, GError **error)
{
	g_autofree char *path = vm_def_path(vm, "seed.iso");
	struct seed_mount mounts[VM_MAX_SHARES];
	unsigned n = find_mounts(config, mounts);

	if (!vm->cloud_init)
		return true;
	add(argv, "--disk=%s,format=raw,ro", path);
	return seed_make(vm, mounts, n, path, error);
}

/* What the VM's own options and `more` say, for what is left to us. */
static bool parse_own(struct vm_config *config, const struct vm_def *vm, const GPtrArray *more,
		      GError **error)
{
	const struct option_group group = {vm_config_options, vm_config_n_options, config};
	g_autoptr(GPtrArray) argv = g_ptr_array_new(), words = g_ptr_array_new();

	g_ptr_array_add(argv, (char *)"run");
	for (unsigned i = 0; i < vm->options->len; i++)
		g_ptr_array_add(argv, vm->options->pdata[i]);
	for (unsigned i = 0; more && i < more->len; i++)
		g_ptr_array_add(argv, more->pdata[i]);
	vm_config_init(config);
	return option_parse_words(&group, 1, argv->len, (char **)argv->pdata, "viv run --help", words, error);
}

static bool has_user_net(const struct vm_config *config)
{
	for (unsigned i = 0; i < config->n_nics; i++)
		if (config->nics[i].net == VM_NET_USER)
			return true;
	return !config->n_nics;
}

static bool find_type(const struct store *store, const struct vm_def *vm, GPtrArray **types,
		      const struct instance_type **type, GError **error)
{
	*types = NULL;
	*type = NULL;
	if (!vm->type)
		return true;
	*types = types_load(store, error);
	*type = *types ? types_find(*types, vm->type, error) : NULL;
	return *type;
}

static bool add_words(GPtrArray *argv, const struct vm_def *vm, const struct instance_type *type,
		      const struct vm_config *config, bool detach, GError **error)
{
	g_autofree char *vars = vm_def_path(vm, "vars.fd");

	g_ptr_array_add(argv, g_strdup("run"));
	add(argv, "--name=%s", vm->name);
	add(argv, "--uuid=%s", vm->uuid);
	add(argv, "--memory=%" PRIu64 "K", vm->memory >> 10);
	add(argv, "--cpus=%" PRIu64, vm->cpus);
	/* Systems of images have an agent, and give memory back that they do not use. */
	add(argv, "--agent");
	add(argv, "--balloon");
	if (vm->uefi && !config->firmware)
		add(argv, "--firmware=uefi");
	if (vm->uefi && !config->vars)
		add(argv, "--vars=%s", vars);
	if (detach) {
		g_autofree char *folder = runtime_dir_open(error);

		if (!folder)
			return false;
		add(argv, "--detach");
		if (config->serial.kind == VM_SERIAL_DEFAULT)
			add(argv, "--serial=unix:%s/%s.console", folder, vm->name);
	}
	add_disk(argv, vm, type);
	if (!config->n_nics)
		add_net(argv, vm, type);
	if (has_user_net(config))
		add(argv, "--publish=0:22");
	return add_seed(argv, vm, config, error);
}

GPtrArray *stored_command(const struct store *store, const struct vm_def *vm, const GPtrArray *more,
			  bool detach, GError **error)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free), types = NULL;
	const struct instance_type *type;
	struct vm_config config;
	bool done;

	if (vm->cwd && vm->options->len && chdir(vm->cwd) < 0)
		fprintf(stderr,
			"viv: VM '%s': its folder '%s' is gone; files that its options name are looked for "
			"here\n",
			vm->name, vm->cwd);
	done = parse_own(&config, vm, more, error) && find_type(store, vm, &types, &type, error) &&
	       add_words(argv, vm, type, &config, detach, error);
	vm_config_fini(&config);
	for (unsigned i = 0; i < vm->options->len; i++)
		g_ptr_array_add(argv, g_strdup(vm->options->pdata[i]));
	for (unsigned i = 0; more && i < more->len; i++)
		g_ptr_array_add(argv, g_strdup(more->pdata[i]));
	return done ? g_steal_pointer(&argv) : NULL;
}

void stored_tell(const struct vm_def *vm, bool detached)
{
	/* A log is no place for a password. */
	if (vm->password && isatty(STDERR_FILENO))
		fprintf(stderr,
			"viv: log in as '%s', password '%s' (at the console only), or by viv ssh %s\n",
			vm->user, vm->password, vm->name);
	else if (vm->user)
		fprintf(stderr, "viv: log in by viv ssh %s\n", vm->name);
	if (detached)
		fprintf(stderr, "viv: viv console %s shows its console, viv stop %s shuts it down\n",
			vm->name, vm->name);
	else if (isatty(STDIN_FILENO))
		fprintf(stderr,
			"viv: Ctrl-] leaves, like pulling the plug; `poweroff` in the guest shuts it down\n");
}
