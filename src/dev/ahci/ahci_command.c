/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A port's commands: their fetch, their data and the FISes that tell of them. */
#include "base/le.h"
#include "dev/ahci/ahci_int.h"

/* Command list and table. */
enum {
	HEADER_SIZE = 32,
	HEADER_PRDTL = 2,
	HEADER_PRDBC = 4,
	HEADER_CTBA = 8,
	CFIS_SIZE = 20,
	ACMD_AT = 0x40,
	PRDT_AT = 0x80,
	PRD_SIZE = 16,
	PRD_DBC = 12,
	PRD_DBC_MASK = 0x3fffff,
};

/* Where FISes arrive, and what they begin with (Serial ATA). */
enum { PSFIS_AT = 0x20, RFIS_AT = 0x40, SDBFIS_AT = 0x58 };
enum {
	FIS_H2D = 0x27,
	FIS_H2D_COMMAND = 0x80,
	FIS_D2H = 0x34,
	FIS_PIO_SETUP = 0x5f,
	FIS_DEVICE_BITS = 0xa1,
	FIS_INTERRUPT = 0x40,
	FIS_TO_HOST = 0x20,
	FIS_SIZE = 20,
	CONTROL_SRST = 0x04,
};

static struct mem *guest_mem(const struct ahci_port *port)
{
	return port->ahci->pci.device.env->mem;
}

static void stop(struct ahci_port *port, uint32_t cause)
{
	port->is |= cause;
	port->halted = true;
}

/* FISes from the drive. */

static void post(struct ahci_port *port, unsigned at, const void *fis, unsigned len)
{
	if (port->cmd & CMD_FRE)
		mem_write(guest_mem(port), port->fb + at, fis, len);
}

static void take_registers(struct ahci_port *port)
{
	port->tfd = port->drive.regs.error << 8 | port->drive.regs.status;
}

static void fill_fis(const struct ahci_port *port, uint8_t *fis, uint8_t type, uint8_t flags)
{
	const struct ata_regs *regs = &port->drive.regs;

	fis[0] = type;
	fis[1] = flags;
	fis[2] = regs->status;
	fis[3] = regs->error;
	for (unsigned i = 0; i < 3; i++) {
		fis[4 + i] = regs->lba[i];
		fis[8 + i] = regs->lba[i] >> 8;
	}
	fis[7] = regs->device;
	le16_store(fis + 12, regs->count);
}

static void post_registers(struct ahci_port *port, bool interrupt)
{
	uint8_t fis[FIS_SIZE] = {};

	fill_fis(port, fis, FIS_D2H, interrupt ? FIS_INTERRUPT : 0);
	post(port, RFIS_AT, fis, sizeof(fis));
	take_registers(port);
	if (interrupt)
		port->is |= IS_DHRS;
}

/* For a block of data, whose end leaves the drive with `status`. */
static void post_pio_setup(struct ahci_port *port, bool to_host, uint8_t status, uint32_t len)
{
	uint8_t fis[FIS_SIZE] = {};

	fill_fis(port, fis, FIS_PIO_SETUP, FIS_INTERRUPT | (to_host ? FIS_TO_HOST : 0));
	fis[15] = status;
	le16_store(fis + 16, len);
	post(port, PSFIS_AT, fis, sizeof(fis));
	port->is |= IS_PSS;
}

static void post_device_bits(struct ahci_port *port, uint32_t active)
{
	const struct ata_regs *regs = &port->drive.regs;
	uint8_t fis[8] = {FIS_DEVICE_BITS, FIS_INTERRUPT, regs->status & 0x77, regs->error};

	le32_store(fis + 4, active);
	post(port, SDBFIS_AT, fis, sizeof(fis));
	take_registers(port);
	port->is |= IS_SDBS;
}

/* Data. */

static struct ahci_port *port_of(struct ata_drive *drive)
{
	return &((struct ahci *)drive->adapter)->ports[drive->index];
}

