/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv disk commit, rebase and snapshot. */
#include <stdio.h>

#include "base/error.h"
#include "base/size.h"
#include "block/job.h"
#include "cli/disk.h"

static const struct option_row commit_rows[] = {DISK_ROW_FORMAT, DISK_ROW_SECRET,
						DISK_ROW_PROGRESS};

static const struct usage commit_usage = {
	.words = "FILE",
	.min_words = 1,
	.max_words = 1,
	.text = "Writes what FILE holds into its backing image, and empties FILE. Other images on\n"
		"the same backing image are then of no use: their content changes under them.\n",
	.rows = commit_rows,
	.n_rows = G_N_ELEMENTS(commit_rows),
};

/* How FILE is to be opened; false with the error set. */
static bool describe(const struct disk_options *options, const char *path, struct image_open *how,
		     GError **error)
{
	*how = (struct image_open){.path = path,
				   .format = disk_format_of(path, options->format, error),
				   .secret = options->secret};
	return how->format != NULL;
}

static int commit_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	struct progress progress;
	struct image_open how;
	GError *error = NULL;
	int status;

	if (usage_parse(&commit_usage, argc, argv, &options, words, &status)) {
		progress_begin(&progress, options.progress);
		if (describe(&options, words[0], &how, &error))
			job_commit(&how, &progress.watch, &error);
		status = progress_end(&progress, error);
	}
	disk_options_fini(&options);
	return status;
}

static bool set_unsafe(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->unsafe = true;
}

static const struct option_row rebase_rows[] = {
	DISK_ROW_FORMAT,
	{"backing", 'b', "FILE", "the new backing image; '': none, FILE holds all by itself",
	 disk_set_backing},
	{"backing-format", 'F', "FORMAT", "its format; without it: as its name ends, or raw",
	 disk_set_backing_format},
	{"unsafe", 'u', NULL, "change the name only: it is the same image, elsewhere", set_unsafe},
	DISK_ROW_SECRET,
	DISK_ROW_PROGRESS,
};

static const struct usage rebase_usage = {
	.words = "FILE",
	.min_words = 1,
	.max_words = 1,
	.text = "Puts FILE on another backing image. Its content stays: where the old and the new\n"
		"one differ, FILE gets a copy. A relative name is relative to FILE's folder.\n",
	.rows = rebase_rows,
	.n_rows = G_N_ELEMENTS(rebase_rows),
};

static bool rebase(const struct disk_options *options, const char *path,
		   const struct job_watch *watch, GError **error)
{
	const char *backing = options->backing, *format = options->backing_format;
	g_autofree char *resolved = NULL;
	struct image_open how;

	if (!backing) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "the new backing image is missing; name it with -b FILE, or -b '' for "
			    "none");
		return false;
	}
	if (!*backing)
		backing = format = NULL;
	if (backing) {
		resolved = image_resolve_backing(path, backing);
		format = disk_format_of(resolved, format, error);
		if (!format) {
			g_prefix_error(error, "-F, the backing image's format, is needed: ");
			return false;
		}
	}
	return describe(options, path, &how, error) &&
	       job_rebase(&how, backing, format, !options->unsafe, watch, error);
}

static int rebase_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	struct progress progress;
	GError *error = NULL;
	int status;

	if (usage_parse(&rebase_usage, argc, argv, &options, words, &status)) {
		progress_begin(&progress, options.progress);
		rebase(&options, words[0], &progress.watch, &error);
		status = progress_end(&progress, error);
	}
	disk_options_fini(&options);
	return status;
}

static bool set_list(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->list = true;
}

static bool set_create(void *target, const char *value, GError **error)
{
	((struct disk_options *)target)->create = value;
	return true;
}

static bool set_apply(void *target, const char *value, GError **error)
{
	((struct disk_options *)target)->apply = value;
	return true;
}

static bool set_remove(void *target, const char *value, GError **error)
{
	((struct disk_options *)target)->remove = value;
	return true;
}

static const struct option_row snapshot_rows[] = {
	DISK_ROW_FORMAT,
	{"list", 'l', NULL, "list them; what is done where nothing else is asked", set_list},
	{"create", 'c', "NAME", "keep the disk's content as NAME", set_create},
	{"apply", 'a', "NAME", "go back to NAME; what came after it is lost", set_apply},
	{"delete", 'd', "NAME", "forget NAME", set_remove},
	DISK_ROW_SECRET,
	DISK_ROW_JSON,
};

