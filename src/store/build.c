/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/build.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "store/boot_disk.h"
#include "store/builtin.h"
#include "store/disk_copy.h"

#define FALLBACK_SUITE "bookworm"
/* What the end of a build, finish.sh, and the guest's update-grub need. */
#define BUILDER_PACKAGES "initramfs-tools,grub2-common,grub-pc-bin,grub-efi-amd64-bin"

struct build {
	const struct store *store;
	const char *name;
	struct recipe *recipe;
	struct steps *steps;
	struct store_work work;
	char *suite, *uuid, *sources, *log;
};

static char *in_work(const struct build *build, const char *name)
{
	return g_build_filename(build->work.path, name, NULL);
}

static bool put(const struct build *build, const char *name, const char *text, GError **error)
{
	g_autofree char *path = in_work(build, name);

	return store_write(path, text, strlen(text), 0644, error);
}

/* Of the host, if that is Debian. */
static char *host_suite(void)
{
	g_autofree char *id = g_get_os_info(G_OS_INFO_KEY_ID);
	char *suite = !g_strcmp0(id, "debian") ? g_get_os_info(G_OS_INFO_KEY_VERSION_CODENAME) : NULL;

	return suite ? suite : g_strdup(FALLBACK_SUITE);
}

/* "http://user:password@host/path" without what is secret. */
static char *public_uri(const char *uri)
{
	const char *host = strstr(uri, "://");
	size_t len = host ? strcspn(host + 3, "/") : 0;
	const char *at = len ? g_strrstr_len(host + 3, len, "@") : NULL;

	return at ? g_strdup_printf("%.*s%s", (int)(host + 3 - uri), uri, at + 1) : g_strdup(uri);
}

/* A line of `apt-get indextargets` as a line of sources.list; NULL: not of the suite, or not Debian's. */
static char *source_of(const char *line, const char *suite, bool secret)
{
	g_auto(GStrv) words = g_strsplit(line, "|", 0);
	g_autofree char *uri = NULL;

	if (g_strv_length(words) != 4 || !g_str_has_prefix(words[1], suite) || strcmp(words[3], "Debian"))
		return NULL;
	uri = secret ? g_strdup(words[0]) : public_uri(words[0]);
	return g_strdup_printf("deb %s %s %s\n", uri, words[1], words[2]);
}

static char *sources_of(const char *lines, const char *suite, bool secret)
{
	g_auto(GStrv) all = g_strsplit(lines, "\n", 0);
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; all[i]; i++) {
		g_autofree char *source = source_of(all[i], suite, secret);

		if (source && !strstr(text->str, source))
			g_string_append(text, source);
	}
	return g_string_free(text, FALSE);
}

/* What apt says of its sources. */
static char *ask_apt(const char *const *options, GError **error)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	char *lines = NULL;

	g_ptr_array_add(argv, "apt-get");
	for (; options && *options; options++)
		g_ptr_array_add(argv, (char *)*options);
	g_ptr_array_add(argv, "indextargets");
	g_ptr_array_add(argv, "--format");
	g_ptr_array_add(argv, "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)");
	g_ptr_array_add(argv, "Created-By: Packages");
	g_ptr_array_add(argv, NULL);
	return tool_run(&(struct tool){.argv = (const char *const *)argv->pdata}, &lines, error) ? lines
												 : NULL;
}

/* A host that has no package lists knows not of whom its sources are: lists of our own, then. */
static char *fetch_lists(struct build *build, GError **error)
{
	g_autofree char *folder = in_work(build, "apt"),
			*partial = g_build_filename(folder, "lists", "partial", NULL);
	g_autofree char *lists = g_strdup_printf("-oDir::State::lists=%s/lists", folder);
	g_autofree char *cache = g_strdup_printf("-oDir::Cache=%s", folder);
	const char *options[] = {lists, cache, "-oAPT::Sandbox::User=", NULL};
	const char *update[] = {"apt-get", lists, cache, "-oAPT::Sandbox::User=", "update", NULL};

	steps_tell(build->steps, "reading package lists", -1);
	g_mkdir_with_parents(partial, 0700);
	/* One source of several may be broken, and not be needed. */
	tool_run(&(struct tool){.argv = update, .log = build->log}, NULL, NULL);
	return ask_apt(options, error);
}

/* Where the host's apt gets this suite's packages: for the build, and without passwords for the image. */
static bool find_sources(struct build *build, GError **error)
{
	g_autofree char *lines = ask_apt(NULL, error), *public = NULL;

	if (!lines)
		return false;
	build->sources = sources_of(lines, build->suite, true);
	if (!*build->sources) {
		g_free(lines);
		lines = fetch_lists(build, error);
		if (!lines)
			return false;
		g_free(build->sources);
		build->sources = sources_of(lines, build->suite, true);
	}
	public = sources_of(lines, build->suite, false);
	if (*build->sources)
		return put(build, "sources.list", build->sources, error) &&
		       put(build, "in/sources.public", public, error);
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "this host's apt has no source of Debian '%s' that it reaches; see apt-get update, or "
		    "write another "
		    "suite into the recipe",
		    build->suite);
	return false;
}