static bool sg_next(struct ata_drive *drive, struct ata_sg *sg)
{
	uint8_t entry[PRD_SIZE];

	if (!sg->entries || !mem_read(drive->adapter->env->mem, sg->table, entry, sizeof(entry)))
		return false;
	sg->gpa = le64_load(entry) & ~1ull;
	sg->left = ((le32_load(entry + PRD_DBC) & PRD_DBC_MASK) | 1) + 1;
	sg->table += PRD_SIZE;
	sg->entries--;
	return true;
}

static void sg_short(struct ata_drive *drive, unsigned tag, bool fault)
{
	struct ahci_port *port = port_of(drive);

	/* Otherwise the driver has taken the memory back. */
	if (port->cmd & CMD_ST)
		stop(port, fault ? IS_HBFS : IS_OFS);
}

/* A block between the drive's buffer and guest memory. */
static bool copy_block(struct ahci_port *port, uint8_t *block, uint32_t len, bool to_host)
{
	struct ata_sg *sg = &port->sg;

	while (len) {
		uint32_t n;

		if (!sg->left && !sg_next(&port->drive, sg)) {
			stop(port, IS_OFS);
			return false;
		}
		n = MIN(len, sg->left);
		if (!(to_host ? mem_write(guest_mem(port), sg->gpa, block, n)
			      : mem_read(guest_mem(port), sg->gpa, block, n))) {
			stop(port, IS_HBFS);
			return false;
		}
		sg->gpa += n;
		sg->left -= n;
		block += n;
		len -= n;
		port->moved += n;
	}
	return true;
}

static void pio_block(struct ahci_port *port)
{
	bool to_host = port->drive.phase == ATA_DATA_IN;
	uint8_t status = port->drive.regs.status & ~ATA_STATUS_DRQ;
	uint32_t len;
	uint8_t *block = ata_block(&port->drive, &len);

	if (!copy_block(port, block, len, to_host))
		return;
	post_pio_setup(port, to_host, status, len);
	port->drive.intrq = false; /* the block's, which the FIS has told */
	ata_block_done(&port->drive);
}

static void send_packet(struct ahci_port *port)
{
	uint32_t len;
	uint8_t *block = ata_block(&port->drive, &len);

	if (mem_read(guest_mem(port), port->table + ACMD_AT, block, len))
		ata_block_done(&port->drive);
	else
		stop(port, IS_HBFS);
}

/* Commands. */

static void end_command(struct ahci_port *port)
{
	struct ata_drive *drive = &port->drive;
	uint8_t moved[4];

	le32_store(moved, port->moved + drive->requests[0].moved);
	mem_write(guest_mem(port), port->clb + port->slot * HEADER_SIZE + HEADER_PRDBC, moved, 4);
	/* PIO data-in commands end with their last block. */
	if (drive->intrq)
		post_registers(port, true);
	else
		take_registers(port);
	drive->intrq = false;
	if (drive->regs.status & ATA_STATUS_ERR) {
		stop(port, IS_TFES);
		return;
	}
	port->ci &= ~(1u << port->slot);
	port->slot = AHCI_NO_SLOT;
}

/* Goes on with the command in `slot`; false: it waits for the disk. */
static bool go_on(struct ahci_port *port)
{
	struct ata_drive *drive = &port->drive;

	switch ((enum ata_phase)drive->phase) {
	case ATA_PACKET:
		send_packet(port);
		break;
	case ATA_DATA_IN:
	case ATA_DATA_OUT:
		pio_block(port);
		break;
	case ATA_DMA:
		ata_dma(drive, &port->sg);
		break;
	case ATA_IDLE:
		end_command(port);
		break;
	default:
		return false;
	}
	return true;
}

void ahci_signature(struct ahci_port *port)
{
	port->connecting = false;
	post_registers(port, false);
}

