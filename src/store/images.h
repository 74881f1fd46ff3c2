/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The images of the store. NAME means the newest version of an image, NAME:VERSION another. An image is never
 * changed, but for being sealed or removed: VMs' disks are overlays over it.
 */
#ifndef VIV_STORE_IMAGES_H
#define VIV_STORE_IMAGES_H

#include "store/manifest.h"
#include "store/store.h"
#include "store/tool.h"

struct image_ref {
	struct manifest manifest;
	char *folder, *disk; /* paths */
};
void image_ref_clear(struct image_ref *image);

/* VIV_ERROR_INPUT where there is none. */
bool images_find(const struct store *store, const char *ref, struct image_ref *image, GError **error);
uint64_t images_newest(const struct store *store, const char *name); /* version; 0: there is none */
bool images_has(const struct store *store, const char *ref);
/* All, of struct image_ref *, by name and version. Damaged ones are told in `damaged`, a line each, and left
 * out. */
GPtrArray *images_list(const struct store *store, GPtrArray *damaged);

/* What `work` holds becomes the next version of manifest->name. Fills in version, file size, checksum and
 * time. The disk's file is manifest->file of it. */
bool images_add(const struct store *store, struct store_work *work, struct manifest *manifest,
		struct steps *steps, struct image_ref *image, GError **error);
/* Its disk is what it was. */
bool images_verify(const struct image_ref *image, struct steps *steps, GError **error);
/* Refused while a VM's disk stands on it. */
bool images_remove(const struct store *store, const struct image_ref *image, GError **error);
/* Removes leftovers of dead processes, and versions that are neither the newest nor in use; `told` gets a
 * line each. */
bool images_gc(const struct store *store, GPtrArray *told, GError **error);
/* Writes its manifest again. */
bool images_update(const struct image_ref *image, GError **error);

#endif
