/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <string.h>

#include "base/be.h"
#include "net/frame.h"
#include "net/net.h"
#include "net/offload.h"

/* Ethernet, IPv6 and UDP: 62 bytes of headers. */
static const struct offload udp6 = {
	.ip = {false, 14, 0, 0},
	.l4 = {true, 54, 60, 0},
	.header_len = 62,
	.mss = 1000,
};

static void test_sum(void)
{
	static const struct offload_sum sum = {true, 2, 4, 8}, out = {true, 2, 9, 0},
					empty = {true, 8, 4, 8};
	uint8_t bytes[10] = {9, 9, 0x12, 0x34, 0, 0, 0x43, 0x21, 9, 9}, before[10];

	offload_insert_sum(&sum, bytes, sizeof(bytes));
	g_assert_cmphex(be16_load(bytes + 4), ==, 0xffff - 0x5555);
	g_assert_cmphex(frame_sum(bytes + 2, 6, 0), ==, 0xffff);
	memcpy(before, bytes, sizeof(before));
	offload_insert_sum(&out, bytes, sizeof(bytes));
	offload_insert_sum(&empty, bytes, sizeof(bytes));
	g_assert_cmpmem(bytes, 10, before, 10);
	/* Never zero, which UDP takes for none. */
	be16_store(bytes + 2, 0xffff);
	memset(bytes + 4, 0, 4);
	offload_insert_sum(&sum, bytes, sizeof(bytes));
	g_assert_cmphex(be16_load(bytes + 4), ==, 0xffff);
}

static void test_udp6(void)
{
	uint8_t packet[62 + 2500], out[NET_FRAME_MAX];
	static const uint8_t next[] = {0, 17};

	for (size_t i = 0; i < sizeof(packet); i++)
		packet[i] = i * 3;
	be16_store(packet + 60, frame_sum(next, 2, frame_sum(packet + 22, 32, 0)));
	for (unsigned i = 0; i < 3; i++) {
		size_t part = i < 2 ? 1000 : 500;
		uint8_t pseudo[] = {0, 17, (8 + part) >> 8, 8 + part};

		g_assert_cmpuint(offload_segment(&udp6, packet, sizeof(packet), i, out), ==,
				 62 + part);
		g_assert_cmpuint(be16_load(out + 18), ==, 8 + part);
		g_assert_cmpuint(be16_load(out + 58), ==, 8 + part);
		g_assert_cmphex(frame_sum(out + 54, 8 + part,
					  frame_sum(pseudo, 4, frame_sum(out + 22, 32, 0))),
				==, 0xffff);
		g_assert_cmpmem(out + 62, part, packet + 62 + 1000 * i, part);
	}
	g_assert_cmpuint(offload_segment(&udp6, packet, sizeof(packet), 3, out), ==, 0);
}

/* Each of these would reach out of a buffer, or take for ever. */
static void test_refused(void)
{
	uint8_t packet[62 + 1366] = {}, out[NET_FRAME_MAX];
	struct offload wrong[7];

	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++)
		wrong[i] = udp6;
	wrong[0].mss = 0;
	wrong[1].mss = 1;
	wrong[2].mss = NET_FRAME_MAX;
	wrong[3].header_len = sizeof(packet) + 1;
	wrong[4].l4.first = 55; /* whose sequence number or flags are past the headers */
	wrong[5].l4.place = 61;
	wrong[6].ip.first = 57;
	g_assert_cmpuint(offload_segment(&udp6, packet, 300, 0, out), ==, 300);
	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++)
		g_assert_cmpuint(offload_segment(&wrong[i], packet, sizeof(packet), 0, out), ==, 0);
	g_assert_cmpuint(offload_segment(&udp6, packet, 62, 0, out), ==, 0);
	g_assert_cmpuint(offload_segment(&udp6, packet, sizeof(packet), UINT32_MAX, out), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/offload/sum", test_sum);
	g_test_add_func("/offload/udp6", test_udp6);
	g_test_add_func("/offload/refused", test_refused);
	return g_test_run();
}
