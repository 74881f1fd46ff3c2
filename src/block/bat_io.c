/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and writing through a table of blocks. */
#include "block/bat.h"

#include <errno.h>
#include <string.h>

enum { COPY_BATCH = 1 << 20, MAX_MERGED = 1 << 16 };

/* What stands at a place of the disk, alike for `len` bytes. */
struct run {
	enum bat_kind kind;
	uint64_t block, offset, len;
};

/* ---- lookup ---- */

static int find_block(struct bat *bat, uint64_t at, uint64_t len, bool may_wait, struct run *run)
{
	uint64_t skip, entry;
	int status;

	if (!bat->ops) {
		*run = (struct run){BAT_DATA, 0, bat->end + at, len};
		return 0;
	}
	run->block = at / bat->block_size;
	skip = at % bat->block_size;
	run->len = MIN(len, bat->block_size - skip);
	status = bat_entry(bat, run->block, may_wait, &entry);
	if (status)
		return status;
	run->kind = bat->ops->decode(bat, run->block, entry, &run->offset);
	if (run->kind == BAT_BAD)
		return -EIO;
	run->offset += run->kind == BAT_DATA ? skip : 0;
	return 0;
}

static bool goes_on(const struct run *run, const struct run *next)
{
	if (run->kind != next->kind)
		return false;
	return run->kind == BAT_NOTHING || run->kind == BAT_ZERO ||
	       (run->kind == BAT_DATA && run->offset + run->len == next->offset);
}

/* As much as is alike: blocks that stand one after the other are one transfer. Of a large table
 * only a part is looked at, and kept, at a time. */
static int find(struct bat *bat, uint64_t at, uint64_t len, bool may_wait, struct run *run)
{
	int status = find_block(bat, at, len, may_wait, run);
	struct run next;

	for (unsigned n = 0; n < MAX_MERGED && !status && run->len < len; n++) {
		if (find_block(bat, at + run->len, len - run->len, may_wait, &next) ||
		    !goes_on(run, &next))
			break;
		run->len += next.len;
	}
	return status;
}

/* Cuts the run of a partial block to sectors that are alike. */
static int find_sectors(struct bat *bat, uint64_t at, struct run *run, bool *here)
{
	unsigned sector = at % bat->block_size / IMAGE_SECTOR_SIZE, n;
	int status = bat->ops->present(bat, run->block, run->offset, sector,
				       run->len / IMAGE_SECTOR_SIZE, &n, here);

	if (!status)
		run->len = (uint64_t)n * IMAGE_SECTOR_SIZE;
	return status;
}

/* ---- reading ---- */

static int read_partial(struct bat *bat, uint64_t at, struct run *run, struct span span)
{
	bool here;
	int status = find_sectors(bat, at, run, &here);

	if (status)
		return status;
	span = span_part(span, 0, run->len);
	return here ? bat->file->ops->read(bat->file, run->offset + at % bat->block_size, span)
		    : image_read_backing(bat->image, bat->start + at, span);
}

static int read_compressed(struct bat *bat, uint64_t at, const struct run *run, struct span span)
{
	g_autofree uint8_t *bytes = g_malloc(bat->block_size);
	int status = bat->ops->inflate(bat, run->block, run->offset, bytes);

	if (!status)
		span_store(span_part(span, 0, run->len), bytes + at % bat->block_size);
	return status;
}

int bat_read(struct bat *bat, uint64_t at, struct span span)
{
	int status = 0;

	while (span.len && !status) {
		struct span part;
		struct run run;

		status = find(bat, at, span.len, true, &run);
		if (status)
			break;
		part = span_part(span, 0, run.len);
		if (run.kind == BAT_DATA)
			status = bat->file->ops->read(bat->file, run.offset, part);
		else if (run.kind == BAT_NOTHING)
			status = image_read_backing(bat->image, bat->start + at, part);
		else if (run.kind == BAT_PARTIAL)
			status = read_partial(bat, at, &run, span);
		else if (run.kind == BAT_COMPRESSED)
			status = read_compressed(bat, at, &run, span);
		else
			span_zero(part);
		at += run.len;
		span = span_part(span, run.len, span.len - run.len);
	}
	return status;
}

