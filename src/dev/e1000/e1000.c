/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "dev/e1000/e1000_int.h"
#include "dev/table.h"

enum {
	BAR_LEN = 0x20000,
	IO_LEN = 64,
	IOADDR = 0,
	IODATA = 4,

	ITR_UNIT_NS = 256,
	PHY_ADDR = 1,
};

/* Section 13.4. */
enum {
	STATS = 0x4000,
	MTA = 0x5200,
	RA = 0x5400,
	VFTA = 0x5600,

	CTRL_SLU = 1 << 6,
	CTRL_FD = 1 << 0,
	CTRL_RST = 1 << 26,
	CTRL_PHY_RST = 1u << 31,

	STATUS_FD = 1 << 0,
	STATUS_LU = 1 << 1,
	STATUS_1000 = 2 << 6 | 2 << 8, /* SPEED and ASDV */

	EECD_SK = 1 << 0,
	EECD_CS = 1 << 1,
	EECD_DI = 1 << 2,
	EECD_DO = 1 << 3,
	EECD_REQ = 1 << 6,
	EECD_GNT = 1 << 7,
	EECD_PRES = 1 << 8,
	EECD_WRITABLE = EECD_SK | EECD_CS | EECD_DI | 3 << 4 | EECD_REQ,

	EERD_START = 1 << 0,
	EERD_DONE = 1 << 4,
	EERD_ADDR_SHIFT = 8,
	EERD_DATA_SHIFT = 16,

	MDIC_REG_SHIFT = 16,
	MDIC_PHY_SHIFT = 21,
	MDIC_OP_WRITE = 1 << 26,
	MDIC_OP_READ = 2 << 26,
	MDIC_READY = 1 << 28,
	MDIC_INTERRUPT = 1 << 29,
	MDIC_ERROR = 1 << 30,

	RING_LEN = 0xfff80,
	RING_BASE = 0xfffffff0,
};

static void update_irq(struct e1000 *nic)
{
	int64_t now;

	if (!(nic->r.icr & nic->r.ims)) {
		timer_cancel(&nic->irq_timer);
		pci_set_intx(&nic->pci, false);
		return;
	}
	if (nic->pci.intx)
		return;
	now = clock_now_ns(nic->pci.device.env->clock);
	if (now < nic->r.next_irq_ns) {
		timer_set(&nic->irq_timer, nic->r.next_irq_ns);
		return;
	}
	nic->r.next_irq_ns = now + nic->r.itr * ITR_UNIT_NS;
	pci_set_intx(&nic->pci, true);
}

static void on_irq_timer(void *opaque)
{
	update_irq(opaque);
}

void e1000_set_causes(struct e1000 *nic, uint32_t causes)
{
	nic->r.icr |= causes;
	update_irq(nic);
}

void e1000_count(struct e1000 *nic, unsigned stat, uint32_t n)
{
	uint32_t *value = &nic->r.stats[stat];

	*value = n > UINT32_MAX - *value ? UINT32_MAX : *value + n;
}

void e1000_count64(struct e1000 *nic, unsigned low, uint32_t n)
{
	uint64_t value = (uint64_t)nic->r.stats[low + 1] << 32 | nic->r.stats[low];

	value = n > UINT64_MAX - value ? UINT64_MAX : value + n;
	nic->r.stats[low] = value;
	nic->r.stats[low + 1] = value >> 32;
}

unsigned e1000_size_class(size_t len)
{
	unsigned class = 0;

	for (size_t limit = 64; class < 5 && len > limit; class ++)
		limit = limit == 64 ? 127 : limit * 2 + 1;
	return class;
}

static void on_link(void *opaque, bool up)
{
	struct e1000 *nic = opaque;

	g_mutex_lock(&nic->pci.device.lock);
	e1000_set_causes(nic, INT_LSC);
	g_mutex_unlock(&nic->pci.device.lock);
}

