/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VDI, VirtualBox's images, version 1.1: a header, a map of 32-bit block numbers, and blocks of a
 * megabyte in the order in which they were first written. A static image is one whose blocks are
 * all there.
 *
 * A power cut loses what was not flushed and nothing else (bat.h); the header may count more blocks
 * than are in use, which are space lost until a check.
 */
#include "block/bat.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

/* Header, little-endian. */
enum {
	TEXT = 0x0,
	SIGNATURE = 0x40,
	VERSION = 0x44,
	HEADER_SIZE = 0x48, /* from here on */
	IMAGE_TYPE = 0x4c,
	OFFSET_BLOCKS = 0x154,
	OFFSET_DATA = 0x158,
	SECTOR_SIZE = 0x168,
	DISK_SIZE = 0x170,
	BLOCK_SIZE = 0x178,
	BLOCK_EXTRA = 0x17c, /* bytes before each block's data */
	BLOCKS_IN_IMAGE = 0x180,
	BLOCKS_ALLOCATED = 0x184,
	UUID_IMAGE = 0x188,
	UUID_LAST_SNAPSHOT = 0x198,
	UUID_LINK = 0x1a8, /* of a differencing image */
	HEADER_BYTES = 0x200,
};
enum { TYPE_DYNAMIC = 1, TYPE_STATIC = 2 };

#define SIGNATURE_VALUE 0xbeda107fu
#define VERSION_1_1	0x00010001u
#define ENTRY_NOTHING	0xffffffffu
#define ENTRY_ZERO	0xfffffffeu /* discarded */
#define DEFAULT_BLOCK	(1u << 20)
#define TABLE_AT	512u

struct vdi {
	struct bat_image base;
	uint64_t data_at;
	uint8_t header[HEADER_BYTES];
};

static bool vdi_looks_like(const uint8_t *head, size_t len, uint64_t file_size)
{
	return len >= HEADER_BYTES && le32_load(head + SIGNATURE) == SIGNATURE_VALUE;
}

/* ---- the table ---- */

static enum bat_kind vdi_decode(struct bat *bat, uint64_t block, uint64_t entry, uint64_t *offset)
{
	const struct vdi *vdi = (const struct vdi *)bat->image;

	if (entry == ENTRY_NOTHING)
		return BAT_NOTHING;
	if (entry == ENTRY_ZERO)
		return BAT_ZERO;
	*offset = vdi->data_at + entry * bat->block_size;
	return *offset < bat->file->size ? BAT_DATA : BAT_BAD;
}

static uint64_t vdi_encode(struct bat *bat, uint64_t offset)
{
	return (offset - ((struct vdi *)bat->image)->data_at) / bat->block_size;
}

static int vdi_prepare(struct bat *bat)
{
	struct vdi *vdi = (struct vdi *)bat->image;

	le32_store(vdi->header + BLOCKS_ALLOCATED, (bat->end - vdi->data_at) / bat->block_size);
	return file_store(bat->file, 0, vdi->header, HEADER_BYTES);
}

static const struct bat_ops vdi_ops = {
	.decode = vdi_decode,
	.encode = vdi_encode,
	.prepare = vdi_prepare,
};

/* ---- open ---- */

static bool check_header(const struct image *image, const uint8_t *header, GError **error)
{
	uint32_t version = le32_load(header + VERSION), type = le32_load(header + IMAGE_TYPE);
	uint32_t block = le32_load(header + BLOCK_SIZE);
	uint64_t blocks = le32_load(header + BLOCKS_IN_IMAGE), size = le64_load(header + DISK_SIZE);
	uint64_t table = le32_load(header + OFFSET_BLOCKS), data = le32_load(header + OFFSET_DATA);

	if (le32_load(header + SIGNATURE) != SIGNATURE_VALUE)
		return image_refuse(image, error,
				    "does not begin as a VDI image does; name its "
				    "format, or restore it from a copy");
	if (version >> 16 != VERSION_1_1 >> 16 || version < VERSION_1_1)
		return image_refuse(image, error,
				    "is of version %u.%u; convert it with its own "
				    "program to version 1.1",
				    version >> 16, version & 0xffff);
	if ((type != TYPE_DYNAMIC && type != TYPE_STATIC) ||
	    le64_load(header + UUID_LINK) | le64_load(header + UUID_LINK + 8))
		return image_refuse(image, error,
				    "builds on another image, which only its own "
				    "program can find; clone it to a whole one there");
	if (block < IMAGE_SECTOR_SIZE || block & (block - 1) || le32_load(header + BLOCK_EXTRA) ||
	    le32_load(header + SECTOR_SIZE) != IMAGE_SECTOR_SIZE)
		return image_refuse(image, error,
				    "has blocks of %u + %u bytes, which are not "
				    "supported; clone it with its own program",
				    block, le32_load(header + BLOCK_EXTRA));
	if (blocks > BAT_MAX_BLOCKS || size > blocks * block || table < HEADER_BYTES ||
	    data < table + blocks * 4 || data % IMAGE_SECTOR_SIZE)
		return image_refuse(image, error,
				    "is damaged: its header says that %" G_GUINT64_FORMAT
				    " bytes are in %" G_GUINT64_FORMAT
				    " blocks, listed at %" G_GUINT64_FORMAT
				    "; restore it from a copy",
				    size, blocks, table);
	return true;
}

