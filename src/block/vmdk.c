/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK, VMware's images: a descriptor, in a file of its own or in the only extent, and extents, in
 * which the disk stands as it is (flat) or in grains of 64 KiB (sparse). A child shows its parent's
 * grains where it has none, as long as the parent's content id is the one that it was made on.
 *
 * A power cut loses what was not flushed and nothing else (bat.h). The exception is
 * stream-optimized images, which are for transport: one is written once, from its making to its
 * first flush, which writes its tables; until then it is not whole, and afterwards it is only read.
 *
 * The files that a descriptor names are opened wherever they are: an image is as trusted as the
 * one who names it.
 */
#include "block/vmdk_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool vmdk_looks_like(const uint8_t *head, size_t len, uint64_t file_size)
{
	static const char text[] = "# Disk DescriptorFile";

	return len >= S_BYTES &&
	       (!memcmp(head, "KDMV", 4) || !g_ascii_strncasecmp((const char *)head, text, 21));
}

/* ---- open ---- */

static struct extent *add_extent(struct vmdk *vmdk)
{
	struct extent *extent = g_new0(struct extent, 1);

	extent->bat.image = &vmdk->image;
	extent->bat.start = vmdk->image.size;
	g_rw_lock_init(&extent->ending);
	g_ptr_array_add(vmdk->extents, extent);
	return extent;
}

static void free_extent(void *data)
{
	struct extent *extent = data;

	bat_fini(&extent->bat);
	vmdk_close_sparse(extent);
	if (extent->own)
		file_close(extent->file);
	g_rw_lock_clear(&extent->ending);
	g_free(extent);
}

/* A file that several extents are in is open once. */
static bool open_file(struct vmdk *vmdk, struct extent *extent, const struct extent_line *line,
		      const struct image_open *how, GError **error)
{
	g_autofree char *path = image_resolve_part(how->path, line->name, error);

	if (!path)
		return false;
	for (guint i = 0; i < vmdk->extents->len && !line->sparse; i++) {
		struct extent *other = g_ptr_array_index(vmdk->extents, i);

		if (other->file && !other->tables && !strcmp(other->file->name, path))
			extent->file = other->file;
	}
	if (extent->file)
		return true;
	extent->file = file_open(path, image_file_flags(how), error);
	extent->own = extent->file != NULL;
	if (!extent->file)
		g_prefix_error(error, "vmdk disk '%s' needs its extent: ", how->path);
	return extent->own;
}

static bool open_flat(struct vmdk *vmdk, struct extent *extent, const struct extent_line *line,
		      GError **error)
{
	uint64_t at = line->offset * IMAGE_SECTOR_SIZE, len = line->size * IMAGE_SECTOR_SIZE;

	if (at > INT64_MAX - len)
		return image_refuse(&vmdk->image, error, "has an extent that no file can hold");
	if (extent->file && at + len > extent->file->size)
		image_note_damage(&vmdk->image, "its extent '%s' is shorter than it should be",
				  line->name);
	extent->bat.file = extent->file;
	extent->bat.end = at;
	extent->bat.size = len;
	return bat_init(&extent->bat);
}

static bool open_extent(struct vmdk *vmdk, const struct extent_line *line,
			const struct image_open *how, GError **error)
{
	struct image *image = &vmdk->image;
	struct extent *extent = add_extent(vmdk);
	uint64_t size = line->size * IMAGE_SECTOR_SIZE;

	extent->zero = line->zero;
	if (line->read_only && !image->read_only)
		return image_refuse(image, error,
				    "has an extent that is only to be read; attach it "
				    "read-only");
	if (!line->zero && !open_file(vmdk, extent, line, how, error))
		return false;
	if (!line->sparse) {
		if (!open_flat(vmdk, extent, line, error))
			return false;
	} else if (!vmdk_open_sparse(extent, error)) {
		return false;
	}
	if (extent->bat.size < size)
		return image_refuse(image, error,
				    "is damaged: its extent '%s' is smaller than its "
				    "descriptor says",
				    line->name);
	extent->bat.size = size;
	if (size > INT64_MAX - image->size)
		return image_refuse(image, error, "is damaged: no disk is so large");
	image->size += size;
	return true;
}

