/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/hardware.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "block/block.h"
#include "display/display.h"
#include "display/input.h"
#include "firmware/rom.h"
#include "machine/board.h"
#include "share/share.h"
#include "stream/stream.h"
#include "vm/nets.h"
#include "stream/vsock_host.h"
#include "vm/serial.h"
#include "vm/typist.h"

/* An overlay without a name: a file that is gone already when the VM runs. */
static struct block *open_snapshot(struct block_options *options, GError **error)
{
	const char *path = options->image.path;
	g_autofree char *base = strstr(path, "://") ? g_strdup(path) : g_canonicalize_filename(path, NULL);
	g_autofree char *overlay = g_strdup_printf("%s/viv-snapshot-%08x%08x.qcow2", g_get_tmp_dir(),
						   g_random_int(), g_random_int());
	struct image_create create = {
		.path = overlay,
		.format = "qcow2",
		.backing = base,
		.backing_format = options->image.format ? options->image.format : image_format_of_path(path),
	};
	struct block *block;

	if (!image_create(&create, error))
		return NULL;
	options->image.path = overlay;
	options->image.format = create.format;
	block = block_open(options, error);
	g_unlink(overlay);
	return block;
}

#define MAX_FDS 65536

struct block *hardware_open_disk(struct hardware *hardware, const struct vm_disk *disk, const char *name,
				 GError **error)
{
	struct block_options options = {
		.image.path = disk->path,
		.image.format = disk->format,
		.image.secret = disk->secret,
		.image.read_only = disk->read_only,
		.image.direct = disk->direct,
		.no_discard = disk->no_discard,
		.limits = disk->limits,
		.gate = hardware->gate,
		.name = name,
	};
	struct block *block = disk->snapshot ? open_snapshot(&options, error) : block_open(&options, error);

	if (block)
		g_ptr_array_add(hardware->blocks, block);
	return block;
}

void hardware_close_disk(struct hardware *hardware, struct block *block)
{
	if (block)
		g_ptr_array_remove(hardware->blocks, block);
}

static void close_block(gpointer block)
{
	block_close(block);
}

static bool open_disks(struct hardware *hardware, const struct vm_config *config, GError **error)
{
	static const char *const kinds[MACHINE_N_BOOT] = {
		[MACHINE_BOOT_DISK] = "disk", [MACHINE_BOOT_CD] = "cd", [MACHINE_BOOT_FLOPPY] = "floppy"};
	unsigned numbers[MACHINE_N_BOOT] = {};

	for (unsigned i = 0; i < config->n_disks; i++) {
		const struct vm_disk *from = &config->disks[i];
		struct machine_disk *disk = &hardware->disks[i];
		g_autofree char *name = g_strdup_printf("%s%u", kinds[from->kind], numbers[from->kind]++);

		disk->bus = from->bus == MACHINE_N_DISK_BUSES ? config->board->cd_bus : from->bus;
		disk->kind = from->kind;
		if (from->path && !(disk->block = hardware_open_disk(hardware, from, name, error)))
			return false;
	}
	hardware->n_disks = config->n_disks;
	return true;
}

/* The firmware's messages go to a file, through a stream, which a slow disk cannot hold up. */
static bool open_log(struct hardware *hardware, const char *path, GMainContext *context, GError **error)
{
	hardware->firmware_log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (hardware->firmware_log_fd < 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--firmware-log: cannot write '%s': %s; name a file that can be written",
			    path, g_strerror(errno));
		return false;
	}
	hardware->firmware.log =
		stream_new_fd(context, -1, hardware->firmware_log_fd, -1, NULL, NULL);
	return true;
}

