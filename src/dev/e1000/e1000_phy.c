/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PHY: IEEE 802.3 22.2.4, and the 88E1011's own registers. */
#include "dev/e1000/e1000_int.h"

enum {
	PHY_CONTROL = 0,
	PHY_CONTROL_RESTART = 1 << 9,
	PHY_CONTROL_RESET = 1 << 15,
	PHY_STATUS = 1,
	PHY_STATUS_LINK = 1 << 2,
	PHY_STATUS_NEGOTIATED = 1 << 5,
	PHY_PARTNER = 5,
	PHY_EXPANSION = 6,
	PHY_1000T_STATUS = 10,
	PHY_SPECIFIC_STATUS = 17,
};

static const struct phy_row {
	uint16_t reset, writable;
} phy_rows[PHY_REGS] = {
	[PHY_CONTROL] = {0x1140, 0x7dc0}, /* 1000 Mb/s, full duplex, negotiates */
	[PHY_STATUS] = {0x7949},
	[2] = {0x0141}, /* identifier */
	[3] = {0x0c20},
	[4] = {0x0de1, 0xffff},	 /* advertisement */
	[7] = {0x2001, 0xffff},	 /* next page */
	[9] = {0x0300, 0xffff},	 /* 1000BASE-T control */
	[15] = {0x3000},	 /* extended status */
	[16] = {0x0068, 0xffff}, /* specific control */
	[18] = {0, 0xffff},	 /* interrupts that are never raised */
	[20] = {0x0d60, 0xffff}, /* extended specific control */
	[29] = {0, 0xffff},	 /* page of the next */
	[30] = {0, 0xffff},
};

void e1000_phy_reset(struct e1000 *nic)
{
	for (unsigned i = 0; i < PHY_REGS; i++)
		nic->phy[i] = phy_rows[i].reset;
}

/* A partner that can do all that we can, once there is one. */
uint16_t e1000_phy_read(const struct e1000 *nic, unsigned reg)
{
	static const uint16_t while_linked[PHY_REGS] = {
		[PHY_STATUS] = PHY_STATUS_LINK | PHY_STATUS_NEGOTIATED,
		[PHY_PARTNER] = 0x45e1,
		[PHY_EXPANSION] = 0x0001,
		[PHY_1000T_STATUS] = 0x3c00,
		[PHY_SPECIFIC_STATUS] = 0xac00, /* 1000 Mb/s, full duplex, resolved, link */
	};

	return nic->phy[reg] | (net_link(nic->net) ? while_linked[reg] : 0);
}

void e1000_phy_write(struct e1000 *nic, unsigned reg, uint16_t value)
{
	bool restarted = reg == PHY_CONTROL && value & (PHY_CONTROL_RESET | PHY_CONTROL_RESTART);

	if (reg == PHY_CONTROL && value & PHY_CONTROL_RESET)
		e1000_phy_reset(nic);
	else
		nic->phy[reg] = (nic->phy[reg] & ~phy_rows[reg].writable) |
				(value & phy_rows[reg].writable);
	/* Negotiated in no time. */
	if (restarted && net_link(nic->net))
		e1000_set_causes(nic, INT_LSC);
}
