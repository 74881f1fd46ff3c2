/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig.h"

#include <unistd.h>

#include "base/le.h"
#include "dev/pci/pci.h"
#include "dev/table.h"
#include "net/frame.h"

#define DISK_SIZE (1 << 20)
#define RIG_REMOVABLE	1 /* the drive of a controller of several whose medium comes and goes */
#define RIG_EMPTY_DRIVE 2

/* A controller with a disk, the same as a CD, and an empty CD drive. */
#define DISK_AND_CDS(at) {.devfn = (at), .n_drives = 3, .drives = {{0}, {.cdrom = true}, {.cdrom = true}}}
#define RIG_MAC	  {0x52, 0x54, 0x00, 0x12, 0x34, 0x56}

const struct rig_row rig_rows[] = {
	{&i8259_class},
	{&i8254_class},
	{&i8042_class, .input = true},
	{&i8237_class},
	{&mc146818_class},
	{&piix4_pm_class, {.devfn = PCI_DEVFN(1, 3), .irq = 9}, .on_pci = true},
	{&i82093aa_class, {.base = 0xfec00000}},
	{&ns16550_class, {.base = 0x3f8, .irq = 4}},
	{&i440fx_class},
	{&q35_mch_class},
	{&hpet_class, {.base = 0xfed00000}},
	{&ich9_lpc_class, {.devfn = PCI_DEVFN(31, 0), .irq = 9}, .on_pci = true, .express = true},
	{&ich9_root_port_class, {.devfn = PCI_DEVFN(28, 0)}, .on_pci = true, .express = true},
	{&i82077aa_class, {.n_drives = 2}, .disk = true, .dma = true},
	{&piix_ide_class, DISK_AND_CDS(PCI_DEVFN(2, 1)), .on_pci = true, .disk = true},
	{&ahci_class, DISK_AND_CDS(PCI_DEVFN(2, 0)), .on_pci = true, .disk = true},
	{&virtio_blk_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .disk = true},
	{&virtio_9p_class, {.devfn = PCI_DEVFN(2, 0), .tag = "share"}, .on_pci = true, .share = true},
	{&virtio_fs_class, {.devfn = PCI_DEVFN(2, 0), .tag = "share"}, .on_pci = true, .share = true},
	{&virtio_vsock_class, {.devfn = PCI_DEVFN(2, 0), .cid = 3}, .on_pci = true, .vsock = true},
	{&virtio_console_class, {.devfn = PCI_DEVFN(2, 0), .n_ports = 2}, .on_pci = true},
	{&virtio_balloon_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true},
	{&virtio_rng_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true},
	{&piix3_class, {.devfn = PCI_DEVFN(1, 0)}, .on_pci = true},
	{&debugcon_class, {.base = 0x402}},
	{&fw_cfg_class},
	{&cfi_flash_class, {.base = MEM_HOLE_END}, .disk = true},
	{&virtio_scsi_class, DISK_AND_CDS(PCI_DEVFN(2, 0)),
	 .on_pci = true, .disk = true},
	{&nvme_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .disk = true},
	{&e1000_class, {.devfn = PCI_DEVFN(2, 0), .mac = RIG_MAC}, .on_pci = true, .net = true},
	{&rtl8139_class, {.devfn = PCI_DEVFN(2, 0), .mac = RIG_MAC}, .on_pci = true, .net = true},
	{&virtio_net_class, {.devfn = PCI_DEVFN(2, 0), .mac = RIG_MAC, .n_queues = 2}, .on_pci = true, .net = true},
	{&vga_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .display = true},
	{&virtio_gpu_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .display = true},
	{&ne2000_class, {.base = 0x300, .irq = 9, .mac = RIG_MAC}, .net = true},
	{&rtl8029_class, {.devfn = PCI_DEVFN(2, 0), .mac = RIG_MAC}, .on_pci = true, .net = true},
	{&virtio_keyboard_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .input = true},
	{&virtio_mouse_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .input = true},
	{&virtio_tablet_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .input = true},
	{&xhci_class, {.devfn = PCI_DEVFN(2, 0)}, .on_pci = true, .input = true},
	{NULL},
};

const struct rig_row *rig_row_of(const struct device_class *class)
{
	for (const struct rig_row *row = rig_rows; row->class; row++) {
		if (row->class == class)
			return row;
	}
	g_error("device '%s' has no row in rig_rows, so no generic test runs over it", class->name);
}

