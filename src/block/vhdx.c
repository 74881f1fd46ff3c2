/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX, Hyper-V's images ([MS-VHDX]): two headers, a log, a table of regions, metadata, a table of
 * blocks of 1 to 256 MiB, and the blocks. Fixed images have all blocks from the start; differencing
 * ones have a parent, and blocks of which a bitmap says which sectors are their own.
 *
 * A power cut loses what was not flushed and nothing else: the table of blocks and the metadata
 * change through the log, which the next open for writing replays, after the blocks that they lead
 * to are on disk (bat.h).
 */
#include "block/vhdx_int.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

/* 2.2.3.2 and 2.6.1.2. */
const uint8_t vhdx_region_bat[GUID_BYTES] =
	VHDX_GUID(0x2dc27766u, 0xf623, 0x4200, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08);
const uint8_t vhdx_region_metadata[GUID_BYTES] =
	VHDX_GUID(0x8b7ca206u, 0x4790, 0x4b9a, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e);
const uint8_t vhdx_item_parameters[GUID_BYTES] =
	VHDX_GUID(0xcaa16737u, 0xfa36, 0x4d43, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b);
const uint8_t vhdx_item_size[GUID_BYTES] =
	VHDX_GUID(0x2fa54224u, 0xcd1b, 0x4876, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8);
const uint8_t vhdx_item_id[GUID_BYTES] =
	VHDX_GUID(0xbeca12abu, 0xb2e6, 0x4523, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46);
const uint8_t vhdx_item_logical[GUID_BYTES] =
	VHDX_GUID(0x8141bf1du, 0xa96f, 0x4709, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f);
const uint8_t vhdx_item_physical[GUID_BYTES] =
	VHDX_GUID(0xcda348c7u, 0x445d, 0x4471, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56);
const uint8_t vhdx_item_parent[GUID_BYTES] =
	VHDX_GUID(0xa8d35f2du, 0xb30b, 0x454d, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c);
const uint8_t vhdx_locator_type[GUID_BYTES] =
	VHDX_GUID(0xb04aefb7u, 0xd19e, 0x4a81, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13);

#define MAX_SIZE (64ull << 40)

static bool vhdx_looks_like(const uint8_t *head, size_t len, uint64_t file_size)
{
	return len >= 8 && !memcmp(head, "vhdxfile", 8);
}

/* ---- the table ---- */

static enum bat_kind vhdx_decode(struct bat *bat, uint64_t block, uint64_t entry, uint64_t *offset)
{
	unsigned state = entry & STATE_MASK;
	bool has_parent = ((struct vhdx *)bat->image)->flags & HAS_PARENT;

	if (state == NOT_PRESENT)
		return BAT_NOTHING;
	if (state == UNDEFINED || state == ZERO || state == UNMAPPED)
		return BAT_ZERO;
	*offset = entry / VHDX_MIB * VHDX_MIB;
	if (*offset < VHDX_MIB || *offset >= bat->file->size)
		return BAT_BAD;
	if (state == PARTIALLY_PRESENT && has_parent)
		return BAT_PARTIAL;
	return state == FULLY_PRESENT ? BAT_DATA : BAT_BAD;
}

static uint64_t vhdx_encode(struct bat *bat, uint64_t offset)
{
	return offset | FULLY_PRESENT;
}

/* A bit each logical sector, the first one the lowest, in the bitmap block of the block's chunk
 * (2.5.1.2), whose entry follows those of the chunk. */
static int vhdx_present(struct bat *bat, uint64_t block, uint64_t offset, unsigned sector,
			unsigned n, unsigned *run, bool *here)
{
	struct vhdx *vhdx = (struct vhdx *)bat->image;
	unsigned per_bit = vhdx->sector_size / IMAGE_SECTOR_SIZE, bits;
	uint64_t bit = block % bat->gap * (bat->block_size / vhdx->sector_size) + sector / per_bit;
	uint64_t entry_at = bat->table_at + (block / bat->gap * (bat->gap + 1) + bat->gap) * 8;
	uint8_t entry[8], bitmap[512];
	int status = file_load(bat->file, entry_at, entry, sizeof(entry));

	if (!status && (le64_load(entry) & STATE_MASK) != FULLY_PRESENT)
		status = -EIO;
	if (!status)
		status = file_load(bat->file, le64_load(entry) / VHDX_MIB * VHDX_MIB + bit / 8,
				   bitmap, sizeof(bitmap));
	if (status)
		return status;
	bits = sizeof(bitmap) * 8 - bit % 8;
	*here = bitmap[0] >> bit % 8 & 1;
	*run = per_bit - sector % per_bit;
	for (unsigned i = bit % 8 + 1; *run < n && --bits; i++) {
		if ((bitmap[i / 8] >> i % 8 & 1) != *here)
			break;
		*run += per_bit;
	}
	*run = MIN(*run, n);
	return 0;
}

