/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files in which a user finds what the translator made and what was traced. Seen in this folder only. */
#ifndef VIV_VM_LISTING_H
#define VIV_VM_LISTING_H

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

struct vm_config;

struct listing {
	FILE *trace;	/* NULL: not wanted; each line is written at once */
	FILE *perf_map; /* NULL: not wanted; each line is written at once */
	FILE *regions;	/* NULL: not wanted, or done */
};

/* Makes the files that are wanted. */
bool listing_open(struct listing *listing, const struct vm_config *config, GError **error);
/* Closes `regions`; false if not all of it could be written. */
bool listing_finish(struct listing *listing, const struct vm_config *config, GError **error);
void listing_close(struct listing *listing);

#endif
