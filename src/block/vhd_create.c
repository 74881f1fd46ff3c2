/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHD's footers, and new images. */
#include "block/vhd_int.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"

/* ---- footers ---- */

uint32_t vhd_checksum(const uint8_t *bytes, size_t len, unsigned field)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i - field < 4 ? 0 : bytes[i];
	return ~sum;
}

static void seal_footer(uint8_t *footer)
{
	be32_store(footer + CHECKSUM, vhd_checksum(footer, FOOTER_BYTES, CHECKSUM));
}

bool vhd_is_footer(const uint8_t *footer)
{
	return !memcmp(footer, "conectix", 8) &&
	       be32_load(footer + CHECKSUM) == vhd_checksum(footer, FOOTER_BYTES, CHECKSUM);
}

bool vhd_load_footer(struct file *file, uint8_t *footer)
{
	return file->size >= FOOTER_BYTES &&
	       !file_load(file, file->size - FOOTER_BYTES, footer, FOOTER_BYTES) &&
	       vhd_is_footer(footer);
}

bool vhd_parent_footer(const char *path, const char *name, uint8_t *footer, GError **error)
{
	g_autofree char *parent = image_resolve_backing(path, name);
	struct file *file = file_open(parent, FILE_READ_ONLY | FILE_NO_LOCK, error);
	bool found = file && (vhd_load_footer(file, footer) ||
			      (!file_load(file, 0, footer, FOOTER_BYTES) && vhd_is_footer(footer)));

	if (file && !found)
		image_reject(error,
			     "disk '%s' is no VHD image, which a VHD's backing image must be",
			     parent);
	file_close(file);
	return found;
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

void vhd_set_size(uint8_t *footer, uint64_t size)
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
	vhd_set_size(footer, size);
}

/* The name stands twice: in the header, and behind it where a locator leads. */
static bool set_parent(uint8_t *header, uint8_t *place, const struct image_create *create,
		       GError **error)
{
	gsize len, wide;
	g_autofree char *path = image_windows_path(create->backing);
	g_autofree char *le = g_convert(path, -1, "UTF-16LE", "UTF-8", NULL, &len, NULL);
	g_autofree char *be =
		g_convert(create->backing, -1, "UTF-16BE", "UTF-8", NULL, &wide, NULL);
	uint8_t footer[FOOTER_BYTES], *locator = header + H_LOCATORS;

	if (!le || !be || len > FOOTER_BYTES || wide > FOOTER_BYTES - 2)
		return image_reject(error,
				    "format vhd cannot hold '%s' as a name; give a shorter one",
				    create->backing);
	if (!vhd_parent_footer(create->path, create->backing, footer, error))
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

int vhd_store_nothing(struct file *file, uint64_t at, uint64_t len)
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
	be32_store(header + H_CHECKSUM, vhd_checksum(header, HEADER_BYTES, H_CHECKSUM));
	status = file_store(file, 0, head, table_at);
	if (!status)
		status = vhd_store_nothing(file, table_at, table_len);
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

bool vhd_create(struct file *file, const struct image_create *create, GError **error)
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