static int vhdx_store(struct bat *bat, const struct bat_batch *batch)
{
	uint64_t offsets[BAT_BATCH];

	for (unsigned i = 0; i < batch->n; i++)
		offsets[i] = bat->table_at + (uint64_t)batch->page[i] * VHDX_PAGE;
	return vhdx_change((struct vhdx *)bat->image, batch->n, offsets, batch->bytes);
}

static const struct bat_ops vhdx_ops = {
	.decode = vhdx_decode,
	.encode = vhdx_encode,
	.present = vhdx_present,
	.store = vhdx_store,
};

/* ---- open: regions and metadata ---- */

static bool is_guid(const uint8_t *at, const uint8_t *guid)
{
	return !memcmp(at, guid, GUID_BYTES);
}

static bool is_region_table(const uint8_t *table)
{
	return !memcmp(table, "regi", 4) && le32_load(table + R_COUNT) <= R_MAX &&
	       le32_load(table + R_CHECKSUM) ==
		       vhdx_checksum(table, REGION_TABLE_BYTES, R_CHECKSUM);
}

static bool damaged(const struct image *image, const char *what, GError **error)
{
	return image_refuse(image, error, "is damaged: %s; restore it from a copy", what);
}

static bool read_regions(struct vhdx *vhdx, const uint8_t *table, GError **error)
{
	struct image *image = &vhdx->base.image;

	for (unsigned i = 0; i < le32_load(table + R_COUNT); i++) {
		const uint8_t *entry = table + R_ENTRIES + i * R_ENTRY_BYTES;
		uint64_t at = le64_load(entry + R_OFFSET), len = le32_load(entry + R_LENGTH);
		bool known = true;

		if (is_guid(entry, vhdx_region_bat)) {
			vhdx->base.bat.table_at = at;
			vhdx->bat_len = len;
		} else if (is_guid(entry, vhdx_region_metadata)) {
			vhdx->metadata_at = at;
			vhdx->metadata_len = len;
		} else {
			known = !(le32_load(entry + R_REQUIRED) & 1);
		}
		if (!known)
			return image_refuse(image, error,
					    "needs something that is not supported; "
					    "convert it with its own program");
		if (at % VHDX_MIB || at < VHDX_MIB || len % VHDX_MIB || at > image->file->size ||
		    len > image->file->size - at)
			return damaged(image, "a region is past its end", error);
	}
	return (vhdx->bat_len && vhdx->metadata_len) ||
	       damaged(image, "it has no table of blocks or no metadata", error);
}

static bool load_regions(struct vhdx *vhdx, GError **error)
{
	struct image *image = &vhdx->base.image;
	g_autofree uint8_t *table = g_malloc(REGION_TABLE_BYTES);

	if ((file_load(image->file, REGIONS_AT, table, REGION_TABLE_BYTES) ||
	     !is_region_table(table)) &&
	    (file_load(image->file, REGIONS_2_AT, table, REGION_TABLE_BYTES) ||
	     !is_region_table(table)))
		return damaged(image, "neither of its region tables is whole", error);
	return read_regions(vhdx, table, error);
}

/* The item's bytes; its offset in the file is in `*at`. */
static bool load_item(struct vhdx *vhdx, const uint8_t *table, const uint8_t *guid, void *to,
		      uint32_t len, uint64_t *at)
{
	for (unsigned i = 0; i < MIN(le16_load(table + M_COUNT), M_MAX); i++) {
		const uint8_t *entry = table + M_ENTRIES + i * M_ENTRY_BYTES;
		uint32_t offset = le32_load(entry + M_OFFSET);

		if (!is_guid(entry, guid))
			continue;
		*at = vhdx->metadata_at + offset;
		return le32_load(entry + M_LENGTH) >= len && offset <= vhdx->metadata_len &&
		       len <= vhdx->metadata_len - offset &&
		       !file_load(vhdx->base.image.file, *at, to, len);
	}
	return false;
}

static bool is_power_of_2(uint64_t value)
{
	return value && !(value & (value - 1));
}

