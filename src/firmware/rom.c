/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/rom.h"

#include "base/error.h"

#define PAGE	 4096
#define MAX_SIZE (16 << 20)

const struct rom rom_seabios = {"seabios/bios-256k.bin", "seabios"};
const struct rom rom_vgabios = {"seabios/vgabios-stdvga.bin", "seabios"};
const struct rom rom_ovmf = {"OVMF/OVMF_CODE_4M.fd", "ovmf"};
const struct rom rom_ovmf_vars = {"OVMF/OVMF_VARS_4M.fd", "ovmf"};
const struct rom rom_ipxe_e1000 = {"ipxe/qemu/pxe-e1000.rom", "ipxe-qemu"};
const struct rom rom_ipxe_ne2k = {"ipxe/qemu/pxe-ne2k_pci.rom", "ipxe-qemu"};
const struct rom rom_ipxe_virtio = {"ipxe/qemu/pxe-virtio.rom", "ipxe-qemu"};
const struct rom rom_ipxe_rtl8139 = {"ipxe/qemu/pxe-rtl8139.rom", "ipxe-qemu"};

static GBytes *map_file(const char *path, GError **error)
{
	GMappedFile *file = g_mapped_file_new(path, FALSE, error);
	GBytes *bytes = file ? g_mapped_file_get_bytes(file) : NULL;

	if (file)
		g_mapped_file_unref(file);
	return bytes;
}

/* Where the distribution has its firmware, besides what the environment says. */
static const char *const fallback_dirs[] = {"/usr/local/share", "/usr/share", "/usr/lib", NULL};

static GBytes *find(const char *file, const char *const *dirs)
{
	for (; *dirs; dirs++) {
		g_autofree char *path = g_build_filename(*dirs, file, NULL);
		GBytes *bytes = map_file(path, NULL);

		if (bytes)
			return bytes;
	}
	return NULL;
}

GBytes *rom_load(const struct rom *rom, GError **error)
{
	GBytes *bytes = find(rom->file, g_get_system_data_dirs());

	if (!bytes)
		bytes = find(rom->file, fallback_dirs);
	if (!bytes)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "firmware '%s' is not installed; install the package %s", rom->file,
			    rom->package);
	return bytes;
}

GBytes *rom_load_file(const char *path, GError **error)
{
	g_autoptr(GError) cause = NULL;
	GBytes *bytes = map_file(path, &cause);
	gsize len;

	if (!bytes) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "firmware: %s", cause->message);
		return NULL;
	}
	len = g_bytes_get_size(bytes);
	if (len && len % PAGE == 0 && len <= MAX_SIZE)
		return bytes;
	g_bytes_unref(bytes);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "firmware '%s' has %" G_GSIZE_FORMAT " bytes; an image is a multiple of 4 KiB, at most 16 MiB",
		    path, len);
	return NULL;
}
