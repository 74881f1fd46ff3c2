/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an image is built from: a YAML file, docs/man/viv.1 has its keys. A recipe may begin with all of
 * another one, `extends`, and adds to it.
 */
#ifndef VIV_STORE_RECIPE_H
#define VIV_STORE_RECIPE_H

#include <stdint.h>

#include "store/store.h"

struct recipe_file {
	char *path; /* in the image, absolute, without dots */
	char *content;
	char *mode; /* octal digits */
};

struct recipe {
	char *description;
	char *extends; /* NULL: nothing; already in the rest */
	char *suite;   /* of Debian; NULL: the host's */
	char *kernel;  /* package */
	char *user;
	uint64_t size, min_memory; /* bytes */
	GPtrArray *packages;	   /* of char * */
	GPtrArray *commands;	   /* of char *, lines of sh, run in the image at the end */
	GPtrArray *files;	   /* of struct recipe_file */
	GChecksum *digest;	   /* of all files that it was read from */
};

/* recipes/NAME.yaml of the user, or the built-in one of that name. NULL with the error set. */
struct recipe *recipe_find(const struct store *store, const char *name, GError **error);
/* `file`: a path, for errors. What it extends is found as above; `store` may be NULL: only what is built in.
 */
struct recipe *recipe_parse(const struct store *store, const char *file, const char *text, size_t len,
			    GError **error);
void recipe_free(struct recipe *recipe);
bool recipe_exists(const struct store *store, const char *name);

#endif
