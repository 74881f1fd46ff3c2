/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A flash memory with the Intel command set (JEDEC JEP137, command set 0001h; Intel 28F640J3 data sheet 290667),
 * eight bits wide, with sectors of 4 KiB: where UEFI firmware keeps its variables.
 *
 * While it shows its array it is memory that can be read; a write makes it a device until it is told to
 * show the array again. Programming is done at once. What has changed is written to the file behind it page by page, on the
 * block workers; drain waits for that.
 */
#include "block/block.h"
#include "base/error.h"
#include "dev/table.h"

#include <string.h>

enum {
	CMD_PROGRAM_ALT = 0x10,
	CMD_ERASE = 0x20,
	CMD_PROGRAM = 0x40,
	CMD_CLEAR_STATUS = 0x50,
	CMD_READ_STATUS = 0x70,
	CMD_READ_ID = 0x90,
	CMD_READ_QUERY = 0x98,
	CMD_CONFIRM = 0xd0,
	CMD_BUFFER = 0xe8,
	CMD_READ_ARRAY = 0xff,

	STATUS_READY = 0x80,
	STATUS_ERASE_ERROR = 0x20,
	STATUS_PROGRAM_ERROR = 0x10,

	ID_MANUFACTURER = 0x89,
	ID_DEVICE = 0x18,
};

#define SECTOR	    4096u
#define MAX_SECTORS 4096u
#define BUFFER_MAX  256u /* bytes of one buffered write */

/* What reads answer, and what the next write is. */
enum mode { READ_ARRAY, READ_STATUS, READ_ID, READ_QUERY, N_READ_MODES };
enum pending { NOTHING, PROGRAM, ERASE, BUFFER_COUNT, BUFFER_DATA, BUFFER_CONFIRM, N_PENDING };

struct cfi_flash {
	struct device device;
	uint64_t base;
	struct mem_bank *bank;
	struct block *block; /* NULL: contents go with the VM */
	uint8_t mode, pending, status;
	uint8_t buffer[BUFFER_MAX];
	uint32_t buffer_start, buffer_left, buffer_len;
	/* What the file does not have yet, a bit a sector; the one being written is in `page`. */
	uint64_t unwritten[MAX_SECTORS / 64];
	bool writing;
	uint8_t page[SECTOR];
	struct iovec iov;
	struct block_request request;
};

static uint32_t flash_size(const struct cfi_flash *flash)
{
	return mem_bank_size(flash->bank);
}

/* CFI query, from 10h: "QRY", the command set; the geometry: one region of 4 KiB sectors. */
static uint8_t query(const struct cfi_flash *flash, uint32_t offset)
{
	uint32_t sectors = flash_size(flash) / SECTOR - 1;
	const uint8_t table[] = {
		[0x10] = 'Q', 'R', 'Y', 0x01, 0x00, 0x31, 0x00,
		[0x1b] = 0x45, 0x55, 0x00, 0x00, 0x07, 0x07, 0x0a,
		[0x27] = g_bit_storage(flash_size(flash) - 1),
		[0x28] = 0x02, 0x00, 0x08, 0x00, 0x01, sectors, sectors >> 8, SECTOR / 256, SECTOR / 256 >> 8,
		[0x31] = 'P', 'R', 'I', '1', '0',
	};

	return offset < sizeof(table) ? table[offset] : 0;
}

static uint8_t read_byte(const struct cfi_flash *flash, uint32_t offset)
{
	switch (flash->mode) {
	case READ_STATUS:
		return flash->status;
	case READ_ID:
		return (offset & 0xff) == 0 ? ID_MANUFACTURER : (offset & 0xff) == 1 ? ID_DEVICE : 0;
	case READ_QUERY:
		return query(flash, offset & 0xff);
	default:
		return mem_bank_data(flash->bank)[offset];
	}
}

static uint64_t flash_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct cfi_flash *flash = opaque;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(flash, offset + i) << 8 * i;
	return value;
}

static void start_writing(struct cfi_flash *flash);

static void on_written(struct block_request *request, int status)
{
	struct cfi_flash *flash = request->opaque;

	g_mutex_lock(&flash->device.lock);
	flash->writing = false;
	if (status < 0)
		flash->status |= STATUS_PROGRAM_ERROR;
	else
		start_writing(flash);
	g_mutex_unlock(&flash->device.lock);
}

/* The next sector, if there is one and the worker is free. */
static void start_writing(struct cfi_flash *flash)
{
	unsigned word = 0, sector;

	while (word < G_N_ELEMENTS(flash->unwritten) && !flash->unwritten[word])
		word++;
	if (flash->writing || !flash->block || word == G_N_ELEMENTS(flash->unwritten))
		return;
	sector = word * 64 + __builtin_ctzll(flash->unwritten[word]);
	flash->unwritten[word] &= flash->unwritten[word] - 1;
	flash->writing = true;
	memcpy(flash->page, mem_bank_data(flash->bank) + sector * SECTOR, SECTOR);
	flash->iov = (struct iovec){flash->page, SECTOR};
	flash->request = (struct block_request){
		.op = BLOCK_WRITE,
		.offset = sector * SECTOR,
		.len = SECTOR,
		.iov = &flash->iov,
		.n_iov = 1,
		.done = on_written,
		.opaque = flash,
	};
	block_submit(flash->block, &flash->request);
}

