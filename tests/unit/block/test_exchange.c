/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images go to and fro between us and qemu-img: what one wrote, with each option that it has, the
 * other reads, checks and goes on writing. `--slow` takes the larger ones.
 */
#include "block/image.h"

#include "folder.h"
#include "qemu_options.h"

#include <glib/gstdio.h>
#include <string.h>

#define MIB (1ull << 20)

struct row {
	const char *name, *format, *theirs; /* as we and as qemu-img call it */
	const char *options;		    /* of both */
	uint64_t size;
	bool checked;  /* qemu-img checks it */
	bool in_order; /* whole blocks of 64 KiB, each written once */
	bool slow;
	bool only_theirs; /* we make no such images */
};

static const struct row rows[] = {
	{"vdi", "vdi", "vdi", NULL, 9 * MIB + 1536, true},
	{"vdi-one", "vdi", "vdi", NULL, 512, true},
	{"vdi-static", "vdi", "vdi", "static=on", 5 * MIB, true},
	{"vdi-dynamic", "vdi", "vdi", "static=off", 3 * MIB, true, .slow = true},
	{"vhd", "vhd", "vpc", NULL, 9 * MIB + 1536},
	{"vhd-exact", "vhd", "vpc", "force_size=on", 9 * MIB + 1536},
	{"vhd-by-geometry", "vhd", "vpc", "subformat=dynamic,force_size=off", 70 * MIB + 512},
	{"vhd-fixed", "vhd", "vpc", "subformat=fixed,force_size=off", 5 * MIB + 512},
	{"vhd-fixed-exact", "vhd", "vpc", "subformat=fixed,force_size=on", 5 * MIB + 512},
	{"vhdx", "vhdx", "vhdx", NULL, 19 * MIB + 1536, true},
	{"vhdx-small-blocks", "vhdx", "vhdx", "block_size=1M", 9 * MIB + 1536, true},
	{"vhdx-fixed", "vhdx", "vhdx", "subformat=fixed,block_size=2M,log_size=2M", 9 * MIB, true},
	{"vhdx-auto", "vhdx", "vhdx", "subformat=dynamic,block_size=0,log_size=1M", 19 * MIB, true,
	 .only_theirs = true},
	{"vhdx-zero-blocks", "vhdx", "vhdx", "block_state_zero=on", 9 * MIB, true, .only_theirs = true},
	{"vhdx-no-zero-blocks", "vhdx", "vhdx", "block_state_zero=off,subformat=fixed", 9 * MIB, true,
	 .only_theirs = true},
	{"vhdx-large", "vhdx", "vhdx", "block_size=1M", 1100 * MIB, true, .slow = true},
	{"vmdk", "vmdk", "vmdk", NULL, 40 * MIB + 1536, true},
	{"vmdk-zero", "vmdk", "vmdk", "zeroed_grain=on,adapter_type=lsilogic", 9 * MIB + 1536,
	 true},
	{"vmdk-6", "vmdk", "vmdk", "compat6=on,subformat=monolithicSparse,zeroed_grain=off", 9 * MIB, true,
	 .only_theirs = true},
	{"vmdk-6-split", "vmdk", "vmdk", "compat6=on,subformat=twoGbMaxExtentSparse", 9 * MIB, true,
	 .slow = true, .only_theirs = true},
	{"vmdk-6-stream", "vmdk", "vmdk", "compat6=on,subformat=streamOptimized", 9 * MIB, true, true,
	 .slow = true, .only_theirs = true},
	{"vmdk-5", "vmdk", "vmdk", "compat6=off,adapter_type=ide", 9 * MIB, true, .slow = true,
	 .only_theirs = true},
	{"vmdk-flat", "vmdk", "vmdk", "subformat=monolithicFlat,hwversion=7", 9 * MIB + 1536, true},
	{"vmdk-split", "vmdk", "vmdk", "subformat=twoGbMaxExtentSparse,toolsversion=3", 9 * MIB,
	 true},
	{"vmdk-split-flat", "vmdk", "vmdk", "subformat=twoGbMaxExtentFlat", 9 * MIB, true},
	{"vmdk-stream", "vmdk", "vmdk", "subformat=streamOptimized", 40 * MIB + 1536, true, true},
	{"vmdk-large", "vmdk", "vmdk", "subformat=twoGbMaxExtentSparse", 2100 * MIB, true,
	 .slow = true},
	{"vdi-many", "vdi", "vdi", "static=on", 300 * MIB, true, .slow = true},
	{"vhdx-block-sizes", "vhdx", "vhdx", "block_size=256M", 600 * MIB, true, .slow = true},
	{"vmdk-adapter", "vmdk", "vmdk", "adapter_type=buslogic", 9 * MIB, true, .slow = true},
	{"vmdk-legacy", "vmdk", "vmdk", "adapter_type=legacyESX", 9 * MIB, true, .slow = true},
	{"vmdk-flat-large", "vmdk", "vmdk", "subformat=twoGbMaxExtentFlat", 2100 * MIB, true,
	 .slow = true},
	{"vhd-large", "vhd", "vpc", "force_size=on", 2200 * MIB, .slow = true},
	{"vdi-large", "vdi", "vdi", NULL, 1100 * MIB, true, .slow = true},
};

