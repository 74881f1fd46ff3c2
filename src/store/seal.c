/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * By debugfs(8) on a raw copy, which has an answer to every file system that was ever made badly: it is a
 * program of its own. Names of files get into its commands only if they are plain.
 */
#include "store/seal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "store/disk_copy.h"

#define MAX_COMMANDS 100000
#define MAX_DEPTH    16
#define RAW	     "raw"

/* What goes; the last part may end in a star. Folders lose what is in them. */
static const struct {
	const char *folder, *prefix;
} identity[] = {
	{"/etc/ssh", "ssh_host_"},
	{"/var/lib/dbus", "machine-id"},
	{"/var/lib/systemd", "random-seed"},
	{"/var/lib/cloud", ""},
	{"/var/log", ""},
	{"/var/lib/dhcp", ""},
	{"/var/lib/NetworkManager", ""},
	{"/var/tmp", ""},
};

struct fs {
	char *device; /* debugfs' name of it */
	GString *commands;
	unsigned n_commands;
	struct steps *steps;
};

static bool debugfs(const struct fs *fs, const char *option, const char *value, bool write, char **output,
		    GError **error)
{
	const char *argv[] = {"debugfs", option, value, fs->device, NULL, NULL};

	if (write) {
		argv[3] = "-w";
		argv[4] = fs->device;
	}
	return tool_run(&(struct tool){.argv = argv}, output, error);
}

static bool is_plain(const char *name)
{
	return *name && !name[strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-+@:=,~%")];
}

static bool clean_folder(struct fs *fs, const char *folder, const char *prefix, unsigned depth,
			 GError **error);

static void add(struct fs *fs, const char *command, const char *path)
{
	g_string_append_printf(fs->commands, "%s %s\n", command, path);
	fs->n_commands++;
}

static bool refuse_name(const char *folder, const char *name, GError **error)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' in '%s' of the image cannot be removed from here; remove it in the guest, and give "
		    "--keep-identity",
		    name, folder);
	return false;
}

/* /inode/mode/uid/gid/name/size/ */
static bool clean_entry(struct fs *fs, const char *folder, const char *prefix, char **words, unsigned depth,
			GError **error)
{
	const char *mode = words[2], *name = words[5];
	g_autofree char *path = g_strconcat(folder, "/", name, NULL);

	if (!strcmp(name, ".") || !strcmp(name, "..") || !g_str_has_prefix(name, prefix))
		return true;
	if (!is_plain(name) || fs->n_commands == MAX_COMMANDS)
		return refuse_name(folder, name, error);
	if (!g_str_has_prefix(mode, "04")) {
		add(fs, "rm", path);
		return true;
	}
	/* Services want their folders of logs. */
	return clean_folder(fs, path, "", depth + 1, error) &&
	       (strcmp(folder, "/var/log") == 0 || (add(fs, "rmdir", path), true));
}

static bool clean_folder(struct fs *fs, const char *folder, const char *prefix, unsigned depth,
			 GError **error)
{
	g_autofree char *command = g_strconcat("ls -p ", folder, NULL), *listing = NULL;
	g_auto(GStrv) lines = NULL;
	bool done = depth < MAX_DEPTH && debugfs(fs, "-R", command, false, &listing, error);

	lines = g_strsplit(listing ? listing : "", "\n", 0);
	for (unsigned i = 0; done && lines[i]; i++) {
		g_auto(GStrv) words = g_strsplit(lines[i], "/", 0);

		if (g_strv_length(words) == 8)
			done = clean_entry(fs, folder, prefix, words, depth, error);
		else if (*lines[i])
			done = refuse_name(folder, lines[i], error);
	}
	return done;
}

static bool has_file(const struct fs *fs, const char *path)
{
	g_autofree char *command = g_strconcat("stat ", path, NULL), *output = NULL;

	return debugfs(fs, "-R", command, false, &output, NULL) && strstr(output, "Type: regular");
}

/* e2fsck first: its journal may hold what the guest wrote last. Exit status 1: it has mended something. */
static bool settle(const struct fs *fs, GError **error)
{
	const char *argv[] = {"sh", "-c", "e2fsck -fp \"$1\" || [ $? = 1 ]", "sh", fs->device, NULL};

	return tool_run(&(struct tool){.argv = argv}, NULL, error);
}

static bool list_identity(struct fs *fs, GError **error)
{
	g_string_truncate(fs->commands, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(identity); i++)
		if (!clean_folder(fs, identity[i].folder, identity[i].prefix, 0, error))
			return false;
	return true;
}

/* debugfs ends well whatever became of its commands. */
static bool check_clean(struct fs *fs, GError **error)
{
	g_autofree char *output = NULL;

	if (!list_identity(fs, error) || !debugfs(fs, "-R", "stat /etc/machine-id", false, &output, error))
		return false;
	if (!fs->commands->len && strstr(output, "Size: 0"))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "debugfs could not remove all of the image's identity:\n%s",
		    fs->commands->str);
	return false;
}

/* An empty machine-id lets systemd make one at the next start. */
static bool clean_fs(struct fs *fs, const char *work, GError **error)
{
	g_autofree char *empty = g_build_filename(work, "empty", NULL),
			*script = g_build_filename(work, "script", NULL);
	g_autofree char *output = NULL;
	bool done;

	if (!settle(fs, error) || !list_identity(fs, error))
		return false;
	g_string_append_printf(fs->commands,
			       "rm /etc/machine-id\nwrite \"%s\" /etc/machine-id\nsif /etc/machine-id uid 0\n"
			       "sif /etc/machine-id gid 0\nsif /etc/machine-id mode 0100444\n",
			       empty);
	done = store_write(empty, "", 0, 0600, error) &&
	       store_write(script, fs->commands->str, fs->commands->len, 0600, error) &&
	       debugfs(fs, "-f", script, true, &output, error) && settle(fs, error) && check_clean(fs, error);
	unlink(empty);
	unlink(script);
	return done;
}

