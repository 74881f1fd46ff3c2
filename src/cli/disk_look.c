/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv disk info, check, map and compare. Members of JSON are named as qemu-img's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "block/job.h"
#include "cli/disk.h"

static bool set_chain(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->chain = true;
}

static const struct option_row info_rows[] = {
	DISK_ROW_FORMAT,
	{"backing-chain", 0, NULL, "its backing images, too", set_chain},
	DISK_ROW_SECRET,
	DISK_ROW_JSON,
};

static const struct usage info_usage = {
	.words = "FILE",
	.min_words = 1,
	.max_words = 1,
	.text = "Tells what an image is. It may be in use.\n",
	.rows = info_rows,
	.n_rows = G_N_ELEMENTS(info_rows),
};

static void print_row(const char *name, const char *value)
{
	printf("%-16s %s\n", name, value);
}

static void print_size(const char *name, uint64_t size)
{
	g_autofree char *text = size_format(size);

	printf("%-16s %s (%" PRIu64 " bytes)\n", name, text, size);
}

static void print_info(struct image *image, const struct image_info *info)
{
	print_row("file:", image_path(image));
	print_row("format:", info->format);
	print_size("disk size:", info->size);
	print_size("space in use:", info->allocated);
	if (info->cluster_size)
		print_size("cluster size:", info->cluster_size);
	if (info->encrypted)
		print_row("encrypted:", "yes");
	if (info->backing_name)
		print_row("backing image:", info->backing_name);
	if (info->backing_format)
		print_row("its format:", info->backing_format);
	if (info->data_name)
		print_row("data file:", info->data_name);
	if (info->damage)
		print_row("damaged:", info->damage);
	for (unsigned i = 0; i < info->names->len; i++) {
		g_autofree char *name = g_strconcat(info->names->pdata[i], ":", NULL);

		print_row(name, info->values->pdata[i]);
	}
}

static JsonObject *describe(struct image *image, const struct image_info *info)
{
	JsonObject *object = json_object_new(), *more = json_object_new();

	json_object_set_string_member(object, "filename", image_path(image));
	json_object_set_string_member(object, "format", info->format);
	json_object_set_int_member(object, "virtual-size", info->size);
	json_object_set_int_member(object, "actual-size", info->allocated);
	if (info->cluster_size)
		json_object_set_int_member(object, "cluster-size", info->cluster_size);
	json_object_set_boolean_member(object, "encrypted", info->encrypted);
	json_object_set_boolean_member(object, "compressed", info->compressed);
	if (info->backing_name)
		json_object_set_string_member(object, "backing-filename", info->backing_name);
	if (info->backing_format)
		json_object_set_string_member(object, "backing-filename-format",
					      info->backing_format);
	if (info->data_name)
		json_object_set_string_member(more, "data-file", info->data_name);
	if (info->damage)
		json_object_set_string_member(object, "damage", info->damage);
	for (unsigned i = 0; i < info->names->len; i++)
		json_object_set_string_member(more, info->names->pdata[i], info->values->pdata[i]);
	json_object_set_object_member(object, "format-specific", more);
	return object;
}

static void print_chain(struct image *image, bool json, bool chain)
{
	JsonArray *array = json_array_new();
	JsonNode *node = json_node_new(chain ? JSON_NODE_ARRAY : JSON_NODE_OBJECT);

	for (; image; image = chain ? image_backing(image) : NULL) {
		struct image_info info;

		image_info(image, &info);
		if (json)
			json_array_add_object_element(array, describe(image, &info));
		else
			print_info(image, &info);
		if (!json && chain && image_backing(image))
			putchar('\n');
		image_info_clear(&info);
	}
	if (chain)
		json_node_set_array(node, array);
	else if (json)
		json_node_set_object(node, json_array_get_object_element(array, 0));
	json_array_unref(array);
	if (json)
		disk_print_json(node);
	else
		json_node_unref(node);
}

static int info_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	GError *error = NULL;
	int status;

	if (usage_parse(&info_usage, argc, argv, &options, words, &status)) {
		struct image_open how = {
			.read_only = true, .no_lock = true, .no_backing = !options.chain};
		struct image *image = disk_open(&options, words[0], how, &error);

		if (image)
			print_chain(image, options.json, options.chain);
		image_close(image);
		status = error ? report_error(error) : EXIT_STATUS_OK;
	}
	disk_options_fini(&options);
	return status;
}

static bool set_repair(void *target, const char *value, GError **error)
{
	struct disk_options *options = target;

	options->repair = !strcmp(value, "leaks") ? IMAGE_REPAIR_LEAKS : IMAGE_REPAIR_ALL;
	if (!strcmp(value, "leaks") || !strcmp(value, "all"))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' cannot be mended; write leaks or all",
		    value);
	return false;
}

static const struct option_row check_rows[] = {
	DISK_ROW_FORMAT,
	{"repair", 'r', "leaks|all", "mend what is found: lost space only, or all", set_repair},
	DISK_ROW_SECRET,
	DISK_ROW_JSON,
};

