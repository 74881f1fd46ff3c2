/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device table: every class there is, one row each. */
#ifndef VIV_DEV_TABLE_H
#define VIV_DEV_TABLE_H

#include "dev/device.h"

#define DEVICES(X) X(i440fx)

#define DEVICE_DECLARE(name) extern const struct device_class name##_class;
DEVICES(DEVICE_DECLARE)
#undef DEVICE_DECLARE

extern const struct device_class *const device_table[]; /* ends with NULL */

#endif