/* UEFI's variables: the user's file, which begins as the template, or the template. */
static bool open_vars(struct hardware *hardware, const struct vm_config *config, GError **error)
{
	GBytes *template = rom_load(&rom_ovmf_vars, error);
	struct vm_disk disk = {.path = config->vars, .format = "raw"};
	struct block *vars;
	gsize len;

	hardware->firmware.vars_template = template;
	if (!template || !config->vars)
		return template != NULL;
	if (!g_file_test(config->vars, G_FILE_TEST_EXISTS) &&
	    !g_file_set_contents_full(config->vars, g_bytes_get_data(template, &len),
				      g_bytes_get_size(template), G_FILE_SET_CONTENTS_CONSISTENT, 0600, error))
		return false;
	vars = hardware_open_disk(hardware, &disk, "vars", error);
	hardware->firmware.vars = vars;
	if (!vars || block_size(vars) == g_bytes_get_size(template))
		return vars != NULL;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "--vars: '%s' is of another firmware: it has %" G_GUINT64_FORMAT " bytes, not %" G_GSIZE_FORMAT
		    "; name a new file",
		    config->vars, block_size(vars), g_bytes_get_size(template));
	return false;
}

static bool load_images(struct hardware *hardware, const struct vm_config *config, GError **error)
{
	const char *name = config->firmware ? config->firmware : "bios";
	struct machine_firmware *firmware = &hardware->firmware;
	bool uefi = !strcmp(name, "uefi");

	if (config->vars && !uefi) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--vars: only UEFI keeps variables; add --firmware uefi");
		return false;
	}
	firmware->bios = uefi			? rom_load(&rom_ovmf, error)
			 : !strcmp(name, "bios") ? rom_load(&rom_seabios, error)
						 : rom_load_file(name, error);
	if (!firmware->bios || (uefi && !open_vars(hardware, config, error)))
		return false;
	firmware->vga_bios = rom_load(&rom_vgabios, error);
	return firmware->vga_bios != NULL;
}

static bool open_firmware(struct hardware *hardware, const struct vm_config *config,
			  GMainContext *context, GError **error)
{
	struct machine_firmware *firmware = &hardware->firmware;

	hardware->has_firmware = vm_config_has_firmware(config);
	if (!hardware->has_firmware)
		return true;
	*firmware = (struct machine_firmware){
		.n_order = config->n_boot,
		.menu = config->boot_menu,
		.serial_console = !config->has_vnc,
	};
	memcpy(firmware->order, config->boot, sizeof(firmware->order));
	if (!load_images(hardware, config, error))
		return false;
	return !config->firmware_log || open_log(hardware, config->firmware_log, context, error);
}

static void open_screen(struct hardware *hardware, const struct vm_config *config)
{
	if (!vm_config_has_screen(config))
		return;
	hardware->display = display_new();
	hardware->virtio_gpu = config->virtio_gpu;
}

static void open_input(struct hardware *hardware, const struct vm_config *config, GMainContext *context)
{
	if (!vm_config_has_input(config))
		return;
	memcpy(hardware->inputs, config->inputs, sizeof(hardware->inputs));
	hardware->input = input_new();
	hardware->typist = typist_new(context, hardware->input);
}

static bool open_nics(struct hardware *hardware, const struct vm_config *config, GMainContext *context,
		      GError **error)
{
	static const struct rom *const roms[MACHINE_N_NIC_MODELS] = {
		[MACHINE_VIRTIO_NET] = &rom_ipxe_virtio,
		[MACHINE_E1000] = &rom_ipxe_e1000,
		[MACHINE_RTL8139] = &rom_ipxe_rtl8139,
		[MACHINE_RTL8029] = &rom_ipxe_ne2k,
	};

	hardware->nets = nets_new(config, context, error);
	if (!hardware->nets)
		return false;
	for (unsigned i = 0; i < config->n_nics; i++) {
		struct machine_nic *nic = &hardware->nics[i];

		nic->model = config->nics[i].model;
		nic->port = nets_port(hardware->nets, i);
		memcpy(nic->mac, config->nics[i].mac, sizeof(nic->mac));
		if (config->nics[i].net == VM_NET_USER)
			nic->mtu = config->nics[i].user.mtu;
		hardware->n_nics = i + 1;
		if (hardware->has_firmware && !config->nics[i].no_rom &&
		    !(nic->rom = rom_load(roms[nic->model], error)))
			return false;
	}
	return true;
}