static const struct usage check_usage = {
	.words = "FILE",
	.min_words = 1,
	.max_words = 1,
	.text = "Looks for damage in an image's own tables; nobody may be writing it. Exit status\n"
		"0: there is none, or none any more; 1: there is.\n",
	.rows = check_rows,
	.n_rows = G_N_ELEMENTS(check_rows),
};

static void print_check(const struct image_check *report)
{
	for (unsigned i = 0; i < report->messages->len; i++)
		printf("%s\n", (const char *)report->messages->pdata[i]);
	if (!report->errors && !report->leaks)
		printf("Nothing is wrong with it.\n");
	if (report->errors)
		printf("%" PRIu64 " errors, %" PRIu64 " of them mended: data is at risk.\n",
		       report->errors, report->errors_fixed);
	if (report->leaks)
		printf("%" PRIu64 " leaks, %" PRIu64 " of them mended: space is lost, no data.\n",
		       report->leaks, report->leaks_fixed);
	if (report->clusters)
		printf("%" PRIu64 " of %" PRIu64 " clusters are in use, %" PRIu64
		       " compressed, %" PRIu64 " fragmented.\n",
		       report->allocated, report->clusters, report->compressed, report->fragmented);
}

static void print_check_json(const char *path, const struct image_check *report)
{
	JsonNode *node = json_node_new(JSON_NODE_OBJECT);
	JsonObject *object = json_object_new();
	JsonArray *messages = json_array_new();

	json_object_set_string_member(object, "filename", path);
	json_object_set_int_member(object, "corruptions", report->errors - report->errors_fixed);
	json_object_set_int_member(object, "corruptions-fixed", report->errors_fixed);
	json_object_set_int_member(object, "leaks", report->leaks - report->leaks_fixed);
	json_object_set_int_member(object, "leaks-fixed", report->leaks_fixed);
	json_object_set_int_member(object, "total-clusters", report->clusters);
	json_object_set_int_member(object, "allocated-clusters", report->allocated);
	json_object_set_int_member(object, "compressed-clusters", report->compressed);
	json_object_set_int_member(object, "fragmented-clusters", report->fragmented);
	json_object_set_int_member(object, "image-end-offset", report->end);
	for (unsigned i = 0; i < report->messages->len; i++)
		json_array_add_string_element(messages, report->messages->pdata[i]);
	json_object_set_array_member(object, "messages", messages);
	json_node_take_object(node, object);
	disk_print_json(node);
}

static int check(const struct disk_options *options, const char *path)
{
	bool mends = options->repair != IMAGE_REPAIR_NOTHING;
	struct image_open how = {.read_only = !mends, .damaged = mends, .no_backing = true};
	struct image_check report = {.messages = g_ptr_array_new_with_free_func(g_free)};
	GError *error = NULL;
	struct image *image = disk_open(options, path, how, &error);
	int status;

	if (image && image_check(image, options->repair, &report, &error)) {
		if (options->json)
			print_check_json(path, &report);
		else
			print_check(&report);
	}
	image_close(image);
	g_ptr_array_unref(report.messages);
	if (error)
		return report_error(error);
	status = report.errors > report.errors_fixed || report.leaks > report.leaks_fixed;
	return status ? EXIT_STATUS_HOST : EXIT_STATUS_OK;
}

static int check_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	int status;

	if (usage_parse(&check_usage, argc, argv, &options, words, &status))
		status = check(&options, words[0]);
	disk_options_fini(&options);
	return status;
}

static const struct option_row map_rows[] = {DISK_ROW_FORMAT, DISK_ROW_SECRET, DISK_ROW_JSON};

static const struct usage map_usage = {
	.words = "FILE",
	.min_words = 1,
	.max_words = 1,
	.text = "Tells where a disk's bytes stand: in which file of the chain, and at which "
		"offset.\n"
		"What is not listed reads as zeroes. It may be in use.\n",
	.rows = map_rows,
	.n_rows = G_N_ELEMENTS(map_rows),
};

static void add_extent(JsonArray *array, uint64_t start, const struct image_extent *extent)
{
	bool data = extent->kind == IMAGE_DATA || extent->kind == IMAGE_COMPRESSED;
	JsonObject *object = json_object_new();

	json_object_set_int_member(object, "start", start);
	json_object_set_int_member(object, "length", extent->len);
	json_object_set_int_member(object, "depth", extent->depth);
	json_object_set_boolean_member(object, "present", extent->kind != IMAGE_UNALLOCATED);
	json_object_set_boolean_member(object, "zero", !data);
	json_object_set_boolean_member(object, "data", data);
	json_object_set_boolean_member(object, "compressed", extent->kind == IMAGE_COMPRESSED);
	if (extent->file_offset != IMAGE_NO_OFFSET)
		json_object_set_int_member(object, "offset", extent->file_offset);
	json_array_add_object_element(array, object);
}

static void print_extent(uint64_t start, const struct image_extent *extent)
{
	g_autofree char *at =
		extent->file_offset == IMAGE_NO_OFFSET
			? g_strdup(extent->kind == IMAGE_COMPRESSED ? "compressed" : "-")
			: g_strdup_printf("0x%" PRIx64, extent->file_offset);

	if (extent->kind == IMAGE_DATA || extent->kind == IMAGE_COMPRESSED)
		printf("0x%-14" PRIx64 " 0x%-14" PRIx64 " %-16s %s\n", start, extent->len, at,
		       image_data_path(extent->image));
}