static void reset_registers(struct e1000 *nic)
{
	timer_cancel(&nic->tx_timer);
	timer_cancel(&nic->irq_timer);
	nic->r = (struct e1000_regs){
		.ctrl = CTRL_FD | CTRL_SLU,
		.vet = 0x8100,
		.ledctl = 0x07068302,
		.pba = 0x00100030,
		.txcw = 0xc000,
		.ra = {le32_load(nic->mac), RAH_AV | le16_load(nic->mac + 4)},
	};
	at93c46_reset(&nic->eeprom);
	update_irq(nic);
}

static void ctrl_written(struct e1000 *nic, uint32_t value)
{
	if (value & CTRL_PHY_RST)
		e1000_phy_reset(nic);
	if (value & CTRL_RST)
		reset_registers(nic);
}

static uint32_t status_read(struct e1000 *nic)
{
	return STATUS_FD | STATUS_1000 | (net_link(nic->net) ? STATUS_LU : 0);
}

static uint32_t eecd_read(struct e1000 *nic)
{
	return nic->r.eecd | EECD_PRES | (nic->r.eecd & EECD_REQ ? EECD_GNT : 0) |
	       (nic->eeprom.data_out ? EECD_DO : 0);
}

static void eecd_written(struct e1000 *nic, uint32_t value)
{
	at93c46_set_pins(&nic->eeprom, value & EECD_CS, value & EECD_SK, value & EECD_DI);
}

static void eerd_written(struct e1000 *nic, uint32_t value)
{
	uint32_t word = nic->eeprom.words[value >> EERD_ADDR_SHIFT & (AT93C46_WORDS - 1)];

	if (value & EERD_START)
		nic->r.eerd = word << EERD_DATA_SHIFT | (value & 0xff00) | EERD_DONE;
}

static void mdic_written(struct e1000 *nic, uint32_t value)
{
	unsigned reg = value >> MDIC_REG_SHIFT & 31;

	value &= ~(MDIC_READY | MDIC_ERROR);
	if ((value >> MDIC_PHY_SHIFT & 31) != PHY_ADDR)
		value |= MDIC_ERROR;
	else if (value & MDIC_OP_WRITE)
		e1000_phy_write(nic, reg, value);
	else if (value & MDIC_OP_READ)
		value = (value & 0xffff0000) | e1000_phy_read(nic, reg);
	nic->r.mdic = value | MDIC_READY;
	if (value & MDIC_INTERRUPT)
		e1000_set_causes(nic, INT_MDAC);
}

static uint32_t icr_read(struct e1000 *nic)
{
	uint32_t value = nic->r.icr;

	nic->r.icr = 0;
	update_irq(nic);
	return value;
}

static void icr_written(struct e1000 *nic, uint32_t value)
{
	nic->r.icr &= ~value;
	update_irq(nic);
}

static void ics_written(struct e1000 *nic, uint32_t value)
{
	e1000_set_causes(nic, value & INT_ALL);
}

static void ims_written(struct e1000 *nic, uint32_t value)
{
	nic->r.ims |= value & INT_ALL;
	update_irq(nic);
}

static void imc_written(struct e1000 *nic, uint32_t value)
{
	nic->r.ims &= ~value;
	update_irq(nic);
}

/* RCTL and RDT: there may be room now, or nobody who wants the frames that wait. */
static void rx_written(struct e1000 *nic, uint32_t value)
{
	net_receive_more(nic->net);
}

static void tx_written(struct e1000 *nic, uint32_t value)
{
	/* One that the timer is to go on with is longer by what was added. */
	if (!nic->r.tx_left)
		e1000_transmit(nic);
}

/* Cleared by being read; those of 64 bits by their upper halves. */
static uint32_t stats_read(struct e1000 *nic, unsigned index)
{
	uint32_t value = nic->r.stats[index];
	unsigned low = index & ~1u;
	bool wide = low == STAT_GORCL || low == STAT_GOTCL || low == STAT_TORL || low == STAT_TOTL;

	if (!wide)
		nic->r.stats[index] = 0;
	else if (index > low)
		nic->r.stats[index] = nic->r.stats[low] = 0;
	return value;
}