/* ---- writing ---- */

int bat_take_place(struct bat *bat, uint64_t *offset)
{
	uint64_t len = bat->lead + bat->block_size;
	int status = -EFBIG;

	g_mutex_lock(&bat->lock);
	if (bat->end <= bat->max_end && len <= bat->max_end - bat->end)
		status = file_zero(bat->file, bat->end, len, true);
	if (!status) {
		*offset = bat->end + bat->lead;
		bat->end += len;
		bat->grown = true;
	}
	g_mutex_unlock(&bat->lock);
	return status;
}

/* What the backing image shows at `at` goes to where the block's data is. */
static int copy_up(struct bat *bat, uint64_t at, uint64_t len, uint64_t offset)
{
	uint64_t left = at < bat->size ? MIN(len, bat->size - at) : 0;
	g_autofree uint8_t *bytes = left ? g_malloc(MIN(left, COPY_BATCH)) : NULL;
	int status = 0;

	while (left && !status) {
		struct span span = SPAN(bytes, MIN(left, COPY_BATCH));

		status = image_read_backing(bat->image, bat->start + at, span);
		if (!status)
			status = bat->file->ops->write(bat->file, offset, span);
		at += span.len;
		offset += span.len;
		left -= span.len;
	}
	return status;
}

/* A place for a block that has none; the table leads to it once its bytes are there. */
static int place_block(struct bat *bat, uint64_t at, struct span span, const struct run *run)
{
	uint64_t skip = at % bat->block_size, rest = bat->block_size - skip - span.len, offset = 0;
	bool shows = run->kind == BAT_NOTHING && bat->image->backing;
	int status = bat_take_place(bat, &offset);

	if (!status && bat->ops->lead)
		status = bat->ops->lead(bat, run->block, offset);
	if (!status && shows)
		status = copy_up(bat, at - skip, skip, offset);
	if (!status && shows)
		status = copy_up(bat, at + span.len, rest, offset + skip + span.len);
	if (!status)
		status = bat->file->ops->write(bat->file, offset + skip, span);
	return status ? status : bat_set_entry(bat, run->block, bat->ops->encode(bat, offset));
}

/* All sectors of a partial block become its own. */
static int complete_block(struct bat *bat, const struct run *block)
{
	uint64_t start = block->block * bat->block_size;
	uint64_t len = MIN(bat->block_size, bat->size - start);
	int status = 0;

	for (uint64_t done = 0; done < len && !status;) {
		struct run run = *block;
		bool here;

		run.len = len - done;
		status = find_sectors(bat, start + done, &run, &here);
		if (!status && !here)
			status = copy_up(bat, start + done, run.len, block->offset + done);
		done += run.len;
	}
	if (!status && bat->ops->complete)
		status = bat->ops->complete(bat, block->block, block->offset);
	return status ? status
		      : bat_set_entry(bat, block->block, bat->ops->encode(bat, block->offset));
}

static int write_compressed(struct bat *bat, uint64_t at, struct span span, const struct run *run)
{
	g_autofree uint8_t *bytes = g_malloc(bat->block_size);
	uint64_t start = run->block * bat->block_size, entry;
	struct span whole = SPAN(bytes, MIN(bat->block_size, bat->size - start));
	int status;

	memset(bytes, 0, bat->block_size);
	status = span.len == whole.len ? 0 : bat_read(bat, start, whole);
	span_load(span, bytes + at % bat->block_size);
	if (!status && run->kind == BAT_NOTHING && !bat->image->backing && span_is_zero(whole))
		return 0;
	if (!status)
		status = bat->ops->deflate(bat, run->block, bytes, &entry);
	return status ? status : bat_set_entry(bat, run->block, entry);
}

