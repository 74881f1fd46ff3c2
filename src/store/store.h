/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's images and VMs at rest, in the folders of the XDG base directory specification:
 *
 *   $XDG_DATA_HOME/viv/images/NAME/VERSION/   manifest.json and the disk (store/images.h)
 *   $XDG_DATA_HOME/viv/vms/NAME/		vm.json, the disk and what goes with it (store/vms.h)
 *   $XDG_DATA_HOME/viv/ssh/id_ed25519		the key by which `viv ssh` enters
 *   $XDG_CONFIG_HOME/viv/			recipes/NAME.yaml, types.yaml
 *   $XDG_STATE_HOME/viv/			logs of builds
 *
 * Several viv may use it at once: what is there is complete, since a folder is made beside its place and
 * renamed into it, and whoever removes, or makes what depends on another thing, holds the lock. Whatever a
 * dead process has left half made begins with a dot, and goes when the next thing is made there.
 */
#ifndef VIV_STORE_STORE_H
#define VIV_STORE_STORE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct store {
	char *data, *config, *state;
	char *images, *vms; /* in data */
};

/* The folders, made where they are missing; others may not look into them. */
struct store *store_open(GError **error);
void store_close(struct store *store);

/* 1 to 63 letters, digits, dots, dashes and underscores, a letter or digit first: fit for a path. */
bool store_name_check(const char *name, GError **error);
/* A part of `name` that is a host's name: RFC 1123. Freed by the caller. */
char *store_host_name(const char *name);

enum store_lock { STORE_SHARED, STORE_EXCLUSIVE };
/* Waits for the lock `name` in the data folder; first says `waiting` on standard error where it has to and
 * `waiting` is not NULL. Returns what store_unlock() takes, or -1. */
int store_lock(const struct store *store, const char *name, enum store_lock kind, const char *waiting,
	       GError **error);
void store_unlock(int lock);

/* A file that is there as a whole, on the disk, or as it was. */
bool store_write(const char *path, const char *text, size_t len, int mode, GError **error);
/* The text of a file that has at most `max` bytes; NULL with the error set. */
char *store_read(const char *path, size_t max, size_t *len, GError **error);
/* A new folder in `parent`, locked by this process until store_put() or store_drop(). */
struct store_work {
	char *path;
	int lock;
};
bool store_begin(struct store_work *work, const char *parent, GError **error);
/* It stands at `path` from now on; it had to be free. */
bool store_put(struct store_work *work, const char *path, GError **error);
void store_drop(struct store_work *work);
/* A file; or a folder with what is in it, renamed first, so that it is gone at once. */
bool store_remove(const char *path, GError **error);
/* What dead processes left in `parent`; returns how many there were. */
unsigned store_sweep(const char *parent);
/* Names in a folder, no hidden ones, sorted. */
GPtrArray *store_list(const char *folder);

#endif
