/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/le.h"
#include "firmware/bzimage.h"
#include "firmware/linux_boot.h"
#include "kernel.h"
#include "pack.h"

#define MB	 (1ull << 20)
#define RAM_SIZE (16 * MB)
#define RSDP_GPA 0xe1230

struct fixture {
	struct mem *mem;
	GByteArray *kernel;
	struct linux_boot_entry entry;
	GError *error;
};

static GByteArray *packed_kernel(const struct packer *packer)
{
	g_autoptr(GByteArray) vmlinux = kernel_vmlinux();
	g_autoptr(GByteArray) payload = packer->pack(vmlinux->data, vmlinux->len);

	return kernel_bzimage(payload, vmlinux->len);
}

static void set_up(struct fixture *f, gconstpointer param)
{
	f->mem = mem_new(RAM_SIZE, NULL);
	f->kernel = packed_kernel(&packers[0]);
}

static void tear_down(struct fixture *f, gconstpointer param)
{
	mem_free(f->mem);
	g_byte_array_unref(f->kernel);
	g_clear_error(&f->error);
}

static bool load(struct fixture *f, const struct linux_boot_file *initrd, const char *cmdline)
{
	const struct linux_boot_file kernel = {"vmlinuz", f->kernel->data, f->kernel->len};

	g_clear_error(&f->error);
	return linux_boot_load_bytes(f->mem, &kernel, initrd, cmdline, RSDP_GPA, &f->entry,
				     &f->error);
}

/* A refusal names the kernel, says `what`, and leaves memory alone. */
static void assert_refused(struct fixture *f, const char *what)
{
	g_assert_nonnull(f->error);
	g_assert_true(g_str_has_prefix(f->error->message, "kernel 'vmlinuz': "));
	if (!strstr(f->error->message, what))
		g_error("'%s' does not tell of '%s'", f->error->message, what);
	for (uint64_t i = 0; i < f->mem->low_size / 8; i++)
		g_assert_cmphex(le64_load(f->mem->base + i * 8), ==, 0);
}

static const uint8_t *boot_params(const struct fixture *f)
{
	return mem_hva(f->mem, f->entry.rsi);
}

/* Physical address that the page tables at CR3 give for a linear one. */
static uint64_t translate(const struct fixture *f, uint64_t linear)
{
	uint64_t table = f->entry.cr3;

	for (unsigned shift = 39;; shift -= 9) {
		uint64_t entry = le64_load(mem_hva(f->mem, table + (linear >> shift) % 512 * 8));

		g_assert_cmphex(entry & 3, ==, 3);
		table = entry & 0x000ffffffffff000;
		if (shift == 21) {
			g_assert_cmphex(entry & 0x80, ==, 0x80);
			return (table & ~0x1fffffull) | (linear & 0x1fffff);
		}
	}
}

static void test_entry_state(struct fixture *f, gconstpointer param)
{
	g_assert_true(load(f, NULL, "quiet"));
	g_assert_cmphex(f->entry.rip, ==, KERNEL_TEXT);
	g_assert_cmphex(mem_hva(f->mem, KERNEL_TEXT)[5], ==, 0x45);
	g_assert_cmphex(translate(f, 0), ==, 0);
	g_assert_cmphex(translate(f, KERNEL_DATA + 5), ==, KERNEL_DATA + 5);
	g_assert_cmphex(translate(f, 0xfee00123), ==, 0xfee00123);
	g_assert_cmpuint(f->entry.gdt_limit, >=, LINUX_BOOT_DS + 7);
	g_assert_cmphex(le64_load(mem_hva(f->mem, f->entry.gdt_base)), ==, 0);
	g_assert_cmphex(le64_load(mem_hva(f->mem, f->entry.gdt_base + LINUX_BOOT_CS)), ==,
			0x00af9b000000ffff);
	g_assert_cmphex(le64_load(mem_hva(f->mem, f->entry.gdt_base + LINUX_BOOT_DS)), ==,
			0x00cf93000000ffff);
}

