/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sector at a time goes through a private buffer: the disk's workers fill or write it, and DMA or
 * the processor moves it. Only the first one takes time, since drivers expect no answer before they
 * have finished to ask. The motor is taken to turn whenever something is asked of a drive.
 *
 * A reset cannot wait for a request in flight, which then finds itself `cancelled`; the next
 * command that needs the buffer is `waiting` for it.
 */
#include "dev/floppy/floppy_int.h"

#include <string.h>

#include "dev/isa/isa_dma.h"

#define ACCESS_NS   200000
#define ROTATION_NS 200000000 /* 300 a minute */

enum {
	FDC_DMA = 2,
	SIZE_512 = 2, /* sectors' size code */
	ID_LEN = 4,   /* cylinder, head, sector, size */

	ST1_END_OF_CYLINDER = 0x80,
	ST1_DATA_ERROR = 0x20,
	ST1_OVERRUN = 0x10,
	ST1_NO_DATA = 0x04,
	ST1_NOT_WRITABLE = 0x02,
	ST1_NO_ADDRESS_MARK = 0x01,
	ST2_DATA_ERROR = 0x20,
	ST2_WRONG_CYLINDER = 0x10,
};

static unsigned command_head(const struct i82077aa *fdc)
{
	return fdc->command[UNIT] & UNIT_HEAD ? 1 : 0;
}

static bool is_command(const struct i82077aa *fdc, unsigned opcode)
{
	return (fdc->command[0] & OPCODE) == opcode;
}

/* Of the commands that end with an interrupt: three statuses and a sector's ID. */
static void put_transfer_result(struct i82077aa *fdc, const uint8_t id[ID_LEN])
{
	uint8_t result[TRANSFER_RESULT];

	memcpy(result, fdc->status, 3);
	result[0] |= fdc->command[UNIT] & (UNIT_DRIVE | UNIT_HEAD);
	memcpy(result + 3, id, ID_LEN);
	fdc_put_result(fdc, result, sizeof(result));
	fdc_set_interrupt(fdc, true);
}

static void on_io_done(struct block_request *io, int status);

static void submit(struct i82077aa *fdc, enum block_op op, uint64_t offset, uint64_t len)
{
	fdc->iov = (struct iovec){fdc->data, len};
	fdc->io = (struct block_request){
		.op = op,
		.offset = offset,
		.len = len,
		.iov = &fdc->iov,
		.n_iov = 1,
		.done = on_io_done,
		.opaque = fdc,
	};
	fdc->in_flight = true;
	fdc->phase = PHASE_EXECUTION;
	block_submit(command_drive(fdc)->medium, &fdc->io);
}

/* There is no command to flush: what was written is safe when the driver hears of its end. */
static void finish(struct i82077aa *fdc, uint8_t st1, uint8_t st2)
{
	fdc->status[0] = st1 | st2 ? ST0_ABNORMAL : 0;
	fdc->status[1] = st1;
	fdc->status[2] = st2;
	if (fdc->unflushed && command_drive(fdc)->medium)
		submit(fdc, BLOCK_FLUSH, 0, 0);
	else
		put_transfer_result(fdc, fdc->command + CYLINDER);
}

/* The format of what the head finds on its track; NULL: it finds no sectors. */
static const struct floppy_format *find_track(struct i82077aa *fdc)
{
	const struct floppy_drive *drive = command_drive(fdc);
	const struct floppy_format *format = drive->format;

	if (!format || !(format->rates >> fdc->rate & 1) || !(fdc->command[0] & CMD_MFM) ||
	    drive->track >= format->tracks || command_head(fdc) >= format->heads)
		return NULL;
	return format;
}

/* Where the sector `id` lies; false: it is not there, or may not be written, and the command has
 * ended. */
