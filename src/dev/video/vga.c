/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IBM VGA (PS/2 Hardware Interface Technical Reference, Video Subsystem) with the Bochs VBE
 * extension, as the PCI function that vgabios-stdvga and the bochs-drm drivers know: 1234:1111,
 * video memory in BAR 0, registers in BAR 2.
 *
 * All of the registers are here; the files of video_int.h have what they do to memory and picture.
 */
#include <string.h>

#include "base/le.h"
#include "dev/table.h"
#include "dev/video/video_int.h"
#include "display/display.h"

enum {
	WINDOW_BASE = 0xa0000,
	WINDOW_LEN = 0x20000,
	VBE_PORTS = 0x1ce,
	VBE_N_PORTS = 4,
	PREFERRED_WIDTH = 1280,
	PREFERRED_HEIGHT = 800,
};

enum {
	PORT_CRTC_INDEX_MONO = 0x3b4,
	PORT_CRTC_DATA_MONO = 0x3b5,
	PORT_STATUS_MONO = 0x3ba,
	PORT_ATTR = 0x3c0,
	PORT_ATTR_READ = 0x3c1,
	PORT_MISC = 0x3c2, /* read: input status 0 */
	PORT_ENABLE = 0x3c3,
	PORT_SEQ_INDEX = 0x3c4,
	PORT_SEQ_DATA = 0x3c5,
	PORT_DAC_MASK = 0x3c6,
	PORT_DAC_READ_INDEX = 0x3c7, /* read: state */
	PORT_DAC_WRITE_INDEX = 0x3c8,
	PORT_DAC_DATA = 0x3c9,
	PORT_FEATURE_READ = 0x3ca,
	PORT_MISC_READ = 0x3cc,
	PORT_GFX_INDEX = 0x3ce,
	PORT_GFX_DATA = 0x3cf,
	PORT_CRTC_INDEX = 0x3d4,
	PORT_CRTC_DATA = 0x3d5,
	PORT_STATUS = 0x3da, /* write: feature control */

	STATUS_0_SENSE = 0x10,
	STATUS_1_NOT_DISPLAYING = 0x01,
	STATUS_1_V_RETRACE = 0x08,
	DAC_STATE_READS = 0x03,
};

/* BAR 2. */
enum {
	MMIO_LEN = 0x1000,
	MMIO_VGA = 0x400, /* 3C0h to 3DFh */
	MMIO_VGA_END = 0x420,
	MMIO_VBE = 0x500,
	MMIO_VBE_END = MMIO_VBE + 2 * VBE_COUNT,
	MMIO_EXTENSION = 0x600, /* the length of what follows: itself and the byte order */
	MMIO_EXTENSION_LEN = 8,
	MMIO_BYTE_ORDER = 0x604,
	BYTE_ORDER_LITTLE = 0x1e1e1e1e,
};

