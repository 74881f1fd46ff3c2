/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Golden images: what a machine is told from others by is taken out of a disk, without root and without
 * mounting it. */
#ifndef VIV_STORE_SEAL_H
#define VIV_STORE_SEAL_H

#include "store/vms.h"

struct seal {
	const char *image; /* of which there will be a new version */
	const char *vm;	   /* whose disk it is made of; NULL: the image's own */
	bool keep_identity;
};
bool seal_image(const struct store *store, const struct seal *how, struct steps *steps,
		struct image_ref *image, GError **error);

#endif
