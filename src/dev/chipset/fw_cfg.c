/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg (QEMU, docs/specs/fw_cfg): a selector and a data port, and a DMA interface that firmware prefers. All items
 * are read-only.
 */
#include "dev/chipset/fw_cfg.h"

#include <string.h>

#include "base/be.h"
#include "base/le.h"
#include "dev/device.h"

enum {
	/* Ports */
	SELECTOR = 0x510,
	DATA = 1,      /* from SELECTOR */
	DMA_HIGH = 4,  /* big-endian halves of the address of an access structure; */
	DMA_LOW = 8,   /* writing this one starts it */
	PORTS = 12,

	/* Items */
	ITEM_SIGNATURE = 0x00,
	ITEM_ID = 0x01,
	ITEM_FILE_DIR = 0x19,
	ID_TRADITIONAL = 1,
	ID_DMA = 2,
	KEY_MASK = 0xbfff, /* without the bit for writing; the highest makes an item the architecture's own */
	DIR_ENTRY = 8 + FW_CFG_NAME_SIZE,

	/* The access structure: control, length, address, all big-endian */
	ACCESS_CONTROL = 0,
	ACCESS_LENGTH = 4,
	ACCESS_ADDRESS = 8,
	ACCESS_SIZE = 16,
	CONTROL_ERROR = 1,
	CONTROL_READ = 2,
	CONTROL_SKIP = 4,
	CONTROL_SELECT = 8,
	CONTROL_WRITE = 16,

	CHUNK = 4096,
	MAX_ITEMS = FW_CFG_MAX_FILES + 16,
};

/* What reading the upper half of the DMA address register tells, "QEMU CFG" in all. */
#define DMA_SIGNATURE_HIGH 0x51454d55u
#define DMA_SIGNATURE_LOW  0x20434647u

struct item {
	uint16_t key;
	GBytes *bytes;
};

struct fw_cfg {
	struct device device;
	struct item items[MAX_ITEMS];
	unsigned n_items;
	uint16_t selected;
	uint32_t offset; /* of the next byte */
	uint32_t dma_high;
};

/* The bytes of the selected item that are left. */
static const uint8_t *remaining(const struct fw_cfg *fw, size_t *len)
{
	for (unsigned i = 0; i < fw->n_items; i++) {
		const uint8_t *data;
		size_t size;

		if (fw->items[i].key != (fw->selected & KEY_MASK))
			continue;
		data = g_bytes_get_data(fw->items[i].bytes, &size);
		*len = fw->offset < size ? size - fw->offset : 0;
		return data + MIN(fw->offset, size);
	}
	*len = 0;
	return NULL;
}

static void skip(struct fw_cfg *fw, uint32_t len)
{
	fw->offset = len > UINT32_MAX - fw->offset ? UINT32_MAX : fw->offset + len;
}

static void select_item(struct fw_cfg *fw, uint16_t key)
{
	fw->selected = key;
	fw->offset = 0;
}

static uint8_t read_byte(struct fw_cfg *fw)
{
	size_t len;
	const uint8_t *data = remaining(fw, &len);
	uint8_t byte = len ? *data : 0;

	skip(fw, 1);
	return byte;
}

/* Zeros past the item's end. False: some of it is no RAM. */
static bool read_to(struct fw_cfg *fw, uint64_t gpa, uint32_t len)
{
	static const uint8_t zeros[CHUNK];
	struct mem *mem = fw->device.env->mem;
	size_t have;
	const uint8_t *data = remaining(fw, &have);
	uint32_t part = MIN(len, have);

	if (!mem_range(mem, gpa, MAX(len, 1)) || !mem_write(mem, gpa, data, part))
		return false;
	for (uint32_t at = part; at < len; at += CHUNK)
		mem_write(mem, gpa + at, zeros, MIN(CHUNK, len - at));
	skip(fw, len);
	return true;
}