static void test_boot_params(struct fixture *f, gconstpointer param)
{
	const uint8_t *bp;

	g_assert_true(load(f, NULL, "console=ttyS0"));
	bp = boot_params(f);
	g_assert_cmpmem(bp + BP_HEADER, 4, "HdrS", 4);
	g_assert_cmphex(bp[BP_TYPE_OF_LOADER], ==, 0xff);
	g_assert_cmpstr((char *)mem_hva(f->mem, le32_load(bp + BP_CMD_LINE_PTR)), ==,
			"console=ttyS0");
	g_assert_cmphex(le64_load(bp + BP_ACPI_RSDP_ADDR), ==, RSDP_GPA);
	g_assert_cmphex(le32_load(bp + BP_RAMDISK_SIZE), ==, 0);
	g_assert_cmphex(bp[0x1ef], ==, 0); /* sentinel */
	/* Nothing of the file before and after its header. */
	g_assert_cmphex(le64_load(bp + BP_SETUP_HEADER_END), ==, 0);
}

static void test_memory_map(struct fixture *f, gconstpointer param)
{
	static const uint64_t expected[][3] = {
		{0, 0x9fc00, 1},
		{0x9fc00, 0x400, 2},
		{0xe0000, 0x20000, 2},
		{MB, MEM_HOLE_START - MB, 1},
		{MEM_HOLE_END, 1024 * MB, 1},
	};
	const uint8_t *e;

	mem_free(f->mem);
	f->mem = mem_new(4096 * MB, NULL);
	g_assert_true(load(f, NULL, ""));
	g_assert_cmpuint(boot_params(f)[BP_E820_ENTRIES], ==, G_N_ELEMENTS(expected));
	e = boot_params(f) + BP_E820_TABLE;
	for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++, e += E820_ENTRY_SIZE) {
		g_assert_cmphex(le64_load(e), ==, expected[i][0]);
		g_assert_cmphex(le64_load(e + 8), ==, expected[i][1]);
		g_assert_cmphex(le32_load(e + 16), ==, expected[i][2]);
	}
}

static void test_initrd(struct fixture *f, gconstpointer param)
{
	g_autofree uint8_t *data = g_malloc(3 * MB + 5);
	const struct linux_boot_file initrd = {"initrd.gz", data, 3 * MB + 5};
	const uint64_t expected = RAM_SIZE - 3 * MB - MEM_PAGE_SIZE;

	memset(data, 0x5a, initrd.len);
	g_assert_true(load(f, &initrd, ""));
	g_assert_cmphex(le32_load(boot_params(f) + BP_RAMDISK_IMAGE), ==, expected);
	g_assert_cmphex(le32_load(boot_params(f) + BP_RAMDISK_SIZE), ==, initrd.len);
	g_assert_cmpmem(mem_hva(f->mem, expected), initrd.len, data, initrd.len);
}

static void test_initrd_below_its_limit(struct fixture *f, gconstpointer param)
{
	const struct linux_boot_file initrd = {"initrd.gz", (const uint8_t *)"x", 1};

	le32_store(f->kernel->data + BP_INITRD_ADDR_MAX, 8 * MB - 1);
	g_assert_true(load(f, &initrd, ""));
	g_assert_cmphex(le32_load(boot_params(f) + BP_RAMDISK_IMAGE), ==, 8 * MB - MEM_PAGE_SIZE);
}

static void test_initrd_above_4g(struct fixture *f, gconstpointer param)
{
	g_autofree uint8_t *data = g_malloc0(8 * MB);
	const struct linux_boot_file initrd = {"initrd.gz", data, 8 * MB};
	const uint8_t *bp;

	mem_free(f->mem);
	f->mem = mem_new(4096 * MB, NULL);
	le32_store(f->kernel->data + BP_INITRD_ADDR_MAX, 8 * MB - 1);
	g_assert_false(load(f, &initrd, ""));
	le16_store(f->kernel->data + BP_XLOADFLAGS, 3);
	g_assert_true(load(f, &initrd, ""));
	bp = boot_params(f);
	g_assert_cmphex(le32_load(bp + BP_EXT_RAMDISK_IMAGE), ==, 1);
	g_assert_cmphex(le32_load(bp + BP_RAMDISK_IMAGE), ==, 1024 * MB - 8 * MB);
}

static void test_initrd_too_large(struct fixture *f, gconstpointer param)
{
	g_autofree uint8_t *data = g_malloc0(15 * MB);
	const struct linux_boot_file initrd = {"initrd.gz", data, 15 * MB};

	/* The kernel wants the first 3.5 MiB. */
	g_assert_false(load(f, &initrd, ""));
	assert_refused(f, "at least 19 MiB of memory with this initrd; give -m 19M");
	le32_store(f->kernel->data + BP_INITRD_ADDR_MAX, 8 * MB - 1);
	g_assert_false(load(f, &initrd, ""));
	assert_refused(f, "'initrd.gz' has 15");
}

