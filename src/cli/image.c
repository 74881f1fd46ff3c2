/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv image: what VMs are made of. A subcommand is a row of `commands`. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/remote.h"
#include "cli/sub.h"
#include "cli/verb.h"
#include "store/build.h"
#include "store/exchange.h"
#include "store/seal.h"

struct image_options {
	bool json, quiet;
	char *name, *format, *description, *user, *vm;
	bool cloud_init, uefi, keep_identity;
};

struct context {
	struct store *store;
	struct image_options options;
	const char *words[USAGE_MAX_WORDS];
	struct steps progress;
};

#define FLAG(member)                                                              \
	static bool set_##member(void *target, const char *value, GError **error) \
	{                                                                         \
		return ((struct context *)target)->options.member = true;         \
	}
#define TEXT(member)                                                              \
	static bool set_##member(void *target, const char *value, GError **error) \
	{                                                                         \
		char **text = &((struct context *)target)->options.member;        \
                                                                                  \
		g_free(*text);                                                    \
		return (*text = g_strdup(value)) != NULL;                         \
	}
FLAG(json)
FLAG(quiet)
FLAG(cloud_init)
FLAG(uefi)
FLAG(keep_identity)
TEXT(name)
TEXT(format)
TEXT(description)
TEXT(user)
TEXT(vm)

#define ROW_JSON                                                \
	{                                                       \
		"json", 0, NULL, "JSON, for programs", set_json \
	}
#define ROW_QUIET                                                    \
	{                                                            \
		"quiet", 'q', NULL, "tell of no progress", set_quiet \
	}

static void print_one(const struct context *c, const struct image_ref *image)
{
	if (c->options.json)
		sub_print_json(manifest_json(&image->manifest));
	else
		printf("%s:%" PRIu64 "\n", image->manifest.name, image->manifest.version);
}

