/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

#include "base/error.h"

bool library_load(const char *soname, const char *const *names, size_t n, void *functions,
		  GError **error)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	g_autofree void **found = g_new(void *, n);

	for (size_t i = 0; library && i < n; i++)
		if (!(found[i] = dlsym(library, names[i])))
			library = NULL;
	if (!library) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "%s cannot be loaded: %s; install the package that has it", soname,
			    dlerror());
		return false;
	}
	memcpy(functions, found, n * sizeof(*found));
	return true;
}
