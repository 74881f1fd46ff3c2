/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/packet.h"

#include <glib.h>
#include <string.h>

#include "base/be.h"

struct case_row {
	const char *name;
	/* From the EtherType on, in hexadecimal, then so many zeros. */
	const char *bytes;
	unsigned zeros;
	bool good;
	unsigned kind, l4, protocol;
	bool fragment;
};

/* 20 bytes of TCP with a header of 20. */
#define TCP "0001 0002 00000000 00000000 50020000 00000000"
#define V6  "86dd 6000 0000"
#define A6  "0000000000000000 0000000000000001 0000000000000000 0000000000000002"

static const struct case_row cases[] = {
	{"tcp4", "0800 4500 0028 0000 0000 4006 0000 0a000001 0a000002" TCP, 6, true, PACKET_IPV4, 34, 6},
	{"options", "0800 4600 002c 0000 0000 4006 0000 0a000001 0a000002 01010101" TCP, 0, true, PACKET_IPV4, 38, 6},
	{"tagged", "8100 0005 0800 4500 0028 0000 0000 4006 0000 0a000001 0a000002" TCP, 0, true, PACKET_IPV4, 38, 6},
	{"tcp cut short", "0800 4500 0027 0000 0000 4006 0000 0a000001 0a000002" TCP, 0, false},
	{"tcp options cut short",
	 "0800 4500 0028 0000 0000 4006 0000 0a000001 0a000002 0001 0002 00000000 00000000 60020000 00000000", 9, false},
	{"longer than the frame", "0800 4500 0029 0000 0000 4006 0000 0a000001 0a000002" TCP, 0, false},
	{"header of 16", "0800 4400 0028 0000 0000 4006 0000 0a000001 0a000002" TCP, 0, false},
	{"version", "0800 5500 0028 0000 0000 4006 0000 0a000001 0a000002" TCP, 0, false},
	{"first fragment", "0800 4500 0028 0000 2000 4006 0000 0a000001 0a000002" TCP, 0, true, PACKET_IPV4, 34, 6, true},
	{"later fragment", "0800 4500 0028 0000 0008 4006 0000 0a000001 0a000002" TCP, 0, true, PACKET_IPV4, 0, 6, true},
	{"fragment over headers", "0800 4500 0028 0000 0001 4006 0000 0a000001 0a000002" TCP, 0, false},
	{"udp4", "0800 4500 001c 0000 0000 4011 0000 0a000001 0a000002", 8, true, PACKET_IPV4, 34, 17},
	{"icmp cut short", "0800 4500 001b 0000 0000 4001 0000 0a000001 0a000002", 8, false},
	{"tcp6", V6 "0014 0640" A6 TCP, 0, true, PACKET_IPV6, 54, 6},
	{"extensions", V6 "0024 0040" A6 "2b00000000000000 0600000000000000" TCP, 0, true, PACKET_IPV6, 70, 6},
	{"extension past the end", V6 "0010 0040" A6 "0602000000000000", 64, false},
	{"extensions only", V6 "0008 0040" A6 "3c00000000000000", 64, false},
	{"no next header", V6 "0000 3b40" A6, 0, true, PACKET_IPV6, 0, 59},
	{"first fragment 6", V6 "001c 2c40" A6 "06000001 00000001" TCP, 0, true, PACKET_IPV6, 62, 6, true},
	{"later fragment 6", V6 "001c 2c40" A6 "06000040 00000001" TCP, 0, true, PACKET_IPV6, 0, 6, true},
	{"fragment over headers 6", V6 "001c 2c40" A6 "06000008 00000001" TCP, 0, false},
	{"a fragment of one 6", V6 "001c 2c40" A6 "06000000 00000001" TCP, 0, true, PACKET_IPV6, 62, 6},
	{"longer than the frame 6", V6 "0015 0640" A6 TCP, 0, false},
	{"arp", "0806 0001 0800 06 04 0001", 20, true, PACKET_ARP},
	{"arp cut short", "0806 0001 0800 06 04 0001", 19, false},
	{"arp of another kind", "0806 0001 0800 08 04 0001", 30, false},
	{"another", "88cc", 46, true, PACKET_OTHER},
};

static GByteArray *make_frame(const struct case_row *row)
{
	GByteArray *frame = g_byte_array_new();
	uint8_t zeros[128] = {};

	g_byte_array_append(frame, zeros, 12);
	for (const char *c = row->bytes; *c; c++) {
		uint8_t byte;

		if (*c == ' ')
			continue;
		byte = g_ascii_xdigit_value(c[0]) << 4 | g_ascii_xdigit_value(c[1]);
		g_byte_array_append(frame, &byte, 1);
		c++;
	}
	g_byte_array_append(frame, zeros, row->zeros);
	return frame;
}

static void test_cases(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GByteArray) frame = make_frame(&cases[i]);
		struct packet packet;

		g_test_message("%s", cases[i].name);
		g_assert_cmpint(packet_parse(&packet, frame->data, frame->len, false), ==, cases[i].good);
		if (!cases[i].good)
			continue;
		g_assert_cmpuint(packet.kind, ==, cases[i].kind);
		g_assert_cmpuint(packet.l4, ==, cases[i].l4);
		g_assert_cmpuint(packet.protocol, ==, cases[i].protocol);
		g_assert_cmpint(packet.fragment, ==, cases[i].fragment);
	}
}

/* No read behind the end, wherever it is; the sanitizers' lane sees it. */
static void test_cut_short(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GByteArray) frame = make_frame(&cases[i]);

		for (unsigned len = 0; len < frame->len; len++) {
			g_autofree uint8_t *copy = g_memdup2(frame->data, len);
			struct packet packet;

			if (packet_parse(&packet, copy, len, false))
				g_assert_cmpuint(packet.end, <=, len);
			packet_parse(&packet, copy, len, true);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/packet/cases", test_cases);
	g_test_add_func("/packet/cut-short", test_cut_short);
	return g_test_run();
}
