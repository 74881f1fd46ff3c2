/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/floppy/format.h"

/* Smallest first. */
static const struct floppy_format formats[] = {
	{40, 1, 8, 1 << RATE_300 | 1 << RATE_250, 1}, /* 160 KB */
	{40, 1, 9, 1 << RATE_300 | 1 << RATE_250, 1}, /* 180 KB */
	{40, 2, 8, 1 << RATE_300 | 1 << RATE_250, 1}, /* 320 KB */
	{40, 2, 9, 1 << RATE_300 | 1 << RATE_250, 1}, /* 360 KB */
	{80, 2, 9, 1 << RATE_250, 3},		      /* 720 KB */
	{80, 2, 15, 1 << RATE_500, 2},		      /* 1.2 MB */
	{80, 2, 18, 1 << RATE_500, 4},		      /* 1.44 MB */
	{80, 2, 21, 1 << RATE_500, 4},		      /* 1.68 MB, as software was sold on */
	{80, 2, 36, 1 << RATE_1000, 5},		      /* 2.88 MB */
};

const struct floppy_format *floppy_format_of(const struct block *medium)
{
	for (size_t i = 0; medium && i < G_N_ELEMENTS(formats); i++) {
		const struct floppy_format *f = &formats[i];
		uint64_t size = (uint64_t)f->tracks * f->heads * f->sectors * BLOCK_SECTOR_SIZE;

		if (block_size(medium) <= size)
			return f;
	}
	return NULL;
}

uint8_t floppy_drive_type(const struct block *medium)
{
	const struct floppy_format *format = floppy_format_of(medium);

	return format ? format->drive : 4;
}
