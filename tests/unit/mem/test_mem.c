/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/mem.h"

#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

static void test_sizes(void)
{
	static const uint64_t bad[] = {0, MEM_MIN_SIZE - 4096, MEM_MIN_SIZE + 1,
				       MEM_MAX_SIZE + 4096, UINT64_MAX & ~4095ull};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(mem_new(bad[i], &error));
		g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	}
}

static void test_small(void)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	uint8_t in[8192], out[8192];

	memset(in, 0x5a, sizeof(in));
	g_assert_true(mem_write(mem, MEM_MIN_SIZE - sizeof(in), in, sizeof(in)));
	g_assert_true(mem_read(mem, MEM_MIN_SIZE - sizeof(out), out, sizeof(out)));
	g_assert_cmpmem(in, sizeof(in), out, sizeof(out));
	g_assert_true(mem_range(mem, 4096, 4096) == mem->base + 4096);

	g_assert_false(mem_write(mem, MEM_MIN_SIZE - 1, in, 2));
	g_assert_false(mem_read(mem, UINT64_MAX, out, 2));
	g_assert_false(mem_read(mem, 0, out, UINT64_MAX));
	g_assert_false(mem_read(mem, MEM_HOLE_END, out, 1));
	g_assert_true(mem_read(mem, MEM_HOLE_END, out, 0));
	g_assert_null(mem_hva(mem, MEM_HOLE_START));
	mem_free(mem);
}

/* Over what was there, from and to the middle of pages, with whole pages of zeros among the data. */
static void test_fill(void)
{
	struct mem *mem = mem_new(MEM_HOLE_START + MEM_MIN_SIZE, NULL);
	const uint64_t places[] = {0x1000, 0x1ff0, 0x5123, MEM_HOLE_START - 0xa000, MEM_HOLE_END + 5};
	uint8_t in[0x9000], out[sizeof(in)], old[0x10000];

	memset(in, 0x5a, sizeof(in));
	memset(in + 0x1800, 0, 0x4000);
	memset(old, 0xff, sizeof(old));
	for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
		g_assert_true(mem_write(mem, places[i], old, sizeof(in) + 4));
		mem_fill(mem, places[i], in, sizeof(in));
		g_assert_true(mem_read(mem, places[i], out, sizeof(out)));
		g_assert_cmpmem(in, sizeof(in), out, sizeof(out));
		g_assert_true(mem_is_dirty(mem, places[i] + 0x3000));
		g_assert_true(mem_read(mem, places[i] + sizeof(in), out, 1));
		g_assert_cmphex(out[0], ==, 0xff);
		mem_fill(mem, places[i] + 7, NULL, sizeof(in) - 10);
		g_assert_true(mem_read(mem, places[i], out, sizeof(out)));
		g_assert_cmpmem(out, 7, in, 7);
		g_assert_cmpmem(out + sizeof(in) - 3, 3, in, 3);
		for (unsigned k = 7; k < sizeof(in) - 3; k++)
			g_assert_cmphex(out[k], ==, 0);
	}
	mem_fill(mem, 0, NULL, 0);
	mem_free(mem);
}

static void test_hole(void)
{
	struct mem *mem = mem_new(MEM_HOLE_START + MEM_MIN_SIZE, NULL);
	uint64_t value = 0x1122334455667788, got = 0;

	g_assert_nonnull(mem);
	g_assert_cmpuint(mem->low_size, ==, MEM_HOLE_START);
	g_assert_cmpuint(mem->high_size, ==, MEM_MIN_SIZE);
	g_assert_true(mem_write(mem, MEM_HOLE_START - 8, &value, 8));
	g_assert_true(mem_write(mem, MEM_HOLE_END, &value, 8));
	g_assert_true(mem_write(mem, MEM_HOLE_END + MEM_MIN_SIZE - 8, &value, 8));
	g_assert_true(mem_read(mem, MEM_HOLE_END, &got, 8));
	g_assert_cmpuint(got, ==, value);
	g_assert_true(mem_hva(mem, MEM_HOLE_END) == mem->base + MEM_HOLE_END);
	/* Neither into the hole, nor across it, nor past the end. */
	g_assert_false(mem_write(mem, MEM_HOLE_START - 4, &value, 8));
	g_assert_false(mem_write(mem, MEM_HOLE_END - 4, &value, 8));
	g_assert_null(mem_range(mem, MEM_HOLE_START - 4096, MEM_HOLE_END));
	g_assert_null(mem_range(mem, MEM_HOLE_END + MEM_MIN_SIZE - 4, 8));
	mem_free(mem);
}

