/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk or CD-ROM drive behind a host adapter (ATA8-ACS; MMC-6 for what a CD-ROM drive's packets
 * say): the meaning of its commands. The adapter moves registers, data and interrupts.
 *
 * A command: the adapter writes drive->regs and calls ata_command(). What the drive then waits for
 *is its phase:
 *
 *	ATA_IDLE      the command has ended, as status and error say
 *	ATA_BUSY      the disk works; ops->ready() tells of the next phase
 *	ATA_PACKET    a packet: the adapter puts it into ata_block() and calls ata_block_done()
 *	ATA_DATA_IN   the adapter takes ata_block() and calls ata_block_done()
 *	ATA_DATA_OUT  the adapter fills ata_block() and calls ata_block_done()
 *	ATA_DMA       the adapter tells by ata_dma() where in guest memory the data lies
 *
 * Each of these calls returns with the next phase. drive->intrq is INTRQ: the drive sets it, the
 *adapter clears it. Queued commands (NCQ) do not use the phase: ata_queue(), then ops->queued().
 *
 * Threads: all calls under the adapter's lock; ops are called under it, ready() and queued() also
 *on the disk's workers. A reset while the disk works ends once it does not: the drive stays
 *ATA_BUSY until then.
 *
 * The adapter drains a drive's block before it saves, loads or frees. Its state table holds
 * ATA_DRIVE_FIELDS and its check calls ata_drive_check().
 */
#ifndef VIV_DEV_STORAGE_ATA_H
#define VIV_DEV_STORAGE_ATA_H

#include "block/block.h"
#include "dev/device.h"
#include "dev/scsi/scsi.h"

#define ATA_MAX_QUEUE	32
#define ATA_BUFFER_SIZE 16384u /* 32 sectors of a disk, 8 of a CD */
#define ATA_PACKET_SIZE 12u
/* Pieces of guest memory for one request to the disk. As each has two bytes at least, they always
 * hold a sector. */
#define ATA_MAX_IOV 260u

enum {
	ATA_STATUS_ERR = 1 << 0, /* CHK of a CD-ROM drive */
	ATA_STATUS_DRQ = 1 << 3,
	ATA_STATUS_DSC = 1 << 4,
	ATA_STATUS_DF = 1 << 5,
	ATA_STATUS_DRDY = 1 << 6,
	ATA_STATUS_BSY = 1 << 7,
};

enum {
	ATA_ERROR_ABRT = 1 << 2,
	ATA_ERROR_IDNF = 1 << 4,
	ATA_ERROR_UNC = 1 << 6,
};

enum {
	ATA_DEVICE_DEV = 1 << 4,
	ATA_DEVICE_LBA = 1 << 6,
};

/* The task file. Registers of 48-bit commands have what was written before in their upper byte. */
struct ata_regs {
	uint16_t feature, count;
	uint16_t lba[3]; /* low, mid, high */
	uint8_t device, status, error;
};

enum ata_phase { ATA_IDLE, ATA_BUSY, ATA_PACKET, ATA_DATA_IN, ATA_DATA_OUT, ATA_DMA, ATA_N_PHASES };

/* A place in a table of pieces of guest memory, whose format is the adapter's. */
struct ata_sg {
	uint64_t table;	  /* gpa of the next entry */
	uint32_t entries; /* how many may follow */
	uint64_t gpa;	  /* what is left of the current one */
	uint32_t left;
};

struct ata_drive;

struct ata_ops {
	/* A phase has been reached that no call returned with, or a queued command has ended. */
	void (*ready)(struct ata_drive *drive);
	/* Moves to the next entry, of two bytes or more; false: there is none. */
	bool (*sg_next)(struct ata_drive *drive, struct ata_sg *sg);
	/* The table ended before the data, or `fault`, names what is not RAM: the command waits for
	 * another ata_dma() or a reset. */
	void (*sg_short)(struct ata_drive *drive, unsigned tag, bool fault);
	/* A queued command has ended, as status and error say. */
	void (*queued)(struct ata_drive *drive, unsigned tag);
};

/* What is under way with the disk, on behalf of one command. */
struct ata_request {
	struct ata_drive *drive;
	struct block_request io;
	void (*next)(struct ata_request *request, int error); /* goes on when it is done */
	bool busy;					      /* the disk has it */
	bool write, fua, queued;
	uint64_t sector, left; /* of 512 bytes */
	struct ata_sg sg;
	uint64_t moved; /* bytes to or from guest memory */
	struct iovec iov[ATA_MAX_IOV];
};

struct ata_drive {
	const struct ata_ops *ops;
	struct device *adapter;
	unsigned index; /* the adapter's */
	bool present, cdrom, sata;
	char serial[20];
	struct block *block; /* NULL: no disc in the drive */

