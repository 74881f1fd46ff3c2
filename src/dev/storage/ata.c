/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data phases of a drive: blocks of its buffer for PIO, guest memory for DMA, and the disk's
 * work behind both. What commands mean is in ata_command.c and atapi.c.
 */
#include "dev/storage/ata.h"

#include "base/le.h"
#include "dev/storage/storage_int.h"

/* Nothing of a command's length is kept that a disk of 48-bit addresses could not have. */
#define MAX_SECTOR (1ull << 48)

static bool is_packet(const struct ata_drive *drive)
{
	return drive->command == ATA_PACKET_COMMAND;
}

void ata_set_phase(struct ata_drive *drive, enum ata_phase phase)
{
	static const uint8_t status[ATA_N_PHASES] = {
		[ATA_IDLE] = ATA_STATUS_DRDY | ATA_STATUS_DSC,
		[ATA_BUSY] = ATA_STATUS_BSY,
		[ATA_PACKET] = ATA_STATUS_DRDY | ATA_STATUS_DRQ,
		[ATA_DATA_IN] = ATA_STATUS_DRDY | ATA_STATUS_DSC | ATA_STATUS_DRQ,
		[ATA_DATA_OUT] = ATA_STATUS_DRDY | ATA_STATUS_DSC | ATA_STATUS_DRQ,
		[ATA_DMA] = ATA_STATUS_DRDY | ATA_STATUS_DSC | ATA_STATUS_DRQ,
	};

	drive->phase = phase;
	drive->regs.status = status[phase];
}

void ata_end(struct ata_drive *drive)
{
	ata_set_phase(drive, ATA_IDLE);
	drive->regs.error = 0;
	drive->intrq = true;
}

void ata_fail(struct ata_drive *drive, uint8_t error)
{
	ata_end(drive);
	drive->regs.status |= ATA_STATUS_ERR;
	drive->regs.error = error;
}

/* ATA8-ACS, device signatures. */
void ata_signature(struct ata_drive *drive)
{
	struct ata_regs *regs = &drive->regs;

	ata_set_phase(drive, ATA_IDLE);
	if (drive->cdrom)
		regs->status = 0;
	regs->error = 1;
	regs->count = 1;
	regs->lba[0] = 1;
	regs->lba[1] = drive->cdrom ? 0x14 : 0;
	regs->lba[2] = drive->cdrom ? 0xeb : 0;
	regs->device &= ATA_DEVICE_DEV;
	drive->intrq = false;
	drive->block_len = drive->pos = drive->len = 0;
}

static void reset_now(struct ata_drive *drive)
{
	drive->reset_pending = false;
	ata_signature(drive);
	if (drive->cdrom)
		atapi_reset(drive);
}

void ata_reset(struct ata_drive *drive)
{
	if (!drive->in_flight) {
		reset_now(drive);
		return;
	}
	drive->reset_pending = true;
	drive->intrq = false;
	ata_set_phase(drive, ATA_BUSY);
}

/* Requests to the disk. `next` goes on with the command, under the lock. */

static void request_written(const struct ata_request *request)
{
	struct mem *mem = request->drive->adapter->env->mem;

	for (unsigned i = 0; i < request->io.n_iov; i++) {
		const struct iovec *iov = &request->iov[i];

		mem_written(mem, (uint8_t *)iov->iov_base - mem->base, iov->iov_len);
	}
}

/* On a worker. */
static void io_done(struct block_request *io, int error)
{
	struct ata_request *request = io->opaque;
	struct ata_drive *drive = request->drive;

	trace_blk_done(drive->adapter->env->trace, TRACE_NO_VCPU, io->op, io->offset, error);
	/* Also of a read that failed half-way. */
	if (io->op == BLOCK_READ && request->iov[0].iov_base != drive->buffer)
		request_written(request);
	g_mutex_lock(&drive->adapter->lock);
	drive->in_flight--;
	request->busy = false;
	if (!drive->reset_pending)
		request->next(request, error);
	else if (!drive->in_flight)
		reset_now(drive);
	if (drive->phase != ATA_BUSY)
		drive->ops->ready(drive);
	g_mutex_unlock(&drive->adapter->lock);
}