static void on_code_written(void *opaque, uint64_t gpa, uint64_t len)
{
	g_string_append_printf(opaque, "%" G_GINT64_MODIFIER "x+%" G_GINT64_MODIFIER "x ", gpa,
			       len);
}

static void on_protect(void *opaque, uint64_t gpa)
{
	g_string_append_printf(opaque, "protect %" G_GINT64_MODIFIER "x ", gpa);
}

static void on_cleaned(void *opaque)
{
	g_string_append(opaque, "cleaned ");
}

static void on_remapped(void *opaque)
{
	g_string_append(opaque, "remapped ");
}

static void test_dirty(void)
{
	g_autoptr(GString) told = g_string_new(NULL);
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	uint64_t words[2];
	uint8_t buf[3] = {1, 2, 3};

	mem_add_listener(mem, &(struct mem_listener){on_code_written, on_protect, on_cleaned,
						     on_remapped, told});
	g_assert_true(mem_write(mem, 70 * MEM_PAGE_SIZE - 1, buf, 3));
	mem_set_dirty(mem, 5);
	mem_fetch_dirty(mem, 0, words, 2);
	g_assert_cmphex(words[0], ==, 1);
	g_assert_cmphex(words[1], ==, 3ull << (69 - 64));
	/* Whoever stores by himself is told where bits were cleared, and only there. */
	g_assert_cmpstr(told->str, ==, "cleaned ");
	mem_fetch_dirty(mem, 64, words, 1);
	g_assert_cmphex(words[0], ==, 0);
	g_assert_cmpstr(told->str, ==, "cleaned ");
	mem_free(mem);
}

static void test_code(void)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	g_autoptr(GString) told = g_string_new(NULL);
	uint8_t buf[9000] = {0};

	g_assert_cmphex(mem_line_mask(0x1000, 4096), ==, ~0ull);
	g_assert_cmphex(mem_line_mask(0x103f, 2), ==, 3);
	mem_add_listener(mem, &(struct mem_listener){on_code_written, on_protect, on_cleaned,
						     on_remapped, told});
	/* The first line of a page protects it; a second one finds it protected. */
	mem_add_code_lines(mem, 0x20c0, 1ull << 3);
	mem_add_code_lines(mem, 0x2140, 1ull << 5);
	g_assert_cmpstr(told->str, ==, "protect 20c0 ");
	g_string_truncate(told, 0);
	mem_write(mem, 0x20bf, buf, 1);
	mem_write(mem, 0x2100, buf, 64);
	g_assert_cmpstr(told->str, ==, "");
	/* Each mark tells of one write. */
	mem_write(mem, 0x20bf, buf, 2);
	mem_write(mem, 0x20bf, buf, 2);
	mem_write(mem, 0x1f00, buf, sizeof(buf));
	mem_write(mem, 0x1f00, buf, sizeof(buf));
	g_assert_cmpstr(told->str, ==, "20bf+2 2000+1000 ");
	mem_remove_listener(mem, told);
	mem_add_code_lines(mem, 0x20c0, 1ull << 3);
	mem_write(mem, 0x20c0, buf, 1);
	g_assert_cmpstr(told->str, ==, "20bf+2 2000+1000 ");
	mem_free(mem);
}

/* Pages from both runs of RAM, either first, show what is in them; the next pair takes their place.
 */
