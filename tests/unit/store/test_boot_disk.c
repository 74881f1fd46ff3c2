/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/boot_disk.h"

#include <glib.h>
#include <string.h>

#include "base/le.h"

static void test_patch(void)
{
	uint8_t mbr[BOOT_DISK_SECTOR], boot[BOOT_DISK_SECTOR], core[3 * BOOT_DISK_SECTOR];

	memset(mbr, 0x11, sizeof(mbr));
	memset(boot, 0x22, sizeof(boot));
	memset(core, 0x33, sizeof(core));
	le16_store(core + 0x1fe, 0x820);
	g_assert_true(boot_disk_patch(mbr, boot, sizeof(boot), core, sizeof(core)));
	g_assert_cmpuint(le64_load(mbr + 0x5c), ==, BOOT_DISK_CORE_LBA);
	g_assert_cmpuint(mbr[0x64], ==, 0xff);
	g_assert_cmpuint(le16_load(mbr + 0x66), ==, 0x9090);
	g_assert_cmpuint(mbr[0], ==, 0x22);
	/* A BPB and the partition table stay. */
	g_assert_cmpuint(mbr[0x0b], ==, 0x11);
	g_assert_cmpuint(mbr[0x1b8], ==, 0x11);
	g_assert_cmpuint(mbr[0x1b7], ==, 0x22);
	g_assert_cmpuint(le64_load(core + 0x1f4), ==, BOOT_DISK_CORE_LBA + 1);
	g_assert_cmpuint(le16_load(core + 0x1fc), ==, 2);
}

static void test_refused(void)
{
	static uint8_t core[4096 * BOOT_DISK_SECTOR];
	uint8_t mbr[BOOT_DISK_SECTOR] = {}, boot[BOOT_DISK_SECTOR] = {};

	g_assert_false(boot_disk_patch(mbr, boot, sizeof(boot), core, 1024)); /* no segment */
	le16_store(core + 0x1fe, 0x820);
	g_assert_true(boot_disk_patch(mbr, boot, sizeof(boot), core, 1024));
	g_assert_false(boot_disk_patch(mbr, boot, sizeof(boot) - 1, core, 1024));
	g_assert_false(boot_disk_patch(mbr, boot, sizeof(boot), core, 512));
	g_assert_false(boot_disk_patch(mbr, boot, sizeof(boot), core, 1025));
	g_assert_false(
		boot_disk_patch(mbr, boot, sizeof(boot), core, sizeof(core))); /* over the next partition */
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/patch", test_patch);
	g_test_add_func("/refused", test_refused);
	return g_test_run();
}