/* Which bits there are. */
static const uint8_t seq_mask[SEQ_COUNT] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t gfx_mask[GFX_COUNT] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const uint8_t attr_mask[ATTR_COUNT] = {
	0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
	0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

/* Where the beam is follows from the time and the CRTC's totals. */
static uint8_t input_status_1(const struct vga *vga)
{
	int64_t now = clock_now_ns(vga->pci.device.env->clock);
	unsigned chars = vga->crtc[CRTC_H_TOTAL] + 5, shown = vga->crtc[CRTC_H_DISPLAY_END] + 1;
	unsigned dots = vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8_DOTS ? 8 : 9;
	unsigned dot_hz = vga->misc & MISC_CLOCK_28 ? 28322000 : 25175000;
	unsigned halved = vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF ? 2 : 1;
	int64_t line_ns = (int64_t)chars * dots * halved * 1000000000 / dot_hz;
	unsigned v_retrace = vga_vertical(vga, CRTC_V_RETRACE_START, 2, 7);
	unsigned v_retrace_len = ((vga->crtc[CRTC_V_RETRACE_END] - v_retrace - 1) & 0xf) + 1;
	/* A retrace comes even if VBE is used without a programmed CRTC. */
	unsigned lines = MAX(vga_vertical(vga, CRTC_V_TOTAL, 0, 5) + 2, v_retrace + 2);
	unsigned line = now / line_ns % lines;
	uint8_t status = 0;

	if (line > vga_vertical(vga, CRTC_V_DISPLAY_END, 1, 6) ||
	    now % line_ns * chars >= shown * line_ns)
		status |= STATUS_1_NOT_DISPLAYING;
	if (line >= v_retrace && line - v_retrace < v_retrace_len)
		status |= STATUS_1_V_RETRACE | STATUS_1_NOT_DISPLAYING;
	return status;
}

static void crtc_write(struct vga *vga, uint8_t value)
{
	unsigned index = vga->crtc_index;
	uint8_t keep = 0;

	if (index >= CRTC_COUNT)
		return;
	if (index <= CRTC_OVERFLOW && vga->crtc[CRTC_V_RETRACE_END] & CRTC_V_RETRACE_END_PROTECT)
		keep = index == CRTC_OVERFLOW ? (uint8_t)~CRTC_OVERFLOW_LINE_COMPARE_8 : 0xff;
	vga->crtc[index] = (value & ~keep) | (vga->crtc[index] & keep);
}

static void attr_write(struct vga *vga, uint8_t value)
{
	unsigned index = vga->attr_index & 0x1f;

	if (!vga->attr_data)
		vga->attr_index = value & 0x3f;
	else if (index < ATTR_COUNT)
		vga->attr[index] = value & attr_mask[index];
	vga->attr_data = !vga->attr_data;
}

static void dac_step(struct vga *vga)
{
	if (++vga->dac_component < 3)
		return;
	vga->dac_component = 0;
	vga->dac_index++;
}

/* An entry changes when its three components are there. */
static void dac_write(struct vga *vga, uint8_t value)
{
	bool eight_bits = vga->vbe[VBE_ENABLE] & VBE_8_BIT_DAC;

	vga->dac_write[vga->dac_component] = eight_bits ? value : value & 0x3f;
	if (vga->dac_component == 2)
		memcpy(vga->dac[vga->dac_index], vga->dac_write, 3);
	dac_step(vga);
}

static uint8_t dac_read(struct vga *vga)
{
	uint8_t value = vga->dac[vga->dac_index][vga->dac_component];

	dac_step(vga);
	return value;
}

static void dac_set_index(struct vga *vga, uint8_t index, bool reads)
{
	vga->dac_index = index;
	vga->dac_component = 0;
	vga->dac_reads = reads;
}

/* CRTC and status answer at 3Dxh or at 3Bxh; the other is what reads 0 here. */
static unsigned canonical(const struct vga *vga, unsigned port)
{
	bool mono = port < PORT_ATTR, movable = mono || port >= PORT_CRTC_INDEX;

	if (movable && mono == (vga->misc & MISC_COLOR))
		return 0;
	return mono ? port + (PORT_CRTC_INDEX - PORT_CRTC_INDEX_MONO) : port;
}

static uint8_t indexed(const uint8_t *registers, unsigned n, unsigned index)
{
	return index < n ? registers[index] : 0;
}

static uint8_t port_read(struct vga *vga, unsigned port)
{
	switch (canonical(vga, port)) {
	case PORT_ATTR:
		return vga->attr_index;
	case PORT_ATTR_READ:
		return indexed(vga->attr, ATTR_COUNT, vga->attr_index & 0x1f);
	case PORT_MISC:
		return STATUS_0_SENSE;
	case PORT_ENABLE:
		return 1;
	case PORT_SEQ_INDEX:
		return vga->seq_index;
	case PORT_SEQ_DATA:
		return indexed(vga->seq, SEQ_COUNT, vga->seq_index);
	case PORT_DAC_MASK:
		return vga->dac_mask;
	case PORT_DAC_READ_INDEX:
		return vga->dac_reads ? DAC_STATE_READS : 0;
	case PORT_DAC_WRITE_INDEX:
		return vga->dac_index;
	case PORT_DAC_DATA:
		return dac_read(vga);
	case PORT_FEATURE_READ:
		return vga->feature;
	case PORT_MISC_READ:
		return vga->misc;
	case PORT_GFX_INDEX:
		return vga->gfx_index;
	case PORT_GFX_DATA:
		return indexed(vga->gfx, GFX_COUNT, vga->gfx_index);
	case PORT_CRTC_INDEX:
		return vga->crtc_index;
	case PORT_CRTC_DATA:
		return indexed(vga->crtc, CRTC_COUNT, vga->crtc_index);
	case PORT_STATUS:
		vga->attr_data = false;
		return input_status_1(vga);
	default:
		return 0xff;
	}
}

static void port_write(struct vga *vga, unsigned port, uint8_t value)
{
	switch (canonical(vga, port)) {
	case PORT_ATTR:
		attr_write(vga, value);
		break;
	case PORT_MISC:
		vga->misc = value;
		break;
	case PORT_SEQ_INDEX:
		vga->seq_index = value;
		break;
	case PORT_SEQ_DATA:
		if (vga->seq_index < SEQ_COUNT)
			vga->seq[vga->seq_index] = value & seq_mask[vga->seq_index];
		break;
	case PORT_DAC_MASK:
		vga->dac_mask = value;
		break;
	case PORT_DAC_READ_INDEX:
		dac_set_index(vga, value, true);
		break;
	case PORT_DAC_WRITE_INDEX:
		dac_set_index(vga, value, false);
		break;
	case PORT_DAC_DATA:
		dac_write(vga, value);
		break;
	case PORT_GFX_INDEX:
		vga->gfx_index = value;
		break;
	case PORT_GFX_DATA:
		if (vga->gfx_index < GFX_COUNT)
			vga->gfx[vga->gfx_index] = value & gfx_mask[vga->gfx_index];
		break;
	case PORT_CRTC_INDEX:
		vga->crtc_index = value;
		break;
	case PORT_CRTC_DATA:
		crtc_write(vga, value);
		break;
	case PORT_STATUS:
		vga->feature = value;
		break;
	}
}

/* The ranges of ports that there are, so that a printer port may lie at 3BCh. */
#define PORT_RANGE(name, first)                                                                \
	static uint64_t name##_read(void *opaque, uint64_t offset, unsigned size)              \
	{                                                                                      \
		return port_read(opaque, (first) + offset);                                    \
	}                                                                                      \
	static void name##_write(void *opaque, uint64_t offset, uint64_t value, unsigned size) \
	{                                                                                      \
		port_write(opaque, (first) + offset, value);                                   \
	}                                                                                      \
	static const struct bus_ops name##_ops = {name##_read, name##_write, 1, 1}

PORT_RANGE(crtc_mono_ports, PORT_CRTC_INDEX_MONO);
PORT_RANGE(status_mono_ports, PORT_STATUS_MONO);
PORT_RANGE(main_ports, PORT_ATTR);
PORT_RANGE(crtc_ports, PORT_CRTC_INDEX);
PORT_RANGE(status_ports, PORT_STATUS);

static const struct {
	uint16_t base, len;
	const struct bus_ops *ops;
} port_ranges[] = {
	{PORT_CRTC_INDEX_MONO, 2, &crtc_mono_ports_ops},
	{PORT_STATUS_MONO, 1, &status_mono_ports_ops},
	{PORT_ATTR, 16, &main_ports_ops},
	{PORT_CRTC_INDEX, 2, &crtc_ports_ops},
	{PORT_STATUS, 1, &status_ports_ops},
	{VBE_PORTS, VBE_N_PORTS, &vbe_port_ops},
};

static uint8_t mmio_read_byte(struct vga *vga, uint64_t offset)
{
	if (offset < EDID_SIZE)
		return vga->edid[offset];
	if (offset >= MMIO_VGA && offset < MMIO_VGA_END)
		return port_read(vga, PORT_ATTR + (offset - MMIO_VGA));
	if (offset >= MMIO_VBE && offset < MMIO_VBE_END)
		return vbe_read(vga, (offset - MMIO_VBE) / 2) >> offset % 2 * 8;
	if (offset == MMIO_EXTENSION)
		return MMIO_EXTENSION_LEN;
	if (offset >= MMIO_BYTE_ORDER && offset < MMIO_BYTE_ORDER + 4)
		return (uint8_t)BYTE_ORDER_LITTLE;
	return 0;
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)mmio_read_byte(opaque, offset + i) << i * 8;
	return value;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct vga *vga = opaque;

	if (offset >= MMIO_VBE && offset < MMIO_VBE_END && offset % 2 == 0 && size == 2)
		vbe_write(vga, (offset - MMIO_VBE) / 2, value);
	for (unsigned i = 0; i < size; i++, value >>= 8)
		if (offset + i >= MMIO_VGA && offset + i < MMIO_VGA_END)
			port_write(vga, PORT_ATTR + (offset + i - MMIO_VGA), value);
}

