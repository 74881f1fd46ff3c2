/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD, Virtual PC's and old Hyper-V's images ("Virtual Hard Disk Image Format Specification" 1.0):
 * fixed ones, a disk and a footer; dynamic ones, a copy of the footer, a header, a table of blocks,
 * blocks that begin with a bitmap of their sectors, and the footer; differencing ones, which are
 * dynamic over a parent.
 *
 * A power cut loses what was not flushed and nothing else (bat.h). While blocks are added, the
 * footer at the end is missing until the next flush; its copy stands in.
 *
 * Of the two the one at the end decides, and where they are not of one image, nothing does: the
 * first sector of a fixed disk is its guest's, who could make it the head of another image, over a
 * parent of the guest's choice.
 */
#include "block/bat.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/le.h"

/* Footer, big-endian. */
enum {
	COOKIE = 0,
	FEATURES = 8,
	FORMAT_VERSION = 12,
	DATA_OFFSET = 16, /* of the dynamic header */
	TIME_STAMP = 24,  /* seconds since 2000 */
	CREATOR = 28,
	CREATOR_VERSION = 32,
	CREATOR_HOST = 36,
	ORIGINAL_SIZE = 40,
	CURRENT_SIZE = 48,
	CYLINDERS = 56,
	HEADS = 58,
	SECTORS = 59,
	DISK_TYPE = 60,
	CHECKSUM = 64,
	UNIQUE_ID = 68,
	FOOTER_BYTES = 512,
};
/* Dynamic disk header. */
enum {
	H_DATA_OFFSET = 8,
	H_TABLE_OFFSET = 16,
	H_VERSION = 24,
	H_ENTRIES = 28,
	H_BLOCK_SIZE = 32,
	H_CHECKSUM = 36,
	H_PARENT_ID = 40,
	H_PARENT_TIME = 56,
	H_PARENT_NAME = 64, /* UTF-16, big-endian */
	H_LOCATORS = 576,
	HEADER_BYTES = 1024,
};
/* Parent locator entry. */
enum {
	L_CODE = 0,
	L_SPACE = 4,
	L_LENGTH = 8,
	L_OFFSET = 16,
	LOCATOR_BYTES = 24,
	N_LOCATORS = 8,
	MAX_NAME = 2048, /* bytes that are read of one */
};
enum { TYPE_FIXED = 2, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4 };

#define ENTRY_NOTHING 0xffffffffu
#define VERSION_1_0   0x00010000u
#define DEFAULT_BLOCK (2u << 20)
#define MIN_BLOCK     4096u
#define MAX_BLOCK     (256u << 20)
#define EPOCH_2000    946684800ll
#define MAX_GEOMETRY  (65535u * 16 * 255) /* sectors */
#define MAX_SECTORS   0xff000000ull	  /* 2040 GiB */
#define W2RU	      0x57327275u	  /* a relative path, in UTF-16, little-endian */
#define W2KU	      0x57326b75u	  /* an absolute one */

struct vhd {
	struct bat_image base;
	uint8_t footer[FOOTER_BYTES], header[HEADER_BYTES];
	/* A bit each block: all of its sectors are its own, as far as has been seen. */
	_Atomic uint8_t *full;
	bool torn; /* a footer is missing */
};

static uint32_t checksum(const uint8_t *bytes, size_t len, unsigned field)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i - field < 4 ? 0 : bytes[i];
	return ~sum;
}

static void seal_footer(uint8_t *footer)
{
	be32_store(footer + CHECKSUM, checksum(footer, FOOTER_BYTES, CHECKSUM));
}

static bool is_footer(const uint8_t *footer)
{
	return !memcmp(footer, "conectix", 8) &&
	       be32_load(footer + CHECKSUM) == checksum(footer, FOOTER_BYTES, CHECKSUM);
}

static bool vhd_looks_like(const uint8_t *head, size_t len, uint64_t file_size)
{
	return len >= FOOTER_BYTES && is_footer(head);
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

/* As Windows writes it; only the last part of an absolute one means something here. */
static char *host_path(const char *name, bool relative)
{
	g_autofree char *path = g_strdelimit(g_strdup(name), "\\", '/');
	const char *slash = strrchr(path, '/');

	if (!relative && slash)
		return g_strdup(slash + 1);
	return g_strdup(g_str_has_prefix(path, "./") ? path + 2 : path);
}

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
	image->backing_name = name && *name ? host_path(name, relative) : NULL;
	image->backing_format = g_strdup("vhd");
}

static bool load_footer(struct file *file, uint8_t *footer)
{
	return file->size >= FOOTER_BYTES &&
	       !file_load(file, file->size - FOOTER_BYTES, footer, FOOTER_BYTES) &&
	       is_footer(footer);
}

