/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM of one device: bus, manual clock, RAM and a stream, with everything that the device
 * says to the outside (line edges, messages, INTR, requests) appended to a log.
 */
#ifndef VIV_TESTS_UNIT_DEV_RIG_H
#define VIV_TESTS_UNIT_DEV_RIG_H

#include "dev/device.h"
#include "stream/stream.h"

#define MS 1000000ll
#define S  1000000000ll

struct rig {
	struct device_env env;
	struct stream *stream;
	struct irq_line sources[BUS_LINES]; /* other devices' lines */
	struct device *device;
	uint32_t levels; /* the bus lines */
	bool intr;
	GString *log;
};

/* The device at the ports `base`, on line `irq`, with `config`'s other fields. */
struct rig *rig_new(const struct device_class *class, const struct device_config *config);
void rig_free(struct rig *rig);

uint8_t rig_in8(struct rig *rig, uint16_t port);
void rig_out8(struct rig *rig, uint16_t port, uint8_t value);
uint32_t rig_in32(struct rig *rig, uint16_t port);
void rig_out16(struct rig *rig, uint16_t port, uint16_t value);
/* Compares the log, and empties it. */
void rig_assert_log(struct rig *rig, const char *expected);
bool rig_line(const struct rig *rig, unsigned line);

#endif
