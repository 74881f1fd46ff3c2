/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82077AA floppy disk controller in PC/AT mode: registers, and the commands that access no data.
 * The end of a seek comes a moment after the command, however long the way is.
 */
#include "dev/floppy/floppy_int.h"

#include <string.h>

#include "base/error.h"
#include "dev/table.h"

#define SEEK_NS 1000000

enum {
	FDC_BASE = 0x3f2,
	FDC_LEN = 4,
	FDC_DIR = 0x3f7, /* between them, 3F6h is the hard disk controller's */
	FDC_IRQ = 6,

	REG_DOR = 0, /* offsets from FDC_BASE */
	REG_TDR = 1,
	REG_MSR_DSR = 2,
	REG_FIFO = 3,

	DOR_SELECT = 0x03,
	DOR_NOT_RESET = 0x04,
	DOR_DMA_GATE = 0x08,
	DOR_MOTOR_A = 0x10,
	TDR_SELECT = 0x03,
	MSR_BUSY = 0x10,
	MSR_NON_DMA = 0x20,
	MSR_DIO = 0x40, /* set: to the processor */
	MSR_RQM = 0x80,
	DSR_RATE = 0x03,
	DSR_RESET = 0x80,
	DIR_CHANGED = 0x80,

	CMD_LOCK = 0x80,
	CONFIG_POLL_OFF = 0x10,
	CONFIG_FIFO_OFF = 0x20,
	ST0_DRIVE_CHANGED = 0xc0, /* by polling, after a reset */
	ST0_INVALID = 0x80,
	ST0_SEEK_END = 0x20,
	ST0_EQUIPMENT = 0x10, /* no track 0 was found */
	ST3_ALWAYS = 0x28,
	ST3_TRACK_0 = 0x10,
	ST3_PROTECTED = 0x40,
	VERSION_82077AA = 0x90,
};

void fdc_set_interrupt(struct i82077aa *fdc, bool on)
{
	fdc->interrupt = on;
	irq_line_set(&fdc->irq, on && fdc->dor & DOR_DMA_GATE);
}

static void end_command(struct i82077aa *fdc)
{
	fdc->phase = PHASE_COMMAND;
	fdc->n_command = 0;
}

void fdc_put_result(struct i82077aa *fdc, const uint8_t *bytes, unsigned n)
{
	memcpy(fdc->result, bytes, n);
	fdc->n_result = n;
	fdc->result_at = 0;
	fdc->phase = PHASE_RESULT;
}

static void on_seek_timer(void *opaque)
{
	struct i82077aa *fdc = opaque;

	fdc->seek_ns = TIMER_NEVER;
	for (unsigned i = 0; i < FLOPPY_DRIVES; i++) {
		struct floppy_drive *drive = &fdc->drives[i];

		if (!drive->seeking)
			continue;
		/* Stepping tells the drive that its new disk has been noticed. */
		if (drive->medium && drive->seek_target != drive->track)
			drive->changed = false;
		drive->track = drive->seek_target;
		drive->seeking = false;
		drive->seek_ended = true;
	}
	fdc_set_interrupt(fdc, true);
}

static void seek(struct i82077aa *fdc, uint8_t target, uint8_t status)
{
	struct floppy_drive *drive = command_drive(fdc);

	drive->seeking = true;
	drive->seek_ended = false;
	drive->seek_target = target;
	drive->seek_status = status | (fdc->command[UNIT] & (UNIT_DRIVE | UNIT_HEAD));
	if (fdc->seek_ns == TIMER_NEVER) {
		fdc->seek_ns = clock_now_ns(fdc->device.env->clock) + SEEK_NS;
		timer_set(&fdc->seek_timer, fdc->seek_ns);
	}
	end_command(fdc);
}

static void run_seek(struct i82077aa *fdc)
{
	seek(fdc, fdc->command[2], ST0_SEEK_END);
}

