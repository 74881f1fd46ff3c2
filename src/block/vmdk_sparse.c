/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK's sparse extents: a directory of grain tables, each in the file, or nowhere as long as it is
 * empty; in most images all of it twice. In streams the grains are compressed and follow one
 * another, each behind its number and length, and tables and directory come last.
 */
#include "block/vmdk_int.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/le.h"

enum {
	MAX_TABLES = 4 << 20,
	MAX_GRAIN = 32768, /* sectors */
	MIN_GRAIN = 8,
	MAX_ENTRIES = 4096,
	ENTRY_ZERO = 1,
	/* A grain's marker, and others (the size is 0, and there is a type). */
	G_NUMBER = 0,
	G_SIZE = 8,
	G_TYPE = 12,
	G_BYTES = 12,
	MARKER_TABLE = 1,
	MARKER_DIRECTORY = 2,
	MARKER_FOOTER = 3,
};

static struct extent *extent_of(struct bat *bat)
{
	return (struct extent *)bat; /* begins with it */
}

/* ---- the tables ---- */

static enum bat_kind sparse_decode(struct bat *bat, uint64_t block, uint64_t entry,
				   uint64_t *offset)
{
	const struct extent *extent = extent_of(bat);

	if (!entry)
		return BAT_NOTHING;
	if (entry == ENTRY_ZERO && extent->zero_grains)
		return BAT_ZERO;
	*offset = entry * IMAGE_SECTOR_SIZE;
	if (entry == ENTRY_ZERO || *offset >= bat->file->size)
		return BAT_BAD;
	return extent->compressed ? BAT_COMPRESSED : BAT_DATA;
}

static uint64_t sparse_encode(struct bat *bat, uint64_t offset)
{
	return offset / IMAGE_SECTOR_SIZE;
}

/* A grain table comes to the end of the file, zeroed, before the directory leads to it. */
static int add_table(struct bat *bat, uint32_t *table, uint64_t directory_at, uint64_t page)
{
	uint64_t at = bat->end;
	uint8_t entry[4];
	int status = at > bat->max_end - bat->page_bytes
			     ? -EFBIG
			     : file_zero(bat->file, at, bat->page_bytes, true);

	if (!status)
		status = bat->file->ops->flush(bat->file);
	le32_store(entry, at / IMAGE_SECTOR_SIZE);
	if (!status)
		status = file_store(bat->file, directory_at + page * 4, entry, 4);
	if (status)
		return status;
	table[page] = at / IMAGE_SECTOR_SIZE;
	bat->end = at + bat->page_bytes;
	return 0;
}

static int sparse_page_at(struct bat *bat, uint64_t page, bool make, uint64_t *offset)
{
	struct extent *extent = extent_of(bat);
	int status = 0;

	if (make && !extent->tables[page] && !extent->compressed)
		status = add_table(bat, extent->tables, extent->directory_at, page);
	if (!status && make && extent->redundant && !extent->redundant[page])
		status = add_table(bat, extent->redundant, extent->redundant_at, page);
	*offset = (uint64_t)extent->tables[page] * IMAGE_SECTOR_SIZE;
	return status || *offset < bat->file->size ? status : -EIO;
}

static int sparse_store(struct bat *bat, const struct bat_batch *batch)
{
	struct extent *extent = extent_of(bat);
	int status = 0;

	for (unsigned i = 0; i < batch->n && !status; i++) {
		const uint8_t *bytes = batch->bytes + (size_t)i * bat->page_bytes;
		uint32_t page = batch->page[i];

		status = file_store(bat->file, (uint64_t)extent->tables[page] * IMAGE_SECTOR_SIZE,
				    bytes, bat->page_bytes);
		if (!status && extent->redundant)
			status = file_store(bat->file,
					    (uint64_t)extent->redundant[page] * IMAGE_SECTOR_SIZE,
					    bytes, bat->page_bytes);
	}
	return status;
}

static const struct bat_ops sparse_ops = {
	.decode = sparse_decode,
	.encode = sparse_encode,
	.page_at = sparse_page_at,
	.store = sparse_store,
};

/* ---- compressed grains ---- */

