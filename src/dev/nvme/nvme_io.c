/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PRP lists (section 4.3) and the commands of the NVM command set (section 6). */
#include "base/le.h"
#include "dev/nvme/nvme_int.h"

enum {
	IO_FLUSH = 0x00,
	IO_WRITE = 0x01,
	IO_READ = 0x02,
	IO_WRITE_ZEROES = 0x08,
	IO_DATASET_MANAGEMENT = 0x09,
};

#define ALL_NAMESPACES 0xffffffffu

/* Command dword 12 of what reads and writes, and 11 of Dataset Management. */
#define FORCE_UNIT_ACCESS (1u << 30)
#define DEALLOCATE	  (1u << 2)

/* Attributes, number of blocks, first block. */
enum { RANGE_SIZE = 16, RANGE_BLOCKS = 4, RANGE_FIRST = 8 };

/* Adds `len` bytes, all in one page. */
static bool add_data(const struct nvme *nvme, uint64_t gpa, uint32_t len, struct iovec *iov,
		     unsigned *n_iov)
{
	uint8_t *hva = mem_range(nvme_mem(nvme), gpa, len);
	struct iovec *last = *n_iov ? &iov[*n_iov - 1] : NULL;

	if (!hva)
		return false;
	if (last && (uint8_t *)last->iov_base + last->iov_len == hva)
		last->iov_len += len;
	else
		iov[(*n_iov)++] = (struct iovec){hva, len};
	return true;
}

/* The pages of a PRP list. The last entry of a list's page names the next page of the list, unless
 * no more than one page of data is left. Each page but the first holds 511 entries: there is no
 * loop. */
static uint16_t map_list(const struct nvme *nvme, uint64_t at, uint32_t len, struct iovec *iov,
			 unsigned *n_iov)
{
	uint64_t entry;

	if (at % sizeof(entry))
		return NVME_INVALID_PRP_OFFSET;
	while (len) {
		uint32_t run = MIN(len, NVME_PAGE);

		if (!mem_read(nvme_mem(nvme), at, &entry, sizeof(entry)))
			return NVME_DATA_TRANSFER_ERROR;
		if (entry % NVME_PAGE)
			return NVME_INVALID_PRP_OFFSET;
		if (at % NVME_PAGE == NVME_PAGE - sizeof(entry) && len > NVME_PAGE) {
			at = entry;
			continue;
		}
		if (!add_data(nvme, entry, run, iov, n_iov))
			return NVME_DATA_TRANSFER_ERROR;
		len -= run;
		at += sizeof(entry);
	}
	return NVME_OK;
}

uint16_t nvme_map_data(const struct nvme *nvme, const struct nvme_command *command, uint32_t len,
		       struct iovec *iov, unsigned *n_iov)
{
	uint64_t prp1 = nvme_prp1(command), prp2 = nvme_dw64(command, 8);
	uint32_t run = MIN(len, NVME_PAGE - prp1 % NVME_PAGE);

	*n_iov = 0;
	if (prp1 % 4)
		return NVME_INVALID_PRP_OFFSET;
	if (!add_data(nvme, prp1, run, iov, n_iov))
		return NVME_DATA_TRANSFER_ERROR;
	len -= run;
	if (len > NVME_PAGE)
		return map_list(nvme, prp2, len, iov, n_iov);
	if (!len)
		return NVME_OK;
	if (prp2 % NVME_PAGE)
		return NVME_INVALID_PRP_OFFSET;
	return add_data(nvme, prp2, len, iov, n_iov) ? NVME_OK : NVME_DATA_TRANSFER_ERROR;
}

void nvme_add_requests(struct nvme *nvme)
{
	nvme->requests = g_new0(struct nvme_request, NVME_REQUESTS);
	for (unsigned i = 0; i < NVME_REQUESTS; i++) {
		nvme->requests[i].nvme = nvme;
		nvme->requests[i].next_free = nvme->free;
		nvme->free = &nvme->requests[i];
	}
}

static void finish(struct nvme_request *request, uint16_t status)
{
	struct nvme *nvme = request->nvme;

	g_clear_pointer(&request->ranges, g_free);
	request->next_free = nvme->free;
	nvme->free = request;
	nvme_complete(nvme, request->sq, request->id, 0, status);
}

