/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE function of a PIIX3 (Intel 290550): two channels of two drives at
 * the ports and on the lines of a PC/AT, and a bus master for each (SFF-8038i). Task files are
 * ATA-4's.
 *
 * Both drives of a channel have a task file, and writes go to both; device 0 answers for an absent
 * device 1, with a status of zero (ATA-4). An empty channel floats.
 *
 * The ports decode whatever the IDETIM registers and the command register say: that the
 * latter turn channels off is not used, and a kernel that is booted without firmware finds them on.
 */
#include "base/le.h"
#include "dev/pci/pci.h"
#include "dev/storage/ata.h"

#define N_CHANNELS 2
#define N_DRIVES   (2 * N_CHANNELS)

/* Command block registers, from the channel's base; some differ by direction. */
enum {
	REG_DATA = 0,
	REG_ERROR = 1, /* write: features */
	REG_COUNT = 2,
	REG_LBA_LOW = 3,
	REG_LBA_HIGH = 5,
	REG_DEVICE = 6,
	REG_STATUS = 7, /* write: command */
	COMMAND_BLOCK_LEN = 8,
};

/* Device control. */
enum { CONTROL_NIEN = 1 << 1, CONTROL_SRST = 1 << 2, CONTROL_HOB = 1 << 7 };

enum { COMMAND_DEVICE_RESET = 0x08, COMMAND_DIAGNOSTIC = 0x90 };

/* Bus master, SFF-8038i 2.0: a channel's 8 ports. */
enum {
	BMIC = 0,
	BMIC_START = 1 << 0,
	BMIC_TO_MEMORY = 1 << 3,
	BMIS = 2,
	BMIS_ACTIVE = 1 << 0,
	BMIS_ERROR = 1 << 1,
	BMIS_INTERRUPT = 1 << 2,
	BMIS_CAPABLE = 3 << 5,
	BMIDTP = 4,
	BM_LEN = 8,
};

/* A table lies in one 64 KiB page. Entry: address, count (0: 64 KiB), end of table. */
enum { PRD_SIZE = 8, PRD_PAGE = 65536 };
#define PRD_END (1u << 31)

enum { IDETIM = 0x40, IDETIM_ENABLE = 0x8000, SIDETIM = 0x44 };

static const struct place {
	uint16_t command_block, control;
	uint8_t irq;
} places[N_CHANNELS] = {{0x1f0, 0x3f6, 14}, {0x170, 0x376, 15}};

struct channel {
	struct pci_device *pci;
	struct ata_drive drives[2];
	struct irq_line line;
	uint8_t select, control;
	uint32_t at; /* bytes of the drive's block that the data register has moved */
	uint8_t bmic, bmis;
	uint32_t bmidtp;
	struct ata_drive *mover; /* has the descriptor table, until it is drained at the latest */
};

struct piix_ide {
	struct pci_device pci;
	struct channel channels[N_CHANNELS];
};

static struct ata_drive *selected(struct channel *channel)
{
	return &channel->drives[channel->select];
}

static bool has_intrq(struct channel *channel)
{
	const struct ata_drive *drive = selected(channel);

	return drive->present && drive->intrq && !(channel->control & CONTROL_NIEN);
}

static void update_line(struct channel *channel)
{
	bool level = has_intrq(channel);

	if (level && !channel->line.level)
		channel->bmis |= BMIS_INTERRUPT;
	irq_line_set(&channel->line, level);
}

/* SFF-8038i: a table that is used up ends the bus master's activity; a longer one leaves it on.
 */
static void moved(struct channel *channel)
{
	const struct ata_sg *sg = &channel->mover->requests[0].sg;

	channel->mover = NULL;
	if (!sg->left && !sg->entries)
		channel->bmis &= ~BMIS_ACTIVE;
}

