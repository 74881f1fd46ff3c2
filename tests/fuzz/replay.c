/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target over the files of the folder named on the command line: the corpus as a
 * regression test, where the build has no libFuzzer.
 */
#include <glib.h>
#include <stdio.h>

#include "fuzz.h"

static void replay(const char *folder, const char *name)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);
	g_autofree char *data = NULL;
	g_autoptr(GError) error = NULL;
	gsize len;

	if (!g_file_get_contents(path, &data, &len, &error))
		g_error("%s", error->message);
	LLVMFuzzerTestOneInput((const uint8_t *)data, len);
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDir) dir = argc == 2 ? g_dir_open(argv[1], 0, &error) : NULL;
	const char *name;
	unsigned n = 0;

	if (!dir) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER (%s)\n", argv[0],
			error ? error->message : "one argument");
		return 1;
	}
	LLVMFuzzerTestOneInput(NULL, 0);
	while ((name = g_dir_read_name(dir))) {
		replay(argv[1], name);
		printf("ok %u %s\n", ++n, name);
	}
	printf("1..%u\n", n);
	return n ? 0 : 1;
}
