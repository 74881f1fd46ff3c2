/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What network cards do to a packet for TCP/IP: insert checksums, and cut it into segments. Where
 * things are is what a driver said, so nothing of it is believed: what does not fit the packet is
 * not done.
 */
#ifndef VIV_NET_OFFLOAD_H
#define VIV_NET_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_offload;

/* A sum over bytes `first` up to before `end` (0: to the packet's end). Its place is among them,
 * and holds what is to be added: zero, or the sum of a pseudo-header. */
struct offload_sum {
	bool wanted;
	unsigned first, place, end;
};

struct offload {
	struct offload_sum ip, l4; /* their headers begin where the sums do */
	bool ipv4, tcp;		   /* else IPv6, UDP */
	unsigned header_len;	   /* of all headers, which each segment repeats */
	unsigned mss;		   /* payload a segment */
};

void offload_insert_sum(const struct offload_sum *sum, uint8_t *packet, size_t len);
/*
 * Segment `index`, with its sums, in `out`, which holds NET_FRAME_MAX; returns its length. 0: there
 * is no such segment, or nothing that could be cut. The sum of the pseudo-header is one without
 * length.
 */
size_t offload_segment(const struct offload *offload, const uint8_t *packet, size_t len,
		       unsigned index, uint8_t *out);

/* Whether it says something that can be done to the frame, to each of its segments if it is to be cut. */
bool offload_check(const struct net_offload *offload, const uint8_t *frame, size_t len);
/* Of a frame that passed the check and is to be cut: how; its checksums become ones for segments. */
void offload_plan(const struct net_offload *offload, uint8_t *frame, size_t len, struct offload *plan);
/* The checksum of one that is not to be cut, if it needs any. */
void offload_complete(const struct net_offload *offload, uint8_t *frame, size_t len);

#endif
