/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATAPI, the transport of a CD-ROM drive's packets: ATA8-ACS and SFF-8020i. What they mean is
 * SCSI's; of reads that is which sectors, which go to the host as a disk's do. Sense data is kept
 * until it is asked for.
 */
#include "base/be.h"
#include "dev/storage/storage_int.h"

enum {
	REQUEST_SENSE = 0x03,
	KEY_MEDIUM_ERROR = 0x3,
	KEY_ILLEGAL_REQUEST = 0x5,
	ASC_READ_ERROR = 0x1100
};

/* Status and interrupt reason at the end of a packet command. */
void atapi_end(struct ata_drive *drive)
{
	ata_end(drive);
	drive->regs.status = ATA_STATUS_DRDY;
	drive->regs.count = ATA_REASON_CD | ATA_REASON_IO;
}

static void fail(struct ata_drive *drive, uint8_t key, uint16_t asc)
{
	drive->sense_key = key;
	drive->sense_asc = asc;
	atapi_end(drive);
	drive->regs.status |= ATA_STATUS_ERR;
	drive->regs.error = key << 4 | (key == KEY_ILLEGAL_REQUEST ? ATA_ERROR_ABRT : 0);
}

void atapi_read_failed(struct ata_drive *drive)
{
	fail(drive, KEY_MEDIUM_ERROR, ASC_READ_ERROR);
}

void atapi_reset(struct ata_drive *drive)
{
	drive->unit.locked = false;
	drive->sense_key = drive->sense_asc = 0;
}

/* Bytes of a block at most: what the host wrote, made even. */
static uint32_t byte_count_limit(const struct ata_drive *drive)
{
	uint32_t limit = (drive->regs.lba[1] & 0xff) | (drive->regs.lba[2] & 0xff) << 8;

	return limit < 2 ? 0xfffe : limit & ~1u;
}

static bool is_dma(const struct ata_drive *drive)
{
	return drive->regs.feature & 1;
}

static void read_medium(struct scsi_command *command, uint64_t offset, uint64_t len)
{
	struct ata_drive *drive = command->opaque;

	ata_transfer(drive, offset / ATA_SECTOR, len / ATA_SECTOR, false, byte_count_limit(drive),
		     is_dma(drive));
}

static void reply(struct scsi_command *command, const uint8_t *data, size_t len)
{
	struct ata_drive *drive = command->opaque;

	memcpy(drive->buffer, data, len);
}

void atapi_run(struct ata_drive *drive)
{
	static const struct scsi_local local = {reply, read_medium};
	struct scsi_command command = {.unit = &drive->unit, .local = &local, .opaque = drive};
	bool keeps_sense = drive->sense_key;

	memcpy(command.cdb, drive->buffer, ATA_PACKET_SIZE);
	command.key = drive->sense_key;
	command.asc = drive->sense_asc;
	drive->sense_key = drive->sense_asc = 0;
	if (command.cdb[0] == REQUEST_SENSE && keeps_sense) {
		scsi_fill_sense(&command, drive->buffer);
		command.transferred = MIN(SCSI_SENSE_SIZE, command.cdb[4]);
	} else if (!scsi_start(&command)) {
		return;
	}
	if (command.status != SCSI_GOOD)
		fail(drive, command.key, command.asc);
	else if (command.transferred)
		ata_send_buffer(drive, command.transferred, byte_count_limit(drive), is_dma(drive));
	else
		atapi_end(drive);
}

/* Waits for the packet, without an interrupt, as word 0 of IDENTIFY PACKET DEVICE says. */
void atapi_start(struct ata_drive *drive)
{
	drive->len = drive->block_len = ATA_PACKET_SIZE;
	ata_set_phase(drive, ATA_PACKET);
	drive->regs.count = ATA_REASON_CD;
}

void atapi_identify(struct ata_drive *drive)
{
	uint16_t words[256] = {};

	ata_identify_words(drive, words, "Vivarium CD-ROM");
	words[0] = 0x85c0;  /* ATAPI, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
	words[82] = 0x4210; /* NOP, DEVICE RESET, PACKET */
	words[83] = 0x4000;
	words[84] = 0x4000;
	words[85] = 0x4210;
	words[87] = 0x4000;
	memcpy(drive->buffer, words, sizeof(words));
	ata_send_buffer(drive, ATA_SECTOR, ATA_SECTOR, false);
}
