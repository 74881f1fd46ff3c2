/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the floppy disk controller: registers and commands in i82077aa.c, what moves
 * data in transfer.c. */
#ifndef VIV_DEV_FLOPPY_FLOPPY_INT_H
#define VIV_DEV_FLOPPY_FLOPPY_INT_H

#include "dev/device.h"
#include "dev/floppy/format.h"

enum {
	FLOPPY_DRIVES = 4,
	MAX_COMMAND = 9,
	MAX_RESULT = 10,

	/* Commands that access the disk: bits 0 to 4 of the first byte, and others of it. */
	OPCODE = 0x1f,
	WRITE_DATA = 0x05,
	READ_DATA = 0x06,
	READ_ID = 0x0a,
	FORMAT_TRACK = 0x0d,
	CMD_MT = 0x80,
	CMD_MFM = 0x40,
	UNIT_DRIVE = 0x03, /* second byte */
	UNIT_HEAD = 0x04,

	/* The bytes of READ DATA and WRITE DATA, and of FORMAT TRACK. */
	UNIT = 1,
	CYLINDER = 2,
	HEAD = 3,
	SECTOR = 4,
	LAST_SECTOR = 6,
	FORMAT_SECTORS = 3,
	FORMAT_FILL = 5,

	SPECIFY_NON_DMA = 0x01, /* second parameter */
	CONFIG_IMPLIED_SEEK = 0x40,
	ST0_ABNORMAL = 0x40,
	TRANSFER_RESULT = 7, /* bytes: three statuses and a sector's ID */
};

enum phase { PHASE_COMMAND, PHASE_EXECUTION, PHASE_READ, PHASE_WRITE, PHASE_RESULT, N_PHASES };

struct floppy_drive {
	bool present;
	struct block *medium;		    /* not owned */
	const struct floppy_format *format; /* the medium's; NULL: none, or none that fits */
	bool changed;
	uint8_t track;
	bool seeking, seek_ended;
	uint8_t seek_target, seek_status; /* ST0 at its end */
};

struct i82077aa {
	struct device device;
	struct isa_dma *dma;
	struct irq_line irq;
	struct timer seek_timer, access_timer;
	struct floppy_drive drives[FLOPPY_DRIVES];
	bool interrupt;
	uint8_t dor, tdr, rate;
	uint8_t specify[2], config, pretrack, perpendicular;
	bool locked;
	uint8_t reset_statuses; /* that SENSE INTERRUPT STATUS is still to give */
	uint8_t phase;
	uint8_t command[MAX_COMMAND], n_command;
	uint8_t result[MAX_RESULT], n_result, result_at;
	uint8_t status[3]; /* ST0 to ST2 that a data transfer ends with */
	uint8_t data[BLOCK_SECTOR_SIZE];
	uint16_t data_at, data_len; /* in PHASE_READ and PHASE_WRITE */
	bool terminal_count;	    /* came with the sector in `data` */
	bool unflushed;
	int64_t seek_ns, access_ns; /* TIMER_NEVER: not awaited */
	struct block_request io;
	struct iovec iov;
	/* Not saved: nothing is in flight then. */
	bool in_flight, cancelled, waiting;
};

/* Of the command that is executed. */
static inline struct floppy_drive *command_drive(struct i82077aa *fdc)
{
	return &fdc->drives[fdc->command[UNIT] & UNIT_DRIVE];
}

void fdc_set_interrupt(struct i82077aa *fdc, bool on);
void fdc_put_result(struct i82077aa *fdc, const uint8_t *bytes, unsigned n);

/* READ DATA, WRITE DATA, READ ID, FORMAT TRACK: to the result phase, by way of the others. */
void transfer_run(struct i82077aa *fdc);
/* The processor's bytes in PHASE_READ and PHASE_WRITE. */
uint8_t transfer_read(struct i82077aa *fdc);
void transfer_write(struct i82077aa *fdc, uint8_t byte);
void transfer_cancel(struct i82077aa *fdc);
void transfer_on_timer(void *opaque);

#endif
