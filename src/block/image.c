/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/image.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "block/format.h"

const struct block_format *const block_formats[] = {
	&block_format_raw,
	&block_format_qcow2,
	&block_format_luks,
	&block_format_vdi,
	&block_format_vhd,
	&block_format_vhdx,
	&block_format_vmdk,
};
const size_t block_n_formats = G_N_ELEMENTS(block_formats);

static bool has_extension(const struct block_format *format, const char *name)
{
	for (const char *const *ext = format->extensions; *ext; ext++)
		if (!g_ascii_strcasecmp(*ext, name))
			return true;
	return false;
}

const struct block_format *image_find_format(const char *name, GError **error)
{
	g_autoptr(GString) known = g_string_new(NULL);

	for (size_t i = 0; i < block_n_formats; i++) {
		if (!strcmp(block_formats[i]->name, name) || has_extension(block_formats[i], name))
			return block_formats[i];
		g_string_append_printf(known, "%s%s", i ? ", " : "", block_formats[i]->name);
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "disk format '%s' is not known; use one of: %s", name, known->str);
	return NULL;
}

const char *image_format_of_path(const char *path)
{
	/* A server's names say nothing of what it serves. */
	const char *dot = strstr(path, "://") ? NULL : strrchr(path, '.');

	for (size_t i = 0; dot && i < block_n_formats; i++)
		if (has_extension(block_formats[i], dot + 1))
			return block_formats[i]->name;
	return block_format_raw.name;
}

const char *image_guess_format(const char *path, GError **error)
{
	struct file *file = file_open(path, FILE_READ_ONLY | FILE_NO_LOCK, error);
	const char *name = block_format_raw.name;
	uint8_t head[4096];
	int status;

	if (!file)
		return NULL;
	status = file_load(file, 0, head, sizeof(head));
	for (size_t i = 0; i < block_n_formats && !status; i++) {
		if (!block_formats[i]->looks_like ||
		    !block_formats[i]->looks_like(head, sizeof(head), file->size))
			continue;
		name = block_formats[i]->name;
		break;
	}
	file_close(file);
	if (!status)
		return name;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s': cannot read it: %s", path,
		    g_strerror(-status));
	return NULL;
}

const char *image_suspect_format(const char *path)
{
	const char *guess = NULL;

	if (!strcmp(image_format_of_path(path), block_format_raw.name))
		guess = image_guess_format(path, NULL);
	return guess && strcmp(guess, block_format_raw.name) ? guess : NULL;
}

const char *image_format_name(unsigned index)
{
	return index < block_n_formats ? block_formats[index]->name : NULL;
}

const struct image_option *image_format_options(unsigned index)
{
	return block_formats[index]->options;
}

char *image_resolve_backing(const char *path, const char *name)
{
	g_autofree char *folder = NULL;

	if (g_path_is_absolute(name) || strstr(name, "://") || strstr(path, "://"))
		return g_strdup(name);
	folder = g_path_get_dirname(path);
	return g_build_filename(folder, name, NULL);
}

char *image_resolve_part(const char *path, const char *name, GError **error)
{
	g_autofree char *part = image_resolve_backing(path, name);
	g_autofree char *place = g_canonicalize_filename(part, NULL);
	g_autofree char *image = g_canonicalize_filename(path, NULL);
	size_t folder = strrchr(image, '/') + 1 - image;

	if (!strstr(part, "://") && !strstr(path, "://") && !strncmp(place, image, folder))
		return g_steal_pointer(&part);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "disk '%s' keeps its data in '%s', outside its own folder, where no image is let write; put both "
		    "into one folder, and name the file without one",
		    path, name);
	return NULL;
}

bool image_refuse(const struct image *image, GError **error, const char *why, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, why);
	text = g_strdup_vprintf(why, args);
	va_end(args);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s disk '%s' %s", image->format->name,
		    image_path(image), text);
	return false;
}

void image_note_damage(struct image *image, const char *what, ...)
{
	va_list args;

	if (image->damage)
		return;
	va_start(args, what);
	image->damage = g_strdup_vprintf(what, args);
	va_end(args);
}

bool image_reject(GError **error, const char *why, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, why);
	text = g_strdup_vprintf(why, args);
	va_end(args);
	g_set_error_literal(error, VIV_ERROR, VIV_ERROR_INPUT, text);
	return false;
}

bool image_fail(const char *path, int status, const char *what, GError **error)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s': %s: %s", path, what,
		    g_strerror(-status));
	return false;
}

char *image_read_secret(const char *path, GError **error)
{
	char *text = NULL;

	if (!g_file_get_contents(path, &text, NULL, error)) {
		(*error)->domain = VIV_ERROR;
		(*error)->code = VIV_ERROR_INPUT;
		return NULL;
	}
	text[strcspn(text, "\r\n")] = '\0';
	if (*text)
		return text;
	g_free(text);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' has no passphrase in its first line", path);
	return NULL;
}

