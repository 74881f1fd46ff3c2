/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD, Virtual PC's and old Hyper-V's images ("Virtual Hard Disk Image Format Specification" 1.0):
 * fixed ones, a disk and a footer; dynamic ones, a copy of the footer, a header, a table of blocks,
 * blocks that begin with a bitmap of their sectors, and the footer; differencing ones, which are
 * dynamic over a parent.
 *
 * A power cut loses what was not flushed and nothing else (bat.h). While blocks are added, the
 * footer at the end is missing until the next flush; its copy stands in. A fixed image has none:
 * one whose growing was cut off may have lost its footer, and is a raw disk then.
 *
 * Of the two the one at the end decides, and where they are not of one image, nothing does: the
 * first sector of a fixed disk is its guest's, who could make it the head of another image, over a
 * parent of the guest's choice.
 */
#include "block/vhd_int.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"

struct vhd {
	struct bat_image base;
	uint8_t footer[FOOTER_BYTES], header[HEADER_BYTES];
	/* A bit each block: all of its sectors are its own, as far as has been seen. */
	_Atomic uint8_t *full;
	bool torn; /* a footer is missing */
};

static bool vhd_looks_like(const uint8_t *head, size_t len, uint64_t file_size)
{
	return len >= FOOTER_BYTES && vhd_is_footer(head);
}

/* ---- the table ---- */

static bool is_full(struct vhd *vhd, uint64_t block)
{
	return vhd->full[block / 8] & 1 << block % 8;
}

static void set_full(struct vhd *vhd, uint64_t block)
{
	vhd->full[block / 8] |= 1 << block % 8;
}

static enum bat_kind vhd_decode(struct bat *bat, uint64_t block, uint64_t entry, uint64_t *offset)
{
	if (entry == ENTRY_NOTHING)
		return BAT_NOTHING;
	*offset = entry * IMAGE_SECTOR_SIZE + bat->lead;
	if (entry < 3 || *offset >= bat->file->size)
		return BAT_BAD;
	return is_full((struct vhd *)bat->image, block) ? BAT_DATA : BAT_PARTIAL;
}

static uint64_t vhd_encode(struct bat *bat, uint64_t offset)
{
	return (offset - bat->lead) / IMAGE_SECTOR_SIZE;
}

static int vhd_lead(struct bat *bat, uint64_t block, uint64_t offset)
{
	g_autofree uint8_t *bitmap = g_malloc(bat->lead);
	int status;

	memset(bitmap, 0xff, bat->lead);
	status = file_store(bat->file, offset - bat->lead, bitmap, bat->lead);
	if (!status)
		set_full((struct vhd *)bat->image, block);
	return status;
}

/* Before the bitmap says so, the sectors are there. */
static int vhd_complete(struct bat *bat, uint64_t block, uint64_t offset)
{
	int status = bat->file->ops->flush(bat->file);

	return status ? status : vhd_lead(bat, block, offset);
}

/* The first sector is the top bit. */
static bool bit(const uint8_t *bitmap, unsigned i)
{
	return bitmap[i / 8] & 0x80 >> i % 8;
}

static int vhd_present(struct bat *bat, uint64_t block, uint64_t offset, unsigned sector,
		       unsigned n, unsigned *run, bool *here)
{
	unsigned sectors = bat->block_size / IMAGE_SECTOR_SIZE;
	g_autofree uint8_t *bitmap = g_malloc(bat->lead);
	int status = file_load(bat->file, offset - bat->lead, bitmap, bat->lead);

	if (status)
		return status;
	*here = bit(bitmap, sector);
	for (*run = 1; *run < n && bit(bitmap, sector + *run) == *here;)
		++*run;
	if (bitmap[0] == 0xff && !memcmp(bitmap, bitmap + 1, sectors / 8 - 1))
		set_full((struct vhd *)bat->image, block);
	return 0;
}

/* The footer is the file's end. */
static int vhd_prepare(struct bat *bat)
{
	struct vhd *vhd = (struct vhd *)bat->image;
	struct file *file = bat->file;
	int status = file_store(file, bat->end, vhd->footer, FOOTER_BYTES);

	if (!status && file->size > bat->end + FOOTER_BYTES)
		status = file->ops->set_size(file, bat->end + FOOTER_BYTES);
	vhd->torn &= status != 0;
	return status;
}

