/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SATA function of an ICH9 (Intel 316972, chapters 15 and 16) in AHCI mode: Serial ATA
 * AHCI 1.3.1, six ports of a disk or CD-ROM drive. Section numbers are AHCI's.
 *
 * A slot is the drive's from the moment it is fetched: `slot`, a command that is not queued, or a
 * bit of PxSACT that is no longer in PxCI. An error stops the port until PxCMD.ST is cleared.
 */
#include "base/le.h"
#include "dev/pci/pci.h"
#include "dev/storage/ata.h"

#define N_PORTS	 6
#define N_SLOTS	 ATA_MAX_QUEUE
#define NO_SLOT	 0xff
#define ABAR	 5
#define ABAR_LEN 0x800

/* Generic host control, section 3.1. */
enum {
	CAP = 0x00,
	GHC = 0x04,
	GHC_HR = 1 << 0,
	GHC_IE = 1 << 1,
	IS = 0x08,
	PI = 0x0c,
	VS = 0x10,
	VS_1_3_1 = 0x00010301,
	PORT_BASE = 0x100,
	PORT_LEN = 0x80,
};
#define GHC_AE (1u << 31)
/* Queues, 64-bit addresses, command list override, 6 Gb/s, AHCI only; slots and ports. */
#define CAP_VALUE \
	(1u << 31 | 1u << 30 | 1u << 24 | 3u << 20 | 1u << 18 | (N_SLOTS - 1) << 8 | (N_PORTS - 1))

/* A port, section 3.3. */
enum {
	PXCLB = 0x00,
	PXCLBU = 0x04,
	PXFB = 0x08,
	PXFBU = 0x0c,
	PXIS = 0x10,
	PXIE = 0x14,
	PXCMD = 0x18,
	PXTFD = 0x20,
	PXSIG = 0x24,
	PXSSTS = 0x28,
	PXSCTL = 0x2c,
	PXSERR = 0x30,
	PXSACT = 0x34,
	PXCI = 0x38,
};

enum {
	IS_DHRS = 1 << 0,  /* a register FIS */
	IS_PSS = 1 << 1,   /* a PIO setup FIS */
	IS_SDBS = 1 << 3,  /* a set device bits FIS */
	IS_PCS = 1 << 6,   /* SERR_DIAG_X */
	IS_PRCS = 1 << 22, /* SERR_DIAG_N */
	IS_OFS = 1 << 24,  /* more data than the PRD table takes */
	IS_IFS = 1 << 27,
	IS_HBFS = 1 << 29, /* what is not RAM */
	IS_TFES = 1 << 30, /* the drive's error bit */
	IS_WRITABLE = 0x7d8000af,
	IE_WRITABLE = 0x7dc000ff,
};

enum {
	CMD_ST = 1 << 0,
	CMD_SUD_POD = 3 << 1,
	CMD_CLO = 1 << 3,
	CMD_FRE = 1 << 4,
	CMD_CCS_SHIFT = 8,
	CMD_FR = 1 << 14,
	CMD_CR = 1 << 15,
	CMD_ATAPI = 1 << 24,
	CMD_WRITABLE = CMD_ST | CMD_FRE | CMD_ATAPI,
};

enum { SERR_DIAG_N = 1 << 16, SERR_DIAG_X = 1 << 26 };
enum { SCTL_DET = 0xf, DET_RESET = 1, DET_OFFLINE = 4, SCTL_WRITABLE = 0xfff };
enum { SSTS_ACTIVE = 0x133, SSTS_OFFLINE = 4 }; /* 6 Gb/s, a device that talks */
enum { SIG_DISK = 0x00000101, TFD_NONE = 0x7f };
#define SIG_CDROM 0xeb140101u

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

/* ICH9's own: mode and port enables, which firmware and drivers write and nothing here reads. */
enum { MAP = 0x90, MAP_AHCI = 0x40, PCS = 0x92 };

struct port {
	struct ahci *ahci;
	struct ata_drive drive;
	uint64_t clb, fb;
	uint32_t is, ie, cmd, sctl, serr, sact, ci;
	uint16_t tfd;
	uint8_t slot;
	bool halted; /* by an error */
	bool srst;   /* the drive is held in a soft reset */
	/* Of a command under way. */
	uint64_t table; /* gpa */
	struct ata_sg sg;
	uint32_t moved;	 /* by PIO */
	bool connecting; /* COMRESET waits for the disk */
};