/* After whatever may have changed a drive's phase. */
static void run(struct channel *channel)
{
	struct ata_drive *drive = selected(channel);

	if (drive->present && drive->phase == ATA_DMA && channel->bmis & BMIS_ACTIVE &&
	    pci_is_master(channel->pci)) {
		struct ata_sg sg = {
			.table = channel->bmidtp,
			.entries = (PRD_PAGE - channel->bmidtp % PRD_PAGE) / PRD_SIZE,
		};

		channel->mover = drive;
		ata_dma(drive, &sg);
	}
	if (channel->mover && channel->mover->phase != ATA_BUSY)
		moved(channel);
	update_line(channel);
}

static struct channel *channel_of(struct ata_drive *drive)
{
	struct piix_ide *ide = (struct piix_ide *)drive->adapter;

	return &ide->channels[drive->index / 2];
}

static void drive_ready(struct ata_drive *drive)
{
	run(channel_of(drive));
}

static bool sg_next(struct ata_drive *drive, struct ata_sg *sg)
{
	uint8_t entry[PRD_SIZE];
	uint32_t count;

	if (!sg->entries || !mem_read(drive->adapter->env->mem, sg->table, entry, sizeof(entry)))
		return false;
	count = le32_load(entry + 4);
	sg->gpa = le32_load(entry) & ~1u;
	sg->left = count & 0xfffe ? count & 0xfffe : 65536;
	sg->table += PRD_SIZE;
	sg->entries = count & PRD_END ? 0 : sg->entries - 1;
	return true;
}

static void sg_short(struct ata_drive *drive, unsigned tag, bool fault)
{
	struct channel *channel = channel_of(drive);

	channel->bmis &= ~BMIS_ACTIVE;
	if (fault)
		channel->bmis |= BMIS_ERROR;
}

static const struct ata_ops drive_ops = {
	.ready = drive_ready,
	.sg_next = sg_next,
	.sg_short = sg_short,
};

/* The bytes of a block that are left for the data register, and where. */
static uint8_t *data_left(struct channel *channel, uint32_t *left)
{
	uint32_t len;
	uint8_t *block = ata_block(selected(channel), &len);

	channel->at = MIN(channel->at, len);
	*left = len - channel->at;
	return block + channel->at;
}

static void data_moved(struct channel *channel, uint32_t n, uint32_t left)
{
	channel->at += n;
	if (n < left)
		return;
	channel->at = 0;
	ata_block_done(selected(channel));
	run(channel);
}

static uint64_t data_read(struct channel *channel, unsigned size)
{
	uint64_t value = 0;
	uint32_t left, n;
	uint8_t *data;

	if (!selected(channel)->present || selected(channel)->phase != ATA_DATA_IN)
		return 0;
	data = data_left(channel, &left);
	n = MIN(size, left);
	memcpy(&value, data, n);
	data_moved(channel, n, left);
	return value;
}

static void data_write(struct channel *channel, uint64_t value, unsigned size)
{
	struct ata_drive *drive = selected(channel);
	uint32_t left, n;
	uint8_t *data;

	if (!drive->present || (drive->phase != ATA_DATA_OUT && drive->phase != ATA_PACKET))
		return;
	data = data_left(channel, &left);
	n = MIN(size, left);
	memcpy(data, &value, n);
	data_moved(channel, n, left);
}

/* What a channel without drives reads as: the host pulls DD7 down, so that it never looks busy (ATA/ATAPI-8 parallel
 * transport). */
#define FLOATING 0x7f

static bool floats(const struct channel *channel)
{
	return !channel->drives[0].present && !channel->drives[1].present;
}

static uint8_t status_read(struct channel *channel)
{
	if (floats(channel))
		return FLOATING;
	if (channel->control & CONTROL_SRST)
		return ATA_STATUS_BSY;
	return selected(channel)->present ? selected(channel)->regs.status : 0;
}

