/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programmable attribute map (82441FX data sheet 290549, 3.2.18; Q35 316966, 5.1.13): whether RAM or the bus, where
 * the firmware's ROM is, answers reads and writes of C0000h to FFFFFh. And SMRAM at A0000h to BFFFFh, which both host
 * bridges control by the same register (3.2.21; 5.1.17).
 *
 * A host bridge holds a struct pam and tells it of its registers, after every change, in reset and in post_load.
 */
#ifndef VIV_DEV_CHIPSET_PAM_H
#define VIV_DEV_CHIPSET_PAM_H

#include "dev/device.h"

#define PAM_REGS     7
#define PAM_SEGMENTS 13

enum {
	SMRAM_C_BASE_SEG = 0x02, /* always: A0000h */
	SMRAM_G_SMRAME = 0x08,
	SMRAM_D_LCK = 0x10,
	SMRAM_D_CLS = 0x20,
	SMRAM_D_OPEN = 0x40,
	SMRAM_WRITABLE = SMRAM_G_SMRAME | SMRAM_D_LCK | SMRAM_D_CLS | SMRAM_D_OPEN,
};

struct pam {
	struct device *device;
	struct mem_bank *rom;	     /* its last 128 KiB show at E0000h; NULL: none */
	uint8_t shown[PAM_SEGMENTS]; /* read and write enable of each; PAM_UNKNOWN at first */
};

bool pam_init(struct pam *pam, struct device *device, struct mem_bank *rom, GError **error);
/* The registers PAM0 to PAM6 as they are now. */
void pam_update(struct pam *pam, const uint8_t regs[PAM_REGS]);

/* The register's new value, as the old one lets it. */
uint8_t smram_written(uint8_t old, uint8_t value);
void smram_update(struct device *device, uint8_t reg);

#endif