static bool load_metadata(struct vhdx *vhdx, uint8_t *table, GError **error)
{
	struct image *image = &vhdx->base.image;
	struct bat *bat = &vhdx->base.bat;
	uint8_t parameters[8], size[8], sector[4];
	uint64_t at;

	if (file_load(image->file, vhdx->metadata_at, table, M_TABLE_BYTES) ||
	    memcmp(table, "metadata", 8) ||
	    !load_item(vhdx, table, vhdx_item_parameters, parameters, 8, &at) ||
	    !load_item(vhdx, table, vhdx_item_logical, sector, 4, &at) ||
	    !load_item(vhdx, table, vhdx_item_size, size, 8, &vhdx->size_at))
		return damaged(image, "its metadata are not whole", error);
	bat->block_size = le32_load(parameters);
	vhdx->flags = le32_load(parameters + 4);
	vhdx->sector_size = le32_load(sector);
	image->size = le64_load(size);
	if (bat->block_size < VHDX_MIB || bat->block_size > 256u * VHDX_MIB ||
	    !is_power_of_2(bat->block_size) ||
	    (vhdx->sector_size != 512 && vhdx->sector_size != 4096) || image->size > MAX_SIZE ||
	    image->size % vhdx->sector_size)
		return damaged(image, "its metadata are of no disk", error);
	return true;
}

static uint64_t table_entries(const struct bat *bat, bool has_parent)
{
	uint64_t chunks = (bat->n_blocks + bat->gap - 1) / bat->gap;

	return bat->n_blocks + (has_parent ? chunks : chunks - 1);
}

/* A bitmap block is in use like a payload block, and its entry is not of a block. */
static int find_bitmaps(struct vhdx *vhdx, GArray *taken)
{
	struct bat *bat = &vhdx->base.bat;
	uint64_t chunks = (bat->n_blocks + bat->gap - 1) / bat->gap;
	int status = 0;

	for (uint64_t i = 0; i < chunks && vhdx->flags & HAS_PARENT && !status; i++) {
		uint8_t entry[8];
		struct bat_range range = {0, VHDX_MIB};

		status = file_load(bat->file, bat->table_at + (i * (bat->gap + 1) + bat->gap) * 8,
				   entry, sizeof(entry));
		range.at = le64_load(entry) / VHDX_MIB * VHDX_MIB;
		if (!status && (le64_load(entry) & STATE_MASK) == FULLY_PRESENT &&
		    range.at < bat->file->size)
			g_array_append_val(taken, range);
	}
	return status;
}

/* All that is in the file besides payload blocks: of struct bat_range; NULL: it cannot be read. */
static GArray *list_taken(struct vhdx *vhdx)
{
	const struct bat_range fixed[] = {{0, VHDX_MIB},
					  {vhdx->log_at, vhdx->log_len},
					  {vhdx->base.bat.table_at, vhdx->bat_len},
					  {vhdx->metadata_at, vhdx->metadata_len}};
	g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(struct bat_range));

	g_array_append_vals(taken, fixed, G_N_ELEMENTS(fixed));
	return find_bitmaps(vhdx, taken) ? NULL : g_steal_pointer(&taken);
}

static int find_end(struct vhdx *vhdx)
{
	g_autoptr(GArray) taken = list_taken(vhdx);

	return taken ? bat_find_end(&vhdx->base.bat, (struct bat_range *)taken->data, taken->len)
		     : -EIO;
}

static bool set_up_table(struct vhdx *vhdx, GError **error)
{
	struct image *image = &vhdx->base.image;
	struct bat *bat = &vhdx->base.bat;
	int status = 0;

	bat->image = image;
	bat->file = image->file;
	bat->ops = &vhdx_ops;
	bat->size = image->size;
	bat->entry_size = 8;
	bat->gap = ((uint64_t)vhdx->sector_size << 23) / bat->block_size;
	bat->n_blocks = (image->size + bat->block_size - 1) / bat->block_size;
	bat->page_bytes = VHDX_PAGE;
	bat->batch = vhdx_log_batch(vhdx);
	bat->nothing = NOT_PRESENT;
	bat->has_zero = true;
	bat->zero = ZERO;
	bat->max_end = INT64_MAX;
	if (!bat->n_blocks || table_entries(bat, vhdx->flags & HAS_PARENT) > vhdx->bat_len / 8)
		return damaged(image, "its table of blocks is too short", error);
	if (!bat_init(bat))
		return image_refuse(image, error, "has more blocks than are supported");
	if (!image->read_only)
		status = find_end(vhdx);
	return !status || image_fail(image_path(image), status, "cannot read its table", error);
}

