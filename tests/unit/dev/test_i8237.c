/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs channels as Linux's asm/dma.h and the BIOS do, and transfers as a device of the bus
 * would. */
#include "dev/isa/isa_dma.h"

#include "dev/table.h"
#include "rig.h"

enum {
	MODE_WRITE = 0x44, /* single, to memory */
	MODE_READ = 0x48,
	MODE_VERIFY = 0x40,
	AUTOINIT = 0x10,
	DECREMENT = 0x20,
};

static const uint8_t page_ports[] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};

/* `n` transfers: bytes, or words on channels 5 to 7. */
static void program(struct rig *rig, unsigned channel, uint8_t mode, uint32_t address, unsigned n)
{
	bool words = channel >= 4;
	uint16_t base = words ? 0xc0 : 0, step = words ? 2 : 1, at = base + channel % 4 * 2 * step;
	uint16_t offset = words ? address >> 1 : address, count = n - 1;

	rig_out8(rig, base + 0xa * step, 4 | channel % 4);
	rig_out8(rig, base + 0xc * step, 0);
	rig_out8(rig, base + 0xb * step, mode | channel % 4);
	rig_out8(rig, at, offset);
	rig_out8(rig, at, offset >> 8);
	rig_out8(rig, page_ports[channel], address >> 16);
	rig_out8(rig, at + step, count);
	rig_out8(rig, at + step, count >> 8);
	rig_out8(rig, base + 0xa * step, channel % 4);
}

static uint16_t read_word(struct rig *rig, uint16_t port)
{
	uint16_t low;

	rig_out8(rig, port < 0xc0 ? 0x0c : 0xd8, 0);
	low = rig_in8(rig, port);
	return low | rig_in8(rig, port) << 8;
}

static struct rig *setup(void)
{
	return rig_new(&i8237_class, &(struct device_config){0});
}

static void assert_ram(struct rig *rig, uint64_t gpa, const char *expected)
{
	char got[16] = "";

	g_assert_true(mem_read(rig->env.mem, gpa, got, strlen(expected)));
	g_assert_cmpstr(got, ==, expected);
}

static void test_to_memory(void)
{
	struct rig *rig = setup();
	struct isa_dma *dma = rig->env.isa_dma;
	bool tc;

	/* Masked at power-on. */
	g_assert_cmpuint(isa_dma_to_memory(dma, 2, "abcd", 4, &tc), ==, 0);
	program(rig, 2, MODE_WRITE, 0x123456, 6);
	g_assert_cmpuint(isa_dma_to_memory(dma, 2, "abcd", 4, &tc), ==, 4);
	g_assert_false(tc);
	g_assert_cmphex(rig_in8(rig, 0x08), ==, 0);
	g_assert_cmphex(read_word(rig, 0x04), ==, 0x345a);
	g_assert_cmphex(read_word(rig, 0x05), ==, 1);
	g_assert_cmpuint(isa_dma_to_memory(dma, 2, "efgh", 4, &tc), ==, 2);
	g_assert_true(tc);
	assert_ram(rig, 0x123456, "abcdef");
	assert_ram(rig, 0x12345c, "");
	g_assert_cmphex(read_word(rig, 0x05), ==, 0xffff);
	/* Reading the status clears it; the channel has masked itself. */
	g_assert_cmphex(rig_in8(rig, 0x08), ==, 0x04);
	g_assert_cmphex(rig_in8(rig, 0x08), ==, 0);
	g_assert_cmphex(rig_in8(rig, 0x0f), ==, 0xff);
	g_assert_cmpuint(isa_dma_to_memory(dma, 2, "abcd", 4, &tc), ==, 0);
	g_assert_false(tc);
	rig_free(rig);
}