/* Serial ATA: a register FIS that is no command says SRST, then that it is over. */
static void control(struct ahci_port *port, unsigned slot, uint8_t value)
{
	port->ci &= ~(1u << slot);
	if (value & CONTROL_SRST) {
		port->srst = true;
		port->tfd |= ATA_STATUS_BSY;
	} else if (port->srst) {
		port->srst = false;
		ata_reset(&port->drive);
		port->connecting = port->drive.reset_pending;
		if (!port->connecting)
			ahci_signature(port);
	}
}

static void load_registers(struct ata_drive *drive, const uint8_t *fis)
{
	struct ata_regs *regs = &drive->regs;

	regs->feature = fis[3] | fis[11] << 8;
	regs->count = le16_load(fis + 12);
	for (unsigned i = 0; i < 3; i++)
		regs->lba[i] = fis[4 + i] | fis[8 + i] << 8;
	regs->device = fis[7];
}

/* Gives the drive the command in `slot`; false: it has to wait. */
static bool start(struct ahci_port *port, unsigned slot)
{
	struct ata_drive *drive = &port->drive;
	uint8_t header[HEADER_SIZE], fis[CFIS_SIZE];
	struct ata_sg sg = {};
	bool queued;

	if (!mem_read(guest_mem(port), port->clb + slot * HEADER_SIZE, header, sizeof(header))) {
		stop(port, IS_HBFS);
		return false;
	}
	port->table = le64_load(header + HEADER_CTBA) & ~127ull;
	sg.table = port->table + PRDT_AT;
	sg.entries = le16_load(header + HEADER_PRDTL);
	if (!mem_read(guest_mem(port), port->table, fis, sizeof(fis))) {
		stop(port, IS_HBFS);
		return false;
	}
	if (fis[0] != FIS_H2D) {
		stop(port, IS_IFS);
		return false;
	}
	if (!(fis[1] & FIS_H2D_COMMAND)) {
		control(port, slot, fis[15]);
		return true;
	}
	queued = ata_is_queued_command(fis[2]);
	if (drive->phase != ATA_IDLE || port->srst || (drive->in_flight && !queued))
		return false;
	load_registers(drive, fis);
	port->moved = drive->requests[0].moved = 0;
	if (queued) {
		port->ci &= ~(1u << slot);
		if (ata_queue(drive, fis[2], slot, &sg))
			return true;
	} else {
		ata_command(drive, fis[2]);
	}
	port->slot = slot;
	port->sg = sg;
	port->tfd |= ATA_STATUS_BSY;
	return true;
}

/* Each turn takes a bit out of PxCI or moves the command on, which does not go round. */
void ahci_run(struct ahci_port *port)
{
	bool more = true;

	while (more && port->cmd & CMD_ST && !port->halted && port->drive.present) {
		if (port->slot != AHCI_NO_SLOT)
			more = go_on(port);
		else if (port->ci)
			more = start(port, __builtin_ctz(port->ci));
		else
			break;
	}
	ahci_update_interrupt(port->ahci);
}

static void drive_ready(struct ata_drive *drive)
{
	struct ahci_port *port = port_of(drive);

	if (port->connecting) {
		ahci_signature(port);
		ahci_update_resetting(port->ahci);
	} else if (!(port->cmd & CMD_ST)) {
		take_registers(port);
	}
	ahci_run(port);
}

/* After an error nothing is told of other commands, and the driver asks the drive
 * why. */
static void drive_queued(struct ata_drive *drive, unsigned tag)
{
	struct ahci_port *port = port_of(drive);

	if (!(port->cmd & CMD_ST) || port->halted)
		return;
	if (drive->regs.status & ATA_STATUS_ERR) {
		post_device_bits(port, 0);
		stop(port, IS_TFES);
		return;
	}
	port->sact &= ~(1u << tag);
	post_device_bits(port, 1u << tag);
}

const struct ata_ops ahci_drive_ops = {
	.ready = drive_ready,
	.sg_next = sg_next,
	.sg_short = sg_short,
	.queued = drive_queued,
};
