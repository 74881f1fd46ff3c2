/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's end of a vsock, for rigs and tests: whoever listens at its port 1 echoes; callers come and go. */
#ifndef VIV_TESTS_UNIT_DEV_RIG_VSOCK_H
#define VIV_TESTS_UNIT_DEV_RIG_VSOCK_H

#include "stream/vsock_host.h"

#define RIG_VSOCK_PEERS 4

struct rig_vsock {
	struct vsock_host *host;
	GMainContext *context;
	char *folder, *path;
	int listen_fd;
	int peers[RIG_VSOCK_PEERS]; /* -1: none; the first one is a caller's */
};

struct rig_vsock *rig_vsock_new(void);
void rig_vsock_free(struct rig_vsock *vsock);
/* Lets everybody do what there is to do; what they see goes to the log, which may be NULL. */
void rig_vsock_run(struct rig_vsock *vsock, GString *log);
/* Calls the guest's port, writes or hangs up, as two bytes say. */
void rig_vsock_drive(struct rig_vsock *vsock, const uint8_t *bytes);
/* A caller of the guest's port, which has just asked for it. */
int rig_vsock_call(struct rig_vsock *vsock, unsigned port);

#endif