static const struct bat_ops vhd_ops = {
	.decode = vhd_decode,
	.encode = vhd_encode,
	.lead = vhd_lead,
	.present = vhd_present,
	.complete = vhd_complete,
	.prepare = vhd_prepare,
};

/* ---- open: the parent ---- */

static char *load_locator(struct image *image, const uint8_t *locator)
{
	uint32_t len = MIN(be32_load(locator + L_LENGTH), MAX_NAME);
	g_autofree uint8_t *bytes = g_malloc(MAX_NAME);

	if (len < 2 || file_load(image->file, be64_load(locator + L_OFFSET), bytes, len))
		return NULL;
	return g_convert((char *)bytes, len / 2 * 2, "UTF-8", "UTF-16LE", NULL, NULL, NULL);
}

static void find_parent(struct vhd *vhd)
{
	struct image *image = &vhd->base.image;
	g_autofree char *name = NULL;
	bool relative = false;

	for (unsigned i = 0; i < N_LOCATORS && !relative; i++) {
		const uint8_t *locator = vhd->header + H_LOCATORS + i * LOCATOR_BYTES;
		uint32_t code = be32_load(locator + L_CODE);
		char *found = code == W2RU || code == W2KU ? load_locator(image, locator) : NULL;

		relative = found && code == W2RU;
		if (!found || (name && !relative)) {
			g_free(found);
			continue;
		}
		g_free(name);
		name = found;
	}
	if (!name)
		name = g_convert((char *)vhd->header + H_PARENT_NAME, 512, "UTF-8", "UTF-16BE",
				 NULL, NULL, NULL);
	image->backing_name = name && *name ? image_path_of_windows(name, relative) : NULL;
	image->backing_format = g_strdup("vhd");
}

static bool open_parent(struct vhd *vhd, const struct image_open *how, GError **error)
{
	struct image *image = &vhd->base.image;
	uint8_t footer[FOOTER_BYTES];

	find_parent(vhd);
	if (!image->backing_name)
		return image_refuse(image, error, "does not say on which image it builds");
	if (how->no_backing)
		return true;
	if (!vhd_parent_footer(how->path, image->backing_name, footer, error))
		return false;
	if (memcmp(footer + UNIQUE_ID, vhd->header + H_PARENT_ID, 16))
		image_note_damage(image, "its parent '%s' is another than it was made on",
				  image->backing_name);
	return true;
}

/* ---- open ---- */

static bool check_header(struct vhd *vhd, GError **error)
{
	const struct image *image = &vhd->base.image;
	const uint8_t *header = vhd->header;
	uint32_t block = be32_load(header + H_BLOCK_SIZE), entries = be32_load(header + H_ENTRIES);

	if (memcmp(header, "cxsparse", 8) ||
	    be32_load(header + H_CHECKSUM) != vhd_checksum(header, HEADER_BYTES, H_CHECKSUM))
		return image_refuse(image, error,
				    "is damaged: its dynamic header is not one; restore it "
				    "from a copy");
	if (block < MIN_BLOCK || block > MAX_BLOCK || block & (block - 1))
		return image_refuse(image, error, "has blocks of %u bytes, which are not supported",
				    block);
	if ((image->size + block - 1) / block > entries || entries > BAT_MAX_BLOCKS)
		return image_refuse(image, error,
				    "is damaged: its table has %u blocks of %u bytes for a disk of "
				    "%" G_GUINT64_FORMAT " bytes; restore it from a copy",
				    entries, block, image->size);
	return true;
}

/* What is in the file besides the blocks and the footer at its end. */
static unsigned list_taken(const struct vhd *vhd, struct bat_range *taken)
{
	const struct bat *bat = &vhd->base.bat;

	taken[0] = (struct bat_range){0, FOOTER_BYTES};
	taken[1] = (struct bat_range){be64_load(vhd->footer + DATA_OFFSET), HEADER_BYTES};
	taken[2] = (struct bat_range){bat->table_at, (bat->n_blocks * 4 + 511) / 512 * 512};
	for (unsigned i = 0; i < N_LOCATORS; i++) {
		const uint8_t *locator = vhd->header + H_LOCATORS + i * LOCATOR_BYTES;
		uint64_t at = be64_load(locator + L_OFFSET);

		taken[3 + i] = (struct bat_range){};
		if (be32_load(locator + L_CODE) && at < bat->file->size)
			taken[3 + i] = (struct bat_range){
				at,
				(MIN(be32_load(locator + L_LENGTH), MAX_NAME) + 511) / 512 * 512};
	}
	return 3 + N_LOCATORS;
}

