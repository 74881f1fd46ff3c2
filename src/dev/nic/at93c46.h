/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial EEPROM of many network cards: AT93C46 of 64 words (Atmel 5140), on the three-wire bus
 * that drivers toggle pin by pin. It can be read; as long as nobody keeps its contents, erasing and
 * writing are taken as without EWEN: ignored.
 */
#ifndef VIV_DEV_NIC_AT93C46_H
#define VIV_DEV_NIC_AT93C46_H

#include "dev/device.h"

#define AT93C46_WORDS 64u

struct at93c46 {
	uint16_t words[AT93C46_WORDS]; /* filled by its owner's init */
	bool sk;
	uint16_t in;  /* what came since chip select: from the start bit on */
	uint16_t out; /* bits that a read has shown */
	bool data_out;
};

#define AT93C46_FIELDS(type, member)                                                               \
	STATE_FIELD(type, member.sk), STATE_FIELD(type, member.in), STATE_FIELD(type, member.out), \
		STATE_FIELD(type, member.data_out)

void at93c46_reset(struct at93c46 *eeprom);
/* Levels of the chip's inputs. Its output is data_out. */
void at93c46_set_pins(struct at93c46 *eeprom, bool cs, bool sk, bool di);

#endif
