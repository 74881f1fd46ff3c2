/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM written twice: pages are copied before their first write, put back as they were, written again,
 * and what came of both is compared. One vCPU's thread only; nothing else writes RAM meanwhile.
 */
#ifndef VIV_CPU_JIT_UNDO_H
#define VIV_CPU_JIT_UNDO_H

#include "mem/mem.h"

struct undo;

struct undo *undo_new(struct mem *mem);
void undo_free(struct undo *undo);

/* Forgets what was noted. */
void undo_begin(struct undo *undo);
/* Something in gpa's page is about to be written. */
void undo_note(struct undo *undo, uint64_t gpa);
/* A page walk is about to set these bits in the table's entry at gpa. */
void undo_note_marks(struct undo *undo, uint64_t gpa, uint64_t bits);
bool undo_has_marks(const struct undo *undo);
/* Memory as it was at the beginning; what was there is what the first writer made of it. */
void undo_rewind(struct undo *undo);
/* The same, and the second writer's work is lost. */
void undo_restore(struct undo *undo);

struct undo_difference {
	unsigned n; /* bytes */
	uint64_t gpa; /* of the first of them, and what the two writers left there */
	uint8_t first, second;
};

/* Compares the two writers' work. Bits that page walks set do not count: a processor may set them early, and
 * the two do not fetch alike. */
void undo_compare(const struct undo *undo, struct undo_difference *difference);

#endif
