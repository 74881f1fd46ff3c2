/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a recipe to an image in the store, without root where the host lets mmdebstrap do that. */
#ifndef VIV_STORE_BUILD_H
#define VIV_STORE_BUILD_H

#include "store/images.h"
#include "store/recipe.h"

/* A new version of the image `name`, from the recipe of that name; `image` is it. One build of a name at a
 * time: whoever waited for another's gets that one's image where its recipe is the same. */
bool build_image(const struct store *store, const char *name, struct steps *steps, struct image_ref *image,
		 GError **error);

#endif
