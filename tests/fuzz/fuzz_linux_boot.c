/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel file and an initrd: the input's last two bytes are the initrd's length. The rest
 * is the kernel.
 */
#include <glib.h>

#include "base/le.h"
#include "firmware/linux_boot.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t initrd_len = len < 2 ? 0 : le16_load(data + len - 2) % len;
	size_t kernel_len = len - initrd_len;
	const struct linux_boot_file kernel = {"kernel", data, kernel_len};
	const struct linux_boot_file initrd = {"initrd", data + kernel_len, initrd_len};
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	g_autoptr(GError) error = NULL;
	struct linux_boot_entry entry;

	g_assert(mem);
	if (linux_boot_load_bytes(mem, &kernel, initrd_len ? &initrd : NULL, "quiet", 0, &entry,
				  &error))
		g_assert(!error && mem_is_ram(mem, entry.rip) && mem_is_ram(mem, entry.rsi));
	else
		g_assert(error);
	mem_free(mem);
	return 0;
}
