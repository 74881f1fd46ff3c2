/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/size.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

bool size_parse(const char *text, unsigned shift, uint64_t *size)
{
	static const char suffixes[] = "KMGT";
	const char *suffix = NULL;
	guint64 number;
	char *end;

	if (!g_ascii_isdigit(text[0]))
		return false;
	errno = 0;
	number = g_ascii_strtoull(text, &end, 10);
	if (*end) {
		suffix = strchr(suffixes, g_ascii_toupper(*end));
		if (!suffix || end[1])
			return false;
		shift = 10 * (suffix - suffixes + 1);
	}
	if (errno || number > UINT64_MAX >> shift)
		return false;
	*size = number << shift;
	return true;
}

char *size_format(uint64_t size)
{
	return g_format_size_full(size, G_FORMAT_SIZE_IEC_UNITS);
}
