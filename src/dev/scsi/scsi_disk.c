/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks: SBC-3. */
#include "dev/scsi/scsi_int.h"

/* UNMAP's parameters: a header, and descriptors of address and number of blocks. */
enum { UNMAP_HEADER = 8, RANGE_SIZE = 16, RANGE_BLOCKS = 8, MAX_RANGES = 256 };

/* In blocks: what a worker may have to write out, 16 MiB. */
#define MAX_WRITE_SAME (1u << 15)

const struct scsi_mode_page scsi_disk_pages[] = {
	{0x01, 10, {}},		  /* read-write error recovery */
	{0x08, 18, {0x04}},	  /* caching: there is a cache for writes */
	{0x0a, 10, {[1] = 0x10}}, /* control: commands in any order */
	{},
};

size_t scsi_disk_vital(const struct scsi_unit *unit, uint8_t page, uint8_t *data)
{
	bool writable = !block_read_only(unit->block);

	/* Offsets are those of the standard, less the header of 4. */
	switch (page) {
	case 0xb0:	     /* block limits */
		data[0] = 1; /* WSNZ: no WRITE SAME of no blocks */
		if (writable) {
			be32_store(data + 16, UINT32_MAX); /* blocks that UNMAP takes */
			be32_store(data + 20, MAX_RANGES);
			be32_store(data + 24, 8); /* best in pages */
			be64_store(data + 32, MAX_WRITE_SAME);
		}
		return 0x3c;
	case 0xb1: /* characteristics: it does not rotate */
		be16_store(data, 1);
		return 0x3c;
	case 0xb2: /* provisioning: UNMAP; reads are not said to return zeroes */
		data[1] = writable ? 0x80 : 0;
		data[2] = writable ? 2 : 0; /* thin */
		return 4;
	}
	return 0;
}

/* SERVICE ACTION IN(16). */
static bool read_capacity16(struct scsi_command *command)
{
	enum { READ_CAPACITY = 0x10, LBPME = 0x80 };
	uint8_t data[32] = {};

	if ((command->cdb[1] & 0x1f) != READ_CAPACITY)
		return scsi_invalid(command);
	be64_store(data, scsi_blocks(command->unit) - 1);
	be32_store(data + 8, scsi_block_size(command->unit));
	data[14] = block_read_only(command->unit->block) ? 0 : LBPME;
	return scsi_reply(command, data, sizeof(data), be32_load(command->cdb + 10));
}

/* All blocks can be read; comparing them with data is not on offer. */
static bool verify(struct scsi_command *command)
{
	uint64_t offset, len;

	if (command->cdb[1] & 0xe6) /* VRPROTECT, BYTCHK */
		return scsi_invalid(command);
	return scsi_get_range(command, &offset, &len) ? scsi_good(command) : true;
}

/* The whole cache, whatever range the command names. */
static bool synchronize_cache(struct scsi_command *command)
{
	command->io = (struct block_request){.op = BLOCK_FLUSH};
	return scsi_submit(command);
}

/* The disk does not stop, and does not go. */
static bool start_stop(struct scsi_command *command)
{
	return scsi_good(command);
}

bool scsi_unmap_ranges(struct scsi_command *command)
{
	while (command->next_range < command->n_ranges) {
		const uint8_t *range = command->ranges + RANGE_SIZE * command->next_range++;
		uint64_t n = be32_load(range + RANGE_BLOCKS);

		if (!n)
			continue;
		command->io = (struct block_request){
			.op = BLOCK_DISCARD,
			.offset = be64_load(range) * BLOCK_SECTOR_SIZE,
			.len = n * BLOCK_SECTOR_SIZE,
		};
		return scsi_submit(command);
	}
	return scsi_good(command);
}

static bool ranges_are_good(const struct scsi_command *command)
{
	uint64_t blocks = scsi_blocks(command->unit);

	for (unsigned i = 0; i < command->n_ranges; i++) {
		const uint8_t *range = command->ranges + RANGE_SIZE * i;
		uint64_t lba = be64_load(range);

		if (lba > blocks || be32_load(range + RANGE_BLOCKS) > blocks - lba)
			return false;
	}
	return true;
}

/* The ranges are carried out one after the other, once all have been found good. */
static bool unmap(struct scsi_command *command)
{
	uint16_t len = be16_load(command->cdb + 7);
	uint8_t header[UNMAP_HEADER];

	if (!len)
		return scsi_good(command);
	if (len < UNMAP_HEADER ||
	    iov_read(command->out, command->n_out, header, sizeof(header)) < sizeof(header))
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_PARAMETER_LENGTH);
	command->transferred = len;
	len = MIN(be16_load(header + 2), len - UNMAP_HEADER);
	command->n_ranges = len / RANGE_SIZE;
	command->next_range = 0;
	if (command->n_ranges > MAX_RANGES)
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
	len = command->n_ranges * RANGE_SIZE;
	command->ranges = g_malloc(len);
	iov_cut_front(&command->out, &command->n_out, UNMAP_HEADER);
	if (iov_read(command->out, command->n_out, command->ranges, len) < len)
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_PARAMETER_LENGTH);
	if (!ranges_are_good(command))
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	return scsi_unmap_ranges(command);
}

/* Of zeroes only, given or (NDOB) not. */
static bool write_same(struct scsi_command *command)
{
	enum { NDOB = 0x01, UNMAP = 0x08 };
	static const uint8_t zeroes[BLOCK_SECTOR_SIZE];
	bool given = command->cdb[0] != 0x93 || !(command->cdb[1] & NDOB);
	uint8_t block[BLOCK_SECTOR_SIZE];
	uint64_t offset, len;

	if (command->cdb[1] & ~(NDOB | UNMAP) || (given && command->cdb[1] & NDOB))
		return scsi_invalid(command);
	if (!scsi_get_range(command, &offset, &len))
		return true;
	if (!len || len > (uint64_t)MAX_WRITE_SAME * BLOCK_SECTOR_SIZE)
		return scsi_invalid(command);
	if (given && iov_read(command->out, command->n_out, block, sizeof(block)) < sizeof(block))
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_PARAMETER_LENGTH);
	if (given && memcmp(block, zeroes, sizeof(block)))
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
	command->transferred = given ? sizeof(block) : 0;
	command->io =
		(struct block_request){.op = BLOCK_WRITE_ZEROES, .offset = offset, .len = len};
	return scsi_submit(command);
}

const struct scsi_row scsi_disk_rows[] = {
	SCSI_COMMON_ROWS,
	{0x0a, SCSI_WRITES, scsi_write}, /* WRITE(6) */
	{0x1b, 0, start_stop},
	{0x2a, SCSI_WRITES, scsi_write}, /* WRITE(10) */
	{0x2f, 0, verify},		 /* VERIFY(10) */
	{0x35, 0, synchronize_cache},	 /* SYNCHRONIZE CACHE(10) */
	{0x41, SCSI_WRITES, write_same}, /* WRITE SAME(10) */
	{0x42, SCSI_WRITES, unmap},
	{0x88, 0, scsi_read},		 /* READ(16) */
	{0x8a, SCSI_WRITES, scsi_write}, /* WRITE(16) */
	{0x8f, 0, verify},		 /* VERIFY(16) */
	{0x91, 0, synchronize_cache},	 /* SYNCHRONIZE CACHE(16) */
	{0x93, SCSI_WRITES, write_same}, /* WRITE SAME(16) */
	{0x9e, 0, read_capacity16},
	{0xaa, SCSI_WRITES, scsi_write}, /* WRITE(12) */
	{0xaf, 0, verify},		 /* VERIFY(12) */
	{},
};