static void on_line(void *opaque, unsigned pin, bool level)
{
	struct rig *rig = opaque;

	rig->levels = level ? rig->levels | 1u << pin : rig->levels & ~(1u << pin);
	g_string_append_printf(rig->log, "%c%u ", level ? '+' : '-', pin);
}

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct rig *rig = opaque;

	g_string_append_printf(rig->log, "msi:%" G_GINT64_MODIFIER "x:%x ", addr, data);
}

static void on_intr(void *opaque, bool level)
{
	((struct rig *)opaque)->intr = level;
}

static void on_request(void *opaque, enum bus_request request)
{
	struct rig *rig = opaque;

	g_string_append(rig->log, request == BUS_REQUEST_RESET ? "reset " : "poweroff ");
	bus_request_take(rig->env.bus);
}

static struct block *open_disk(void)
{
	g_autofree char *path = NULL;
	struct block_options options = {.image.format = "raw"};
	struct block *block;
	int fd = g_file_open_tmp("viv-rig-XXXXXX", &path, NULL);

	g_assert_cmpint(ftruncate(fd, DISK_SIZE), ==, 0);
	close(fd);
	options.image.path = path;
	block = block_open(&options, NULL);
	g_assert_nonnull(block);
	unlink(path);
	return block;
}

static struct share *open_share(const struct device_class *class)
{
	g_autofree char *path = g_dir_make_tmp("viv-rig-XXXXXX", NULL);
	struct share *share = share_open(path, class == &virtio_9p_class ? SHARE_9P : SHARE_FUSE, true, NULL);

	g_assert_nonnull(share);
	rmdir(path);
	return share;
}

static bool on_frame(void *opaque, const uint8_t *frame, size_t len,
				  const struct net_offload *offload)
{
	struct rig *rig = opaque;

	g_string_append_printf(rig->log, "frame:%zu:%x ", len, frame_fcs(frame, len));
	return true;
}

static void connect_net(struct rig *rig)
{
	struct net_receiver receiver = {.receive = on_frame, .opaque = rig};

	rig->net = net_port_new(NULL);
	rig->net_end = net_port_new(NULL);
	net_set_receiver(rig->net_end, &receiver);
	net_join(rig->net, rig->net_end);
}

static void on_older_input(void *opaque, const struct input_event *event)
{
	g_string_append_printf(((struct rig *)opaque)->log, "older:%u ", event->type);
}

/* A keyboard and a mouse that the device's, attached later, take over from. */
static struct input *new_input(struct rig *rig)
{
	struct input *input = input_new();

	input_attach(input, &(struct input_sink){INPUT_KEYBOARD, on_older_input, rig}, true);
	input_attach(input, &(struct input_sink){INPUT_MOUSE, on_older_input, rig}, true);
	return input;
}

static void select_config(struct rig *rig, unsigned devfn, unsigned reg)
{
	bus_write(rig->env.bus, BUS_PIO, 0xcf8, 1u << 31 | devfn << 8 | reg, 4);
}

void rig_config_write(struct rig *rig, unsigned devfn, unsigned reg, uint32_t value)
{
	select_config(rig, devfn, reg);
	bus_write(rig->env.bus, BUS_PIO, 0xcfc, value, 4);
}

/* Where a BAR goes: 256 ports or 128 KiB from the one before, or 16 MiB where it is large. */
static uint32_t bar_place(struct rig *rig, unsigned index)
{
	uint32_t mask;

	bus_write(rig->env.bus, BUS_PIO, 0xcfc, UINT32_MAX, 4);
	mask = rig_in32(rig, 0xcfc);
	if (mask & PCI_BAR_IO)
		return PCI_IO_FIRST + (index << 8);
	return PCI_MEM_FIRST + (-(mask & ~0xfu) > 1 << 17 ? (index + 1) << 24 : index << 17);
}