static void test_little_memory(struct fixture *f, gconstpointer param)
{
	le32_store(f->kernel->data + BP_INIT_SIZE, 30 * MB);
	g_assert_false(load(f, NULL, ""));
	assert_refused(f, "at least 32 MiB of memory; give -m 32M");
}

static void test_cmdline(struct fixture *f, gconstpointer param)
{
	g_autofree char *longest = g_strnfill(KERNEL_CMDLINE, 'a');
	g_autofree char *too_long = g_strnfill(KERNEL_CMDLINE + 1, 'a');

	g_assert_false(load(f, NULL, too_long));
	assert_refused(f, "at most 255 bytes");
	g_assert_true(load(f, NULL, longest));
	g_assert_cmpstr((char *)mem_hva(f->mem, le32_load(boot_params(f) + BP_CMD_LINE_PTR)), ==,
			longest);
}

static void test_vmlinux(struct fixture *f, gconstpointer param)
{
	g_byte_array_unref(f->kernel);
	f->kernel = kernel_vmlinux();
	g_assert_true(load(f, NULL, ""));
	g_assert_cmphex(f->entry.rip, ==, KERNEL_TEXT);
	g_assert_cmpmem(boot_params(f) + BP_HEADER, 4, "HdrS", 4);
}

static void test_cut_short(struct fixture *f, gconstpointer param)
{
	g_byte_array_set_size(f->kernel, f->kernel->len - 5);
	g_assert_false(load(f, NULL, ""));
	assert_refused(f, "cut short");
}

static void test_payload(gconstpointer param)
{
	struct fixture f = {.mem = mem_new(RAM_SIZE, NULL), .kernel = packed_kernel(param)};

	g_assert_true(load(&f, NULL, ""));
	g_assert_cmphex(mem_hva(f.mem, KERNEL_DATA)[3], ==, 0x43);
	tear_down(&f, NULL);
}

/* One field of the header made wrong, and a word of the refusal. */
static const struct bad_field {
	const char *name;
	unsigned offset, size;
	uint64_t value;
	const char *message;
} bad_fields[] = {
	{"version", BP_VERSION, 2, 0x207, "older than 2.6.26"},
	{"payload-offset", BP_PAYLOAD_OFFSET, 4, 0xffffffff, "cut short"},
	{"payload-length", BP_PAYLOAD_LENGTH, 4, 0xffffffff, "cut short"},
	{"no-payload", BP_PAYLOAD_LENGTH, 4, 0, "no known compression"},
	{"setup-sects", BP_SETUP_SECTS, 1, 0xff, "cut short"},
	{"not-compressed", BP_PAYLOAD_OFFSET, 4, 0, "no known compression"},
	{"pref-address", BP_PREF_ADDRESS, 8, ~0ull, "above 4 GiB"},
	{"init-size", BP_INIT_SIZE, 4, 0xffffffff, "no PC has memory"},
	{"init-size-small", BP_INIT_SIZE, 4, 0x100, "too large"},
};

static void test_bad_field(gconstpointer param)
{
	const struct bad_field *bad = param;
	struct fixture f = {0};

	set_up(&f, NULL);
	memcpy(f.kernel->data + bad->offset, &bad->value, bad->size);
	g_assert_false(load(&f, NULL, ""));
	assert_refused(&f, bad->message);
	tear_down(&f, NULL);
}

static void test_segment_in_low_memory(struct fixture *f, gconstpointer param)
{
	const unsigned second_paddr = KERNEL_PHDRS + 2 * 56 + 24;

	g_byte_array_unref(f->kernel);
	f->kernel = kernel_vmlinux();
	le64_store(f->kernel->data + second_paddr, 0x8000);
	g_assert_false(load(f, NULL, ""));
	assert_refused(f, "no PC has memory");
}

static const struct stranger {
	const char *name, *bytes;
	unsigned len, offset;
	const char *message;
} strangers[] = {
	{"arm64", "ARM\x64", 4, 0x38, "arm64"}, {"efi", "MZ", 2, 0, "EFI"},
	{"gzip", "\x1f\x8b", 2, 0, "gzip"},	{"qcow2", "QFI\xfb", 4, 0, "qcow2"},
	{"iso", "CD001", 5, 0x8001, "ISO"},	{"text", "hello", 5, 0, "not a Linux kernel: give"},
};

