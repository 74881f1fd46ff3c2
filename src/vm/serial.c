/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/serial.h"

#include <errno.h>
#include <fcntl.h>

#include "base/error.h"

/* A FIFO needs its reader first; without O_NONBLOCK it would be waited for. */
static int open_file(const char *option, const char *path, GError **error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);

	if (fd < 0)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "%s: cannot open '%s': %s; check the path", option, path,
			    g_strerror(errno));
	return fd;
}

struct stream *serial_open(const char *option, const struct vm_serial *serial, const struct vm_console *console,
			   GMainContext *context, void (*on_escape)(void *opaque), void *opaque,
			   int *fd, GError **error)
{
	struct stream *stream;

	*fd = -1;
	switch (serial->kind) {
	case VM_SERIAL_DEFAULT:
	case VM_SERIAL_STDIO:
		return stream_new_fd(context, console->in_fd, console->out_fd, console->escape,
				     on_escape, opaque);
	case VM_SERIAL_UNIX:
		stream = stream_new_listen(context, serial->path, error);
		if (!stream)
			g_prefix_error(error, "%s: ", option);
		return stream;
	case VM_SERIAL_FILE:
		*fd = open_file(option, serial->path, error);
		return *fd < 0 ? NULL : stream_new_fd(context, -1, *fd, -1, NULL, NULL);
	case VM_SERIAL_NONE:
		return stream_new_fd(context, -1, -1, -1, NULL, NULL);
	}
	g_assert_not_reached();
}
