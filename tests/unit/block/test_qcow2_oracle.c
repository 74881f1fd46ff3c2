/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 images between us and qemu-img: each makes them with every option it has, the other reads,
 * writes, checks and compares them with a raw disk that was given the same.
 */
#include "block/image.h"

#include <glib/gstdio.h>
#include <string.h>

#include "block/format.h"
#include "block/job.h"

#include "folder.h"
#include "qemu_options.h"

enum { SECTOR = IMAGE_SECTOR_SIZE, MIB = 1 << 20, DISK = 24 * MIB, MAX_LEN = 512 << 10 };

struct fixture {
	char *folder;
	GRand *rand;
};

static void set_up(struct fixture *f, const void *data)
{
	f->folder = folder_new();
	f->rand = g_rand_new_with_seed(g_test_rand_int());
}

static void tear_down(struct fixture *f, const void *data)
{
	folder_free(f->folder);
	g_rand_free(f->rand);
}

static bool have_qemu_img(void)
{
	g_autofree char *path = g_find_program_in_path("qemu-img");

	if (!path)
		g_test_skip("there is no qemu-img here");
	return path != NULL;
}

/* Runs a command line in the fixture's folder; what it says is printed where it fails. */
static bool G_GNUC_PRINTF(2, 3) try_sh(struct fixture *f, const char *format, ...)
{
	g_autofree char *line = NULL, *out = NULL, *err = NULL;
	g_auto(GStrv) argv = NULL;
	g_autoptr(GError) error = NULL;
	va_list args;
	int status;

	va_start(args, format);
	line = g_strdup_vprintf(format, args);
	va_end(args);
	g_shell_parse_argv(line, NULL, &argv, &error);
	g_assert_no_error(error);
	g_spawn_sync(f->folder, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
		     &error);
	g_assert_no_error(error);
	if (status)
		g_test_message("%s: %s%s", line, out, err);
	return !status;
}

#define sh(...) g_assert_true(try_sh(__VA_ARGS__))

static struct image *open_image(struct fixture *f, const char *name, const char *format)
{
	g_autofree char *path = g_build_filename(f->folder, name, NULL);
	struct image_open how = {.path = path, .format = format, .secret = "sesame"};
	g_autoptr(GError) error = NULL;
	struct image *image = image_open(&how, &error);

	g_assert_no_error(error);
	return image;
}

static void create_image(struct fixture *f, const char *name, const char *format, uint64_t size,
			 const char *backing, const char *options)
{
	g_autofree char *path = g_build_filename(f->folder, name, NULL);
	g_auto(GStrv) list = g_strsplit(options, ",", 0);
	struct image_create create = {.path = path,
				      .format = format,
				      .size = size,
				      .backing = backing,
				      .secret = "sesame",
				      .options = (const char *const *)list};
	g_autoptr(GError) error = NULL;

	image_create(&create, &error);
	g_assert_no_error(error);
}

static void fill(struct fixture *f, uint8_t *bytes, uint64_t len)
{
	uint32_t value = g_rand_int(f->rand), step = g_rand_boolean(f->rand) ? 1 : 7919;

	for (uint64_t i = 0; i < len; i += 4) {
		memcpy(bytes + i, &value, 4);
		value += i % 1024 ? 0 : step;
	}
}

static void pick(struct fixture *f, uint64_t size, uint64_t *offset, uint64_t *len)
{
	*len = (1 + g_rand_int(f->rand) % (g_rand_boolean(f->rand) ? 16 : MAX_LEN / SECTOR)) *
	       SECTOR;
	*offset = g_rand_int(f->rand) % (size / SECTOR) * SECTOR;
	*len = MIN(*len, size - *offset);
}

static void expect_same(struct image *image, struct image *raw, uint64_t offset, uint64_t len)
{
	g_autofree uint8_t *a = g_malloc(len), *b = g_malloc(len);

	g_assert_cmpint(image_read(image, offset, SPAN(a, len)), ==, 0);
	g_assert_cmpint(image_read(raw, offset, SPAN(b, len)), ==, 0);
	g_assert_cmpmem(a, len, b, len);
}

