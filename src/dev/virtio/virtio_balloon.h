/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's side of the memory balloon. Any thread. */
#ifndef VIV_DEV_VIRTIO_VIRTIO_BALLOON_H
#define VIV_DEV_VIRTIO_VIRTIO_BALLOON_H

#include "dev/device.h"

extern const struct device_class virtio_balloon_class;

/* What the driver tells of the guest's memory; section 5.5.6.3, whose numbers these are. */
enum balloon_statistic {
	BALLOON_SWAP_IN,
	BALLOON_SWAP_OUT,
	BALLOON_MAJOR_FAULTS,
	BALLOON_MINOR_FAULTS,
	BALLOON_FREE,
	BALLOON_TOTAL,
	BALLOON_AVAILABLE,
	BALLOON_CACHES,
	BALLOON_HUGE_ALLOCATIONS,
	BALLOON_HUGE_FAILURES,
	BALLOON_N_STATISTICS,
};
/* As users read it. */
extern const char *const balloon_statistic_names[BALLOON_N_STATISTICS];

struct balloon_status {
	bool has_driver;
	uint64_t target, actual; /* bytes that the balloon is to hold, and does, as the driver says */
	uint64_t reported;	 /* bytes that the driver has said it does not use, since it began */
	uint32_t n_updates;	 /* of what follows */
	uint64_t statistics[BALLOON_N_STATISTICS]; /* UINT64_MAX: not told */
};

void virtio_balloon_set_target(struct device *device, uint64_t bytes);
/* Asks for new statistics, too, which come a moment later. */
void virtio_balloon_get(struct device *device, struct balloon_status *status);

#endif
