/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/uuid.h"

#include <glib.h>
#include <string.h>

bool uuid_parse(const char *text, uint8_t uuid[16])
{
	unsigned n = 0;

	if (!g_uuid_string_is_valid(text))
		return false;
	for (const char *c = text; *c; c++) {
		if (*c == '-')
			continue;
		uuid[n++] = g_ascii_xdigit_value(c[0]) << 4 | g_ascii_xdigit_value(c[1]);
		c++;
	}
	return true;
}

void uuid_mac(const uint8_t uuid[16], unsigned card, uint8_t mac[6])
{
	static const uint8_t prefix[] = {0x52, 0x54, 0x00};
	g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
	uint8_t digest[32], number = card;
	gsize len = sizeof(digest);

	g_checksum_update(checksum, uuid, 16);
	g_checksum_update(checksum, &number, 1);
	g_checksum_get_digest(checksum, digest, &len);
	memcpy(mac, prefix, sizeof(prefix));
	memcpy(mac + sizeof(prefix), digest, 6 - sizeof(prefix));
}