/* What qemu-img offers. */
static const struct qemu_option their_options[] = {
	{"vdi", "size"},
	{"vdi", "static", "on off"},
	{"vpc", "size"},
	{"vpc", "subformat", "dynamic fixed"},
	{"vpc", "force_size", "on off"},
	{"vhdx", "size"},
	{"vhdx", "subformat", "dynamic fixed"},
	{"vhdx", "block_size", "0 1M 2M 256M"},
	{"vhdx", "block_state_zero", "on off"},
	{"vhdx", "log_size", "1M 2M"},
	{"vmdk", "size"},
	{"vmdk", "adapter_type", "ide lsilogic buslogic legacyESX"},
	{"vmdk", "compat6", "on off"},
	{"vmdk", "hwversion", "7"},
	{"vmdk", "subformat",
	 "monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat streamOptimized"},
	{"vmdk", "toolsversion", "3"},
	{"vmdk", "zeroed_grain", "on off"},
	{"vmdk", "backing_file"}, /* test_vmdk_child() */
	{"vmdk", "backing_fmt"},
};

struct fixture {
	char *folder, *image, *raw;
	uint8_t *model;
	uint64_t size;
};

static void set_up(struct fixture *f, const void *data)
{
	const struct row *row = data;
	g_autofree char *name = g_strdup_printf("disk.%s", row->format);

	f->folder = folder_new();
	f->image = g_build_filename(f->folder, name, NULL);
	f->raw = g_build_filename(f->folder, "disk.raw", NULL);
}

static void tear_down(struct fixture *f, const void *data)
{
	folder_free(f->folder);
	g_free(f->image);
	g_free(f->raw);
	g_free(f->model);
}

/* qemu-img with words of `command` and those after it. */
static void qemu_img(const char *first, ...)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autofree char *out = NULL, *err = NULL;
	g_autoptr(GError) error = NULL;
	va_list args;
	int status;

	g_ptr_array_add(argv, (char *)"qemu-img");
	va_start(args, first);
	for (const char *arg = first; arg; arg = va_arg(args, const char *))
		g_ptr_array_add(argv, (char *)arg);
	va_end(args);
	g_ptr_array_add(argv, NULL);
	g_assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL,
				   NULL, &out, &err, &status, &error));
	if (status) {
		g_autofree char *line = g_strjoinv(" ", (char **)argv->pdata);

		g_error("%s: %s%s", line, out, err);
	}
}

static struct image *open_image(const char *path, const char *format, bool read_only)
{
	g_autoptr(GError) error = NULL;
	struct image *image = image_open(
		&(struct image_open){.path = path, .format = format, .read_only = read_only},
		&error);

