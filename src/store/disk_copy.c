/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/disk_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "block/job.h"

#define CHUNK (1u << 20)

static bool refuse(GError **error, const char *path, int status)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "'%s': %s", path, g_strerror(-status));
	return false;
}

/* Whether its bytes are all its own. */
static bool check_alone(const struct disk_copy *copy, GError **error)
{
	const struct image_open how = {
		.path = copy->from, .format = copy->from_format, .read_only = true, .no_backing = true};
	struct image *image = image_open(&how, error);
	struct image_info info = {0};
	bool alone;

	if (!image)
		return false;
	image_info(image, &info);
	alone = !info.backing_name && !info.data_name;
	if (info.data_name)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' has its data in another file, '%s', which it names; make it one first: "
			    "viv disk convert",
			    copy->from, info.data_name);
	else if (!alone)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' holds only what differs from another image, '%s', which it names; make it "
			    "one first: "
			    "viv disk convert",
			    copy->from, info.backing_name);
	image_info_clear(&info);
	image_close(image);
	return alone;
}

static bool report(void *opaque, uint64_t done, uint64_t total)
{
	const struct disk_copy *copy = opaque;

	steps_tell(copy->steps, copy->step, total ? done * 100 / total : 100);
	return true;
}

static bool get_size(const char *path, const char *format, uint64_t *size, GError **error)
{
	struct image *image = image_open(
		&(struct image_open){.path = path, .format = format, .read_only = true, .no_backing = true},
		error);

	if (image)
		*size = image_size(image);
	image_close(image);
	return image;
}

bool disk_copy(const struct disk_copy *copy, uint64_t *size, GError **error)
{
	const struct job_convert job = {
		.source = {.path = copy->from, .format = copy->from_format, .read_only = true},
		.target = {.path = copy->to, .format = copy->to_format, .options = copy->to_options},
	};
	const struct job_watch watch = {report, (void *)copy};

	return (!copy->alone || check_alone(copy, error)) && job_convert(&job, &watch, error) &&
	       (!size || get_size(copy->to, copy->to_format, size, error));
}

static bool digest_all(int fd, gcry_md_hd_t md, uint64_t size, struct steps *steps)
{
	g_autofree uint8_t *buffer = g_malloc(CHUNK);
	uint64_t done = 0;
	ssize_t n;

	while ((n = read(fd, buffer, CHUNK)) > 0) {
		gcry_md_write(md, buffer, n);
		done += n;
		steps_tell(steps, "checksum", size ? done * 100 / size : -1);
	}
	return n == 0;
}

char *disk_digest(const char *path, struct steps *steps, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	GString *text = NULL;
	gcry_md_hd_t md;
	struct stat st;

	gcry_check_version(NULL);
	if (fd < 0 || fstat(fd, &st) < 0) {
		refuse(error, path, -errno);
		return NULL;
	}
	if (gcry_md_open(&md, GCRY_MD_SHA256, 0)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "libgcrypt has no SHA-256 here");
		close(fd);
		return NULL;
	}
	if (digest_all(fd, md, st.st_size, steps)) {
		const uint8_t *bytes = gcry_md_read(md, GCRY_MD_SHA256);

		text = g_string_new(NULL);
		for (unsigned i = 0; i < gcry_md_get_algo_dlen(GCRY_MD_SHA256); i++)
			g_string_append_printf(text, "%02x", bytes[i]);
	} else {
		refuse(error, path, -errno);
	}
	gcry_md_close(md);
	close(fd);
	return text ? g_string_free(text, FALSE) : NULL;
}