static void write_compressed(struct fixture *f, struct image *image, struct image *raw,
			     uint8_t *bytes)
{
	struct image_info info;
	uint64_t offset, len;

	image_info(image, &info);
	offset = g_rand_int(f->rand) % ((image_size(image) - 1) / info.cluster_size + 1) *
		 info.cluster_size;
	len = MIN(info.cluster_size, image_size(image) - offset);
	image_info_clear(&info);
	if (len > MAX_LEN)
		return;
	fill(f, bytes, len);
	g_assert_cmpint(image_write_compressed(image, offset, SPAN(bytes, len)), ==, 0);
	g_assert_cmpint(image_write(raw, offset, SPAN(bytes, len)), ==, 0);
}

/* The same to both, and looks. */
static void play(struct fixture *f, struct image *image, struct image *raw, unsigned n)
{
	g_autofree uint8_t *bytes = g_malloc(MAX_LEN);

	while (n--) {
		uint64_t offset, len;

		pick(f, image_size(image), &offset, &len);
		fill(f, bytes, len);
		switch (g_rand_int(f->rand) % 8) {
		case 0:
		case 1:
		case 2:
			g_assert_cmpint(image_write(image, offset, SPAN(bytes, len)), ==, 0);
			g_assert_cmpint(image_write(raw, offset, SPAN(bytes, len)), ==, 0);
			break;
		case 3:
			g_assert_cmpint(image_zero(image, offset, len, n & 1), ==, 0);
			g_assert_cmpint(image_zero(raw, offset, len, true), ==, 0);
			break;
		case 4:
			if (n % 4 == 0)
				g_assert_cmpint(image_flush(image), ==, 0);
			break;
		case 5:
			write_compressed(f, image, raw, bytes);
			break;
		default:
			expect_same(image, raw, offset, len);
		}
	}
}

static void play_files(struct fixture *f, const char *name, unsigned n)
{
	struct image *image = open_image(f, name, "qcow2"), *raw = open_image(f, "disk.raw", "raw");

	for (uint64_t at = 0; at < image_size(image); at += MAX_LEN)
		expect_same(image, raw, at, MIN(MAX_LEN, image_size(image) - at));
	play(f, image, raw, n);
	image_close(image);
	image_close(raw);
}

static void check_by_us(struct fixture *f, const char *name)
{
	g_autoptr(GPtrArray) messages = g_ptr_array_new_with_free_func(g_free);
	struct image_check report = {.messages = messages};
	struct image *image = open_image(f, name, "qcow2");

	g_assert_true(image_check(image, IMAGE_REPAIR_NOTHING, &report, NULL));
	if (messages->len)
		g_error("%s: %s", name, (char *)messages->pdata[0]);
	image_close(image);
}

static void check_and_compare(struct fixture *f, const char *name)
{
	check_by_us(f, name);
	sh(f, "qemu-img check -q -f qcow2 %s", name);
	sh(f, "qemu-img compare -q -f qcow2 -F raw %s disk.raw", name);
}

/* A raw data file is the disk without its tables, and as long. */
static void compare_data(struct fixture *f, const char *options)
{
	if (strstr(options, "data_file_raw=on"))
		sh(f, "cmp data.raw disk.raw");
}

static const char *const our_options[] = {
	"",
	"compat=0.10",
	"cluster_size=512",
	"cluster_size=2M",
	"refcount_bits=1",
	"refcount_bits=2,cluster_size=1K",
	"refcount_bits=4",
	"refcount_bits=8",
	"refcount_bits=32",
	"refcount_bits=64,cluster_size=4K",
	"lazy_refcounts=on",
	"extended_l2=on",
	"extended_l2=on,cluster_size=16K,compression_type=zstd",
	"compression_type=zstd",
	"preallocation=metadata",
	"preallocation=falloc",
	"preallocation=full,cluster_size=128K",
	"data_file=data.raw",
	"data_file=data.raw,extended_l2=on,cluster_size=16K",
	"data_file=data.raw,data_file_raw=on",
	"data_file=data.raw,preallocation=falloc",
};

static void test_ours(struct fixture *f, const void *options)
{
	if (!have_qemu_img())
		return;
	create_image(f, "ours.qcow2", "qcow2", DISK + SECTOR, NULL, options);
	create_image(f, "disk.raw", "raw", DISK + SECTOR, NULL, "");
	check_and_compare(f, "ours.qcow2");
	play_files(f, "ours.qcow2", 80);
	check_and_compare(f, "ours.qcow2");
	compare_data(f, options);
}

