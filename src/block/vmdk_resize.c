/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another size of a VMDK disk of one extent: a flat one gets longer or shorter, a sparse one gets
 * more grain tables, and a directory at the file's end where the old one has no room. What is new
 * is on disk before the sector that leads to it: the header of a sparse extent, the descriptor of
 * a flat one.
 */
#include "block/vmdk_int.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

/* The descriptor as it is in the file by now, of another size. */
static bool store_descriptor(struct vmdk *vmdk, uint64_t size, GError **error)
{
	struct file *file = vmdk->image.file;
	struct extent *extent = g_ptr_array_index(vmdk->extents, 0);
	bool embedded;
	g_autofree char *old = vmdk_load_descriptor(file, &embedded, &vmdk->descriptor_at, error);
	g_autofree char *text =
		old && *old ? vmdk_descriptor_of_size(old, size / IMAGE_SECTOR_SIZE) : NULL;
	uint64_t len = text ? strlen(text) : 0, room = len;
	g_autofree char *bytes = NULL;
	int status;

	if (!text)
		return old; /* there is none, or it cannot be read */
	if (embedded)
		room = le64_load(extent->header + S_DESCRIPTOR_SIZE) * IMAGE_SECTOR_SIZE;
	if (len > room)
		return image_refuse(
			&vmdk->image, error,
			"has no room for a longer descriptor; convert it with: viv disk convert");
	bytes = g_malloc0(room);
	memcpy(bytes, text, len);
	status = file_store(file, vmdk->descriptor_at, bytes, room);
	if (!status && !embedded && file->size > room)
		status = file->ops->set_size(file, room);
	if (!status)
		status = file->ops->flush(file);
	if (status)
		return image_fail(file->name, status, "cannot write its descriptor", error);
	g_free(vmdk->descriptor);
	vmdk->descriptor = g_steal_pointer(&text);
	return true;
}

static bool resize_flat(struct vmdk *vmdk, struct extent *extent, uint64_t size, GError **error)
{
	struct bat *bat = &extent->bat;
	uint64_t end = bat->end + bat->size;
	int status = 0;

	if (size > bat->size)
		status = file_zero(extent->file, end, size - bat->size, true);
	if (!status)
		status = extent->file->ops->flush(extent->file);
	if (status)
		return image_fail(extent->file->name, status, "cannot be resized", error);
	if (!store_descriptor(vmdk, size, error))
		return false;
	if (size < bat->size && extent->file->size == end)
		status = extent->file->ops->set_size(extent->file, bat->end + size);
	bat_fini(bat);
	bat->size = vmdk->image.size = size;
	if (!bat_init(bat))
		status = -ENOMEM;
	return !status || image_fail(extent->file->name, status, "cannot be resized", error);
}

/* A directory for `n` tables, those that it has not at `*end`, and itself, if it has to move. */
static int grow_directory(struct extent *extent, const uint32_t *tables, uint64_t n, uint64_t *at,
			  uint64_t *end)
{
	struct bat *bat = &extent->bat;
	uint64_t old = extent->n_tables, new_at = *end;
	uint64_t len = round_up(n * 4, IMAGE_SECTOR_SIZE);
	g_autofree uint8_t *bytes = g_malloc0(len);
	int status;

	*end += (n - old) * bat->page_bytes;
	for (uint64_t i = 0; i < n; i++)
		le32_store(bytes + 4 * i,
			   i < old ? tables[i]
				   : new_at / IMAGE_SECTOR_SIZE +
					     (i - old) * (bat->page_bytes / IMAGE_SECTOR_SIZE));
	if (len > round_up(old * 4, IMAGE_SECTOR_SIZE)) {
		*at = *end;
		*end += len;
	}
	if (*end > bat->max_end)
		return -EFBIG;
	status = file_zero(bat->file, new_at, *end - new_at, true);
	return status ? status : file_store(bat->file, *at, bytes, len);
}

