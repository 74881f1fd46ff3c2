/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/file_int.h"

#include <errno.h>

enum { ZERO_BATCH = 64 << 10 };

struct file *file_open(const char *name, unsigned flags, GError **error)
{
	return file_is_nbd(name) ? file_open_nbd(name, flags, error) : file_open_host(name, flags, error);
}

void file_close(struct file *file)
{
	char *name;

	if (!file)
		return;
	name = file->name;
	file->ops->close(file);
	g_free(name);
}

int file_load(struct file *file, uint64_t offset, void *buf, size_t len)
{
	return file->ops->read(file, offset, SPAN(buf, len));
}

int file_store(struct file *file, uint64_t offset, const void *buf, size_t len)
{
	return file->ops->write(file, offset, SPAN(buf, len));
}

int file_write_zeroes(struct file *file, uint64_t offset, uint64_t len)
{
	static const uint8_t zeroes[ZERO_BATCH];
	int status = 0;

	for (uint64_t done = 0; done < len && !status; done += ZERO_BATCH)
		status = file_store(file, offset + done, zeroes, MIN(len - done, ZERO_BATCH));
	return status;
}

int file_zero(struct file *file, uint64_t offset, uint64_t len, bool punch)
{
	uint64_t size = file->size;
	uint64_t inside = offset < size ? MIN(len, size - offset) : 0;
	int status = inside ? file->ops->zero(file, offset, inside, punch) : 0;

	if (status == -EOPNOTSUPP)
		status = file_write_zeroes(file, offset, inside);
	if (status || inside == len)
		return status;
	return file->ops->set_size(file, offset + len);
}