static const char *const their_options[] = {
	"compat=1.1",
	"compat=0.10",
	"cluster_size=512",
	"cluster_size=2M",
	"refcount_bits=1",
	"refcount_bits=64",
	"lazy_refcounts=on",
	"extended_l2=on",
	"extended_l2=on,cluster_size=32K",
	"compression_type=zstd",
	"preallocation=metadata",
	"preallocation=metadata,extended_l2=on",
	"data_file=data.raw,data_file_raw=off",
	"data_file=data.raw,data_file_raw=on",
};

static const char *const slow_options[] = {
	"refcount_bits=2",
	"refcount_bits=4",
	"refcount_bits=8",
	"refcount_bits=16",
	"refcount_bits=32",
	"compression_type=zlib",
	"preallocation=falloc",
	"preallocation=full",
	"compat=v2,preallocation=off",
	"compat=v3,lazy_refcounts=off,extended_l2=off",
	"data_file=data.raw,extended_l2=on",
	"data_file=data.raw,data_file_raw=on,preallocation=full,cluster_size=512",
};

static void test_theirs(struct fixture *f, const void *options)
{
	struct image *raw;

	if (!have_qemu_img())
		return;
	create_image(f, "disk.raw", "raw", DISK, NULL, "");
	raw = open_image(f, "disk.raw", "raw");
	for (unsigned i = 0; i < 10; i++) {
		g_autofree uint8_t *bytes = g_malloc(MAX_LEN);
		uint64_t offset, len;

		pick(f, DISK, &offset, &len);
		fill(f, bytes, len);
		g_assert_cmpint(image_write(raw, offset, SPAN(bytes, len)), ==, 0);
	}
	image_close(raw);
	/* It does not compress into clusters that are there, nor into those of a data file. */
	sh(f, "qemu-img convert -q %s -f raw -O qcow2 -o %s disk.raw theirs.qcow2",
	   strstr(options, "preallocation") || strstr(options, "data_file") ? "" : "-c",
	   (const char *)options);
	play_files(f, "theirs.qcow2", 80);
	check_and_compare(f, "theirs.qcow2");
	compare_data(f, options);
}

/* An overlay of an overlay of a smaller raw disk. */
static void test_chain(struct fixture *f, const void *data)
{
	struct image *raw;

	if (!have_qemu_img())
		return;
	create_image(f, "disk.raw", "raw", 8 * MIB + SECTOR, NULL, "");
	create_image(f, "first.qcow2", "qcow2", 8 * MIB + SECTOR, NULL, "");
	play_files(f, "first.qcow2", 30);
	sh(f,
	   "qemu-img create -q -f qcow2 "
	   "-o cluster_size=4K,backing_file=first.qcow2,backing_fmt=qcow2 second.qcow2 %u",
	   16 * MIB);
	raw = open_image(f, "disk.raw", "raw");
	g_assert_true(image_resize(raw, 16 * MIB, NULL));
	image_close(raw);
	play_files(f, "second.qcow2", 60);
	check_and_compare(f, "second.qcow2");
	create_image(f, "third.qcow2", "qcow2", 0, "second.qcow2", "extended_l2=on");
	play_files(f, "third.qcow2", 100);
	check_and_compare(f, "third.qcow2");
	/* It names features in its header, which then has no room for them in its sector. */
	sh(f, "qemu-img create -q -f qcow2 -b first.qcow2 -F qcow2 named.qcow2 %u", 16 * MIB);
	raw = open_image(f, "named.qcow2", "qcow2");
	g_assert_true(image_set_backing(raw, "./././././././././././third.qcow2", "qcow2", NULL));
	image_close(raw);
	check_and_compare(f, "named.qcow2");
	create_image(f, "fourth.qcow2", "qcow2", 0, "third.qcow2", "compat=0.10");
	play_files(f, "fourth.qcow2", 100);
	check_and_compare(f, "fourth.qcow2");
}

