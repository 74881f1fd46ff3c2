/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first serial port's way to the host, as --serial says. Seen in this folder only. */
#ifndef VIV_VM_SERIAL_H
#define VIV_VM_SERIAL_H

#include <glib.h>

#include "stream/stream.h"
#include "vm/vm.h"

/* `fd`: to close after the stream is freed, or -1. VM_SERIAL_DEFAULT is the console. */
struct stream *serial_open(const struct vm_serial *serial, const struct vm_console *console,
			   GMainContext *context, void (*on_escape)(void *opaque), void *opaque,
			   int *fd, GError **error);

#endif
