/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an image is: manifest.json beside its disk. */
#ifndef VIV_STORE_MANIFEST_H
#define VIV_STORE_MANIFEST_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#define MANIFEST_FILE "manifest.json"

struct manifest {
	uint64_t schema; /* of the manifest: 1 */
	char *name;
	uint64_t version; /* of the image, from 1 on */
	char *description;
	char *architecture;	   /* x86_64 */
	GPtrArray *firmware;	   /* of char *: bios, uefi: what can start it; the first one does */
	uint64_t min_memory, size; /* bytes: of RAM; of the disk as a guest sees it */
	char *file;		   /* of the disk, in the folder; a plain name */
	char *format;		   /* of src/block; never guessed */
	char *sha256;		   /* of the file, 64 hexadecimal digits */
	char *origin;		   /* where it comes from: "recipe debian", a file, a URL */
	char *created;		   /* ISO 8601 */
	bool sealed;		   /* golden: without an identity, never changed */
	bool cloud_init;	   /* it obeys a seed disk */
	char *user;		   /* who logs in; NULL: not known */
	char *recipe;		   /* digest of what it was built from; NULL: it was not */
};

void manifest_init(struct manifest *manifest);
void manifest_fini(struct manifest *manifest);
/* Into an inited one; every value in it is then safe to use. `file` is for errors. */
bool manifest_parse(struct manifest *manifest, const char *file, const char *text, size_t len,
		    GError **error);
JsonObject *manifest_json(const struct manifest *manifest);

#endif