static void submit(struct ata_request *request, enum block_op op, uint64_t sector, uint64_t len,
		   void (*next)(struct ata_request *request, int error))
{
	struct ata_drive *drive = request->drive;

	request->io.op = op;
	request->io.offset = sector * ATA_SECTOR;
	request->io.len = len;
	request->io.iov = request->iov;
	request->io.done = io_done;
	request->io.opaque = request;
	request->next = next;
	if (!request->queued)
		ata_set_phase(drive, ATA_BUSY);
	drive->in_flight++;
	request->busy = true;
	trace_blk_request(drive->adapter->env->trace, TRACE_NO_VCPU, op, request->io.offset, len);
	block_submit(drive->block, &request->io);
}

static struct ata_request *new_request(struct ata_drive *drive, unsigned tag)
{
	struct ata_request *request = &drive->requests[tag];

	g_assert(!request->busy);
	request->queued = false;
	request->fua = false;
	request->write = drive->writes;
	request->sector = drive->sector;
	request->left = drive->left;
	request->moved = 0;
	request->io.n_iov = 0;
	return request;
}

/* What all of a command's data has been moved leads to. */
static void request_end(struct ata_request *request, uint8_t error)
{
	struct ata_drive *drive = request->drive;

	if (request->queued) {
		drive->regs.status =
			ATA_STATUS_DRDY | ATA_STATUS_DSC | (error ? ATA_STATUS_ERR : 0);
		drive->regs.error = error;
		if (error) {
			ata_set_address(drive, request->sector);
			drive->failed = drive->regs;
			drive->failed_tag = request - drive->requests;
		}
		drive->ops->queued(drive, request - drive->requests);
	} else if (is_packet(drive)) {
		(error ? atapi_read_failed : atapi_end)(drive);
	} else if (error) {
		ata_set_address(drive, request->sector);
		ata_fail(drive, error);
	} else {
		ata_end(drive);
	}
}

static uint8_t io_error(const struct ata_request *request)
{
	return request->write ? ATA_ERROR_ABRT : ATA_ERROR_UNC;
}

static void flushed(struct ata_request *request, int error)
{
	request_end(request, error ? ATA_ERROR_ABRT : 0);
}

/* Without a write cache a command ends when its data is safe. */
static void request_moved(struct ata_request *request)
{
	if (request->write && (request->fua || !request->drive->write_cache))
		submit(request, BLOCK_FLUSH, 0, 0, flushed);
	else
		request_end(request, 0);
}

void ata_flush(struct ata_drive *drive)
{
	submit(new_request(drive, 0), BLOCK_FLUSH, 0, 0, flushed);
}

/* Data through the buffer. */

static void next_block(struct ata_drive *drive)
{
	drive->block_len = MIN(drive->limit, drive->len - drive->pos);
	ata_set_phase(drive, drive->writes ? ATA_DATA_OUT : ATA_DATA_IN);
	if (is_packet(drive)) {
		drive->regs.count = ATA_REASON_IO;
		drive->regs.lba[1] = drive->block_len & 0xff;
		drive->regs.lba[2] = drive->block_len >> 8;
	}
}

static void use_buffer(struct ata_drive *drive, uint32_t len)
{
	drive->pos = 0;
	drive->len = len;
}

static void buffer_filled(struct ata_request *request, int error)
{
	struct ata_drive *drive = request->drive;

	if (error) {
		request_end(request, io_error(request));
		return;
	}
	use_buffer(drive, request->io.len);
	drive->sector += request->io.len / ATA_SECTOR;
	drive->left -= request->io.len / ATA_SECTOR;
	next_block(drive);
	drive->intrq = true;
}

static void buffer_written(struct ata_request *request, int error)
{
	struct ata_drive *drive = request->drive;

	if (error) {
		request_end(request, io_error(request));
		return;
	}
	drive->sector += request->io.len / ATA_SECTOR;
	drive->left -= request->io.len / ATA_SECTOR;
	if (!drive->left) {
		request_moved(request);
		return;
	}
	use_buffer(drive, MIN(drive->left * ATA_SECTOR, ATA_BUFFER_SIZE));
	next_block(drive);
	drive->intrq = true;
}