static uint8_t reg_read(struct channel *channel, unsigned reg)
{
	const struct ata_drive *drive = selected(channel);
	const struct ata_regs *regs = &drive->regs;
	unsigned shift = channel->control & CONTROL_HOB ? 8 : 0;

	if (floats(channel))
		return FLOATING;
	if (!drive->present)
		regs = &channel->drives[!channel->select].regs;
	switch (reg) {
	case REG_ERROR:
		return regs->error;
	case REG_COUNT:
		return regs->count >> shift;
	case REG_DEVICE:
		return regs->device | 0xa0;
	case REG_STATUS:
		selected(channel)->intrq = false;
		update_line(channel);
		return status_read(channel);
	default:
		return regs->lba[reg - REG_LBA_LOW] >> shift;
	}
}

static void command_write(struct channel *channel, uint8_t command)
{
	struct ata_drive *drive = selected(channel);

	channel->at = 0;
	if (command == COMMAND_DIAGNOSTIC) {
		/* Both take part, device 0 tells. */
		channel->select = 0;
		for (unsigned i = 0; i < 2; i++) {
			channel->drives[i].regs.device &= ~ATA_DEVICE_DEV;
			/* It may still be in a reset. */
			if (channel->drives[i].phase != ATA_BUSY)
				ata_command(&channel->drives[i], command);
		}
		channel->drives[1].intrq = false;
	} else if (drive->present) {
		ata_command(drive, command);
	}
	run(channel);
}

/* Of two bytes each; command block registers are written to both drives. */
static void reg_write(struct channel *channel, unsigned reg, uint8_t value)
{
	const struct ata_drive *drive = selected(channel);
	bool busy = drive->present && drive->regs.status & (ATA_STATUS_BSY | ATA_STATUS_DRQ);
	/* Which ends whatever an ATAPI drive does. */
	bool device_reset = reg == REG_STATUS && value == COMMAND_DEVICE_RESET && drive->cdrom;

	if (floats(channel) || channel->control & CONTROL_SRST || (busy && !device_reset))
		return;
	channel->control &= ~CONTROL_HOB;
	if (reg == REG_STATUS) {
		command_write(channel, value);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct ata_regs *regs = &channel->drives[i].regs;

		if (reg == REG_ERROR)
			regs->feature = regs->feature << 8 | value;
		else if (reg == REG_COUNT)
			regs->count = regs->count << 8 | value;
		else if (reg == REG_DEVICE)
			regs->device = value;
		else
			regs->lba[reg - REG_LBA_LOW] = regs->lba[reg - REG_LBA_LOW] << 8 | value;
	}
	if (reg == REG_DEVICE) {
		channel->select = (value & ATA_DEVICE_DEV) != 0;
		run(channel);
	}
}

static uint64_t block_read(void *opaque, uint64_t offset, unsigned size)
{
	struct channel *channel = opaque;
	uint64_t value = 0;

	if (offset == REG_DATA)
		return floats(channel) ? UINT64_MAX : data_read(channel, size);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)reg_read(channel, offset + i) << 8 * i;
	return value;
}

static void block_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct channel *channel = opaque;

	if (offset == REG_DATA) {
		data_write(channel, value, size);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		reg_write(channel, offset + i, value >> 8 * i);
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct channel *channel = opaque;
	bool reset = channel->control & CONTROL_SRST && !(value & CONTROL_SRST);

	channel->control = value;
	for (unsigned i = 0; i < 2 && reset; i++) {
		struct ata_drive *drive = &channel->drives[i];

		drive->regs.device = 0;
		if (drive->present)
			ata_reset(drive);
	}
	if (reset)
		channel->select = channel->at = 0;
	run(channel);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
	return status_read(opaque);
}

static const struct bus_ops block_ops = {block_read, block_write};
static const struct bus_ops control_ops = {control_read, control_write, 1, 1};

static uint8_t bm_read8(const struct channel *channel, unsigned reg)
{
	if (reg >= BMIDTP)
		return channel->bmidtp >> 8 * (reg - BMIDTP);
	return reg == BMIC ? channel->bmic : reg == BMIS ? channel->bmis : 0;
}