static const struct reg {
	uint32_t offset, at, writable;
	void (*written)(struct e1000 *nic, uint32_t value);
	uint32_t (*read)(struct e1000 *nic);
} reg_rows[] = {
#define REG_ROW(offset, name, writable, written, read) \
	{offset, offsetof(struct e1000, r.name), writable, written, read},
	REGS(REG_ROW)
#undef REG_ROW
};

static int compare_reg(const void *key, const void *element)
{
	return *(const uint32_t *)key - (int)((const struct reg *)element)->offset;
}

static const struct reg *find_reg(uint32_t offset)
{
	return bsearch(&offset, reg_rows, G_N_ELEMENTS(reg_rows), sizeof(reg_rows[0]), compare_reg);
}

/* The element of a table of registers; NULL: none is there. */
static uint32_t *find_element(struct e1000 *nic, uint32_t offset)
{
	if (offset % 4)
		return NULL;
	if (offset >= MTA && offset < MTA + sizeof(nic->r.mta))
		return &nic->r.mta[(offset - MTA) / 4];
	if (offset >= RA && offset < RA + sizeof(nic->r.ra))
		return &nic->r.ra[(offset - RA) / 4];
	if (offset >= VFTA && offset < VFTA + sizeof(nic->r.vfta))
		return &nic->r.vfta[(offset - VFTA) / 4];
	return NULL;
}

static uint64_t e1000_read(void *opaque, uint64_t offset, unsigned size)
{
	struct e1000 *nic = opaque;
	const struct reg *reg = find_reg(offset);
	const uint32_t *element;

	if (reg)
		return reg->read ? reg->read(nic) : *(uint32_t *)((uint8_t *)nic + reg->at);
	if (offset % 4 == 0 && offset >= STATS && offset < STATS + sizeof(nic->r.stats))
		return stats_read(nic, (offset - STATS) / 4);
	element = find_element(nic, offset);
	return element ? *element : 0;
}

static void e1000_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct e1000 *nic = opaque;
	const struct reg *reg = find_reg(offset);
	uint32_t *kept = reg ? (uint32_t *)((uint8_t *)nic + reg->at) : find_element(nic, offset);
	uint32_t writable = reg ? reg->writable : UINT32_MAX;

	if (!kept)
		return;
	*kept = (*kept & ~writable) | (value & writable);
	if (reg && reg->written)
		reg->written(nic, value);
}

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
	struct e1000 *nic = opaque;

	if (offset == IOADDR)
		return nic->ioaddr;
	return offset == IODATA ? e1000_read(nic, nic->ioaddr, size) : 0;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct e1000 *nic = opaque;

	if (offset == IOADDR)
		nic->ioaddr = value;
	else if (offset == IODATA)
		e1000_write(nic, nic->ioaddr, value, size);
}

static const struct bus_ops mem_ops = {e1000_read, e1000_write, 4, 4};
static const struct bus_ops io_ops = {io_read, io_write, 4, 4};

/* Section 5.6, table 5-2. */
static void fill_eeprom(struct e1000 *nic)
{
	uint16_t *words = nic->eeprom.words, sum = 0;

	for (unsigned i = 0; i < 3; i++)
		words[i] = le16_load(nic->mac + 2 * i);
	words[0x0a] = 0x400b; /* initialization control 1, with the signature */
	words[0x0b] = 0x001e; /* the header's identifiers */
	words[0x0c] = 0x8086;
	words[0x0d] = 0x100e;
	words[0x0e] = 0x8086;
	words[0x0f] = 0x3040; /* initialization control 2: pauses either way */
	for (unsigned i = 0; i < AT93C46_WORDS - 1; i++)
		sum += words[i];
	words[AT93C46_WORDS - 1] = 0xbaba - sum;
}

static const struct pci_ids e1000_ids = {
	.vendor = 0x8086,
	.device = 0x100e,
	.subsystem_vendor = 0x8086,
	.subsystem = 0x001e,
	.class_code = 0x020000,
	.revision = 2,
	.interrupt_pin = 1,
};