/* ---- open: the parent ---- */

static char *text_at(const uint8_t *locator, uint32_t len, uint32_t at, uint16_t bytes)
{
	if (at > len || bytes > len - at)
		return NULL;
	return g_convert((const char *)locator + at, bytes / 2 * 2, "UTF-8", "UTF-16LE", NULL, NULL,
			 NULL);
}

static char *locator_value(const uint8_t *locator, uint32_t len, const char *key)
{
	unsigned n = MIN(le16_load(locator + P_COUNT), (len - P_ENTRIES) / P_ENTRY_BYTES);

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *entry = locator + P_ENTRIES + i * P_ENTRY_BYTES;
		g_autofree char *name = text_at(locator, len, le32_load(entry + P_KEY),
						le16_load(entry + P_KEY_LENGTH));

		if (!g_strcmp0(name, key))
			return text_at(locator, len, le32_load(entry + P_VALUE),
				       le16_load(entry + P_VALUE_LENGTH));
	}
	return NULL;
}

static char *parent_name(const uint8_t *locator, uint32_t len)
{
	g_autofree char *relative = locator_value(locator, len, "relative_path"), *path = NULL;

	if (relative)
		return image_path_of_windows(relative, true);
	path = locator_value(locator, len, "absolute_win32_path");
	return path ? image_path_of_windows(path, false) : NULL;
}

static char *guid_text(const uint8_t *guid)
{
	return g_strdup_printf("{%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x}",
			       le32_load(guid), le16_load(guid + 4), le16_load(guid + 6), guid[8],
			       guid[9], guid[10], guid[11], guid[12], guid[13], guid[14], guid[15]);
}

char *vhdx_linkage(const char *path, const char *name, GError **error)
{
	g_autofree char *parent = image_resolve_backing(path, name);
	struct file *file = file_open(parent, FILE_READ_ONLY | FILE_NO_LOCK, error);
	uint8_t header[VHDX_PAGE];
	bool second, found = file && vhdx_load_header(file, header, &second);

	if (file && !found)
		image_reject(error,
			     "disk '%s' is no VHDX image, which a VHDX's backing image must "
			     "be",
			     parent);
	file_close(file);
	return found ? guid_text(header + H_DATA_WRITE) : NULL;
}

static bool load_parent(struct vhdx *vhdx, const struct image_open *how, const uint8_t *table,
			GError **error)
{
	struct image *image = &vhdx->base.image;
	enum { MAX_LOCATOR = 64 << 10 };
	g_autofree uint8_t *locator = g_malloc0(MAX_LOCATOR);
	g_autofree char *linkage = NULL, *other = NULL, *found = NULL;
	uint64_t at = 0;

	if (load_item(vhdx, table, vhdx_item_parent, locator, P_ENTRIES, &at) &&
	    is_guid(locator, vhdx_locator_type) &&
	    !file_load(image->file, at, locator, MAX_LOCATOR))
		image->backing_name = parent_name(locator, MAX_LOCATOR);
	if (!image->backing_name || !*image->backing_name)
		return image_refuse(image, error, "does not say on which image it builds");
	image->backing_format = g_strdup("vhdx");
	if (how->no_backing)
		return true;
	found = vhdx_linkage(how->path, image->backing_name, error);
	linkage = locator_value(locator, MAX_LOCATOR, "parent_linkage");
	other = locator_value(locator, MAX_LOCATOR, "parent_linkage2");
	if (found && (!linkage || g_ascii_strcasecmp(found, linkage)) &&
	    (!other || g_ascii_strcasecmp(found, other)))
		image_note_damage(image,
				  "its parent '%s' was changed since, or is another than it was made on",
				  image->backing_name);
	return found != NULL;
}

/* ---- open ---- */

