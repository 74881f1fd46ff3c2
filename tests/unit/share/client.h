/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of 9P2000.L: makes messages, and takes replies apart, as Linux does. */
#ifndef VIV_TESTS_SHARE_CLIENT_H
#define VIV_TESTS_SHARE_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/le.h"

enum {
	TSTATFS = 8, TLOPEN = 12, TLCREATE = 14, TSYMLINK = 16, TMKNOD = 18, TRENAME = 20, TREADLINK = 22, TGETATTR = 24,
	TSETATTR = 26, TXATTRWALK = 30, TREADDIR = 40, TFSYNC = 50, TLOCK = 52, TGETLOCK = 54, TLINK = 70, TMKDIR = 72,
	TRENAMEAT = 74, TUNLINKAT = 76, TVERSION = 100, TATTACH = 104, TFLUSH = 108, TWALK = 110, TREAD = 116,
	TWRITE = 118, TCLUNK = 120, TREMOVE = 122,
};

#define MAX_MESSAGE 65536

/* `format`: 1, 2, 4, 8 (a number of so many bytes), s (a string), d (bytes: pointer, length). */
static inline uint32_t make_message(uint8_t *m, uint8_t type, uint16_t tag, const char *format, va_list args)
{
	uint8_t *at = m + 7;

	for (const char *f = format; *f; f++) {
		if (*f == 's') {
			const char *s = va_arg(args, const char *);

			le16_store(at, strlen(s));
			memcpy(at + 2, s, strlen(s));
			at += 2 + strlen(s);
		} else if (*f == 'd') {
			const void *data = va_arg(args, const void *);
			unsigned len = va_arg(args, unsigned);

			memcpy(at, data, len);
			at += len;
		} else {
			uint64_t value = *f == '8' ? va_arg(args, uint64_t) : va_arg(args, unsigned);

			memcpy(at, &value, *f - '0');
			at += *f - '0';
		}
	}
	le32_store(m, at - m);
	m[4] = type;
	le16_store(m + 5, tag);
	return at - m;
}

static inline void remove_tree(const char *path)
{
	const char *argv[] = {"rm", "-rf", path, NULL};

	g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
}

#endif