/* As firmware does: each BAR has a place, decoding and mastering are on. */
static void place_bars(struct rig *rig, unsigned devfn)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		select_config(rig, devfn, PCI_BAR_0 + 4 * i);
		bus_write(rig->env.bus, BUS_PIO, 0xcfc, bar_place(rig, i), 4);
		/* The upper half of a 64-bit one. */
		if ((rig_in32(rig, 0xcfc) & 7) == 4) {
			select_config(rig, devfn, PCI_BAR_0 + 4 * ++i);
			bus_write(rig->env.bus, BUS_PIO, 0xcfc, 0, 4);
		}
	}
	select_config(rig, devfn, PCI_COMMAND);
	rig_out16(rig, 0xcfc, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* Everything around the device. */
static struct rig *new_surroundings(void)
{
	struct rig *rig = g_new0(struct rig, 1);

	rig->env.packed_rings = true;
	rig->env.bus = bus_new();
	rig->env.clock = clock_new_manual();
	rig->env.mem = mem_new(MEM_MIN_SIZE, NULL);
	rig->stream = stream_new();
	rig->log = g_string_new(NULL);
	rig->files[0] = (struct fw_cfg_file){
		.key = FW_CFG_NB_CPUS, .bytes = g_bytes_new_static("\2", 2)};
	rig->files[1] = (struct fw_cfg_file){
		.name = "etc/file", .bytes = g_bytes_new_static("content", 7)};
	for (unsigned i = 0; i < BUS_LINES; i++) {
		bus_line_attach(rig->env.bus, i, on_line, rig, i);
		irq_line_init(&rig->sources[i], rig->env.bus, i);
	}
	bus_set_msi_sink(rig->env.bus, on_msi, rig);
	bus_set_intr_sink(rig->env.bus, on_intr, rig);
	bus_set_request_sink(rig->env.bus, on_request, rig);
	return rig;
}

struct rig *rig_new_row(const struct rig_row *row)
{
	struct rig *rig = new_surroundings();
	struct device_config config = row->config, none = {0};

	if (row->on_pci)
		rig->bridge = device_new(row->express ? &q35_mch_class : &i440fx_class, &rig->env, &none, NULL);
	if (row->dma)
		rig->dma = device_new(&i8237_class, &rig->env, &none, NULL);
	if (row->disk)
		rig->block = open_disk();
	if (row->display)
		rig->display = display_new();
	if (row->input)
		rig->input = new_input(rig);
	if (row->share)
		rig->share = open_share(row->class);
	if (row->vsock)
		rig->vsock = rig_vsock_new();
	if (row->net)
		connect_net(rig);
	config.display = rig->display;
	config.input = rig->input;
	config.net = rig->net;
	config.share = rig->share;
	config.vsock = rig->vsock ? rig->vsock->host : NULL;
	config.stream = rig->stream;
	rig->more = stream_new();
	rig->ports[0] = (struct device_port){rig->stream, "first"};
	rig->ports[1] = (struct device_port){rig->more, "second"};
	config.ports = rig->ports;
	config.block = rig->block;
	for (unsigned i = 0; row->disk && i < MIN(config.n_drives, RIG_EMPTY_DRIVE); i++)
		config.drives[i].block = rig->block;
	config.files = rig->files;
	config.n_files = G_N_ELEMENTS(rig->files);
	rig->device = device_new(row->class, &rig->env, &config, NULL);
	g_assert_nonnull(rig->device);
	if (row->on_pci)
		place_bars(rig, config.devfn);
	g_string_truncate(rig->log, 0);
	return rig;
}

struct rig *rig_new(const struct device_class *class, const struct device_config *config)
{
	struct rig_row row = {class, *config};

	return rig_new_row(&row);
}

void rig_free(struct rig *rig)
{
	device_free(rig->device);
	device_free(rig->dma);
	device_free(rig->bridge);
	if (rig->block)
		block_close(rig->block);
	share_close(rig->share);
	rig_vsock_free(rig->vsock);
	display_free(rig->display);
	if (rig->input)
		input_detach(rig->input, rig);
	input_free(rig->input);
	net_port_free(rig->net);
	net_port_free(rig->net_end);
	stream_free(rig->stream);
	stream_free(rig->more);
	for (unsigned i = 0; i < G_N_ELEMENTS(rig->files); i++)
		g_bytes_unref(rig->files[i].bytes);
	mem_free(rig->env.mem);
	clock_free(rig->env.clock);
	bus_free(rig->env.bus);
	g_string_free(rig->log, TRUE);
	g_free(rig);
}

uint8_t rig_in8(struct rig *rig, uint16_t port)
{
	return bus_read(rig->env.bus, BUS_PIO, port, 1);
}

void rig_out8(struct rig *rig, uint16_t port, uint8_t value)
{
	bus_write(rig->env.bus, BUS_PIO, port, value, 1);
}

uint32_t rig_in32(struct rig *rig, uint16_t port)
{
	return bus_read(rig->env.bus, BUS_PIO, port, 4);
}

void rig_out16(struct rig *rig, uint16_t port, uint16_t value)
{
	bus_write(rig->env.bus, BUS_PIO, port, value, 2);
}

void rig_assert_log(struct rig *rig, const char *expected)
{
	g_assert_cmpstr(rig->log->str, ==, expected);
	g_string_truncate(rig->log, 0);
}

bool rig_line(const struct rig *rig, unsigned line)
{
	return rig->levels >> line & 1;
}

struct region {
	enum bus_space space;
	uint64_t base, len;
};

struct regions {
	enum bus_space space;
	GArray *array;
};

static void add_region(void *opaque, uint64_t base, uint64_t len)
{
	struct regions *regions = opaque;
	struct region region = {regions->space, base, len};

	g_array_append_val(regions->array, region);
}

/* The regions as they stand: a PCI device's move. */
static GArray *find_regions(struct rig *rig)
{
	struct regions regions = {BUS_PIO, g_array_new(FALSE, FALSE, sizeof(struct region))};

	bus_for_each_region(rig->env.bus, BUS_PIO, add_region, &regions);
	regions.space = BUS_MMIO;
	bus_for_each_region(rig->env.bus, BUS_MMIO, add_region, &regions);
	return regions.array;
}

/* Most registers lie at the beginning, or at the beginning of a page. */
static uint64_t register_offset(uint64_t len, uint16_t random, bool anywhere)
{
	uint64_t pages = MAX(len / MEM_PAGE_SIZE, 1);

	if (anywhere)
		return random % len;
	return (random / 64 % pages * MEM_PAGE_SIZE + random % 64) % len;
}

/* So that two rigs that are driven alike stay alike, and none but the driving thread writes to the log. */
static void drain(struct rig *rig)
{
	if (rig->device->class->drain)
		rig->device->class->drain(rig->device);
}

static void access_region(struct rig *rig, const uint8_t *step, bool write)
{
	g_autoptr(GArray) regions = find_regions(rig);
	unsigned size = 1u << (step[1] >> 6);
	uint64_t value, addr, read;
	struct region *r;

	if (!regions->len)
		return;
	r = &g_array_index(regions, struct region, step[1] % 64 % regions->len);
	addr = r->base + register_offset(r->len, le16_load(step + 2), step[0] & 0x80);
	value = le32_load(step + 4) * 0x100000001ull;
	if (write) {
		bus_write(rig->env.bus, r->space, addr, value, size);
		drain(rig);
		return;
	}
	read = bus_read(rig->env.bus, r->space, addr, size);
	drain(rig);
	g_string_append_printf(rig->log, "=%" G_GINT64_MODIFIER "x ", read);
}

/* Mostly short, for timers; now and then seconds, for clocks. */
static void pass_time(struct rig *rig, const uint8_t *step)
{
	static const int64_t spans[] = {100000, MS, 20 * MS, 2 * S};
	unsigned span = step[1] == 0xff ? 3 : step[1] % 3;

	clock_step(rig->env.clock, le32_load(step + 4) % spans[span]);
}

static void drive_bus(struct rig *rig, const uint8_t *step)
{
	unsigned line = step[2] % BUS_LINES;

	switch (step[1] % 4) {
	case 0:
		irq_line_set(&rig->sources[line], !rig->sources[line].level);
		break;
	case 1:
		irq_line_pulse(&rig->sources[line]);
		break;
	case 2:
		if (rig->intr)
			g_string_append_printf(rig->log, "ack:%x ", bus_intr_ack(rig->env.bus));
		break;
	case 3:
		bus_eoi(rig->env.bus, step[3]);
		break;
	}
}

/* The picture, as what it is made of can be seen by: size and a sum over its pixels. */
static void look(struct rig *rig)
{
	struct display_picture picture;
	uint32_t sum = 0;

	display_refresh(rig->display, NULL);
	display_get_picture(rig->display, &picture);
	for (size_t i = 0; i < (size_t)picture.width * picture.height; i++)
		sum = sum * 31 + picture.pixels[i];
	g_string_append_printf(rig->log, "screen:%ux%u:%x ", picture.width, picture.height, sum);
}

static void place(struct rig *rig, unsigned x, unsigned y)
{
	input_place(rig->input, x, y, 256, 256);
	rig->placed = true;
	rig->x = x;
	rig->y = y;
}

static void touch(struct rig *rig, const uint8_t *step)
{
	switch (step[1] >> 5) {
	case 0:
		input_move(rig->input, (int8_t)step[2], (int8_t)step[3]);
		break;
	case 1:
		place(rig, step[2], step[3]);
		break;
	case 2:
		input_wheel(rig->input, (int8_t)step[2]);
		break;
	case 3:
		input_button(rig->input, BTN_LEFT + step[2] % 5, step[3] & 1);
		break;
	default:
		input_key(rig->input, step[2] % KEY_MAX, step[3] & 1);
		break;
	}
}

static void set_medium(struct rig *rig, bool present)
{
	rig->ejected = !present;
	device_set_medium(rig->device, RIG_REMOVABLE, present ? rig->block : NULL);
}

/* From somebody to everybody, or to whom the step says: the card, now and then. */
static void send_frame(struct rig *rig, const uint8_t *step)
{
	uint8_t frame[2048];
	size_t len = MIN(14 + (step[1] >> 2) * 32, sizeof(frame));

	for (size_t i = 0; i < len; i++)
		frame[i] = i + step[3];
	memset(frame, step[2] & 1 ? 0xff : step[2], NET_ADDR_LEN);
	net_send(rig->net_end, frame, len);
}

static void drive_net(struct rig *rig, const uint8_t *step)
{
	if (step[3] == 0xff)
		net_set_enabled(rig->net_end, step[2] & 1);
	else
		send_frame(rig, step);
}

static void drive_host(struct rig *rig, const uint8_t *step)
{
	uint8_t out[64];
	size_t n;

	if (rig->block && step[1] % 4 == 0) {
		set_medium(rig, step[2] & 1);
		return;
	}
	if (rig->net && step[1] % 4 != 1) {
		drive_net(rig, step);
		return;
	}
	if (rig->vsock && step[1] % 4 != 1) {
		rig_vsock_drive(rig->vsock, step + 2);
		return;
	}
	if (rig->display && step[1] % 4 == 2) {
		look(rig);
		return;
	}
	if (rig->input && step[1] % 4 != 1) {
		touch(rig, step);
		return;
	}
	if (step[1] == 0x80)
		stream_host_resize(rig->stream, step[2], step[3]);
	if (step[1] % 2) {
		stream_host_write(step[1] & 0x80 ? rig->more : rig->stream, step + 2, step[1] % 7);
		return;
	}
	n = stream_host_read(rig->stream, out, sizeof(out));
	for (size_t i = 0; i < n; i++)
		g_string_append_printf(rig->log, "out:%x ", out[i]);
}

void rig_drive(struct rig *rig, const uint8_t *bytes, size_t len)
{
	for (size_t at = 0; len - at >= RIG_STEP_LEN; at += RIG_STEP_LEN) {
		const uint8_t *step = bytes + at;

		switch (step[0] % 16) {
		case 0:
		case 1:
			pass_time(rig, step);
			break;
		case 2:
		case 3:
			drive_bus(rig, step);
			break;
		case 4:
			drive_host(rig, step);
			break;
		case 5:
			mem_write(rig->env.mem, le16_load(step + 2), step + 4, 4);
			break;
		default:
			access_region(rig, step, step[0] & 1);
			break;
		}
		/* What the disk does takes no time that a guest could see. */
		if (rig->block)
			block_drain(rig->block);
		if (rig->net)
			net_run(rig->net);
		if (rig->vsock)
			rig_vsock_run(rig->vsock, rig->log);
	}
}

static void copy_ram(struct rig *rig, struct rig *from)
{
	uint64_t pages = MEM_MIN_SIZE / MEM_PAGE_SIZE;
	g_autofree uint64_t *dirty = g_new0(uint64_t, pages / 64);

	mem_fetch_dirty(from->env.mem, 0, dirty, pages / 64);
	for (uint64_t page = 0; page < pages; page++) {
		uint64_t gpa = page * MEM_PAGE_SIZE;

		if (mem_is_ram(from->env.mem, gpa) && dirty[page / 64] >> page % 64 & 1)
			mem_write(rig->env.mem, gpa, mem_hva(from->env.mem, gpa), MEM_PAGE_SIZE);
	}
}

/* What there is of them: the file's holes are zeros. */
static void copy_banks(struct rig *rig, struct rig *from)
{
	struct mem *mem = rig->env.mem, *from_mem = from->env.mem;
	off_t at = MEM_MIN_SIZE, end;

	while ((at = lseek(from_mem->fd, at, SEEK_DATA)) >= 0) {
		g_autofree uint8_t *bytes = NULL;

		end = lseek(from_mem->fd, at, SEEK_HOLE);
		bytes = g_malloc(end - at);
		g_assert_cmpint(pread(from_mem->fd, bytes, end - at, at), ==, end - at);
		g_assert_cmpint(pwrite(mem->fd, bytes, end - at, at), ==, end - at);
		at = end;
	}
	for (unsigned i = 0; i < mem->banks->len; i++)
		mem_bank_written(mem->banks->pdata[i], 0, mem_bank_size(mem->banks->pdata[i]));
}

enum { BRIDGE_INSTANCE, DMA_INSTANCE, DEVICE_INSTANCE };

/* The devices that the one under test needs. */
static GByteArray *save_others(struct rig *rig)
{
	GByteArray *out = g_byte_array_new();

	if (rig->bridge)
		device_save(rig->bridge, BRIDGE_INSTANCE, out);
	if (rig->dma)
		device_save(rig->dma, DMA_INSTANCE, out);
	return out;
}

GByteArray *rig_save(struct rig *rig)
{
	GByteArray *out = save_others(rig);

	device_save(rig->device, DEVICE_INSTANCE, out);
	return out;
}

enum forgery { RAW, SMALL, ZERO, ONES };

/* A field's new value; all but raw bytes often pass a device's check. Returns what it used up. */
static size_t forge_field(const struct state_field *field, uint8_t *value, enum forgery how,
			  const uint8_t *bytes, size_t len)
{
	size_t total = (size_t)field->size * field->count;

	if (how == RAW) {
		memcpy(value, bytes, MIN(total, len));
		return MIN(total, len);
	}
	memset(value, how == ONES ? (field->boolean ? 1 : 0xff) : 0, total);
	if (how != SMALL)
		return 0;
	for (size_t i = 0; i < field->count && i < len; i++)
		value[i * field->size] = field->boolean ? bytes[i] & 1 : bytes[i];
	return MIN(field->count, len);
}

/* Field by field, a byte says whether and how it is forged, and the following ones with what. */
GByteArray *rig_forge(struct rig *rig, const uint8_t *bytes, size_t len)
{
	const struct state_table *table = rig->device->class->state;
	g_autofree uint8_t *object = g_memdup2(rig->device, table->object_size);
	GByteArray *out = save_others(rig);

	for (size_t i = 0; i < table->n_fields && len; i++) {
		const struct state_field *field = &table->fields[i];
		g_autofree uint8_t *value = g_malloc0((size_t)field->size * field->count);
		uint8_t how = *bytes++;
		size_t used;

		len--;
		if (how % 16)
			continue;
		used = forge_field(field, value, how / 16 % 4, bytes, len);
		state_field_set(field, object, value);
		bytes += used;
		len -= used;
	}
	state_save(table, DEVICE_INSTANCE, object, out);
	return out;
}

bool rig_load(struct rig *rig, const uint8_t *data, size_t len, GError **error)
{
	struct state_reader reader = {data, len, 0};

	return (!rig->bridge || device_load(rig->bridge, BRIDGE_INSTANCE, &reader, error)) &&
	       (!rig->dma || device_load(rig->dma, DMA_INSTANCE, &reader, error)) &&
	       device_load(rig->device, DEVICE_INSTANCE, &reader, error);
}

void rig_clone(struct rig *rig, struct rig *from)
{
	uint8_t input[256], output[256];
	g_autoptr(GByteArray) saved = NULL;
	g_autoptr(GError) error = NULL;
	size_t n;

	while (stream_host_read(from->stream, output, sizeof(output)))
		;
	/* What the device has not taken yet is not its state: given to both afterwards. */
	n = stream_read(from->stream, input, sizeof(input));
	/* Neither are frames under way; the link is as it was. */
	if (rig->net) {
		net_unjoin(from->net);
		net_join(from->net, from->net_end);
		net_set_enabled(rig->net_end, net_link(from->net));
	}
	clock_set_ns(rig->env.clock, clock_now_ns(from->env.clock));
	/* First: what is in flight ends, and writes to RAM. */
	saved = rig_save(from);
	copy_ram(rig, from);
	copy_banks(rig, from);
	for (unsigned i = 0; i < BUS_LINES; i++)
		irq_line_set(&rig->sources[i], from->sources[i].level);
	if (from->placed)
		place(rig, from->x, from->y);
	set_medium(rig, !from->ejected);
	rig_load(rig, saved->data, saved->len, &error);
	g_assert_no_error(error);
	stream_host_write(from->stream, input, n);
	stream_host_write(rig->stream, input, n);
	g_string_truncate(from->log, 0);
	g_string_truncate(rig->log, 0);
}