static void test_from_memory(void)
{
	struct rig *rig = setup();
	struct isa_dma *dma = rig->env.isa_dma;
	char got[8] = "";
	bool tc;

	/* Backwards, over the page's end, which takes no part in counting. */
	mem_write(rig->env.mem, 0x20000, "dcba", 4);
	mem_write(rig->env.mem, 0x2fffe, "fe", 2);
	program(rig, 1, MODE_READ | DECREMENT, 0x20003, 6);
	g_assert_cmpuint(isa_dma_from_memory(dma, 1, got, 8, &tc), ==, 6);
	g_assert_true(tc);
	g_assert_cmpmem(got, 6, "abcdef", 6);
	/* The top of 16 MiB is RAM here, and what is programmed the other way stays where it is. */
	program(rig, 3, MODE_WRITE, 0xfffffe, 2);
	g_assert_cmpuint(isa_dma_from_memory(dma, 3, got, 2, &tc), ==, 2);
	g_assert_true(tc);
	g_assert_cmpmem(got, 2, "\xff\xff", 2);
	program(rig, 3, MODE_READ, 0x30000, 2);
	g_assert_cmpuint(isa_dma_to_memory(dma, 3, "xy", 2, &tc), ==, 2);
	assert_ram(rig, 0x30000, "");
	program(rig, 3, MODE_VERIFY, 0x30000, 2);
	g_assert_cmpuint(isa_dma_to_memory(dma, 3, "xy", 2, &tc), ==, 2);
	g_assert_true(tc);
	assert_ram(rig, 0x30000, "");
	rig_free(rig);
}

static void test_words(void)
{
	struct rig *rig = setup();
	struct isa_dma *dma = rig->env.isa_dma;
	bool tc;

	/* The address register has bits 1 to 16: bit 0 of the page says nothing. */
	program(rig, 5, MODE_WRITE, 0x21fffe, 3);
	rig_out8(rig, 0x8b, 0x21);
	g_assert_cmpuint(isa_dma_to_memory(dma, 5, "abcdefgh", 5, &tc), ==, 4);
	g_assert_false(tc);
	assert_ram(rig, 0x21fffe, "ab");
	assert_ram(rig, 0x200000, "cd");
	g_assert_cmphex(read_word(rig, 0xc4), ==, 1);
	g_assert_cmphex(read_word(rig, 0xc6), ==, 0);
	g_assert_cmpuint(isa_dma_to_memory(dma, 5, "abcdefgh", 8, &tc), ==, 2);
	g_assert_true(tc);
	g_assert_cmphex(rig_in8(rig, 0xd0), ==, 0x02);
	rig_free(rig);
}

static void test_auto_init(void)
{
	struct rig *rig = setup();
	struct isa_dma *dma = rig->env.isa_dma;
	bool tc;

	program(rig, 1, MODE_WRITE | AUTOINIT, 0x5000, 4);
	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmpuint(isa_dma_to_memory(dma, 1, "abcd", 3, &tc), ==, 3);
		g_assert_false(tc);
		g_assert_cmpuint(isa_dma_to_memory(dma, 1, "defg", 4, &tc), ==, 1);
		g_assert_true(tc);
		g_assert_cmphex(read_word(rig, 0x02), ==, 0x5000);
		g_assert_cmphex(read_word(rig, 0x03), ==, 3);
	}
	assert_ram(rig, 0x5000, "abcd");
	assert_ram(rig, 0x5004, "");
	rig_free(rig);
}

static void test_control(void)
{
	struct rig *rig = setup();
	struct isa_dma *dma = rig->env.isa_dma;
	bool tc;

	program(rig, 0, MODE_WRITE, 0x5000, 4);
	rig_out8(rig, 0x08, 0x04);
	g_assert_cmpuint(isa_dma_to_memory(dma, 0, "a", 1, &tc), ==, 0);
	rig_out8(rig, 0x08, 0x00);
	g_assert_cmpuint(isa_dma_to_memory(dma, 0, "a", 1, &tc), ==, 1);
	rig_out8(rig, 0x0f, 0x01);
	g_assert_cmpuint(isa_dma_to_memory(dma, 0, "b", 1, &tc), ==, 0);
	rig_out8(rig, 0x0e, 0);
	g_assert_cmpuint(isa_dma_to_memory(dma, 0, "b", 1, &tc), ==, 1);
	/* A cascaded controller asks there, no device. */
	rig_out8(rig, 0x0b, 0xc0);
	g_assert_cmpuint(isa_dma_to_memory(dma, 0, "c", 1, &tc), ==, 0);
	rig_out8(rig, 0x0d, 0);
	g_assert_cmphex(rig_in8(rig, 0x0f), ==, 0xff);
	assert_ram(rig, 0x5000, "ab");
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/i8237/to-memory", test_to_memory);
	g_test_add_func("/i8237/from-memory", test_from_memory);
	g_test_add_func("/i8237/words", test_words);
	g_test_add_func("/i8237/auto-init", test_auto_init);
	g_test_add_func("/i8237/control", test_control);
	return g_test_run();
}