/* Fills the buffer from the disk, or writes it there. */
static void move_buffer(struct ata_drive *drive)
{
	struct ata_request *request = new_request(drive, 0);
	uint64_t len = MIN(drive->left * ATA_SECTOR, ATA_BUFFER_SIZE);

	request->iov[0] = (struct iovec){drive->buffer, len};
	request->io.n_iov = 1;
	if (drive->writes)
		submit(request, BLOCK_WRITE, drive->sector, len, buffer_written);
	else
		submit(request, BLOCK_READ, drive->sector, len, buffer_filled);
}

static void block_taken(struct ata_drive *drive)
{
	if (drive->pos < drive->len) {
		next_block(drive);
		drive->intrq = true;
	} else if (!drive->buffered && drive->left && drive->block) {
		move_buffer(drive);
	} else if (is_packet(drive)) {
		atapi_end(drive);
	} else {
		ata_set_phase(drive, ATA_IDLE); /* PIO data-in commands end without an interrupt */
	}
}

void ata_block_done(struct ata_drive *drive)
{
	bool packet = drive->phase == ATA_PACKET;

	drive->pos += drive->block_len;
	drive->block_len = 0;
	if (packet)
		atapi_run(drive);
	else
		block_taken(drive);
}

void ata_send_buffer(struct ata_drive *drive, uint32_t len, uint32_t limit, bool dma)
{
	drive->buffered = true;
	drive->writes = false;
	drive->limit = limit;
	use_buffer(drive, len);
	if (dma) {
		ata_set_phase(drive, ATA_DMA);
		return;
	}
	next_block(drive);
	drive->intrq = true;
}

void ata_receive_buffer(struct ata_drive *drive, uint32_t len)
{
	drive->buffered = true;
	drive->writes = true;
	use_buffer(drive, len);
	ata_set_phase(drive, ATA_DMA);
}

void ata_transfer(struct ata_drive *drive, uint64_t sector, uint64_t n, bool write, uint32_t limit,
		  bool dma)
{
	drive->buffered = false;
	drive->writes = write;
	drive->sector = sector;
	drive->left = n;
	drive->limit = limit;
	if (dma) {
		ata_set_phase(drive, ATA_DMA);
	} else if (write) {
		use_buffer(drive, MIN(n * ATA_SECTOR, ATA_BUFFER_SIZE));
		next_block(drive);
	} else {
		move_buffer(drive);
	}
}

/* DMA. */

/*
 * Whole sectors of guest memory, up to `want` bytes, into the request's vector. The place in the
 * table stays where the last whole sector ends, which may be inside a piece.
 */
static uint64_t gather(struct ata_request *request, uint64_t want, bool *fault)
{
	struct ata_drive *drive = request->drive;
	struct ata_sg at = request->sg;
	uint64_t total = 0, whole = 0;
	size_t last_len = 0;
	unsigned n = 0;

	request->io.n_iov = 0;
	while (total < want && n < ATA_MAX_IOV) {
		uint64_t len, over;
		uint8_t *hva;

		if (!at.left && !drive->ops->sg_next(drive, &at))
			break;
		len = MIN(at.left, want - total);
		hva = mem_range(drive->adapter->env->mem, at.gpa, len);
		*fault = !hva;
		if (!hva)
			break;
		request->iov[n++] = (struct iovec){hva, len};
		total += len;
		over = total % ATA_SECTOR;
		at.gpa += len;
		at.left -= len;
		if (over >= len)
			continue;
		whole = total - over;
		last_len = len - over;
		request->io.n_iov = n;
		request->sg = at;
		request->sg.gpa -= over;
		request->sg.left += over;
	}
	if (whole)
		request->iov[request->io.n_iov - 1].iov_len = last_len;
	return whole;
}