/* Overlays and what is behind them, with data in files of their own. */
static void test_data_chain(struct fixture *f, const void *data)
{
	g_autofree char *top = g_build_filename(f->folder, "top.qcow2", NULL);
	const struct image_open how = {.path = top, .format = "qcow2"};

	if (!have_qemu_img())
		return;
	create_image(f, "disk.raw", "raw", 8 * MIB + SECTOR, NULL, "");
	create_image(f, "base.qcow2", "qcow2", 8 * MIB + SECTOR, NULL, "data_file=base.data");
	play_files(f, "base.qcow2", 40);
	sh(f, "qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 -o data_file=top.data top.qcow2");
	play_files(f, "top.qcow2", 60);
	check_and_compare(f, "top.qcow2");
	g_assert_true(job_commit(&how, NULL, NULL));
	check_and_compare(f, "top.qcow2");
	check_and_compare(f, "base.qcow2");
	play_files(f, "top.qcow2", 60);
	sh(f, "cp base.qcow2 other.qcow2");
	g_assert_true(job_rebase(&how, "other.qcow2", "qcow2", true, NULL, NULL));
	check_and_compare(f, "top.qcow2");
	g_assert_true(job_rebase(&how, NULL, NULL, true, NULL, NULL));
	play_files(f, "top.qcow2", 40);
	check_and_compare(f, "top.qcow2");
}

/* Each takes, applies and removes snapshots of the other's. */
static void test_snapshots(struct fixture *f, const void *data)
{
	const struct image_snapshot_ops *ops;
	g_autoptr(GPtrArray) list = NULL;
	struct image *image;

	if (!have_qemu_img())
		return;
	sh(f, "qemu-img create -q -f qcow2 -o cluster_size=4K disk.qcow2 %u", DISK);
	create_image(f, "disk.raw", "raw", DISK, NULL, "");
	play_files(f, "disk.qcow2", 40);
	sh(f, "qemu-img snapshot -c theirs disk.qcow2");
	sh(f, "cp disk.raw theirs.raw");
	play_files(f, "disk.qcow2", 40);
	check_and_compare(f, "disk.qcow2");
	image = open_image(f, "disk.qcow2", "qcow2");
	ops = image_snapshots(image);
	g_assert_true(ops->create(image, "ours", NULL));
	g_assert_false(ops->create(image, "ours", NULL));
	list = ops->list(image);
	g_assert_cmpuint(list->len, ==, 2);
	g_assert_cmpstr(((struct image_snapshot *)list->pdata[0])->name, ==, "theirs");
	g_assert_cmpstr(((struct image_snapshot *)list->pdata[1])->id, ==, "2");
	image_close(image);
	sh(f, "cp disk.raw ours.raw");
	play_files(f, "disk.qcow2", 40);
	check_and_compare(f, "disk.qcow2");
	image = open_image(f, "disk.qcow2", "qcow2");
	g_assert_true(ops->apply(image, "theirs", NULL));
	image_close(image);
	sh(f, "cp theirs.raw disk.raw");
	check_and_compare(f, "disk.qcow2");
	play_files(f, "disk.qcow2", 40);
	sh(f, "qemu-img snapshot -a ours disk.qcow2");
	sh(f, "cp ours.raw disk.raw");
	play_files(f, "disk.qcow2", 40);
	image = open_image(f, "disk.qcow2", "qcow2");
	g_assert_true(ops->remove(image, "theirs", NULL));
	image_close(image);
	check_and_compare(f, "disk.qcow2");
	sh(f, "qemu-img snapshot -d ours disk.qcow2");
	play_files(f, "disk.qcow2", 40);
	check_and_compare(f, "disk.qcow2");
}

static void resize_both(struct fixture *f, const char *name, uint64_t size)
{
	struct image *image = open_image(f, name, "qcow2"), *raw = open_image(f, "disk.raw", "raw");

	g_assert_true(image_resize(image, size, NULL));
	g_assert_true(image_resize(raw, size, NULL));
	image_close(image);
	image_close(raw);
}