static void run_recalibrate(struct i82077aa *fdc)
{
	fdc->command[UNIT] &= UNIT_DRIVE;
	seek(fdc, 0,
	     command_drive(fdc)->present ? ST0_SEEK_END
					 : ST0_SEEK_END | ST0_EQUIPMENT | ST0_ABNORMAL);
}

static void run_sense_interrupt(struct i82077aa *fdc)
{
	bool more = false, found = false;
	uint8_t result[2] = {ST0_INVALID};

	fdc_set_interrupt(fdc, false);
	if (fdc->reset_statuses) {
		unsigned i = FLOPPY_DRIVES - fdc->reset_statuses--;

		fdc_put_result(fdc, (uint8_t[]){ST0_DRIVE_CHANGED | i, fdc->drives[i].track}, 2);
		return;
	}
	for (unsigned i = 0; i < FLOPPY_DRIVES; i++) {
		struct floppy_drive *drive = &fdc->drives[i];

		if (!drive->seek_ended)
			continue;
		more = found;
		if (found)
			break;
		found = true;
		drive->seek_ended = false;
		result[0] = drive->seek_status;
		result[1] = drive->track;
	}
	fdc_put_result(fdc, result, found ? 2 : 1);
	/* Another drive's end of a seek. */
	if (more)
		fdc_set_interrupt(fdc, true);
}

static void run_sense_drive(struct i82077aa *fdc)
{
	const struct floppy_drive *drive = command_drive(fdc);
	uint8_t st3 = ST3_ALWAYS | (fdc->command[UNIT] & (UNIT_DRIVE | UNIT_HEAD));

	if (drive->present && !drive->track)
		st3 |= ST3_TRACK_0;
	if (drive->medium && block_read_only(drive->medium))
		st3 |= ST3_PROTECTED;
	fdc_put_result(fdc, &st3, 1);
}

static void run_specify(struct i82077aa *fdc)
{
	memcpy(fdc->specify, fdc->command + 1, sizeof(fdc->specify));
	end_command(fdc);
}

static void run_configure(struct i82077aa *fdc)
{
	fdc->config = fdc->command[2];
	fdc->pretrack = fdc->command[3];
	end_command(fdc);
}

static void run_perpendicular(struct i82077aa *fdc)
{
	fdc->perpendicular = fdc->command[1] & 0x3f;
	end_command(fdc);
}

static void run_lock(struct i82077aa *fdc)
{
	fdc->locked = fdc->command[0] & CMD_LOCK;
	fdc_put_result(fdc, (uint8_t[]){fdc->locked << 4}, 1);
}

static void run_version(struct i82077aa *fdc)
{
	fdc_put_result(fdc, (uint8_t[]){VERSION_82077AA}, 1);
}

static void run_dump(struct i82077aa *fdc)
{
	const uint8_t result[MAX_RESULT] = {
		fdc->drives[0].track,
		fdc->drives[1].track,
		fdc->drives[2].track,
		fdc->drives[3].track,
		fdc->specify[0],
		fdc->specify[1],
		fdc->command[LAST_SECTOR],
		fdc->locked << 7 | fdc->perpendicular,
		fdc->config,
		fdc->pretrack,
	};

	fdc_put_result(fdc, result, sizeof(result));
}

static void run_invalid(struct i82077aa *fdc)
{
	fdc_put_result(fdc, (uint8_t[]){ST0_INVALID}, 1);
}

/* Table 5-1; the last row takes what no other has. */
static const struct command {
	uint8_t mask, code, len;
	void (*run)(struct i82077aa *fdc);
} commands[] = {
	{0x1f, READ_DATA, 9, transfer_run},   {0x3f, WRITE_DATA, 9, transfer_run},
	{0xbf, READ_ID, 2, transfer_run},     {0xbf, FORMAT_TRACK, 6, transfer_run},
	{0xff, 0x07, 2, run_recalibrate},     {0xff, 0x0f, 3, run_seek},
	{0xff, 0x08, 1, run_sense_interrupt}, {0xff, 0x04, 2, run_sense_drive},
	{0xff, 0x03, 3, run_specify},	      {0xff, 0x13, 4, run_configure},
	{0xff, 0x12, 2, run_perpendicular},   {0x7f, 0x14, 1, run_lock},
	{0xff, 0x10, 1, run_version},	      {0xff, 0x0e, 1, run_dump},
	{0x00, 0x00, 1, run_invalid},
};

