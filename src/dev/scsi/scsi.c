/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/scsi/scsi.h"

#include "dev/pci/pci.h"
#include "dev/scsi/scsi_int.h"

enum { TYPE_DISK = 0x00, TYPE_CDROM = 0x05 };
enum { REMOVABLE = 0x80, VERSION_SPC3 = 5, RESPONSE_FORMAT = 2, COMMAND_QUEUING = 2 };

static struct mem *guest_mem(const struct scsi_command *command)
{
	return command->unit->device->env->mem;
}

bool scsi_good(struct scsi_command *command)
{
	command->status = SCSI_GOOD;
	return true;
}

bool scsi_fail(struct scsi_command *command, uint8_t key, uint16_t asc)
{
	command->status = SCSI_CHECK_CONDITION;
	command->key = key;
	command->asc = asc;
	return true;
}

bool scsi_invalid(struct scsi_command *command)
{
	return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

static bool overrun(struct scsi_command *command)
{
	command->overrun = true;
	return true;
}

bool scsi_reply(struct scsi_command *command, const uint8_t *data, size_t len, uint32_t allowed)
{
	len = MIN(len, allowed);
	if (command->local) {
		command->local->reply(command, data, len);
	} else {
		if (len > iov_len(command->in, command->n_in))
			return overrun(command);
		iov_write(guest_mem(command), command->in, command->n_in, data, len);
	}
	command->transferred = len;
	return scsi_good(command);
}

void scsi_fill_sense(const struct scsi_command *command, uint8_t sense[SCSI_SENSE_SIZE])
{
	memset(sense, 0, SCSI_SENSE_SIZE);
	sense[0] = 0x70; /* current */
	sense[2] = command->key;
	sense[7] = SCSI_SENSE_SIZE - 8;
	be16_store(sense + 12, command->asc);
}

static uint16_t io_error(enum block_op op)
{
	return op == BLOCK_READ ? ASC_READ_ERROR : ASC_WRITE_ERROR;
}

/* The next request of a command that needs more than one; false: there is none. */
static bool go_on(struct scsi_command *command)
{
	if (command->ranges)
		return !scsi_unmap_ranges(command);
	if (!command->flush_after)
		return false;
	command->flush_after = false;
	command->io.op = BLOCK_FLUSH;
	return !scsi_submit(command);
}

/* On a worker. */
static void io_done(struct block_request *io, int error)
{
	struct scsi_command *command = io->opaque;
	struct device *device = command->unit->device;

	trace_blk_done(device->env->trace, TRACE_NO_VCPU, io->op, io->offset, error);
	if (io->op == BLOCK_READ) /* also of a read that failed half-way */
		iov_written(guest_mem(command), io->iov, io->n_iov);
	g_mutex_lock(&device->lock);
	if (error || !go_on(command)) {
		if (error)
			scsi_fail(command, KEY_MEDIUM_ERROR, io_error(io->op));
		else
			scsi_good(command);
		g_clear_pointer(&command->ranges, g_free);
		command->done(command);
	}
	g_mutex_unlock(&device->lock);
}

bool scsi_submit(struct scsi_command *command)
{
	struct block_request *io = &command->io;

	io->done = io_done;
	io->opaque = command;
	trace_blk_request(command->unit->device->env->trace, TRACE_NO_VCPU, io->op, io->offset,
			  io->len);
	block_submit(command->unit->block, io);
	return false;
}

/* Address and number of blocks, where the groups of operation codes have them: SPC-4, 4.2.5. */
static void get_address(const uint8_t *cdb, uint64_t *lba, uint64_t *n)
{
	switch (cdb[0] >> 5) {
	case 0: /* 6 bytes; no blocks are 256 */
		*lba = be32_load(cdb) & 0x1fffff;
		*n = cdb[4] ? cdb[4] : 256;
		break;
	case 4: /* 16 bytes */
		*lba = be64_load(cdb + 2);
		*n = be32_load(cdb + 10);
		break;
	case 5: /* 12 bytes */
		*lba = be32_load(cdb + 2);
		*n = be32_load(cdb + 6);
		break;
	default:
		*lba = be32_load(cdb + 2);
		*n = be16_load(cdb + 7);
		break;
	}
}

static bool in_range(struct scsi_command *command, uint64_t lba, uint64_t n)
{
	uint64_t blocks = scsi_blocks(command->unit);

	if (lba <= blocks && n <= blocks - lba)
		return true;
	scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	return false;
}

bool scsi_get_range(struct scsi_command *command, uint64_t *offset, uint64_t *len)
{
	uint64_t lba, n;

	get_address(command->cdb, &lba, &n);
	*offset = lba * scsi_block_size(command->unit);
	*len = n * scsi_block_size(command->unit);
	return in_range(command, lba, n);
}

/* `iov`: the command's, of which it takes what it needs. */
static bool transfer(struct scsi_command *command, enum block_op op, uint64_t lba, uint64_t n,
		     struct iovec *iov, unsigned n_iov)
{
	uint64_t size = scsi_block_size(command->unit), available = iov_len(iov, n_iov);

	if (!in_range(command, lba, n))
		return true;
	if (n * size > available)
		return overrun(command);
	if (!n)
		return scsi_good(command);
	iov_cut_back(iov, &n_iov, available - n * size);
	command->transferred = n * size;
	command->io = (struct block_request){
		.op = op, .offset = lba * size, .len = n * size, .iov = iov, .n_iov = n_iov};
	return scsi_submit(command);
}

bool scsi_read_blocks(struct scsi_command *command, uint64_t lba, uint64_t n)
{
	uint64_t size = scsi_block_size(command->unit);

	if (command->local && n && in_range(command, lba, n)) {
		command->local->read(command, lba * size, n * size);
		return false;
	}
	return transfer(command, BLOCK_READ, lba, n, command->in, command->n_in);
}

/* RDPROTECT and WRPROTECT, but in the commands of 6 bytes, where they are the address. */
static bool wants_protection(const struct scsi_command *command)
{
	return command->cdb[0] >= 0x20 && command->cdb[1] >> 5;
}

bool scsi_read(struct scsi_command *command)
{
	uint64_t lba, n;

	get_address(command->cdb, &lba, &n);
	return wants_protection(command) ? scsi_invalid(command)
					 : scsi_read_blocks(command, lba, n);
}

bool scsi_write(struct scsi_command *command)
{
	uint64_t lba, n;

	get_address(command->cdb, &lba, &n);
	if (wants_protection(command))
		return scsi_invalid(command);
	command->flush_after = command->cdb[0] >= 0x20 && command->cdb[1] & 0x08; /* FUA */
	return transfer(command, BLOCK_WRITE, lba, n, command->out, command->n_out);
}

bool scsi_test_unit_ready(struct scsi_command *command)
{
	return scsi_good(command);
}

/* Sense of failed commands went with them: what is left is an attention. */
bool scsi_request_sense(struct scsi_command *command)
{
	const struct scsi_command none = {
		.key = command->unit->attention ? KEY_UNIT_ATTENTION : 0,
		.asc = command->unit->attention,
	};
	uint8_t sense[SCSI_SENSE_SIZE];

	if (command->cdb[1] & 1) /* descriptor format */
		return scsi_invalid(command);
	scsi_fill_sense(&none, sense);
	command->unit->attention = SCSI_NO_ATTENTION;
	return scsi_reply(command, sense, sizeof(sense), command->cdb[4]);
}

static void put_text(uint8_t *at, size_t size, const char *text)
{
	memset(at, ' ', size);
	memcpy(at, text, MIN(size, strlen(text)));
}

/* SPC-4, 7.8: the pages of all units. Returns their length without the header of 4 bytes; 0: no
 * such page. */
static size_t vital(const struct scsi_unit *unit, uint8_t page, uint8_t *data)
{
	static const uint8_t disk_pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
	size_t len = strlen(unit->serial);

	switch (page) {
	case 0x00:
		len = unit->cdrom ? 3 : sizeof(disk_pages);
		memcpy(data, disk_pages, len);
		return len;
	case 0x80:
		memcpy(data, unit->serial, len);
		return len;
	case 0x83:
		data[0] = 2; /* ASCII, of the unit, T10 vendor's */
		data[1] = 1;
		data[3] = 8 + len;
		put_text(data + 4, 8, "VIV");
		memcpy(data + 12, unit->serial, len);
		return 12 + len;
	}
	return unit->cdrom ? 0 : scsi_disk_vital(unit, page, data);
}

bool scsi_inquiry(struct scsi_command *command)
{
	const struct scsi_unit *unit = command->unit;
	const uint8_t *cdb = command->cdb;
	uint8_t data[SCSI_REPLY_MAX] = {unit->cdrom ? TYPE_CDROM : TYPE_DISK};
	uint16_t allowed = be16_load(cdb + 3);
	size_t len;

	if (cdb[1] & 1) {
		len = vital(unit, cdb[2], data + 4);
		if (!len)
			return scsi_invalid(command);
		data[1] = cdb[2];
		be16_store(data + 2, len);
		return scsi_reply(command, data, len + 4, allowed);
	}
	if (cdb[2])
		return scsi_invalid(command);
	data[1] = unit->cdrom ? REMOVABLE : 0;
	data[2] = VERSION_SPC3;
	data[3] = RESPONSE_FORMAT;
	data[4] = 36 - 5;
	data[7] = COMMAND_QUEUING;
	put_text(data + 8, 8, "VIV");
	put_text(data + 16, 16, unit->cdrom ? "CD-ROM" : "HARDDISK");
	put_text(data + 32, 4, "1.0");
	return scsi_reply(command, data, 36, allowed);
}

bool scsi_report_luns(struct scsi_command *command)
{
	uint8_t data[16] = {[3] = 8};

	return scsi_reply(command, data, sizeof(data), be32_load(command->cdb + 6));
}

bool scsi_read_capacity(struct scsi_command *command)
{
	uint64_t last = scsi_blocks(command->unit) - 1;
	uint8_t data[8];

	be32_store(data, MIN(last, UINT32_MAX));
	be32_store(data + 4, scsi_block_size(command->unit));
	return scsi_reply(command, data, sizeof(data), sizeof(data));
}

/* Writes the pages wanted after the header and returns how much there is; 0: none of them is here.
 */
static size_t put_pages(const struct scsi_unit *unit, uint8_t code, bool changeable, uint8_t *at)
{
	enum { ALL = 0x3f };
	size_t len = 0;

	for (const struct scsi_mode_page *page = unit->cdrom ? scsi_cd_pages : scsi_disk_pages;
	     page->len; page++) {
		if (code != ALL && code != page->code)
			continue;
		at[len] = page->code;
		at[len + 1] = page->len;
		if (!changeable) /* nothing is */
			memcpy(at + len + 2, page->data, page->len);
		len += 2 + page->len;
	}
	return len;
}

/* MODE SENSE, of 6 and 10 bytes, without block descriptors. */
bool scsi_mode_sense(struct scsi_command *command)
{
	enum { CHANGEABLE = 1, SAVED = 3, DPO_AND_FUA = 0x10, WRITE_PROTECTED = 0x80 };
	const struct scsi_unit *unit = command->unit;
	const uint8_t *cdb = command->cdb;
	bool six = cdb[0] == 0x1a;
	unsigned header = six ? 4 : 8, control = cdb[2] >> 6;
	uint8_t data[SCSI_REPLY_MAX] = {};
	size_t len;

	if (control == SAVED)
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
	len = put_pages(unit, cdb[2] & 0x3f, control == CHANGEABLE, data + header);
	if (!len || (cdb[3] && cdb[3] != 0xff)) /* subpages */
		return scsi_invalid(command);
	len += header;
	if (!unit->cdrom)
		data[six ? 2 : 3] =
			DPO_AND_FUA | (block_read_only(unit->block) ? WRITE_PROTECTED : 0);
	if (six)
		data[0] = len - 1;
	else
		be16_store(data, len - 2);
	return scsi_reply(command, data, len, six ? cdb[4] : be16_load(cdb + 7));
}

static bool run(struct scsi_command *command, const struct scsi_row *row)
{
	struct scsi_unit *unit = command->unit;
	uint16_t attention = unit->attention;

	if (attention && !(row->flags & SCSI_NO_TELL)) {
		unit->attention = SCSI_NO_ATTENTION;
		return scsi_fail(command, KEY_UNIT_ATTENTION, attention);
	}
	if (row->flags & SCSI_NEEDS_MEDIUM && !scsi_has_medium(unit))
		return scsi_fail(command, KEY_NOT_READY,
				 unit->open ? ASC_NO_MEDIUM_TRAY_OPEN : ASC_NO_MEDIUM_TRAY_CLOSED);
	if (row->flags & SCSI_WRITES && block_read_only(unit->block))
		return scsi_fail(command, KEY_DATA_PROTECT, ASC_WRITE_PROTECTED);
	return row->run(command);
}

bool scsi_start(struct scsi_command *command)
{
	const struct scsi_row *row = command->unit->cdrom ? scsi_cd_rows : scsi_disk_rows;
	bool ended = true;

	command->overrun = command->flush_after = false;
	command->key = command->asc = 0;
	command->transferred = 0;
	while (row->run && row->opcode != command->cdb[0])
		row++;
	if (row->run)
		ended = run(command, row);
	else
		scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_INVALID_COMMAND);
	if (ended)
		g_clear_pointer(&command->ranges, g_free);
	return ended;
}

void scsi_unit_init(struct scsi_unit *unit, struct device *device, const struct device_drive *drive,
		    unsigned devfn, unsigned number)
{
	g_assert(drive->block || drive->cdrom);
	unit->device = device;
	unit->block = drive->block;
	unit->cdrom = drive->cdrom;
	g_snprintf(unit->serial, sizeof(unit->serial), "viv-%02x.%x-%u", pci_slot(devfn), devfn % 8,
		   number);
}

void scsi_unit_reset(struct scsi_unit *unit)
{
	unit->attention = SCSI_NO_ATTENTION;
	unit->open = unit->locked = false;
	unit->event = 0;
}

bool scsi_unit_check(const struct scsi_unit *unit)
{
	return unit->cdrom || !unit->open;
}
