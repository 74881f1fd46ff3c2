/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define NAME_MAX_LEN 63
#define WORK_PREFIX  ".new-"
#define WORK_LOCK    ".lock"

static bool refuse_host(GError **error, const char *what, const char *path)
{
	int saved = errno;

	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot %s '%s': %s", what, path, g_strerror(saved));
	return false;
}

static bool make_folder(const char *path, GError **error)
{
	return g_mkdir_with_parents(path, 0700) == 0 || refuse_host(error, "make the folder", path);
}

struct store *store_open(GError **error)
{
	struct store *store = g_new(struct store, 1);
	const char *state = g_getenv("XDG_STATE_HOME");

	*store = (struct store){
		.data = g_build_filename(g_get_user_data_dir(), "viv", NULL),
		.config = g_build_filename(g_get_user_config_dir(), "viv", NULL),
		.state = state && g_path_is_absolute(state)
				 ? g_build_filename(state, "viv", NULL)
				 : g_build_filename(g_get_home_dir(), ".local", "state", "viv", NULL),
	};
	store->images = g_build_filename(store->data, "images", NULL);
	store->vms = g_build_filename(store->data, "vms", NULL);
	if (make_folder(store->images, error) && make_folder(store->vms, error) &&
	    make_folder(store->state, error))
		return store;
	store_close(store);
	return NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	g_free(store->data);
	g_free(store->config);
	g_free(store->state);
	g_free(store->images);
	g_free(store->vms);
	g_free(store);
}

bool store_name_check(const char *name, GError **error)
{
	size_t len = strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-");

	if (len && len <= NAME_MAX_LEN && !name[len] && g_ascii_isalnum(name[0]))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' is no name; write 1 to %d of A-Z a-z 0-9 . _ -, a letter or digit first", name,
		    NAME_MAX_LEN);
	return false;
}

char *store_host_name(const char *name)
{
	char *host = g_ascii_strdown(name, -1);

	g_strcanon(host, "abcdefghijklmnopqrstuvwxyz0123456789-", '-');
	for (size_t len = strlen(host); len && host[len - 1] == '-';)
		host[--len] = '\0';
	return host;
}

int store_lock(const struct store *store, const char *name, enum store_lock kind, const char *waiting,
	       GError **error)
{
	g_autofree char *path = g_strdup_printf("%s/.%s.lock", store->data, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int operation = kind == STORE_EXCLUSIVE ? LOCK_EX : LOCK_SH;

	if (fd < 0) {
		refuse_host(error, "open", path);
		return -1;
	}
	if (flock(fd, operation | LOCK_NB) == 0)
		return fd;
	if (waiting)
		fprintf(stderr, "viv: %s\n", waiting);
	while (flock(fd, operation) < 0) {
		if (errno == EINTR)
			continue;
		refuse_host(error, "lock", path);
		close(fd);
		return -1;
	}
	return fd;
}

void store_unlock(int lock)
{
	if (lock >= 0)
		close(lock);
}

static bool sync_folder(const char *path, GError **error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (!done)
		refuse_host(error, "write", path);
	if (fd >= 0)
		close(fd);
	return done;
}

bool store_write(const char *path, const char *text, size_t len, int mode, GError **error)
{
	if (g_file_set_contents_full(path, text, len,
				     G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, mode,
				     error))
		return true;
	if (error) {
		(*error)->domain = VIV_ERROR;
		(*error)->code = VIV_ERROR_HOST;
	}
	return false;
}

char *store_read(const char *path, size_t max, size_t *len, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	g_autofree char *text = NULL;
	size_t done = 0;
	ssize_t n = 1;

	if (fd < 0) {
		refuse_host(error, "open", path);
		return NULL;
	}
	text = g_malloc(max + 2);
	while (n > 0 && done <= max) {
		n = read(fd, text + done, max + 1 - done);
		done += n > 0 ? n : 0;
	}
	if (n < 0)
		refuse_host(error, "read", path);
	close(fd);
	if (n < 0)
		return NULL;
	if (done > max) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is larger than %zu KiB, which it never is", path, max >> 10);
		return NULL;
	}
	text[done] = '\0';
	if (len)
		*len = done;
	return g_steal_pointer(&text);
}

