/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/table.h"

#define DEVICE_ROW(name) &name##_class,
const struct device_class *const device_table[] = {DEVICES(DEVICE_ROW) NULL};