static int find_end(struct vhd *vhd)
{
	struct bat_range taken[3 + N_LOCATORS];

	return bat_find_end(&vhd->base.bat, taken, list_taken(vhd, taken));
}

static bool open_dynamic(struct vhd *vhd, const struct image_open *how, GError **error)
{
	struct image *image = &vhd->base.image;
	struct bat *bat = &vhd->base.bat;
	uint64_t at = be64_load(vhd->footer + DATA_OFFSET);
	int status =
		at > INT64_MAX ? -EINVAL : file_load(image->file, at, vhd->header, HEADER_BYTES);

	if (status)
		return image_fail(how->path, status, "cannot read its dynamic header", error);
	if (!check_header(vhd, error))
		return false;
	bat->ops = &vhd_ops;
	bat->block_size = be32_load(vhd->header + H_BLOCK_SIZE);
	bat->entry_size = 4;
	bat->big_endian = true;
	bat->n_blocks = be32_load(vhd->header + H_ENTRIES);
	bat->table_at = be64_load(vhd->header + H_TABLE_OFFSET);
	bat->page_bytes = 4096;
	bat->nothing = ENTRY_NOTHING;
	bat->lead = (bat->block_size / IMAGE_SECTOR_SIZE / 8 + 511) / 512 * 512;
	bat->max_end = (uint64_t)ENTRY_NOTHING * IMAGE_SECTOR_SIZE;
	if (bat->table_at < FOOTER_BYTES || bat->table_at % IMAGE_SECTOR_SIZE ||
	    bat->table_at > image->file->size ||
	    bat->n_blocks * 4 > image->file->size - bat->table_at)
		return image_refuse(image, error,
				    "is damaged: the end of its table is missing; "
				    "restore it from a copy");
	vhd->full = g_malloc0(bat->n_blocks / 8 + 1);
	if (be32_load(vhd->footer + DISK_TYPE) == TYPE_DIFFERENCING &&
	    !open_parent(vhd, how, error))
		return false;
	if (!bat_init(bat))
		return image_refuse(image, error, "has more blocks than are supported");
	bat->grown = vhd->torn; /* the next flush brings it back */
	if (!image->read_only)
		status = find_end(vhd);
	return !status || image_fail(how->path, status, "cannot read its table", error);
}

static bool choose_footer(struct vhd *vhd, GError **error)
{
	struct image *image = &vhd->base.image;
	uint8_t copy[FOOTER_BYTES];
	bool at_end = vhd_load_footer(image->file, vhd->footer);
	bool at_start = !file_load(image->file, 0, copy, FOOTER_BYTES) && vhd_is_footer(copy);

	if (at_end && at_start && memcmp(copy + UNIQUE_ID, vhd->footer + UNIQUE_ID, 16))
		return image_refuse(image, error,
				    "has two heads, of different images: the first "
				    "512 bytes or the last are not to be trusted");
	if (!at_end && !at_start)
		return image_refuse(image, error,
				    "does not end as a VHD image does; name its "
				    "format, or restore it from a copy");
	if (!at_end)
		memcpy(vhd->footer, copy, FOOTER_BYTES);
	vhd->torn = !at_end;
	if (be32_load(vhd->footer + FORMAT_VERSION) >> 16 != VERSION_1_0 >> 16)
		return image_refuse(image, error, "is of version %u, which is not supported",
				    be32_load(vhd->footer + FORMAT_VERSION) >> 16);
	return true;
}

