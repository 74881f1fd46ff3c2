/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a table of blocks leads to, all of it: the end of what is in use, what is wrong, and
 * mending. */
#include "block/bat.h"

#include <errno.h>

enum { COPY_BATCH = 1 << 20 };
#define NO_BLOCK UINT64_MAX

/* In the file, of a block with what comes before its data, or of NO_BLOCK. */
struct place {
	uint64_t at, len, block;
};

struct checking {
	struct bat *bat;
	enum image_repair repair;
	struct image_check *report;
	GArray *places; /* of struct place */
	uint64_t lost;	/* blocks that there is space for */
};

static int compare_places(const void *a, const void *b)
{
	const struct place *one = a, *two = b;

	return one->at < two->at ? -1 : one->at > two->at;
}

static uint64_t stride(const struct bat *bat)
{
	return bat->lead + bat->block_size;
}

void image_check_say(struct image_check *report, const char *format, ...)
{
	va_list args;

	if (report->messages->len >= 100)
		return;
	va_start(args, format);
	g_ptr_array_add(report->messages, g_strdup_vprintf(format, args));
	va_end(args);
}

/* ---- the end ---- */

static int move_end(struct bat *bat, uint64_t block, enum bat_kind kind, uint64_t offset,
		    void *opaque)
{
	if (kind == BAT_DATA || kind == BAT_PARTIAL)
		bat->end = MAX(bat->end, offset + bat->block_size);
	return 0;
}

int bat_find_end(struct bat *bat, const struct bat_range *taken, unsigned n_taken)
{
	bat->end = 0;
	for (unsigned i = 0; i < n_taken; i++)
		bat->end = MAX(bat->end, taken[i].at + taken[i].len);
	return bat_scan(bat, move_end, NULL);
}

/* ---- mending ---- */

static int copy_place(struct bat *bat, uint64_t from, uint64_t to)
{
	g_autofree uint8_t *bytes = g_malloc(COPY_BATCH);
	int status = 0;

	for (uint64_t done = 0; done < stride(bat) && !status; done += COPY_BATCH) {
		size_t n = MIN(stride(bat) - done, COPY_BATCH);

		status = file_load(bat->file, from + done, bytes, n);
		if (!status)
			status = file_store(bat->file, to + done, bytes, n);
	}
	return status;
}

static int move_block(struct bat *bat, struct place *place, uint64_t to)
{
	int status = copy_place(bat, place->at, to);

	if (!status)
		status = bat_set_entry(bat, place->block, bat->ops->encode(bat, to + bat->lead));
	place->at = to;
	return status;
}

static int mend_lost(struct checking *c, uint64_t block)
{
	int status = 0;

	c->report->errors++;
	image_check_say(c->report, "block %" G_GUINT64_FORMAT ": its entry leads nowhere", block);
	if (c->repair == IMAGE_REPAIR_ALL) {
		status = bat_set_entry(c->bat, block, c->bat->nothing);
		c->report->errors_fixed += !status;
	}
	return status;
}

static int mend_double(struct checking *c, struct place *place)
{
	uint64_t offset;
	int status = 0;

	c->report->errors++;
	image_check_say(c->report,
			"block %" G_GUINT64_FORMAT ": at 0x%" G_GINT64_MODIFIER
			"x, where something else is, too",
			place->block, place->at);
	if (c->repair != IMAGE_REPAIR_ALL)
		return 0;
	status = bat_take_place(c->bat, &offset);
	if (!status)
		status = move_block(c->bat, place, offset - c->bat->lead);
	c->report->errors_fixed += !status;
	return status;
}

/* The last blocks go to where space is lost, from the start on. */
static int fill_holes(struct checking *c)
{
	struct place *places = (struct place *)c->places->data;
	uint64_t used = UINT64_MAX, len = stride(c->bat);
	guint n = c->places->len;
	int status = 0;

	for (guint i = 0; i < n && !status; i++) {
		while (used <= places[i].at && places[i].at - used >= len && !status) {
			while (n > i && places[n - 1].block == NO_BLOCK)
				n--;
			if (n <= i)
				return 0;
			status = move_block(c->bat, &places[--n], used);
			used += len;
		}
		if (used != UINT64_MAX || places[i].block != NO_BLOCK)
			used = MAX(used == UINT64_MAX ? 0 : used, places[i].at + places[i].len);
	}
	return status;
}

static int mend_leaks(struct checking *c, const struct bat_range *taken, unsigned n_taken)
{
	struct bat *bat = c->bat;
	int status = fill_holes(c);

	if (!status)
		status = bat_flush(bat);
	if (!status)
		status = bat_find_end(bat, taken, n_taken);
	if (!status)
		status = bat->file->ops->set_size(bat->file, MIN(bat->end, bat->file->size));
	bat->grown = true;
	c->report->end = bat->end;
	if (!status)
		c->report->leaks_fixed += c->lost;
	return status;
}

/* ---- checking ---- */

static int check_entry(struct bat *bat, uint64_t block, enum bat_kind kind, uint64_t offset,
		       void *opaque)
{
	struct checking *c = opaque;
	struct place place = {.at = offset - bat->lead, .len = stride(bat), .block = block};

	c->report->compressed += kind == BAT_COMPRESSED;
	c->report->allocated += kind != BAT_NOTHING && kind != BAT_ZERO && kind != BAT_BAD;
	if (kind == BAT_DATA || kind == BAT_PARTIAL)
		g_array_append_val(c->places, place);
	return kind == BAT_BAD ? mend_lost(c, block) : 0;
}

/* Space before the first block and after the last one, up to other things, is the format's. */
static int check_places(struct checking *c)
{
	uint64_t last = NO_BLOCK, lost = 0, gap = 0, used = 0;
	uint64_t size = c->bat->file->size; /* before what is mended goes behind it */
	int status = 0;

	for (guint i = 0; i < c->places->len && !status; i++) {
		struct place *place = &g_array_index(c->places, struct place, i);
		uint64_t at = place->at;
		bool is_block = place->block != NO_BLOCK;

		if (is_block && at < used)
			status = mend_double(c, place);
		else if (last != NO_BLOCK)
			gap += (at - MIN(used, at)) / stride(c->bat);
		if (is_block) {
			lost += gap;
			gap = 0;
			c->report->fragmented += last != NO_BLOCK && place->block < last;
			last = place->block;
		}
		used = MAX(used, at + place->len);
	}
	c->report->end = MAX(c->report->end, used);
	if (last != NO_BLOCK && size > used)
		lost += (size - used) / stride(c->bat);
	if (lost)
		image_check_say(c->report, "space of %" G_GUINT64_FORMAT " blocks is of none",
				lost);
	c->report->leaks += lost;
	c->lost = lost;
	return status;
}

int bat_check(struct bat *bat, const struct bat_range *taken, unsigned n_taken,
	      enum image_repair repair, struct image_check *report)
{
	g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(struct place));
	struct checking c = {bat, repair, report, places, 0};
	int status = bat_scan(bat, check_entry, &c);

	report->clusters += (bat->size + bat->block_size - 1) / bat->block_size;
	/* Compressed blocks are of any length: what is lost between them is not known. */
	if (status || report->compressed)
		return status;
	for (unsigned i = 0; i < n_taken; i++)
		g_array_append_val(places, ((struct place){taken[i].at, taken[i].len, NO_BLOCK}));
	g_array_sort(places, compare_places);
	status = check_places(&c);
	if (status || repair == IMAGE_REPAIR_NOTHING || !c.lost ||
	    report->errors != report->errors_fixed)
		return status;
	g_array_sort(places, compare_places);
	return mend_leaks(&c, taken, n_taken);
}
