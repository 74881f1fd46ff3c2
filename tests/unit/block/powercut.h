/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that loses its power: a file in memory that remembers what was written since the last
 * flush, and of that keeps any part, in sectors and in any order, when the power is cut.
 *
 * Its file is struct file, so that any format can stand on it. Thread-safe as files are.
 */
#ifndef VIV_TESTS_UNIT_BLOCK_POWERCUT_H
#define VIV_TESTS_UNIT_BLOCK_POWERCUT_H

#include "block/file.h"
#include "block/image.h"

#define POWERCUT_MAX_SIZE (256u << 20) /* writes past it fail with -ENOSPC */
#define POWERCUT_NEVER	  UINT64_MAX

struct powercut;

struct powercut *powercut_new(uint32_t seed);
/* Another, whose power goes with that one's: steps of both are counted there. Each is flushed, saved
 * and restored by itself; freed first. */
struct powercut *powercut_beside(struct powercut *disk, uint32_t seed);
void powercut_free(struct powercut *disk);
/* Its bytes; may be opened again once it is closed. */
struct file *powercut_open(struct powercut *disk, bool read_only);
/* The power goes after `steps` more steps (a write, a flush, a change of size), the last of which
 * may be done in part: from then on all of them fail. */
void powercut_at(struct powercut *disk, uint64_t steps);
bool powercut_is_dead(const struct powercut *disk);
uint64_t powercut_steps(const struct powercut *disk); /* so far */
/* With nothing open: the power is back, and with it what survived. */
void powercut_restore(struct powercut *disk);
/* All bytes, to go back to, with nothing open; what was not flushed is from now on. */
GBytes *powercut_save(struct powercut *disk);
void powercut_load(struct powercut *disk, GBytes *saved);

/* An image of a file, which becomes its; NULL with the error set. Closed by image_close(). */
struct image *image_of_file(const char *format, struct file *file, struct image *backing,
			    bool read_only, GError **error);

#endif