static int stream_inflate(struct bat *bat, uint64_t block, uint64_t offset, uint8_t *to)
{
	const struct extent *extent = extent_of(bat);
	uint64_t left = bat->file->size - offset;
	size_t max = compressBound(bat->block_size) + IMAGE_SECTOR_SIZE, len = MIN(max, left);
	g_autofree uint8_t *bytes = NULL;
	uLongf got = bat->block_size;
	uint8_t marker[G_BYTES];
	int status = 0;

	if (extent->markers) {
		status = file_load(bat->file, offset, marker, sizeof(marker));
		if (status)
			return status;
		len = le32_load(marker + G_SIZE);
		offset += G_BYTES;
		if (le64_load(marker + G_NUMBER) != block * (bat->block_size / IMAGE_SECTOR_SIZE) ||
		    len > max)
			return -EIO;
	}
	bytes = g_malloc(len);
	status = file_load(bat->file, offset, bytes, len);
	if (status)
		return status;
	memset(to, 0, bat->block_size);
	/* Without markers it is not known where the grain ends: what follows it does no harm. */
	return uncompress(to, &got, bytes, len) == Z_OK ? 0 : -EIO;
}

static int stream_deflate(struct bat *bat, uint64_t block, const uint8_t *from, uint64_t *entry)
{
	uLongf len = compressBound(bat->block_size);
	g_autofree uint8_t *bytes = g_malloc0(round_up(len + G_BYTES, IMAGE_SECTOR_SIZE));
	uint64_t at, whole;

	if (extent_of(bat)->finished)
		return -EROFS;
	if (compress2(bytes + G_BYTES, &len, from, bat->block_size, Z_DEFAULT_COMPRESSION) != Z_OK)
		return -ENOMEM;
	le64_store(bytes + G_NUMBER, block * (bat->block_size / IMAGE_SECTOR_SIZE));
	le32_store(bytes + G_SIZE, len);
	whole = round_up(len + G_BYTES, IMAGE_SECTOR_SIZE);
	g_mutex_lock(&bat->lock);
	at = bat->end;
	if (whole <= bat->max_end - at)
		bat->end += whole;
	g_mutex_unlock(&bat->lock);
	if (whole > bat->max_end - at)
		return -EFBIG;
	*entry = at / IMAGE_SECTOR_SIZE;
	return file_store(bat->file, at, bytes, whole);
}

static const struct bat_ops stream_read_ops = {
	.decode = sparse_decode,
	.encode = sparse_encode,
	.page_at = sparse_page_at,
	.inflate = stream_inflate,
};

static const struct bat_ops stream_write_ops = {
	.decode = sparse_decode,
	.encode = sparse_encode,
	.page_at = sparse_page_at,
	.inflate = stream_inflate,
	.deflate = stream_deflate,
};

static int store_marker(struct file *file, uint64_t *at, uint64_t sectors, unsigned type)
{
	uint8_t marker[IMAGE_SECTOR_SIZE] = {};
	int status;

	le64_store(marker + G_NUMBER, sectors);
	le32_store(marker + G_TYPE, type);
	status = file_store(file, *at, marker, sizeof(marker));
	*at += sizeof(marker);
	return status;
}

static int store_directory(struct file *file, uint64_t *at, const uint32_t *tables, uint64_t n)
{
	uint64_t len = round_up(n * 4, IMAGE_SECTOR_SIZE);
	g_autofree uint8_t *bytes = g_malloc0(len);
	int status = store_marker(file, at, len / IMAGE_SECTOR_SIZE, MARKER_DIRECTORY);

	for (uint64_t i = 0; i < n; i++)
		le32_store(bytes + 4 * i, tables[i]);
	if (!status)
		status = file_store(file, *at, bytes, len);
	*at += len;
	return status;
}

/* Directory, footer and the mark of the end; the footer is the header that knows the directory. */
static int store_end(struct file *file, uint64_t at, const uint8_t *header, const uint32_t *tables,
		     uint64_t n)
{
	uint8_t footer[S_BYTES];
	int status;

	memcpy(footer, header, S_BYTES);
	le64_store(footer + S_DIRECTORY_AT, at / IMAGE_SECTOR_SIZE + 1);
	status = store_directory(file, &at, tables, n);
	if (!status)
		status = store_marker(file, &at, 1, MARKER_FOOTER);
	if (!status)
		status = file_store(file, at, footer, S_BYTES);
	at += S_BYTES;
	return status ? status : store_marker(file, &at, 0, 0);
}

static int finish(struct extent *extent)
{
	struct bat *bat = &extent->bat;
	unsigned sectors = bat->page_bytes / IMAGE_SECTOR_SIZE;
	uint64_t at = bat->end;
	int status = 0;

	for (uint64_t page = 0; page < extent->n_tables && !status; page++) {
		if (!bat->changed[page])
			continue;
		status = store_marker(bat->file, &at, sectors, MARKER_TABLE);
		extent->tables[page] = at / IMAGE_SECTOR_SIZE;
		if (!status)
			status = file_store(bat->file, at, bat->pages[page], bat->page_bytes);
		at += bat->page_bytes;
	}
	if (!status)
		status = store_end(bat->file, at, extent->header, extent->tables, extent->n_tables);
	if (!status)
		status = bat->file->ops->flush(bat->file);
	return status;
}