/* A part of a block that cannot be written where it is. Others may have been here first. */
static int write_block(struct bat *bat, uint64_t at, struct span span)
{
	GMutex *stripe = &bat->stripes[at / bat->block_size % BAT_STRIPES];
	bool in_place = false;
	struct run run;
	int status;

	g_mutex_lock(stripe);
	status = find_block(bat, at, span.len, true, &run);
	if (status) {
		g_mutex_unlock(stripe);
		return status;
	}
	if (bat->ops->deflate) {
		status = write_compressed(bat, at, span, &run);
	} else if (run.kind == BAT_NOTHING || run.kind == BAT_ZERO) {
		status = place_block(bat, at, span, &run);
	} else if (run.kind == BAT_PARTIAL) {
		status = complete_block(bat, &run);
		run.offset += at % bat->block_size;
		in_place = true;
	} else if (run.kind == BAT_DATA) {
		in_place = true;
	} else {
		status = -EROFS;
	}
	g_mutex_unlock(stripe);
	return status || !in_place ? status : bat->file->ops->write(bat->file, run.offset, span);
}

int bat_write(struct bat *bat, uint64_t at, struct span span)
{
	int status = 0;

	while (span.len && !status) {
		struct run run;
		struct span part;

		status = find(bat, at, span.len, true, &run);
		if (status)
			break;
		if (run.kind != BAT_DATA)
			run.len = MIN(run.len, bat->block_size - at % bat->block_size);
		part = span_part(span, 0, run.len);
		status = run.kind == BAT_DATA ? bat->file->ops->write(bat->file, run.offset, part)
					      : write_block(bat, at, part);
		at += run.len;
		span = span_part(span, run.len, span.len - run.len);
	}
	return status;
}

/* ---- zeroes ---- */

static int write_zeroes(struct bat *bat, uint64_t at, uint64_t len)
{
	static const uint8_t zeroes[64 << 10];
	int status = 0;

	for (uint64_t done = 0; done < len && !status; done += sizeof(zeroes))
		status = bat_write(bat, at + done, SPAN(zeroes, MIN(len - done, sizeof(zeroes))));
	return status;
}

/* A block that is not BAT_DATA; all of it, and the format can say so: no byte is written. */
static int zero_block(struct bat *bat, uint64_t at, uint64_t len)
{
	uint64_t block = at / bat->block_size, whole = MIN(bat->block_size, bat->size - at);
	GMutex *stripe = &bat->stripes[block % BAT_STRIPES];
	struct run run;
	int status;

	if (len < whole || !bat->has_zero)
		return write_zeroes(bat, at, len);
	g_mutex_lock(stripe);
	status = find_block(bat, at, len, true, &run);
	if (!status && run.kind == BAT_NOTHING)
		status = bat_set_entry(bat, block, bat->zero);
	g_mutex_unlock(stripe);
	return !status && run.kind != BAT_NOTHING ? write_zeroes(bat, at, len) : status;
}

/* How much of it is in the file, which is not to get another size but under the lock. */
static uint64_t inside(const struct bat *bat, const struct run *run)
{
	uint64_t size = bat->file->size;

	return run->offset < size ? MIN(run->len, size - run->offset) : 0;
}

int bat_zero(struct bat *bat, uint64_t at, uint64_t len, bool unmap)
{
	int status = 0;

	while (len && !status) {
		struct run run;

		status = find(bat, at, len, true, &run);
		if (status)
			break;
		if (run.kind == BAT_DATA) {
			status = file_zero(bat->file, run.offset, inside(bat, &run), unmap);
		} else if (run.kind != BAT_ZERO &&
			   (run.kind != BAT_NOTHING || bat->image->backing)) {
			run.len = MIN(run.len, bat->block_size - at % bat->block_size);
			status = zero_block(bat, at, run.len);
		}
		at += run.len;
		len -= run.len;
	}
	return status;
}

