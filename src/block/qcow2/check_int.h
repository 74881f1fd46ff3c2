/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What check.c and check_tables.c share: what was found so far. Seen by these only. */
#ifndef VIV_BLOCK_QCOW2_CHECK_INT_H
#define VIV_BLOCK_QCOW2_CHECK_INT_H

#include "block/qcow2/qcow2_int.h"

enum role { ROLE_NONE, ROLE_TABLE, ROLE_L2 };

struct checker {
	struct qcow2 *q;
	struct image_check *report;
	bool mend_leaks, mend_errors;
	GHashTable *counts; /* number of a refcount block -> its uint32_t of what was found */
	GHashTable *roles;  /* cluster that is a table -> enum role */
	GArray *old_blocks; /* of uint64_t: clusters of refcount table and blocks */
	bool rebuild, bitmaps_overlap, snapshots_changed;
	uint64_t memory, last_block;
	uint32_t *last_counts;
	int status;
};

void check_error(struct checker *c, const char *format, ...) G_GNUC_PRINTF(2, 3);
void check_leak(struct checker *c, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* What was found of the clusters that a refcount block counts; NULL: nothing, or, where it is to
 * be made, there is no memory. */
uint32_t *check_counts_of(struct checker *c, uint64_t block, bool make);
void check_count(struct checker *c, uint64_t cluster, int by);
uint32_t check_counted(struct checker *c, uint64_t cluster);
enum role check_role_of(struct checker *c, uint64_t cluster);
/* Why the entry of a byte of the disk cannot be right; NULL: it can. */
const char *check_fault_of(struct checker *c, uint64_t offset, struct qcow2_mapping m);
/* Goes through all tables, and mends those that are not refcounts if that is wanted. */
void check_tables(struct checker *c);

#endif