static void run_dma(struct fw_cfg *fw, uint64_t gpa)
{
	uint8_t access[ACCESS_SIZE], status[4] = {0};
	uint32_t control, len;
	bool ok = true;

	if (!mem_read(fw->device.env->mem, gpa, access, sizeof(access)))
		return; /* nowhere to report it */
	control = be32_load(access + ACCESS_CONTROL);
	len = be32_load(access + ACCESS_LENGTH);
	if (control & CONTROL_SELECT)
		select_item(fw, control >> 16);
	if (control & CONTROL_READ)
		ok = read_to(fw, be64_load(access + ACCESS_ADDRESS), len);
	else if (control & CONTROL_WRITE)
		ok = false;
	else if (control & CONTROL_SKIP)
		skip(fw, len);
	if (!ok)
		be32_store(status, CONTROL_ERROR);
	mem_write(fw->device.env->mem, gpa + ACCESS_CONTROL, status, sizeof(status));
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
	struct fw_cfg *fw = opaque;

	if (offset == DATA && size == 1)
		return read_byte(fw);
	if (size != 4)
		return 0;
	/* The registers are big-endian on a little-endian bus. */
	return offset == DMA_HIGH  ? __builtin_bswap32(DMA_SIGNATURE_HIGH)
	       : offset == DMA_LOW ? __builtin_bswap32(DMA_SIGNATURE_LOW)
				   : 0;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct fw_cfg *fw = opaque;

	if (offset == 0 && size == 2) {
		select_item(fw, value);
	} else if (offset == DMA_HIGH && size == 4) {
		fw->dma_high = __builtin_bswap32(value);
	} else if (offset == DMA_LOW && size == 4) {
		uint64_t high = fw->dma_high;

		fw->dma_high = 0;
		run_dma(fw, high << 32 | __builtin_bswap32(value));
	}
}

/* The data port lies in the selector's second byte: a word written to the first is the selector's. */
static const struct bus_ops port_ops = {port_read, port_write, 1, 4};

static void add_item(struct fw_cfg *fw, uint16_t key, GBytes *bytes)
{
	g_assert(fw->n_items < MAX_ITEMS);
	fw->items[fw->n_items++] = (struct item){key, g_bytes_ref(bytes)};
}

static void add_constant(struct fw_cfg *fw, uint16_t key, const void *data, size_t len)
{
	g_autoptr(GBytes) bytes = g_bytes_new(data, len);

	add_item(fw, key, bytes);
}

/* An entry: size, key, 0, all big-endian, and the name. */
static void append_dir_entry(GByteArray *dir, uint16_t key, const struct fw_cfg_file *file)
{
	uint8_t entry[DIR_ENTRY] = {0};

	be32_store(entry, g_bytes_get_size(file->bytes));
	be16_store(entry + 4, key);
	g_strlcpy((char *)entry + 8, file->name, FW_CFG_NAME_SIZE);
	g_byte_array_append(dir, entry, sizeof(entry));
}

static bool fw_cfg_init(struct device *device, const struct device_config *config, GError **error)
{
	struct fw_cfg *fw = (struct fw_cfg *)device;
	g_autoptr(GByteArray) dir = g_byte_array_new();
	uint16_t key = FW_CFG_FIRST_FILE;
	uint8_t word[4];

	le32_store(word, ID_TRADITIONAL | ID_DMA);
	add_constant(fw, ITEM_SIGNATURE, "QEMU", 4);
	add_constant(fw, ITEM_ID, word, sizeof(word));
	g_byte_array_append(dir, word, sizeof(word));
	for (unsigned i = 0; i < config->n_files; i++) {
		const struct fw_cfg_file *file = &config->files[i];

		g_assert(!file->name || strlen(file->name) < FW_CFG_NAME_SIZE);
		if (file->name)
			append_dir_entry(dir, key, file);
		add_item(fw, file->name ? key++ : file->key, file->bytes);
	}
	be32_store(dir->data, key - FW_CFG_FIRST_FILE);
	add_constant(fw, ITEM_FILE_DIR, dir->data, dir->len);
	return device_map(device, BUS_PIO, SELECTOR, PORTS, &port_ops, error);
}

static void fw_cfg_reset(struct device *device)
{
	struct fw_cfg *fw = (struct fw_cfg *)device;

	select_item(fw, ITEM_SIGNATURE);
	fw->dma_high = 0;
}

static void fw_cfg_fini(struct device *device)
{
	struct fw_cfg *fw = (struct fw_cfg *)device;

	for (unsigned i = 0; i < fw->n_items; i++)
		g_bytes_unref(fw->items[i].bytes);
}

static const struct state_field fw_cfg_fields[] = {
	STATE_FIELD(struct fw_cfg, selected),
	STATE_FIELD(struct fw_cfg, offset),
	STATE_FIELD(struct fw_cfg, dma_high),
};

static const struct state_table fw_cfg_state = {
	.name = "fw_cfg",
	.version = 1,
	.object_size = sizeof(struct fw_cfg),
	.fields = fw_cfg_fields,
	.n_fields = G_N_ELEMENTS(fw_cfg_fields),
};

const struct device_class fw_cfg_class = {
	.name = "fw_cfg",
	.document = "QEMU's specification of fw_cfg",
	.size = sizeof(struct fw_cfg),
	.state = &fw_cfg_state,
	.init = fw_cfg_init,
	.reset = fw_cfg_reset,
	.fini = fw_cfg_fini,
};