static void test_stranger(gconstpointer param)
{
	const struct stranger *s = param;
	struct fixture f = {.mem = mem_new(RAM_SIZE, NULL)};

	f.kernel = g_byte_array_set_size(g_byte_array_new(), 0x9000);
	memset(f.kernel->data, 0, f.kernel->len);
	memcpy(f.kernel->data + s->offset, s->bytes, s->len);
	g_assert_false(load(&f, NULL, ""));
	assert_refused(&f, s->message);
	tear_down(&f, NULL);
}

static bool load_files(struct fixture *f, const char *kernel, const char *initrd)
{
	const struct linux_boot_config config = {
		.kernel_path = kernel,
		.initrd_path = initrd,
		.cmdline = "",
	};

	g_clear_error(&f->error);
	return linux_boot_load(f->mem, &config, &f->entry, &f->error);
}

static void test_files(struct fixture *f, gconstpointer param)
{
	g_autofree char *dir = g_dir_make_tmp("viv-boot-XXXXXX", NULL);
	g_autofree char *kernel = g_build_filename(dir, "vmlinuz", NULL);
	g_autofree char *empty = g_build_filename(dir, "empty", NULL);
	g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);
	g_autofree char *large = g_build_filename(dir, "large", NULL);
	const struct {
		const char *kernel, *initrd, *message;
	} bad[] = {
		{"/nonexistent/vmlinuz", NULL, "cannot open kernel '/nonexistent/vmlinuz'"},
		{dir, NULL, "is a directory"},
		{empty, NULL, "is empty"},
		{fifo, NULL, "not a regular file"},
		{kernel, "/nonexistent/initrd", "cannot open initrd '/nonexistent/initrd'"},
		{kernel, large, "at most 16 MiB"},
	};

	g_assert_true(g_file_set_contents(kernel, (char *)f->kernel->data, f->kernel->len, NULL));
	g_assert_true(g_file_set_contents(empty, "", 0, NULL));
	g_assert_true(g_file_set_contents(large, "", 0, NULL));
	g_assert_cmpint(truncate(large, RAM_SIZE + 1), ==, 0);
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_false(load_files(f, bad[i].kernel, bad[i].initrd));
		if (!strstr(f->error->message, bad[i].message))
			g_error("'%s' does not tell of '%s'", f->error->message, bad[i].message);
	}
	g_assert_true(load_files(f, kernel, kernel));
	g_remove(kernel);
	g_remove(empty);
	g_remove(large);
	g_remove(fifo);
	g_rmdir(dir);
}

/* A distribution's kernel, where the environment names one. */
static void test_real(struct fixture *f, gconstpointer param)
{
	const char *path = getenv("VIV_TEST_KERNEL");

	if (!path) {
		g_test_skip("VIV_TEST_KERNEL names no kernel");
		return;
	}
	g_assert_false(load_files(f, path, NULL));
	g_assert_nonnull(strstr(f->error->message, "give -m"));
	mem_free(f->mem);
	f->mem = mem_new(256 * MB, NULL);
	load_files(f, path, NULL);
	g_assert_no_error(f->error);
	g_assert_cmphex(f->entry.rip, >=, MB);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(struct fixture *f, gconstpointer param);
	} tests[] = {
		{"entry-state", test_entry_state},
		{"boot-params", test_boot_params},
		{"memory-map", test_memory_map},
		{"initrd", test_initrd},
		{"initrd-below-its-limit", test_initrd_below_its_limit},
		{"initrd-above-4g", test_initrd_above_4g},
		{"initrd-too-large", test_initrd_too_large},
		{"little-memory", test_little_memory},
		{"cmdline", test_cmdline},
		{"vmlinux", test_vmlinux},
		{"cut-short", test_cut_short},
		{"segment-in-low-memory", test_segment_in_low_memory},
		{"files", test_files},
		{"real", test_real},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
		g_autofree char *path = g_strdup_printf("/linux-boot/%s", tests[i].name);

		g_test_add(path, struct fixture, NULL, set_up, tests[i].fn, tear_down);
	}
	for (unsigned i = 0; i < n_packers; i++) {
		g_autofree char *path = g_strdup_printf("/linux-boot/payload/%s", packers[i].name);

		g_test_add_data_func(path, &packers[i], test_payload);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_fields); i++) {
		g_autofree char *path = g_strdup_printf("/linux-boot/bad/%s", bad_fields[i].name);

		g_test_add_data_func(path, &bad_fields[i], test_bad_field);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(strangers); i++) {
		g_autofree char *path =
			g_strdup_printf("/linux-boot/stranger/%s", strangers[i].name);

		g_test_add_data_func(path, &strangers[i], test_stranger);
	}
	return g_test_run();
}