static bool e1000_init(struct device *device, const struct device_config *config, GError **error)
{
	struct e1000 *nic = (struct e1000 *)device;
	struct net_receiver receiver = {e1000_receive, on_link, nic};

	if (!pci_device_init(&nic->pci, &e1000_ids, NULL, config, error))
		return false;
	pci_add_bar(&nic->pci, 0, PCI_BAR_MEM32, BAR_LEN, &mem_ops);
	pci_add_bar(&nic->pci, 2, PCI_BAR_IO, IO_LEN, &io_ops);
	timer_init(&nic->tx_timer, device->env->clock, &device->lock, e1000_tx_timer, nic);
	timer_init(&nic->irq_timer, device->env->clock, &device->lock, on_irq_timer, nic);
	memcpy(nic->mac, config->mac, sizeof(nic->mac));
	fill_eeprom(nic);
	nic->net = config->net;
	net_set_receiver(nic->net, &receiver);
	return true;
}

static void e1000_reset(struct device *device)
{
	struct e1000 *nic = (struct e1000 *)device;

	pci_device_reset(&nic->pci);
	nic->ioaddr = 0;
	e1000_phy_reset(nic);
	reset_registers(nic);
}

static void e1000_post_load(struct device *device)
{
	struct e1000 *nic = (struct e1000 *)device;

	pci_device_post_load(&nic->pci);
	timer_cancel(&nic->tx_timer);
	timer_cancel(&nic->irq_timer);
	if (nic->r.tx_left)
		e1000_transmit_later(nic);
	update_irq(nic);
	net_receive_more(nic->net);
}

static void e1000_fini(struct device *device)
{
	struct e1000 *nic = (struct e1000 *)device;

	net_set_receiver(nic->net, NULL);
	timer_fini(&nic->tx_timer);
	timer_fini(&nic->irq_timer);
	pci_device_fini(&nic->pci);
}

static bool e1000_check(const void *object)
{
	const struct e1000 *nic = object;

	return pci_device_check(&nic->pci) && nic->r.tx_len <= TX_MAX + 1;
}

#define REG_FIELD(offset, name, writable, written, read) STATE_FIELD(struct e1000, r.name),

static const struct state_field e1000_fields[] = {
	PCI_DEVICE_FIELDS(struct e1000, pci),
	AT93C46_FIELDS(struct e1000, eeprom),
	REGS(REG_FIELD) STATE_FIELD(struct e1000, ioaddr),
	STATE_FIELD(struct e1000, phy),
	STATE_FIELD(struct e1000, r.ra),
	STATE_FIELD(struct e1000, r.mta),
	STATE_FIELD(struct e1000, r.vfta),
	STATE_FIELD(struct e1000, r.stats),
	STATE_FIELD(struct e1000, r.context),
	STATE_FIELD(struct e1000, r.next_irq_ns),
	STATE_FIELD(struct e1000, r.tx_left),
	STATE_FIELD(struct e1000, r.tx_open),
	STATE_FIELD(struct e1000, r.tx_segment),
	STATE_FIELD(struct e1000, r.tx_popts),
	STATE_FIELD(struct e1000, r.tx_len),
	STATE_FIELD(struct e1000, tx_packet),
};

static const struct state_table e1000_state = {
	.name = "e1000",
	.version = 1,
	.object_size = sizeof(struct e1000),
	.fields = e1000_fields,
	.n_fields = G_N_ELEMENTS(e1000_fields),
	.check = e1000_check,
};

const struct device_class e1000_class = {
	.name = "e1000",
	.document = "Intel PCI/PCI-X Family of Gigabit Ethernet Controllers SDM (317453), 82540EM",
	.size = sizeof(struct e1000),
	.state = &e1000_state,
	.init = e1000_init,
	.reset = e1000_reset,
	.post_load = e1000_post_load,
	.fini = e1000_fini,
};