	if (!image)
		g_error("%s", error->message);
	return image;
}

/* The model on disk as qemu-img takes it: what is not zero of it. */
static void store_model(struct fixture *f)
{
	struct image_create create = {
		.path = f->raw, .format = "raw", .size = f->size, .replace = true};
	struct image *raw;

	g_assert_true(image_create(&create, NULL));
	raw = open_image(f->raw, "raw", false);
	for (uint64_t at = 0; at < f->size; at += MIB) {
		struct span span = SPAN(f->model + at, MIN(MIB, f->size - at));

		if (!span_is_zero(span))
			g_assert_cmpint(image_write(raw, at, span), ==, 0);
	}
	image_close(raw);
}

static void compare_model(struct fixture *f, const struct row *row)
{
	struct image *image = open_image(f->image, row->format, true);
	g_autofree uint8_t *bytes = g_malloc(MIB);

	g_assert_cmpuint(image_size(image), ==, f->size);
	for (uint64_t at = 0; at < f->size; at += MIB) {
		uint64_t len = MIN(MIB, f->size - at);

		g_assert_cmpint(image_read(image, at, SPAN(bytes, len)), ==, 0);
		if (memcmp(bytes, f->model + at, len))
			g_error("%s differs in the megabyte at %" G_GUINT64_FORMAT, f->image, at);
	}
	image_close(image);
}

static void compare_theirs(struct fixture *f, const struct row *row)
{
	store_model(f);
	qemu_img("compare", "-f", "raw", "-F", row->theirs, f->raw, f->image, NULL);
	if (row->checked)
		qemu_img("check", "-f", row->theirs, f->image, NULL);
}

static void fill(uint8_t *bytes, size_t len, GRand *rand)
{
	uint32_t value = g_rand_int(rand) | 1;

	for (size_t i = 0; i < len; i += 4, value = value * 69069 + 1)
		memcpy(bytes + i, &value, 4);
}

static void write_some(struct fixture *f, struct image *image, GRand *rand)
{
	for (unsigned i = 0; i < 100; i++) {
		uint64_t at = f->size > 512 ? g_rand_double(rand) * f->size / 512 : 0;
		uint64_t most = MIN(f->size / 512 - at, i % 10 ? 300 : 5000);
		uint64_t len = most > 1 ? (uint64_t)g_rand_int_range(rand, 1, most) * 512 : 512;
		int status;

		at *= 512;
		if (i % 5) {
			fill(f->model + at, len, rand);
			status = image_write(image, at, SPAN(f->model + at, len));
		} else {
			memset(f->model + at, 0, len);
			status = image_zero(image, at, len, i % 2);
		}
		g_assert_cmpint(status, ==, 0);
		if (i == 50)
			g_assert_cmpint(image_flush(image), ==, 0);
	}
}

static void write_in_order(struct fixture *f, struct image *image, GRand *rand)
{
	for (uint64_t at = 0; at < f->size; at += 64 << 10) {
		uint64_t len = MIN(64 << 10, f->size - at);

		if (g_rand_int(rand) % 3)
			continue;
		fill(f->model + at, len / 512 / 2 * 512, rand);
		g_assert_cmpint(image_write(image, at, SPAN(f->model + at, len)), ==, 0);
	}
}

static void write_ours(struct fixture *f, const struct row *row, uint32_t seed)
{
	struct image *image = open_image(f->image, row->format, false);
	GRand *rand = g_rand_new_with_seed(seed);

	if (row->in_order)
		write_in_order(f, image, rand);
	else
		write_some(f, image, rand);
	g_assert_cmpint(image_flush(image), ==, 0);
	image_close(image);
	g_rand_free(rand);
}

static void expect_clean(struct fixture *f, const struct row *row)
{
	struct image *image = open_image(f->image, row->format, true);
	struct image_check report = {.messages = g_ptr_array_new_with_free_func(g_free)};
	g_autoptr(GError) error = NULL;

	if (!image_check(image, IMAGE_REPAIR_NOTHING, &report, &error))
		g_error("%s", error->message);
	if (report.errors || report.leaks)
		g_error("%s: %s", f->image,
			report.messages->len ? (char *)g_ptr_array_index(report.messages, 0) : "");
	g_ptr_array_unref(report.messages);
	image_close(image);
}

