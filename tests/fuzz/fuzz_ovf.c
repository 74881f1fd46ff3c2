/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An appliance: the headers of its archive, and its descriptor. */
#include <sys/mman.h>
#include <unistd.h>

#include "store/ovf.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);
	struct tar_member member;
	uint64_t offset = 0;
	g_autofree char *text = g_strndup(len ? (const char *)data : "", len);
	struct ovf ovf;

	if (fd >= 0 && write(fd, data, len) == (ssize_t)len)
		while (tar_next(fd, "t", &offset, &member, NULL))
			;
	if (fd >= 0)
		close(fd);
	if (ovf_parse(&ovf, "o", text, len, NULL))
		ovf_clear(&ovf);
	return 0;
}