int vmdk_finish_stream(struct extent *extent)
{
	int status;

	g_rw_lock_writer_lock(&extent->ending);
	if (!extent->finished && extent->bat.dirty->len) {
		status = finish(extent);
		extent->finished = !status;
	} else {
		status = extent->file->ops->flush(extent->file);
	}
	g_rw_lock_writer_unlock(&extent->ending);
	return status;
}

/* ---- open ---- */

static bool damaged(const struct extent *extent, const char *what, GError **error)
{
	return image_reject(error, "vmdk disk '%s' is damaged: %s; restore it from a copy",
			    extent->file->name, what);
}

static bool load_header(struct extent *extent, GError **error)
{
	struct file *file = extent->file;
	uint8_t *header = extent->header;
	int status = file_load(file, 0, header, S_BYTES);

	if (!status && le64_load(header + S_DIRECTORY_AT) == DIRECTORY_AT_END) {
		if (file->size < 3 * IMAGE_SECTOR_SIZE)
			return damaged(extent, "its end is missing", error);
		status = file_load(file, file->size - 2 * IMAGE_SECTOR_SIZE, header, S_BYTES);
	}
	if (status)
		return image_fail(file->name, status, "cannot read its header", error);
	if (memcmp(header, "KDMV", 4))
		return damaged(extent,
			       "a sparse extent without its header, or a stream without "
			       "its end",
			       error);
	if (le32_load(header + S_VERSION) < 1 || le32_load(header + S_VERSION) > 3)
		return image_reject(error,
				    "vmdk disk '%s' is of version %u, which is not supported",
				    file->name, le32_load(header + S_VERSION));
	return true;
}

static bool load_directory(struct extent *extent, uint64_t sector, uint32_t **tables, uint64_t *at,
			   GError **error)
{
	uint64_t len = extent->n_tables * 4;
	int status;

	if (sector > extent->file->size / IMAGE_SECTOR_SIZE ||
	    len > extent->file->size - sector * IMAGE_SECTOR_SIZE)
		return damaged(extent, "its directory would be past its end", error);
	*at = sector * IMAGE_SECTOR_SIZE;
	*tables = g_malloc(len);
	status = file_load(extent->file, *at, *tables, len);
	for (uint64_t i = 0; i < extent->n_tables; i++)
		(*tables)[i] = GUINT32_FROM_LE((*tables)[i]);
	return !status ||
	       image_fail(extent->file->name, status, "cannot read its directory", error);
}

static bool check_header(struct extent *extent, GError **error)
{
	const uint8_t *header = extent->header;
	uint64_t grain = le64_load(header + S_GRAIN_SIZE),
		 capacity = le64_load(header + S_CAPACITY);
	uint32_t entries = le32_load(header + S_ENTRIES), flags = le32_load(header + S_FLAGS);

	if (grain < MIN_GRAIN || grain > MAX_GRAIN || grain & (grain - 1) || entries < 128 ||
	    entries > MAX_ENTRIES || entries & (entries - 1))
		return image_reject(error,
				    "vmdk disk '%s' has grains of %" G_GUINT64_FORMAT
				    " sectors, %u to a table, which is not supported",
				    extent->file->name, grain, entries);
	if (!capacity || capacity > INT64_MAX / IMAGE_SECTOR_SIZE ||
	    capacity / grain / entries > MAX_TABLES || capacity / grain >= BAT_MAX_BLOCKS)
		return damaged(extent, "its size is that of no disk", error);
	if (flags & FLAG_COMPRESSED && le16_load(header + S_COMPRESSION) != COMPRESSION_DEFLATE)
		return image_reject(error,
				    "vmdk disk '%s' is compressed in a way that is not supported",
				    extent->file->name);
	return true;
}

static bool is_empty(const struct extent *extent)
{
	for (uint64_t i = 0; i < extent->n_tables; i++)
		if (extent->tables[i])
			return false;
	return true;
}