static void start(struct fixture *f, const struct row *row)
{
	struct image *image = open_image(f->image, row->format, true);

	f->size = image_size(image);
	g_assert_cmpuint(f->size, >=, row->size);
	f->model = g_malloc0(f->size);
	image_close(image);
}

static void test_ours(struct fixture *f, const void *data)
{
	const struct row *row = data;
	g_auto(GStrv) options = row->options ? g_strsplit(row->options, ",", -1) : NULL;
	g_autoptr(GError) error = NULL;
	struct image_create create = {.path = f->image,
				      .format = row->format,
				      .size = row->size,
				      .options = (const char *const *)options};

	if (!image_create(&create, &error))
		g_error("%s", error->message);
	start(f, row);
	compare_theirs(f, row);
	write_ours(f, row, 1);
	compare_model(f, row);
	expect_clean(f, row);
	compare_theirs(f, row);
}

static void test_theirs(struct fixture *f, const void *data)
{
	const struct row *row = data;
	GRand *rand = g_rand_new_with_seed(2);

	f->size = row->size;
	f->model = g_malloc0(row->size);
	for (uint64_t at = 0; at + 70000 < row->size; at += 300 * 1024)
		fill(f->model + at, 4096 * g_rand_int_range(rand, 1, 17), rand);
	g_rand_free(rand);
	store_model(f);
	if (row->options)
		qemu_img("convert", "-f", "raw", "-O", row->theirs, "-o", row->options, f->raw,
			 f->image, NULL);
	else
		qemu_img("convert", "-f", "raw", "-O", row->theirs, f->raw, f->image, NULL);
	g_clear_pointer(&f->model, g_free);
	start(f, row);
	{
		struct image *raw = open_image(f->raw, "raw", true);

		g_assert_cmpint(image_read(raw, 0, SPAN(f->model, row->size)), ==, 0);
		image_close(raw);
	}
	compare_model(f, row);
	expect_clean(f, row);
	if (row->in_order)
		return;
	write_ours(f, row, 3);
	compare_model(f, row);
	compare_theirs(f, row);
}