/* What the guest has open in shared folders is ours, too. Its descriptors keep out of select()'s way. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = MAX(limit.rlim_cur, MIN(limit.rlim_max, MAX_FDS));
	setrlimit(RLIMIT_NOFILE, &limit);
}

static bool open_shares(struct hardware *hardware, const struct vm_config *config, GError **error)
{
	if (config->n_shares)
		raise_fd_limit();
	for (unsigned i = 0; i < config->n_shares; i++) {
		const struct vm_share *from = &config->shares[i];
		struct machine_share *share = &hardware->shares[i];

		share->protocol = from->by_9p ? SHARE_9P : SHARE_FUSE;
		share->share = share_open(from->path, share->protocol, from->read_only, error);
		if (!share->share) {
			g_prefix_error(error, "--volume: ");
			return false;
		}
		share->tag = from->tag;
		hardware->n_shares = i + 1;
	}
	return true;
}

static bool open_ports(struct hardware *hardware, const struct vm_config *config, GMainContext *context,
		       GError **error)
{
	for (unsigned i = 0; i < config->n_ports; i++) {
		struct device_port *port = &hardware->ports[i];

		port->name = config->ports[i].name;
		port->stream = serial_open("--port", &config->ports[i].place, NULL, context, NULL, NULL,
					   &hardware->port_fds[i], error);
		if (!port->stream)
			return false;
		hardware->n_ports = i + 1;
	}
	return true;
}

static bool open_vsock(struct hardware *hardware, const struct vm_config *config, GMainContext *context,
		       GError **error)
{
	hardware->cid = config->cid;
	if (!config->cid)
		return true;
	hardware->vsock = vsock_host_new(context, config->vsock, error);
	if (!hardware->vsock)
		g_prefix_error(error, "--vsock: ");
	return hardware->vsock != NULL;
}

bool hardware_open(struct hardware *hardware, const struct vm_config *config, GMainContext *context,
		   GMutex *gate, GError **error)
{
	*hardware = (struct hardware){.gate = gate, .firmware_log_fd = -1};
	hardware->blocks = g_ptr_array_new_with_free_func(close_block);
	hardware->balloon = config->balloon;
	if (!open_disks(hardware, config, error) ||
	    !open_firmware(hardware, config, context, error) ||
	    !open_nics(hardware, config, context, error) || !open_shares(hardware, config, error) ||
	    !open_ports(hardware, config, context, error) || !open_vsock(hardware, config, context, error))
		return false;
	open_screen(hardware, config);
	open_input(hardware, config, context);
	return true;
}

void hardware_close(struct hardware *hardware)
{
	if (!hardware->blocks)
		return;
	g_ptr_array_unref(hardware->blocks);
	stream_free(hardware->firmware.log);
	if (hardware->firmware_log_fd >= 0)
		close(hardware->firmware_log_fd);
	g_clear_pointer(&hardware->firmware.bios, g_bytes_unref);
	g_clear_pointer(&hardware->firmware.vga_bios, g_bytes_unref);
	g_clear_pointer(&hardware->firmware.vars_template, g_bytes_unref);
	for (unsigned i = 0; i < hardware->n_nics; i++)
		g_clear_pointer(&hardware->nics[i].rom, g_bytes_unref);
	nets_free(hardware->nets);
	for (unsigned i = 0; i < hardware->n_shares; i++)
		share_close(hardware->shares[i].share);
	for (unsigned i = 0; i < hardware->n_ports; i++) {
		stream_free(hardware->ports[i].stream);
		if (hardware->port_fds[i] >= 0)
			close(hardware->port_fds[i]);
	}
	vsock_host_free(hardware->vsock);
	display_free(hardware->display);
	typist_free(hardware->typist);
	input_free(hardware->input);
}

void hardware_describe(const struct hardware *hardware, struct machine_config *config)
{
	config->firmware = hardware->has_firmware ? &hardware->firmware : NULL;
	config->display = hardware->display;
	config->virtio_gpu = hardware->virtio_gpu;
	config->input = hardware->input;
	memcpy(config->inputs, hardware->inputs, sizeof(config->inputs));
	config->ports = hardware->ports;
	config->n_ports = hardware->n_ports;
	config->balloon = hardware->balloon;
	config->vsock = hardware->vsock;
	config->cid = hardware->cid;
	config->shares = hardware->shares;
	config->n_shares = hardware->n_shares;
	config->disks = hardware->disks;
	config->n_disks = hardware->n_disks;
	config->nics = hardware->nics;
	config->n_nics = hardware->n_nics;
}