static bool vdi_open(struct image *image, const struct image_open *how, GError **error)
{
	struct vdi *vdi = (struct vdi *)image;
	struct bat *bat = &vdi->base.bat;
	int status = file_load(image->file, 0, vdi->header, HEADER_BYTES);

	if (status)
		return image_fail(how->path, status, "cannot read its header", error);
	if (!check_header(image, vdi->header, error))
		return false;
	/* What is not a sector at the end of an odd disk is lost, as it is to VirtualBox. */
	image->size = le64_load(vdi->header + DISK_SIZE) / IMAGE_SECTOR_SIZE * IMAGE_SECTOR_SIZE;
	vdi->data_at = le32_load(vdi->header + OFFSET_DATA);
	bat->image = image;
	bat->file = image->file;
	bat->ops = &vdi_ops;
	bat->size = image->size;
	bat->block_size = le32_load(vdi->header + BLOCK_SIZE);
	bat->entry_size = 4;
	bat->n_blocks = le32_load(vdi->header + BLOCKS_IN_IMAGE);
	bat->table_at = le32_load(vdi->header + OFFSET_BLOCKS);
	bat->page_bytes = 4096;
	bat->nothing = ENTRY_NOTHING;
	bat->has_zero = true;
	bat->zero = ENTRY_ZERO;
	bat->max_end = vdi->data_at + ENTRY_ZERO * bat->block_size;
	if (bat->table_at + bat->n_blocks * 4 > image->file->size)
		return image_refuse(image, error,
				    "is damaged: the end of its table is missing; "
				    "restore it from a copy");
	if (!bat_init(bat))
		return image_refuse(image, error, "has more blocks than are supported");
	if (!image->read_only)
		status = bat_find_end(bat, &(struct bat_range){0, vdi->data_at}, 1);
	return !status || image_fail(how->path, status, "cannot read its table", error);
}

static void vdi_close(struct image *image)
{
	bat_fini(&((struct vdi *)image)->base.bat);
}

/* ---- create, resize ---- */

static uint64_t table_end(uint64_t blocks)
{
	return (TABLE_AT + blocks * 4 + DEFAULT_BLOCK - 1) / DEFAULT_BLOCK * DEFAULT_BLOCK;
}

static void make_uuid(uint8_t *to)
{
	for (unsigned i = 0; i < 16; i += 4)
		le32_store(to + i, g_random_int());
	to[7] = (to[7] & 0x0f) | 0x40; /* version 4, in VirtualBox's little-endian order */
	to[8] = (to[8] & 0x3f) | 0x80;
}

static int write_table(struct file *file, uint64_t blocks, bool in_use)
{
	g_autofree uint8_t *page = g_malloc(4096);
	int status = 0;

	for (uint64_t done = 0; done < blocks && !status; done += 1024) {
		unsigned n = MIN(blocks - done, 1024);

		for (unsigned i = 0; i < n; i++)
			le32_store(page + 4 * i, in_use ? done + i : ENTRY_NOTHING);
		status = file_store(file, TABLE_AT + done * 4, page, n * 4);
	}
	return status;
}

static bool vdi_create(struct file *file, const struct image_create *create, GError **error)
{
	uint64_t blocks = (create->size + DEFAULT_BLOCK - 1) / DEFAULT_BLOCK;
	uint64_t data_at = table_end(blocks);
	uint8_t header[HEADER_BYTES] = "<<< Oracle VM VirtualBox Disk Image >>>\n";
	bool whole;
	int status;

	if (!image_option_bool(create, &block_format_vdi, "static", &whole, error))
		return false;
	if (blocks > BAT_MAX_BLOCKS)
		return image_reject(error, "format vdi ends at 64 TiB; choose qcow2");
	le32_store(header + SIGNATURE, SIGNATURE_VALUE);
	le32_store(header + VERSION, VERSION_1_1);
	le32_store(header + HEADER_SIZE, 0x180);
	le32_store(header + IMAGE_TYPE, whole ? TYPE_STATIC : TYPE_DYNAMIC);
	le32_store(header + OFFSET_BLOCKS, TABLE_AT);
	le32_store(header + OFFSET_DATA, data_at);
	le32_store(header + SECTOR_SIZE, IMAGE_SECTOR_SIZE);
	le64_store(header + DISK_SIZE, create->size);
	le32_store(header + BLOCK_SIZE, DEFAULT_BLOCK);
	le32_store(header + BLOCKS_IN_IMAGE, blocks);
	le32_store(header + BLOCKS_ALLOCATED, whole ? blocks : 0);
	make_uuid(header + UUID_IMAGE);
	make_uuid(header + UUID_LAST_SNAPSHOT);
	status = file_zero(file, 0, data_at + (whole ? blocks * DEFAULT_BLOCK : 0), false);
	if (!status)
		status = write_table(file, blocks, whole);
	if (!status)
		status = file_store(file, 0, header, HEADER_BYTES);
	return !status || image_fail(create->path, status, "cannot be written", error);
}

