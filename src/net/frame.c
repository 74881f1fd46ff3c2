/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/frame.h"

#include <string.h>

#include "base/le.h"

/* The CRC's register after its bits, lowest first, without the final inversion. */
static uint32_t crc(const uint8_t *bytes, size_t len)
{
	/* What four zero bits make of each value of the lowest four, polynomial 0xedb88320. */
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t value = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		value ^= bytes[i];
		value = value >> 4 ^ table[value & 15];
		value = value >> 4 ^ table[value & 15];
	}
	return value;
}

uint32_t frame_fcs(const uint8_t *bytes, size_t len)
{
	return ~crc(bytes, len);
}

uint32_t frame_hash(const uint8_t *addr)
{
	uint32_t value = crc(addr, 6), hash = 0;

	for (unsigned i = 0; i < 32; i++)
		hash |= (value >> i & 1) << (31 - i);
	return hash;
}

/* In the host's order, which makes the same sum with its bytes swapped (RFC 1071, section 2 B): four bytes a
 * time, as the compiler likes it. */
uint16_t frame_sum(const uint8_t *bytes, size_t len, uint16_t sum)
{
	uint64_t total = __builtin_bswap16(sum);
	size_t i = 0;

	for (; i + 4 <= len; i += 4)
		total += le32_load(bytes + i);
	if (i + 2 <= len) {
		total += le16_load(bytes + i);
		i += 2;
	}
	if (i < len)
		total += bytes[i];
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return __builtin_bswap16(total);
}

bool frame_is_broadcast(const uint8_t *addr)
{
	static const uint8_t broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	return memcmp(addr, broadcast, sizeof(broadcast)) == 0;
}