struct ahci {
	struct pci_device pci;
	struct port ports[N_PORTS];
	uint32_t ghc, is;
};

static struct mem *guest_mem(const struct port *port)
{
	return port->ahci->pci.device.env->mem;
}

static uint32_t port_is(const struct port *port)
{
	return port->is | (port->serr & SERR_DIAG_X ? IS_PCS : 0) |
	       (port->serr & SERR_DIAG_N ? IS_PRCS : 0);
}

/* Section 10.7.1.1: a port's bit stays until it is cleared, and comes back while the port has a
 * cause. */
static void update_interrupt(struct ahci *ahci)
{
	uint32_t before = ahci->pci.intx ? ahci->is : 0;
	bool level;

	for (unsigned i = 0; i < N_PORTS; i++)
		if (port_is(&ahci->ports[i]) & ahci->ports[i].ie)
			ahci->is |= 1u << i;
	level = ahci->is && ahci->ghc & GHC_IE;
	pci_set_intx(&ahci->pci, level);
	/* Section 10.7.2: a message for each bit that comes. */
	if (level && ahci->is & ~before)
		pci_msi_notify(&ahci->pci, 0);
}

static void stop(struct port *port, uint32_t cause)
{
	port->is |= cause;
	port->halted = true;
}

/* FISes from the drive. */

static void post(struct port *port, unsigned at, const void *fis, unsigned len)
{
	if (port->cmd & CMD_FRE)
		mem_write(guest_mem(port), port->fb + at, fis, len);
}

static void take_registers(struct port *port)
{
	port->tfd = port->drive.regs.error << 8 | port->drive.regs.status;
}

static void fill_fis(const struct port *port, uint8_t *fis, uint8_t type, uint8_t flags)
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

static void post_registers(struct port *port, bool interrupt)
{
	uint8_t fis[FIS_SIZE] = {};

	fill_fis(port, fis, FIS_D2H, interrupt ? FIS_INTERRUPT : 0);
	post(port, RFIS_AT, fis, sizeof(fis));
	take_registers(port);
	if (interrupt)
		port->is |= IS_DHRS;
}

/* For a block of data, whose end leaves the drive with `status`. */
static void post_pio_setup(struct port *port, bool to_host, uint8_t status, uint32_t len)
{
	uint8_t fis[FIS_SIZE] = {};

	fill_fis(port, fis, FIS_PIO_SETUP, FIS_INTERRUPT | (to_host ? FIS_TO_HOST : 0));
	fis[15] = status;
	le16_store(fis + 16, len);
	post(port, PSFIS_AT, fis, sizeof(fis));
	port->is |= IS_PSS;
}

static void post_device_bits(struct port *port, uint32_t active)
{
	const struct ata_regs *regs = &port->drive.regs;
	uint8_t fis[8] = {FIS_DEVICE_BITS, FIS_INTERRUPT, regs->status & 0x77, regs->error};

	le32_store(fis + 4, active);
	post(port, SDBFIS_AT, fis, sizeof(fis));
	take_registers(port);
	port->is |= IS_SDBS;
}

/* Data. */

static struct port *port_of(struct ata_drive *drive)
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
	struct port *port = port_of(drive);

	/* Otherwise the driver has taken the memory back. */
	if (port->cmd & CMD_ST)
		stop(port, fault ? IS_HBFS : IS_OFS);
}

/* A block between the drive's buffer and guest memory. */
static bool copy_block(struct port *port, uint8_t *block, uint32_t len, bool to_host)
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

static void pio_block(struct port *port)
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

static void send_packet(struct port *port)
{
	uint32_t len;
	uint8_t *block = ata_block(&port->drive, &len);

	if (mem_read(guest_mem(port), port->table + ACMD_AT, block, len))
		ata_block_done(&port->drive);
	else
		stop(port, IS_HBFS);
}

/* Commands. */

static void end_command(struct port *port)
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
	port->slot = NO_SLOT;
}

/* Goes on with the command in `slot`; false: it waits for the disk. */
static bool go_on(struct port *port)
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

static void signature(struct port *port)
{
	port->connecting = false;
	post_registers(port, false);
}

