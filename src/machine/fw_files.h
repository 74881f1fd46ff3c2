/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What firmware is told of the machine: the items of fw_cfg. Seen in this folder only. */
#ifndef VIV_MACHINE_FW_FILES_H
#define VIV_MACHINE_FW_FILES_H

#include "machine/machine.h"

/* Sets machine->files, once all devices that can be booted from are there. */
void fw_files_build(struct machine *machine, const struct machine_config *config);
void fw_files_free(struct machine *machine);

#endif