/* The file is the only extent, whatever the descriptor in it calls it. */
static bool open_single(struct vmdk *vmdk, GError **error)
{
	struct extent *extent = add_extent(vmdk);

	extent->file = vmdk->image.file;
	if (!vmdk_open_sparse(extent, error))
		return false;
	vmdk->image.size = extent->bat.size;
	return true;
}

static bool open_extents(struct vmdk *vmdk, const struct image_open *how, GError **error)
{
	g_autoptr(GPtrArray) lines = vmdk_extent_lines(vmdk->descriptor, how->path, error);
	bool good = lines != NULL;

	for (guint i = 0; good && i < lines->len; i++)
		good = open_extent(vmdk, g_ptr_array_index(lines, i), how, error);
	return good;
}

static bool open_parent(struct vmdk *vmdk, const struct image_open *how, GError **error)
{
	struct image *image = &vmdk->image;
	g_autofree char *parent_cid = vmdk_value(vmdk->descriptor, "parentCID");
	g_autofree char *name = vmdk_value(vmdk->descriptor, "parentFileNameHint"), *cid = NULL;

	if (!parent_cid || !g_ascii_strcasecmp(parent_cid, "ffffffff") || !name || !*name)
		return true;
	image->backing_name = g_steal_pointer(&name);
	image->backing_format = g_strdup("vmdk");
	if (how->no_backing)
		return true;
	cid = vmdk_cid_of(how->path, image->backing_name, error);
	/* Numbers: some write them with leading zeros, some without. */
	if (cid && g_ascii_strtoull(cid, NULL, 16) != g_ascii_strtoull(parent_cid, NULL, 16))
		image_note_damage(image, "its parent '%s' was changed since it was made",
				  image->backing_name);
	return cid != NULL;
}

static bool vmdk_open(struct image *image, const struct image_open *how, GError **error)
{
	struct vmdk *vmdk = (struct vmdk *)image;
	bool sparse;

	g_mutex_init(&vmdk->lock);
	vmdk->has_lock = true;
	vmdk->extents = g_ptr_array_new_with_free_func(free_extent);
	vmdk->descriptor = vmdk_load_descriptor(image->file, &sparse, &vmdk->descriptor_at, error);
	if (!vmdk->descriptor)
		return false;
	if (sparse ? !open_single(vmdk, error) : !open_extents(vmdk, how, error))
		return false;
	return open_parent(vmdk, how, error);
}

/* ---- data ---- */

/* The extent of the byte at `*offset`, which becomes one of the extent; cuts `*len` to it. */
static struct extent *find_extent(struct vmdk *vmdk, uint64_t *offset, uint64_t *len)
{
	guint low = 0, high = vmdk->extents->len - 1;
	struct extent *extent;

	while (low < high) {
		guint middle = (low + high + 1) / 2;

		extent = g_ptr_array_index(vmdk->extents, middle);
		if (extent->bat.start <= *offset)
			low = middle;
		else
			high = middle - 1;
	}
	extent = g_ptr_array_index(vmdk->extents, low);
	*offset -= extent->bat.start;
	*len = MIN(*len, extent->bat.size - *offset);
	return extent;
}

static int read_extent(struct extent *extent, uint64_t at, struct span span)
{
	if (!extent->zero)
		return bat_read(&extent->bat, at, span);
	span_zero(span);
	return 0;
}

static int write_extent(struct extent *extent, uint64_t at, struct span span)
{
	int status;

	if (extent->zero)
		return -EROFS;
	if (!extent->compressed)
		return bat_write(&extent->bat, at, span);
	g_rw_lock_reader_lock(&extent->ending);
	status = bat_write(&extent->bat, at, span);
	g_rw_lock_reader_unlock(&extent->ending);
	return status;
}

static int transfer(struct image *image, uint64_t offset, struct span span,
		    int (*each)(struct extent *extent, uint64_t at, struct span span))
{
	int status = 0;

	while (span.len && !status) {
		uint64_t at = offset, len = span.len;
		struct extent *extent = find_extent((struct vmdk *)image, &at, &len);

		status = each(extent, at, span_part(span, 0, len));
		offset += len;
		span = span_part(span, len, span.len - len);
	}
	return status;
}

static int vmdk_read(struct image *image, uint64_t offset, struct span span)
{
	return transfer(image, offset, span, read_extent);
}

