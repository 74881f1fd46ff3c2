/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared libraries that are loaded by whoever first needs them. What few commands use, and brings
 * dozens of libraries of its own, would else make the start of every command take twice as long
 * (docs/adr/0023-late-libraries.md).
 *
 * A user lists the functions once, under the names that the library's header declares:
 *
 *	#define LIBFOO(X) X(foo_new) X(foo_free)
 *	struct libfoo { LIBFOO(LIBRARY_MEMBER) };
 *	static const char *const names[] = {LIBFOO(LIBRARY_NAME)};
 *
 * and calls foo.foo_new() after library_load("libfoo.so.1", names, n_names, &foo, error).
 */
#ifndef VIV_BASE_LIBRARY_H
#define VIV_BASE_LIBRARY_H

#include <glib.h>
#include <stdbool.h>

#define LIBRARY_MEMBER(name) __typeof__(&(name)) name;
#define LIBRARY_NAME(name)   G_STRINGIFY(name),

/*
 * Looks the functions up, in the order of their names, and writes their addresses to `functions`.
 * The library stays loaded. False with the error set (VIV_ERROR_HOST) where there is none of that
 * name, or not all of them in it. Any thread.
 */
bool library_load(const char *soname, const char *const *names, size_t n, void *functions,
		  GError **error);

#endif