static bool open_log(struct vhdx *vhdx, GError **error)
{
	static const uint8_t none[GUID_BYTES];
	struct image *image = &vhdx->base.image;

	vhdx->log_at = le64_load(vhdx->header + H_LOG_OFFSET);
	vhdx->log_len = le32_load(vhdx->header + H_LOG_LENGTH);
	if (vhdx->log_len < VHDX_MIB || vhdx->log_len % VHDX_MIB || vhdx->log_at < VHDX_MIB ||
	    vhdx->log_at % VHDX_MIB || vhdx->log_at > image->file->size ||
	    vhdx->log_len > image->file->size - vhdx->log_at)
		return damaged(image, "its log is past its end", error);
	if (is_guid(vhdx->header + H_LOG_GUID, none))
		return true;
	if (le16_load(vhdx->header + H_LOG_VERSION))
		return image_refuse(image, error,
				    "has a log that is not supported; let its own "
				    "program open it first");
	return vhdx_replay(vhdx, error);
}

static bool vhdx_open(struct image *image, const struct image_open *how, GError **error)
{
	struct vhdx *vhdx = (struct vhdx *)image;
	g_autofree uint8_t *table = g_malloc(M_TABLE_BYTES);
	char start[8];
	int status = file_load(image->file, 0, start, sizeof(start));

	if (status)
		return image_fail(how->path, status, "cannot read its header", error);
	if (memcmp(start, "vhdxfile", 8))
		return image_refuse(image, error,
				    "does not begin as a VHDX image does; name its "
				    "format, or restore it from a copy");
	if (!vhdx_load_header(image->file, vhdx->header, &vhdx->second))
		return damaged(image, "neither of its headers is whole", error);
	g_mutex_init(&vhdx->lock);
	vhdx->has_lock = true;
	if (!open_log(vhdx, error) || !load_regions(vhdx, error) ||
	    !load_metadata(vhdx, table, error) || !set_up_table(vhdx, error))
		return false;
	if (vhdx->torn)
		image_note_damage(image, "it was not closed, and its log is not whole");
	return !(vhdx->flags & HAS_PARENT) || load_parent(vhdx, how, table, error);
}

static void vhdx_close(struct image *image)
{
	static const uint8_t none[GUID_BYTES];
	struct vhdx *vhdx = (struct vhdx *)image;

	if (!image->read_only && !vhdx->torn && !is_guid(vhdx->header + H_LOG_GUID, none) &&
	    !bat_image_flush(image))
		vhdx_end_log(vhdx); /* else the next open replays it */
	bat_fini(&vhdx->base.bat);
	if (vhdx->has_lock)
		g_mutex_clear(&vhdx->lock);
}

/* ---- writing ---- */

/* Before the first change of the disk the header tells that there is one: who made an image on this
 * one goes by it. */
static int touch(struct vhdx *vhdx)
{
	int status = 0;

	if (vhdx->touched)
		return 0;
	g_mutex_lock(&vhdx->lock);
	if (!vhdx->touched) {
		vhdx_make_guid(vhdx->header + H_FILE_WRITE);
		vhdx_make_guid(vhdx->header + H_DATA_WRITE);
		status = vhdx_store_header(vhdx);
		vhdx->touched = !status;
	}
	g_mutex_unlock(&vhdx->lock);
	return status;
}

static int vhdx_write(struct image *image, uint64_t offset, struct span span)
{
	int status = touch((struct vhdx *)image);

	return status ? status : bat_image_write(image, offset, span);
}

static int vhdx_discard(struct image *image, uint64_t offset, uint64_t len)
{
	int status = touch((struct vhdx *)image);

	return status ? status : bat_image_discard(image, offset, len);
}

static int vhdx_write_zeroes(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	int status = touch((struct vhdx *)image);

	return status ? status : bat_image_write_zeroes(image, offset, len, unmap);
}

static bool vhdx_locate(struct image *image, uint64_t offset, uint64_t len, bool write,
			uint64_t *file_offset)
{
	return (!write || ((struct vhdx *)image)->touched) &&
	       bat_image_locate(image, offset, len, write, file_offset);
}

/* ---- resize, check, info ---- */

/* The item of the size is in one page of the file, which the log changes at once. */
static int change_size(struct vhdx *vhdx, uint64_t size)
{
	struct file *file = vhdx->base.image.file;
	uint64_t at = vhdx->size_at / VHDX_PAGE * VHDX_PAGE;
	unsigned skip = vhdx->size_at % VHDX_PAGE;
	uint8_t page[VHDX_PAGE];
	int status = skip > VHDX_PAGE - 8 ? -EOPNOTSUPP : file_load(file, at, page, VHDX_PAGE);

	le64_store(page + MIN(skip, VHDX_PAGE - 8), size);
	if (!status)
		status = vhdx_change(vhdx, 1, &at, page);
	return status ? status : file->ops->flush(file);
}