static const struct bus_ops mmio_ops = {mmio_read, mmio_write, 1, 4};

static bool vga_init(struct device *device, const struct device_config *config, GError **error)
{
	static const struct pci_ids ids = {.vendor = 0x1234,
					   .device = 0x1111,
					   .subsystem_vendor = 0x1af4,
					   .subsystem = 0x1100,
					   .class_code = 0x030000,
					   .revision = 2};
	struct vga *vga = (struct vga *)device;
	struct display_source source = {vga_prepare, vga_update, vga_text, vga, &device->lock};

	vga->bank = mem_bank_new(device->env->mem, VGA_VRAM_SIZE, error);
	if (!vga->bank || !pci_device_init(&vga->pci, &ids, NULL, config, error))
		return false;
	vga->vram = mem_bank_data(vga->bank);
	edid_make(vga->edid, PREFERRED_WIDTH, PREFERRED_HEIGHT);
	pci_add_memory_bar(&vga->pci, 0, PCI_BAR_MEM32, vga->bank);
	pci_add_bar(&vga->pci, 2, PCI_BAR_MEM32, MMIO_LEN, &mmio_ops);
	for (unsigned i = 0; i < G_N_ELEMENTS(port_ranges); i++)
		if (!device_map(device, BUS_PIO, port_ranges[i].base, port_ranges[i].len,
				port_ranges[i].ops, error))
			return false;
	if (!device_map(device, BUS_MMIO, WINDOW_BASE, WINDOW_LEN, &vga_window_ops, error))
		return false;
	vga->display = config->display;
	if (vga->display)
		display_set_source(vga->display, &source);
	return true;
}