/* A block keeps its place; what is behind it is given back where the file can do that. */
int bat_discard(struct bat *bat, uint64_t at, uint64_t len)
{
	int status = 0;

	while (len && !status) {
		uint64_t there = 0;
		struct run run;

		status = find(bat, at, len, true, &run);
		if (!status && run.kind == BAT_DATA)
			there = inside(bat, &run);
		if (there)
			status = bat->file->ops->zero(bat->file, run.offset, there, true);
		status = status == -EOPNOTSUPP ? 0 : status;
		at += run.len;
		len -= run.len;
	}
	return status;
}

/* ---- where ---- */

static int map_data(struct bat *bat, struct run *run, struct image_extent *extent)
{
	uint64_t there = run->offset < bat->file->size ? bat->file->size - run->offset : 0;
	bool zero = true;
	int status = 0;

	if (there)
		status = bat->file->ops->map(bat->file, run->offset, MIN(run->len, there),
					     &run->len, &zero);
	extent->kind = zero ? IMAGE_ZERO : IMAGE_DATA;
	if (bat->file == bat->image->file)
		extent->file_offset = run->offset;
	return status;
}

int bat_map(struct bat *bat, uint64_t at, uint64_t len, struct image_extent *extent)
{
	static const enum image_extent_kind kinds[] = {
		[BAT_NOTHING] = IMAGE_UNALLOCATED,
		[BAT_ZERO] = IMAGE_ZERO,
		[BAT_COMPRESSED] = IMAGE_COMPRESSED,
	};
	bool here = false;
	struct run run;
	int status = find(bat, at, len, true, &run);

	if (!status && run.kind == BAT_PARTIAL) {
		status = find_sectors(bat, at, &run, &here);
		run.kind = here ? BAT_DATA : BAT_NOTHING;
		run.offset += at % bat->block_size;
	}
	if (status)
		return status;
	if (run.kind == BAT_DATA)
		status = map_data(bat, &run, extent);
	else
		extent->kind = kinds[run.kind];
	extent->len = run.len;
	return status;
}

bool bat_locate(struct bat *bat, uint64_t at, uint64_t len, bool write, uint64_t *file_offset)
{
	struct run run;

	if (bat->file != bat->image->file || find(bat, at, len, false, &run) ||
	    run.kind != BAT_DATA || run.len < len)
		return false;
	*file_offset = run.offset;
	return true;
}

/* ---- images of one table ---- */

char *image_path_of_windows(const char *name, bool relative)
{
	g_autofree char *path = g_strdelimit(g_strdup(name), "\\", '/');
	const char *slash = strrchr(path, '/');

	if (!relative && slash)
		return g_strdup(slash + 1);
	return g_strdup(g_str_has_prefix(path, "./") ? path + 2 : path);
}

char *image_windows_path(const char *name)
{
	if (g_path_is_absolute(name))
		return g_strdup(name);
	return g_strdelimit(g_strconcat("./", name, NULL), "/", '\\');
}

int bat_image_read(struct image *image, uint64_t offset, struct span span)
{
	return bat_read(&((struct bat_image *)image)->bat, offset, span);
}

int bat_image_write(struct image *image, uint64_t offset, struct span span)
{
	return bat_write(&((struct bat_image *)image)->bat, offset, span);
}

int bat_image_flush(struct image *image)
{
	return bat_flush(&((struct bat_image *)image)->bat);
}

int bat_image_discard(struct image *image, uint64_t offset, uint64_t len)
{
	return bat_discard(&((struct bat_image *)image)->bat, offset, len);
}

int bat_image_write_zeroes(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	return bat_zero(&((struct bat_image *)image)->bat, offset, len, unmap);
}

int bat_image_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent)
{
	return bat_map(&((struct bat_image *)image)->bat, offset, len, extent);
}

bool bat_image_locate(struct image *image, uint64_t offset, uint64_t len, bool write,
		      uint64_t *file_offset)
{
	return bat_locate(&((struct bat_image *)image)->bat, offset, len, write, file_offset);
}
