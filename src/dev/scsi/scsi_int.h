/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between what all units have in common (scsi.c) and the two kinds of them. A row's function ends
 * the command or submits a request, and returns what the last of these functions did: whether it
 * has ended.
 */
#ifndef VIV_DEV_SCSI_SCSI_INT_H
#define VIV_DEV_SCSI_SCSI_INT_H

#include "base/be.h"
#include "dev/scsi/scsi.h"

/* SPC-4, table 48. */
enum {
	KEY_NOT_READY = 0x2,
	KEY_MEDIUM_ERROR = 0x3,
	KEY_ILLEGAL_REQUEST = 0x5,
	KEY_UNIT_ATTENTION = 0x6,
	KEY_DATA_PROTECT = 0x7,
};

enum {
	ASC_WRITE_ERROR = 0x0c00,
	ASC_READ_ERROR = 0x1100,
	ASC_PARAMETER_LENGTH = 0x1a00,
	ASC_INVALID_COMMAND = 0x2000,
	ASC_LBA_OUT_OF_RANGE = 0x2100,
	ASC_INVALID_FIELD = 0x2400,
	ASC_INVALID_PARAMETER = 0x2600,
	ASC_WRITE_PROTECTED = 0x2700,
	ASC_SAVING_NOT_SUPPORTED = 0x3900,
	ASC_NO_MEDIUM_TRAY_CLOSED = 0x3a01,
	ASC_NO_MEDIUM_TRAY_OPEN = 0x3a02,
	ASC_REMOVAL_PREVENTED = 0x5302,
};

enum {
	SCSI_NEEDS_MEDIUM = 1 << 0,
	SCSI_WRITES = 1 << 1,
	SCSI_NO_TELL = 1 << 2, /* carried out whatever attention is due: SPC-4, 5.14 */
};

struct scsi_row {
	uint8_t opcode, flags;
	bool (*run)(struct scsi_command *command);
};

/* The longest reply. */
#define SCSI_REPLY_MAX 256u

extern const struct scsi_row scsi_disk_rows[], scsi_cd_rows[]; /* end with a NULL run */

bool scsi_good(struct scsi_command *command);
bool scsi_fail(struct scsi_command *command, uint8_t key, uint16_t asc);
/* An illegal request for a field of the command. */
bool scsi_invalid(struct scsi_command *command);
/* The first bytes of a reply, as many as the command allows. */
bool scsi_reply(struct scsi_command *command, const uint8_t *data, size_t len, uint32_t allowed);
/* Carries out what command->io says, whose op, offset and len are set. */
bool scsi_submit(struct scsi_command *command);
/* READ and WRITE of any size, from the command's address and length on. */
bool scsi_read(struct scsi_command *command);
bool scsi_write(struct scsi_command *command);
bool scsi_read_blocks(struct scsi_command *command, uint64_t lba, uint64_t n);
/* The medium's blocks, in bytes, that the command names; false: it was ended, as they are not all there. */
bool scsi_get_range(struct scsi_command *command, uint64_t *offset, uint64_t *len);
/* Discards command->ranges. */
bool scsi_unmap_ranges(struct scsi_command *command);

static inline uint32_t scsi_block_size(const struct scsi_unit *unit)
{
	return unit->cdrom ? 2048 : BLOCK_SECTOR_SIZE;
}

static inline uint64_t scsi_blocks(const struct scsi_unit *unit)
{
	return block_size(unit->block) / scsi_block_size(unit);
}

static inline bool scsi_has_medium(const struct scsi_unit *unit)
{
	return unit->block && scsi_blocks(unit) && !unit->open;
}

/* Both kinds have these. */
bool scsi_test_unit_ready(struct scsi_command *command);
bool scsi_request_sense(struct scsi_command *command);
bool scsi_inquiry(struct scsi_command *command);
bool scsi_report_luns(struct scsi_command *command);
bool scsi_read_capacity(struct scsi_command *command);
bool scsi_mode_sense(struct scsi_command *command);

/* Mode pages of a kind, header and all: SPC-4, 7.5. */
struct scsi_mode_page {
	uint8_t code, len;
	uint8_t data[18];
};
extern const struct scsi_mode_page scsi_disk_pages[], scsi_cd_pages[]; /* end with a len of 0 */
/* Vital product data of disks; 0: no such page. Those of all units are scsi.c's. */
size_t scsi_disk_vital(const struct scsi_unit *unit, uint8_t page, uint8_t *data);

#define SCSI_COMMON_ROWS                                                                           \
	{0x00, SCSI_NEEDS_MEDIUM, scsi_test_unit_ready}, {0x03, SCSI_NO_TELL, scsi_request_sense}, \
		{0x08, SCSI_NEEDS_MEDIUM, scsi_read}, /* READ(6) */                                \
		{0x12, SCSI_NO_TELL, scsi_inquiry}, {0x1a, 0, scsi_mode_sense},                    \
		{0x25, SCSI_NEEDS_MEDIUM, scsi_read_capacity},                                     \
		{0x28, SCSI_NEEDS_MEDIUM, scsi_read}, /* READ(10) */                               \
		{0x5a, 0, scsi_mode_sense}, {0xa0, SCSI_NO_TELL, scsi_report_luns},                \
	{                                                                                          \
		0xa8, SCSI_NEEDS_MEDIUM, scsi_read                                                 \
	} /* READ(12) */

#endif
