/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where files are. Seen in this folder only. */
#ifndef VIV_BLOCK_FILE_INT_H
#define VIV_BLOCK_FILE_INT_H

#include "block/file.h"

/* A file or a block device of the host. */
struct file *file_open_host(const char *path, unsigned flags, GError **error);
/* A disk of an NBD server. */
bool file_is_nbd(const char *name);
struct file *file_open_nbd(const char *uri, unsigned flags, GError **error);

#endif