/* Serial ATA: a register FIS that is no command says SRST, then that it is over. */
static void control(struct port *port, unsigned slot, uint8_t value)
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
			signature(port);
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
static bool start(struct port *port, unsigned slot)
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
static void run(struct port *port)
{
	bool more = true;

	while (more && port->cmd & CMD_ST && !port->halted && port->drive.present) {
		if (port->slot != NO_SLOT)
			more = go_on(port);
		else if (port->ci)
			more = start(port, __builtin_ctz(port->ci));
		else
			break;
	}
	update_interrupt(port->ahci);
}

/* GHC.HR stays until all drives have answered. */
static void update_resetting(struct ahci *ahci)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		if (ahci->ports[i].connecting)
			return;
	ahci->ghc &= ~GHC_HR;
}

static void drive_ready(struct ata_drive *drive)
{
	struct port *port = port_of(drive);

	if (port->connecting) {
		signature(port);
		update_resetting(port->ahci);
	} else if (!(port->cmd & CMD_ST)) {
		take_registers(port);
	}
	run(port);
}

/* After an error nothing is told of other commands, and the driver asks the drive
 * why. */
static void drive_queued(struct ata_drive *drive, unsigned tag)
{
	struct port *port = port_of(drive);

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

static const struct ata_ops drive_ops = {
	.ready = drive_ready,
	.sg_next = sg_next,
	.sg_short = sg_short,
	.queued = drive_queued,
};

/* Registers. */

static void forget_commands(struct port *port)
{
	if (port->drive.present)
		ata_dma_stop(&port->drive);
	port->ci = port->sact = 0;
	port->slot = NO_SLOT;
	port->halted = false;
}

/* COMRESET, and the drive's answer; section 10.4.2. */
static void connect(struct port *port)
{
	forget_commands(port);
	port->srst = false;
	if (!port->drive.present)
		return;
	port->serr |= SERR_DIAG_N | SERR_DIAG_X;
	ata_reset(&port->drive);
	port->drive.regs.device = 0;
	port->connecting = port->drive.reset_pending;
	if (port->connecting)
		port->tfd = ATA_STATUS_BSY;
	else
		signature(port);
}

/* Section 10.4.3; where the lists are stays. */
static void reset_port(struct port *port)
{
	port->is = port->ie = port->cmd = port->sctl = port->serr = 0;
	port->tfd = TFD_NONE;
	connect(port);
}

static void reset_hba(struct ahci *ahci)
{
	ahci->ghc = GHC_AE | GHC_HR;
	ahci->is = 0;
	for (unsigned i = 0; i < N_PORTS; i++)
		reset_port(&ahci->ports[i]);
	update_resetting(ahci);
}

/* It runs on until what is in flight has ended. */
static uint32_t cmd_read(const struct port *port)
{
	bool running = port->cmd & CMD_ST || port->drive.in_flight;
	unsigned ccs = port->slot < N_SLOTS ? port->slot : 0;

	return port->cmd | CMD_SUD_POD | ccs << CMD_CCS_SHIFT | (port->cmd & CMD_FRE ? CMD_FR : 0) |
	       (running ? CMD_CR : 0);
}

static void cmd_write(struct port *port, uint32_t value)
{
	bool was_on = port->cmd & CMD_ST;

	/* Section 10.3.1: not before it has stopped, nor without a drive. */
	if (!was_on && (port->drive.in_flight || !port->drive.present))
		value &= ~CMD_ST;
	if (!was_on && value & CMD_CLO)
		port->tfd &= ~(ATA_STATUS_BSY | ATA_STATUS_DRQ);
	port->cmd = value & CMD_WRITABLE;
	if (was_on && !(value & CMD_ST))
		forget_commands(port);
	run(port);
}

static void sctl_write(struct port *port, uint32_t value)
{
	bool was_reset = (port->sctl & SCTL_DET) == DET_RESET;

	port->sctl = value & SCTL_WRITABLE;
	if ((value & SCTL_DET) == DET_RESET) {
		port->cmd &= ~CMD_ST;
		forget_commands(port);
		port->tfd = TFD_NONE;
	} else if (was_reset) {
		connect(port);
	}
}

static uint32_t ssts(const struct port *port)
{
	if ((port->sctl & SCTL_DET) == DET_OFFLINE)
		return SSTS_OFFLINE;
	return port->drive.present && (port->sctl & SCTL_DET) != DET_RESET ? SSTS_ACTIVE : 0;
}

static uint32_t sig(const struct port *port)
{
	if (ssts(port) != SSTS_ACTIVE)
		return UINT32_MAX;
	return port->drive.cdrom ? SIG_CDROM : SIG_DISK;
}

static uint32_t port_read(const struct port *port, unsigned reg)
{
	switch (reg) {
	case PXCLB:
		return port->clb;
	case PXCLBU:
		return port->clb >> 32;
	case PXFB:
		return port->fb;
	case PXFBU:
		return port->fb >> 32;
	case PXIS:
		return port_is(port);
	case PXIE:
		return port->ie;
	case PXCMD:
		return cmd_read(port);
	case PXTFD:
		return port->tfd;
	case PXSIG:
		return sig(port);
	case PXSSTS:
		return ssts(port);
	case PXSCTL:
		return port->sctl;
	case PXSERR:
		return port->serr;
	case PXSACT:
		return port->sact;
	case PXCI:
		return port->ci;
	default:
		return 0;
	}
}

static void set_low(uint64_t *address, uint32_t value, uint32_t alignment)
{
	*address = (*address & ~(uint64_t)UINT32_MAX) | (value & -alignment);
}

static void set_high(uint64_t *address, uint32_t value)
{
	*address = (*address & UINT32_MAX) | (uint64_t)value << 32;
}

static void port_write(struct port *port, unsigned reg, uint32_t value)
{
	switch (reg) {
	case PXCLB:
		set_low(&port->clb, value, 1024);
		break;
	case PXCLBU:
		set_high(&port->clb, value);
		break;
	case PXFB:
		set_low(&port->fb, value, 256);
		break;
	case PXFBU:
		set_high(&port->fb, value);
		break;
	case PXIS:
		port->is &= ~(value & IS_WRITABLE);
		break;
	case PXIE:
		port->ie = value & IE_WRITABLE;
		break;
	case PXCMD:
		cmd_write(port, value);
		break;
	case PXSCTL:
		sctl_write(port, value);
		break;
	case PXSERR:
		port->serr &= ~value;
		break;
	case PXSACT:
		if (port->cmd & CMD_ST)
			port->sact |= value;
		break;
	case PXCI:
		if (port->cmd & CMD_ST)
			port->ci |= value;
		run(port);
		break;
	}
	update_interrupt(port->ahci);
}

static uint32_t host_read(const struct ahci *ahci, unsigned reg)
{
	switch (reg) {
	case CAP:
		return CAP_VALUE;
	case GHC:
		return ahci->ghc;
	case IS:
		return ahci->is;
	case PI:
		return (1u << N_PORTS) - 1;
	case VS:
		return VS_1_3_1;
	default:
		return 0;
	}
}

static void host_write(struct ahci *ahci, unsigned reg, uint32_t value)
{
	if (reg == GHC && value & GHC_HR)
		reset_hba(ahci);
	else if (reg == GHC)
		ahci->ghc = GHC_AE | (value & GHC_IE);
	else if (reg == IS)
		ahci->is &= ~value;
	update_interrupt(ahci);
}

/* Of aligned dwords; the register space is not for others (section 3). */
static uint32_t read_dword(struct ahci *ahci, uint64_t offset)
{
	unsigned port = (offset - PORT_BASE) / PORT_LEN;

	if (offset < PORT_BASE)
		return host_read(ahci, offset);
	return port < N_PORTS ? port_read(&ahci->ports[port], offset % PORT_LEN) : 0;
}

static void write_dword(struct ahci *ahci, uint64_t offset, uint32_t value)
{
	unsigned port = (offset - PORT_BASE) / PORT_LEN;

	if (offset < PORT_BASE)
		host_write(ahci, offset, value);
	else if (port < N_PORTS)
		port_write(&ahci->ports[port], offset % PORT_LEN, value);
}

static uint64_t abar_read(void *opaque, uint64_t offset, unsigned size)
{
	uint64_t value = read_dword(opaque, offset);

	return size == 8 ? value | (uint64_t)read_dword(opaque, offset + 4) << 32 : value;
}

static void abar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	write_dword(opaque, offset, value);
	if (size == 8)
		write_dword(opaque, offset + 4, value >> 32);
}