static void test_resize(struct fixture *f, const void *options)
{
	static const uint64_t sizes[] = {9 * MIB + 3 * SECTOR, DISK, 5 * SECTOR, 2 * DISK,
					 12 * MIB};

	if (!have_qemu_img())
		return;
	create_image(f, "ours.qcow2", "qcow2", 4 * MIB + SECTOR, NULL, options);
	create_image(f, "disk.raw", "raw", 4 * MIB + SECTOR, NULL, "");
	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		play_files(f, "ours.qcow2", 40);
		resize_both(f, "ours.qcow2", sizes[i]);
		check_and_compare(f, "ours.qcow2");
	}
	compare_data(f, options);
	if (strstr(options, "data_file_raw=on"))
		return;
	if (strstr(options, "data_file"))
		options = "data_file=over.raw";
	/* What a longer backing image has stays behind the end that was. */
	create_image(f, "over.qcow2", "qcow2", MIB, "ours.qcow2", options);
	resize_both(f, "over.qcow2", MIB);
	resize_both(f, "over.qcow2", 3 * MIB);
	play_files(f, "over.qcow2", 40);
	check_and_compare(f, "over.qcow2");
}

static const char *const luks_options[] = {
	("theirs,encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,"
	 "encrypt.ivgen-hash-alg=sha256,encrypt.hash-alg=sha1"),
	"theirs,encrypt.cipher-alg=aes-192,encrypt.ivgen-alg=plain64",
	"theirs,encrypt.cipher-alg=serpent-256,encrypt.ivgen-alg=plain",
	"theirs,encrypt.cipher-alg=twofish-256,encrypt.hash-alg=sha512",
	"theirs,encrypt.cipher-alg=aes-256,encrypt.cipher-mode=ecb,encrypt.hash-alg=md5",
	"theirs,encrypt.cipher-alg=serpent-128,encrypt.cipher-mode=ctr,encrypt.hash-alg=sha224",
	"theirs,encrypt.cipher-alg=serpent-192,encrypt.hash-alg=sha384",
	"theirs,encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc,encrypt.hash-alg=ripemd160",
	("theirs,encrypt.cipher-alg=twofish-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,"
	 "encrypt.ivgen-hash-alg=md5,encrypt.hash-alg=sha256"),
	"theirs,encrypt.cipher-alg=aes-128,encrypt.cipher-mode=xts,data_file=data.raw",
};

/* It measures itself, which fails now and then on a busy host. */
static bool create_by_them(struct fixture *f, const char *options)
{
	for (unsigned i = 0; i < 20; i++)
		if (try_sh(f,
			   "qemu-img create -q -f qcow2 --object secret,id=s,data=sesame -o "
			   "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=20%s "
			   "disk.qcow2 %u",
			   options, DISK))
			return true;
	return false;
}

/* qemu-img names an encrypted image by its options. */
static void test_luks(struct fixture *f, const void *data)
{
	static const char named[] =
		"driver=qcow2,file.filename=disk.qcow2,encrypt.format=luks,encrypt.key-secret=s";
	bool ours = g_str_has_prefix(data, "ours");

	if (!have_qemu_img())
		return;
	create_image(f, "disk.raw", "raw", DISK, NULL, "");
	if (ours)
		create_image(f, "disk.qcow2", "qcow2", DISK, NULL,
			     strstr(data, "data_file")
				     ? "encrypt.format=luks,encrypt.iter-time=10,data_file=data.raw"
				     : "encrypt.format=luks,encrypt.iter-time=10,cluster_size=4K");
	else if (!create_by_them(f, (const char *)data + strlen("theirs"))) {
		g_test_skip("qemu-img cannot tell how long a guess takes");
		return;
	}
	play_files(f, "disk.qcow2", 60);
	check_by_us(f, "disk.qcow2");
	sh(f, "qemu-img check -q --object secret,id=s,data=sesame --image-opts %s", named);
	sh(f,
	   "qemu-img compare -q --object secret,id=s,data=sesame --image-opts %s "
	   "driver=raw,file.filename=disk.raw",
	   named);
}

static void test_aes(struct fixture *f, const void *data)
{
	if (!have_qemu_img())
		return;
	create_image(f, "disk.raw", "raw", DISK, NULL, "");
	sh(f,
	   "qemu-img create -q -f qcow2 --object secret,id=s,data=sesame "
	   "-o %s,encrypt.key-secret=s disk.qcow2 %u",
	   (const char *)data, DISK);
	play_files(f, "disk.qcow2", 60);
	sh(f, "qemu-img compare -q --object secret,id=s,data=sesame --image-opts "
	      "driver=qcow2,file.filename=disk.qcow2,encrypt.format=aes,encrypt.key-secret=s "
	      "driver=raw,file.filename=disk.raw");
	check_by_us(f, "disk.qcow2");
}

