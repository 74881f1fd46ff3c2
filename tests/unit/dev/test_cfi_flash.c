/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks to the flash as UEFI's driver of its variables does, byte by byte. */
#include "dev/table.h"
#include "rig.h"

enum { READY = 0x80, PROGRAM_ERROR = 0x10 };

static uint64_t flash_at(const struct rig *rig)
{
	return MEM_HOLE_END - block_size(rig->block);
}

static void put(struct rig *rig, uint64_t offset, uint8_t value)
{
	bus_write(rig->env.bus, BUS_MMIO, flash_at(rig) + offset, value, 1);
}

static uint8_t get(struct rig *rig, uint64_t offset)
{
	return bus_read(rig->env.bus, BUS_MMIO, flash_at(rig) + offset, 1);
}

static void erase(struct rig *rig, uint64_t offset)
{
	put(rig, offset, 0x20);
	put(rig, offset, 0xd0);
	g_assert_cmphex(get(rig, offset), ==, READY);
}

/* Programming clears bits; what was done is in the file once the flash shows its array again. */
static void test_program(void)
{
	struct rig *rig = rig_new_row(rig_row_of(&cfi_flash_class));

	erase(rig, 0x1000);
	put(rig, 0x1010, 0x40);
	put(rig, 0x1010, 0x5f);
	put(rig, 0x1010, 0x40);
	put(rig, 0x1010, 0xf5);
	put(rig, 0x1020, 0xe8);
	put(rig, 0x1020, 1);
	put(rig, 0x1020, 0x12);
	put(rig, 0x1021, 0x34);
	put(rig, 0x1020, 0xd0);
	g_assert_cmphex(get(rig, 0), ==, READY);
	g_assert_false(mem_is_ram(rig->env.mem, flash_at(rig)));
	put(rig, 0, 0xff);
	g_assert_cmphex(*mem_hva(rig->env.mem, flash_at(rig) + 0x1010), ==, 0x55);
	g_assert_cmphex(get(rig, 0x1020), ==, 0x12);
	g_assert_cmphex(get(rig, 0x1021), ==, 0x34);
	g_assert_cmphex(get(rig, 0x1022), ==, 0xff);
	rig_free(rig);
}

/* A buffered write does not go past the end. */
static void test_end(void)
{
	struct rig *rig = rig_new_row(rig_row_of(&cfi_flash_class));
	uint64_t last = block_size(rig->block) - 1;

	put(rig, last, 0xe8);
	put(rig, last, 1);
	put(rig, last, 0);
	put(rig, last, 0);
	put(rig, last, 0xd0);
	g_assert_cmphex(get(rig, 0), ==, READY | PROGRAM_ERROR);
	rig_free(rig);
}

/* A stream that awaits the confirmation of a buffer of nothing, which no driver can have begun. */
static void test_empty_buffer(void)
{
	enum { KEEP = 1, SMALL = 0x10, BUFFER_CONFIRM = 5 };
	static const uint8_t forgery[] = {KEEP, SMALL, BUFFER_CONFIRM};
	struct rig *rig = rig_new_row(rig_row_of(&cfi_flash_class));
	g_autoptr(GByteArray) forged = rig_forge(rig, forgery, sizeof(forgery));

	g_assert_false(rig_load(rig, forged->data, forged->len, NULL));
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cfi_flash/program", test_program);
	g_test_add_func("/cfi_flash/end", test_end);
	g_test_add_func("/cfi_flash/empty-buffer", test_empty_buffer);
	return g_test_run();
}