static const struct bus_ops abar_ops = {abar_read, abar_write, .min_size = 4, .max_size = 8};

/* The device. */

static bool ahci_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {.vendor = 0x8086,
					   .device = 0x2922,
					   .revision = 2,
					   .class_code = 0x010601,
					   .interrupt_pin = 1};
	struct ahci *ahci = (struct ahci *)device;
	struct pci_device *pci = &ahci->pci;

	if (!pci_device_init(pci, &ids, NULL, config, error))
		return false;
	pci_add_bar(pci, ABAR, PCI_BAR_MEM32, ABAR_LEN, &abar_ops);
	pci_add_msi(pci, 1, false);
	pci->defaults[MAP] = MAP_AHCI;
	pci->write_mask[PCS] = 0x3f;
	for (unsigned i = 0; i < N_PORTS; i++) {
		ahci->ports[i].ahci = ahci;
		ata_drive_init(&ahci->ports[i].drive, device, i, &drive_ops, config, true);
	}
	return true;
}

static void ahci_reset(struct device *device)
{
	struct ahci *ahci = (struct ahci *)device;

	pci_device_reset(&ahci->pci);
	for (unsigned i = 0; i < N_PORTS; i++) {
		ata_drive_power_on(&ahci->ports[i].drive);
		ahci->ports[i].clb = ahci->ports[i].fb = 0;
	}
	reset_hba(ahci);
	update_interrupt(ahci);
}

