/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/kernel_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX	  ".vmlinux"
#define WRITE_RUN 65536u
#define KEY_LEN	  64 /* of SHA-256 in hexadecimal */

char *kernel_cache_key(const uint8_t *packed, size_t len)
{
	return g_compute_checksum_for_data(G_CHECKSUM_SHA256, packed, len);
}

static char *name_of(const char *key)
{
	return g_strconcat(key, SUFFIX, NULL);
}

/* Whether the file is ours alone to write. */
static bool is_ours(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static int open_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && !is_ours(fd, S_IFDIR)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static GBytes *map(int fd)
{
	g_autoptr(GMappedFile) file = g_mapped_file_new_from_fd(fd, FALSE, NULL);

	return file && g_mapped_file_get_length(file) ? g_mapped_file_get_bytes(file) : NULL;
}

GBytes *kernel_cache_find(const char *folder, const char *key)
{
	g_autofree char *name = name_of(key);
	int at = open_folder(folder), fd;
	GBytes *found = NULL;

	if (at < 0)
		return NULL;
	fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && is_ours(fd, S_IFREG)) {
		found = map(fd);
		futimens(fd, NULL); /* used last now */
	}
	if (fd >= 0)
		close(fd);
	close(at);
	return found;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

/* What is zero becomes a hole. */
static bool write_all(int fd, const uint8_t *data, size_t len)
{
	size_t n;

	for (size_t at = 0; at < len; at += n) {
		ssize_t done;

		n = MIN(len - at, WRITE_RUN);
		if (is_zero(data + at, n))
			continue;
		done = pwrite(fd, data + at, n, at);
		if (done < 0 && errno == EINTR)
			done = 0;
		if (done < 0)
			return false;
		n = done;
	}
	return ftruncate(fd, len) == 0 && fdatasync(fd) == 0;
}

struct kept {
	char *name;
	struct timespec used;
};

static int compare_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct kept *)a)->used,
			      *y = &((const struct kept *)b)->used;

	return x->tv_sec != y->tv_sec ? (x->tv_sec < y->tv_sec ? 1 : -1)
				      : (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

static void free_kept(void *opaque)
{
	g_free(((struct kept *)opaque)->name);
}

/* Others' files are not ours to remove. */
static bool is_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == KEY_LEN && !strcmp(name + KEY_LEN, SUFFIX);
}

static void remove_oldest(const char *folder, int at)
{
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(struct kept));
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	g_array_set_clear_func(all, free_kept);
	while (dir && (name = g_dir_read_name(dir))) {
		struct kept kept;
		struct stat st;

		if (!is_name(name) || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		kept = (struct kept){g_strdup(name), st.st_mtim};
		g_array_append_val(all, kept);
	}
	g_array_sort(all, compare_use);
	for (unsigned i = KERNEL_CACHE_MAX; i < all->len; i++)
		unlinkat(at, g_array_index(all, struct kept, i).name, 0);
}

void kernel_cache_keep(const char *folder, const char *key, GBytes *unpacked)
{
	g_autofree char *name = name_of(key);
	const uint8_t *data;
	char path[32];
	size_t len;
	int at, fd;

	g_mkdir_with_parents(folder, 0700);
	at = open_folder(folder);
	if (at < 0)
		return;
	/* Without a name until it is complete: whoever is stopped leaves nothing behind. */
	fd = openat(at, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	data = g_bytes_get_data(unpacked, &len);
	if (fd >= 0 && write_all(fd, data, len)) {
		g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		unlinkat(at, name, 0); /* one that is there was of no use */
		if (linkat(AT_FDCWD, path, at, name, AT_SYMLINK_FOLLOW) == 0)
			remove_oldest(folder, at);
	}
	if (fd >= 0)
		close(fd);
	close(at);
}