static void bmic_write(struct channel *channel, uint8_t value)
{
	bool was_on = channel->bmic & BMIC_START;

	channel->bmic = value & (BMIC_START | BMIC_TO_MEMORY);
	if (was_on && !(value & BMIC_START)) {
		channel->bmis &= ~BMIS_ACTIVE;
		if (channel->mover)
			ata_dma_stop(channel->mover);
	} else if (!was_on && value & BMIC_START) {
		channel->bmis |= BMIS_ACTIVE;
		run(channel);
	}
}

static void bm_write8(struct channel *channel, unsigned reg, uint8_t value)
{
	if (reg == BMIC) {
		bmic_write(channel, value);
	} else if (reg == BMIS) {
		channel->bmis &= ~(value & (BMIS_ERROR | BMIS_INTERRUPT));
		channel->bmis = (channel->bmis & ~BMIS_CAPABLE) | (value & BMIS_CAPABLE);
	} else if (reg >= BMIDTP) {
		unsigned shift = 8 * (reg - BMIDTP);

		channel->bmidtp = (channel->bmidtp & ~(0xffu << shift)) | (uint32_t)value << shift;
		channel->bmidtp &= ~3u;
	}
}

static uint64_t bm_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct piix_ide *ide = opaque;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		unsigned at = offset + i;

		value |= (uint64_t)bm_read8(&ide->channels[at / BM_LEN], at % BM_LEN) << 8 * i;
	}
	return value;
}

static void bm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct piix_ide *ide = opaque;

	for (unsigned i = 0; i < size; i++) {
		unsigned at = offset + i;

		bm_write8(&ide->channels[at / BM_LEN], at % BM_LEN, value >> 8 * i);
	}
}

static const struct bus_ops bm_ops = {bm_read, bm_write};

static bool init_channel(struct piix_ide *ide, unsigned n, const struct device_config *config,
			 GError **error)
{
	struct channel *channel = &ide->channels[n];
	struct device *device = &ide->pci.device;

	channel->pci = &ide->pci;
	irq_line_init(&channel->line, device->env->bus, places[n].irq);
	for (unsigned i = 0; i < 2; i++)
		ata_drive_init(&channel->drives[i], device, 2 * n + i, &drive_ops, config, false);
	return device_map_part(device, BUS_PIO, places[n].command_block, COMMAND_BLOCK_LEN,
			       &block_ops, channel, error) &&
	       device_map_part(device, BUS_PIO, places[n].control, 1, &control_ops, channel, error);
}

static bool piix_ide_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086, .device = 0x7010, .class_code = 0x010180};
	struct piix_ide *ide = (struct piix_ide *)device;
	struct pci_device *pci = &ide->pci;

	if (!pci_device_init(pci, &ids, NULL, config, error))
		return false;
	le16_store(pci->write_mask + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	le16_store(pci->defaults + PCI_STATUS, 0x0280);
	pci_add_bar(pci, 4, PCI_BAR_IO, N_CHANNELS * BM_LEN, &bm_ops);
	for (unsigned i = 0; i < N_CHANNELS; i++) {
		le16_store(pci->defaults + IDETIM + 2 * i, IDETIM_ENABLE);
		le16_store(pci->write_mask + IDETIM + 2 * i, 0xffff);
	}
	pci->write_mask[SIDETIM] = 0xff;
	return init_channel(ide, 0, config, error) && init_channel(ide, 1, config, error);
}

static void piix_ide_reset(struct device *device)
{
	struct piix_ide *ide = (struct piix_ide *)device;

	pci_device_reset(&ide->pci);
	for (unsigned i = 0; i < N_CHANNELS; i++) {
		struct channel *channel = &ide->channels[i];

		ata_drive_power_on(&channel->drives[0]);
		ata_drive_power_on(&channel->drives[1]);
		channel->select = channel->control = 0;
		channel->at = 0;
		channel->bmic = channel->bmis = 0;
		channel->bmidtp = 0;
		channel->mover = NULL;
		update_line(channel);
	}
}

