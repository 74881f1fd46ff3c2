/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/linux_boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "firmware/bzimage.h"
#include "firmware/elf.h"
#include "firmware/kernel_cache.h"
#include "firmware/unpack.h"

#define MIB(bytes) (((bytes) + (1 << 20) - 1) >> 20)

#define KERNEL_FILE_MAX (1ull << 30)

/* Low memory as we use it. The kernel takes all of it over, having copied what it needs. */
#define GDT_GPA		0x500
#define BOOT_PARAMS_GPA 0x7000
#define STACK_TOP_GPA	0x9000
#define PML4_GPA	0x9000
#define PDPT_GPA	0xa000
#define PD_GPA		0xb000 /* four of them */
#define CMDLINE_GPA	0x20000
#define CMDLINE_MAX	0x10000
#define LOW_RAM_END	0x9fc00 /* the EBDA, were there a BIOS */
#define LOW_RAM_TOP	0xa0000
#define BIOS_START	0xe0000 /* the ACPI tables */
#define BIOS_END	0x100000

#define TYPE_UNDEFINED_LOADER 0xff

enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

static GBytes *read_open_file(int fd, const char *role, const char *path, uint64_t max,
			      GError **error)
{
	g_autofree uint8_t *data = NULL;
	struct stat st;
	size_t len = 0;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s '%s' is %s: give a file", role,
			    path, S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
		return NULL;
	}
	if (st.st_size == 0 || st.st_size > max) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    st.st_size ? "%s '%s' is too large: at most %" G_GUINT64_FORMAT
					 " MiB can be taken; give a smaller file, or the guest more "
					 "memory with -m"
				       : "%s '%s' is empty; give another file",
			    role, path, max >> 20);
		return NULL;
	}
	data = g_try_malloc(st.st_size);
	if (!data)
		errno = ENOMEM;
	while (data && len < st.st_size) {
		ssize_t n = read(fd, data + len, st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO; /* it shrank under us */
		if (n <= 0)
			break;
		len += n;
	}
	if (len < st.st_size) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot read %s '%s': %s", role, path,
			    g_strerror(errno));
		return NULL;
	}
	return g_bytes_new_take(g_steal_pointer(&data), len);
}

/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
static GBytes *read_file(const char *role, const char *path, uint64_t max, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	GBytes *bytes;

	if (fd < 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "cannot open %s '%s': %s; check the path",
			    role, path, g_strerror(errno));
		return NULL;
	}
	bytes = read_open_file(fd, role, path, max, error);
	close(fd);
	return bytes;
}

static bool fail_memory(uint64_t end, const char *with, GError **error)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "needs at least %" G_GUINT64_FORMAT
		    " MiB of memory%s; give -m %" G_GUINT64_FORMAT "M or more",
		    MIB(end), with, MIB(end));
	return false;
}

struct kept_kernel {
	char *folder, *key;
	GBytes *unpacked;
};

static void kept_free(struct kept_kernel *k)
{
	g_free(k->folder);
	g_free(k->key);
	g_bytes_unref(k->unpacked);
	g_free(k);
}

static gpointer keep(gpointer opaque)
{
	struct kept_kernel *k = opaque;

	kernel_cache_keep(k->folder, k->key, k->unpacked);
	kept_free(k);
	return NULL;
}

/* On a thread of its own: the guest need not wait for the disk. */
static void keep_kernel(const char *folder, const char *key, GBytes *unpacked)
{
	struct kept_kernel *k = g_new(struct kept_kernel, 1);
	GThread *thread;

	*k = (struct kept_kernel){g_strdup(folder), g_strdup(key), g_bytes_ref(unpacked)};
	thread = g_thread_try_new("keep kernel", keep, k, NULL);
	if (thread)
		g_thread_unref(thread);
	else
		kept_free(k);
}

static bool is_elf(GBytes *bytes)
{
	struct elf_image elf;
	size_t len;
	const uint8_t *data = g_bytes_get_data(bytes, &len);

	return elf_parse(data, len, &elf, NULL);
}

/* The ELF file; it may be part of the image, which has to stay. */
static GBytes *unpack_kernel(const struct bzimage *image, const char *cache, GError **error)
{
	g_autofree char *key = NULL;
	GBytes *unpacked;

	if (image->payload_len >= 4 && memcmp(image->payload, "\177ELF", 4) == 0)
		return g_bytes_new_static(image->payload, image->payload_len);
	if (cache) {
		key = kernel_cache_key(image->payload, image->payload_len);
		unpacked = kernel_cache_find(cache, key);
		if (unpacked && is_elf(unpacked))
			return unpacked;
		g_clear_pointer(&unpacked, g_bytes_unref);
	}
	unpacked = unpack(image->payload, image->payload_len, image->payload_max, error);
	if (unpacked && cache)
		keep_kernel(cache, key, unpacked);
	return unpacked;
}