static bool write_files(const struct build *build, GString *script, GError **error)
{
	for (unsigned i = 0; i < build->recipe->files->len; i++) {
		const struct recipe_file *file = build->recipe->files->pdata[i];
		g_autofree char *name = g_strdup_printf("in/file%u", i), *path = g_shell_quote(file->path);
		g_autofree char *copy = g_strdup_printf("install -D -m %s /viv-build/%s %s\n", file->mode,
							name + strlen("in/"), path);

		if (!put(build, name, file->content, error))
			return false;
		g_string_append(script, copy);
	}
	return true;
}

/* The image's side of the build: what is run in it once its packages are there. */
static bool write_script(const struct build *build, GError **error)
{
	g_autoptr(GString) script = g_string_new("set -e\n");
	g_autofree char *fstab = g_strdup_printf("UUID=%s / ext4 errors=remount-ro 0 1\n"
						 "LABEL=ESP /boot/efi vfat umask=0077,nofail 0 2\n",
						 build->uuid);

	g_string_append_printf(script, "set -- %s\n%s", build->uuid, builtin_find("finish.sh")->text);
	if (!write_files(build, script, error))
		return false;
	for (unsigned i = 0; i < build->recipe->commands->len; i++)
		g_string_append_printf(script, "%s\n", (char *)build->recipe->commands->pdata[i]);
	g_string_append(script, builtin_find("identity.sh")->text);
	g_string_append(script, "rm -f /etc/apt/sources.list.d/*\n"
				"install -m 644 /viv-build/sources.public /etc/apt/sources.list\n"
				"rm -rf /viv-build\n");
	return put(build, "in/script", script->str, error) && put(build, "fstab", fstab, error);
}

static char *package_list(const struct recipe *recipe)
{
	GString *list = g_string_new(recipe->kernel);

	g_string_append(list, "," BUILDER_PACKAGES);
	for (unsigned i = 0; i < recipe->packages->len; i++)
		g_string_append_printf(list, ",%s", (char *)recipe->packages->pdata[i]);
	return g_string_free(list, FALSE);
}