/* The first sectors of the partitions. */
static GArray *find_partitions(const char *disk, GError **error)
{
	const char *argv[] = {"sfdisk", "--json", disk, NULL};
	GArray *starts = g_array_new(FALSE, FALSE, sizeof(guint64));
	g_autofree char *output = NULL;
	guint64 none = 0;

	g_array_append_val(starts, none); /* the disk may be one file system */
	if (!tool_run(&(struct tool){.argv = argv}, &output, NULL))
		return starts;
	for (const char *at = output; (at = strstr(at, "\"start\":"));) {
		guint64 start = g_ascii_strtoull(at + strlen("\"start\":"), NULL, 10);

		g_array_append_val(starts, start);
		at++;
	}
	return starts;
}

static bool remove_identity(const char *disk, const char *work, struct steps *steps, GError **error)
{
	g_autoptr(GArray) starts = find_partitions(disk, error);

	steps_tell(steps, "removing its identity", -1);
	for (unsigned i = 0; i < starts->len; i++) {
		struct fs fs = {.commands = g_string_new(NULL), .steps = steps};
		bool is_root, done = true;

		fs.device = g_strdup_printf("%s?offset=%" G_GUINT64_FORMAT, disk,
					    g_array_index(starts, guint64, i) * 512);
		is_root = has_file(&fs, "/etc/machine-id") || has_file(&fs, "/usr/lib/os-release");
		if (is_root)
			done = clean_fs(&fs, work, error);
		g_string_free(fs.commands, TRUE);
		g_free(fs.device);
		if (is_root)
			return done;
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "no ext4 file system with a Linux system was found in the image; remove what identifies "
		    "it in the guest "
		    "(cloud-init clean --machine-id --logs), and give --keep-identity");
	return false;
}

struct source {
	char *disk, *format;
	struct manifest manifest; /* of the image that it is, or stands on */
};

static bool find_source(const struct store *store, const struct seal *how, struct source *source,
			GError **error)
{
	struct image_ref image;
	struct vm_def vm;
	g_autofree char *ref = NULL;

	if (how->vm) {
		if (!vms_find(store, how->vm, &vm, error))
			return false;
		source->disk = vm_def_path(&vm, vm.disk);
		source->format = g_strdup("qcow2");
		ref = g_strdup_printf("%s:%" G_GUINT64_FORMAT, vm.image, vm.image_version);
		vm_def_clear(&vm);
	} else {
		ref = g_strdup(how->image);
	}
	if (!images_find(store, ref, &image, error))
		return false;
	if (!how->vm) {
		source->disk = g_strdup(image.disk);
		source->format = g_strdup(image.manifest.format);
	}
	manifest_fini(&source->manifest);
	source->manifest = image.manifest;
	manifest_init(&image.manifest);
	image_ref_clear(&image);
	return true;
}

/* With --vm, the image's name is the new one's: no version is said. */
static void rename_manifest(struct manifest *m, const struct seal *how)
{
	g_auto(GStrv) words = g_strsplit(how->image, ":", 2);
	char *origin = how->vm ? g_strdup_printf("VM %s", how->vm)
			       : g_strdup_printf("%s:%" G_GUINT64_FORMAT, m->name, m->version);

	g_free(m->name);
	m->name = g_strdup(words[0]);
	g_free(m->origin);
	m->origin = origin;
	g_clear_pointer(&m->recipe, g_free);
	m->sealed = true;
	g_free(m->format);
	m->format = g_strdup(DISK_STORE_FORMAT);
	g_free(m->file);
	m->file = g_strconcat("disk.", m->format, NULL);
}

static bool seal_in(const struct store *store, struct store_work *work, const struct seal *how,
		    struct source *source, struct steps *steps, struct image_ref *image, GError **error)
{
	struct manifest *m = &source->manifest;
	g_autofree char *raw = g_build_filename(work->path, RAW, NULL), *disk = NULL;
	struct disk_copy out = {.from = source->disk,
				.from_format = source->format,
				.to = raw,
				.to_format = "raw",
				.step = "reading",
				.steps = steps};
	bool done;

	rename_manifest(m, how);
	disk = g_build_filename(work->path, m->file, NULL);
	done = store_name_check(m->name, error) && disk_copy(&out, &m->size, error) &&
	       (how->keep_identity || remove_identity(raw, work->path, steps, error));
	out = (struct disk_copy){.from = raw,
				 .from_format = "raw",
				 .to = disk,
				 .to_format = m->format,
				 .step = "writing",
				 .steps = steps};
	done = done && disk_copy(&out, NULL, error);
	unlink(raw);
	return done && images_add(store, work, m, steps, image, error);
}

bool seal_image(const struct store *store, const struct seal *how, struct steps *steps,
		struct image_ref *image, GError **error)
{
	static const char *const tools[] = {"debugfs", "e2fsck", "sfdisk", NULL};
	struct source source = {0};
	struct store_work work = {.lock = -1};
	bool done;

	manifest_init(&source.manifest);
	done = tool_check(tools, error) && find_source(store, how, &source, error) &&
	       store_begin(&work, store->images, error) &&
	       seal_in(store, &work, how, &source, steps, image, error);
	store_drop(&work);
	manifest_fini(&source.manifest);
	g_free(source.disk);
	g_free(source.format);
	return done;
}