	struct ata_regs regs;
	bool intrq;
	uint8_t command;
	uint8_t phase; /* enum ata_phase */

	/* What SET FEATURES and the like set. */
	uint8_t multiple, transfer_mode, heads, sectors;
	bool write_cache;

	/* The data phase. */
	bool buffered;	       /* all of the data is in the buffer; otherwise it is the disk's */
	bool writes;	       /* to the disk */
	uint64_t sector, left; /* what of the disk, in sectors of 512 bytes, is still to do */
	uint32_t limit;	       /* bytes of a block at most */
	uint32_t pos, block_len, len; /* the block, and what is in the buffer */
	uint8_t buffer[ATA_BUFFER_SIZE];

	uint8_t failed_tag; /* READ LOG EXT, page 10h: the queued command that failed last */
	struct ata_regs failed;

	struct scsi_unit unit; /* of a CD-ROM drive */
	uint8_t sense_key;     /* of the last packet that failed, until it is asked for */
	uint16_t sense_asc;

	/* While the disk works. */
	bool reset_pending;
	unsigned in_flight;
	struct ata_request *requests; /* by tag; all but queued commands use the first */
};

#define ATA_DRIVE_FIELDS(type, drive)                                                           \
	STATE_FIELD(type, drive.regs.feature), STATE_FIELD(type, drive.regs.count),             \
		STATE_FIELD(type, drive.regs.lba), STATE_FIELD(type, drive.regs.device),        \
		STATE_FIELD(type, drive.regs.status), STATE_FIELD(type, drive.regs.error),      \
		STATE_FIELD(type, drive.intrq), STATE_FIELD(type, drive.command),               \
		STATE_FIELD(type, drive.phase), STATE_FIELD(type, drive.multiple),              \
		STATE_FIELD(type, drive.transfer_mode), STATE_FIELD(type, drive.heads),         \
		STATE_FIELD(type, drive.sectors), STATE_FIELD(type, drive.write_cache),         \
		STATE_FIELD(type, drive.buffered), STATE_FIELD(type, drive.writes),             \
		STATE_FIELD(type, drive.sector), STATE_FIELD(type, drive.left),                 \
		STATE_FIELD(type, drive.limit), STATE_FIELD(type, drive.pos),                   \
		STATE_FIELD(type, drive.block_len), STATE_FIELD(type, drive.len),               \
		STATE_FIELD(type, drive.buffer), STATE_FIELD(type, drive.failed_tag),           \
		STATE_FIELD(type, drive.failed.count), STATE_FIELD(type, drive.failed.lba),     \
		STATE_FIELD(type, drive.failed.device), STATE_FIELD(type, drive.failed.status), \
		STATE_FIELD(type, drive.failed.error), STATE_FIELD(type, drive.sense_key),      \
		STATE_FIELD(type, drive.sense_asc), SCSI_UNIT_FIELDS(type, drive.unit)

/* For init; `adapter` and `ops` outlive the drive. It is config->drives[index], not present if that
 * names nothing. SATA drives take ATA_MAX_QUEUE commands at once. */
void ata_drive_init(struct ata_drive *drive, struct device *adapter, unsigned index,
		    const struct ata_ops *ops, const struct device_config *config, bool sata);
void ata_drive_fini(struct ata_drive *drive);
/* Power-on values. Nothing is in flight. */
void ata_drive_power_on(struct ata_drive *drive);
bool ata_drive_check(const struct ata_drive *drive);
/* As class->set_medium says. */
bool ata_drive_set_medium(struct ata_drive *drive, struct block *medium);
/* Waits for its disk, without the adapter's lock. */
void ata_drive_drain(struct ata_drive *drive);

/* SRST, COMRESET: ends what is under way and shows the signature. */
void ata_reset(struct ata_drive *drive);
void ata_command(struct ata_drive *drive, uint8_t command);
static inline uint8_t *ata_block(struct ata_drive *drive, uint32_t *len)
{
	*len = drive->block_len;
	return drive->buffer + drive->pos;
}
void ata_block_done(struct ata_drive *drive);
/* requests[0].moved counts the bytes, for queued commands requests[tag].moved. */
void ata_dma(struct ata_drive *drive, const struct ata_sg *sg);
/* No more memory, once what is in flight has ended. */
void ata_dma_stop(struct ata_drive *drive);
/* READ or WRITE FPDMA QUEUED, as regs say, while the drive is idle. False: it cannot be, or the tag
 * is not free, and the drive has aborted it as a command that is not queued. */
bool ata_queue(struct ata_drive *drive, uint8_t command, unsigned tag, const struct ata_sg *sg);
static inline bool ata_is_queued_command(uint8_t command)
{
	return command == 0x60 || command == 0x61;
}

#endif