/* Held while a folder in it has no lock that says that its maker lives: shared by makers. -1: it cannot be. */
static int lock_parent(const char *parent, int operation)
{
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, operation) < 0) {
		if (errno == EINTR)
			continue;
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool begin_locked(struct store_work *work, const char *parent, GError **error)
{
	g_autofree char *path = g_build_filename(parent, WORK_PREFIX "XXXXXX", NULL);
	g_autofree char *lock = NULL;

	if (!g_mkdtemp_full(path, 0700))
		return refuse_host(error, "make a folder in", parent);
	lock = g_build_filename(path, WORK_LOCK, NULL);
	work->path = g_steal_pointer(&path);
	work->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return (work->lock >= 0 && flock(work->lock, LOCK_EX) == 0) || refuse_host(error, "lock", lock);
}

bool store_begin(struct store_work *work, const char *parent, GError **error)
{
	int guard;
	bool done;

	*work = (struct store_work){.lock = -1};
	if (!make_folder(parent, error))
		return false;
	store_sweep(parent);
	guard = lock_parent(parent, LOCK_SH);
	done = guard >= 0 ? begin_locked(work, parent, error) : refuse_host(error, "lock", parent);
	store_unlock(guard);
	return done;
}

bool store_put(struct store_work *work, const char *path, GError **error)
{
	g_autofree char *lock = g_build_filename(work->path, WORK_LOCK, NULL);
	g_autofree char *from = g_path_get_dirname(work->path), *parent = g_path_get_dirname(path);
	int guard;
	bool done;

	if (!make_folder(parent, error) || !sync_folder(work->path, error))
		return false;
	guard = lock_parent(from, LOCK_SH);
	unlink(lock);
	done = g_rename(work->path, path) == 0 || refuse_host(error, "make", path);
	store_unlock(guard);
	if (!done)
		return false;
	g_clear_pointer(&work->path, g_free);
	store_unlock(work->lock);
	work->lock = -1;
	return sync_folder(parent, error);
}

/* Of a tree that nobody else changes. */
static bool remove_tree(const char *path)
{
	struct stat st;
	struct dirent *entry;
	DIR *dir;

	if (lstat(path, &st) < 0)
		return errno == ENOENT;
	if (!S_ISDIR(st.st_mode))
		return unlink(path) == 0 || errno == ENOENT;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT;
	while ((entry = readdir(dir))) {
		g_autofree char *child = g_build_filename(path, entry->d_name, NULL);

		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			remove_tree(child);
	}
	closedir(dir);
	return rmdir(path) == 0 || errno == ENOENT; /* another may be at it, too */
}

void store_drop(struct store_work *work)
{
	if (work->path)
		remove_tree(work->path);
	g_clear_pointer(&work->path, g_free);
	store_unlock(work->lock);
	work->lock = -1;
}

bool store_remove(const char *path, GError **error)
{
	g_autofree char *parent = g_path_get_dirname(path);
	g_autofree char *gone = g_build_filename(parent, WORK_PREFIX "XXXXXX", NULL);

	if (unlink(path) == 0)
		return true;
	if (!g_mkdtemp_full(gone, 0700) || g_rename(path, gone) < 0) {
		refuse_host(error, "remove", path);
		rmdir(gone);
		return false;
	}
	return remove_tree(gone) || refuse_host(error, "remove", gone);
}

/* A folder whose maker lives has a lock that is held; one without a lock file is being made or removed right
 * now, or was left. */
static bool is_left(const char *path)
{
	g_autofree char *lock = g_build_filename(path, WORK_LOCK, NULL);
	int fd = open(lock, O_RDWR | O_CLOEXEC);
	bool left = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0;

	if (fd >= 0)
		close(fd);
	return left;
}

unsigned store_sweep(const char *parent)
{
	int guard = lock_parent(parent, LOCK_EX);
	DIR *dir = opendir(parent);
	struct dirent *entry;
	unsigned n = 0;

	while (guard >= 0 && dir && (entry = readdir(dir))) {
		g_autofree char *path = g_build_filename(parent, entry->d_name, NULL);

		if (g_str_has_prefix(entry->d_name, WORK_PREFIX) && is_left(path))
			n += remove_tree(path);
	}
	if (dir)
		closedir(dir);
	store_unlock(guard);
	return n;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *store_list(const char *folder)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			g_ptr_array_add(names, g_strdup(entry->d_name));
	if (dir)
		closedir(dir);
	g_ptr_array_sort(names, compare_names);
	return names;
}
