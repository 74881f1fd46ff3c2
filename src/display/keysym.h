/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What VNC calls a key (an X keysym) as what Linux calls it (KEY_*), on a keyboard of the USA. */
#ifndef VIV_DISPLAY_KEYSYM_H
#define VIV_DISPLAY_KEYSYM_H

#include <stdint.h>

/* 0: no key. */
unsigned keysym_to_key(uint32_t keysym);

#endif