static void test_raw_luks(struct fixture *f, const void *data)
{
	g_autofree uint8_t *bytes = g_malloc(MIB);
	struct image *image, *raw;

	if (!have_qemu_img())
		return;
	create_image(f, "disk.raw", "raw", DISK, NULL, "");
	create_image(f, "disk.luks", "luks", DISK, NULL, "iter-time=10");
	image = open_image(f, "disk.luks", "luks");
	raw = open_image(f, "disk.raw", "raw");
	g_assert_cmpuint(image_size(image), ==, DISK);
	for (uint64_t at = 0; at < DISK; at += MIB) {
		fill(f, bytes, MIB);
		g_assert_cmpint(image_write(image, at, SPAN(bytes, MIB)), ==, 0);
		g_assert_cmpint(image_write(raw, at, SPAN(bytes, MIB)), ==, 0);
		expect_same(image, raw, at / 2, SECTOR);
	}
	image_close(image);
	image_close(raw);
	sh(f, "qemu-img compare -q --object secret,id=s,data=sesame --image-opts "
	      "driver=luks,file.filename=disk.luks,key-secret=s driver=raw,file.filename=disk.raw");
}

/* One that is kept up to date, and one that is not; what was written shows in the first only. */
static void test_bitmaps(struct fixture *f, const void *data)
{
	struct image *image;
	struct image_info info;

	if (!have_qemu_img())
		return;
	create_image(f, "disk.raw", "raw", DISK, NULL, "");
	sh(f, "qemu-img create -q -f qcow2 disk.qcow2 %u", DISK);
	sh(f, "qemu-img bitmap --add -g 4K disk.qcow2 kept");
	sh(f, "qemu-img bitmap --add --disable disk.qcow2 asleep");
	play_files(f, "disk.qcow2", 40);
	check_and_compare(f, "disk.qcow2");
	image = open_image(f, "disk.qcow2", "qcow2");
	image_info(image, &info);
	g_assert_cmpstr(info.values->pdata[info.values->len - 2], ==,
			"kept: 4096 bytes a bit, enabled, not saved by who wrote the disk last");
	g_assert_cmpstr(info.values->pdata[info.values->len - 1], ==,
			"asleep: 65536 bytes a bit, disabled");
	image_info_clear(&info);
	g_assert_false(image_resize(image, 2 * DISK, NULL));
	image_close(image);
	/* It can be merged only if it is consistent. */
	sh(f, "qemu-img bitmap --add --disable disk.qcow2 copy --merge kept");
	check_and_compare(f, "disk.qcow2");
	sh(f, "qemu-img bitmap --remove disk.qcow2 kept");
	play_files(f, "disk.qcow2", 40);
	check_and_compare(f, "disk.qcow2");
}

/* The mark of refcounts put off, and none of them written. */
static void test_dirty(struct fixture *f, const void *data)
{
	g_autofree char *path = g_build_filename(f->folder, "disk.qcow2", NULL);
	g_autofree char *bytes = NULL;
	struct image *image;
	gsize len;

	if (!have_qemu_img())
		return;
	create_image(f, "disk.qcow2", "qcow2", DISK, NULL, "lazy_refcounts=on,cluster_size=4K");
	create_image(f, "disk.raw", "raw", DISK, NULL, "");
	play_files(f, "disk.qcow2", 40);
	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	bytes[79] |= 1;
	memset(bytes + 2 * 4096, 0, 4096); /* the first refcount block */
	g_assert_true(g_file_set_contents(path, bytes, len, NULL));
	image = open_image(f, "disk.qcow2", "qcow2");
	image_close(image);
	check_and_compare(f, "disk.qcow2");
}

/* What qemu-img offers. It makes no disks of des, 3des and twofish-192, and with keys of 192 bits it
 * aborts in modes other than XTS. */
