/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/vms.h"

#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/uuid.h"
#include "block/image.h"
#include "store/disk_copy.h"
#include "store/json_table.h"

#define SCHEMA	       1
#define VM_FILE	       "vm.json"
#define USER_DATA      "user-data"
#define HOST_KEY       "ssh_host_ed25519_key"
#define IMAGES_LOCK    "images"
#define MAX_USER_DATA  (1 << 20)
#define DEFAULT_MEMORY (1ull << 30)

#define ROW(name, kind, required)                                    \
	{                                                            \
#name, kind, required, offsetof(struct vm_def, name) \
	}
static const struct json_member members[] = {
	ROW(schema, JSON_NUMBER, true),	   ROW(name, JSON_STRING, true),
	ROW(image, JSON_STRING, true),	   ROW(image_version, JSON_NUMBER, true),
	ROW(created, JSON_STRING, false),  ROW(type, JSON_STRING, false),
	ROW(memory, JSON_NUMBER, true),	   ROW(cpus, JSON_NUMBER, true),
	ROW(uuid, JSON_STRING, true),	   ROW(mac, JSON_STRING, true),
	ROW(instance, JSON_STRING, true),  ROW(host, JSON_STRING, true),
	ROW(user, JSON_STRING, false),	   ROW(password, JSON_STRING, false),
	ROW(cloud_init, JSON_BOOL, false), ROW(has_user_data, JSON_BOOL, false),
	ROW(uefi, JSON_BOOL, false),	   ROW(cloned, JSON_BOOL, false),
	ROW(disk, JSON_STRING, true),	   ROW(keys, JSON_STRINGS, false),
	ROW(options, JSON_STRINGS, false), ROW(identity, JSON_STRING, false),
	ROW(cwd, JSON_STRING, false),
};

void vm_def_init(struct vm_def *vm)
{
	*vm = (struct vm_def){
		.schema = SCHEMA,
		.keys = g_ptr_array_new_with_free_func(g_free),
		.options = g_ptr_array_new_with_free_func(g_free),
	};
}

void vm_def_clear(struct vm_def *vm)
{
	json_clear(members, G_N_ELEMENTS(members), vm);
	g_clear_pointer(&vm->folder, g_free);
}

JsonObject *vm_def_json(const struct vm_def *vm)
{
	return json_save(members, G_N_ELEMENTS(members), vm);
}

char *vm_def_path(const struct vm_def *vm, const char *file)
{
	return g_build_filename(vm->folder, file, NULL);
}

bool vms_find(const struct store *store, const char *name, struct vm_def *vm, GError **error)
{
	g_autofree char *path = NULL, *text = NULL;
	size_t len;

	vm_def_init(vm);
	vm->folder = g_build_filename(store->vms, name, NULL);
	path = vm_def_path(vm, VM_FILE);
	if (!store_name_check(name, error))
		goto fail;
	if (!g_file_test(vm->folder, G_FILE_TEST_IS_DIR)) {
		g_set_error(
			error, VIV_ERROR, VIV_ERROR_INPUT,
			"there is no VM '%s'; viv ls --all lists them, viv create %s --image IMAGE makes it",
			name, name);
		goto fail;
	}
	text = store_read(path, JSON_MAX_FILE, &len, error);
	if (!text || !json_load(path, text, len, members, G_N_ELEMENTS(members), vm, error))
		goto fail;
	if (vm->schema == SCHEMA && !strcmp(vm->name, name) && store_name_check(vm->image, NULL) &&
	    store_name_check(vm->disk, NULL) && g_uuid_string_is_valid(vm->uuid))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is damaged, or of a later viv", path);
fail:
	vm_def_clear(vm);
	return false;
}

bool vms_has(const struct store *store, const char *name)
{
	g_autofree char *folder = g_build_filename(store->vms, name, NULL);

	return store_name_check(name, NULL) && g_file_test(folder, G_FILE_TEST_IS_DIR);
}

static void free_def(void *item)
{
	vm_def_clear(item);
	g_free(item);
}

GPtrArray *vms_list(const struct store *store, GPtrArray *damaged)
{
	g_autoptr(GPtrArray) names = store_list(store->vms);
	GPtrArray *all = g_ptr_array_new_with_free_func(free_def);

	for (unsigned i = 0; i < names->len; i++) {
		struct vm_def *vm = g_new(struct vm_def, 1);
		g_autoptr(GError) error = NULL;

		if (vms_find(store, names->pdata[i], vm, &error)) {
			g_ptr_array_add(all, vm);
			continue;
		}
		g_ptr_array_add(damaged, g_strdup(error->message));
		g_free(vm);
	}
	return all;
}

char *vms_user_of(const struct store *store, const char *image, uint64_t version)
{
	g_autoptr(GPtrArray) damaged = g_ptr_array_new_with_free_func(g_free), all = vms_list(store, damaged);

	for (unsigned i = 0; i < all->len; i++) {
		const struct vm_def *vm = all->pdata[i];

		if (!strcmp(vm->image, image) && vm->image_version == version)
			return g_strdup(vm->name);
	}
	return NULL;
}

