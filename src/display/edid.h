/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a monitor says about itself (VESA E-EDID 1.4), for the devices that have a connector for
 * one. */
#ifndef VIV_DISPLAY_EDID_H
#define VIV_DISPLAY_EDID_H

#include <stdint.h>

#define EDID_SIZE 128

/* One that prefers `width` times `height` pixels at 60 Hz, each 640 to 4095. */
void edid_make(uint8_t edid[EDID_SIZE], unsigned width, unsigned height);

#endif
