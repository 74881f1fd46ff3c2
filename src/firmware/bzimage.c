/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/bzimage.h"

#include <string.h>

#include "base/error.h"
#include "base/le.h"

#define SECTOR		512
#define BOOT_FLAG	0xaa55
#define LOADED_HIGH	0x01
#define XLF_KERNEL_64	0x01
#define XLF_ABOVE_4G	0x02
#define VERSION_PAYLOAD 0x0208
#define VERSION_INIT	0x020a
#define VERSION_XLF	0x020c
/* What x86 Linux has always been built with (COMMAND_LINE_SIZE less the zero). */
#define VMLINUX_CMDLINE 2047
#define VMLINUX_INITRD	0x7fffffff
/* No kernel unpacks to more; one whose header has init_size is held to that. */
#define PAYLOAD_MAX (512u << 20)

/* Files that are given by mistake. */
static const struct likeness {
	size_t offset;
	const char *bytes;
	size_t len;
	const char *what;
} likenesses[] = {
#define BYTES(s) s, sizeof(s) - 1
	{0x38, BYTES("ARM\x64"), "an arm64 kernel: give one built for x86-64"},
	{0x38, BYTES("RSC\x05"), "a RISC-V kernel: give one built for x86-64"},
	{0, BYTES("MZ"), "an EFI or Windows program: give the kernel itself (vmlinuz)"},
	{0, BYTES("\x1f\x8b"), "a gzip file (an initrd?): give the vmlinuz"},
	{0, BYTES("\3757zXZ"), "an xz file: unpack it first"},
	{0, BYTES("\x28\xb5\x2f\xfd"), "a zstd file (an initrd?): give the vmlinuz"},
	{0, BYTES("07070"), "a cpio archive: give it as the initrd"},
	{0, BYTES("QFI\xfb"), "a qcow2 disk image: give it as a disk"},
	{0, BYTES("!<arch>\n"), "a Debian package or library: unpack the vmlinuz from it"},
	{0, BYTES("#!"), "a script: give the vmlinuz"},
	{0x8001, BYTES("CD001"), "an ISO image: give it as a CD-ROM"},
	{0x1fe, BYTES("\x55\xaa"), "a disk's boot sector: give it as a disk"},
#undef BYTES
};

static bool fail(GError **error, const char *what)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s", what);
	return false;
}

static bool refuse_stranger(const uint8_t *data, size_t len, GError **error)
{
	const char *what = "not a Linux kernel: give a vmlinuz (bzImage) or a vmlinux";

	for (size_t i = 0; i < G_N_ELEMENTS(likenesses); i++) {
		const struct likeness *l = &likenesses[i];

		if (len >= l->offset + l->len && !memcmp(data + l->offset, l->bytes, l->len)) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "not a Linux kernel but %s",
				    l->what);
			return false;
		}
	}
	return fail(error, what);
}

/* A header for a kernel that comes without one, as the protocol's 64-bit entry wants it. */
static void describe_vmlinux(const uint8_t *data, size_t len, struct bzimage *image)
{
	uint8_t *bp = image->boot_params;

	le16_store(bp + BP_BOOT_FLAG, BOOT_FLAG);
	memcpy(bp + BP_HEADER, "HdrS", 4);
	le16_store(bp + BP_VERSION, VERSION_XLF);
	bp[BP_LOADFLAGS] = LOADED_HIGH;
	le32_store(bp + BP_INITRD_ADDR_MAX, VMLINUX_INITRD);
	le32_store(bp + BP_KERNEL_ALIGNMENT, 2 << 20);
	le16_store(bp + BP_XLOADFLAGS, XLF_KERNEL_64);
	le32_store(bp + BP_CMDLINE_SIZE, VMLINUX_CMDLINE);
	image->payload = data;
	image->payload_len = len;
	image->payload_max = len;
	image->initrd_addr_max = VMLINUX_INITRD;
	image->cmdline_size = VMLINUX_CMDLINE;
}

/* The header ends where the two-byte jump over it lands. */
static void copy_header(const uint8_t *data, struct bzimage *image)
{
	size_t end = BP_JUMP + 2 + data[BP_JUMP + 1];

	end = CLAMP(end, BP_INITRD_ADDR_MAX, BP_SETUP_HEADER_END);
	memcpy(image->boot_params + BP_SETUP_HEADER, data + BP_SETUP_HEADER, end - BP_SETUP_HEADER);
}

static bool find_payload(const uint8_t *data, size_t len, struct bzimage *image, GError **error)
{
	unsigned setup_sects = data[BP_SETUP_SECTS] ? data[BP_SETUP_SECTS] : 4;
	uint64_t start = (setup_sects + 1) * SECTOR + (uint64_t)le32_load(data + BP_PAYLOAD_OFFSET);
	uint32_t payload_len = le32_load(data + BP_PAYLOAD_LENGTH);

	if (start > len || payload_len > len - start) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "cut short: its header tells of %" G_GUINT64_FORMAT
			    " bytes, the file has %zu: copy it again",
			    start + payload_len, len);
		return false;
	}
	image->payload = data + start;
	image->payload_len = payload_len;
	return true;
}

/* Reads what the header's version has. */
static bool read_header(const uint8_t *data, struct bzimage *image, GError **error)
{
	unsigned version = le16_load(data + BP_VERSION);

	if (version < VERSION_PAYLOAD)
		return fail(error, "a Linux kernel older than 2.6.26 (boot protocol before 2.08), "
				   "which cannot be booted directly: boot it from a disk");
	image->initrd_addr_max = le32_load(data + BP_INITRD_ADDR_MAX);
	image->cmdline_size = le32_load(data + BP_CMDLINE_SIZE);
	image->payload_max = PAYLOAD_MAX;
	if (version >= VERSION_INIT) {
		uint64_t pref_address = le64_load(data + BP_PREF_ADDRESS);
		uint32_t init_size = le32_load(data + BP_INIT_SIZE);

		/* The kernel's own stub unpacks in place, within init_size. */
		image->payload_max = MIN(PAYLOAD_MAX, init_size);
		if (pref_address > UINT32_MAX)
			return fail(error, "its preferred load address is above 4 GiB: "
					   "the file is damaged");
		image->init_end = pref_address + init_size;
	}
	if (version >= VERSION_XLF)
		image->initrd_above_4g = le16_load(data + BP_XLOADFLAGS) & XLF_ABOVE_4G;
	return true;
}

bool bzimage_parse(const uint8_t *data, size_t len, struct bzimage *image, GError **error)
{
	memset(image, 0, sizeof(*image));
	if (len >= 4 && memcmp(data, "\177ELF", 4) == 0) {
		describe_vmlinux(data, len, image);
		return true;
	}
	if (len < BP_HEADER + 4 || memcmp(data + BP_HEADER, "HdrS", 4) != 0)
		return refuse_stranger(data, len, error);
	if (len < BP_SETUP_HEADER_END)
		return fail(error, "cut short within its setup header: copy it again");
	copy_header(data, image);
	return read_header(data, image, error) && find_payload(data, len, image, error);
}
