/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes PCI's wires as SeaBIOS does: PIRQA and PIRQB to line 10, the others to 11. */
#include "dev/pci/pci.h"
#include "dev/table.h"

#include "rig.h"

enum { DEVFN = PCI_DEVFN(1, 0), PIRQRC = 0x60 };

static struct rig *setup(void)
{
	return rig_new_row(rig_row_of(&piix3_class));
}

static void test_routing(void)
{
	struct rig *rig = setup();

	irq_line_set(&rig->sources[16], true);
	rig_assert_log(rig, "+16 ");
	rig_config_write(rig, DEVFN, PIRQRC, 0x0b0b0a0a);
	rig_assert_log(rig, "+10 ");
	irq_line_set(&rig->sources[17], true);
	rig_assert_log(rig, "+17 ");
	irq_line_set(&rig->sources[16], false);
	rig_assert_log(rig, "-16 ");
	irq_line_set(&rig->sources[18], true);
	rig_assert_log(rig, "+18 +11 ");
	/* B moves, and C is routed no more, nor can it be to the timer's line. */
	rig_config_write(rig, DEVFN, PIRQRC, 0x0b80050a);
	rig_assert_log(rig, "-10 +5 -11 ");
	rig_config_write(rig, DEVFN, PIRQRC, 0x0b00050a);
	rig_assert_log(rig, "");
	device_reset(rig->device);
	rig_assert_log(rig, "-5 ");
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/piix3/routing", test_routing);
	return g_test_run();
}
