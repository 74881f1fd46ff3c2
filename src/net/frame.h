/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What network cards compute over frames. */
#ifndef VIV_NET_FRAME_H
#define VIV_NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_FCS_LEN 4u

/* IEEE 802.3, 3.2.9, as its bytes stand on the wire when stored little-endian. */
uint32_t frame_fcs(const uint8_t *bytes, size_t len);
/* The hash of a group address by which many cards filter: the upper bits of the CRC, its highest
 * first. */
uint32_t frame_hash(const uint8_t *addr);

/* RFC 1071: the ones' complement sum of 16-bit big-endian words, added to `sum`. */
uint16_t frame_sum(const uint8_t *bytes, size_t len, uint16_t sum);

static inline bool frame_is_group(const uint8_t *addr)
{
	return addr[0] & 1;
}
bool frame_is_broadcast(const uint8_t *addr);

#endif