static uint64_t allocated(const struct image_ref *image)
{
	struct stat st;

	return stat(image->disk, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static void print_table(const GPtrArray *all)
{
	printf("%-24s %7s %-9s %10s %10s %-6s %s\n", "NAME", "VERSION", "FIRMWARE", "DISK", "ON HOST",
	       "SEALED", "CREATED");
	for (unsigned i = 0; i < all->len; i++) {
		const struct image_ref *image = all->pdata[i];
		const struct manifest *m = &image->manifest;
		g_autofree char *size = size_format(m->size), *host = size_format(allocated(image));
		g_autofree char *firmware =
			g_strjoin(m->firmware->len > 1 ? "," : "", m->firmware->pdata[0],
				  m->firmware->len > 1 ? m->firmware->pdata[1] : NULL, NULL);

		printf("%-24s %7" PRIu64 " %-9s %10s %10s %-6s %.10s\n", m->name, m->version, firmware, size,
		       host, m->sealed ? "yes" : "no", m->created ? m->created : "-");
	}
}

static int ls(struct context *c, GError **error)
{
	g_autoptr(GPtrArray) damaged = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) all = images_list(c->store, damaged);

	if (c->options.json) {
		JsonArray *array = json_array_new();

		for (unsigned i = 0; i < all->len; i++)
			json_array_add_object_element(
				array, manifest_json(&((struct image_ref *)all->pdata[i])->manifest));
		sub_print_json_array(array);
	} else {
		print_table(all);
	}
	for (unsigned i = 0; i < damaged->len; i++)
		fprintf(stderr, "viv: %s\n", (char *)damaged->pdata[i]);
	return EXIT_STATUS_OK;
}

/* Gives the subcommands that say what one image is to them; `done` owns nothing of it. */
static bool with_image(struct context *c,
		       bool (*action)(struct context *c, struct image_ref *image, GError **error),
		       GError **error)
{
	struct image_ref image;
	bool done;

	if (!images_find(c->store, c->words[0], &image, error))
		return false;
	done = action(c, &image, error);
	image_ref_clear(&image);
	return done;
}

static bool print_image(struct context *c, struct image_ref *image, GError **error)
{
	JsonObject *object = manifest_json(&image->manifest);

	json_object_set_string_member(object, "path", image->disk);
	json_object_set_int_member(object, "on_host", allocated(image));
	if (c->options.json)
		sub_print_json(object);
	else
		sub_print_members(object);
	return true;
}

static int inspect(struct context *c, GError **error)
{
	return with_image(c, print_image, error) ? EXIT_STATUS_OK : -1;
}

static int build(struct context *c, GError **error)
{
	struct image_ref image;

	if (!build_image(c->store, c->words[0], &c->progress, &image, error))
		return -1;
	steps_end(&c->progress);
	print_one(c, &image);
	image_ref_clear(&image);
	return EXIT_STATUS_OK;
}

static bool verify_image(struct context *c, struct image_ref *image, GError **error)
{
	if (!images_verify(image, &c->progress, error))
		return false;
	steps_end(&c->progress);
	print_one(c, image);
	return true;
}

static int verify(struct context *c, GError **error)
{
	return with_image(c, verify_image, error) ? EXIT_STATUS_OK : -1;
}

static bool remove_image(struct context *c, struct image_ref *image, GError **error)
{
	return images_remove(c->store, image, error);
}

static int rm(struct context *c, GError **error)
{
	return with_image(c, remove_image, error) ? EXIT_STATUS_OK : -1;
}

static int gc(struct context *c, GError **error)
{
	g_autoptr(GPtrArray) told = g_ptr_array_new_with_free_func(g_free);

	if (!images_gc(c->store, told, error))
		return -1;
	if (c->options.json) {
		JsonArray *array = json_array_new();

		for (unsigned i = 0; i < told->len; i++)
			json_array_add_string_element(array, told->pdata[i]);
		sub_print_json_array(array);
		return EXIT_STATUS_OK;
	}
	for (unsigned i = 0; i < told->len; i++)
		printf("removed %s\n", (char *)told->pdata[i]);
	return EXIT_STATUS_OK;
}

static int import(struct context *c, GError **error)
{
	const struct exchange_import how = {
		.source = c->words[0],
		.name = c->options.name,
		.format = c->options.format,
		.description = c->options.description,
		.user = c->options.user,
		.cloud_init = c->options.cloud_init,
		.uefi = c->options.uefi,
	};
	struct image_ref image;

	if (!exchange_import(c->store, &how, &c->progress, &image, error))
		return -1;
	steps_end(&c->progress);
	print_one(c, &image);
	image_ref_clear(&image);
	return EXIT_STATUS_OK;
}

static bool export_image(struct context *c, struct image_ref *image, GError **error)
{
	return exchange_export(image, c->words[1], c->options.format, &c->progress, error);
}

static int export(struct context *c, GError **error)
{
	return with_image(c, export_image, error) ? EXIT_STATUS_OK : -1;
}

static int seal(struct context *c, GError **error)
{
	const struct seal how = {
		.image = c->words[0], .vm = c->options.vm, .keep_identity = c->options.keep_identity};
	struct image_ref image;

	if (how.vm && !sub_check_stopped(how.vm, error))
		return -1;
	if (!seal_image(c->store, &how, &c->progress, &image, error))
		return -1;
	steps_end(&c->progress);
	print_one(c, &image);
	image_ref_clear(&image);
	return EXIT_STATUS_OK;
}

static const struct option_row json_rows[] = {ROW_JSON};
static const struct option_row work_rows[] = {ROW_JSON, ROW_QUIET};
static const struct option_row quiet_rows[] = {ROW_QUIET};
static const struct option_row import_rows[] = {
	{"name", 0, "NAME", "what it is called here; without it: as the file is", set_name},
	{"format", 0, "FORMAT",
	 "of the disk: raw, qcow2, vmdk, vdi, vhd, vhdx or ova; without\nit: what the file looks like",
	 set_format},
	{"description", 0, "TEXT", "what `viv image inspect` says it is", set_description},
	{"cloud-init", 0, NULL, "it has cloud-init, and obeys a seed disk", set_cloud_init},
	{"user", 0, "USER", "who logs in there", set_user},
	{"uefi", 0, NULL, "UEFI starts it, and not a BIOS", set_uefi},
	ROW_JSON,
	ROW_QUIET,
};
static const struct option_row export_rows[] = {
	{"format", 0, "FORMAT",
	 "qcow2, raw, vmdk, vdi, vhd, vhdx or ova; without it: what the\nfile's name says", set_format},
	ROW_QUIET,
};
static const struct option_row seal_rows[] = {
	{"vm", 0, "VM", "make the image, or its next version, of a stopped VM's disk", set_vm},
	{"keep-identity", 0, NULL, "let be what the guest's own tools have removed", set_keep_identity},
	ROW_JSON,
	ROW_QUIET,
};

#define USAGE(words_, min, max, rows_, text_)                                                      \
	{                                                                                          \
		.words = words_, .min_words = min, .max_words = max, .text = text_, .rows = rows_, \
		.n_rows = G_N_ELEMENTS(rows_)                                                      \
	}

static const struct command {
	const char *name, *summary;
	struct usage usage;
	int (*run)(struct context *c, GError **error); /* an exit status, or -1 with the error set */
} commands[] = {
	{"ls", "list images", USAGE("", 0, 0, json_rows, "Lists the images of the store.\n"), ls},
	{"inspect", "tell all of one",
	 USAGE("IMAGE", 1, 1, json_rows,
	       "Tells what an image is: NAME is its newest version, NAME:VERSION another.\n"),
	 inspect},
	{"build", "build one from a recipe",
	 USAGE("RECIPE", 1, 1, work_rows,
	       "Builds a new version of an image from the recipe of that name: `debian` is built in,\n"
	       "and NAME.yaml in viv/recipes of the user's configuration adds others. Packages come\n"
	       "from where this host's apt gets its own. Root is not needed where mmdebstrap does\n"
	       "without.\n"),
	 build},
	{"import", "take one from a file or a URL",
	 USAGE("FILE|URL", 1, 1, import_rows,
	       "Takes a disk image of any format that viv knows, or an OVA, into the store.\n"),
	 import},
	{"export", "write one as a file of another format",
	 USAGE("IMAGE FILE", 2, 2, export_rows,
	       "Writes an image as a file for this or another hypervisor.\n"),
	 export},
	{"seal", "make one golden: without an identity",
	 USAGE("IMAGE", 1, 1, seal_rows,
	       "Makes the next version of an image without what tells a machine from others: its\n"
	       "machine-id, ssh host keys, logs and what cloud-init knows. VMs made of it are new\n"
	       "machines. This reads ext4 file systems.\n"),
	 seal},
	{"verify", "compare one with its checksum",
	 USAGE("IMAGE", 1, 1, work_rows,
	       "Reads an image's disk, and compares it with the checksum of its manifest.\n"),
	 verify},
	{"rm", "remove one",
	 USAGE("IMAGE", 1, 1, quiet_rows,
	       "Removes a version of an image, unless a VM's disk stands on it.\n"),
	 rm},
	{"gc", "remove what nobody needs",
	 USAGE("", 0, 0, json_rows,
	       "Removes what interrupted work left, and versions of images that are neither the\nnewest nor "
	       "in use.\n"),
	 gc},
};

static void print_commands(FILE *out)
{
	fprintf(out, "Usage: viv image COMMAND [OPTIONS]\n\nImages are what VMs are made of: viv run IMAGE, "
		     "viv create NAME --image IMAGE.\n\n");
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n`viv image COMMAND --help` explains one.\n");
}

static int run_command(const struct command *command, int argc, char **argv)
{
	g_autofree char *name = g_strconcat("image ", command->name, NULL);
	g_autofree char *what = NULL;
	struct context c = {0};
	GError *error = NULL;
	int status;

	argv[0] = name;
	if (!usage_parse(&command->usage, argc, argv, &c, c.words, &status))
		return status;
	c.store = store_open(&error);
	status = -1;
	if (c.store) {
		what = g_strdup_printf("%s %s", command->name, c.words[0] ? c.words[0] : "");
		steps_begin(&c.progress, what, c.options.quiet);
		status = command->run(&c, &error);
		steps_end(&c.progress);
	}
	store_close(c.store);
	g_free(c.options.name);
	g_free(c.options.format);
	g_free(c.options.description);
	g_free(c.options.user);
	g_free(c.options.vm);
	return error ? report_error(error) : status;
}

static int image_main(int argc, char **argv)
{
	if (argc < 2) {
		print_commands(stderr);
		return EXIT_STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_commands(stdout);
		return EXIT_STATUS_OK;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		if (!strcmp(commands[i].name, argv[1]))
			return run_command(&commands[i], argc - 1, argv + 1);
	return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
					"unknown command 'image %s'; `viv image` lists them", argv[1]));
}

const struct verb verb_image = {"image", "get, build, seal and remove images, of which VMs are made",
				image_main};
