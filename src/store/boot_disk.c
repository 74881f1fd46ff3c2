/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/boot_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"

#define ESP_LBA	    4096u
#define ESP_SECTORS 65536u
#define ROOT_LBA    (ESP_LBA + ESP_SECTORS)
#define GPT_TAIL    2048u /* the backup table, and alignment */
#define MAX_CORE    ((ESP_LBA - BOOT_DISK_CORE_LBA) * BOOT_DISK_SECTOR)

/* Partition types: BIOS boot (GRUB's), EFI system (UEFI 5.3.3), root of x86-64 (the Discoverable Partitions
 * Specification). */
static const char partitions[] =
	"label: gpt\\nfirst-lba: 2048\\n"
	"start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios\\n"
	"start=4096, size=65536, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp\\n"
	"start=69632, size=%" G_GUINT64_FORMAT ", type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root\\n";

/*
 * Extracts $1 in the folder $2, as root or, in a user namespace, its owner: owners and capabilities have to get
 * into the file system. (fakeroot loses what kind of a file one with a capability is.) The inode table is zeroed
 * now, which costs nothing in a new sparse file, lest the guest do it with real writes.
 * Arguments: tar, folder, disk, offset in bytes, size in KiB, UUID.
 */
static const char make_root[] =
	"set -e; mkdir \"$2/root\"\n"
	"trap 'rm -rf \"$2/root\"' EXIT\n" /* files of uids that the user cannot remove outside */
	"tar --extract --file \"$1\" --directory \"$2/root\" --numeric-owner --xattrs --xattrs-include='*' \\\n"
	"	--exclude='./dev/*'\n" /* nodes, which only root can make; the kernel mounts its own there */
	"for file in i386-pc/boot.img i386-pc/core.img x86_64-efi/core.efi; do\n"
	"	cp \"$2/root/boot/grub/$file\" \"$2/${file##*/}\"\n"
	"done\n"
	"mke2fs -q -t ext4 -U \"$6\" -L root -d \"$2/root\" \\\n"
	"	-E \"offset=$4,lazy_itable_init=0,lazy_journal_init=0,nodiscard\" \"$3\" \"$5k\"\n";

/* Arguments: folder, disk, script for sfdisk. */
static const char make_partitions[] = "set -e; printf \"$3\" | sfdisk -q \"$2\"\n"
				      "mformat -i \"$2@@2M\" -T 65536 -h 64 -s 32 -v ESP ::\n"
				      "mmd -i \"$2@@2M\" ::EFI ::EFI/BOOT\n"
				      "mcopy -i \"$2@@2M\" \"$1/core.efi\" ::EFI/BOOT/BOOTX64.EFI\n";

const char *const *boot_disk_tools(void)
{
	static const char *const as_root[] = {"sfdisk", "mformat", "mcopy", "tar", "mke2fs", NULL};
	static const char *const as_user[] = {"sfdisk", "mformat",  "mcopy", "tar",
					      "mke2fs", "unshare", "newuidmap", NULL};

	return geteuid() ? as_user : as_root;
}

/*
 * GRUB 2's boot.S and diskboot.S: boot.img loads the sector whose number stands at 5Ch; FFh at 64h takes the
 * drive that the BIOS started from; two bytes at 66h are a jump round the code that makes up for BIOSes that
 * tell a wrong one, made NOPs. The last 12 bytes of core.img's first sector tell where the rest is and the
 * segment to load it to.
 */
enum {
	BOOT_KERNEL_SECTOR = 0x5c,
	BOOT_DRIVE = 0x64,
	BOOT_DRIVE_CHECK = 0x66,
	BPB = 0x0b,
	BPB_END = 0x5a,
	MBR_SIGNATURE = 0x1b8, /* and the partition table after it */
	CORE_LIST = 0x1f4,
	CORE_SEGMENT = 0x820,
};

