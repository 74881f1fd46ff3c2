/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/nic/at93c46.h"

/* An instruction: start bit, two bits of opcode, six of address. */
enum {
	ADDR_BITS = 6,
	COMPLETE = 1 << (ADDR_BITS + 2), /* where the start bit of a whole one is */
	READ = 6,			 /* start bit and opcode */
};

void at93c46_reset(struct at93c46 *eeprom)
{
	eeprom->sk = false;
	eeprom->in = eeprom->out = 0;
	eeprom->data_out = true;
}

static void clock_in(struct at93c46 *eeprom, bool di)
{
	/* Zeros before the start bit are none. */
	eeprom->in = eeprom->in << 1 | di;
	if (eeprom->in >> ADDR_BITS == READ) {
		eeprom->out = 0;
		eeprom->data_out = false; /* the dummy bit */
	}
}

/* Highest bit first; the next address follows for as long as it is clocked. */
static void clock_out(struct at93c46 *eeprom)
{
	unsigned word = (eeprom->in + eeprom->out / 16) % AT93C46_WORDS;

	if (eeprom->in >> ADDR_BITS != READ)
		return;
	eeprom->data_out = eeprom->words[word] >> (15 - eeprom->out % 16) & 1;
	eeprom->out++;
}

void at93c46_set_pins(struct at93c46 *eeprom, bool cs, bool sk, bool di)
{
	bool rises = sk && !eeprom->sk;

	if (!cs)
		at93c46_reset(eeprom);
	eeprom->sk = sk;
	if (!cs || !rises)
		return;
	if (eeprom->in < COMPLETE)
		clock_in(eeprom, di);
	else
		clock_out(eeprom);
}
