/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as SeaBIOS and OVMF do. */
#include "dev/chipset/fw_cfg.h"

#include <string.h>

#include "base/be.h"
#include "base/le.h"
#include "dev/table.h"

#include "rig.h"

enum { SELECTOR = 0x510, DATA = 0x511, DMA = 0x514, ACCESS = 0x1000, BUFFER = 0x2000 };
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

static struct rig *setup(void)
{
	return rig_new_row(rig_row_of(&fw_cfg_class));
}

static void read_item(struct rig *rig, uint16_t key, void *buf, unsigned len)
{
	rig_out16(rig, SELECTOR, key);
	for (unsigned i = 0; i < len; i++)
		((uint8_t *)buf)[i] = rig_in8(rig, DATA);
}

/* What the control word says afterwards. */
static uint32_t dma(struct rig *rig, uint32_t control, uint32_t len, uint64_t gpa)
{
	uint8_t access[16];

	be32_store(access, control);
	be32_store(access + 4, len);
	be64_store(access + 8, gpa);
	g_assert_true(mem_write(rig->env.mem, ACCESS, access, sizeof(access)));
	bus_write(rig->env.bus, BUS_PIO, DMA, 0, 4);
	bus_write(rig->env.bus, BUS_PIO, DMA + 4, GUINT32_TO_BE(ACCESS), 4);
	g_assert_true(mem_read(rig->env.mem, ACCESS, access, 4));
	return be32_load(access);
}

static void test_ports(void)
{
	struct rig *rig = setup();
	uint8_t buf[8 + 64];

	read_item(rig, 0, buf, 5);
	g_assert_cmpmem(buf, 5, "QEMU", 5);
	read_item(rig, 1, buf, 4);
	g_assert_cmphex(le32_load(buf), ==, 3);
	read_item(rig, FW_CFG_NB_CPUS, buf, 2);
	g_assert_cmphex(le16_load(buf), ==, 2);
	read_item(rig, 0x19, buf, 4 + 64);
	g_assert_cmphex(be32_load(buf), ==, 1);
	g_assert_cmphex(be32_load(buf + 4), ==, 7);
	g_assert_cmphex(be16_load(buf + 8), ==, FW_CFG_FIRST_FILE);
	g_assert_cmpstr((char *)buf + 12, ==, "etc/file");
	/* Nothing there, and past the end of what is. */
	read_item(rig, 0x1234, buf, 1);
	g_assert_cmphex(buf[0], ==, 0);
	/* The architecture's items are others: SeaBIOS counts ACPI tables at 8000h. */
	read_item(rig, 0x8000, buf, 2);
	g_assert_cmphex(le16_load(buf), ==, 0);
	read_item(rig, 0x4000, buf, 4);
	g_assert_cmpmem(buf, 4, "QEMU", 4);
	read_item(rig, FW_CFG_FIRST_FILE, buf, 9);
	g_assert_cmpmem(buf, 9, "content\0\0", 9);
	rig_free(rig);
}

static void test_dma(void)
{
	struct rig *rig = setup();
	char buf[16];

	g_assert_cmphex(rig_in32(rig, DMA), ==, GUINT32_TO_BE(0x51454d55));
	g_assert_cmphex(rig_in32(rig, DMA + 4), ==, GUINT32_TO_BE(0x20434647));
	mem_write(rig->env.mem, BUFFER, "xxxxxxxxxxxxxxxx", 16);
	g_assert_cmphex(dma(rig, FW_CFG_FIRST_FILE << 16 | SELECT | READ, 4, BUFFER), ==, 0);
	g_assert_cmphex(dma(rig, SKIP, 1, 0), ==, 0);
	g_assert_cmphex(dma(rig, READ, 4, BUFFER + 4), ==, 0);
	g_assert_true(mem_read(rig->env.mem, BUFFER, buf, 16));
	g_assert_cmpmem(buf, 16, "contnt\0\0xxxxxxxx", 16);
	rig_free(rig);
}

static void test_bad_dma(void)
{
	struct rig *rig = setup();

	g_assert_cmphex(dma(rig, READ, 16, MEM_MIN_SIZE - 8), ==, ERROR);
	g_assert_cmphex(dma(rig, READ, 16, UINT64_MAX - 8), ==, ERROR);
	g_assert_cmphex(dma(rig, READ, UINT32_MAX, 0), ==, ERROR);
	g_assert_cmphex(dma(rig, WRITE, 1, BUFFER), ==, ERROR);
	/* Where there is no RAM, nobody can be told. */
	bus_write(rig->env.bus, BUS_PIO, DMA, UINT32_MAX, 4);
	bus_write(rig->env.bus, BUS_PIO, DMA + 4, UINT32_MAX, 4);
	/* The offset stays at the end of numbers. */
	g_assert_cmphex(dma(rig, FW_CFG_FIRST_FILE << 16 | SELECT | SKIP, UINT32_MAX, 0), ==, 0);
	g_assert_cmphex(dma(rig, SKIP, UINT32_MAX, 0), ==, 0);
	g_assert_cmphex(dma(rig, READ, 1, BUFFER), ==, 0);
	g_assert_cmphex(*mem_hva(rig->env.mem, BUFFER), ==, 0);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fw_cfg/ports", test_ports);
	g_test_add_func("/fw_cfg/dma", test_dma);
	g_test_add_func("/fw_cfg/bad-dma", test_bad_dma);
	return g_test_run();
}