/* Neighbours that only a table's end parted. */
static bool merge(struct image_extent *last, const struct image_extent *next)
{
	bool has_offset = last->file_offset != IMAGE_NO_OFFSET;

	if (last->kind != next->kind || last->image != next->image || last->depth != next->depth ||
	    has_offset != (next->file_offset != IMAGE_NO_OFFSET) ||
	    (has_offset && last->file_offset + last->len != next->file_offset))
		return false;
	last->len += next->len;
	return true;
}

static bool map(struct image *image, bool json, GError **error)
{
	JsonArray *array = json_array_new();
	JsonNode *node = json_node_new(JSON_NODE_ARRAY);
	uint64_t size = image_size(image), start = 0;
	struct image_extent last = {}, next;
	int status = 0;

	if (!json)
		printf("%-16s %-16s %-16s %s\n", "OFFSET", "LENGTH", "AT", "FILE");
	for (uint64_t at = 0; at < size && !status; at += next.len) {
		status = image_map(image, at, size - at, &next);
		if (status || (last.len && merge(&last, &next)))
			continue;
		if (json && last.len)
			add_extent(array, start, &last);
		else if (last.len)
			print_extent(start, &last);
		start = at;
		last = next;
	}
	if (json && last.len)
		add_extent(array, start, &last);
	else if (last.len)
		print_extent(start, &last);
	json_node_take_array(node, array);
	if (json && !status)
		disk_print_json(node);
	else
		json_node_unref(node);
	if (status)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "disk '%s' cannot be read: %s",
			    image_path(image), g_strerror(-status));
	return !status;
}

static int map_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	GError *error = NULL;
	int status;

	if (usage_parse(&map_usage, argc, argv, &options, words, &status)) {
		struct image *image =
			disk_open(&options, words[0],
				  (struct image_open){.read_only = true, .no_lock = true}, &error);

		if (image)
			map(image, options.json, &error);
		image_close(image);
		status = error ? report_error(error) : EXIT_STATUS_OK;
	}
	disk_options_fini(&options);
	return status;
}

static bool set_strict(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->strict = true;
}

static const struct option_row compare_rows[] = {
	{"format", 'f', "FORMAT", "the format of A; without it: as its name ends, or raw",
	 disk_set_format},
	{"other-format", 'F', "FORMAT", "the format of B; without it: as its name ends, or raw",
	 disk_set_target_format},
	{"strict", 's', NULL, "disks of different sizes differ, zeroes or not", set_strict},
	DISK_ROW_SECRET,
	DISK_ROW_PROGRESS,
};

static const struct usage compare_usage = {
	.words = "A B",
	.min_words = 2,
	.max_words = 2,
	.text = "Compares what two disks read as, whatever their formats. Exit status 0: alike;\n"
		"1: they differ; 2: that cannot be told.\n",
	.rows = compare_rows,
	.n_rows = G_N_ELEMENTS(compare_rows),
};

/* Whether they are alike is the exit status; an error is another matter. */
static int compare(struct disk_options *options, const char *const *words,
		   const struct job_watch *watch, GError **error)
{
	struct image_open how = {.read_only = true};
	struct image *a = disk_open(options, words[0], how, error), *b = NULL;
	uint64_t where = UINT64_MAX;
	bool sizes;

	options->format = options->target_format;
	b = a ? disk_open(options, words[1], how, error) : NULL;
	sizes = a && b && image_size(a) != image_size(b);
	if (b && (!sizes || !options->strict))
		job_compare(a, b, watch, &where, error);
	if (!*error && where != UINT64_MAX)
		printf("They differ, first at byte %" PRIu64 ".\n", where);
	else if (!*error)
		printf(!sizes		 ? "They are alike.\n"
		       : options->strict ? "Their sizes differ.\n"
					 : "They are alike, but for their sizes.\n");
	image_close(a);
	image_close(b);
	return where != UINT64_MAX || (sizes && options->strict) ? EXIT_STATUS_HOST
								 : EXIT_STATUS_OK;
}

static int compare_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct disk_options options = {};
	struct progress progress;
	GError *error = NULL;
	int status, differ;

	if (usage_parse(&compare_usage, argc, argv, &options, words, &status)) {
		progress_begin(&progress, options.progress);
		differ = compare(&options, words, &progress.watch, &error);
		status = progress_end(&progress, error);
		status = status == EXIT_STATUS_HOST ? EXIT_STATUS_USAGE : status ? status : differ;
	}
	disk_options_fini(&options);
	return status;
}

const struct verb disk_info = {"info", "tell what an image is", info_main};
const struct verb disk_check = {"check", "look for damage in an image, and mend it", check_main};
const struct verb disk_map = {"map", "tell where a disk's bytes stand", map_main};
const struct verb disk_compare = {"compare", "compare what two disks read as", compare_main};