/* Virtual PC and old QEMU believe the geometry, everybody else the size. */
static uint64_t disk_size(const uint8_t *footer)
{
	uint64_t sectors =
		(uint64_t)be16_load(footer + CYLINDERS) * footer[HEADS] * footer[SECTORS];
	bool by_geometry =
		!memcmp(footer + CREATOR, "vpc ", 4) || !memcmp(footer + CREATOR, "qemu", 4);

	if (by_geometry && sectors && sectors < MAX_GEOMETRY)
		return sectors * IMAGE_SECTOR_SIZE;
	return be64_load(footer + CURRENT_SIZE) / IMAGE_SECTOR_SIZE * IMAGE_SECTOR_SIZE;
}

static bool vhd_open(struct image *image, const struct image_open *how, GError **error)
{
	struct vhd *vhd = (struct vhd *)image;
	struct bat *bat = &vhd->base.bat;
	uint32_t type;

	if (!choose_footer(vhd, error))
		return false;
	type = be32_load(vhd->footer + DISK_TYPE);
	image->size = disk_size(vhd->footer);
	bat->image = image;
	bat->file = image->file;
	bat->size = image->size;
	if (type == TYPE_DYNAMIC || type == TYPE_DIFFERENCING)
		return open_dynamic(vhd, how, error);
	if (type != TYPE_FIXED || vhd->torn)
		return image_refuse(image, error, "is of type %u, which is not supported", type);
	if (image->size > image->file->size - FOOTER_BYTES)
		return image_refuse(image, error,
				    "is damaged: %" G_GUINT64_FORMAT
				    " bytes of its disk are missing; restore it from "
				    "a copy",
				    image->size - (image->file->size - FOOTER_BYTES));
	return bat_init(bat);
}

static void vhd_close(struct image *image)
{
	bat_fini(&((struct vhd *)image)->base.bat);
	g_free((void *)((struct vhd *)image)->full);
}

/* ---- resize ---- */

static void set_size(struct vhd *vhd, uint64_t size)
{
	memcpy(vhd->footer + CREATOR, "win ", 4); /* not the geometry counts from now on */
	vhd_set_size(vhd->footer, size);
}

/* The new footer is safe before the old one goes. */
static int resize_fixed(struct vhd *vhd, uint64_t size)
{
	struct file *file = vhd->base.image.file;
	uint64_t old = vhd->base.image.size;
	int status;

	set_size(vhd, size);
	status = file_store(file, size, vhd->footer, FOOTER_BYTES);
	if (!status)
		status = file->ops->flush(file);
	if (!status && size < old)
		status = file->ops->set_size(file, size + FOOTER_BYTES);
	if (!status && size > old)
		status = file_write_zeroes(file, old, MIN(FOOTER_BYTES, size - old));
	return status;
}

/* A longer table goes to the end of the file; the header, one sector of it, leads to it at once. */
static int move_table(struct vhd *vhd, uint64_t entries)
{
	struct bat *bat = &vhd->base.bat;
	uint64_t at = bat->end, len = (entries * 4 + 511) / 512 * 512;
	g_autofree uint8_t *old = g_malloc(4096);
	int status = vhd_store_nothing(bat->file, at, len);

	for (uint64_t done = 0; done < bat->n_blocks * 4 && !status; done += 4096) {
		size_t n = MIN(bat->n_blocks * 4 - done, 4096);

		status = file_load(bat->file, bat->table_at + done, old, n);
		if (!status)
			status = file_store(bat->file, at + done, old, n);
	}
	if (!status)
		status = file_store(bat->file, at + len, vhd->footer, FOOTER_BYTES);
	if (!status)
		status = bat->file->ops->flush(bat->file);
	if (status)
		return status;
	be64_store(vhd->header + H_TABLE_OFFSET, at);
	be32_store(vhd->header + H_ENTRIES, entries);
	be32_store(vhd->header + H_CHECKSUM, vhd_checksum(vhd->header, HEADER_BYTES, H_CHECKSUM));
	bat->table_at = at;
	bat->end = at + len;
	return file_store(bat->file, be64_load(vhd->footer + DATA_OFFSET), vhd->header,
			  HEADER_BYTES);
}