static void changed(struct cfi_flash *flash, uint32_t offset, uint32_t len)
{
	mem_bank_written(flash->bank, offset, len);
	for (uint32_t sector = offset / SECTOR; sector <= (offset + len - 1) / SECTOR; sector++)
		flash->unwritten[sector / 64] |= 1ull << sector % 64;
}

/* Programming clears bits only. */
static void program(struct cfi_flash *flash, uint32_t offset, const uint8_t *bytes, uint32_t len)
{
	uint8_t *data = mem_bank_data(flash->bank) + offset;

	for (uint32_t i = 0; i < len; i++)
		data[i] &= bytes[i];
	changed(flash, offset, len);
	flash->status |= STATUS_READY;
}

static void erase(struct cfi_flash *flash, uint32_t offset, uint8_t confirm)
{
	uint32_t start = offset - offset % SECTOR;

	flash->status |= STATUS_READY;
	if (confirm != CMD_CONFIRM) {
		flash->status |= STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR;
		return;
	}
	memset(mem_bank_data(flash->bank) + start, 0xff, SECTOR);
	changed(flash, start, SECTOR);
}

static void set_mode(struct cfi_flash *flash, enum mode mode)
{
	bool was_array = flash->mode == READ_ARRAY;

	flash->mode = mode;
	if (was_array != (mode == READ_ARRAY))
		mem_set_access(flash->device.env->mem, flash->base, flash_size(flash),
			       mode == READ_ARRAY ? MEM_READ : MEM_NO_ACCESS);
}

static void write_command(struct cfi_flash *flash, uint8_t command)
{
	static const struct {
		uint8_t command, mode, pending;
	} commands[] = {
		{CMD_READ_ARRAY, READ_ARRAY, NOTHING},	 {CMD_READ_STATUS, READ_STATUS, NOTHING},
		{CMD_READ_ID, READ_ID, NOTHING},	 {CMD_READ_QUERY, READ_QUERY, NOTHING},
		{CMD_PROGRAM, READ_STATUS, PROGRAM},	 {CMD_PROGRAM_ALT, READ_STATUS, PROGRAM},
		{CMD_ERASE, READ_STATUS, ERASE},	 {CMD_BUFFER, READ_STATUS, BUFFER_COUNT},
	};

	if (command == CMD_CLEAR_STATUS) {
		flash->status = 0;
		set_mode(flash, READ_ARRAY);
		return;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (commands[i].command != command)
			continue;
		flash->pending = commands[i].pending;
		if (flash->pending == BUFFER_COUNT)
			flash->status |= STATUS_READY;
		set_mode(flash, commands[i].mode);
		return;
	}
	set_mode(flash, READ_ARRAY);
}

/* A buffered write: a count less one, as many bytes, wherever they go from the first one on, and a confirmation. */
static void write_buffer(struct cfi_flash *flash, uint32_t offset, uint8_t value)
{
	if (flash->pending == BUFFER_COUNT) {
		flash->buffer_left = value + 1u;
		flash->buffer_len = 0;
		flash->pending = BUFFER_DATA;
		return;
	}
	if (flash->pending == BUFFER_DATA) {
		if (!flash->buffer_len)
			flash->buffer_start = offset;
		flash->buffer[flash->buffer_len++] = value;
		if (!--flash->buffer_left)
			flash->pending = BUFFER_CONFIRM;
		return;
	}
	flash->pending = NOTHING;
	if (value == CMD_CONFIRM && flash->buffer_len <= flash_size(flash) - flash->buffer_start)
		program(flash, flash->buffer_start, flash->buffer, flash->buffer_len);
	else
		flash->status |= STATUS_READY | STATUS_PROGRAM_ERROR;
}

static void write_byte(struct cfi_flash *flash, uint32_t offset, uint8_t value)
{
	enum pending pending = flash->pending;

	switch (pending) {
	case PROGRAM:
		flash->pending = NOTHING;
		program(flash, offset, &value, 1);
		break;
	case ERASE:
		flash->pending = NOTHING;
		erase(flash, offset, value);
		break;
	case BUFFER_COUNT:
	case BUFFER_DATA:
	case BUFFER_CONFIRM:
		write_buffer(flash, offset, value);
		break;
	default:
		write_command(flash, value);
		break;
	}
	/* Not between the bytes of one change, which would write the same sector often. */
	if (flash->mode == READ_ARRAY)
		start_writing(flash);
}

