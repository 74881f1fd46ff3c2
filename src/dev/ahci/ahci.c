/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/ahci/ahci_int.h"

#include "base/le.h"
#include "dev/table.h"

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
	(1u << 31 | 1u << 30 | 1u << 24 | 3u << 20 | 1u << 18 | (AHCI_SLOTS - 1) << 8 | (AHCI_PORTS - 1))

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

enum { SERR_DIAG_N = 1 << 16, SERR_DIAG_X = 1 << 26 };
enum { SCTL_DET = 0xf, DET_RESET = 1, DET_OFFLINE = 4, SCTL_WRITABLE = 0xfff };
enum { SSTS_ACTIVE = 0x133, SSTS_OFFLINE = 4 }; /* 6 Gb/s, a device that talks */
enum { SIG_DISK = 0x00000101, TFD_NONE = 0x7f };
#define SIG_CDROM 0xeb140101u

/* ICH9's own: mode and port enables, which firmware and drivers write and nothing here reads. */
enum { MAP = 0x90, MAP_AHCI = 0x40, PCS = 0x92 };

static uint32_t port_is(const struct ahci_port *port)
{
	return port->is | (port->serr & SERR_DIAG_X ? IS_PCS : 0) |
	       (port->serr & SERR_DIAG_N ? IS_PRCS : 0);
}

/* Section 10.7.1.1: a port's bit stays until it is cleared, and comes back while the port has a
 * cause. */
void ahci_update_interrupt(struct ahci *ahci)
{
	uint32_t before = ahci->pci.intx ? ahci->is : 0;
	bool level;

	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (port_is(&ahci->ports[i]) & ahci->ports[i].ie)
			ahci->is |= 1u << i;
	level = ahci->is && ahci->ghc & GHC_IE;
	pci_set_intx(&ahci->pci, level);
	/* Section 10.7.2: a message for each bit that comes. */
	if (level && ahci->is & ~before)
		pci_msi_notify(&ahci->pci, 0);
}

void ahci_update_resetting(struct ahci *ahci)
{
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (ahci->ports[i].connecting)
			return;
	ahci->ghc &= ~GHC_HR;
}

static void forget_commands(struct ahci_port *port)
{
	if (port->drive.present)
		ata_dma_stop(&port->drive);
	port->ci = port->sact = 0;
	port->slot = AHCI_NO_SLOT;
	port->halted = false;
}

/* COMRESET, and the drive's answer; section 10.4.2. */
static void connect(struct ahci_port *port)
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
		ahci_signature(port);
}

/* Section 10.4.3; where the lists are stays. */
static void reset_port(struct ahci_port *port)
{
	port->is = port->ie = port->cmd = port->sctl = port->serr = 0;
	port->tfd = TFD_NONE;
	connect(port);
}

static void reset_hba(struct ahci *ahci)
{
	ahci->ghc = GHC_AE | GHC_HR;
	ahci->is = 0;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		reset_port(&ahci->ports[i]);
	ahci_update_resetting(ahci);
}

/* It runs on until what is in flight has ended. */
static uint32_t cmd_read(const struct ahci_port *port)
{
	bool running = port->cmd & CMD_ST || port->drive.in_flight;
	unsigned ccs = port->slot < AHCI_SLOTS ? port->slot : 0;

	return port->cmd | CMD_SUD_POD | ccs << CMD_CCS_SHIFT | (port->cmd & CMD_FRE ? CMD_FR : 0) |
	       (running ? CMD_CR : 0);
}

static void cmd_write(struct ahci_port *port, uint32_t value)
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
	ahci_run(port);
}

static void sctl_write(struct ahci_port *port, uint32_t value)
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

static uint32_t ssts(const struct ahci_port *port)
{
	if ((port->sctl & SCTL_DET) == DET_OFFLINE)
		return SSTS_OFFLINE;
	return port->drive.present && (port->sctl & SCTL_DET) != DET_RESET ? SSTS_ACTIVE : 0;
}

static uint32_t sig(const struct ahci_port *port)
{
	if (ssts(port) != SSTS_ACTIVE)
		return UINT32_MAX;
	return port->drive.cdrom ? SIG_CDROM : SIG_DISK;
}

static uint32_t port_read(const struct ahci_port *port, unsigned reg)
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

static void port_write(struct ahci_port *port, unsigned reg, uint32_t value)
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
		ahci_run(port);
		break;
	}
	ahci_update_interrupt(port->ahci);
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
		return (1u << AHCI_PORTS) - 1;
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
	ahci_update_interrupt(ahci);
}

/* Of aligned dwords; the register space is not for others (section 3). */
static uint32_t read_dword(struct ahci *ahci, uint64_t offset)
{
	unsigned port = (offset - PORT_BASE) / PORT_LEN;

	if (offset < PORT_BASE)
		return host_read(ahci, offset);
	return port < AHCI_PORTS ? port_read(&ahci->ports[port], offset % PORT_LEN) : 0;
}

static void write_dword(struct ahci *ahci, uint64_t offset, uint32_t value)
{
	unsigned port = (offset - PORT_BASE) / PORT_LEN;

	if (offset < PORT_BASE)
		host_write(ahci, offset, value);
	else if (port < AHCI_PORTS)
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
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		ahci->ports[i].ahci = ahci;
		ata_drive_init(&ahci->ports[i].drive, device, i, &ahci_drive_ops, config, true);
	}
	return true;
}

static void ahci_reset(struct device *device)
{
	struct ahci *ahci = (struct ahci *)device;

	pci_device_reset(&ahci->pci);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		ata_drive_power_on(&ahci->ports[i].drive);
		ahci->ports[i].clb = ahci->ports[i].fb = 0;
	}
	reset_hba(ahci);
	ahci_update_interrupt(ahci);
}

static void ahci_post_load(struct device *device)
{
	pci_device_post_load(&((struct ahci *)device)->pci);
}

static void ahci_drain(struct device *device)
{
	struct ahci *ahci = (struct ahci *)device;

	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ata_drive_drain(&ahci->ports[i].drive);
}

static void ahci_fini(struct device *device)
{
	struct ahci *ahci = (struct ahci *)device;

	pci_device_fini(&ahci->pci);
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ata_drive_fini(&ahci->ports[i].drive);
}

static bool ahci_set_medium(struct device *device, unsigned drive, struct block *medium)
{
	struct ahci *ahci = (struct ahci *)device;

	return drive < AHCI_PORTS && ata_drive_set_medium(&ahci->ports[drive].drive, medium);
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

	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		const struct ahci_port *port = &ahci->ports[i];

		if (!ata_drive_check(&port->drive) || port->cmd & ~CMD_WRITABLE ||
		    (port->slot >= AHCI_SLOTS && port->slot != AHCI_NO_SLOT))
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
