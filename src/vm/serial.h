/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A serial port's way to the host, as --serial and others say. Seen in this folder only. */
#ifndef VIV_VM_SERIAL_H
#define VIV_VM_SERIAL_H

#include <glib.h>

#include "stream/stream.h"
#include "vm/vm.h"

/* `fd`: to close after the stream is freed, or -1. VM_SERIAL_DEFAULT is the console. `option` said so. */
struct stream *serial_open(const char *option, const struct vm_serial *serial, const struct vm_console *console,
			   GMainContext *context, void (*on_escape)(void *opaque), void *opaque,
			   int *fd, GError **error);

#endif