/* Video memory keeps what it holds, as it does without power for so short a time. */
static void vga_reset(struct device *device)
{
	struct vga *vga = (struct vga *)device;

	pci_device_reset(&vga->pci);
	vga->misc = vga->feature = 0;
	vga->seq_index = vga->crtc_index = vga->gfx_index = vga->attr_index = 0;
	memset(vga->seq, 0, sizeof(vga->seq));
	memset(vga->crtc, 0, sizeof(vga->crtc));
	memset(vga->gfx, 0, sizeof(vga->gfx));
	memset(vga->attr, 0, sizeof(vga->attr));
	memset(vga->dac, 0, sizeof(vga->dac));
	memset(vga->dac_write, 0, sizeof(vga->dac_write));
	vga->attr_data = false;
	dac_set_index(vga, 0, false);
	vga->dac_mask = 0xff;
	vga->latch = 0;
	vbe_reset(vga);
}

/* The memory that comes with the state is another one. */
static void vga_post_load(struct device *device)
{
	struct vga *vga = (struct vga *)device;

	pci_device_post_load(&vga->pci);
	memset(&vga->drawn, 0, sizeof(vga->drawn));
}

static void vga_fini(struct device *device)
{
	struct vga *vga = (struct vga *)device;

	if (vga->display)
		display_drop_source(vga->display, vga);
	pci_device_fini(&vga->pci);
}

static bool fits(const uint8_t *registers, const uint8_t *mask, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (registers[i] & ~mask[i])
			return false;
	return true;
}

static bool vga_check(const void *object)
{
	const struct vga *vga = object;

	return pci_device_check(&vga->pci) && fits(vga->seq, seq_mask, SEQ_COUNT) &&
	       fits(vga->gfx, gfx_mask, GFX_COUNT) && fits(vga->attr, attr_mask, ATTR_COUNT) &&
	       vga->attr_index < 0x40 && vga->dac_component < 3 && vbe_check(vga);
}

#define FIELD(member) STATE_FIELD(struct vga, member)

/* Video memory is the VM's, as RAM is. */
static const struct state_field vga_fields[] = {
	PCI_DEVICE_FIELDS(struct vga, pci),
	FIELD(misc),
	FIELD(feature),
	FIELD(seq_index),
	FIELD(seq),
	FIELD(crtc_index),
	FIELD(crtc),
	FIELD(gfx_index),
	FIELD(gfx),
	FIELD(attr_index),
	FIELD(attr),
	FIELD(attr_data),
	FIELD(dac_mask),
	FIELD(dac_index),
	FIELD(dac_component),
	FIELD(dac_write),
	FIELD(dac_reads),
	FIELD(dac),
	FIELD(latch),
	FIELD(vbe_index),
	FIELD(vbe),
};

static const struct state_table vga_state = {
	.name = "vga",
	.version = 1,
	.object_size = sizeof(struct vga),
	.fields = vga_fields,
	.n_fields = G_N_ELEMENTS(vga_fields),
	.check = vga_check,
};

const struct device_class vga_class = {
	.name = "vga",
	.document = "IBM PS/2 Hardware Interface Technical Reference, Video Subsystem; Bochs VBE",
	.size = sizeof(struct vga),
	.state = &vga_state,
	.init = vga_init,
	.reset = vga_reset,
	.post_load = vga_post_load,
	.fini = vga_fini,
};
