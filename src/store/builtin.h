/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of src/store/builtin, as texts in the program: tools/embed writes the table. */
#ifndef VIV_STORE_BUILTIN_H
#define VIV_STORE_BUILTIN_H

#include <stddef.h>

struct builtin {
	const char *name, *text;
};
extern const struct builtin builtins[]; /* a NULL name ends */
const struct builtin *builtin_find(const char *name);

#endif
