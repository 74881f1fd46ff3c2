/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only VDI, VHD, VHDX and VMDK have: parents, logs, extents, streams, sizes; and threads on
 * images of all formats.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"
#include "base/le.h"
#include "block/format.h"

#include "folder.h"

#define MIB (1ull << 20)

struct fixture {
	char *folder;
};

static void set_up(struct fixture *f, const void *data)
{
	f->folder = folder_new();
}

static void tear_down(struct fixture *f, const void *data)
{
	folder_free(f->folder);
}

static void create(struct fixture *f, const char *name, const char *format, uint64_t size,
		   const char *options, const char *backing)
{
	g_autofree char *path = g_build_filename(f->folder, name, NULL);
	g_auto(GStrv) list = g_strsplit(options, ",", 0);
	g_autoptr(GError) error = NULL;

	image_create(&(struct image_create){.path = path,
					    .format = format,
					    .size = size,
					    .backing = backing,
					    .options = (const char *const *)list},
		     &error);
	g_assert_no_error(error);
}

static struct image *try_open(struct fixture *f, const char *name, bool read_only, GError **error)
{
	g_autofree char *path = g_build_filename(f->folder, name, NULL);

	return image_open(&(struct image_open){.path = path, .read_only = read_only}, error);
}

static struct image *open_image(struct fixture *f, const char *name, bool read_only)
{
	g_autoptr(GError) error = NULL;
	struct image *image = try_open(f, name, read_only, &error);

	g_assert_no_error(error);
	return image;
}

static void expect_refusal(struct fixture *f, const char *name, bool read_only, const char *part)
{
	g_autoptr(GError) error = NULL;

	g_assert_null(try_open(f, name, read_only, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	g_assert_nonnull(strstr(error->message, part));
}

static struct file *open_file(struct fixture *f, const char *name)
{
	g_autofree char *path = g_build_filename(f->folder, name, NULL);
	struct file *file = file_open(path, 0, NULL);

	g_assert_nonnull(file);
	return file;
}

static void copy_file(struct fixture *f, const char *from, const char *to)
{
	g_autofree char *source = g_build_filename(f->folder, from, NULL);
	g_autofree char *target = g_build_filename(f->folder, to, NULL), *bytes = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(source, &bytes, &len, NULL));
	g_assert_true(g_file_set_contents(target, bytes, len, NULL));
}

static void write_byte(struct image *image, uint64_t at, uint64_t len, uint8_t byte)
{
	g_autofree uint8_t *bytes = g_malloc(len);

	memset(bytes, byte, len);
	g_assert_cmpint(image_write(image, at, SPAN(bytes, len)), ==, 0);
}

static void expect_byte(struct image *image, uint64_t at, uint64_t len, uint8_t byte)
{
	g_autofree uint8_t *bytes = g_malloc(len);

	g_assert_cmpint(image_read(image, at, SPAN(bytes, len)), ==, 0);
	for (uint64_t i = 0; i < len; i++)
		g_assert_cmpuint(bytes[i], ==, byte);
}

static void expect_check(struct image *image, enum image_repair repair, uint64_t errors,
			 uint64_t leaks)
{
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};

	g_assert_true(image_check(image, repair, &report, NULL));
	for (guint i = 0; i < messages->len; i++)
		g_test_message("%s", (char *)messages->pdata[i]);
	g_assert_cmpuint(report.errors, ==, errors);
	g_assert_cmpuint(report.leaks, ==, leaks);
}

/* ---- threads ---- */

static const char *const threaded[][2] = {
	{"raw", ""},
	{"qcow2", ""},
	{"vdi", ""},
	{"vhd", ""},
	{"vhd", "subformat=fixed"},
	{"vhdx", "block_size=1M"},
	{"vmdk", ""},
	{"vmdk", "subformat=twoGbMaxExtentSparse,zeroed_grain=on"},
};

enum { N_THREADS = 4, PIECE = 4096, DISK = 8 << 20, N_PIECES = DISK / PIECE / N_THREADS };