/* Within the room that the table has. */
static bool vdi_resize(struct image *image, uint64_t size, GError **error)
{
	struct vdi *vdi = (struct vdi *)image;
	struct bat *bat = &vdi->base.bat;
	uint64_t blocks = (size + bat->block_size - 1) / bat->block_size, old = bat->n_blocks;
	int status;

	if (size < image->size)
		return image_refuse(image, error, "cannot shrink; convert it to a smaller one");
	if (blocks > BAT_MAX_BLOCKS || bat->table_at + blocks * 4 > vdi->data_at)
		return image_refuse(image, error,
				    "has room for %" G_GUINT64_FORMAT
				    " bytes; convert it to qcow2 with: viv disk convert",
				    (vdi->data_at - bat->table_at) / 4 * bat->block_size);
	status = bat_flush(bat);
	for (uint64_t block = old; block < blocks && !status; block++)
		status = file_store(image->file, bat->table_at + block * 4, "\xff\xff\xff\xff", 4);
	if (!status)
		status = image->file->ops->flush(image->file);
	if (status)
		return image_fail(image_path(image), status, "cannot be resized", error);
	le32_store(vdi->header + BLOCKS_IN_IMAGE, blocks);
	le64_store(vdi->header + DISK_SIZE, size);
	status = file_store(image->file, 0, vdi->header, HEADER_BYTES);
	if (status)
		return image_fail(image_path(image), status, "cannot be resized", error);
	bat_fini(bat);
	bat->n_blocks = blocks;
	bat->size = image->size = size;
	return bat_init(bat);
}

/* ---- check, info ---- */

static bool vdi_check(struct image *image, enum image_repair repair, struct image_check *report,
		      GError **error)
{
	struct vdi *vdi = (struct vdi *)image;
	struct bat *bat = &vdi->base.bat;
	const struct bat_range head = {0, vdi->data_at};
	int status = bat_check(bat, &head, 1, repair, report);
	uint64_t counted = le32_load(vdi->header + BLOCKS_ALLOCATED);

	if (!status && counted < report->allocated) { /* more is space lost, and counted so */
		report->errors++;
		image_check_say(report,
				"the header counts %" G_GUINT64_FORMAT
				" blocks of %" G_GUINT64_FORMAT,
				counted, report->allocated);
		bat->grown = repair != IMAGE_REPAIR_NOTHING;
		report->errors_fixed += bat->grown;
	}
	if (!status && repair != IMAGE_REPAIR_NOTHING)
		status = bat_flush(bat);
	return !status || image_fail(image_path(image), status, "cannot be checked", error);
}

static void vdi_info(struct image *image, struct image_info *info)
{
	const struct vdi *vdi = (const struct vdi *)image;
	bool whole = le32_load(vdi->header + IMAGE_TYPE) == TYPE_STATIC;

	info->cluster_size = vdi->base.bat.block_size;
	image_info_add(info, "static", "%s", whole ? "on" : "off");
}

static const char *const vdi_extensions[] = {"vdi", NULL};

static const struct image_option vdi_options[] = {
	{"static", "on|off", "all blocks are there from the start", "off"},
	{},
};

const struct block_format block_format_vdi = {
	.name = "vdi",
	.title = "VirtualBox's disk image",
	.extensions = vdi_extensions,
	.options = vdi_options,
	.object_size = sizeof(struct vdi),
	.looks_like = vdi_looks_like,
	.open = vdi_open,
	.close = vdi_close,
	.read = bat_image_read,
	.write = bat_image_write,
	.flush = bat_image_flush,
	.discard = bat_image_discard,
	.write_zeroes = bat_image_write_zeroes,
	.map = bat_image_map,
	.locate = bat_image_locate,
	.create = vdi_create,
	.resize = vdi_resize,
	.check = vdi_check,
	.info = vdi_info,
};
