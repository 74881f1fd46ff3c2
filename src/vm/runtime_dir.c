/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks are flock()'s: they end with the process, however it ends. Each look at locks, with what is
 * created or removed by it, happens under a lock of the folder itself, which nobody keeps: so no
 * lock file goes between another process's opening it and locking it.
 */
#include "vm/runtime_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define NAME_MAX_LEN 63
#define LOCK_SUFFIX  ".lock"
#define SOCK_SUFFIX  ".sock"
#define VNC_SUFFIX   ".vnc"
#define VSOCK_SUFFIX ".vsock"
#define AGENT_SUFFIX ".agent"

bool vm_name_check(const char *name, GError **error)
{
	size_t len = strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-");

	if (len && len <= NAME_MAX_LEN && !name[len] && name[0] != '.')
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' is no name; write 1 to %d of A-Z a-z 0-9 . _ -, and no dot first", name,
		    NAME_MAX_LEN);
	return false;
}

static bool is_ours(const char *folder)
{
	struct stat st;

	return folder && *folder && stat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid();
}

static char *folder_path(void)
{
	g_autofree char *run = g_strdup_printf("/run/user/%u", geteuid());

	if (is_ours(g_getenv("XDG_RUNTIME_DIR")))
		return g_build_filename(g_getenv("XDG_RUNTIME_DIR"), "viv", NULL);
	if (is_ours(run))
		return g_build_filename(run, "viv", NULL);
	return g_strdup_printf("/tmp/viv-%u", geteuid());
}

/* In /tmp anybody can be the first to make the folder, or a link in its place. */
static bool check_folder(const char *folder, GError **error)
{
	struct stat st;

	if (lstat(folder, &st) < 0)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "the folder of running VMs, '%s', cannot be made: %s; set "
			    "XDG_RUNTIME_DIR to a folder of yours",
			    folder, g_strerror(errno));
	else if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "the folder of running VMs, '%s', is somebody else's; set "
			    "XDG_RUNTIME_DIR to a folder of yours",
			    folder);
	else if (st.st_mode & 077)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "the folder of running VMs, '%s', is open to others; close it: chmod "
			    "700 '%s'",
			    folder, folder);
	else
		return true;
	return false;
}

char *runtime_dir_open(GError **error)
{
	char *folder = folder_path();

	mkdir(folder, 0700); /* what is there instead is looked at */
	if (check_folder(folder, error))
		return folder;
	g_free(folder);
	return NULL;
}

char *runtime_dir_socket(const char *folder, const char *name)
{
	return g_strconcat(folder, "/", name, SOCK_SUFFIX, NULL);
}

static bool fail(GError **error, const char *folder)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "the folder of running VMs, '%s': %s; make room for it, or set "
		    "XDG_RUNTIME_DIR to another",
		    folder, g_strerror(errno));
	return false;
}

/* Its lock is waited for: nobody keeps it. */
static int lock_folder(const char *folder, GError **error)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result;

	if (fd < 0) {
		fail(error, folder);
		return -1;
	}
	do
		result = flock(fd, LOCK_EX);
	while (result < 0 && errno == EINTR);
	return fd;
}

static int open_file(int folder_fd, const char *name, const char *suffix, int flags)
{
	g_autofree char *file = g_strconcat(name, suffix, NULL);

	return openat(folder_fd, file, flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void remove_files(int folder_fd, const char *name)
{
	static const char *const suffixes[] = {SOCK_SUFFIX, VNC_SUFFIX, VSOCK_SUFFIX, AGENT_SUFFIX, LOCK_SUFFIX};

	for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *file = g_strconcat(name, suffixes[i], NULL);

		unlinkat(folder_fd, file, 0);
	}
}

/* Whether a process has the name; under the folder's lock. */
static bool lives(int folder_fd, const char *name)
{
	int fd = open_file(folder_fd, name, LOCK_SUFFIX, 0);
	bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;

	if (fd >= 0)
		close(fd);
	return locked;
}

static int compare(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *runtime_dir_list(const char *folder, GError **error)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	GPtrArray *names;
	const char *file;
	int folder_fd = lock_folder(folder, error);

	if (folder_fd < 0)
		return NULL;
	names = g_ptr_array_new_with_free_func(g_free);
	while (dir && (file = g_dir_read_name(dir))) {
		g_autofree char *name = NULL;

		if (!g_str_has_suffix(file, LOCK_SUFFIX))
			continue;
		name = g_strndup(file, strlen(file) - strlen(LOCK_SUFFIX));
		if (lives(folder_fd, name))
			g_ptr_array_add(names, g_steal_pointer(&name));
		else
			remove_files(folder_fd, name);
	}
	close(folder_fd);
	g_ptr_array_sort(names, compare);
	return names;
}

/* Under the folder's lock. */
static bool take_name(struct vm_name *claim, const char *folder, const char *name, GError **error)
{
	claim->lock_fd = open_file(claim->folder_fd, name, LOCK_SUFFIX, O_CREAT);
	if (claim->lock_fd < 0)
		return fail(error, folder);
	if (flock(claim->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "a VM named '%s' runs already; choose another name, or end that one: "
			    "viv kill %s",
			    name, name);
		close(claim->lock_fd);
		return false;
	}
	claim->name = g_strdup(name);
	claim->socket = runtime_dir_socket(folder, name);
	claim->screen = g_strconcat(folder, "/", name, VNC_SUFFIX, NULL);
	claim->vsock = g_strconcat(folder, "/", name, VSOCK_SUFFIX, NULL);
	claim->agent = g_strconcat(folder, "/", name, AGENT_SUFFIX, NULL);
	unlink(claim->socket);
	return true;
}

bool vm_name_claim(struct vm_name *claim, const char *name, GError **error)
{
	g_autofree char *folder = runtime_dir_open(error);

	*claim = (struct vm_name){0};
	if (!folder)
		return false;
	claim->folder_fd = lock_folder(folder, error);
	if (claim->folder_fd < 0)
		return false;
	if (!take_name(claim, folder, name, error)) {
		close(claim->folder_fd);
		return false;
	}
	flock(claim->folder_fd, LOCK_UN);
	return true;
}

void vm_name_release(struct vm_name *claim)
{
	if (!claim->name)
		return;
	flock(claim->folder_fd, LOCK_EX);
	remove_files(claim->folder_fd, claim->name);
	close(claim->lock_fd);
	close(claim->folder_fd);
	g_clear_pointer(&claim->name, g_free);
	g_clear_pointer(&claim->socket, g_free);
	g_clear_pointer(&claim->screen, g_free);
	g_clear_pointer(&claim->vsock, g_free);
	g_clear_pointer(&claim->agent, g_free);
}
