/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/high_fd.h"

#include <fcntl.h>
#include <sys/select.h>
#include <unistd.h>

int high_fd(int fd)
{
	int high = fd < 0 || fd >= FD_SETSIZE ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE);

	if (high < 0)
		return fd;
	close(fd);
	return high;
}
