/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk that tells a guest's cloud-init who it is: an ISO 9660 image with the volume id `cidata` (the
 * NoCloud data source). meta-data has name and keys; vendor-data what else is ours, over which a user's
 * user-data wins.
 */
#ifndef VIV_STORE_SEED_H
#define VIV_STORE_SEED_H

#include "store/vms.h"

/* A shared folder that the guest mounts when it starts, where its tag says. */
struct seed_mount {
	const char *path, *type, *options;
};

/* Writes it to `path`, in place of what is there. */
bool seed_make(const struct vm_def *vm, const struct seed_mount *mounts, unsigned n_mounts, const char *path,
	       GError **error);
/* The texts that it has: for tests. Freed by the caller. */
char *seed_meta_data(const struct vm_def *vm);
char *seed_vendor_data(const struct vm_def *vm, const struct seed_mount *mounts, unsigned n_mounts,
		       const char *host_key, const char *host_key_public);
char *seed_network_config(const struct vm_def *vm);

#endif