static int change_cid(struct vmdk *vmdk)
{
	const char *at = strstr(vmdk->descriptor, "\nCID=");
	size_t digits = at ? strspn(at + 5, "0123456789abcdefABCDEF") : 0;
	char cid[9];

	if (!digits || digits > 8)
		return 0;
	snprintf(cid, sizeof(cid), "%08x", g_random_int() & 0xfffffffe);
	/* As many as there are: the descriptor stays as long as it is. */
	return file_store(vmdk->image.file, vmdk->descriptor_at + (at + 5 - vmdk->descriptor),
			  cid + 8 - digits, digits);
}

static int mark_extents(struct vmdk *vmdk, bool unclean)
{
	int status = 0;

	for (guint i = 0; i < vmdk->extents->len && !status; i++) {
		struct extent *extent = g_ptr_array_index(vmdk->extents, i);

		if (!extent->tables || extent->compressed)
			continue;
		status = vmdk_mark_sparse(extent, unclean);
		if (!status && extent->own)
			status = extent->file->ops->flush(extent->file);
	}
	return status;
}

int vmdk_touch(struct vmdk *vmdk)
{
	int status = 0;

	if (vmdk->touched)
		return 0;
	g_mutex_lock(&vmdk->lock);
	if (!vmdk->touched) {
		status = change_cid(vmdk);
		if (!status)
			status = mark_extents(vmdk, true);
		if (!status)
			status = vmdk->image.file->ops->flush(vmdk->image.file);
		vmdk->touched = !status;
	}
	g_mutex_unlock(&vmdk->lock);
	return status;
}

static int vmdk_write(struct image *image, uint64_t offset, struct span span)
{
	int status = vmdk_touch((struct vmdk *)image);

	return status ? status : transfer(image, offset, span, write_extent);
}

static int vmdk_flush(struct image *image)
{
	struct vmdk *vmdk = (struct vmdk *)image;
	int status = 0;

	for (guint i = 0; i < vmdk->extents->len && !status; i++) {
		struct extent *extent = g_ptr_array_index(vmdk->extents, i);

		if (extent->compressed)
			status = vmdk_finish_stream(extent);
		else if (!extent->zero)
			status = bat_flush(&extent->bat);
	}
	return status;
}

static void vmdk_close(struct image *image)
{
	struct vmdk *vmdk = (struct vmdk *)image;

	if (!image->read_only && vmdk->touched && !vmdk_flush(image))
		mark_extents(vmdk, false);
	if (vmdk->extents)
		g_ptr_array_unref(vmdk->extents);
	if (vmdk->has_lock)
		g_mutex_clear(&vmdk->lock);
	g_free(vmdk->descriptor);
}

static int zero_extent(struct extent *extent, uint64_t at, uint64_t len, bool unmap)
{
	int status;

	if (extent->zero)
		return 0;
	if (!extent->compressed)
		return bat_zero(&extent->bat, at, len, unmap);
	g_rw_lock_reader_lock(&extent->ending);
	status = bat_zero(&extent->bat, at, len, unmap);
	g_rw_lock_reader_unlock(&extent->ending);
	return status;
}

static int vmdk_write_zeroes(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	int status = vmdk_touch((struct vmdk *)image);

	while (len && !status) {
		uint64_t at = offset, n = len;
		struct extent *extent = find_extent((struct vmdk *)image, &at, &n);

		status = zero_extent(extent, at, n, unmap);
		offset += n;
		len -= n;
	}
	return status;
}

static int vmdk_discard(struct image *image, uint64_t offset, uint64_t len)
{
	int status = vmdk_touch((struct vmdk *)image);

	while (len && !status) {
		uint64_t at = offset, n = len;
		struct extent *extent = find_extent((struct vmdk *)image, &at, &n);

		status = extent->zero ? 0 : bat_discard(&extent->bat, at, n);
		offset += n;
		len -= n;
	}
	return status;
}

static int vmdk_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *found)
{
	struct extent *extent = find_extent((struct vmdk *)image, &offset, &len);

	if (!extent->zero)
		return bat_map(&extent->bat, offset, len, found);
	found->kind = IMAGE_ZERO;
	found->len = len;
	return 0;
}

