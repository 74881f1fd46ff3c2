/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What floppy disks there are. An image has the smallest format that holds it; what it lacks of
 * that cannot be read, as on a disk that was formatted in part.
 */
#ifndef VIV_DEV_FLOPPY_FORMAT_H
#define VIV_DEV_FLOPPY_FORMAT_H

#include <stdint.h>

#include "block/block.h"

/* Data rates, as DSR and CCR have them. */
enum { RATE_500, RATE_300, RATE_250, RATE_1000 };

struct floppy_format {
	uint8_t tracks, heads, sectors;
	uint8_t rates; /* at which it can be read, a bit each */
	uint8_t drive; /* for floppy_drive_type() */
};

/* NULL: of no disk, or of one that is too large. */
const struct floppy_format *floppy_format_of(const struct block *medium);
/* The drive that a board puts in for a medium, or for NULL, as CMOS names it at 10h: 1 (360 KB),
 * 2 (1.2 MB), 3 (720 KB), 4 (1.44 MB), 5 (2.88 MB). */
uint8_t floppy_drive_type(const struct block *medium);

#endif