/* Unpacks and checks the kernel; `*elf_data` then holds what `elf` points into. */
static bool open_kernel(const struct mem *mem, const struct bzimage *image, const char *cache,
			GBytes **elf_data, struct elf_image *elf, GError **error)
{
	const uint8_t *data;
	size_t len;

	if (image->init_end > mem->low_size && image->init_end <= mem->hole_start)
		return fail_memory(image->init_end, "", error);
	*elf_data = unpack_kernel(image, cache, error);
	if (!*elf_data)
		return false;
	data = g_bytes_get_data(*elf_data, &len);
	if (!elf_parse(data, len, elf, error))
		return false;
	if (elf->start < BIOS_END || elf->end > mem->hole_start ||
	    image->init_end > mem->hole_start) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "asks to be loaded where no PC has memory for it: not a Linux kernel, "
			    "or a damaged one; give a vmlinuz (bzImage) or a vmlinux");
		return false;
	}
	if (!elf_fits(elf, mem))
		return fail_memory(elf->end, "", error);
	return true;
}

/* As high as the kernel allows, out of the way of what it allocates from below. */
static bool place_initrd(const struct mem *mem, const struct bzimage *image, uint64_t kernel_end,
			 const struct linux_boot_file *initrd, uint64_t *gpa, GError **error)
{
	const uint64_t page_mask = ~(MEM_PAGE_SIZE - 1);
	uint64_t floor = (kernel_end + MEM_PAGE_SIZE - 1) & page_mask;
	uint64_t ceiling = MIN(mem->low_size, image->initrd_addr_max + 1);
	uint64_t highest = MIN(mem->hole_start, image->initrd_addr_max + 1);
	uint64_t size = (initrd->len + MEM_PAGE_SIZE - 1) & page_mask;

	ceiling &= page_mask;
	if (ceiling >= floor && size <= ceiling - floor) {
		*gpa = ceiling - size;
		return true;
	}
	if (image->initrd_above_4g && size <= mem->high_size) {
		*gpa = MEM_HOLE_END + mem->high_size - size;
		return true;
	}
	if (size <= highest && floor <= highest - size)
		return fail_memory(floor + size, " with this initrd", error);
	if (image->initrd_above_4g)
		return fail_memory(mem->hole_start + size, " with this initrd", error);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "takes an initrd of at most %" G_GUINT64_FORMAT
		    " MiB; '%s' has %" G_GUINT64_FORMAT,
		    highest > floor ? (highest - floor) >> 20 : 0, initrd->name, MIB(size));
	return false;
}

static void add_e820(uint8_t *bp, uint64_t start, uint64_t end, enum e820_type type)
{
	uint8_t *entry = bp + BP_E820_TABLE + bp[BP_E820_ENTRIES] * E820_ENTRY_SIZE;

	if (start == end)
		return;
	le64_store(entry, start);
	le64_store(entry + 8, end - start);
	le32_store(entry + 16, type);
	bp[BP_E820_ENTRIES]++;
}

static void build_boot_params(uint8_t *bp, const struct mem *mem, const struct bzimage *image,
			      uint64_t initrd_gpa, uint64_t initrd_len, uint64_t rsdp_gpa)
{
	memcpy(bp, image->boot_params, sizeof(image->boot_params));
	bp[BP_TYPE_OF_LOADER] = TYPE_UNDEFINED_LOADER;
	le32_store(bp + BP_CMD_LINE_PTR, CMDLINE_GPA);
	le32_store(bp + BP_RAMDISK_IMAGE, initrd_gpa);
	le32_store(bp + BP_EXT_RAMDISK_IMAGE, initrd_gpa >> 32);
	le32_store(bp + BP_RAMDISK_SIZE, initrd_len);
	le32_store(bp + BP_EXT_RAMDISK_SIZE, initrd_len >> 32);
	le64_store(bp + BP_ACPI_RSDP_ADDR, rsdp_gpa);
	add_e820(bp, 0, LOW_RAM_END, E820_RAM);
	add_e820(bp, LOW_RAM_END, LOW_RAM_TOP, E820_RESERVED);
	add_e820(bp, BIOS_START, BIOS_END, E820_RESERVED);
	add_e820(bp, BIOS_END, mem->low_size, E820_RAM);
	add_e820(bp, MEM_HOLE_END, MEM_HOLE_END + mem->high_size, E820_RAM);
}

static void put(struct mem *mem, uint64_t gpa, const void *data, uint64_t len)
{
	bool is_ram = mem_write(mem, gpa, data, len);

	g_assert(is_ram);
}

/* SDM 3, 3.4.5: present, accessed code (64-bit or 32-bit) and data of privilege level 0, flat 4
 * GiB. */