/* Of its first card, as any card has it that nothing else is said of. */
static char *first_mac(const char *text)
{
	uint8_t uuid[16], mac[6];

	g_assert(uuid_parse(text, uuid));
	uuid_mac(uuid, 0, mac);
	return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* 60 bits, without letters that look alike. */
static char *new_password(void)
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t bytes[12];
	GString *text = g_string_new(NULL);

	gcry_check_version(NULL);
	gcry_randomize(bytes, sizeof(bytes), GCRY_STRONG_RANDOM);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		g_string_append_printf(text, "%s%c", i && i % 4 == 0 ? "-" : "", letters[bytes[i] % 32]);
	return g_string_free(text, FALSE);
}

static void set_once(char **member, char *value)
{
	if (*member)
		g_free(value);
	else
		*member = value;
}

/* All by which it is told from others. */
static void make_identity(struct vm_def *vm)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();
	char *host = store_host_name(vm->name);

	set_once(&vm->created, g_date_time_format_iso8601(now));
	set_once(&vm->uuid, g_uuid_string_random());
	set_once(&vm->mac, first_mac(vm->uuid));
	set_once(&vm->instance, g_strconcat("iid-", vm->uuid, NULL));
	set_once(&vm->host, host);
	if (vm->cloud_init && vm->user)
		set_once(&vm->password, new_password());
}

static bool make_key(const char *path, const char *comment, GError **error)
{
	const char *argv[] = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path, NULL};

	return tool_run(&(struct tool){.argv = argv}, NULL, error);
}

char *vms_ssh_key(const struct store *store, char **public, GError **error)
{
	g_autofree char *folder = g_build_filename(store->data, "ssh", NULL);
	g_autofree char *path = g_build_filename(folder, "id_ed25519", NULL),
			*pub = g_strconcat(path, ".pub", NULL);
	struct store_work work = {.lock = -1};
	g_autofree char *made = NULL;
	int lock = store_lock(store, "ssh", STORE_EXCLUSIVE, NULL, error);
	bool done = lock >= 0;

	if (done && !g_file_test(pub, G_FILE_TEST_EXISTS)) {
		done = store_begin(&work, store->data, error);
		made = done ? g_build_filename(work.path, "id_ed25519", NULL) : NULL;
		done = done && make_key(made, "viv", error) && store_put(&work, folder, error);
		store_drop(&work);
	}
	store_unlock(lock);
	if (done && public) {
		*public = store_read(pub, 4096, NULL, error);
		done = *public;
		if (done)
			g_strstrip(*public);
	}
	return done ? g_steal_pointer(&path) : NULL;
}

/* The guest gets the key by its seed disk; so it is known before the guest has ever run. */
static bool make_host_key(const struct vm_def *vm, const char *folder, GError **error)
{
	g_autofree char *path = g_build_filename(folder, HOST_KEY, NULL),
			*pub = g_strconcat(path, ".pub", NULL);
	g_autofree char *known = g_build_filename(folder, "known_hosts", NULL), *key = NULL, *line = NULL;

	if (!make_key(path, vm->host, error) || !(key = store_read(pub, 4096, NULL, error)))
		return false;
	line = g_strdup_printf("%s %s", vm->name, key);
	return g_file_set_contents(known, line, -1, error);
}

static bool write_def(const struct vm_def *vm, const char *folder, GError **error)
{
	g_autofree char *path = g_build_filename(folder, VM_FILE, NULL), *text = json_text(vm_def_json(vm));

	return store_write(path, text, strlen(text), 0600, error);
}

static bool copy_user_data(struct vm_def *vm, const char *from, const char *folder, GError **error)
{
	g_autofree char *path = g_build_filename(folder, USER_DATA, NULL), *text = NULL;
	size_t len;

	if (!from)
		return true;
	text = store_read(from, MAX_USER_DATA, &len, error);
	vm->has_user_data = text && store_write(path, text, len, 0600, error);
	return vm->has_user_data;
}

/* All but the disk; then it stands in its place. */
static bool finish(const struct store *store, struct store_work *work, struct vm_def *vm,
		   const char *user_data, GError **error)
{
	make_identity(vm);
	g_free(vm->folder);
	vm->folder = g_build_filename(store->vms, vm->name, NULL);
	if (!copy_user_data(vm, user_data, work->path, error) ||
	    (vm->cloud_init && !make_host_key(vm, work->path, error)) || !write_def(vm, work->path, error))
		return false;
	if (!g_file_test(vm->folder, G_FILE_TEST_EXISTS))
		return store_put(work, vm->folder, error);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "there is a VM '%s' already; give another name, or remove it: viv rm %s", vm->name,
		    vm->name);
	return false;
}