static void sg_ended(struct ata_request *request, bool fault)
{
	struct ata_drive *drive = request->drive;

	if (!request->queued) {
		drive->sector = request->sector;
		drive->left = request->left;
		ata_set_phase(drive, ATA_DMA);
	}
	drive->ops->sg_short(drive, request - drive->requests, fault);
}

static void dma_moved(struct ata_request *request, int error);

static void dma_next(struct ata_request *request)
{
	bool fault = false;
	uint64_t len;

	if (!request->left) {
		request_moved(request);
		return;
	}
	len = gather(request, request->left * ATA_SECTOR, &fault);
	if (len)
		submit(request, request->write ? BLOCK_WRITE : BLOCK_READ, request->sector, len,
		       dma_moved);
	else
		sg_ended(request, fault);
}

static void dma_moved(struct ata_request *request, int error)
{
	if (error) {
		request_end(request, io_error(request));
		return;
	}
	request->moved += request->io.len;
	request->sector += request->io.len / ATA_SECTOR;
	request->left -= request->io.len / ATA_SECTOR;
	dma_next(request);
}

/* Each entry moves two bytes at least, or one at the end. */
static bool dma_buffer(struct ata_request *request)
{
	struct ata_drive *drive = request->drive;
	struct mem *mem = drive->adapter->env->mem;
	struct ata_sg *sg = &request->sg;

	while (drive->pos < drive->len) {
		uint8_t *from = drive->buffer + drive->pos;
		uint32_t n;
		bool ok;

		if (!sg->left && !drive->ops->sg_next(drive, sg)) {
			sg_ended(request, false);
			return false;
		}
		n = MIN(sg->left, drive->len - drive->pos);
		ok = drive->writes ? mem_read(mem, sg->gpa, from, n)
				   : mem_write(mem, sg->gpa, from, n);
		if (!ok) {
			sg_ended(request, true);
			return false;
		}
		drive->pos += n;
		request->moved += n;
		sg->gpa += n;
		sg->left -= n;
	}
	return true;
}

void ata_dma(struct ata_drive *drive, const struct ata_sg *sg)
{
	struct ata_request *request = new_request(drive, 0);

	request->sg = *sg;
	if (!drive->buffered) {
		/* A disc may have been taken out. */
		if (drive->block)
			dma_next(request);
		else
			request_end(request, io_error(request));
	} else if (dma_buffer(request)) {
		drive->pos = 0;
		if (drive->writes)
			ata_trim(drive);
		else
			request_end(request, 0);
	}
}

void ata_dma_stop(struct ata_drive *drive)
{
	for (unsigned i = 0; i < (drive->sata ? ATA_MAX_QUEUE : 1); i++)
		drive->requests[i].sg = (struct ata_sg){};
}

/* DATA SET MANAGEMENT: entries of 48 bits of address and 16 of length. */

static void trimmed(struct ata_request *request, int error)
{
	if (error)
		request_end(request, ATA_ERROR_ABRT);
	else
		ata_trim(request->drive);
}

void ata_trim(struct ata_drive *drive)
{
	struct ata_request *request = new_request(drive, 0);

	for (; drive->pos + 8 <= drive->len; drive->pos += 8) {
		uint64_t entry = le64_load(drive->buffer + drive->pos);
		uint64_t sector = bits_get(entry, 47, 0), n = bits_get(entry, 63, 48);

		if (!n)
			continue;
		request->sector = sector;
		drive->pos += 8;
		submit(request, BLOCK_DISCARD, sector, n * ATA_SECTOR, trimmed);
		return;
	}
	request_end(request, 0);
}

/* NCQ: the count is in the feature register, the tag in the count register. */
bool ata_queue(struct ata_drive *drive, uint8_t command, unsigned tag, const struct ata_sg *sg)
{
	const struct ata_regs *regs = &drive->regs;
	struct ata_request *request;
	uint64_t sector = ata_lba48(regs), n = regs->feature ? regs->feature : 65536;

	drive->command = command;
	if (!drive->sata || drive->cdrom || (regs->count & 0xff) >> 3 != tag ||
	    drive->requests[tag].busy) {
		ata_fail(drive, ATA_ERROR_ABRT);
		return false;
	}
	request = new_request(drive, tag);
	request->queued = true;
	request->write = command & 1;
	request->fua = regs->device & 0x80;
	request->sector = sector;
	request->left = n;
	request->sg = *sg;
	if (sector >= ata_disk_sectors(drive) || n > ata_disk_sectors(drive) - sector)
		request_end(request, ATA_ERROR_IDNF);
	else if (request->write && block_read_only(drive->block))
		request_end(request, ATA_ERROR_ABRT);
	else
		dma_next(request);
	return true;
}