static void grow(struct fixture *f, const struct row *row, uint64_t size)
{
	struct image *image = open_image(f->image, row->format, false);
	g_autoptr(GError) error = NULL;

	image_resize(image, size, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(image_size(image), ==, size);
	image_close(image);
	f->model = g_realloc(f->model, size);
	memset(f->model + f->size, 0, size - f->size);
	f->size = size;
}

/* Of either's making; the last size takes a directory that has no room where it was. */
static void test_grow(struct fixture *f, const void *data)
{
	const struct row *row = data;
	const char *options = row->options ? row->options : "subformat=monolithicSparse";
	g_auto(GStrv) list = g_strsplit(options, ",", -1);
	struct image *image, *raw;
	g_autoptr(GError) error = NULL;

	for (unsigned i = 0; i < 2; i++) {
		g_unlink(f->image);
		if (i)
			qemu_img("create", "-q", "-f", row->theirs, "-o", options, f->image, "9M", NULL);
		else
			image_create(&(struct image_create){.path = f->image,
							    .format = row->format,
							    .size = 9 * MIB,
							    .options = (const char *const *)list},
				     &error);
		g_assert_no_error(error);
		g_clear_pointer(&f->model, g_free);
		start(f, row);
		for (uint64_t size = 9 * MIB + 512; size < 100 * MIB; size = size * 4 + 512) {
			write_ours(f, row, i + size);
			grow(f, row, size);
			compare_theirs(f, row);
		}
		write_ours(f, row, i);
		compare_model(f, row);
		expect_clean(f, row);
		compare_theirs(f, row);
	}
	image = open_image(f->image, row->format, false);
	raw = open_image(f->raw, "raw", false);
	g_assert_true(image_resize(image, 9000 * MIB, NULL) && image_resize(raw, 9000 * MIB, NULL));
	g_assert_cmpint(image_write(image, 8999 * MIB, SPAN(f->model, MIB)), ==, 0);
	g_assert_cmpint(image_write(raw, 8999 * MIB, SPAN(f->model, MIB)), ==, 0);
	image_close(image);
	image_close(raw);
	expect_clean(f, row);
	qemu_img("check", "-f", row->theirs, f->image, NULL);
	qemu_img("compare", "-f", "raw", "-F", row->theirs, f->raw, f->image, NULL);
}

static void expect_refusal(struct fixture *f, const char *option, uint64_t size, const char *why)
{
	const char *const options[] = {option, NULL};
	struct image *image;
	g_autoptr(GError) error = NULL;

	g_assert_true(image_create(&(struct image_create){.path = f->image,
							  .format = "vmdk",
							  .size = 9 * MIB,
							  .options = options,
							  .replace = true},
				   NULL));
	image = open_image(f->image, "vmdk", false);
	g_assert_false(image_resize(image, size, &error));
	g_assert_nonnull(strstr(error->message, why));
	image_close(image);
}

static void test_vmdk_keeps_size(struct fixture *f, const void *data)
{
	expect_refusal(f, "subformat=streamOptimized", 10 * MIB, "viv disk convert");
	expect_refusal(f, "subformat=twoGbMaxExtentFlat", 10 * MIB, "viv disk convert");
	expect_refusal(f, "subformat=twoGbMaxExtentSparse", 10 * MIB, "viv disk convert");
	expect_refusal(f, "subformat=monolithicSparse", 8 * MIB, "cannot shrink");
	expect_refusal(f, "subformat=monolithicSparse", 3 * MIB * MIB, "viv disk convert");
}

/* ---- what is not a row ---- */

static void create_disk(const char *path, const char *format, uint64_t size, const char *option,
			const char *backing)
{
	const char *const options[] = {option, NULL};
	g_autoptr(GError) error = NULL;

	image_create(&(struct image_create){.path = path,
					    .format = format,
					    .size = size,
					    .options = options,
					    .backing = backing},
		     &error);
	g_assert_no_error(error);
}

/* An image as a power cut leaves it, with nothing but the log to tell of its blocks. */
static void test_vhdx_log(struct fixture *f, const void *data)
{
	const struct row *row = data;
	g_autofree char *cut = g_strdup_printf("%s.cut.vhdx", f->image), *bytes = NULL;
	struct image *image;
	gsize len;

	f->size = 5 * MIB;
	f->model = g_malloc0(f->size);
	memset(f->model + MIB, 1, 3 * MIB);
	create_disk(f->image, "vhdx", f->size, "block_size=1M", NULL);
	image = open_image(f->image, "vhdx", false);
	for (unsigned i = 1; i < 4; i++) {
		g_assert_cmpint(image_write(image, i * MIB, SPAN(f->model + i * MIB, MIB)), ==, 0);
		g_assert_cmpint(image_flush(image), ==, 0);
	}
	g_assert_true(g_file_get_contents(f->image, &bytes, &len, NULL));
	image_close(image);
	memset(bytes + 2 * MIB, 0, 4096); /* the table's first page */
	g_assert_true(g_file_set_contents(cut, bytes, len, NULL));

	store_model(f);
	qemu_img("check", "-r", "all", "-f", "vhdx", cut, NULL);
	qemu_img("compare", "-f", "raw", "-F", "vhdx", f->raw, cut, NULL);
	compare_theirs(f, row);
}

/* A child on its parent, each made by either. */
static void test_vmdk_child(struct fixture *f, const void *data)
{
	static const char *const makers[][2] = {
		{"ours", "ours"}, {"ours", "theirs"}, {"theirs", "ours"}, {"theirs", "theirs"}};
	const struct row *row = data;

	for (unsigned i = 0; i < G_N_ELEMENTS(makers); i++) {
		g_autofree char *base = g_strdup_printf("%s/base%u.vmdk", f->folder, i);
		g_autofree char *name = g_path_get_basename(base);
		struct image *image;

		f->size = 3 * MIB;
		g_free(f->model);
		f->model = g_malloc0(f->size);
		memset(f->model, 1, 2 * MIB);
		store_model(f);
		if (!strcmp(makers[i][0], "ours")) {
			create_disk(base, "vmdk", f->size, NULL, NULL);
			image = open_image(base, "vmdk", false);
			g_assert_cmpint(image_write(image, 0, SPAN(f->model, 2 * MIB)), ==, 0);
			image_close(image);
		} else {
			qemu_img("convert", "-f", "raw", "-O", "vmdk", f->raw, base, NULL);
		}
		g_unlink(f->image);
		if (!strcmp(makers[i][1], "ours"))
			create_disk(f->image, "vmdk", 0, "zeroed_grain=on", name);
		else {
			g_autofree char *options =
				g_strdup_printf("zeroed_grain=on,backing_fmt=vmdk,backing_file=%s", name);

			qemu_img("create", "-q", "-f", "vmdk", "-o", options, f->image, NULL);
		}
		compare_theirs(f, row);
		write_ours(f, row, 5);
		compare_model(f, row);
		expect_clean(f, row);
		compare_theirs(f, row);
	}
}

static void test_options(const void *format)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new();

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (!strcmp(rows[i].theirs, format))
			g_ptr_array_add(all, (char *)rows[i].options);
	qemu_expect_tested(format, their_options, G_N_ELEMENTS(their_options), all);
}