static void test_pair(void)
{
	struct mem *mem = mem_new(MEM_HOLE_START + MEM_MIN_SIZE, NULL);
	uint64_t low = 0x5000, high = MEM_HOLE_END + 0x3000, last = MEM_HOLE_START - MEM_PAGE_SIZE;
	uint8_t *pair = mem_map_pair(mem, NULL, (uint64_t[]){low, high}), *again;

	memcpy(pair + MEM_PAGE_SIZE - 4, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	g_assert_cmphex(*(uint32_t *)mem_hva(mem, low + MEM_PAGE_SIZE - 4), ==, 0x55667788);
	g_assert_cmphex(*(uint32_t *)mem_hva(mem, high), ==, 0x11223344);
	again = mem_map_pair(mem, pair, (uint64_t[]){high, last});
	g_assert_true(again == pair);
	g_assert_cmphex(*(uint32_t *)pair, ==, 0x11223344);
	pair[MEM_PAGE_SIZE] = 9;
	g_assert_cmpuint(*mem_hva(mem, last), ==, 9);
	mem_unmap_pair(pair);
	mem_unmap_pair(NULL);
	mem_free(mem);
}

static gpointer look_at_smram(gpointer mem)
{
	for (unsigned i = 0; i < 3000000; i++)
		g_assert_true(mem_is_closed(mem, 0xa0000, 1));
	return NULL;
}

/* A chipset says again what it has said, at each write to a register nearby: what is closed, and may be locked,
 * never opens meanwhile. */
static void test_smram_stays_closed(void)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	GThread *thread;

	mem_set_smram(mem, MEM_SMRAM_COMPATIBLE, 0xa0000, 0x20000);
	thread = g_thread_new("look", look_at_smram, mem);
	for (unsigned i = 0; i < 3000000; i++)
		mem_set_smram(mem, MEM_SMRAM_COMPATIBLE, 0xa0000, 0x20000);
	g_thread_join(thread);
	mem_free(mem);
}

/* Whole pages only, and nothing of what a device could not write. */
static void test_discard(void)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	g_autoptr(GString) told = g_string_new(NULL);
	uint64_t dirty[1];
	struct stat before, after;

	memset(mem_hva(mem, 0x8000), 1, 0x8000);
	memset(mem_hva(mem, 0xa0000), 1, 0x1000);
	mem_set_smram(mem, MEM_SMRAM_COMPATIBLE, 0xa0000, 0x20000);
	mem_fetch_dirty(mem, 0, dirty, 1);
	mem_add_listener(mem, &(struct mem_listener){on_code_written, on_protect, on_cleaned,
						     on_remapped, told});
	mem_add_code_lines(mem, 0xa000, 1);
	g_string_truncate(told, 0);
	g_assert_cmpint(fstat(mem->fd, &before), ==, 0);
	mem_discard(mem, 0x8001, 0x3fff);
	g_assert_cmpint(fstat(mem->fd, &after), ==, 0);
	g_assert_cmpint(before.st_blocks - after.st_blocks, ==, 3 * 8);
	g_assert_cmpuint(*mem_hva(mem, 0x8fff), ==, 1);
	g_assert_cmpuint(*mem_hva(mem, 0x9000), ==, 0);
	g_assert_cmpuint(*mem_hva(mem, 0xbfff), ==, 0);
	g_assert_cmpuint(*mem_hva(mem, 0xc000), ==, 1);
	g_assert_nonnull(strstr(told->str, "a000"));
	mem_fetch_dirty(mem, 0, dirty, 1);
	g_assert_cmphex(dirty[0], ==, 0xe00);
	mem_discard(mem, 0xc001, 0x1000);
	mem_discard(mem, 0xc001, 1);
	mem_discard(mem, 0x9f000, 0x2000);
	mem_discard(mem, MEM_MIN_SIZE - 0x1000, 0x2000);
	mem_discard(mem, MEM_HOLE_START, 0x1000);
	mem_discard(mem, UINT64_MAX - 0xfff, 0x2000);
	mem_fetch_dirty(mem, 0, dirty, 1);
	g_assert_cmphex(dirty[0], ==, 0);
	g_assert_cmpuint(*mem_hva_smm(mem, 0xa0000), ==, 1);
	mem_remove_listener(mem, told);
	mem_free(mem);
}