static bool locate(struct i82077aa *fdc, const uint8_t id[ID_LEN], uint64_t *offset)
{
	const struct floppy_drive *drive = command_drive(fdc);
	const struct floppy_format *format = find_track(fdc);
	uint8_t cylinder = id[0], head = id[1], sector = id[2], size = id[3];

	if (!format) {
		finish(fdc, ST1_NO_ADDRESS_MARK, 0);
		return false;
	}
	if ((is_command(fdc, WRITE_DATA) || is_command(fdc, FORMAT_TRACK)) &&
	    block_read_only(drive->medium)) {
		finish(fdc, ST1_NOT_WRITABLE, 0);
		return false;
	}
	if (cylinder != drive->track) {
		finish(fdc, ST1_NO_DATA, ST2_WRONG_CYLINDER);
		return false;
	}
	if (head != command_head(fdc) || !sector || sector > format->sectors || size != SIZE_512) {
		finish(fdc, ST1_NO_DATA, 0);
		return false;
	}
	*offset = ((cylinder * format->heads + head) * format->sectors + sector - 1ull) *
		  BLOCK_SECTOR_SIZE;
	return true;
}

/* Makes the ID the next sector's (data sheet, table of result IDs); false: that was the last. */
static bool advance(struct i82077aa *fdc)
{
	uint8_t *c = fdc->command;

	if (c[SECTOR] != c[LAST_SECTOR]) {
		c[SECTOR]++;
		return true;
	}
	c[SECTOR] = 1;
	if (c[0] & CMD_MT) {
		c[HEAD] ^= 1;
		if (!(c[UNIT] & UNIT_HEAD)) {
			c[UNIT] |= UNIT_HEAD;
			return true;
		}
	}
	c[CYLINDER]++;
	return false;
}

static bool uses_dma(const struct i82077aa *fdc)
{
	return !(fdc->specify[1] & SPECIFY_NON_DMA);
}

static void wait_for_processor(struct i82077aa *fdc, enum phase phase, unsigned len)
{
	fdc->phase = phase;
	fdc->data_at = 0;
	fdc->data_len = len;
	fdc_set_interrupt(fdc, true);
}

/* `data` holds what is to be written: a sector, or the ID that one is to get. */
static void write_sector(struct i82077aa *fdc)
{
	uint8_t id[ID_LEN];
	uint64_t offset;

	memcpy(id, is_command(fdc, FORMAT_TRACK) ? fdc->data : fdc->command + CYLINDER, sizeof(id));
	if (!locate(fdc, id, &offset))
		return;
	if (is_command(fdc, FORMAT_TRACK))
		memset(fdc->data, fdc->command[FORMAT_FILL], sizeof(fdc->data));
	fdc->unflushed = true;
	submit(fdc, BLOCK_WRITE, offset, sizeof(fdc->data));
}

static void fetch(struct i82077aa *fdc, unsigned len)
{
	size_t n;

	fdc->terminal_count = false;
	if (!uses_dma(fdc)) {
		wait_for_processor(fdc, PHASE_WRITE, len);
		return;
	}
	n = isa_dma_from_memory(fdc->dma, FDC_DMA, fdc->data, len, &fdc->terminal_count);
	if (n < len && (!fdc->terminal_count || is_command(fdc, FORMAT_TRACK))) {
		finish(fdc, ST1_OVERRUN, 0);
		return;
	}
	/* What TC cuts off is written as zeros. */
	memset(fdc->data + n, 0, len - n);
	write_sector(fdc);
}

static void start_sector(struct i82077aa *fdc)
{
	uint64_t offset;

	if (is_command(fdc, FORMAT_TRACK))
		fetch(fdc, ID_LEN);
	else if (!locate(fdc, fdc->command + CYLINDER, &offset))
		return;
	else if (is_command(fdc, WRITE_DATA))
		fetch(fdc, sizeof(fdc->data));
	else
		submit(fdc, BLOCK_READ, offset, sizeof(fdc->data));
}

static void end_sector(struct i82077aa *fdc)
{
	bool more = is_command(fdc, FORMAT_TRACK) ? --fdc->command[FORMAT_SECTORS] : advance(fdc);

	if (fdc->terminal_count || (is_command(fdc, FORMAT_TRACK) && !more))
		finish(fdc, 0, 0);
	else if (!more)
		finish(fdc, ST1_END_OF_CYLINDER, 0);
	else
		start_sector(fdc);
}

