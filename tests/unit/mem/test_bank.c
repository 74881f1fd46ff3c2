/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "mem/mem.h"

#define ROM_SIZE 0x20000u
#define TOP	 (MEM_HOLE_END - ROM_SIZE)
#define VRAM	 0xe0000000ull

struct probe {
	unsigned remapped, cleaned;
	uint64_t written_gpa;
};

static void on_written(void *opaque, uint64_t gpa, uint64_t len)
{
	((struct probe *)opaque)->written_gpa = gpa;
}

static void on_protect(void *opaque, uint64_t gpa)
{
}

static void on_cleaned(void *opaque)
{
	((struct probe *)opaque)->cleaned++;
}

static void on_remapped(void *opaque)
{
	((struct probe *)opaque)->remapped++;
}

static struct mem *new_mem(struct probe *probe)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	struct mem_listener listener = {on_written, on_protect, on_cleaned, on_remapped, probe};

	mem_add_listener(mem, &listener);
	return mem;
}

static uint8_t byte_at(const struct mem *mem, uint64_t gpa)
{
	uint8_t byte;

	g_assert_true(mem_read(mem, gpa, &byte, 1));
	return byte;
}

/* A ROM at the top of 4 GiB and in RAM's place, which is copied to the RAM and then write-protected there: what
 * a PC's firmware does. */
static void test_shadow(void)
{
	struct probe probe = {0};
	struct mem *mem = new_mem(&probe);
	struct mem_bank *rom = mem_bank_new(mem, ROM_SIZE, NULL);
	uint8_t *data = mem_bank_data(rom), byte = 7;

	memset(data, 0x90, ROM_SIZE);
	mem_show(mem, TOP, ROM_SIZE, rom, 0, MEM_READ);
	mem_show(mem, 0xf0000, 0x10000, rom, 0x10000, MEM_READ);
	g_assert_cmpuint(probe.remapped, ==, 2);
	g_assert_cmphex(byte_at(mem, TOP), ==, 0x90);
	g_assert_cmphex(byte_at(mem, 0xfffff), ==, 0x90);
	g_assert_false(mem_write(mem, 0xf0000, &byte, 1));
	g_assert_null(mem_range(mem, 0xef000, 0x2000));
	mem_write_under(mem, 0xf0000, "\x55", 1);
	g_assert_cmphex(byte_at(mem, 0xf0000), ==, 0x90);

	mem_show(mem, 0xf0000, 0x10000, NULL, 0, MEM_READ_WRITE);
	g_assert_cmphex(byte_at(mem, 0xf0000), ==, 0x55);
	g_assert_true(mem_write(mem, 0xf0001, &byte, 1));
	mem_set_access(mem, 0xf0000, 0x10000, MEM_READ);
	g_assert_false(mem_write(mem, 0xf0002, &byte, 1));
	g_assert_cmphex(byte_at(mem, 0xf0001), ==, 7);
	mem_set_access(mem, 0xf0000, 0x10000, MEM_NO_ACCESS);
	g_assert_false(mem_is_ram(mem, 0xf0000));
	g_assert_cmphex(data[0x10000], ==, 0x90);
	mem_free(mem);
}

static void test_end_of_ram(void)
{
	struct probe probe = {0};
	struct mem *mem = new_mem(&probe);
	struct mem_bank *bank = mem_bank_new(mem, 0x4000, NULL);

	/* The middle of a window is cut out; its ends stay. */
	mem_show(mem, MEM_MIN_SIZE - 0x2000, 0x4000, bank, 0, MEM_READ_WRITE);
	memset(mem_bank_data(bank), 3, 0x4000);
	mem_show(mem, MEM_MIN_SIZE - 0x1000, 0x2000, NULL, 0, MEM_READ_WRITE);
	g_assert_cmphex(byte_at(mem, MEM_MIN_SIZE - 0x2000), ==, 3);
	g_assert_cmphex(byte_at(mem, MEM_MIN_SIZE - 0x1000), ==, 0);
	g_assert_false(mem_is_ram(mem, MEM_MIN_SIZE));
	g_assert_cmphex(byte_at(mem, MEM_MIN_SIZE + 0x1000), ==, 3);
	mem_free(mem);
}