static uint16_t error_status(enum block_op op)
{
	switch (op) {
	case BLOCK_READ:
		return NVME_READ_ERROR;
	case BLOCK_WRITE:
	case BLOCK_WRITE_ZEROES:
		return NVME_WRITE_FAULT;
	default:
		return NVME_INTERNAL_ERROR;
	}
}

static void push(struct nvme_request *request)
{
	trace_blk_request(request->nvme->pci.device.env->trace, TRACE_NO_VCPU, request->io.op,
			  request->io.offset, request->io.len);
	block_submit(request->nvme->block, &request->io);
}

/* Submits the deallocation's next range that is not empty; false: there is none. */
static bool next_range(struct nvme_request *request)
{
	while (request->next_range < request->n_ranges) {
		const uint8_t *range = request->ranges + RANGE_SIZE * request->next_range++;

		request->io.offset = le64_load(range + RANGE_FIRST) * BLOCK_SECTOR_SIZE;
		request->io.len = (uint64_t)le32_load(range + RANGE_BLOCKS) * BLOCK_SECTOR_SIZE;
		if (request->io.len) {
			push(request);
			return true;
		}
	}
	return false;
}

/* What a command does after its first request to the disk; false: nothing. */
static bool go_on(struct nvme_request *request)
{
	if (request->nvme->stopping)
		return false;
	if (request->io.op == BLOCK_DISCARD)
		return next_range(request);
	if (!request->flush_after)
		return false;
	request->flush_after = false;
	request->io.op = BLOCK_FLUSH;
	push(request);
	return true;
}

/* On a worker. */
static void io_done(struct block_request *io, int error)
{
	struct nvme_request *request = io->opaque;
	struct nvme *nvme = request->nvme;

	trace_blk_done(nvme->pci.device.env->trace, TRACE_NO_VCPU, io->op, io->offset, error);
	if (io->op == BLOCK_READ) /* also of a read that failed half-way */
		iov_written(nvme_mem(nvme), io->iov, io->n_iov);
	g_mutex_lock(&nvme->pci.device.lock);
	if (error || !go_on(request)) {
		finish(request, error ? error_status(io->op) : NVME_OK);
		nvme_end(nvme);
		nvme_run(nvme);
	}
	g_mutex_unlock(&nvme->pci.device.lock);
}

static void submit(struct nvme_request *request, enum block_op op, uint64_t offset, uint64_t len,
		   unsigned n_iov)
{
	request->io = (struct block_request){
		.op = op,
		.offset = offset,
		.len = len,
		.iov = request->iov,
		.n_iov = n_iov,
		.done = io_done,
		.opaque = request,
	};
	nvme_begin(request->nvme);
	push(request);
}

static bool in_range(const struct nvme *nvme, uint64_t first, uint64_t n)
{
	return first <= nvme_blocks(nvme) && n <= nvme_blocks(nvme) - first;
}

static uint16_t start_flush(struct nvme_request *request, const struct nvme_command *command)
{
	submit(request, BLOCK_FLUSH, 0, 0, 0);
	return NVME_LATER;
}

/* What reads, writes and zeroes have in common. Blocks are counted from 0. */
static uint16_t check_blocks(struct nvme_request *request, const struct nvme_command *command,
			     enum block_op op)
{
	const struct nvme *nvme = request->nvme;

	if (!in_range(nvme, nvme_dw64(command, 10), (command->dw[12] & 0xffff) + 1))
		return NVME_LBA_OUT_OF_RANGE;
	if (op == BLOCK_READ)
		return NVME_OK;
	request->flush_after = command->dw[12] & FORCE_UNIT_ACCESS ||
			       !nvme->features[NVME_FEATURE_VOLATILE_WRITE_CACHE];
	return block_read_only(nvme->block) ? NVME_WRITE_PROTECTED : NVME_OK;
}

static uint16_t start_transfer(struct nvme_request *request, const struct nvme_command *command,
			       enum block_op op)
{
	uint32_t len = ((command->dw[12] & 0xffff) + 1) * BLOCK_SECTOR_SIZE;
	uint16_t status = check_blocks(request, command, op);
	unsigned n_iov;

