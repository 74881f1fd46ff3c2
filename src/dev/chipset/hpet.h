/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a board has to know of the HPET, for ACPI. */
#ifndef VIV_DEV_CHIPSET_HPET_H
#define VIV_DEV_CHIPSET_HPET_H

#define HPET_TIMERS 3
/* The low half of GCAP_ID: Intel, a 64-bit counter, revision 1. */
#define HPET_ID (0x80860000u | 1 << 13 | (HPET_TIMERS - 1) << 8 | 1)

#endif
