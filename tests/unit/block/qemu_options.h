/* SPDX-License-Identifier: GPL-2.0-or-later */
/* That a test has rows for all options of qemu-img create, as this qemu-img tells them. */
#ifndef TESTS_UNIT_BLOCK_QEMU_OPTIONS_H
#define TESTS_UNIT_BLOCK_QEMU_OPTIONS_H

#include <glib.h>
#include <string.h>

struct qemu_option {
	const char *format, *name;
	const char *values; /* each of which a row has, parted by blanks; NULL: a test without rows
			       has it */
};

/* "name=value" stands in a row of options that commas part. */
static inline bool qemu_option_in(const char *row, const char *option)
{
	size_t len = strlen(option);

	for (const char *at = row; (at = strstr(at, option)); at++)
		if ((at == row || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
	return false;
}

/* `rows`: of const char *, NULLs among them. */
static inline void qemu_expect_rows(const struct qemu_option *option, const GPtrArray *rows)
{
	g_auto(GStrv) values = g_strsplit(option->values ? option->values : "", " ", 0);

	for (unsigned i = 0; values[i]; i++) {
		g_autofree char *text = g_strdup_printf("%s=%s", option->name, values[i]);
		bool found = false;

		for (guint j = 0; j < rows->len && !found; j++)
			found = rows->pdata[j] && qemu_option_in(rows->pdata[j], text);
		if (!found)
			g_error("no row of format %s has %s", option->format, text);
	}
}

static inline const struct qemu_option *
qemu_find_option(const struct qemu_option *options, size_t n, const char *format, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(options[i].format, format) && !strcmp(options[i].name, name))
			return &options[i];
	return NULL;
}

/* Lines of its help are "  NAME=<KIND> - TEXT". */
static inline void qemu_expect_tested(const char *format, const struct qemu_option *options,
				      size_t n, const GPtrArray *rows)
{
	const char *argv[] = {"qemu-img", "create", "-f", format, "-o", "help", NULL};
	g_autofree char *help = NULL;
	g_auto(GStrv) lines = NULL;
	unsigned known = 0;

	g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
				   &help, NULL, NULL, NULL));
	lines = g_strsplit(help, "\n", 0);
	for (unsigned i = 0; lines[i]; i++) {
		const struct qemu_option *option;
		char *end = strstr(lines[i], "=<");

		if (!g_str_has_prefix(lines[i], "  ") || !end)
			continue;
		*end = '\0';
		option = qemu_find_option(options, n, format, lines[i] + 2);
		if (!option)
			g_error("qemu-img has option %s of format %s, for which there is no row",
				lines[i] + 2, format);
		qemu_expect_rows(option, rows);
		known++;
	}
	g_assert_cmpuint(known, >, 1);
}

#endif