/* Of the lines in which mmdebstrap tells what it is about, those that take time. */
static void on_line(void *opaque, const char *line)
{
	static const struct {
		const char *line, *step;
	} steps[] = {
		{"I: running apt-get update", "reading package lists"},
		{"I: downloading packages", "downloading the base system"},
		{"I: extracting archives", "unpacking the base system"},
		{"I: installing essential packages", "installing the base system"},
		{"I: installing remaining packages", "installing packages"},
		{"I: creating tarball", "packing up"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++)
		if (g_str_has_prefix(line, steps[i].line))
			steps_tell(opaque, steps[i].step, -1);
}

/* Copies are made by mmdebstrap itself, across to where it is root. The image has what it needs in /viv-build
 * while it is built. */
static bool run_mmdebstrap(const struct build *build, const char *tar, GError **error)
{
	g_autofree char *packages = package_list(build->recipe),
			*include = g_strconcat("--include=", packages, NULL);
	g_autofree char *sources = in_work(build, "sources.list"), *fstab = in_work(build, "fstab");
	g_autofree char *in = in_work(build, "in"), *q_fstab = g_shell_quote(fstab),
			*q_in = g_shell_quote(in);
	/* Before the kernel is installed, whose initrd takes from fstab which file system to check. */
	g_autofree char *before = g_strdup_printf("--essential-hook=copy-in %s /etc", q_fstab);
	g_autofree char *copy = g_strdup_printf("--customize-hook=sync-in %s /viv-build", q_in);
	const char *argv[] = {"mmdebstrap",
			      "--variant=apt",
			      "--mode=auto",
			      "--aptopt=APT::Install-Recommends \"false\"",
			      "--aptopt=Acquire::Languages \"none\"",
			      include,
			      before,
			      "--customize-hook=mkdir \"$1/viv-build\"",
			      copy,
			      "--customize-hook=chroot \"$1\" sh /viv-build/script",
			      /* Its way to remove apt's lists, run by root after a script that has emptied /tmp,
			       * where its configuration is, removes the host's. identity.sh has ours. */
			      "--skip=cleanup/apt",
			      build->suite,
			      tar,
			      sources,
			      NULL};

	return tool_run(
		&(struct tool){.argv = argv, .log = build->log, .on_line = on_line, .opaque = build->steps},
		NULL, error);
}

static void describe(const struct build *build, struct manifest *manifest)
{
	manifest->name = g_strdup(build->name);
	manifest->description = g_strdup(build->recipe->description);
	g_ptr_array_add(manifest->firmware, g_strdup("bios"));
	g_ptr_array_add(manifest->firmware, g_strdup("uefi"));
	manifest->min_memory = build->recipe->min_memory;
	manifest->format = g_strdup(DISK_STORE_FORMAT);
	manifest->file = g_strconcat("disk.", manifest->format, NULL);
	manifest->origin = g_strdup_printf("recipe %s, Debian %s", build->name, build->suite);
	manifest->sealed = true;
	manifest->cloud_init = true;
	manifest->user = g_strdup(build->recipe->user);
	manifest->recipe = g_strdup(g_checksum_get_string(build->recipe->digest));
}

/* What is left in the folder of work is the image's. */
static bool make_disk(const struct build *build, struct manifest *manifest, GError **error)
{
	g_autofree char *tar = in_work(build, "root.tar"), *raw = in_work(build, "raw");
	g_autofree char *disk = in_work(build, manifest->file);
	const struct boot_disk boot = {raw,	    build->work.path,	 tar,
				       build->uuid, build->recipe->size, build->log};
	const struct disk_copy copy = {.from = raw,
				       .from_format = "raw",
				       .to = disk,
				       .to_format = manifest->format,
				       .step = "writing the image",
				       .steps = build->steps};

	return run_mmdebstrap(build, tar, error) && boot_disk_make(&boot, build->steps, error) &&
	       disk_copy(&copy, &manifest->size, error);
}

static void clean(const struct build *build, const struct manifest *manifest)
{
	g_autoptr(GPtrArray) names = store_list(build->work.path);

	for (unsigned i = 0; i < names->len; i++) {
		g_autofree char *path = in_work(build, names->pdata[i]);

		if (strcmp(names->pdata[i], manifest->file))
			store_remove(path, NULL);
	}
}

static bool build_all(struct build *build, struct image_ref *image, GError **error)
{
	struct manifest manifest;
	bool done;

	manifest_init(&manifest);
	describe(build, &manifest);
	steps_tell(build->steps, "finding packages", -1);
	done = find_sources(build, error) && write_script(build, error) && make_disk(build, &manifest, error);
	if (done) {
		clean(build, &manifest);
		done = images_add(build->store, &build->work, &manifest, build->steps, image, error);
	}
	manifest_fini(&manifest);
	return done;
}

static bool check_tools(GError **error)
{
	return tool_check((const char *const[]){"mmdebstrap", "apt-get", NULL}, error) &&
	       tool_check(boot_disk_tools(), error);
}

/* Another process has built it while we waited for the lock. */
static bool is_built(const struct build *build, uint64_t newest_before, struct image_ref *image)
{
	if (!images_find(build->store, build->name, image, NULL))
		return false;
	if (image->manifest.version > newest_before &&
	    !g_strcmp0(image->manifest.recipe, g_checksum_get_string(build->recipe->digest)))
		return true;
	image_ref_clear(image);
	return false;
}

static bool build_locked(struct build *build, struct image_ref *image, GError **error)
{
	g_autofree char *logs = g_strdup_printf("build-%s.log", build->name);
	g_autofree char *in = NULL;
	bool done;

	build->suite = build->recipe->suite ? g_strdup(build->recipe->suite) : host_suite();
	build->uuid = g_uuid_string_random();
	build->log = g_build_filename(build->store->state, logs, NULL);
	unlink(build->log);
	done = store_begin(&build->work, build->store->images, error);
	if (done) {
		in = in_work(build, "in");
		g_mkdir(in, 0700);
		done = build_all(build, image, error);
	}
	store_drop(&build->work);
	g_free(build->suite);
	g_free(build->uuid);
	g_free(build->sources);
	g_free(build->log);
	return done;
}

bool build_image(const struct store *store, const char *name, struct steps *steps, struct image_ref *image,
		 GError **error)
{
	struct build build = {.store = store, .name = name, .steps = steps, .work = {.lock = -1}};
	g_autofree char *lock_name = g_strconcat("build-", name, NULL);
	g_autofree char *waiting = g_strdup_printf("waiting for another viv that builds '%s'", name);
	uint64_t newest = images_newest(store, name);
	bool done = false;
	int lock;

	build.recipe = recipe_find(store, name, error);
	if (!build.recipe || !check_tools(error))
		goto out;
	lock = store_lock(store, lock_name, STORE_EXCLUSIVE, waiting, error);
	if (lock >= 0)
		done = is_built(&build, newest, image) || build_locked(&build, image, error);
	store_unlock(lock);
out:
	recipe_free(build.recipe);
	return done;
}
