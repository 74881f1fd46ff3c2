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

static inline uint16_t be16_load(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}
static inline void be16_store(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}
static inline uint32_t be32_load(const uint8_t *p)
{
	return (uint32_t)be16_load(p) << 16 | be16_load(p + 2);
}
static inline void be32_store(uint8_t *p, uint32_t v)
{
	be16_store(p, v >> 16);
	be16_store(p + 2, v);
}

#endif
