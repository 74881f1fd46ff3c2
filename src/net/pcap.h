/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packet capture: a pcapng file (draft-ietf-opsawg-pcapng) with an interface for each port that is watched,
 * nanoseconds of the host's clock, and the direction of each frame, in and out as the guest sees it. Frames
 * look as they pass: what is to be cut is not cut yet, and sums that are left to others are not complete. A
 * thread writes; what it cannot keep up with is dropped and counted.
 *
 * Threads: the loop's.
 */
#ifndef VIV_NET_PCAP_H
#define VIV_NET_PCAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct net_port;
struct pcap;

#define PCAP_MAX_PORTS 16u

struct pcap *pcap_new(void);
void pcap_free(struct pcap *pcap);
/* The port's next filter; its frames pass no longer than the capture lives. Before a capture is started. */
void pcap_watch(struct pcap *pcap, struct net_port *port, const char *name);
/* In place of one that runs; the file is written anew. */
bool pcap_start(struct pcap *pcap, const char *path, GError **error);
/* Waits until the file is complete, a second at most where nobody takes it. */
void pcap_stop(struct pcap *pcap);
/* NULL: none runs. */
const char *pcap_path(const struct pcap *pcap);
uint64_t pcap_frames(const struct pcap *pcap);
uint64_t pcap_dropped(const struct pcap *pcap);

#endif
