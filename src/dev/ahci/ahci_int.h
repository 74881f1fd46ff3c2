/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SATA function of an ICH9 (Intel 316972, chapters 15 and 16) in AHCI mode: Serial ATA
 * AHCI 1.3.1, six ports of a disk or CD-ROM drive; seen in this folder only. Section numbers are AHCI's.
 * ahci.c has the registers and resets, ahci_command.c the commands of a port.
 *
 * A slot is the drive's from the moment it is fetched: `slot`, a command that is not queued, or a
 * bit of PxSACT that is no longer in PxCI. An error stops the port until PxCMD.ST is cleared.
 */
#ifndef VIV_DEV_AHCI_AHCI_INT_H
#define VIV_DEV_AHCI_AHCI_INT_H

#include "dev/pci/pci.h"
#include "dev/storage/ata.h"

#define AHCI_PORTS   6
#define AHCI_SLOTS   ATA_MAX_QUEUE
#define AHCI_NO_SLOT 0xff

/* PxIS and PxCMD, section 3.3. */
enum {
	IS_DHRS = 1 << 0,  /* a register FIS */
	IS_PSS = 1 << 1,   /* a PIO setup FIS */
	IS_SDBS = 1 << 3,  /* a set device bits FIS */
	IS_PCS = 1 << 6,   /* SERR_DIAG_X */
	IS_PRCS = 1 << 22, /* SERR_DIAG_N */
	IS_OFS = 1 << 24,  /* more data than the PRD table takes */
	IS_IFS = 1 << 27,
	IS_HBFS = 1 << 29, /* what is not RAM */
	IS_TFES = 1 << 30, /* the drive's error bit */
	IS_WRITABLE = 0x7d8000af,
	IE_WRITABLE = 0x7dc000ff,
};

enum {
	CMD_ST = 1 << 0,
	CMD_SUD_POD = 3 << 1,
	CMD_CLO = 1 << 3,
	CMD_FRE = 1 << 4,
	CMD_CCS_SHIFT = 8,
	CMD_FR = 1 << 14,
	CMD_CR = 1 << 15,
	CMD_ATAPI = 1 << 24,
	CMD_WRITABLE = CMD_ST | CMD_FRE | CMD_ATAPI,
};

struct ahci_port {
	struct ahci *ahci;
	struct ata_drive drive;
	uint64_t clb, fb;
	uint32_t is, ie, cmd, sctl, serr, sact, ci;
	uint16_t tfd;
	uint8_t slot;
	bool halted; /* by an error */
	bool srst;   /* the drive is held in a soft reset */
	/* Of a command under way. */
	uint64_t table; /* gpa */
	struct ata_sg sg;
	uint32_t moved;	 /* by PIO */
	bool connecting; /* COMRESET waits for the disk */
};

struct ahci {
	struct pci_device pci;
	struct ahci_port ports[AHCI_PORTS];
	uint32_t ghc, is;
};

/* All under the device's lock. */

/* After a change of a port's causes or of what is enabled. */
void ahci_update_interrupt(struct ahci *ahci);
/* GHC.HR stays until all drives have answered. */
void ahci_update_resetting(struct ahci *ahci);

/* Goes on with the port's commands as far as the drive does. */
void ahci_run(struct ahci_port *port);
/* The drive's first FIS after a reset. */
void ahci_signature(struct ahci_port *port);
extern const struct ata_ops ahci_drive_ops;

#endif