/* The footer of the image at `name`, as the image at `path` calls it. */
static bool look_at_parent(const char *path, const char *name, uint8_t *footer, GError **error)
{
	g_autofree char *parent = image_resolve_backing(path, name);
	struct file *file = file_open(parent, FILE_READ_ONLY | FILE_NO_LOCK, error);
	bool found = file && (load_footer(file, footer) ||
			      (!file_load(file, 0, footer, FOOTER_BYTES) && is_footer(footer)));

	if (file && !found)
		image_reject(error,
			     "disk '%s' is no VHD image, which a VHD's backing image must be",
			     parent);
	file_close(file);
	return found;
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
	if (!look_at_parent(how->path, image->backing_name, footer, error))
		return false;
	if (memcmp(footer + UNIQUE_ID, vhd->header + H_PARENT_ID, 16))
		image->damage = g_strdup_printf("its parent '%s' is another than it was made on",
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
	    be32_load(header + H_CHECKSUM) != checksum(header, HEADER_BYTES, H_CHECKSUM))
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
	bool at_end = load_footer(image->file, vhd->footer);
	bool at_start = !file_load(image->file, 0, copy, FOOTER_BYTES) && is_footer(copy);

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

/* ---- create ---- */

struct geometry {
	unsigned cylinders, heads, sectors;
};

/* The specification's appendix "CHS Calculation". */
static struct geometry geometry_of(uint64_t sectors)
{
	struct geometry g = {.heads = 16};
	uint64_t tracks;

	sectors = MIN(sectors, MAX_GEOMETRY);
	if (sectors >= 65535 * 16 * 63) {
		g.sectors = 255;
		tracks = sectors / g.sectors;
	} else {
		g.sectors = 17;
		tracks = sectors / g.sectors;
		g.heads = MAX((tracks + 1023) / 1024, 4);
		if (tracks >= g.heads * 1024 || g.heads > 16) {
			g.sectors = 31;
			g.heads = 16;
			tracks = sectors / g.sectors;
		}
		if (tracks >= g.heads * 1024) {
			g.sectors = 63;
			g.heads = 16;
			tracks = sectors / g.sectors;
		}
	}
	g.cylinders = tracks / g.heads;
	return g;
}

static uint64_t geometry_sectors(struct geometry g)
{
	return (uint64_t)g.cylinders * g.heads * g.sectors;
}

/* The least disk of at least so many sectors that a geometry describes; the largest ones have none.
 */
static uint64_t round_to_geometry(uint64_t sectors)
{
	for (uint64_t asked = sectors; asked <= MAX_GEOMETRY; asked++)
		if (geometry_sectors(geometry_of(asked)) >= sectors)
			return geometry_sectors(geometry_of(asked));
	return sectors;
}

static void set_footer_size(uint8_t *footer, uint64_t size)
{
	struct geometry g = geometry_of(size / IMAGE_SECTOR_SIZE);

	be64_store(footer + CURRENT_SIZE, size);
	be16_store(footer + CYLINDERS, g.cylinders);
	footer[HEADS] = g.heads;
	footer[SECTORS] = g.sectors;
	seal_footer(footer);
}

static uint32_t now_2000(void)
{
	return g_get_real_time() / G_USEC_PER_SEC - EPOCH_2000;
}

/* Readers go by the creator: as Hyper-V the size counts, as Virtual PC the geometry. */
static void make_footer(uint8_t *footer, uint64_t size, unsigned type, bool by_size)
{
	memset(footer, 0, FOOTER_BYTES);
	memcpy(footer, "conectix", 8);
	be32_store(footer + FEATURES, 2); /* reserved, always set */
	be32_store(footer + FORMAT_VERSION, VERSION_1_0);
	be64_store(footer + DATA_OFFSET, type == TYPE_FIXED ? UINT64_MAX : FOOTER_BYTES);
	be32_store(footer + TIME_STAMP, now_2000());
	memcpy(footer + CREATOR, by_size ? "win " : "vpc ", 4);
	be32_store(footer + CREATOR_VERSION, by_size ? 0x00060001 : 0x00050003);
	memcpy(footer + CREATOR_HOST, "Wi2k", 4);
	be64_store(footer + ORIGINAL_SIZE, size);
	be32_store(footer + DISK_TYPE, type);
	for (unsigned i = 0; i < 16; i += 4)
		be32_store(footer + UNIQUE_ID + i, g_random_int());
	set_footer_size(footer, size);
}

/* The name stands twice: in the header, and behind it where a locator leads. */
static bool set_parent(uint8_t *header, uint8_t *place, const struct image_create *create,
		       GError **error)
{
	gsize len, wide;
	g_autofree char *le = g_convert(create->backing, -1, "UTF-16LE", "UTF-8", NULL, &len, NULL);
	g_autofree char *be =
		g_convert(create->backing, -1, "UTF-16BE", "UTF-8", NULL, &wide, NULL);
	uint8_t footer[FOOTER_BYTES], *locator = header + H_LOCATORS;

	if (!le || !be || len > FOOTER_BYTES - 2)
		return image_reject(error,
				    "format vhd cannot hold '%s' as a name; give a shorter one",
				    create->backing);
	if (!look_at_parent(create->path, create->backing, footer, error))
		return false;
	memcpy(header + H_PARENT_ID, footer + UNIQUE_ID, 16);
	memcpy(header + H_PARENT_TIME, footer + TIME_STAMP, 4);
	memcpy(header + H_PARENT_NAME, be, wide);
	memcpy(place, le, len);
	be32_store(locator + L_CODE, W2RU);
	be32_store(locator + L_SPACE, FOOTER_BYTES);
	be32_store(locator + L_LENGTH, len);
	be64_store(locator + L_OFFSET, FOOTER_BYTES + HEADER_BYTES);
	return true;
}

static int write_nothing(struct file *file, uint64_t at, uint64_t len)
{
	g_autofree uint8_t *page = g_malloc(4096);
	int status = 0;

	memset(page, 0xff, 4096);
	for (uint64_t done = 0; done < len && !status; done += 4096)
		status = file_store(file, at + done, page, MIN(len - done, 4096));
	return status;
}

static bool create_dynamic(struct file *file, const struct image_create *create, uint64_t size,
			   bool by_size, GError **error)
{
	uint64_t entries = (size + DEFAULT_BLOCK - 1) / DEFAULT_BLOCK;
	uint64_t table_at = FOOTER_BYTES + HEADER_BYTES + (create->backing ? FOOTER_BYTES : 0);
	uint64_t table_len =
		(entries * 4 + IMAGE_SECTOR_SIZE - 1) / IMAGE_SECTOR_SIZE * IMAGE_SECTOR_SIZE;
	/* The footer's copy, the header, the parent's name. */
	uint8_t head[FOOTER_BYTES + HEADER_BYTES + FOOTER_BYTES] = {},
						   *header = head + FOOTER_BYTES;
	int status;

	make_footer(head, size, create->backing ? TYPE_DIFFERENCING : TYPE_DYNAMIC, by_size);
	memcpy(header, "cxsparse", 8);
	be64_store(header + H_DATA_OFFSET, UINT64_MAX);
	be64_store(header + H_TABLE_OFFSET, table_at);
	be32_store(header + H_VERSION, VERSION_1_0);
	be32_store(header + H_ENTRIES, entries);
	be32_store(header + H_BLOCK_SIZE, DEFAULT_BLOCK);
	if (create->backing && !set_parent(header, header + HEADER_BYTES, create, error))
		return false;
	be32_store(header + H_CHECKSUM, checksum(header, HEADER_BYTES, H_CHECKSUM));
	status = file_store(file, 0, head, table_at);
	if (!status)
		status = write_nothing(file, table_at, table_len);
	if (!status)
		status = file_store(file, table_at + table_len, head, FOOTER_BYTES);
	return !status || image_fail(create->path, status, "cannot be written", error);
}

static bool create_fixed(struct file *file, const struct image_create *create, uint64_t size,
			 bool by_size, GError **error)
{
	uint8_t footer[FOOTER_BYTES];
	int status = file_zero(file, 0, size, false);

	make_footer(footer, size, TYPE_FIXED, by_size);
	if (!status)
		status = file_store(file, size, footer, FOOTER_BYTES);
	return !status || image_fail(create->path, status, "cannot be written", error);
}

static bool vhd_create(struct file *file, const struct image_create *create, GError **error)
{
	const char *subformat = image_option(create, &block_format_vhd, "subformat");
	uint64_t sectors = create->size / IMAGE_SECTOR_SIZE;
	bool by_size, fixed = !strcmp(subformat, "fixed");

	if (!image_option_bool(create, &block_format_vhd, "force_size", &by_size, error))
		return false;
	if ((!fixed && strcmp(subformat, "dynamic")) || (fixed && create->backing))
		return image_reject(
			error,
			"subformat=%s: write dynamic, or fixed where there is no backing image",
			subformat);
	if (create->backing && strcmp(create->backing_format, "vhd"))
		return image_reject(error,
				    "format vhd stands on images of its own format only, and '%s' "
				    "is %s; choose qcow2",
				    create->backing, create->backing_format);
	sectors = by_size ? sectors : round_to_geometry(sectors);
	if (sectors > MAX_SECTORS)
		return image_reject(error, "format vhd ends at 2040 GiB; choose vhdx or qcow2");
	return (fixed ? create_fixed : create_dynamic)(file, create, sectors * IMAGE_SECTOR_SIZE,
						       by_size, error);
}

/* ---- resize ---- */

/* The new footer is safe before the old one goes. */
static int resize_fixed(struct vhd *vhd, uint64_t size)
{
	struct file *file = vhd->base.image.file;
	uint64_t old = vhd->base.image.size;
	int status = size > old ? file_zero(file, old + FOOTER_BYTES, size - old, true) : 0;

	if (!status)
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
	int status = write_nothing(bat->file, at, len);

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
	be32_store(vhd->header + H_CHECKSUM, checksum(vhd->header, HEADER_BYTES, H_CHECKSUM));
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
	set_footer_size(vhd->footer, size);
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
	memcpy(vhd->footer + CREATOR, "win ", 4); /* the size counts from now on */
	set_footer_size(vhd->footer, size);
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