static const struct command *find_command(uint8_t byte)
{
	const struct command *c = commands;

	while ((byte & c->mask) != c->code)
		c++;
	return c;
}

static void write_command(struct i82077aa *fdc, uint8_t byte)
{
	const struct command *c;

	fdc->command[fdc->n_command++] = byte;
	c = find_command(fdc->command[0]);
	if (fdc->n_command == c->len)
		c->run(fdc);
}

static uint8_t read_result(struct i82077aa *fdc)
{
	uint8_t byte = fdc->result[fdc->result_at++];

	/* Not the interrupt of a seek: that waits for SENSE INTERRUPT STATUS. */
	if (fdc->n_result == TRANSFER_RESULT)
		fdc_set_interrupt(fdc, false);
	if (fdc->result_at == fdc->n_result)
		end_command(fdc);
	return byte;
}

/* Everything that DOR and DSR reset; LOCK keeps what CONFIGURE has set. */
static void enter_reset(struct i82077aa *fdc)
{
	transfer_cancel(fdc);
	fdc->seek_ns = TIMER_NEVER;
	timer_cancel(&fdc->seek_timer);
	for (unsigned i = 0; i < FLOPPY_DRIVES; i++)
		fdc->drives[i].seeking = fdc->drives[i].seek_ended = false;
	if (!fdc->locked) {
		fdc->config = CONFIG_FIFO_OFF;
		fdc->pretrack = 0;
	}
	fdc->reset_statuses = 0;
	end_command(fdc);
	fdc_set_interrupt(fdc, false);
}

static void leave_reset(struct i82077aa *fdc)
{
	if (fdc->config & CONFIG_POLL_OFF)
		return;
	fdc->reset_statuses = FLOPPY_DRIVES;
	fdc_set_interrupt(fdc, true);
}

static void write_dor(struct i82077aa *fdc, uint8_t value)
{
	uint8_t was = fdc->dor;

	fdc->dor = value;
	if (was & ~value & DOR_NOT_RESET)
		enter_reset(fdc);
	else if (value & ~was & DOR_NOT_RESET)
		leave_reset(fdc);
	else
		fdc_set_interrupt(fdc, fdc->interrupt);
}

static void write_dsr(struct i82077aa *fdc, uint8_t value)
{
	fdc->rate = value & DSR_RATE;
	if (!(value & DSR_RESET) || !(fdc->dor & DOR_NOT_RESET))
		return;
	enter_reset(fdc);
	leave_reset(fdc);
}

static uint8_t read_msr(const struct i82077aa *fdc)
{
	static const uint8_t of_phase[N_PHASES] = {
		[PHASE_COMMAND] = MSR_RQM,
		[PHASE_EXECUTION] = MSR_BUSY,
		[PHASE_READ] = MSR_RQM | MSR_DIO | MSR_NON_DMA | MSR_BUSY,
		[PHASE_WRITE] = MSR_RQM | MSR_NON_DMA | MSR_BUSY,
		[PHASE_RESULT] = MSR_RQM | MSR_DIO | MSR_BUSY,
	};
	uint8_t value = of_phase[fdc->phase] | (fdc->n_command ? MSR_BUSY : 0);

	if (!(fdc->dor & DOR_NOT_RESET))
		return 0;
	for (unsigned i = 0; i < FLOPPY_DRIVES; i++)
		value |= fdc->drives[i].seeking << i;
	return value;
}

static void write_fifo(struct i82077aa *fdc, uint8_t byte)
{
	if (!(fdc->dor & DOR_NOT_RESET))
		return;
	if (fdc->phase == PHASE_COMMAND)
		write_command(fdc, byte);
	else if (fdc->phase == PHASE_WRITE)
		transfer_write(fdc, byte);
}

