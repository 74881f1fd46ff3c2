/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder of a test's own. */
#ifndef TESTS_UNIT_BLOCK_FOLDER_H
#define TESTS_UNIT_BLOCK_FOLDER_H

#include <glib/gstdio.h>

static inline char *folder_new(void)
{
	char *folder = g_dir_make_tmp("viv-test-XXXXXX", NULL);

	g_assert_nonnull(folder);
	return folder;
}

/* With the files in it. */
static inline void folder_free(char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);

	for (const char *name; (name = g_dir_read_name(dir));) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		g_unlink(path);
	}
	g_rmdir(folder);
	g_free(folder);
}

#endif