void ata_command(struct ata_drive *drive, uint8_t command)
{
	drive->command = command;
	drive->regs.error = 0;
	drive->intrq = false;
	drive->pos = drive->len = drive->block_len = 0;
	ata_run_command(drive);
}

/* The drive in its controller. */

void ata_drive_init(struct ata_drive *drive, struct device *adapter, unsigned index,
		    const struct ata_ops *ops, const struct device_config *config, bool sata)
{
	g_autofree char *serial = g_strdup_printf("viv-%s-%u", adapter->class->name, index);
	const struct device_drive *at = &config->drives[index];
	unsigned n = sata ? ATA_MAX_QUEUE : 1;

	drive->ops = ops;
	drive->adapter = adapter;
	drive->index = index;
	drive->sata = sata;
	drive->cdrom = at->cdrom;
	drive->block = at->block;
	drive->present = at->cdrom || at->block;
	if (drive->cdrom)
		scsi_unit_init(&drive->unit, adapter, at, config->devfn, index);
	ata_pad((uint8_t *)drive->serial, sizeof(drive->serial), serial);
	if (!drive->present)
		return;
	drive->requests = g_new0(struct ata_request, n);
	for (unsigned i = 0; i < n; i++)
		drive->requests[i].drive = drive;
}

void ata_drive_fini(struct ata_drive *drive)
{
	g_free(drive->requests);
}

void ata_drive_power_on(struct ata_drive *drive)
{
	drive->regs = drive->failed = (struct ata_regs){};
	drive->failed_tag = 0;
	drive->command = 0;
	drive->multiple = 0;
	drive->transfer_mode = 0;
	drive->heads = 16;
	drive->sectors = 63;
	drive->write_cache = true;
	drive->buffered = drive->writes = false;
	drive->sector = drive->left = drive->limit = 0;
	memset(drive->buffer, 0, sizeof(drive->buffer));
	drive->sense_key = drive->sense_asc = 0;
	scsi_unit_reset(&drive->unit);
	ata_reset(drive);
}

void ata_drive_drain(struct ata_drive *drive)
{
	if (drive->block)
		block_drain(drive->block);
}

bool ata_drive_set_medium(struct ata_drive *drive, struct block *medium)
{
	if (!drive->cdrom || !scsi_unit_set_medium(&drive->unit, medium))
		return false;
	drive->block = medium;
	return true;
}

/* A stream may say of an absent drive what it likes: it is never asked. */
bool ata_drive_check(const struct ata_drive *drive)
{
	bool block_phase = drive->phase == ATA_DATA_IN || drive->phase == ATA_DATA_OUT;

	if (drive->phase >= ATA_N_PHASES || drive->phase == ATA_BUSY)
		return false;
	if (drive->len > ATA_BUFFER_SIZE || drive->pos > drive->len ||
	    drive->block_len > drive->len - drive->pos)
		return false;
	if (drive->phase == ATA_PACKET && (!drive->cdrom || drive->block_len != ATA_PACKET_SIZE))
		return false;
	if (block_phase && (!drive->block_len || !drive->limit))
		return false;
	if (drive->writes && drive->cdrom)
		return false;
	if (drive->sector >= MAX_SECTOR || drive->left >= MAX_SECTOR || drive->limit > 65536)
		return false;
	if (!scsi_unit_check(&drive->unit))
		return false;
	return drive->multiple <= 16 && !(drive->multiple & (drive->multiple - 1)) &&
	       drive->heads && drive->heads <= 16 && drive->sectors &&
	       drive->failed_tag < ATA_MAX_QUEUE;
}