static uint8_t read_fifo(struct i82077aa *fdc)
{
	if (fdc->phase == PHASE_READ)
		return transfer_read(fdc);
	if (fdc->phase == PHASE_RESULT)
		return read_result(fdc);
	return 0;
}

static uint64_t fdc_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i82077aa *fdc = opaque;

	switch (offset) {
	case REG_DOR:
		return fdc->dor;
	case REG_TDR:
		return fdc->tdr;
	case REG_MSR_DSR:
		return read_msr(fdc);
	default:
		return read_fifo(fdc);
	}
}

static void fdc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i82077aa *fdc = opaque;

	switch (offset) {
	case REG_DOR:
		write_dor(fdc, value);
		break;
	case REG_TDR:
		fdc->tdr = value & TDR_SELECT;
		break;
	case REG_MSR_DSR:
		write_dsr(fdc, value);
		break;
	default:
		write_fifo(fdc, value);
		break;
	}
}

/* The selected drive says whether its disk was changed; the other bits are the hard disk's. */
static uint64_t dir_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i82077aa *fdc = opaque;
	unsigned i = fdc->dor & DOR_SELECT;

	return fdc->dor & DOR_MOTOR_A << i && fdc->drives[i].changed ? DIR_CHANGED : 0;
}

static void ccr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	((struct i82077aa *)opaque)->rate = value & DSR_RATE;
}

static const struct bus_ops fdc_ops = {fdc_read, fdc_write, 1, 1};
static const struct bus_ops dir_ops = {dir_read, ccr_write, 1, 1};

static bool i82077aa_init(struct device *device, const struct device_config *config, GError **error)
{
	struct i82077aa *fdc = (struct i82077aa *)device;

	g_assert(device->env->isa_dma && config->n_drives <= FLOPPY_DRIVES);
	fdc->dma = device->env->isa_dma;
	irq_line_init(&fdc->irq, device->env->bus, FDC_IRQ);
	timer_init(&fdc->seek_timer, device->env->clock, &device->lock, on_seek_timer, fdc);
	timer_init(&fdc->access_timer, device->env->clock, &device->lock, transfer_on_timer, fdc);
	for (unsigned i = 0; i < config->n_drives; i++) {
		struct floppy_drive *drive = &fdc->drives[i];

		drive->present = true;
		drive->medium = config->drives[i].block;
		drive->format = floppy_format_of(drive->medium);
		if (drive->medium && !drive->format) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
				    "floppy drive %c: an image of %" G_GINT64_MODIFIER
				    "u bytes is more than a floppy disk holds; use one of 2.88 MB "
				    "at most",
				    'A' + i, block_size(drive->medium));
			return false;
		}
	}
	return device_map(device, BUS_PIO, FDC_BASE, FDC_LEN, &fdc_ops, error) &&
	       device_map(device, BUS_PIO, FDC_DIR, 1, &dir_ops, error);
}

static void i82077aa_reset(struct device *device)
{
	struct i82077aa *fdc = (struct i82077aa *)device;

	fdc->dor = fdc->tdr = 0;
	fdc->rate = RATE_250;
	memset(fdc->specify, 0, sizeof(fdc->specify));
	memset(fdc->command, 0, sizeof(fdc->command));
	fdc->perpendicular = 0;
	fdc->locked = false;
	enter_reset(fdc);
	for (unsigned i = 0; i < FLOPPY_DRIVES; i++) {
		fdc->drives[i].track = 0;
		fdc->drives[i].changed = fdc->drives[i].present;
	}
}

static void i82077aa_drain(struct device *device)
{
	struct i82077aa *fdc = (struct i82077aa *)device;
	bool idle;

	/* What ends on one disk can start what waits for another. */
	do {
		for (unsigned i = 0; i < FLOPPY_DRIVES; i++) {
			if (fdc->drives[i].medium)
				block_drain(fdc->drives[i].medium);
		}
		g_mutex_lock(&device->lock);
		idle = !fdc->in_flight;
		g_mutex_unlock(&device->lock);
	} while (!idle);
}