unsigned image_file_flags(const struct image_open *how)
{
	return (how->read_only ? FILE_READ_ONLY : 0) | (how->direct ? FILE_DIRECT : 0) |
	       (how->no_lock ? FILE_NO_LOCK : 0);
}

static struct image *open_chain(const struct image_open *how, unsigned depth, GError **error);

static bool open_backing(struct image *image, const struct image_open *how, unsigned depth,
			 GError **error)
{
	g_autofree char *path = NULL;
	struct image_open next = {
		.secret = how->secret,
		.read_only = true,
		.direct = how->direct,
		.no_lock = how->no_lock};

	if (!image->backing_name || how->no_backing)
		return true;
	path = image_resolve_backing(how->path, image->backing_name);
	next.path = path;
	next.format = image->backing_format ? image->backing_format : image_format_of_path(path);
	if (depth + 1 == IMAGE_MAX_CHAIN) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' is the end of a chain of more than %u images, or of one "
			    "that leads back to "
			    "itself; name another backing image with: viv disk rebase",
			    how->path, IMAGE_MAX_CHAIN);
		return false;
	}
	image->backing = open_chain(&next, depth + 1, error);
	if (!image->backing)
		g_prefix_error(error, "disk '%s' needs its backing image: ", how->path);
	return image->backing != NULL;
}

static bool check_damage(struct image *image, const struct image_open *how, GError **error)
{
	if (!image->damage || how->read_only || how->damaged)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "disk '%s' is damaged: %s; mend it with 'viv disk check --repair all', or "
		    "attach it read-only",
		    how->path, image->damage);
	return false;
}

static bool check_size(struct image *image, const struct image_open *how, GError **error)
{
	if (image->size && image->size <= INT64_MAX && image->size % IMAGE_SECTOR_SIZE == 0)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "%s disk '%s' says that it has %" G_GUINT64_FORMAT " bytes, which no disk has",
		    image->format->name, how->path, image->size);
	return false;
}

static struct image *open_chain(const struct image_open *how, unsigned depth, GError **error)
{
	const struct block_format *format = image_find_format(
		how->format ? how->format : image_format_of_path(how->path), error);
	struct image *image;
	struct file *file = format ? file_open(how->path, image_file_flags(how), error) : NULL;

	if (!file)
		return NULL;
	image = g_malloc0(format->object_size);
	image->format = format;
	image->file = file;
	image->read_only = how->read_only;
	if (format->open(image, how, error) && check_size(image, how, error) &&
	    check_damage(image, how, error) && open_backing(image, how, depth, error))
		return image;
	image->read_only = true; /* nothing is to be flushed */
	image_close(image);
	return NULL;
}

struct image *image_open(const struct image_open *how, GError **error)
{
	return open_chain(how, 0, error);
}

void image_close(struct image *image)
{
	while (image) {
		struct image *backing = image->backing;

		if (!image->read_only)
			image->format->flush(image);
		image->format->close(image);
		file_close(image->file);
		g_free(image->backing_name);
		g_free(image->backing_format);
		g_free(image->damage);
		g_free(image);
		image = backing;
	}
}

uint64_t image_size(const struct image *image)
{
	return image->size;
}

bool image_read_only(const struct image *image)
{
	return image->read_only;
}

struct image *image_backing(const struct image *image)
{
	return image->backing;
}

const struct block_format *image_format(const struct image *image)
{
	return image->format;
}

const char *image_format_name_of(const struct image *image)
{
	return image->format->name;
}

const char *image_path(const struct image *image)
{
	return image->file->name;
}

const char *image_data_path(const struct image *image)
{
	return image_data(image)->name;
}

static int check_range(const struct image *image, uint64_t offset, uint64_t len, bool changes)
{
	if (changes && image->read_only)
		return -EROFS;
	if (offset % IMAGE_SECTOR_SIZE || len % IMAGE_SECTOR_SIZE)
		return -EINVAL;
	if (offset > image->size || len > image->size - offset)
		return -EINVAL;
	return 0;
}

int image_read(struct image *image, uint64_t offset, struct span span)
{
	int status = check_range(image, offset, span.len, false);

	return status || !span.len ? status : image->format->read(image, offset, span);
}

int image_read_backing(struct image *image, uint64_t offset, struct span span)
{
	struct image *backing = image->backing;
	uint64_t there =
		backing && offset < backing->size ? MIN(span.len, backing->size - offset) : 0;

	if (there < span.len)
		span_zero(span_part(span, there, span.len - there));
	return there ? image_read(backing, offset, span_part(span, 0, there)) : 0;
}