static void put_gdt(struct mem *mem, struct linux_boot_entry *entry)
{
	const uint64_t gdt[] = {
		[LINUX_BOOT_CS / 8] = entry->is_64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
		[LINUX_BOOT_DS / 8] = 0x00cf93000000ffff,
	};

	put(mem, GDT_GPA, gdt, sizeof(gdt));
	entry->gdt_base = GDT_GPA;
	entry->gdt_limit = sizeof(gdt) - 1;
}

/* SDM 3, 4.5: 4 GiB in 2 MiB pages, which every x86-64 processor has. */
static void put_page_tables(struct mem *mem, struct linux_boot_entry *entry)
{
	const uint64_t present_rw = 0x3, large = 0x80;
	uint64_t table[512] = {PDPT_GPA | present_rw};

	put(mem, PML4_GPA, table, sizeof(table));
	for (unsigned i = 0; i < 4; i++)
		table[i] = (PD_GPA + i * MEM_PAGE_SIZE) | present_rw;
	put(mem, PDPT_GPA, table, sizeof(table));
	for (unsigned pd = 0; pd < 4; pd++) {
		for (uint64_t i = 0; i < 512; i++)
			table[i] = (pd * 512 + i) << 21 | present_rw | large;
		put(mem, PD_GPA + pd * MEM_PAGE_SIZE, table, sizeof(table));
	}
	entry->cr3 = PML4_GPA;
}

static bool check_cmdline(const struct bzimage *image, const char *cmdline, GError **error)
{
	size_t len = strlen(cmdline), max = MIN(image->cmdline_size, CMDLINE_MAX - 1);

	if (len <= max)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "takes a command line of at most %zu bytes; shorten yours, which has %zu", max,
		    len);
	return false;
}

static bool load(struct mem *mem, const struct linux_boot_file *kernel,
		 const struct linux_boot_file *initrd, const char *cmdline, uint64_t rsdp_gpa,
		 struct linux_boot_entry *entry, GError **error)
{
	g_autoptr(GBytes) elf_data = NULL;
	uint8_t boot_params[BP_SIZE] = {0};
	uint64_t initrd_gpa = 0;
	struct bzimage image;
	struct elf_image elf;

	if (!bzimage_parse(kernel->data, kernel->len, &image, error) ||
	    !check_cmdline(&image, cmdline, error) ||
	    !open_kernel(mem, &image, kernel->cache, &elf_data, &elf, error))
		return false;
	if (initrd &&
	    !place_initrd(mem, &image, MAX(elf.end, image.init_end), initrd, &initrd_gpa, error))
		return false;

	elf_load(&elf, mem);
	if (initrd)
		mem_fill(mem, initrd_gpa, initrd->data, initrd->len);
	build_boot_params(boot_params, mem, &image, initrd_gpa, initrd ? initrd->len : 0, rsdp_gpa);
	put(mem, BOOT_PARAMS_GPA, boot_params, sizeof(boot_params));
	put(mem, CMDLINE_GPA, cmdline, strlen(cmdline) + 1);
	entry->is_64 = elf.is_64;
	put_gdt(mem, entry);
	put_page_tables(mem, entry);
	entry->rip = elf.entry;
	entry->rsi = BOOT_PARAMS_GPA;
	entry->rsp = STACK_TOP_GPA;
	return true;
}

bool linux_boot_load_bytes(struct mem *mem, const struct linux_boot_file *kernel,
			   const struct linux_boot_file *initrd, const char *cmdline,
			   uint64_t rsdp_gpa, struct linux_boot_entry *entry, GError **error)
{
	if (load(mem, kernel, initrd, cmdline, rsdp_gpa, entry, error))
		return true;
	g_prefix_error(error, "kernel '%s': ", kernel->name);
	return false;
}

static struct linux_boot_file file_of(const char *path, GBytes *bytes)
{
	struct linux_boot_file file = {.name = path};

	file.data = g_bytes_get_data(bytes, &file.len);
	return file;
}

bool linux_boot_load(struct mem *mem, const struct linux_boot_config *config,
		     struct linux_boot_entry *entry, GError **error)
{
	g_autoptr(GBytes) kernel_bytes = NULL, initrd_bytes = NULL;
	struct linux_boot_file kernel, initrd;

	kernel_bytes = read_file("kernel", config->kernel_path, KERNEL_FILE_MAX, error);
	if (!kernel_bytes)
		return false;
	kernel = file_of(config->kernel_path, kernel_bytes);
	kernel.cache = config->cache;
	if (config->initrd_path) {
		initrd_bytes = read_file("initrd", config->initrd_path, mem_size(mem), error);
		if (!initrd_bytes)
			return false;
		initrd = file_of(config->initrd_path, initrd_bytes);
	}
	return linux_boot_load_bytes(mem, &kernel, config->initrd_path ? &initrd : NULL,
				     config->cmdline, config->rsdp_gpa, entry, error);
}