struct worker {
	struct image *image;
	_Atomic unsigned *started; /* of all of them */
	unsigned id;
	uint8_t values[N_PIECES];
};

/* All at once into each new block. */
static void race(struct worker *w)
{
	enum { STEP = (64 << 10) / PIECE / N_THREADS };

	for (unsigned piece = 0, n = 1; piece < N_PIECES; piece += STEP, n++) {
		++*w->started;
		while (*w->started < n * N_THREADS)
			g_thread_yield();
		w->values[piece] = n % 250 + 1;
		write_byte(w->image, ((uint64_t)piece * N_THREADS + w->id) * PIECE, PIECE,
			   w->values[piece]);
	}
}

static void *work(void *opaque)
{
	struct worker *w = opaque;
	GRand *rand = g_rand_new_with_seed(w->id);
	uint8_t bytes[PIECE];

	race(w);
	for (unsigned i = 0; i < 3000; i++) {
		unsigned piece = g_rand_int_range(rand, 0, N_PIECES);
		uint64_t at = ((uint64_t)piece * N_THREADS + w->id) * PIECE;

		if (i % 3) {
			w->values[piece] = i % 250 + 1;
			write_byte(w->image, at, PIECE, w->values[piece]);
		} else if (i % 9) {
			expect_byte(w->image, at, PIECE, w->values[piece]);
		} else if (i % 27) {
			w->values[piece] = 0;
			g_assert_cmpint(image_zero(w->image, at, PIECE, true), ==, 0);
		} else if (i % 135 == 0) {
			g_assert_cmpint(image_flush(w->image), ==, 0);
		} else {
			struct image_extent extent;

			g_assert_cmpint(image_map(w->image, at, PIECE, &extent), ==, 0);
		}
	}
	for (unsigned i = 0; i < N_PIECES; i++) {
		g_assert_cmpint(image_read(w->image, ((uint64_t)i * N_THREADS + w->id) * PIECE,
					   SPAN(bytes, PIECE)),
				==, 0);
		g_assert_cmpuint(bytes[0], ==, w->values[i]);
		g_assert_cmpuint(bytes[PIECE - 1], ==, w->values[i]);
	}
	g_rand_free(rand);
	return NULL;
}

/* A file that lets others go first, at the worst times. */
static const struct file_ops *plain_ops;

static int write_later(struct file *file, uint64_t offset, struct span span)
{
	g_thread_yield();
	return plain_ops->write(file, offset, span);
}

static int set_size_later(struct file *file, uint64_t size)
{
	g_thread_yield();
	return plain_ops->set_size(file, size);
}

