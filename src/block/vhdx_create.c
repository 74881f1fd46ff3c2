/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New VHDX images: headers, log, table of blocks, metadata, and, of fixed ones, the blocks. */
#include "block/vhdx_int.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

enum { ITEMS_AT = M_TABLE_BYTES, METADATA_BYTES = VHDX_MIB };

struct plan {
	const struct image_create *create;
	struct file *file;
	uint64_t block_size, log_len, table_at, table_len, metadata_at, data_at, n_blocks, gap;
	bool fixed;
};

/* Larger disks have larger blocks: as other makers choose them. */
static uint64_t default_block(uint64_t size)
{
	if (size > 32ull << 40)
		return 64ull * VHDX_MIB;
	if (size > 100ull << 30)
		return 32ull * VHDX_MIB;
	return (size > 1ull << 30 ? 16ull : 8ull) * VHDX_MIB;
}

static bool make_plan(struct plan *plan, GError **error)
{
	const struct image_create *create = plan->create;
	const char *subformat = image_option(create, &block_format_vhdx, "subformat");
	uint64_t entries;

	plan->fixed = !strcmp(subformat, "fixed");
	if (!image_option_size(create, &block_format_vhdx, "block_size", &plan->block_size,
			       error) ||
	    !image_option_size(create, &block_format_vhdx, "log_size", &plan->log_len, error))
		return false;
	if (!plan->block_size)
		plan->block_size = default_block(create->size);
	if ((!plan->fixed && strcmp(subformat, "dynamic")) || (plan->fixed && create->backing))
		return image_reject(
			error,
			"subformat=%s: write dynamic, or fixed where there is no backing image",
			subformat);
	if (create->backing && strcmp(create->backing_format, "vhdx"))
		return image_reject(error,
				    "format vhdx stands on images of its own format only, and '%s' "
				    "is %s; choose qcow2",
				    create->backing, create->backing_format);
	if (plan->block_size < VHDX_MIB || plan->block_size > 256u * VHDX_MIB ||
	    plan->block_size & (plan->block_size - 1))
		return image_reject(error, "block_size is a power of two from 1M to 256M");
	if (!plan->log_len || plan->log_len % VHDX_MIB || plan->log_len > 64u * VHDX_MIB)
		return image_reject(error, "log_size is of whole MiB, 1M to 64M");
	if (create->size > 64ull << 40)
		return image_reject(error, "format vhdx ends at 64 TiB; choose qcow2");
	plan->n_blocks = (create->size + plan->block_size - 1) / plan->block_size;
	plan->gap = (512ull << 23) / plan->block_size;
	entries = (plan->n_blocks + plan->gap - 1) / plan->gap * (plan->gap + 1);
	plan->table_at = VHDX_MIB + plan->log_len;
	plan->table_len = (entries * 8 + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
	plan->metadata_at = plan->table_at + plan->table_len;
	plan->data_at = plan->metadata_at + METADATA_BYTES;
	return true;
}

/* ---- metadata ---- */

struct items {
	uint8_t bytes[METADATA_BYTES];
	unsigned n, len; /* len: of the items, from ITEMS_AT on */
};

static void add_item(struct items *items, const uint8_t *guid, unsigned flags, const void *data,
		     unsigned len)
{
	uint8_t *entry = items->bytes + M_ENTRIES + items->n++ * M_ENTRY_BYTES;

	memcpy(entry, guid, GUID_BYTES);
	le32_store(entry + M_OFFSET, ITEMS_AT + items->len);
	le32_store(entry + M_LENGTH, len);
	le32_store(entry + M_FLAGS, flags | IS_REQUIRED);
	memcpy(items->bytes + ITEMS_AT + items->len, data, len);
	items->len += (len + 7) / 8 * 8;
	le16_store(items->bytes + M_COUNT, items->n);
}

/* Keys and values behind the entries, in UTF-16; returns the length of all. */
static bool add_pair(uint8_t *locator, unsigned max, unsigned i, unsigned *len, const char *key,
		     const char *value)
{
	uint8_t *entry = locator + P_ENTRIES + i * P_ENTRY_BYTES;
	gsize key_len, value_len;
	g_autofree char *wide_key = g_convert(key, -1, "UTF-16LE", "UTF-8", NULL, &key_len, NULL);
	g_autofree char *wide = g_convert(value, -1, "UTF-16LE", "UTF-8", NULL, &value_len, NULL);

	if (!wide || key_len + value_len > max - *len)
		return false;
	memcpy(locator + *len, wide_key, key_len);
	memcpy(locator + *len + key_len, wide, value_len);
	le32_store(entry + P_KEY, *len);
	le32_store(entry + P_VALUE, *len + key_len);
	le16_store(entry + P_KEY_LENGTH, key_len);
	le16_store(entry + P_VALUE_LENGTH, value_len);
	*len += key_len + value_len;
	return true;
}

static bool add_parent(struct items *items, const struct image_create *create, GError **error)
{
	uint8_t locator[4096] = {};
	unsigned len = P_ENTRIES + 2 * P_ENTRY_BYTES;
	g_autofree char *linkage = vhdx_linkage(create->path, create->backing, error);
	g_autofree char *path = image_windows_path(create->backing);

	if (!linkage)
		return false;
	memcpy(locator, vhdx_locator_type, GUID_BYTES);
	le16_store(locator + P_COUNT, 2);
	if (!add_pair(locator, sizeof(locator), 0, &len, "parent_linkage", linkage) ||
	    !add_pair(locator, sizeof(locator), 1, &len, "relative_path", path))
		return image_reject(error,
				    "format vhdx cannot hold '%s' as a name; give a shorter one",
				    create->backing);
	add_item(items, vhdx_item_parent, 0, locator, len);
	return true;
}

static bool store_metadata(const struct plan *plan, GError **error)
{
	const struct image_create *create = plan->create;
	g_autofree struct items *items = g_new0(struct items, 1);
	uint8_t parameters[8], size[8], id[GUID_BYTES], sector[4];
	int status;

	memcpy(items->bytes, "metadata", 8);
	le32_store(parameters, plan->block_size);
	le32_store(parameters + 4,
		   (plan->fixed ? LEAVE_ALLOCATED : 0) | (create->backing ? HAS_PARENT : 0));
	le64_store(size, create->size);
	vhdx_make_guid(id);
	le32_store(sector, 512);
	add_item(items, vhdx_item_parameters, 0, parameters, 8);
	add_item(items, vhdx_item_size, IS_VIRTUAL_DISK, size, 8);
	add_item(items, vhdx_item_id, IS_VIRTUAL_DISK, id, GUID_BYTES);
	add_item(items, vhdx_item_logical, IS_VIRTUAL_DISK, sector, 4);
	add_item(items, vhdx_item_physical, IS_VIRTUAL_DISK, sector, 4);
	if (create->backing && !add_parent(items, create, error))
		return false;
	status = file_store(plan->file, plan->metadata_at, items->bytes, METADATA_BYTES);
	return !status || image_fail(create->path, status, "cannot be written", error);
}

/* ---- the rest ---- */

static void add_region(uint8_t *table, unsigned i, const uint8_t *guid, uint64_t at, uint64_t len)
{
	uint8_t *entry = table + R_ENTRIES + i * R_ENTRY_BYTES;

	memcpy(entry, guid, GUID_BYTES);
	le64_store(entry + R_OFFSET, at);
	le32_store(entry + R_LENGTH, len);
	le32_store(entry + R_REQUIRED, 1);
}

static void make_head(const struct plan *plan, uint8_t *head)
{
	static const char creator[] = "Vivarium";
	uint8_t *header = head + HEADER_AT, *table = head + REGIONS_AT;

	memcpy(head, "vhdxfile", 8);
	for (unsigned i = 0; creator[i]; i++)
		head[8 + 2 * i] = creator[i];
	memcpy(header, "head", 4);
	vhdx_make_guid(header + H_FILE_WRITE);
	vhdx_make_guid(header + H_DATA_WRITE);
	le16_store(header + H_VERSION, 1);
	le32_store(header + H_LOG_LENGTH, plan->log_len);
	le64_store(header + H_LOG_OFFSET, VHDX_MIB);
	memcpy(head + HEADER_2_AT, header, VHDX_PAGE);
	le64_store(head + HEADER_2_AT + H_SEQUENCE, 1);
	le32_store(header + H_CHECKSUM, vhdx_checksum(header, VHDX_PAGE, H_CHECKSUM));
	le32_store(head + HEADER_2_AT + H_CHECKSUM,
		   vhdx_checksum(head + HEADER_2_AT, VHDX_PAGE, H_CHECKSUM));
	memcpy(table, "regi", 4);
	le32_store(table + R_COUNT, 2);
	add_region(table, 0, vhdx_region_bat, plan->table_at, plan->table_len);
	add_region(table, 1, vhdx_region_metadata, plan->metadata_at, METADATA_BYTES);
	le32_store(table + R_CHECKSUM, vhdx_checksum(table, REGION_TABLE_BYTES, R_CHECKSUM));
	memcpy(head + REGIONS_2_AT, table, REGION_TABLE_BYTES);
}

static int store_table(const struct plan *plan)
{
	uint8_t page[VHDX_PAGE];
	uint64_t block = 0, entries = plan->n_blocks + (plan->n_blocks - 1) / plan->gap;
	int status = 0;

	for (uint64_t index = 0; index < entries && plan->fixed && !status; index += 512) {
		memset(page, 0, sizeof(page));
		for (unsigned i = 0; i < 512 && index + i < entries; i++)
			if ((index + i) % (plan->gap + 1) != plan->gap)
				le64_store(page + 8 * i,
					   (plan->data_at + block++ * plan->block_size) |
						   FULLY_PRESENT);
		status = file_store(plan->file, plan->table_at + index * 8, page, sizeof(page));
	}
	return status;
}

bool vhdx_create(struct file *file, const struct image_create *create, GError **error)
{
	struct plan plan = {.create = create, .file = file};
	g_autofree uint8_t *head = g_malloc0(VHDX_MIB);
	int status;

	if (!make_plan(&plan, error))
		return false;
	status = file_zero(
		file, 0, plan.data_at + (plan.fixed ? plan.n_blocks * plan.block_size : 0), false);
	if (!status)
		status = store_table(&plan);
	make_head(&plan, head);
	if (!status)
		status = file_store(file, 0, head, VHDX_MIB);
	if (status)
		return image_fail(create->path, status, "cannot be written", error);
	return store_metadata(&plan, error);
}