static bool vhdx_resize(struct image *image, uint64_t size, GError **error)
{
	struct vhdx *vhdx = (struct vhdx *)image;
	struct bat *bat = &vhdx->base.bat;
	struct bat larger = *bat;
	bool fixed = vhdx->flags & LEAVE_ALLOCATED;
	uint64_t old = bat->n_blocks;
	int status;

	larger.n_blocks = (size + bat->block_size - 1) / bat->block_size;
	if (size < image->size)
		return image_refuse(image, error, "cannot shrink; convert it to a smaller one");
	if (size > MAX_SIZE || size % vhdx->sector_size || larger.n_blocks > BAT_MAX_BLOCKS ||
	    table_entries(&larger, vhdx->flags & HAS_PARENT) > vhdx->bat_len / 8)
		return image_refuse(image, error,
				    "has no room in its table for so many blocks; convert it with: "
				    "viv disk convert");
	status = touch(vhdx);
	if (!status)
		status = bat_flush(bat);
	if (!status)
		status = change_size(vhdx, size);
	if (status)
		return image_fail(image_path(image), status, "cannot be resized", error);
	bat_fini(bat);
	bat->n_blocks = larger.n_blocks;
	bat->size = image->size = size;
	if (!bat_init(bat))
		return false;
	for (uint64_t block = old; block < bat->n_blocks && fixed && !status; block++) {
		uint64_t offset = bat->end;

		status = file_zero(bat->file, offset, bat->block_size, false);
		bat->end += bat->block_size;
		if (!status)
			status = bat_set_entry(bat, block, vhdx_encode(bat, offset));
	}
	return !status || image_fail(image_path(image), status, "cannot take its space", error);
}

static bool vhdx_check(struct image *image, enum image_repair repair, struct image_check *report,
		       GError **error)
{
	struct vhdx *vhdx = (struct vhdx *)image;
	struct bat *bat = &vhdx->base.bat;
	g_autoptr(GArray) taken = list_taken(vhdx);
	int status = !taken ? -EIO : repair == IMAGE_REPAIR_NOTHING ? 0 : touch(vhdx);

	if (!status && vhdx->torn) {
		report->errors++;
		image_check_say(report, "its log is not whole");
	}
	if (!status && vhdx->torn && repair == IMAGE_REPAIR_ALL) { /* what is in its place counts */
		status = vhdx_end_log(vhdx);
		vhdx->torn = status != 0;
		report->errors_fixed += !status;
	}

	if (!status)
		status =
			bat_check(bat, (struct bat_range *)taken->data, taken->len, repair, report);
	if (!status && repair != IMAGE_REPAIR_NOTHING)
		status = bat_flush(bat);
	return !status || image_fail(image_path(image), status, "cannot be checked", error);
}

static void vhdx_info(struct image *image, struct image_info *info)
{
	const struct vhdx *vhdx = (const struct vhdx *)image;

	info->cluster_size = vhdx->base.bat.block_size;
	image_info_add(info, "subformat", "%s",
		       vhdx->flags & HAS_PARENT	       ? "differencing"
		       : vhdx->flags & LEAVE_ALLOCATED ? "fixed"
						       : "dynamic");
	image_info_add(info, "logical sector size", "%u", vhdx->sector_size);
	image_info_add(info, "log size", "%u", vhdx->log_len);
}

static const char *const vhdx_extensions[] = {"vhdx", NULL};

static const struct image_option vhdx_options[] = {
	{"subformat", "dynamic|fixed", "fixed: all of it is there from the start", "dynamic"},
	{"block_size", "SIZE", "of its blocks, 1M to 256M, a power of two", NULL},
	{"log_size", "SIZE", "of its log, whole MiB", "1M"},
	{},
};

const struct block_format block_format_vhdx = {
	.name = "vhdx",
	.title = "Hyper-V's disk image",
	.extensions = vhdx_extensions,
	.options = vhdx_options,
	.object_size = sizeof(struct vhdx),
	.has_backing = true,
	.looks_like = vhdx_looks_like,
	.open = vhdx_open,
	.close = vhdx_close,
	.read = bat_image_read,
	.write = vhdx_write,
	.flush = bat_image_flush,
	.discard = vhdx_discard,
	.write_zeroes = vhdx_write_zeroes,
	.map = bat_image_map,
	.locate = vhdx_locate,
	.create = vhdx_create,
	.resize = vhdx_resize,
	.check = vhdx_check,
	.info = vhdx_info,
};