static bool vmdk_locate(struct image *image, uint64_t offset, uint64_t len, bool write,
			uint64_t *file_offset)
{
	struct vmdk *vmdk = (struct vmdk *)image;
	uint64_t n = len;
	struct extent *extent = find_extent(vmdk, &offset, &n);

	return n == len && !extent->zero && (!write || vmdk->touched) &&
	       bat_locate(&extent->bat, offset, len, write, file_offset);
}

/* ---- check, info ---- */

static int check_extent(struct extent *extent, enum image_repair repair, struct image_check *report)
{
	g_autoptr(GArray) taken = vmdk_sparse_taken(extent);
	int status = bat_check(&extent->bat, (struct bat_range *)taken->data, taken->len, repair,
			       report);

	return status || repair == IMAGE_REPAIR_NOTHING || extent->compressed
		       ? status
		       : bat_flush(&extent->bat);
}

static bool vmdk_check(struct image *image, enum image_repair repair, struct image_check *report,
		       GError **error)
{
	struct vmdk *vmdk = (struct vmdk *)image;
	int status = repair == IMAGE_REPAIR_NOTHING ? 0 : vmdk_touch(vmdk);

	for (guint i = 0; i < vmdk->extents->len && !status; i++) {
		struct extent *extent = g_ptr_array_index(vmdk->extents, i);

		if (extent->tables)
			status = check_extent(extent, repair, report);
	}
	return !status || image_fail(image_path(image), status, "cannot be checked", error);
}

static void vmdk_list_files(struct image *image, GPtrArray *names)
{
	struct vmdk *vmdk = (struct vmdk *)image;

	for (guint i = 0; i < vmdk->extents->len; i++) {
		struct extent *extent = g_ptr_array_index(vmdk->extents, i);

		if (extent->file && extent->file != image->file)
			g_ptr_array_add(names, g_strdup(extent->file->name));
	}
}

static void vmdk_info(struct image *image, struct image_info *info)
{
	struct vmdk *vmdk = (struct vmdk *)image;
	static const char *const keys[][2] = {{"createType", "subformat"},
					      {"CID", "content id"},
					      {"ddb.adapterType", "adapter type"}};

	for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_autofree char *value = vmdk_value(vmdk->descriptor, keys[i][0]);

		if (value)
			image_info_add(info, keys[i][1], "%s", value);
	}
	for (guint i = 0; i < vmdk->extents->len; i++) {
		struct extent *extent = g_ptr_array_index(vmdk->extents, i);

		info->cluster_size = MAX(info->cluster_size, extent->bat.block_size);
		info->compressed |= extent->compressed;
		if (extent->own)
			info->allocated += extent->file->ops->allocated(extent->file);
	}
	if (vmdk->extents->len > 1)
		image_info_add(info, "extents", "%u", vmdk->extents->len);
}

static const char *const vmdk_extensions[] = {"vmdk", NULL};

static const struct image_option vmdk_options[] = {
	{"subformat",
	 "monolithicSparse|monolithicFlat|twoGbMaxExtentSparse|twoGbMaxExtentFlat|streamOptimized",
	 "one file that grows, one that is all there, the same in parts of 2 GiB, or one that is "
	 "compressed, for transport",
	 "monolithicSparse"},
	{"adapter_type", "ide|lsilogic|buslogic|legacyESX", "what the disk hangs on", "ide"},
	{"hwversion", "NUMBER", "VMware's virtual hardware that it is for", "4"},
	{"toolsversion", "NUMBER", "of the guest's tools", "2147483647"},
	{"zeroed_grain", "on|off",
	 "grains of zeroes take no space, which VMware has read since "
	 "version 5",
	 "off"},
	{},
};

const struct block_format block_format_vmdk = {
	.name = "vmdk",
	.title = "VMware's disk image",
	.extensions = vmdk_extensions,
	.options = vmdk_options,
	.object_size = sizeof(struct vmdk),
	.has_backing = true,
	.looks_like = vmdk_looks_like,
	.open = vmdk_open,
	.close = vmdk_close,
	.read = vmdk_read,
	.write = vmdk_write,
	.flush = vmdk_flush,
	.discard = vmdk_discard,
	.write_zeroes = vmdk_write_zeroes,
	.write_compressed = vmdk_write,
	.map = vmdk_map,
	.locate = vmdk_locate,
	.create = vmdk_create,
	.resize = vmdk_resize,
	.check = vmdk_check,
	.info = vmdk_info,
	.list_files = vmdk_list_files,
};