/* Closed SMRAM is no RAM for devices, and is for system-management mode. */
static void test_smram(void)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	g_autoptr(GString) told = g_string_new(NULL);
	uint8_t *a0000 = mem_hva(mem, 0xa0000), byte = 1;

	mem_add_listener(mem, &(struct mem_listener){on_code_written, on_protect, on_cleaned,
						     on_remapped, told});
	mem_set_smram(mem, MEM_SMRAM_COMPATIBLE, 0xa0000, 0x20000);
	mem_set_smram(mem, MEM_SMRAM_TOP, MEM_MIN_SIZE - 0x100000, 0x100000);
	g_assert_cmpstr(told->str, ==, "remapped remapped ");
	for (unsigned i = 0; i < 2; i++) {
		uint64_t first = i ? MEM_MIN_SIZE - 0x100000 : 0xa0000,
			 end = i ? MEM_MIN_SIZE : 0xc0000;

		g_assert_true(mem_is_ram(mem, first - 1) && !mem_is_ram(mem, first) &&
			      !mem_is_ram(mem, end - 1));
		g_assert_false(mem_write(mem, first - 1, &byte, 2) ||
			       mem_read(mem, end - 1, &byte, 1));
		g_assert_null(mem_range(mem, first - 4096, end - first + 4096));
		g_assert_nonnull(mem_hva_smm(mem, first));
	}
	g_assert_true(mem_is_ram(mem, 0xc0000) && mem_hva_smm(mem, 0xa0000) == a0000);
	g_assert_nonnull(mem_range(mem, 0x90000, 0x10000));
	g_assert_null(mem_hva_smm(mem, MEM_MIN_SIZE));
	/* Opened, it closes nothing, wherever it begins. */
	mem_set_smram(mem, MEM_SMRAM_TOP, MEM_MIN_SIZE - 0x100000, 0);
	g_assert_nonnull(mem_range(mem, MEM_MIN_SIZE - 0x200000, 0x200000));
	mem_set_smram(mem, MEM_SMRAM_TOP, MEM_MIN_SIZE - 0x100000, 0x100000);
	mem_set_smram(mem, MEM_SMRAM_COMPATIBLE, 0, 0);
	g_assert_true(mem_hva(mem, 0xa0000) == a0000 && !mem_is_ram(mem, MEM_MIN_SIZE - 1));
	mem_set_smram(mem, MEM_SMRAM_TOP, 0, 0);
	g_assert_true(mem_is_ram(mem, MEM_MIN_SIZE - 1) && !mem->has_smram);
	mem_free(mem);
}

static void expect_run(const struct mem *mem, uint64_t gpa, uint64_t end, enum mem_access access)
{
	enum mem_access found;

	g_assert_cmphex(mem_run(mem, gpa, &found), ==, end);
	g_assert_cmpint(found, ==, access);
}

/* From any page on, up to the next that answers in another way, or in which SMRAM begins or ends. */
static void test_runs(void)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);

	expect_run(mem, 0, MEM_MIN_SIZE, MEM_READ_WRITE);
	expect_run(mem, MEM_MIN_SIZE, MEM_HOLE_END, MEM_NO_ACCESS);
	mem_set_access(mem, 0xf0000, 0x10000, MEM_READ);
	mem_set_smram(mem, MEM_SMRAM_COMPATIBLE, 0xa0000, 0x20000);
	mem_set_smram(mem, MEM_SMRAM_TOP, MEM_MIN_SIZE - 0x100000, 0x100000);
	expect_run(mem, 0x9f000, 0xa0000, MEM_READ_WRITE);
	expect_run(mem, 0xa1000, 0xc0000, MEM_NO_ACCESS);
	expect_run(mem, 0xc0000, 0xf0000, MEM_READ_WRITE);
	expect_run(mem, 0xf0000, 0x100000, MEM_READ);
	expect_run(mem, 0x100000, MEM_MIN_SIZE - 0x100000, MEM_READ_WRITE);
	expect_run(mem, MEM_MIN_SIZE - 0x100000, MEM_MIN_SIZE, MEM_NO_ACCESS);
	mem_free(mem);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/mem/sizes", test_sizes);
	g_test_add_func("/mem/small", test_small);
	g_test_add_func("/mem/hole", test_hole);
	g_test_add_func("/mem/fill", test_fill);
	g_test_add_func("/mem/discard", test_discard);
	g_test_add_func("/mem/dirty", test_dirty);
	g_test_add_func("/mem/code", test_code);
	g_test_add_func("/mem/pair", test_pair);
	g_test_add_func("/mem/smram", test_smram);
	g_test_add_func("/mem/runs", test_runs);
	g_test_add_func("/mem/smram-stays-closed", test_smram_stays_closed);
	return g_test_run();
}