static int resize_dynamic(struct vhd *vhd, uint64_t size)
{
	struct bat *bat = &vhd->base.bat;
	uint64_t entries = (size + bat->block_size - 1) / bat->block_size;
	int status = bat_flush(bat);

	if (!status && entries > bat->n_blocks)
		status = move_table(vhd, entries);
	if (!status)
		status = bat->file->ops->flush(bat->file);
	set_size(vhd, size);
	if (!status)
		status = file_store(bat->file, 0, vhd->footer, FOOTER_BYTES);
	if (!status)
		status = file_store(bat->file, bat->end, vhd->footer, FOOTER_BYTES);
	if (status)
		return status;
	entries = MAX(entries, bat->n_blocks);
	bat_fini(bat);
	g_free((void *)vhd->full);
	vhd->full = g_malloc0(entries / 8 + 1);
	bat->n_blocks = entries;
	bat->grown = true; /* the footer is the file's end */
	return bat_init(bat) ? 0 : -EFBIG;
}

static bool vhd_resize(struct image *image, uint64_t size, GError **error)
{
	struct vhd *vhd = (struct vhd *)image;
	struct bat *bat = &vhd->base.bat;
	int status;

	if (size / IMAGE_SECTOR_SIZE > MAX_SECTORS)
		return image_refuse(image, error,
				    "cannot have more than 2040 GiB; convert it to "
				    "vhdx or qcow2");
	if (bat->ops && size < image->size)
		return image_refuse(image, error, "cannot shrink; convert it to a smaller one");
	status = bat->ops ? resize_dynamic(vhd, size) : resize_fixed(vhd, size);
	if (status)
		return image_fail(image_path(image), status, "cannot be resized", error);
	bat->size = image->size = size;
	return true;
}

/* ---- check, info ---- */

static bool vhd_check(struct image *image, enum image_repair repair, struct image_check *report,
		      GError **error)
{
	struct vhd *vhd = (struct vhd *)image;
	struct bat *bat = &vhd->base.bat;
	struct bat_range taken[3 + N_LOCATORS];
	int status = 0;

	if (vhd->torn) { /* the copy stands in */
		report->leaks++;
		image_check_say(report, "the footer at the end is missing");
		report->leaks_fixed += repair != IMAGE_REPAIR_NOTHING;
	}
	if (bat->ops)
		status = bat_check(bat, taken, list_taken(vhd, taken), repair, report);
	if (!status && bat->ops && repair != IMAGE_REPAIR_NOTHING)
		status = bat_flush(bat);
	return !status || image_fail(image_path(image), status, "cannot be checked", error);
}

static void vhd_info(struct image *image, struct image_info *info)
{
	const struct vhd *vhd = (const struct vhd *)image;
	static const char *const types[] = {[TYPE_FIXED] = "fixed",
					    [TYPE_DYNAMIC] = "dynamic",
					    [TYPE_DIFFERENCING] = "differencing"};
	const uint8_t *footer = vhd->footer;

	info->cluster_size = vhd->base.bat.block_size;
	image_info_add(info, "subformat", "%s", types[be32_load(footer + DISK_TYPE)]);
	image_info_add(info, "geometry", "%u cylinders, %u heads, %u sectors",
		       be16_load(footer + CYLINDERS), footer[HEADS], footer[SECTORS]);
}

static const char *const vhd_extensions[] = {"vhd", "vpc", NULL};

static const struct image_option vhd_options[] = {
	{"subformat", "dynamic|fixed", "fixed: all of it is there from the start", "dynamic"},
	{"force_size", "on|off",
	 "on: the size as it is, as Hyper-V has it; off: rounded up to a geometry, as Virtual PC "
	 "has it",
	 "on"},
	{},
};

const struct block_format block_format_vhd = {
	.name = "vhd",
	.title = "Virtual PC's and Hyper-V's first disk image",
	.extensions = vhd_extensions,
	.options = vhd_options,
	.object_size = sizeof(struct vhd),
	.has_backing = true,
	.looks_like = vhd_looks_like,
	.open = vhd_open,
	.close = vhd_close,
	.read = bat_image_read,
	.write = bat_image_write,
	.flush = bat_image_flush,
	.discard = bat_image_discard,
	.write_zeroes = bat_image_write_zeroes,
	.map = bat_image_map,
	.locate = bat_image_locate,
	.create = vhd_create,
	.resize = vhd_resize,
	.check = vhd_check,
	.info = vhd_info,
};