static void piix_ide_post_load(struct device *device)
{
	struct piix_ide *ide = (struct piix_ide *)device;

	pci_device_post_load(&ide->pci);
	for (unsigned i = 0; i < N_CHANNELS; i++)
		irq_line_set(&ide->channels[i].line, has_intrq(&ide->channels[i]));
}

static bool is_idle(struct piix_ide *ide)
{
	bool idle = true;

	g_mutex_lock(&ide->pci.device.lock);
	for (unsigned i = 0; i < N_DRIVES; i++)
		idle = idle && !ide->channels[i / 2].drives[i % 2].in_flight;
	g_mutex_unlock(&ide->pci.device.lock);
	return idle;
}

/* What ends on one drive can start something on the channel's other one. */
static void piix_ide_drain(struct device *device)
{
	struct piix_ide *ide = (struct piix_ide *)device;

	do {
		for (unsigned i = 0; i < N_DRIVES; i++)
			ata_drive_drain(&ide->channels[i / 2].drives[i % 2]);
	} while (!is_idle(ide));
}

static void piix_ide_fini(struct device *device)
{
	struct piix_ide *ide = (struct piix_ide *)device;

	pci_device_fini(&ide->pci);
	for (unsigned i = 0; i < N_DRIVES; i++)
		ata_drive_fini(&ide->channels[i / 2].drives[i % 2]);
}

static bool piix_ide_set_medium(struct device *device, unsigned drive, struct block *medium)
{
	struct piix_ide *ide = (struct piix_ide *)device;

	return drive < N_DRIVES &&
	       ata_drive_set_medium(&ide->channels[drive / 2].drives[drive % 2], medium);
}

#define CHANNEL_FIELDS(n)                                                 \
	ATA_DRIVE_FIELDS(struct piix_ide, channels[n].drives[0]),         \
		ATA_DRIVE_FIELDS(struct piix_ide, channels[n].drives[1]), \
		STATE_FIELD(struct piix_ide, channels[n].select),         \
		STATE_FIELD(struct piix_ide, channels[n].control),        \
		STATE_FIELD(struct piix_ide, channels[n].at),             \
		STATE_FIELD(struct piix_ide, channels[n].bmic),           \
		STATE_FIELD(struct piix_ide, channels[n].bmis),           \
		STATE_FIELD(struct piix_ide, channels[n].bmidtp)

static const struct state_field piix_ide_fields[] = {
	PCI_DEVICE_FIELDS(struct piix_ide, pci),
	CHANNEL_FIELDS(0),
	CHANNEL_FIELDS(1),
};

static bool piix_ide_check(const void *object)
{
	const struct piix_ide *ide = object;

	for (unsigned i = 0; i < N_CHANNELS; i++) {
		const struct channel *channel = &ide->channels[i];

		if (channel->select > 1 || channel->bmidtp & 3 ||
		    !ata_drive_check(&channel->drives[0]) || !ata_drive_check(&channel->drives[1]))
			return false;
	}
	return pci_device_check(&ide->pci);
}

static const struct state_table piix_ide_state = {
	.name = "piix-ide",
	.version = 1,
	.object_size = sizeof(struct piix_ide),
	.fields = piix_ide_fields,
	.n_fields = G_N_ELEMENTS(piix_ide_fields),
	.check = piix_ide_check,
};

const struct device_class piix_ide_class = {
	.name = "piix-ide",
	.document = "Intel 290550, 82371SB PIIX3, function 1; SFF-8038i; ATA8-ACS",
	.size = sizeof(struct piix_ide),
	.state = &piix_ide_state,
	.init = piix_ide_init,
	.reset = piix_ide_reset,
	.post_load = piix_ide_post_load,
	.fini = piix_ide_fini,
	.drain = piix_ide_drain,
	.set_medium = piix_ide_set_medium,
};