int image_write(struct image *image, uint64_t offset, struct span span)
{
	int status = check_range(image, offset, span.len, true);

	return status || !span.len ? status : image->format->write(image, offset, span);
}

int image_write_compressed(struct image *image, uint64_t offset, struct span span)
{
	int status = check_range(image, offset, span.len, true);

	if (status || !span.len)
		return status;
	return image->format->write_compressed
		       ? image->format->write_compressed(image, offset, span)
		       : -EOPNOTSUPP;
}

static int write_zeroes(struct image *image, uint64_t offset, uint64_t len)
{
	static const uint8_t zeroes[64 << 10];
	int status = 0;

	for (uint64_t done = 0; done < len && !status; done += sizeof(zeroes))
		status = image->format->write(image, offset + done,
					      SPAN(zeroes, MIN(len - done, sizeof(zeroes))));
	return status;
}

int image_zero(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
	int status = check_range(image, offset, len, true);

	if (status || !len)
		return status;
	return image->format->write_zeroes ? image->format->write_zeroes(image, offset, len, unmap)
					   : write_zeroes(image, offset, len);
}

int image_discard(struct image *image, uint64_t offset, uint64_t len)
{
	int status = check_range(image, offset, len, true);

	return status || !len || !image->format->discard
		       ? status
		       : image->format->discard(image, offset, len);
}

int image_flush(struct image *image)
{
	return image->read_only ? 0 : image->format->flush(image);
}

int image_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent)
{
	unsigned depth = 0;

	for (;; image = image->backing, depth++) {
		int status;

		*extent = (struct image_extent){
			.len = len, .file_offset = IMAGE_NO_OFFSET, .depth = depth, .image = image};
		if (offset >= image->size) /* the rest of a longer disk */
			return 0;
		extent->len = len = MIN(len, image->size - offset);
		status = image->format->map(image, offset, len, extent);
		if (status || extent->kind != IMAGE_UNALLOCATED || !image->backing)
			return status;
		len = extent->len;
	}
}

bool image_locate(struct image *image, uint64_t offset, struct span span, bool write, int *fd,
		  uint64_t *file_offset)
{
	struct file *file = image_data(image);

	if (file->fd < 0 || !image->format->locate || !span.len ||
	    check_range(image, offset, span.len, write) ||
	    !image->format->locate(image, offset, span.len, write, file_offset))
		return false;
	*fd = file->fd;
	/* What moves the file's end has to be known to the file. */
	return *file_offset <= file->size && span.len <= file->size - *file_offset &&
	       span_is_aligned(span, file->align) && *file_offset % file->align == 0;
}

static bool has(const struct image *image, bool can, const char *what, GError **error)
{
	if (can)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "disk '%s': format %s cannot be %s; convert it to qcow2 first with: viv disk "
		    "convert",
		    image_path(image), image->format->name, what);
	return false;
}

bool image_resize(struct image *image, uint64_t size, GError **error)
{
	if (!has(image, image->format->resize != NULL, "resized", error))
		return false;
	if (size && size <= INT64_MAX && size % IMAGE_SECTOR_SIZE == 0)
		return image->format->resize(image, size, error);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "a disk cannot have %" G_GUINT64_FORMAT " bytes; give a multiple of %u", size,
		    IMAGE_SECTOR_SIZE);
	return false;
}

bool image_check(struct image *image, enum image_repair repair, struct image_check *report,
		 GError **error)
{
	return has(image, image->format->check != NULL, "checked", error) &&
	       image->format->check(image, repair, report, error);
}

bool image_set_backing(struct image *image, const char *name, const char *format, GError **error)
{
	return has(image, image->format->set_backing != NULL, "put on another image", error) &&
	       image->format->set_backing(image, name, format, error);
}

const struct image_snapshot_ops *image_snapshots(const struct image *image)
{
	return image->format->snapshots;
}

void image_info(struct image *image, struct image_info *info)
{
	*info = (struct image_info){
		.format = image->format->name,
		.size = image->size,
		.allocated = image->file->ops->allocated(image->file),
		.backing_name = image->backing_name,
		.backing_format = image->backing_format,
		.damage = image->damage,
		.names = g_ptr_array_new_with_free_func(g_free),
		.values = g_ptr_array_new_with_free_func(g_free),
	};
	if (image->format->info)
		image->format->info(image, info);
}

void image_info_add(struct image_info *info, const char *name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(info->names, g_strdup(name));
	g_ptr_array_add(info->values, g_strdup_vprintf(format, args));
	va_end(args);
}

void image_info_clear(struct image_info *info)
{
	g_ptr_array_unref(info->names);
	g_ptr_array_unref(info->values);
}
