/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI logical units, disks and CD-ROM drives, for any transport: a command descriptor block and
 * the guest's buffers in, status and sense out. SPC-4, SBC-3 and MMC-6.
 *
 * All under the lock of the unit's device. What reads and writes the medium ends later, on one of
 * its workers, which take that lock. The buffers are RAM, and of any size: a command that has too
 * little of them moves nothing.
 */
#ifndef VIV_DEV_SCSI_SCSI_H
#define VIV_DEV_SCSI_SCSI_H

#include "block/block.h"
#include "dev/device.h"
#include "mem/iov.h"

#define SCSI_CDB_SIZE	16u /* longer ones have no command here */
#define SCSI_SENSE_SIZE 18u

/* SAM-5, section 5.3. */
enum { SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02 };

/* Additional sense codes, with qualifier, of unit attentions. */
enum { SCSI_NO_ATTENTION = 0, SCSI_MEDIUM_CHANGED = 0x2800, SCSI_UNIT_RESET = 0x2903 };

struct scsi_unit {
	struct device *device;
	struct block *block; /* NULL: an empty drive */
	bool cdrom;
	char serial[20];
	uint16_t attention; /* the next command is told */
	/* A CD-ROM drive's: the tray, and the media event that nobody was told of. */
	bool open, locked;
	uint8_t event;
};

/* `member` is the struct scsi_unit in `type`. */
#define SCSI_UNIT_FIELDS(type, member)                                       \
	STATE_FIELD(type, member.attention), STATE_FIELD(type, member.open), \
		STATE_FIELD(type, member.locked), STATE_FIELD(type, member.event)

struct scsi_command;

/* A transport that moves the data by itself: in place of the guest's buffers. For CD-ROM drives, which are
 * not written to. */
struct scsi_local {
	/* Takes a copy. */
	void (*reply)(struct scsi_command *command, const uint8_t *data, size_t len);
	/* Reads the medium. The command has not ended, and is the transport's from now on. */
	void (*read)(struct scsi_command *command, uint64_t offset, uint64_t len);
};

struct scsi_command {
	/* The transport's. The vectors are changed. */
	struct scsi_unit *unit;
	uint8_t cdb[SCSI_CDB_SIZE];
	struct iovec *out, *in;
	unsigned n_out, n_in;
	const struct scsi_local *local; /* NULL: the vectors are used */
	void *opaque;
	void (*done)(struct scsi_command *command);

	/* How it ended. */
	bool overrun; /* the buffers are too small, and the rest of this says nothing */
	uint8_t status, key;
	uint16_t asc;	      /* with qualifier */
	uint64_t transferred; /* bytes of the buffers */

	/* While the medium works. */
	struct block_request io;
	bool flush_after;
	uint8_t *ranges; /* of UNMAP */
	unsigned n_ranges, next_range;
};

/* For init; `device` outlives the unit. `number` tells it from the device's others. */
void scsi_unit_init(struct scsi_unit *unit, struct device *device, const struct device_drive *drive,
		    unsigned devfn, unsigned number);
void scsi_unit_reset(struct scsi_unit *unit);
bool scsi_unit_check(const struct scsi_unit *unit);
/* As class->set_medium says. */
bool scsi_unit_set_medium(struct scsi_unit *unit, struct block *medium);

/* True: the command has ended. False: done() is called later, under the lock. */
bool scsi_start(struct scsi_command *command);
/* Sense data of a command that ended with a check condition, or of none, in fixed format:
 * SPC-4, 4.5.3. */
void scsi_fill_sense(const struct scsi_command *command, uint8_t sense[SCSI_SENSE_SIZE]);

#endif
