/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's VMs as they are while they do not run: a folder each, with
 *
 *   vm.json		     what follows
 *   disk.FORMAT	     an overlay over its image's disk
 *   user-data		     the user's own for cloud-init, if there is one
 *   ssh_host_ed25519_key    the guest's key, made here: so the first connection is as safe as the next
 *   known_hosts	     the same for ssh(1)
 *   seed.iso, vars.fd	     made at the start
 *
 * What tells a machine from others, its MAC address, UUID, host's name, password and host key, is made anew
 * for each; its machine-id the guest makes itself, since images have none.
 */
#ifndef VIV_STORE_VMS_H
#define VIV_STORE_VMS_H

#include "store/images.h"

struct vm_def {
	uint64_t schema;
	char *name;
	char *image;		/* name of its image */
	uint64_t image_version; /* on which its disk stands */
	char *created;
	char *type; /* NULL: none was said */
	uint64_t memory, cpus;
	char *uuid, *mac, *instance;
	char *host;	/* name */
	char *user;	/* NULL: not known */
	char *password; /* of the user, for consoles only; NULL: none */
	bool cloud_init;
	bool has_user_data;
	bool uefi;
	bool cloned;	    /* its disk has been another VM's */
	char *disk;	    /* file in the folder */
	GPtrArray *keys;    /* of char *: public keys that may enter */
	char *identity;	    /* file of the private key for one of them; NULL: as ssh finds */
	GPtrArray *options; /* of char *: more words for `viv run`, said in the folder `cwd` */
	char *cwd;
	char *folder; /* not in the file */
};
void vm_def_init(struct vm_def *vm);
void vm_def_clear(struct vm_def *vm);
/* A path in its folder; freed by the caller. */
char *vm_def_path(const struct vm_def *vm, const char *file);

/* VIV_ERROR_INPUT where there is none. */
bool vms_find(const struct store *store, const char *name, struct vm_def *vm, GError **error);
bool vms_has(const struct store *store, const char *name);
/* All, of struct vm_def *; damaged ones are told in `damaged`, a line each. */
GPtrArray *vms_list(const struct store *store, GPtrArray *damaged);
/* Some VM whose disk stands on that image; NULL: none does. Freed by the caller. */
char *vms_user_of(const struct store *store, const char *image, uint64_t version);

/* A new VM `vm->name` of `image` (of which its reference is looked up): everything that is not set is made or
 * taken from the image. `disk_size`: bytes, 0: as the image has. `user_data`: the user's file, or NULL. */
bool vms_create(const struct store *store, struct vm_def *vm, const char *image, uint64_t disk_size,
		const char *user_data, GError **error);
/* Another machine with a copy of `from`'s disk, which does not run: the caller's care. */
bool vms_clone(const struct store *store, const struct vm_def *from, const char *name, struct vm_def *vm,
	       GError **error);
bool vms_remove(const struct store *store, const struct vm_def *vm, GError **error);
/* The key by which `viv ssh` enters, made where it is missing: its path; and the public one's text. */
char *vms_ssh_key(const struct store *store, char **public, GError **error);
JsonObject *vm_def_json(const struct vm_def *vm);

#endif