/* Threads share blocks, but write sectors of their own. */
static void test_threads(struct fixture *f, const void *data)
{
	const char *const *row = data;
	g_autofree char *name = g_strdup_printf("disk.%s", row[0]);
	g_autofree struct worker *workers = g_new0(struct worker, N_THREADS);
	GThread *threads[N_THREADS];
	_Atomic unsigned started = 0;
	struct file_ops ops;
	struct image *image;

	create(f, name, row[0], DISK, row[1], NULL);
	image = open_image(f, name, false);
	plain_ops = image->file->ops;
	ops = *plain_ops;
	ops.write = write_later;
	ops.set_size = set_size_later;
	image->file->ops = &ops;
	for (unsigned i = 0; i < N_THREADS; i++) {
		workers[i].image = image;
		workers[i].started = &started;
		workers[i].id = i;
		threads[i] = g_thread_new("worker", work, &workers[i]);
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		g_thread_join(threads[i]);
	image_close(image);
	image = open_image(f, name, true);
	for (unsigned i = 0; i < N_PIECES * N_THREADS; i++)
		expect_byte(image, (uint64_t)i * PIECE, PIECE,
			    workers[i % N_THREADS].values[i / N_THREADS]);
	if (image_format(image)->check)
		expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
}

/* ---- parents ---- */

static void test_parents(struct fixture *f, const void *data)
{
	const char *format = data;
	g_autofree char *base = g_strdup_printf("base.%s", format);
	g_autofree char *child = g_strdup_printf("child.%s", format);
	struct image *image;
	struct image_extent extent;

	create(f, base, format, 9 * MIB, "", NULL);
	image = open_image(f, base, false);
	write_byte(image, 0, 9 * MIB, 1);
	image_close(image);
	create(f, child, format, 0, "", base);

	image = open_image(f, child, false);
	g_assert_cmpuint(image_size(image), ==, 9 * MIB);
	expect_byte(image, 0, 9 * MIB, 1);
	write_byte(image, 5 * MIB + 512, 512, 2);
	g_assert_cmpint(image_zero(image, 0, 70 << 10, true), ==, 0);
	expect_byte(image, 5 * MIB, 512, 1);
	expect_byte(image, 5 * MIB + 512, 512, 2);
	expect_byte(image, 5 * MIB + 1024, 4 * MIB - 1024, 1);
	expect_byte(image, 0, 70 << 10, 0);
	expect_byte(image, 70 << 10, 512, 1);
	image_close(image);
	image = open_image(f, child, true);
	g_assert_cmpint(image_map(image, 8 * MIB + MIB / 2, 512, &extent), ==, 0);
	expect_byte(image, 5 * MIB + 512, 512, 2);
	expect_byte(image, 70 << 10, 512, 1);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
	if (!strcmp(format, "vhd"))
		return; /* its id is that of the image, whatever is in it */

	/* A parent that went on by itself is another. */
	image = open_image(f, base, false);
	write_byte(image, 0, 512, 3);
	image_close(image);
	expect_refusal(f, child, false, "changed since");
	image = open_image(f, child, true);
	image_close(image);
}

static void test_other_parents(struct fixture *f, const void *data)
{
	static const char *const formats[] = {"vhd", "vhdx", "vmdk"};

	create(f, "base.raw", "raw", MIB, "", NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
		g_autofree char *path = g_build_filename(f->folder, "child", NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(image_create(&(struct image_create){.path = path,
								   .format = formats[i],
								   .backing = "base.raw"},
					    &error));
		g_assert_nonnull(strstr(error->message, "its own format only"));
		g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
	}
}

/* Of a child's first block some sectors are its own: as Virtual PC writes it. */
static void test_vhd_bitmap(struct fixture *f, const void *data)
{
	enum { TABLE = 2048, BLOCK = 2 << 20 }; /* behind the parent's name */
	uint8_t bitmap[512] = {0x0f, 0x80}, entry[4], sector[512];
	struct image_extent extent;
	struct image *image;
	struct file *file;
	uint64_t at;

	create(f, "base.vhd", "vhd", 6 * MIB, "", NULL);
	image = open_image(f, "base.vhd", false);
	write_byte(image, 0, 6 * MIB, 1);
	image_close(image);
	create(f, "child.vhd", "vhd", 0, "", "base.vhd");
	file = open_file(f, "child.vhd");
	at = file->size - 512; /* over the footer: its copy stands in */
	be32_store(entry, at / 512);
	g_assert_cmpint(file_store(file, TABLE, entry, 4), ==, 0);
	g_assert_cmpint(file_store(file, at, bitmap, 512), ==, 0);
	memset(sector, 2, 512);
	for (unsigned i = 0; i < BLOCK / 512; i++)
		g_assert_cmpint(file_store(file, at + 512 + i * 512, sector, 512), ==, 0);
	file_close(file);

	image = open_image(f, "child.vhd", true);
	expect_byte(image, 0, 4 * 512, 1);
	expect_byte(image, 4 * 512, 5 * 512, 2);
	expect_byte(image, 9 * 512, 6 * MIB - 9 * 512, 1);
	g_assert_cmpint(image_map(image, 4 * 512, MIB, &extent), ==, 0);
	g_assert_cmpuint(extent.len, ==, 5 * 512);
	g_assert_cmpuint(extent.depth, ==, 0);
	g_assert_cmpint(image_map(image, 9 * 512, MIB, &extent), ==, 0);
	g_assert_cmpuint(extent.depth, ==, 1);
	image_close(image);

	image = open_image(f, "child.vhd", false);
	write_byte(image, 3 * 512, 512, 3);
	expect_byte(image, 0, 3 * 512, 1);
	image_close(image);
	image = open_image(f, "child.vhd", true);
	expect_byte(image, 0, 3 * 512, 1);
	expect_byte(image, 3 * 512, 512, 3);
	expect_byte(image, 4 * 512, 5 * 512, 2);
	expect_byte(image, 9 * 512, 6 * MIB - 9 * 512, 1);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
}

/* The same of VHDX, whose bitmap is a block of its own with an entry of its own. */
static void test_vhdx_bitmap(struct fixture *f, const void *data)
{
	enum { TABLE = 2 << 20, RATIO = 4096 };
	uint8_t bitmap[512] = {0xf0, 0x01}, entry[8], sector[512];
	struct image *image;
	struct file *file;
	uint64_t at;

	create(f, "base.vhdx", "vhdx", 6 * MIB, "block_size=1M", NULL);
	image = open_image(f, "base.vhdx", false);
	write_byte(image, 0, 6 * MIB, 1);
	image_close(image);
	create(f, "child.vhdx", "vhdx", 0, "block_size=1M", "base.vhdx");
	file = open_file(f, "child.vhdx");
	at = file->size;
	le64_store(entry, at | 7);
	g_assert_cmpint(file_store(file, TABLE, entry, 8), ==, 0);
	le64_store(entry, (at + MIB) | 6);
	g_assert_cmpint(file_store(file, TABLE + RATIO * 8, entry, 8), ==, 0);
	memset(sector, 2, 512);
	for (unsigned i = 0; i < MIB / 512; i++)
		g_assert_cmpint(file_store(file, at + i * 512, sector, 512), ==, 0);
	g_assert_cmpint(file_store(file, at + MIB, bitmap, 512), ==, 0);
	g_assert_cmpint(file->ops->set_size(file, at + 2 * MIB), ==, 0);
	file_close(file);

	image = open_image(f, "child.vhdx", false);
	expect_byte(image, 0, 4 * 512, 1);
	expect_byte(image, 4 * 512, 5 * 512, 2);
	expect_byte(image, 9 * 512, 6 * MIB - 9 * 512, 1);
	write_byte(image, 3 * 512, 512, 3);
	write_byte(image, 2 * MIB, 512, 4);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
	image = open_image(f, "child.vhdx", true);
	expect_byte(image, 0, 3 * 512, 1);
	expect_byte(image, 3 * 512, 512, 3);
	expect_byte(image, 4 * 512, 5 * 512, 2);
	expect_byte(image, 9 * 512, 2 * MIB - 9 * 512, 1);
	expect_byte(image, 2 * MIB, 512, 4);
	expect_byte(image, 2 * MIB + 512, 4 * MIB - 512, 1);
	image_close(image);
}

/* ---- VHD ---- */

/* What its guest writes into the first sector of a fixed disk is not the image's head. */
static void test_vhd_heads(struct fixture *f, const void *data)
{
	uint8_t head[4096];
	struct image *image;
	struct file *file;

	create(f, "fixed.vhd", "vhd", MIB, "subformat=fixed", NULL);
	create(f, "dynamic.vhd", "vhd", MIB, "", NULL);
	file = open_file(f, "dynamic.vhd");
	g_assert_cmpint(file_load(file, 0, head, sizeof(head)), ==, 0);
	file_close(file);
	image = open_image(f, "fixed.vhd", false);
	g_assert_cmpint(image_write(image, 0, SPAN(head, sizeof(head))), ==, 0);
	image_close(image);
	expect_refusal(f, "fixed.vhd", true, "two heads");
}

/* Without its footer, which is missing after a power cut, the copy stands in until it is back. */
static void test_vhd_footer(struct fixture *f, const void *data)
{
	struct image *image;
	struct file *file;

	create(f, "disk.vhd", "vhd", 5 * MIB, "", NULL);
	image = open_image(f, "disk.vhd", false);
	write_byte(image, 3 * MIB, MIB, 1);
	image_close(image);
	file = open_file(f, "disk.vhd");
	g_assert_cmpint(file->ops->set_size(file, file->size - 512), ==, 0);
	file_close(file);
	image = open_image(f, "disk.vhd", false);
	expect_byte(image, 3 * MIB, MIB, 1);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 1);
	expect_check(image, IMAGE_REPAIR_LEAKS, 0, 1);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
	image = open_image(f, "disk.vhd", true);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
}

/* ---- VHDX ---- */

/* All that is known of a block is in the log. */
static void test_vhdx_log(struct fixture *f, const void *data)
{
	static const uint8_t nothing[4096];
	struct image *image;
	struct file *file;

	create(f, "disk.vhdx", "vhdx", 5 * MIB, "block_size=1M", NULL);
	image = open_image(f, "disk.vhdx", false);
	write_byte(image, 3 * MIB, MIB, 1);
	g_assert_cmpint(image_flush(image), ==, 0);
	copy_file(f, "disk.vhdx", "cut.vhdx");
	image_close(image);
	file = open_file(f, "cut.vhdx");
	g_assert_cmpint(file_store(file, 2 * MIB, nothing, sizeof(nothing)), ==, 0);
	file_close(file);

	expect_refusal(f, "cut.vhdx", true, "viv disk check");
	image = open_image(f, "cut.vhdx", false);
	expect_byte(image, 3 * MIB, MIB, 1);
	expect_byte(image, 0, 3 * MIB, 0);
	image_close(image);
	image = open_image(f, "cut.vhdx", true);
	expect_byte(image, 3 * MIB, MIB, 1);
	image_close(image);
}

/* A log of which nothing is whole: the image is read, and written once it is mended. */
static void test_vhdx_torn_log(struct fixture *f, const void *data)
{
	static const uint8_t nothing[MIB];
	g_autofree char *path = g_build_filename(f->folder, "cut.vhdx", NULL);
	struct image *image;
	struct file *file;

	create(f, "disk.vhdx", "vhdx", 5 * MIB, "block_size=1M", NULL);
	image = open_image(f, "disk.vhdx", false);
	write_byte(image, 3 * MIB, MIB, 1);
	g_assert_cmpint(image_flush(image), ==, 0);
	copy_file(f, "disk.vhdx", "cut.vhdx");
	image_close(image);
	file = open_file(f, "cut.vhdx");
	g_assert_cmpint(file_store(file, MIB, nothing, sizeof(nothing)), ==, 0);
	file_close(file);

	expect_refusal(f, "cut.vhdx", false, "its log is not whole; mend it");
	image = open_image(f, "cut.vhdx", true);
	expect_byte(image, 3 * MIB, MIB, 1);
	image_close(image);
	image = image_open(&(struct image_open){.path = path, .damaged = true}, NULL);
	expect_check(image, IMAGE_REPAIR_ALL, 1, 0);
	image_close(image);
	image = open_image(f, "cut.vhdx", false);
	expect_byte(image, 3 * MIB, MIB, 1);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
}

/* ---- VMDK ---- */

static void write_text(struct fixture *f, const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(f->folder, name, NULL);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

#define HEAD "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"

static void test_vmdk_descriptors(struct fixture *f, const void *data)
{
	g_autoptr(GString) many = g_string_new(HEAD);
	struct image *image;

	create(f, "flat", "raw", MIB, "", NULL);
	write_text(f, "none.vmdk", HEAD);
	expect_refusal(f, "none.vmdk", true, "without extents");
	for (unsigned i = 0; i < 600; i++)
		g_string_append(many, "RW 8 ZERO\n");
	write_text(f, "many.vmdk", many->str);
	expect_refusal(f, "many.vmdk", true, "more than 512 extents");
	write_text(f, "odd.vmdk", HEAD "RW 8 SESPARSE \"flat\"\n");
	expect_refusal(f, "odd.vmdk", true, "'RW 8 SESPARSE \"flat\"'");
	write_text(f, "lost.vmdk", HEAD "RW 8 FLAT \"lost\" 0\n");
	expect_refusal(f, "lost.vmdk", true, "needs its extent");
	write_text(f, "short.vmdk", HEAD "RW 4096 FLAT \"flat\" 0\n");
	expect_refusal(f, "short.vmdk", false, "shorter than it should be");
	write_text(f, "huge.vmdk", HEAD "RW 18014398509481983 ZERO\nRW 18014398509481983 ZERO\n");
	expect_refusal(f, "huge.vmdk", true, "no disk is so large");

	/* Extents of one file, in another order, and one that is nowhere. */
	write_text(f, "parts.vmdk",
		   HEAD "RW 8 FLAT \"flat\" 16\r\nRW 8 ZERO\r\nRW 16 FLAT \"flat\" 0\r\n");
	image = open_image(f, "parts.vmdk", false);
	g_assert_cmpuint(image_size(image), ==, 32 * 512);
	write_byte(image, 0, 8 * 512, 1);
	write_byte(image, 16 * 512, 16 * 512, 2);
	expect_byte(image, 8 * 512, 8 * 512, 0);
	image_close(image);
	image = open_image(f, "flat", true);
	expect_byte(image, 0, 16 * 512, 2);
	expect_byte(image, 16 * 512, 8 * 512, 1);
	image_close(image);
}

/* A stream is written until its first flush; grains in parts and in any order. */
static void test_vmdk_stream(struct fixture *f, const void *data)
{
	struct image *image;
	uint8_t byte[512];

	create(f, "s.vmdk", "vmdk", 3 * MIB + 512, "subformat=streamOptimized", NULL);
	image = open_image(f, "s.vmdk", false);
	write_byte(image, 2 * MIB, MIB + 512, 1);
	write_byte(image, 0, 512, 2);
	write_byte(image, 4096, 512, 3);
	expect_byte(image, 0, 512, 2);
	g_assert_cmpint(image_zero(image, 2 * MIB, 512, true), ==, 0);
	g_assert_cmpint(image_flush(image), ==, 0);
	g_assert_cmpint(image_write(image, 0, SPAN(byte, 512)), ==, -EROFS);
	image_close(image);
	expect_refusal(f, "s.vmdk", false, "written once");
	image = open_image(f, "s.vmdk", true);
	expect_byte(image, 0, 512, 2);
	expect_byte(image, 512, 4096 - 512, 0);
	expect_byte(image, 4096, 512, 3);
	expect_byte(image, 4096 + 512, 2 * MIB - 4096, 0);
	expect_byte(image, 2 * MIB + 512, MIB, 1);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
}

/* ---- sizes, and what is wrong ---- */

static const char *const resized[][2] = {
	{"vdi", ""},
	{"vhd", ""},
	{"vhd", "subformat=fixed"},
	{"vhdx", "block_size=1M"},
	{"vhdx", "block_size=1M,subformat=fixed"},
	{"vmdk", ""},
	{"vmdk", "subformat=monolithicFlat"},
};

static void test_resize(struct fixture *f, const void *data)
{
	const char *const *row = data;
	g_autofree char *name = g_strdup_printf("disk.%s", row[0]);
	struct image *image;

	create(f, name, row[0], 5 * MIB, row[1], NULL);
	image = open_image(f, name, false);
	write_byte(image, 4 * MIB, MIB, 1);
	g_assert_true(image_resize(image, 2100 * MIB, NULL));
	g_assert_cmpuint(image_size(image), ==, 2100 * MIB);
	expect_byte(image, 4 * MIB, MIB, 1);
	expect_byte(image, 5 * MIB, MIB, 0);
	write_byte(image, 2099 * MIB, MIB, 2);
	image_close(image);
	image = open_image(f, name, false);
	g_assert_cmpuint(image_size(image), ==, 2100 * MIB);
	expect_byte(image, 0, 4 * MIB, 0);
	expect_byte(image, 4 * MIB, MIB, 1);
	expect_byte(image, 5 * MIB, 4 * MIB, 0);
	expect_byte(image, 2099 * MIB, MIB, 2);
	if (!strstr(row[1], "fixed") && !strstr(row[1], "Flat"))
		expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	image_close(image);
}

/* Two blocks in one place, one nowhere, and space of none. */
static void test_mend(struct fixture *f, const void *data)
{
	struct image *image;
	struct file *file;
	uint8_t entry[4];

	create(f, "disk.vdi", "vdi", 9 * MIB, "", NULL);
	image = open_image(f, "disk.vdi", false);
	for (unsigned i = 0; i < 5; i++)
		write_byte(image, i * MIB, MIB, i + 1);
	image_close(image);
	file = open_file(f, "disk.vdi");
	le32_store(entry, 4);
	g_assert_cmpint(file_store(file, 512 + 4 * 1, entry, 4), ==, 0); /* with block 4 */
	le32_store(entry, 1000);
	g_assert_cmpint(file_store(file, 512 + 4 * 2, entry, 4), ==, 0);
	file_close(file);

	image = open_image(f, "disk.vdi", false);
	expect_check(image, IMAGE_REPAIR_NOTHING, 2, 2);
	expect_check(image, IMAGE_REPAIR_ALL, 2, 2);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	write_byte(image, MIB, 512, 9);
	expect_byte(image, 4 * MIB, MIB, 5);
	image_close(image);
	image = open_image(f, "disk.vdi", true);
	expect_check(image, IMAGE_REPAIR_NOTHING, 0, 0);
	expect_byte(image, 0, MIB, 1);
	expect_byte(image, MIB + 512, MIB - 512, 5);
	expect_byte(image, 2 * MIB, MIB, 0);
	expect_byte(image, 3 * MIB, MIB, 4);
	expect_byte(image, 4 * MIB, MIB, 5);
	g_assert_cmpuint(image->file->size, ==, MIB + 4 * MIB);
	image_close(image);
}

#define ADD(path, data, test) g_test_add(path, struct fixture, data, set_up, test, tear_down)

int main(int argc, char **argv)
{
	static const char *const parents[] = {"vhd", "vhdx", "vmdk"};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(threaded); i++) {
		g_autofree char *path =
			g_strdup_printf("/threads/%s-%s", threaded[i][0], threaded[i][1]);

		ADD(path, threaded[i], test_threads);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(parents); i++) {
		g_autofree char *path = g_strdup_printf("/parents/%s", parents[i]);

		ADD(path, parents[i], test_parents);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(resized); i++) {
		g_autofree char *path =
			g_strdup_printf("/resize/%s-%s", resized[i][0], resized[i][1]);

		ADD(path, resized[i], test_resize);
	}
	ADD("/parents/of-other-formats", NULL, test_other_parents);
	ADD("/vhd/bitmap", NULL, test_vhd_bitmap);
	ADD("/vhd/two-heads", NULL, test_vhd_heads);
	ADD("/vhd/footer", NULL, test_vhd_footer);
	ADD("/vhdx/bitmap", NULL, test_vhdx_bitmap);
	ADD("/vhdx/log", NULL, test_vhdx_log);
	ADD("/vhdx/torn-log", NULL, test_vhdx_torn_log);
	ADD("/vmdk/descriptors", NULL, test_vmdk_descriptors);
	ADD("/vmdk/stream", NULL, test_vmdk_stream);
	ADD("/vdi/mend", NULL, test_mend);
	return g_test_run();
}