static bool make_overlay(const struct image_ref *image, struct vm_def *vm, const char *folder, uint64_t size,
			 GError **error)
{
	const struct manifest *m = &image->manifest;
	g_autofree char *backing =
		g_strdup_printf("../../images/%s/%" G_GUINT64_FORMAT "/%s", m->name, m->version, m->file);
	g_autofree char *path = g_build_filename(folder, "disk.qcow2", NULL);

	set_once(&vm->disk, g_strdup("disk.qcow2"));
	if (size && size < m->size) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "the disk of image '%s' has %" G_GUINT64_FORMAT
			    " MiB, and what is on it needs them; give no less",
			    m->name, m->size >> 20);
		return false;
	}
	return image_create(&(struct image_create){.path = path,
						   .format = "qcow2",
						   .size = MAX(size, m->size),
						   .backing = backing,
						   .backing_format = m->format},
			    error);
}

static void take_from_image(struct vm_def *vm, const struct image_ref *image)
{
	const struct manifest *m = &image->manifest;

	g_free(vm->image);
	vm->image = g_strdup(m->name);
	vm->image_version = m->version;
	vm->cloud_init = m->cloud_init;
	set_once(&vm->user, g_strdup(m->user));
	if (!vm->memory)
		vm->memory = MAX(m->min_memory, DEFAULT_MEMORY);
	if (!vm->cpus)
		vm->cpus = 1;
	vm->uefi = strcmp(m->firmware->pdata[0], "bios") != 0;
}

static bool create_locked(const struct store *store, struct store_work *work, struct vm_def *vm,
			  const char *ref, uint64_t disk_size, const char *user_data, GError **error)
{
	struct image_ref image;
	bool done;

	if (!images_find(store, ref, &image, error))
		return false;
	done = true;
	if (user_data && !image.manifest.cloud_init) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "image '%s' has no cloud-init, which would read --user-data", ref);
		done = false;
	}
	if (done && vm->memory && vm->memory < image.manifest.min_memory) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "image '%s' needs %" G_GUINT64_FORMAT " MiB of memory; give -m", ref,
			    image.manifest.min_memory >> 20);
		done = false;
	}
	if (done) {
		take_from_image(vm, &image);
		done = make_overlay(&image, vm, work->path, disk_size, error) &&
		       finish(store, work, vm, user_data, error);
	}
	image_ref_clear(&image);
	return done;
}

bool vms_create(const struct store *store, struct vm_def *vm, const char *image, uint64_t disk_size,
		const char *user_data, GError **error)
{
	struct store_work work = {.lock = -1};
	int lock = store_lock(store, IMAGES_LOCK, STORE_SHARED, NULL, error);
	bool done = lock >= 0 && store_name_check(vm->name, error) && store_begin(&work, store->vms, error) &&
		    create_locked(store, &work, vm, image, disk_size, user_data, error);

	store_drop(&work);
	store_unlock(lock);
	return done;
}

/* As it is: its backing image is named relative to a folder that is beside its own. */
static bool copy_disk(const char *from, const char *to, GError **error)
{
	const char *argv[] = {"cp", "--reflink=auto", "--sparse=always", "--", from, to, NULL};

	return tool_run(&(struct tool){.argv = argv}, NULL, error);
}

bool vms_clone(const struct store *store, const struct vm_def *from, const char *name, struct vm_def *vm,
	       GError **error)
{
	g_autofree char *disk = vm_def_path(from, from->disk), *to = NULL;
	g_autofree char *user_data = from->has_user_data ? vm_def_path(from, USER_DATA) : NULL;
	struct store_work work = {.lock = -1};
	int lock = -1;
	bool done;

	vm_def_init(vm);
	vm->name = g_strdup(name);
	vm->image = g_strdup(from->image);
	vm->image_version = from->image_version;
	vm->type = g_strdup(from->type);
	vm->memory = from->memory;
	vm->cpus = from->cpus;
	vm->user = g_strdup(from->user);
	vm->cloud_init = from->cloud_init;
	vm->uefi = from->uefi;
	vm->cloned = true;
	vm->disk = g_strdup(from->disk);
	vm->identity = g_strdup(from->identity);
	vm->cwd = g_strdup(from->cwd);
	for (unsigned i = 0; i < from->keys->len; i++)
		g_ptr_array_add(vm->keys, g_strdup(from->keys->pdata[i]));
	for (unsigned i = 0; i < from->options->len; i++)
		g_ptr_array_add(vm->options, g_strdup(from->options->pdata[i]));
	done = store_name_check(name, error) &&
	       (lock = store_lock(store, IMAGES_LOCK, STORE_SHARED, NULL, error)) >= 0 &&
	       store_begin(&work, store->vms, error);
	if (done) {
		to = g_build_filename(work.path, vm->disk, NULL);
		done = copy_disk(disk, to, error) && finish(store, &work, vm, user_data, error);
	}
	store_drop(&work);
	store_unlock(lock);
	if (!done)
		vm_def_clear(vm);
	return done;
}

bool vms_remove(const struct store *store, const struct vm_def *vm, GError **error)
{
	return store_remove(vm->folder, error);
}