static bool i82077aa_set_medium(struct device *device, unsigned index, struct block *medium)
{
	struct i82077aa *fdc = (struct i82077aa *)device;

	if (index >= FLOPPY_DRIVES || !fdc->drives[index].present)
		return false;
	fdc->drives[index].medium = medium;
	fdc->drives[index].format = floppy_format_of(medium);
	fdc->drives[index].changed = true;
	return true;
}

static void i82077aa_post_load(struct device *device)
{
	struct i82077aa *fdc = (struct i82077aa *)device;

	fdc_set_interrupt(fdc, fdc->interrupt);
	timer_set(&fdc->seek_timer, fdc->seek_ns);
	timer_set(&fdc->access_timer, fdc->access_ns);
}

static void i82077aa_fini(struct device *device)
{
	struct i82077aa *fdc = (struct i82077aa *)device;

	timer_fini(&fdc->seek_timer);
	timer_fini(&fdc->access_timer);
	if (fdc->irq.bus)
		fdc_set_interrupt(fdc, false);
}

static bool i82077aa_check(const void *object)
{
	const struct i82077aa *fdc = object;
	const struct command *c = find_command(fdc->command[0]);
	bool complete = fdc->n_command == c->len;

	if (fdc->phase >= N_PHASES || fdc->rate > DSR_RATE || fdc->reset_statuses > FLOPPY_DRIVES)
		return false;
	switch (fdc->phase) {
	case PHASE_COMMAND:
		return fdc->n_command < c->len && fdc->access_ns == TIMER_NEVER;
	case PHASE_EXECUTION:
		return complete && c->run == transfer_run && fdc->access_ns != TIMER_NEVER;
	case PHASE_READ:
	case PHASE_WRITE:
		return complete && c->run == transfer_run && fdc->access_ns == TIMER_NEVER &&
		       fdc->data_len <= sizeof(fdc->data) && fdc->data_at < fdc->data_len;
	default:
		return complete && fdc->access_ns == TIMER_NEVER && fdc->n_result <= MAX_RESULT &&
		       fdc->result_at < fdc->n_result;
	}
}

#define FIELD(member) STATE_FIELD(struct i82077aa, member)
#define DRIVE_FIELDS(i)                                                             \
	FIELD(drives[i].changed), FIELD(drives[i].track), FIELD(drives[i].seeking), \
		FIELD(drives[i].seek_ended), FIELD(drives[i].seek_target),          \
		FIELD(drives[i].seek_status)

static const struct state_field i82077aa_fields[] = {
	DRIVE_FIELDS(0),  DRIVE_FIELDS(1),	 DRIVE_FIELDS(2),
	DRIVE_FIELDS(3),  FIELD(interrupt),	 FIELD(dor),
	FIELD(tdr),	  FIELD(rate),		 FIELD(specify),
	FIELD(config),	  FIELD(pretrack),	 FIELD(perpendicular),
	FIELD(locked),	  FIELD(reset_statuses), FIELD(phase),
	FIELD(command),	  FIELD(n_command),	 FIELD(result),
	FIELD(n_result),  FIELD(result_at),	 FIELD(data),
	FIELD(data_at),	  FIELD(data_len),	 FIELD(terminal_count),
	FIELD(unflushed), FIELD(seek_ns),	 FIELD(access_ns),
};

static const struct state_table i82077aa_state = {
	.name = "i82077aa",
	.version = 1,
	.object_size = sizeof(struct i82077aa),
	.fields = i82077aa_fields,
	.n_fields = G_N_ELEMENTS(i82077aa_fields),
	.check = i82077aa_check,
};

const struct device_class i82077aa_class = {
	.name = "i82077aa",
	.document = "Intel 82077AA data sheet (290166)",
	.size = sizeof(struct i82077aa),
	.state = &i82077aa_state,
	.init = i82077aa_init,
	.reset = i82077aa_reset,
	.post_load = i82077aa_post_load,
	.fini = i82077aa_fini,
	.drain = i82077aa_drain,
	.set_medium = i82077aa_set_medium,
};