static void test_dirty(void)
{
	enum { PAGES = 200, WORDS = (PAGES + 63) / 64 };
	struct probe probe = {0};
	struct mem *mem = new_mem(&probe);
	struct mem_bank *vram = mem_bank_new(mem, PAGES * MEM_PAGE_SIZE, NULL);
	uint64_t dirty[WORDS];

	mem_show(mem, VRAM + 0x3000, PAGES * MEM_PAGE_SIZE, vram, 0, MEM_READ_WRITE);
	mem_bank_collect(vram);
	mem_bank_take(vram, dirty);
	g_assert_cmpuint(probe.cleaned, ==, 1);

	g_assert_true(mem_write(mem, VRAM + 0x3000 + 61 * 4096, "ab", 2));
	g_assert_true(mem_write(mem, VRAM + 0x3000 + 199 * 4096, "ab", 2));
	mem_bank_written(vram, 64 * 4096 - 1, 2);
	mem_bank_take(vram, dirty);
	g_assert_cmphex(dirty[0], ==, 1ull << 63);
	g_assert_cmphex(dirty[1], ==, 1);
	mem_bank_collect(vram);
	mem_bank_take(vram, dirty);
	/* The host's own writes are in the pages' bits, too. */
	g_assert_cmphex(dirty[0], ==, 1ull << 61 | 1ull << 63);
	g_assert_cmphex(dirty[1], ==, 1);
	g_assert_cmphex(dirty[3], ==, 1ull << 7);
	mem_bank_collect(vram);
	mem_bank_take(vram, dirty);
	g_assert_cmphex(dirty[0] | dirty[1] | dirty[2] | dirty[3], ==, 0);

	/* What was written before it moves is not forgotten. */
	g_assert_true(mem_write(mem, VRAM + 0x3000, "ab", 2));
	mem_show(mem, VRAM + 0x3000, PAGES * MEM_PAGE_SIZE, NULL, 0, MEM_NO_ACCESS);
	mem_bank_take(vram, dirty);
	g_assert_cmphex(dirty[0], ==, 1);
	g_assert_cmpmem(mem_bank_data(vram), 2, "ab", 2);
	mem_free(mem);
}

/* What was decoded from a page goes when something else is shown there, or its bank is written. */
static void test_code(void)
{
	struct probe probe = {0};
	struct mem *mem = new_mem(&probe);
	struct mem_bank *rom = mem_bank_new(mem, ROM_SIZE, NULL);

	mem_show(mem, TOP, ROM_SIZE, rom, 0, MEM_READ);
	mem_add_code_lines(mem, TOP + 0x1000, 1);
	mem_bank_written(rom, 0x1004, 1);
	g_assert_cmphex(probe.written_gpa, ==, TOP + 0x1004);
	mem_add_code_lines(mem, 0xf0000, 2);
	mem_show(mem, 0xf0000, 0x1000, rom, 0, MEM_READ);
	g_assert_cmphex(probe.written_gpa, ==, 0xf0000);
	mem_free(mem);
}

/* An access over two pages finds each where it is. */
static void test_pair(void)
{
	struct probe probe = {0};
	struct mem *mem = new_mem(&probe);
	struct mem_bank *vram = mem_bank_new(mem, 0x2000, NULL);
	uint64_t pages[2] = {0x1000, VRAM + 0x1000};
	uint8_t *pair;

	mem_show(mem, VRAM, 0x2000, vram, 0, MEM_READ_WRITE);
	pair = mem_map_pair(mem, NULL, pages);
	pair[4095] = 1;
	pair[4096] = 2;
	g_assert_cmphex(byte_at(mem, 0x1fff), ==, 1);
	g_assert_cmphex(mem_bank_data(vram)[0x1000], ==, 2);
	/* Hidden since the processor looked: what it saw, and nothing else. */
	mem_show(mem, VRAM, 0x2000, NULL, 0, MEM_NO_ACCESS);
	pair = mem_map_pair(mem, pair, pages);
	pair[4096] = 3;
	g_assert_cmphex(mem_bank_data(vram)[0x1000], ==, 3);
	mem_unmap_pair(pair);
	mem_free(mem);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bank/shadow", test_shadow);
	g_test_add_func("/bank/end_of_ram", test_end_of_ram);
	g_test_add_func("/bank/dirty", test_dirty);
	g_test_add_func("/bank/code", test_code);
	g_test_add_func("/bank/pair", test_pair);
	return g_test_run();
}
