/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMBIOS tables as systems walk them, and as dmidecode reads them. */
#include "firmware/smbios.h"

#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>

#include "base/le.h"

#define DMIDECODE "/usr/sbin/dmidecode"
#define GIB	  (1ull << 30)

static const struct smbios_config config = {
	.product = "q35",
	.uuid = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd},
	.n_cpus = 3,
	.cpu_vendor = "AuthenticAMD",
	.cpu_name = "A processor",
	.cpu_signature = 0x00830f10,
	.cpu_features = 0x178bfbff,
	.cpu_has_64_bits = true,
	.low_size = 2 * GIB,
	.high_size = 2 * GIB,
};

static uint8_t sum(const uint8_t *data, unsigned len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *data++;
	return sum;
}

static void files_free(struct smbios_files *files)
{
	g_bytes_unref(files->anchor);
	g_bytes_unref(files->tables);
}

/* The n-th structure of a type, or NULL. Checks all on the way. */
static const uint8_t *find(const struct smbios_files *files, unsigned type, unsigned n)
{
	gsize len;
	const uint8_t *ep = g_bytes_get_data(files->anchor, NULL);
	const uint8_t *tables = g_bytes_get_data(files->tables, &len), *at = tables, *found = NULL;
	unsigned count = 0, max_size = 0;
	bool ended = false;

	while (at < tables + len) {
		const uint8_t *next = at + at[1];

		g_assert_false(ended);
		g_assert_cmpuint(at[1], >=, 4);
		while (next[0] || next[1])
			next++;
		next += 2;
		g_assert_true(next <= tables + len);
		ended = at[0] == 127;
		if (at[0] == type && !n--)
			found = at;
		max_size = MAX(max_size, next - at);
		count++;
		at = next;
	}
	g_assert_true(ended && at == tables + len);
	g_assert_cmpuint(le16_load(ep + 0x16), ==, len);
	g_assert_cmpuint(le16_load(ep + 0x1c), ==, count);
	g_assert_cmpuint(le16_load(ep + 0x08), ==, max_size);
	return found;
}

static const char *string(const uint8_t *structure, unsigned field)
{
	const char *text = (const char *)structure + structure[1];

	for (unsigned i = 1; i < structure[field]; i++)
		text += strlen(text) + 1;
	return text;
}

static void test_anchor(void)
{
	struct smbios_files files;
	const uint8_t *ep;
	gsize len;

	smbios_build_files(&config, &files);
	ep = g_bytes_get_data(files.anchor, &len);
	g_assert_cmpuint(len, ==, 31);
	g_assert_cmpuint(ep[5], ==, 31);
	g_assert_cmpmem(ep, 4, "_SM_", 4);
	g_assert_cmpmem(ep + 16, 5, "_DMI_", 5);
	g_assert_cmpuint(sum(ep, 31), ==, 0);
	g_assert_cmpuint(sum(ep + 16, 15), ==, 0);
	g_assert_cmpuint(le32_load(ep + 0x18), ==, 0); /* OVMF takes no other */
	files_free(&files);
}

static void test_structures(void)
{
	struct smbios_files files;
	const uint8_t *s;

	smbios_build_files(&config, &files);
	s = find(&files, 1, 0);
	g_assert_cmpuint(s[1], ==, 0x1b);
	g_assert_cmpstr(string(s, 4), ==, "Vivarium");
	g_assert_cmpstr(string(s, 5), ==, "q35");
	g_assert_cmpmem(s + 8, 8, "\x67\x45\x23\x01\xab\x89\xde\x4c", 8);
	g_assert_cmpuint(find(&files, 3, 0)[1], ==, 0x16);
	s = find(&files, 4, 2);
	g_assert_cmpuint(s[1], ==, 0x2a);
	g_assert_cmpstr(string(s, 4), ==, "CPU 2");
	g_assert_cmpstr(string(s, 0x10), ==, "A processor");
	g_assert_cmphex(le16_load(s + 0x26), ==, 4); /* 64 bits */
	g_assert_null(find(&files, 4, 3));
	s = find(&files, 16, 0);
	g_assert_cmpuint(s[1], ==, 0x17);
	g_assert_cmpuint(le64_load(s + 0xf), ==, 4 * GIB);
	s = find(&files, 17, 0);
	g_assert_cmpuint(s[1], ==, 0x28);
	g_assert_cmpuint(le16_load(s + 4), ==, le16_load(find(&files, 16, 0) + 2));
	g_assert_cmpuint(le16_load(s + 0xc), ==, 4096);
	s = find(&files, 19, 1);
	g_assert_cmpuint(s[1], ==, 0x1f);
	g_assert_cmphex(le32_load(s + 4), ==, 4 * GIB >> 10);
	g_assert_cmphex(le32_load(s + 8), ==, (6 * GIB >> 10) - 1);
	g_assert_nonnull(find(&files, 32, 0));
	files_free(&files);
}