/* A sector has been read into `data`. */
static void deliver(struct i82077aa *fdc)
{
	size_t n;

	fdc->terminal_count = false;
	if (!uses_dma(fdc)) {
		wait_for_processor(fdc, PHASE_READ, sizeof(fdc->data));
		return;
	}
	n = isa_dma_to_memory(fdc->dma, FDC_DMA, fdc->data, sizeof(fdc->data),
			      &fdc->terminal_count);
	if (n < sizeof(fdc->data) && !fdc->terminal_count)
		finish(fdc, ST1_OVERRUN, 0);
	else
		end_sector(fdc);
}

/* On a worker. */
static void on_io_done(struct block_request *io, int status)
{
	struct i82077aa *fdc = io->opaque;

	g_mutex_lock(&fdc->device.lock);
	fdc->in_flight = false;
	if (fdc->cancelled) {
		fdc->cancelled = false;
		if (fdc->waiting)
			transfer_on_timer(fdc);
	} else if (io->op == BLOCK_FLUSH) {
		fdc->unflushed = false;
		if (status)
			finish(fdc, ST1_DATA_ERROR, ST2_DATA_ERROR);
		else
			put_transfer_result(fdc, fdc->command + CYLINDER);
	} else if (status) {
		finish(fdc, ST1_DATA_ERROR, ST2_DATA_ERROR);
	} else if (io->op == BLOCK_READ) {
		deliver(fdc);
	} else {
		end_sector(fdc);
	}
	g_mutex_unlock(&fdc->device.lock);
}

static void read_id(struct i82077aa *fdc)
{
	const struct floppy_format *format = find_track(fdc);
	int64_t turn_ns = clock_now_ns(fdc->device.env->clock) % ROTATION_NS;
	uint8_t id[ID_LEN] = {0};

	fdc->status[0] = format ? 0 : ST0_ABNORMAL;
	fdc->status[1] = format ? 0 : ST1_NO_ADDRESS_MARK;
	fdc->status[2] = 0;
	if (format) {
		id[0] = command_drive(fdc)->track;
		id[1] = command_head(fdc);
		id[2] = turn_ns * format->sectors / ROTATION_NS + 1;
		id[3] = SIZE_512;
	}
	put_transfer_result(fdc, id);
}

/* The head is where the command wants it. */
void transfer_on_timer(void *opaque)
{
	struct i82077aa *fdc = opaque;

	fdc->access_ns = TIMER_NEVER;
	fdc->waiting = fdc->in_flight;
	if (fdc->waiting)
		return;
	if (is_command(fdc, READ_ID))
		read_id(fdc);
	else
		start_sector(fdc);
}

void transfer_run(struct i82077aa *fdc)
{
	if (fdc->config & CONFIG_IMPLIED_SEEK && !is_command(fdc, FORMAT_TRACK) &&
	    !is_command(fdc, READ_ID))
		command_drive(fdc)->track = fdc->command[CYLINDER];
	fdc->phase = PHASE_EXECUTION;
	fdc->access_ns = clock_now_ns(fdc->device.env->clock) + ACCESS_NS;
	timer_set(&fdc->access_timer, fdc->access_ns);
}

void transfer_write(struct i82077aa *fdc, uint8_t byte)
{
	fdc->data[fdc->data_at++] = byte;
	if (fdc->data_at < fdc->data_len)
		return;
	fdc_set_interrupt(fdc, false);
	write_sector(fdc);
}

uint8_t transfer_read(struct i82077aa *fdc)
{
	uint8_t byte = fdc->data[fdc->data_at++];

	if (fdc->data_at == fdc->data_len) {
		fdc_set_interrupt(fdc, false);
		end_sector(fdc);
	}
	return byte;
}

void transfer_cancel(struct i82077aa *fdc)
{
	fdc->cancelled = fdc->in_flight;
	fdc->waiting = fdc->unflushed = false;
	fdc->access_ns = TIMER_NEVER;
	timer_cancel(&fdc->access_timer);
}