bool boot_disk_patch(uint8_t mbr[BOOT_DISK_SECTOR], const uint8_t *boot, size_t boot_len, uint8_t *core,
		     size_t core_len)
{
	if (boot_len != BOOT_DISK_SECTOR || core_len < 2 * BOOT_DISK_SECTOR || core_len % BOOT_DISK_SECTOR ||
	    core_len > MAX_CORE || le16_load(core + CORE_LIST + 10) != CORE_SEGMENT)
		return false;
	memcpy(mbr, boot, BPB);
	memcpy(mbr + BPB_END, boot + BPB_END, MBR_SIGNATURE - BPB_END);
	le64_store(mbr + BOOT_KERNEL_SECTOR, BOOT_DISK_CORE_LBA);
	mbr[BOOT_DRIVE] = 0xff;
	mbr[BOOT_DRIVE_CHECK] = mbr[BOOT_DRIVE_CHECK + 1] = 0x90;
	le64_store(core + CORE_LIST, BOOT_DISK_CORE_LBA + 1);
	le16_store(core + CORE_LIST + 8, core_len / BOOT_DISK_SECTOR - 1);
	return true;
}

static bool run_script(const struct boot_disk *disk, const char *const *argv, GError **error)
{
	return tool_run(&(struct tool){.argv = argv, .log = disk->log}, NULL, error);
}

static bool make_file(const struct boot_disk *disk, GError **error)
{
	int fd = open(disk->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool made = fd >= 0 && ftruncate(fd, disk->size) == 0;

	if (!made)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot make '%s': %s", disk->path,
			    g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return made;
}

static bool fill_root(const struct boot_disk *disk, uint64_t sectors, GError **error)
{
	g_autofree char *offset = g_strdup_printf("%llu", (unsigned long long)ROOT_LBA * BOOT_DISK_SECTOR);
	g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, sectors / 2);
	const char *argv[] = {"unshare", "--map-root-user", "--map-auto", "sh", "-c", make_root, "sh",
			      disk->tar, disk->work, disk->path, offset, size, disk->uuid, NULL};

	return run_script(disk, geteuid() ? argv : argv + 3, error);
}

static bool make_parts(const struct boot_disk *disk, uint64_t sectors, GError **error)
{
	g_autofree char *script = g_strdup_printf(partitions, sectors);
	const char *argv[] = {"sh", "-c", make_partitions, "sh", disk->work, disk->path, script, NULL};

	return run_script(disk, argv, error);
}

static bool read_grub(const struct boot_disk *disk, const char *name, char **bytes, gsize *len,
		      GError **error)
{
	g_autofree char *path = g_build_filename(disk->work, name, NULL);

	return g_file_get_contents(path, bytes, len, error);
}

static bool write_grub(const struct boot_disk *disk, GError **error)
{
	g_autofree char *boot = NULL, *core = NULL;
	uint8_t mbr[BOOT_DISK_SECTOR];
	gsize boot_len, core_len, padded;
	int fd = -1;
	bool done = false;

	if (!read_grub(disk, "boot.img", &boot, &boot_len, error) ||
	    !read_grub(disk, "core.img", &core, &core_len, error))
		return false;
	padded = (core_len + BOOT_DISK_SECTOR - 1) / BOOT_DISK_SECTOR * BOOT_DISK_SECTOR;
	core = g_realloc(core, padded);
	memset(core + core_len, 0, padded - core_len);
	fd = open(disk->path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, mbr, sizeof(mbr), 0) != sizeof(mbr))
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot read '%s': %s", disk->path,
			    g_strerror(errno));
	else if (!boot_disk_patch(mbr, (uint8_t *)boot, boot_len, (uint8_t *)core, padded))
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "the image's GRUB is not as viv knows it");
	else if (pwrite(fd, core, padded, BOOT_DISK_CORE_LBA * BOOT_DISK_SECTOR) != padded ||
		 pwrite(fd, mbr, sizeof(mbr), 0) != sizeof(mbr))
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot write '%s': %s", disk->path,
			    g_strerror(errno));
	else
		done = true;
	if (fd >= 0)
		close(fd);
	return done;
}

bool boot_disk_make(const struct boot_disk *disk, struct steps *steps, GError **error)
{
	uint64_t sectors = disk->size / BOOT_DISK_SECTOR - ROOT_LBA - GPT_TAIL;

	steps_tell(steps, "making the file system", -1);
	if (!make_file(disk, error) || !fill_root(disk, sectors, error))
		return false;
	steps_tell(steps, "making it bootable", -1);
	return make_parts(disk, sectors, error) && write_grub(disk, error);
}
