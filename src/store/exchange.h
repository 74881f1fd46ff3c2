/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images from elsewhere, and for elsewhere. */
#ifndef VIV_STORE_EXCHANGE_H
#define VIV_STORE_EXCHANGE_H

#include "store/images.h"

struct exchange_import {
	const char *source; /* a file, or a URL of http or https */
	const char *name;   /* NULL: as the file is called */
	const char *format; /* of src/block, or ova; NULL: what it looks like */
	const char *description, *user;
	bool cloud_init, uefi;
};
/* An image that names a backing image is refused: nobody knows what is in that. */
bool exchange_import(const struct store *store, const struct exchange_import *how, struct steps *steps,
		     struct image_ref *image, GError **error);
/* To a new file; `format` NULL: what its extension says. */
bool exchange_export(const struct image_ref *image, const char *path, const char *format, struct steps *steps,
		     GError **error);

#endif
