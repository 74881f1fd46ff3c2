/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv disk create, resize and convert. */
#include <stdio.h>

#include "base/error.h"
#include "base/size.h"
#include "block/job.h"
#include "cli/disk.h"

static const struct option_row create_rows[] = {
	{"format", 'f', "FORMAT", "the image's format; without it: as its name ends, or raw",
	 disk_set_format},
	DISK_ROW_OPTION,
	{"backing", 'b', "FILE",
	 "the image holds only what differs from FILE; its name is\nrelative to the image's folder",
	 disk_set_backing},
	{"backing-format", 'F', "FORMAT", "FILE's format; without it: as its name ends, or raw",
	 disk_set_backing_format},
	DISK_ROW_SECRET,
};

static const struct usage create_usage = {
	.words = "FILE [SIZE]",
	.min_words = 1,
	.max_words = 2,
	.text = "Makes a new disk image of SIZE bytes, or like 10G; on a backing image it has\n"
		"that one's size, unless SIZE says otherwise. What is there is never "
		"overwritten.\n",
	.rows = create_rows,
	.n_rows = G_N_ELEMENTS(create_rows),
	.append_help = disk_append_formats,
};

static const char *const *option_list(const struct disk_options *options)
{
	return options->options ? (const char *const *)options->options->pdata : NULL;
}

static bool create(const struct disk_options *options, const char *const *words, GError **error)
{
	struct image_create how = {
		.path = words[0],
		.format = options->format ? options->format : image_format_of_path(words[0]),
		.backing = options->backing,
		.backing_format = options->backing_format,
		.options = option_list(options),
		.secret = options->secret,
	};
	g_autofree char *backing = NULL;

	if (words[1] && !disk_parse_size(words[1], &how.size, error))
		return false;
	if (!words[1] && !how.backing) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "a size is missing; write viv disk create %s 10G, or name a backing "
			    "image with -b",
			    words[0]);
		return false;
	}
	if (how.backing) {
		backing = image_resolve_backing(words[0], how.backing);
		how.backing_format = disk_format_of(backing, how.backing_format, error);
		if (!how.backing_format) {
			g_prefix_error(error, "-F, the backing image's format, is needed: ");
			return false;
		}
	}
	return image_create(&how, error);
}

static int create_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	GError *error = NULL;
	int status;

	if (usage_parse(&create_usage, argc, argv, &options, words, &status)) {
		create(&options, words, &error);
		status = error ? report_error(error) : EXIT_STATUS_OK;
	}
	disk_options_fini(&options);
	return status;
}

static bool set_shrink(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->shrink = true;
}

static const struct option_row resize_rows[] = {
	DISK_ROW_FORMAT,
	{"shrink", 0, NULL, "yes, what is past the new end is to go", set_shrink},
	DISK_ROW_SECRET,
};

static const struct usage resize_usage = {
	.words = "FILE [+|-]SIZE",
	.min_words = 2,
	.max_words = 2,
	.text = "Changes a disk's size: to SIZE, or by it, where a sign stands before it.\n"
		"Partitions and file systems in it stay as they are; shrink those first.\n",
	.rows = resize_rows,
	.n_rows = G_N_ELEMENTS(resize_rows),
};

static bool new_size(const char *text, uint64_t old, uint64_t *size, GError **error)
{
	uint64_t by;

	if (!disk_parse_size(text + (*text == '+' || *text == '-'), &by, error))
		return false;
	if (*text == '-' && by < old)
		*size = old - by;
	else if (*text == '+' && by <= INT64_MAX - old)
		*size = old + by;
	else if (*text != '-' && *text != '+')
		*size = by;
	else
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "the disk has %" G_GUINT64_FORMAT
			    " bytes and cannot be resized by '%s'",
			    old, text);
	return !*error;
}

static bool resize(const struct disk_options *options, const char *const *words, GError **error)
{
	struct image *image =
		disk_open(options, words[0], (struct image_open){.no_backing = true}, error);
	uint64_t size = 0;
	int status = 0;

	if (!image)
		return false;
	if (!new_size(words[1], image_size(image), &size, error))
		;
	else if (size < image_size(image) && !options->shrink)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "disk '%s' would lose its last %" G_GUINT64_FORMAT
			    " bytes; if that is meant, add --shrink",
			    words[0], image_size(image) - size);
	else if (image_resize(image, size, error) && (status = image_flush(image)))
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s' cannot be written out: %s",
			    words[0], g_strerror(-status));
	image_close(image);
	return !*error;
}

static int resize_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	GError *error = NULL;
	int status;

	if (usage_parse(&resize_usage, argc, argv, &options, words, &status)) {
		resize(&options, words, &error);
		status = error ? report_error(error) : EXIT_STATUS_OK;
	}
	disk_options_fini(&options);
	return status;
}

static bool set_compress(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->compress = true;
}

static bool set_existing(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->existing = true;
}

static const struct option_row convert_rows[] = {
	{"format", 'f', "FORMAT", "SOURCE's format; without it: as its name ends, or raw",
	 disk_set_format},
	{"target-format", 'O', "FORMAT", "TARGET's format; without it: as its name ends, or raw",
	 disk_set_target_format},
	DISK_ROW_OPTION,
	{"compress", 'c', NULL, "compress the data, where TARGET's format can", set_compress},
	{"existing", 'n', NULL, "write over TARGET, an image or a block device that is there",
	 set_existing},
	{"force", 0, NULL, "replace TARGET, if it is there", disk_set_force},
	DISK_ROW_SECRET,
	DISK_ROW_PROGRESS,
};

static const struct usage convert_usage = {
	.words = "SOURCE TARGET",
	.min_words = 2,
	.max_words = 2,
	.text = "Makes TARGET, a new image with SOURCE's content, that of its whole chain. Zeroes\n"
		"take no space. Where it fails or is interrupted, no TARGET is left behind.\n",
	.rows = convert_rows,
	.n_rows = G_N_ELEMENTS(convert_rows),
	.append_help = disk_append_formats,
};

static bool convert(const struct disk_options *options, const char *const *words,
		    const struct job_watch *watch, GError **error)
{
	struct job_convert job = {
		.source = {.path = words[0],
			   .format = disk_format_of(words[0], options->format, error),
			   .secret = options->secret},
		.target = {.path = words[1],
			   .format = options->target_format ? options->target_format
							    : image_format_of_path(words[1]),
			   .options = option_list(options),
			   .secret = options->secret,
			   .replace = options->force},
		.existing = options->existing,
		.compress = options->compress,
	};

	return job.source.format && job_convert(&job, watch, error);
}

static int convert_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	struct progress progress;
	GError *error = NULL;
	int status;

	if (usage_parse(&convert_usage, argc, argv, &options, words, &status)) {
		progress_begin(&progress, options.progress);
		convert(&options, words, &progress.watch, &error);
		status = progress_end(&progress, error);
	}
	disk_options_fini(&options);
	return status;
}

const struct verb disk_create = {"create", "make a new image", create_main};
const struct verb disk_resize = {"resize", "change a disk's size", resize_main};
const struct verb disk_convert = {"convert", "make an image of another format, or a compact one",
				  convert_main};
