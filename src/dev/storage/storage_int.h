/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the drive's data phases (ata.c) and what its commands mean (ata_command.c, atapi.c). A
 * command ends in exactly one of the functions from ata_end() on, or later by itself.
 */
#ifndef VIV_DEV_STORAGE_STORAGE_INT_H
#define VIV_DEV_STORAGE_STORAGE_INT_H

#include "dev/storage/ata.h"

enum {
	ATA_PACKET_COMMAND = 0xa0,
	ATA_DATA_SET_MANAGEMENT = 0x06,
};

/* The interrupt reason, in the count register of PACKET. */
enum { ATA_REASON_CD = 1, ATA_REASON_IO = 2 };

#define ATA_SECTOR BLOCK_SECTOR_SIZE

static inline uint64_t ata_disk_sectors(const struct ata_drive *drive)
{
	return drive->block ? block_size(drive->block) / ATA_SECTOR : 0;
}

void ata_signature(struct ata_drive *drive);
void ata_set_phase(struct ata_drive *drive, enum ata_phase phase);

void ata_end(struct ata_drive *drive);
void ata_fail(struct ata_drive *drive, uint8_t error);
/* The first `len` bytes of the buffer, to the host. */
void ata_send_buffer(struct ata_drive *drive, uint32_t len, uint32_t limit, bool dma);
/* `len` bytes into the buffer by DMA, then ata_buffer_received(). */
void ata_receive_buffer(struct ata_drive *drive, uint32_t len);
/* Sectors between disk and host, in blocks of up to `limit` bytes. */
void ata_transfer(struct ata_drive *drive, uint64_t sector, uint64_t n, bool write, uint32_t limit,
		  bool dma);
void ata_flush(struct ata_drive *drive);
/* Discards the ranges in the buffer, drive->len bytes of them, from `pos` on. */
void ata_trim(struct ata_drive *drive);

/* ata_command.c */
void ata_run_command(struct ata_drive *drive);
uint64_t ata_lba48(const struct ata_regs *regs);
void ata_set_address(struct ata_drive *drive, uint64_t sector);

/* atapi.c */
void atapi_identify(struct ata_drive *drive);
void atapi_start(struct ata_drive *drive); /* PACKET */
void atapi_run(struct ata_drive *drive);   /* the packet is in the buffer */
void atapi_end(struct ata_drive *drive);
void atapi_read_failed(struct ata_drive *drive);
void atapi_reset(struct ata_drive *drive);

/* ata_command.c: what IDENTIFY DEVICE and IDENTIFY PACKET DEVICE have in common. */
void ata_identify_words(struct ata_drive *drive, uint16_t *words, const char *model);
/* Pads with spaces. */
void ata_pad(uint8_t *to, size_t len, const char *from);

#endif