static void flash_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		write_byte(opaque, offset + i, value >> 8 * i);
}

static const struct bus_ops flash_ops = {flash_read, flash_write};

static void on_read(struct block_request *request, int status)
{
	*(int *)request->opaque = status;
}

/* What the file holds, before the machine runs. */
static bool load_file(struct cfi_flash *flash, GError **error)
{
	int status = 0;
	struct iovec iov = {mem_bank_data(flash->bank), flash_size(flash)};
	struct block_request request = {
		.op = BLOCK_READ,
		.len = flash_size(flash),
		.iov = &iov,
		.n_iov = 1,
		.done = on_read,
		.opaque = &status,
	};

	block_submit(flash->block, &request);
	block_drain(flash->block);
	if (status == 0)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot read the firmware's variables: %s",
		    g_strerror(-status));
	return false;
}

/* The contents: the file's, or those of config->rom, which then go with the VM. */
static bool cfi_flash_init(struct device *device, const struct device_config *config, GError **error)
{
	struct cfi_flash *flash = (struct cfi_flash *)device;
	gsize rom_len = 0;
	const void *rom = config->rom ? g_bytes_get_data(config->rom, &rom_len) : NULL;
	uint64_t size = config->block ? block_size(config->block) : rom_len;

	if (!size || size % SECTOR || size > (uint64_t)MAX_SECTORS * SECTOR) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "a flash memory of %" G_GUINT64_FORMAT
			    " bytes: give a multiple of 4 KiB, at most 16 MiB",
			    size);
		return false;
	}
	flash->base = config->base - size;
	flash->block = config->block;
	flash->bank = mem_bank_new(device->env->mem, size, error);
	if (!flash->bank || (flash->block && !load_file(flash, error)))
		return false;
	if (!flash->block)
		memcpy(mem_bank_data(flash->bank), rom, size);
	mem_show(device->env->mem, flash->base, size, flash->bank, 0, MEM_READ);
	return device_map(device, BUS_MMIO, flash->base, size, &flash_ops, error);
}

static void cfi_flash_reset(struct device *device)
{
	struct cfi_flash *flash = (struct cfi_flash *)device;

	flash->pending = NOTHING;
	flash->status = STATUS_READY;
	set_mode(flash, READ_ARRAY);
}

static void cfi_flash_drain(struct device *device)
{
	struct cfi_flash *flash = (struct cfi_flash *)device;

	if (!flash->block)
		return;
	g_mutex_lock(&device->lock);
	start_writing(flash);
	g_mutex_unlock(&device->lock);
	block_drain(flash->block);
}

static void cfi_flash_post_load(struct device *device)
{
	struct cfi_flash *flash = (struct cfi_flash *)device;
	enum mode mode = flash->mode;

	flash->mode = mode == READ_ARRAY ? READ_STATUS : READ_ARRAY;
	set_mode(flash, mode);
}

static void cfi_flash_fini(struct device *device)
{
	struct cfi_flash *flash = (struct cfi_flash *)device;

	if (flash->bank)
		mem_show(device->env->mem, flash->base, flash_size(flash), NULL, 0, MEM_NO_ACCESS);
}

static const struct state_field cfi_flash_fields[] = {
	STATE_FIELD(struct cfi_flash, mode),	     STATE_FIELD(struct cfi_flash, pending),
	STATE_FIELD(struct cfi_flash, status),	     STATE_FIELD(struct cfi_flash, buffer),
	STATE_FIELD(struct cfi_flash, buffer_start), STATE_FIELD(struct cfi_flash, buffer_left),
	STATE_FIELD(struct cfi_flash, buffer_len),
};

static bool cfi_flash_check(const void *object)
{
	const struct cfi_flash *flash = object;

	return flash->mode < N_READ_MODES && flash->pending < N_PENDING &&
	       flash->buffer_start < flash_size(flash) && flash->buffer_len <= BUFFER_MAX &&
	       flash->buffer_left <= BUFFER_MAX - flash->buffer_len &&
	       (flash->pending != BUFFER_DATA || flash->buffer_left) &&
	       (flash->pending != BUFFER_CONFIRM || flash->buffer_len);
}

static const struct state_table cfi_flash_state = {
	.name = "cfi_flash",
	.version = 1,
	.object_size = sizeof(struct cfi_flash),
	.fields = cfi_flash_fields,
	.n_fields = G_N_ELEMENTS(cfi_flash_fields),
	.check = cfi_flash_check,
};

const struct device_class cfi_flash_class = {
	.name = "cfi_flash",
	.document = "JEDEC JEP137, command set 0001h (Intel)",
	.size = sizeof(struct cfi_flash),
	.state = &cfi_flash_state,
	.init = cfi_flash_init,
	.reset = cfi_flash_reset,
	.post_load = cfi_flash_post_load,
	.fini = cfi_flash_fini,
	.drain = cfi_flash_drain,
};