/* Streams are written once, by who made them; see vmdk.c. */
static bool open_stream(struct extent *extent, GError **error)
{
	struct bat *bat = &extent->bat;

	bat->ops = &stream_read_ops;
	if (bat->image->read_only)
		return true;
	if (!is_empty(extent) || !extent->markers)
		return image_reject(error,
				    "vmdk disk '%s' is stream-optimized, which is written once and "
				    "then only read; attach it read-only, or convert it with: viv "
				    "disk convert",
				    extent->file->name);
	bat->ops = &stream_write_ops;
	bat->end = round_up(MAX(le64_load(extent->header + S_OVERHEAD), 1), 1) * IMAGE_SECTOR_SIZE;
	if (bat->end <= bat->max_end)
		return true;
	return damaged(extent, "its first grain would be past its end", error);
}

GArray *vmdk_sparse_taken(const struct extent *extent)
{
	GArray *taken = g_array_new(FALSE, FALSE, sizeof(struct bat_range));
	struct bat_range range = {0, S_BYTES};

	g_array_append_val(taken, range);
	range = (struct bat_range){extent->directory_at, extent->n_tables * 4};
	g_array_append_val(taken, range);
	range.at = extent->redundant_at;
	if (extent->redundant)
		g_array_append_val(taken, range);
	for (uint64_t i = 0; i < extent->n_tables; i++) {
		range = (struct bat_range){(uint64_t)extent->tables[i] * IMAGE_SECTOR_SIZE,
					   extent->bat.page_bytes};
		if (range.at)
			g_array_append_val(taken, range);
		range.at =
			extent->redundant ? (uint64_t)extent->redundant[i] * IMAGE_SECTOR_SIZE : 0;
		if (range.at)
			g_array_append_val(taken, range);
	}
	return taken;
}

/* What was cut off may have left space behind the last grain. */
static bool find_end(struct extent *extent, GError **error)
{
	g_autoptr(GArray) taken = vmdk_sparse_taken(extent);
	int status = extent->compressed ? 0
					: bat_find_end(&extent->bat,
						       (struct bat_range *)taken->data, taken->len);

	extent->bat.end = round_up(extent->bat.end, IMAGE_SECTOR_SIZE);
	return !status ||
	       image_fail(extent->file->name, status, "cannot read its grain tables", error);
}

int vmdk_mark_sparse(struct extent *extent, bool unclean)
{
	extent->header[S_UNCLEAN] = unclean;
	return file_store(extent->file, S_UNCLEAN, &extent->header[S_UNCLEAN], 1);
}

bool vmdk_open_sparse(struct extent *extent, GError **error)
{
	struct bat *bat = &extent->bat;
	const uint8_t *header = extent->header;
	uint32_t flags;

	if (!load_header(extent, error) || !check_header(extent, error))
		return false;
	flags = le32_load(header + S_FLAGS);
	extent->compressed = flags & FLAG_COMPRESSED;
	extent->markers = flags & FLAG_MARKERS;
	extent->zero_grains = flags & FLAG_ZERO_GRAINS;
	bat->file = extent->file;
	bat->ops = &sparse_ops;
	bat->size = le64_load(header + S_CAPACITY) * IMAGE_SECTOR_SIZE;
	bat->block_size = le64_load(header + S_GRAIN_SIZE) * IMAGE_SECTOR_SIZE;
	bat->entry_size = 4;
	bat->page_bytes = le32_load(header + S_ENTRIES) * 4;
	bat->has_zero = extent->zero_grains;
	bat->zero = ENTRY_ZERO;
	bat->end = round_up(extent->file->size, IMAGE_SECTOR_SIZE);
	bat->max_end = (uint64_t)UINT32_MAX * IMAGE_SECTOR_SIZE;
	extent->n_tables = (bat->size - 1) / bat->block_size / (bat->page_bytes / 4) + 1;
	bat->n_blocks = extent->n_tables * (bat->page_bytes / 4);
	if (!load_directory(extent, le64_load(header + S_DIRECTORY_AT), &extent->tables,
			    &extent->directory_at, error))
		return false;
	if (flags & FLAG_REDUNDANT && le64_load(header + S_REDUNDANT_AT) &&
	    !load_directory(extent, le64_load(header + S_REDUNDANT_AT), &extent->redundant,
			    &extent->redundant_at, error))
		return false;
	if (extent->compressed && !open_stream(extent, error))
		return false;
	if (!bat_init(bat))
		return damaged(extent, "its size is that of no disk", error);
	/* Of one that was closed the end of the file is that of its last grain. */
	return bat->image->read_only ||
	       (!header[S_UNCLEAN] && extent->file->size % bat->block_size == 0) ||
	       find_end(extent, error);
}