static const struct qemu_option options_of_theirs[] = {
	{"qcow2", "size"},
	{"qcow2", "backing_file"}, /* test_chain() */
	{"qcow2", "backing_fmt"},
	{"qcow2", "cluster_size", "512 2M"},
	{"qcow2", "compat", "0.10 1.1 v2 v3"},
	{"qcow2", "compression_type", "zlib zstd"},
	{"qcow2", "data_file", "data.raw"},
	{"qcow2", "data_file_raw", "on off"},
	{"qcow2", "encrypt.cipher-alg",
	 "aes-128 aes-192 aes-256 cast5-128 serpent-128 serpent-192 serpent-256 twofish-128 twofish-256"},
	{"qcow2", "encrypt.cipher-mode", "cbc ctr ecb xts"},
	{"qcow2", "encrypt.format", "aes"},	/* and luks: all rows of test_luks() */
	{"qcow2", "encrypt.hash-alg", "md5 sha1 sha224 sha256 sha384 sha512 ripemd160"},
	{"qcow2", "encrypt.iter-time"}, /* test_luks() */
	{"qcow2", "encrypt.ivgen-alg", "plain plain64 essiv"},
	{"qcow2", "encrypt.ivgen-hash-alg", "md5 sha256"},
	{"qcow2", "encrypt.key-secret"}, /* test_luks() */
	{"qcow2", "encryption", "on"},
	{"qcow2", "extended_l2", "on off"},
	{"qcow2", "lazy_refcounts", "on off"},
	{"qcow2", "preallocation", "off metadata falloc full"},
	{"qcow2", "refcount_bits", "1 2 4 8 16 32 64"},
};

static const char *const aes_options[] = {"encrypt.format=aes", "encryption=on"};

static void test_options(const void *data)
{
	g_autoptr(GPtrArray) rows = g_ptr_array_new();

	if (!have_qemu_img())
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(their_options); i++)
		g_ptr_array_add(rows, (char *)their_options[i]);
	for (unsigned i = 0; i < G_N_ELEMENTS(slow_options); i++)
		g_ptr_array_add(rows, (char *)slow_options[i]);
	for (unsigned i = 0; i < G_N_ELEMENTS(luks_options); i++)
		g_ptr_array_add(rows, (char *)luks_options[i]);
	for (unsigned i = 0; i < G_N_ELEMENTS(aes_options); i++)
		g_ptr_array_add(rows, (char *)aes_options[i]);
	qemu_expect_tested("qcow2", options_of_theirs, G_N_ELEMENTS(options_of_theirs), rows);
}

static void add(const char *kind, const char *options,
		void (*test)(struct fixture *f, const void *data))
{
	g_autofree char *path =
		g_strdup_printf("/qcow2-oracle/%s/%s", kind, *options ? options : "plain");

	g_test_add(path, struct fixture, options, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(our_options); i++)
		add("ours", our_options[i], test_ours);
	for (unsigned i = 0; i < G_N_ELEMENTS(their_options); i++)
		add("theirs", their_options[i], test_theirs);
	for (unsigned i = 0; i < G_N_ELEMENTS(slow_options) && g_test_slow(); i++)
		add("theirs", slow_options[i], test_theirs);
	g_test_add_data_func("/qcow2-oracle/options", NULL, test_options);
	add("chain", "", test_chain);
	add("chain", "data_file", test_data_chain);
	add("snapshots", "", test_snapshots);
	add("resize", "cluster_size=4K", test_resize);
	add("resize", "extended_l2=on", test_resize);
	add("resize", "compat=0.10", test_resize);
	add("resize", "data_file=data.raw", test_resize);
	add("resize", "data_file=data.raw,data_file_raw=on", test_resize);
	add("dirty", "", test_dirty);
	add("bitmaps", "", test_bitmaps);
	add("luks", "ours", test_luks);
	add("luks", "ours,data_file", test_luks);
	if (g_test_slow())
		add("luks", "theirs", test_luks);
	for (unsigned i = 0; i < G_N_ELEMENTS(luks_options) && g_test_slow(); i++)
		add("luks", luks_options[i], test_luks);
	for (unsigned i = 0; i < G_N_ELEMENTS(aes_options); i++)
		add("aes", aes_options[i], test_aes);
	add("luks", "raw", test_raw_luks);
	return g_test_run();
}