int main(int argc, char **argv)
{
	static const char *const formats[] = {"vdi", "vpc", "vhdx", "vmdk"};
	static const struct row vhdx = {"vhdx-log", "vhdx", "vhdx", .checked = true},
				vmdk = {"vmdk-child", "vmdk", "vmdk", .checked = true};
	static const struct row growing[] = {
		{"sparse", "vmdk", "vmdk", NULL, .checked = true},
		{"zero", "vmdk", "vmdk", "zeroed_grain=on", .checked = true},
		{"flat", "vmdk", "vmdk", "subformat=monolithicFlat", .checked = true},
	};
	g_autofree char *qemu = g_find_program_in_path("qemu-img");
	bool slow = argc > 1 && !strcmp(argv[argc - 1], "--slow");

	argc -= slow;
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows) && qemu; i++) {
		g_autofree char *ours = g_strdup_printf("/exchange/%s/ours", rows[i].name);
		g_autofree char *theirs = g_strdup_printf("/exchange/%s/theirs", rows[i].name);

		if (rows[i].slow != slow)
			continue;
		if (!rows[i].only_theirs)
			g_test_add(ours, struct fixture, &rows[i], set_up, test_ours, tear_down);
		g_test_add(theirs, struct fixture, &rows[i], set_up, test_theirs, tear_down);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(formats) && qemu && !slow; i++) {
		g_autofree char *path = g_strdup_printf("/exchange/options/%s", formats[i]);

		g_test_add_data_func(path, formats[i], test_options);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(growing) && qemu && !slow; i++) {
		g_autofree char *path = g_strdup_printf("/exchange/vmdk/grow/%s", growing[i].name);

		g_test_add(path, struct fixture, &growing[i], set_up, test_grow, tear_down);
	}
	g_test_add("/exchange/vmdk/keeps-size", struct fixture, &vmdk, set_up, test_vmdk_keeps_size,
		   tear_down);
	if (qemu && !slow) {
		g_test_add("/exchange/vhdx/log", struct fixture, &vhdx, set_up, test_vhdx_log,
			   tear_down);
		g_test_add("/exchange/vmdk/child", struct fixture, &vmdk, set_up, test_vmdk_child,
			   tear_down);
	}
	return g_test_run();
}