void vmdk_close_sparse(struct extent *extent)
{
	g_free(extent->tables);
	g_free(extent->redundant);
}

/* ---- create ---- */

static void make_header(uint8_t *header, uint64_t capacity, unsigned version, uint32_t flags)
{
	memset(header, 0, S_BYTES);
	memcpy(header, "KDMV", 4);
	le32_store(header + S_VERSION, version);
	le32_store(header + S_FLAGS, flags | FLAG_NEW_LINES);
	le64_store(header + S_CAPACITY, capacity);
	le64_store(header + S_GRAIN_SIZE, VMDK_GRAIN);
	le32_store(header + S_ENTRIES, VMDK_TABLE_ENTRIES);
	memcpy(header + S_NEW_LINES, "\n \r\n", 4);
}

static int store_text(struct file *file, const char *text)
{
	uint64_t len = text ? strlen(text) : 0;

	if (len > VMDK_DESCRIPTOR_SIZE * IMAGE_SECTOR_SIZE)
		return -ENAMETOOLONG;
	return len ? file_store(file, VMDK_DESCRIPTOR_AT * IMAGE_SECTOR_SIZE, text, len) : 0;
}

/* A directory and its tables, one after the other; returns where they end. */
static int store_tables(struct file *file, uint64_t at, uint64_t n, uint64_t *end)
{
	uint64_t tables = at + round_up(n * 4, IMAGE_SECTOR_SIZE) / IMAGE_SECTOR_SIZE;
	uint64_t len = round_up(n * 4, IMAGE_SECTOR_SIZE);
	unsigned sectors = VMDK_TABLE_ENTRIES * 4 / IMAGE_SECTOR_SIZE;
	g_autofree uint8_t *bytes = g_malloc0(len);

	for (uint64_t i = 0; i < n; i++)
		le32_store(bytes + 4 * i, tables + i * sectors);
	*end = tables + n * sectors;
	return file_store(file, at * IMAGE_SECTOR_SIZE, bytes, len);
}

static uint64_t count_tables(uint64_t capacity)
{
	return (capacity - 1) / VMDK_GRAIN / VMDK_TABLE_ENTRIES + 1;
}

int vmdk_create_sparse(struct file *file, uint64_t capacity, bool zero_grains, const char *text)
{
	uint64_t n = count_tables(capacity), redundant_at, directory_at = 0, end = 0;
	uint8_t header[S_BYTES];
	int status;

	make_header(header, capacity, zero_grains ? 2 : 1,
		    FLAG_REDUNDANT | (zero_grains ? FLAG_ZERO_GRAINS : 0));
	if (text) {
		le64_store(header + S_DESCRIPTOR_AT, VMDK_DESCRIPTOR_AT);
		le64_store(header + S_DESCRIPTOR_SIZE, VMDK_DESCRIPTOR_SIZE);
	}
	redundant_at = 1 + (text ? VMDK_DESCRIPTOR_SIZE : 0);
	status = store_tables(file, redundant_at, n, &directory_at);
	if (!status)
		status = store_tables(file, directory_at, n, &end);
	le64_store(header + S_REDUNDANT_AT, redundant_at);
	le64_store(header + S_DIRECTORY_AT, directory_at);
	end = round_up(end, VMDK_GRAIN);
	le64_store(header + S_OVERHEAD, end);
	if (!status)
		status = store_text(file, text);
	if (!status)
		status = file->ops->set_size(file, end * IMAGE_SECTOR_SIZE);
	return status ? status : file_store(file, 0, header, S_BYTES);
}

int vmdk_create_stream(struct file *file, uint64_t capacity, const char *text)
{
	uint64_t n = count_tables(capacity);
	g_autofree uint32_t *tables = g_new0(uint32_t, n);
	uint8_t header[S_BYTES];
	int status;

	make_header(header, capacity, 3, FLAG_COMPRESSED | FLAG_MARKERS);
	le64_store(header + S_DESCRIPTOR_AT, VMDK_DESCRIPTOR_AT);
	le64_store(header + S_DESCRIPTOR_SIZE, VMDK_DESCRIPTOR_SIZE);
	le64_store(header + S_DIRECTORY_AT, DIRECTORY_AT_END);
	le64_store(header + S_OVERHEAD, VMDK_GRAIN);
	le16_store(header + S_COMPRESSION, COMPRESSION_DEFLATE);
	status = file_store(file, 0, header, S_BYTES);
	if (!status)
		status = store_text(file, text);
	return status ? status : store_end(file, VMDK_GRAIN * IMAGE_SECTOR_SIZE, header, tables, n);
}