static void ahci_post_load(struct device *device)
{
	pci_device_post_load(&((struct ahci *)device)->pci);
}

static void ahci_drain(struct device *device)
{
	struct ahci *ahci = (struct ahci *)device;

	for (unsigned i = 0; i < N_PORTS; i++)
		ata_drive_drain(&ahci->ports[i].drive);
}

static void ahci_fini(struct device *device)
{
	struct ahci *ahci = (struct ahci *)device;

	pci_device_fini(&ahci->pci);
	for (unsigned i = 0; i < N_PORTS; i++)
		ata_drive_fini(&ahci->ports[i].drive);
}

static bool ahci_set_medium(struct device *device, unsigned drive, struct block *medium)
{
	struct ahci *ahci = (struct ahci *)device;

	return drive < N_PORTS && ata_drive_set_medium(&ahci->ports[drive].drive, medium);
}

#define PORT_FIELDS(n)                                                                            \
	ATA_DRIVE_FIELDS(struct ahci, ports[n].drive), STATE_FIELD(struct ahci, ports[n].clb),    \
		STATE_FIELD(struct ahci, ports[n].fb), STATE_FIELD(struct ahci, ports[n].is),     \
		STATE_FIELD(struct ahci, ports[n].ie), STATE_FIELD(struct ahci, ports[n].cmd),    \
		STATE_FIELD(struct ahci, ports[n].sctl), STATE_FIELD(struct ahci, ports[n].serr), \
		STATE_FIELD(struct ahci, ports[n].sact), STATE_FIELD(struct ahci, ports[n].ci),   \
		STATE_FIELD(struct ahci, ports[n].tfd), STATE_FIELD(struct ahci, ports[n].slot),  \
		STATE_FIELD(struct ahci, ports[n].halted), STATE_FIELD(struct ahci, ports[n].srst)

static const struct state_field ahci_fields[] = {
	PCI_DEVICE_FIELDS(struct ahci, pci),
	STATE_FIELD(struct ahci, ghc),
	STATE_FIELD(struct ahci, is),
	PORT_FIELDS(0),
	PORT_FIELDS(1),
	PORT_FIELDS(2),
	PORT_FIELDS(3),
	PORT_FIELDS(4),
	PORT_FIELDS(5),
};

static bool ahci_check(const void *object)
{
	const struct ahci *ahci = object;

	for (unsigned i = 0; i < N_PORTS; i++) {
		const struct port *port = &ahci->ports[i];

		if (!ata_drive_check(&port->drive) || port->cmd & ~CMD_WRITABLE ||
		    (port->slot >= N_SLOTS && port->slot != NO_SLOT))
			return false;
	}
	return !(ahci->ghc & GHC_HR) && pci_device_check(&ahci->pci);
}

static const struct state_table ahci_state = {
	.name = "ahci",
	.version = 1,
	.object_size = sizeof(struct ahci),
	.fields = ahci_fields,
	.n_fields = G_N_ELEMENTS(ahci_fields),
	.check = ahci_check,
};

const struct device_class ahci_class = {
	.name = "ahci",
	.document = "Serial ATA AHCI 1.3.1; Intel 316972, ICH9, function 31.2",
	.size = sizeof(struct ahci),
	.state = &ahci_state,
	.init = ahci_init,
	.reset = ahci_reset,
	.post_load = ahci_post_load,
	.fini = ahci_fini,
	.drain = ahci_drain,
	.set_medium = ahci_set_medium,
};
