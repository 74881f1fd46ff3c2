/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Register accesses, DMA, time and input for one device of the table, DEVICE: steps for rig_drive(). A row of
 * `fuzz_devices` in meson.build makes it a target, dev_<name>.
 */
#include "dev/table.h"

#include "fuzz.h"
#include "rig.h"

#define CLASS(name) CLASS_(name)
#define CLASS_(name) name##_class

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rig *rig = rig_new_row(rig_row_of(&CLASS(DEVICE)));

	rig_drive(rig, data, len);
	rig_free(rig);
	return 0;
}
