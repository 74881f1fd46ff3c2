/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compression as the kernel's build does it: one row a format. */
#ifndef VIV_TESTS_FIRMWARE_PACK_H
#define VIV_TESTS_FIRMWARE_PACK_H

#include <glib.h>

struct packer {
	const char *name;
	GByteArray *(*pack)(const guint8 *data, gsize len);
};

extern const struct packer packers[];
extern const unsigned n_packers;

#endif
