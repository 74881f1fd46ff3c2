/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM of one device: bus, manual clock, RAM and a stream, with everything that the device
 * says to the outside (line edges, messages, INTR, requests) appended to a log.
 */
#ifndef VIV_TESTS_UNIT_DEV_RIG_H
#define VIV_TESTS_UNIT_DEV_RIG_H

#include "block/block.h"
#include "dev/chipset/fw_cfg.h"
#include "dev/device.h"
#include "display/display.h"
#include "display/input.h"
#include "net/net.h"
#include "share/share.h"
#include "rig_vsock.h"
#include "stream/stream.h"

#define MS 1000000ll
#define S  1000000000ll

/* How the generic tests and the fuzz target set up a device of the table. */
struct rig_row {
	const struct device_class *class;
	struct device_config config;
	bool on_pci; /* behind a host bridge; its BARs are placed */
	bool express; /* which is one of PCI Express */
	bool disk;   /* has a raw one, in each of its drives but the third */
	bool dma;    /* has the DMA controllers */
	bool display; /* has a screen, which is looked at now and then */
	bool input;   /* has keyboard and pointer, which are touched now and then */
	bool vsock;   /* has the host's sockets: its port 1 echoes, and somebody calls the guest now and then */
	bool share;   /* has a shared folder, empty and read-only */
	bool net;     /* has a cable, at whose other end something talks and listens */
};

extern const struct rig_row rig_rows[]; /* ends with a NULL class */
/* The class's row; each device of the table has one. */
const struct rig_row *rig_row_of(const struct device_class *class);

struct rig {
	struct device_env env;
	struct stream *stream;
	struct stream *more;		    /* a second port's */
	struct device_port ports[2];
	struct block *block;		    /* NULL without a disk */
	bool ejected;			    /* the second drive's medium */
	struct display *display;	    /* NULL without a screen */
	struct input *input;		    /* NULL without keyboard and pointer */
	struct share *share;		    /* NULL without a shared folder */
	struct rig_vsock *vsock;	    /* NULL without the host's sockets */
	struct fw_cfg_file files[2];	    /* for firmware: the number of processors, etc/file */
	struct net_port *net, *net_end;	    /* the device's, and the cable's other end; NULL without */
	struct irq_line sources[BUS_LINES]; /* other devices' lines */
	struct device *bridge;		    /* NULL without PCI */
	struct device *dma;		    /* NULL without DMA controllers */
	struct device *device;
	bool placed;	 /* the pointer, at x, y */
	unsigned x, y;
	uint32_t levels; /* the bus lines */
	bool intr;
	GString *log;
};

/* The device at the ports `base`, on line `irq`, with `config`'s other fields. */
struct rig *rig_new(const struct device_class *class, const struct device_config *config);
struct rig *rig_new_row(const struct rig_row *row);
void rig_free(struct rig *rig);

uint8_t rig_in8(struct rig *rig, uint16_t port);
void rig_out8(struct rig *rig, uint16_t port, uint8_t value);
uint32_t rig_in32(struct rig *rig, uint16_t port);
void rig_out16(struct rig *rig, uint16_t port, uint16_t value);
/* A dword of a function's configuration space. */
void rig_config_write(struct rig *rig, unsigned devfn, unsigned reg, uint32_t value);
/* Compares the log, and empties it. */
void rig_assert_log(struct rig *rig, const char *expected);
bool rig_line(const struct rig *rig, unsigned line);

/*
 * Does what `bytes` say, RIG_STEP_LEN a step: accesses to every mapped region, time, other
 * devices' lines, acknowledges, input, writes to RAM. All that is seen goes to the log.
 */
#define RIG_STEP_LEN 8
void rig_drive(struct rig *rig, const uint8_t *bytes, size_t len);
/*
 * The sections of the rig's devices, as a restore reads them; the second one forged: fields of
 * the device hold what `bytes` say instead of what it has. Unlike changing the stream,
 * this gets past its framing every time.
 */
GByteArray *rig_save(struct rig *rig);
GByteArray *rig_forge(struct rig *rig, const uint8_t *bytes, size_t len);
bool rig_load(struct rig *rig, const uint8_t *data, size_t len, GError **error);
/* Restores `from` into the fresh `rig`, and makes all around it the same: time, RAM, banks, lines, input.
 */
void rig_clone(struct rig *rig, struct rig *from);

#endif