/* From 32 GiB less 1 MiB on the size stands elsewhere; without RAM above 4 GiB nothing tells of it. */
static void test_sizes(void)
{
	static const struct {
		uint64_t low, high;
		unsigned size, extended;
	} cases[] = {
		{64 << 20, 0, 64, 0},
		{2 * GIB, 30 * GIB - (2 << 20), 0x7ffe, 0},
		{2 * GIB, 30 * GIB - (1 << 20), 0x7fff, 0x7fff},
		{2 * GIB, 254 * GIB, 0x7fff, 256 << 10},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct smbios_config c = config;
		struct smbios_files files;
		const uint8_t *s;

		c.low_size = cases[i].low;
		c.high_size = cases[i].high;
		smbios_build_files(&c, &files);
		s = find(&files, 17, 0);
		g_assert_cmphex(le16_load(s + 0xc), ==, cases[i].size);
		g_assert_cmphex(le32_load(s + 0x1c), ==, cases[i].extended);
		g_assert_true(!find(&files, 19, 1) == !cases[i].high);
		files_free(&files);
	}
}

/* Puts the tables behind the anchor, as firmware puts them in RAM, and dmidecode in its dumps. */
static void write_dump(const char *path, const struct smbios_files *files)
{
	const uint32_t address = 32;
	gsize ep_len, len;
	const uint8_t *ep = g_bytes_get_data(files->anchor, &ep_len);
	const uint8_t *tables = g_bytes_get_data(files->tables, &len);
	g_autofree uint8_t *dump = g_malloc0(address + len);

	memcpy(dump, ep, ep_len);
	memcpy(dump + address, tables, len);
	le32_store(dump + 0x18, address);
	dump[0x15] -= address; /* which makes the whole's sum 0, too */
	g_assert_true(g_file_set_contents(path, (const char *)dump, address + len, NULL));
}

static void test_dmidecode(void)
{
	static const char *const expected[] = {
		"SMBIOS 2.8 present.", "Manufacturer: Vivarium", "Product Name: q35",
		"UUID: 01234567-89ab-4cde-8f01-23456789abcd", "Version: A processor",
		"Status: Populated, Enabled", "Maximum Capacity: 4 GB", "Size: 4 GB", "Locator: DIMM 0",
		"Starting Address: 0x00100000000", "Ending Address: 0x0017FFFFFFF", "Range Size: 2 GB",
		"Status: No errors detected", "End Of Table",
	};
	g_autofree char *dir = NULL, *path = NULL, *output = NULL, *errors = NULL;
	char *argv[] = {DMIDECODE, "--from-dump", NULL, NULL};
	g_autoptr(GError) error = NULL;
	struct smbios_files files;
	int status;

	if (!g_file_test(DMIDECODE, G_FILE_TEST_IS_EXECUTABLE)) {
		g_test_skip("dmidecode is not installed");
		return;
	}
	dir = g_dir_make_tmp("viv-smbios-XXXXXX", NULL);
	path = argv[2] = g_build_filename(dir, "dump", NULL);
	smbios_build_files(&config, &files);
	write_dump(path, &files);
	g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &output, &errors, &status, &error);
	g_assert_no_error(error);
	g_assert_cmpint(status, ==, 0);
	g_assert_cmpstr(errors, ==, "");
	for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
		if (!strstr(output, expected[i]))
			g_error("no '%s' in %s", expected[i], output);
	}
	g_assert_null(strstr(output, "OUT OF SPEC"));
	g_assert_null(strstr(output, "BAD INDEX"));
	g_remove(path);
	g_rmdir(dir);
	files_free(&files);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/smbios/anchor", test_anchor);
	g_test_add_func("/smbios/structures", test_structures);
	g_test_add_func("/smbios/sizes", test_sizes);
	g_test_add_func("/smbios/dmidecode", test_dmidecode);
	return g_test_run();
}