static const struct usage snapshot_usage = {
	.words = "FILE",
	.min_words = 1,
	.max_words = 1,
	.text = "Looks after the snapshots within an image. NAME may be a snapshot's ID, too.\n",
	.rows = snapshot_rows,
	.n_rows = G_N_ELEMENTS(snapshot_rows),
};

static char *format_time(const struct image_snapshot *snapshot)
{
	g_autoptr(GDateTime) time =
		g_date_time_new_from_unix_local(snapshot->created_ns / 1000000000);

	return time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S") : g_strdup("-");
}

static void print_snapshots(GPtrArray *all)
{
	printf("%-6s %-24s %-19s %12s %12s\n", "ID", "NAME", "CREATED", "DISK", "VM STATE");
	for (unsigned i = 0; i < all->len; i++) {
		struct image_snapshot *snapshot = all->pdata[i];
		g_autofree char *time = format_time(snapshot);
		g_autofree char *size = size_format(snapshot->size);
		g_autofree char *state = size_format(snapshot->vm_state_size);

		printf("%-6s %-24s %-19s %12s %12s\n", snapshot->id, snapshot->name, time, size,
		       state);
	}
}

static void print_snapshots_json(GPtrArray *all)
{
	JsonArray *array = json_array_new();
	JsonNode *node = json_node_new(JSON_NODE_ARRAY);

	for (unsigned i = 0; i < all->len; i++) {
		struct image_snapshot *snapshot = all->pdata[i];
		JsonObject *object = json_object_new();

		json_object_set_string_member(object, "id", snapshot->id);
		json_object_set_string_member(object, "name", snapshot->name);
		json_object_set_int_member(object, "size", snapshot->size);
		json_object_set_int_member(object, "vm-state-size", snapshot->vm_state_size);
		json_object_set_int_member(object, "created-ns", snapshot->created_ns);
		json_array_add_object_element(array, object);
	}
	json_node_take_array(node, array);
	disk_print_json(node);
}

static bool use_snapshots(const struct disk_options *options, const struct image_snapshot_ops *ops,
			  struct image *image, GError **error)
{
	g_autoptr(GPtrArray) all = NULL;

	if (options->create)
		return ops->create(image, options->create, error);
	if (options->apply)
		return ops->apply(image, options->apply, error);
	if (options->remove)
		return ops->remove(image, options->remove, error);
	all = ops->list(image);
	if (options->json)
		print_snapshots_json(all);
	else
		print_snapshots(all);
	return true;
}

static bool snapshot(const struct disk_options *options, const char *path, GError **error)
{
	unsigned asked = !!options->create + !!options->apply + !!options->remove + options->list;
	bool changes = options->create || options->apply || options->remove;
	struct image *image;
	int status;

	if (asked > 1) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--list, --create, --apply and --delete exclude each other");
		return false;
	}
	image = disk_open(
		options, path,
		(struct image_open){.read_only = !changes, .no_lock = !changes, .no_backing = true},
		error);
	if (!image)
		return false;
	if (!image_snapshots(image))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "format %s has no snapshots; convert '%s' to qcow2 first with: viv "
			    "disk convert",
			    image_format_name_of(image), path);
	else if (use_snapshots(options, image_snapshots(image), image, error) &&
		 (status = image_flush(image)))
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s' cannot be written out: %s",
			    path, g_strerror(-status));
	image_close(image);
	return !*error;
}

static int snapshot_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	GError *error = NULL;
	int status;

	if (usage_parse(&snapshot_usage, argc, argv, &options, words, &status)) {
		snapshot(&options, words[0], &error);
		status = error ? report_error(error) : EXIT_STATUS_OK;
	}
	disk_options_fini(&options);
	return status;
}

const struct verb disk_commit = {"commit", "write an image's content into its backing image",
				 commit_main};
const struct verb disk_rebase = {"rebase", "put an image on another backing image, or on none",
				 rebase_main};
const struct verb disk_snapshot = {"snapshot", "list, make, apply and delete snapshots in an image",
				   snapshot_main};