	if (!status && len > NVME_MAX_DATA)
		status = NVME_INVALID_FIELD;
	if (!status)
		status = nvme_map_data(request->nvme, command, len, request->iov, &n_iov);
	if (status)
		return status;
	submit(request, op, nvme_dw64(command, 10) * BLOCK_SECTOR_SIZE, len, n_iov);
	return NVME_LATER;
}

static uint16_t start_read(struct nvme_request *request, const struct nvme_command *command)
{
	request->nvme->reads++;
	request->nvme->blocks_read += (command->dw[12] & 0xffff) + 1;
	return start_transfer(request, command, BLOCK_READ);
}

static uint16_t start_write(struct nvme_request *request, const struct nvme_command *command)
{
	request->nvme->writes++;
	request->nvme->blocks_written += (command->dw[12] & 0xffff) + 1;
	return start_transfer(request, command, BLOCK_WRITE);
}

static uint16_t start_write_zeroes(struct nvme_request *request, const struct nvme_command *command)
{
	uint16_t status = check_blocks(request, command, BLOCK_WRITE_ZEROES);

	if (status)
		return status;
	submit(request, BLOCK_WRITE_ZEROES, nvme_dw64(command, 10) * BLOCK_SECTOR_SIZE,
	       ((command->dw[12] & 0xffff) + 1) * BLOCK_SECTOR_SIZE, 0);
	return NVME_LATER;
}

/* Ranges are carried out one after the other, once all have been found good. */
static uint16_t start_dataset_management(struct nvme_request *request,
					 const struct nvme_command *command)
{
	const struct nvme *nvme = request->nvme;
	uint32_t len = ((command->dw[10] & 0xff) + 1) * RANGE_SIZE;
	uint16_t status;
	unsigned n_iov;

	if (!(command->dw[11] & DEALLOCATE))
		return NVME_OK; /* hints */
	if (block_read_only(nvme->block))
		return NVME_WRITE_PROTECTED;
	status = nvme_map_data(nvme, command, len, request->iov, &n_iov);
	if (status)
		return status;
	request->ranges = g_malloc(len);
	iov_read(request->iov, n_iov, request->ranges, len);
	request->n_ranges = len / RANGE_SIZE;
	request->next_range = 0;
	for (unsigned i = 0; i < request->n_ranges; i++) {
		const uint8_t *range = request->ranges + RANGE_SIZE * i;

		if (!in_range(nvme, le64_load(range + RANGE_FIRST),
			      le32_load(range + RANGE_BLOCKS)))
			return NVME_LBA_OUT_OF_RANGE;
	}
	request->io =
		(struct block_request){.op = BLOCK_DISCARD, .done = io_done, .opaque = request};
	if (!next_range(request))
		return NVME_OK;
	nvme_begin(request->nvme);
	return NVME_LATER;
}

static const struct {
	uint8_t opcode;
	uint16_t (*start)(struct nvme_request *request, const struct nvme_command *command);
} io_commands[] = {
	{IO_FLUSH, start_flush},
	{IO_WRITE, start_write},
	{IO_READ, start_read},
	{IO_WRITE_ZEROES, start_write_zeroes},
	{IO_DATASET_MANAGEMENT, start_dataset_management},
};

static uint16_t start(struct nvme_request *request, const struct nvme_command *command)
{
	uint8_t opcode = nvme_opcode(command);
	uint16_t status = nvme_check_head(command);

	if (status)
		return status;
	for (size_t i = 0; i < G_N_ELEMENTS(io_commands); i++) {
		if (io_commands[i].opcode != opcode)
			continue;
		if (nvme_namespace(command) != 1 &&
		    !(opcode == IO_FLUSH && nvme_namespace(command) == ALL_NAMESPACES))
			return NVME_INVALID_NAMESPACE;
		return io_commands[i].start(request, command);
	}
	return NVME_INVALID_OPCODE;
}

void nvme_run_io(struct nvme *nvme, unsigned sq, const struct nvme_command *command)
{
	struct nvme_request *request = nvme->free;
	uint16_t status;

	nvme->free = request->next_free;
	request->sq = sq;
	request->id = nvme_id(command);
	request->flush_after = false;
	status = start(request, command);
	if (status != NVME_LATER)
		finish(request, status);
}
