/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encryption of disks: LUKS version 1 (its on-disk format specification 1.2.3), and the cipher that
 * qcow2 had before. Seen in this folder and below only.
 *
 * Threads: luks_read() and luks_write() on several at once. Offsets and lengths are of whole
 * sectors.
 */
#ifndef VIV_BLOCK_LUKS_H
#define VIV_BLOCK_LUKS_H

#include "block/file.h"

struct luks;

/* Finds the key by the passphrase; the header is at `offset` of the file. NULL with the error set.
 */
struct luks *luks_open(struct file *file, uint64_t offset, const char *passphrase, GError **error);
/* AES in CBC mode, with the passphrase for a key. */
struct luks *luks_open_legacy(const char *passphrase, GError **error);
void luks_free(struct luks *luks);		/* NULL is fine */
/* Without a passphrase: bytes from the header on to the data. */
bool luks_find(struct file *file, uint64_t offset, uint64_t *payload, GError **error);

/* Bytes that stand at `at` of the file; `tweak` is their offset in bytes as the cipher has it. */
int luks_read(const struct luks *luks, struct file *file, uint64_t at, uint64_t tweak,
	      struct span span);
int luks_write(const struct luks *luks, struct file *file, uint64_t at, uint64_t tweak,
	       struct span span);

/* What luks_format() takes, in bytes. */
uint64_t luks_header_len(void);
/* A new header with a new key: AES-256-XTS, of which a guess at the passphrase takes
 * `guess_ms` here. */
bool luks_format(struct file *file, uint64_t offset, const char *passphrase, unsigned guess_ms,
		 GError **error);

#endif