/* Where the directories are then: `directory_at` and `redundant_at`. */
static int grow_tables(struct extent *extent, uint64_t size, uint64_t *directory_at,
		       uint64_t *redundant_at)
{
	struct bat *bat = &extent->bat;
	uint64_t n = (size - 1) / bat->block_size / (bat->page_bytes / 4) + 1, end = bat->end;
	int status = 0;

	*directory_at = extent->directory_at;
	*redundant_at = extent->redundant_at;
	if (n > extent->n_tables) {
		end = MAX(end, round_up(bat->file->size, IMAGE_SECTOR_SIZE));
		if (extent->redundant)
			status = grow_directory(extent, extent->redundant, n, redundant_at, &end);
		if (!status)
			status = grow_directory(extent, extent->tables, n, directory_at, &end);
		/* By this the end of the file is known to be that of what is in it. */
		if (!status)
			status =
				bat->file->ops->set_size(bat->file, round_up(end, bat->block_size));
	}
	return status ? status : bat->file->ops->flush(bat->file);
}

static int store_header(struct extent *extent, uint64_t size, uint64_t directory_at,
			uint64_t redundant_at)
{
	uint8_t header[S_BYTES];
	int status;

	memcpy(header, extent->header, S_BYTES);

	le64_store(header + S_CAPACITY, size / IMAGE_SECTOR_SIZE);
	le64_store(header + S_DIRECTORY_AT, directory_at / IMAGE_SECTOR_SIZE);
	if (extent->redundant)
		le64_store(header + S_REDUNDANT_AT, redundant_at / IMAGE_SECTOR_SIZE);
	status = file_store(extent->file, 0, header, S_BYTES);
	return status ? status : extent->file->ops->flush(extent->file);
}

static bool grow_sparse(struct vmdk *vmdk, struct extent *extent, uint64_t size, GError **error)
{
	uint64_t directory_at, redundant_at;
	int status = bat_flush(&extent->bat);
	bool stored;

	if (!status)
		status = grow_tables(extent, size, &directory_at, &redundant_at);
	if (!status)
		status = store_header(extent, size, directory_at, redundant_at);
	if (status)
		return image_fail(extent->file->name, status, "cannot be resized", error);
	stored = store_descriptor(vmdk, size, error);
	if (stored)
		vmdk->image.size = size;
	bat_fini(&extent->bat);
	vmdk_close_sparse(extent);
	extent->tables = extent->redundant = NULL;
	extent->bat = (struct bat){.image = &vmdk->image};
	if (!vmdk_open_sparse(extent, stored ? error : NULL)) {
		vmdk->image.read_only = true; /* nothing is known of it any more */
		return false;
	}
	extent->bat.size = vmdk->image.size;
	return stored;
}

bool vmdk_resize(struct image *image, uint64_t size, GError **error)
{
	struct vmdk *vmdk = (struct vmdk *)image;
	struct extent *extent = g_ptr_array_index(vmdk->extents, 0);
	g_autofree char *type = vmdk_value(vmdk->descriptor, "createType");
	int status;

	if (vmdk->extents->len > 1 || extent->zero || (type && g_str_has_prefix(type, "twoGb")))
		return image_refuse(
			image, error,
			"is in parts, which keep their size; convert it with: viv disk convert");
	if (extent->compressed)
		return image_refuse(
			image, error,
			"is stream-optimized, which keeps its size; convert it with: viv disk "
			"convert");
	if (image->backing_name)
		return image_refuse(
			image, error,
			"has the size of its parent '%s'; convert it with: viv disk convert",
			image->backing_name);
	if (extent->tables && size < image->size)
		return image_refuse(image, error, "cannot shrink; convert it to a smaller one");
	if (extent->tables && (size / IMAGE_SECTOR_SIZE > VMDK_MAX_SPARSE ||
			       size / extent->bat.block_size >= BAT_MAX_BLOCKS / 2))
		return image_refuse(
			image, error,
			"cannot get so large; convert it to qcow2 with: viv disk convert");
	if (size == image->size)
		return true;
	status = vmdk_touch(vmdk);
	if (status)
		return image_fail(image_path(image), status, "cannot be resized", error);
	return extent->tables ? grow_sparse(vmdk, extent, size, error)
			      : resize_flat(vmdk, extent, size, error);
}
