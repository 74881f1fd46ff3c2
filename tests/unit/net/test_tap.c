/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In a network namespace of the test's own, whose kernel is the other side. */
#include "net/tap.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "frames.h"

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* Where the host allows none, there is no test. */
static bool enter_namespace(void)
{
	char map[64];

	g_snprintf(map, sizeof(map), "0 %u 1", geteuid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && write_file("/proc/self/uid_map", map) &&
	       access("/dev/net/tun", R_OK | W_OK) == 0;
}

struct rig {
	GMainContext *context;
	struct tap *tap;
	struct frames_end guest;
	int host_fd;
};

static void rig_init(struct rig *rig, const struct tap_config *config)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(4000)};
	g_autoptr(GError) error = NULL;
	struct ifreq request = {};

	rig->context = g_main_context_new();
	rig->tap = tap_new(rig->context, config, &error);
	g_assert_no_error(error);
	frames_init(&rig->guest, rig->context, 0x15);
	net_join(rig->guest.port, tap_port(rig->tap));
	rig->host_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	g_strlcpy(request.ifr_name, tap_name(rig->tap), sizeof(request.ifr_name));
	inet_aton("192.0.2.1", &address.sin_addr);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	g_assert_cmpint(ioctl(rig->host_fd, SIOCSIFADDR, &request), ==, 0);
	g_assert_cmpint(bind(rig->host_fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
}

static void rig_fini(struct rig *rig)
{
	close(rig->host_fd);
	frames_fini(&rig->guest);
	tap_free(rig->tap);
	g_main_context_unref(rig->context);
}

static void meet_host(struct rig *rig)
{
	const uint8_t *answer = NULL;

	frames_send_arp(&rig->guest, 1, rig->guest.mac, "192.0.2.15", "192.0.2.1");
	for (unsigned i = 0; !answer; i++) {
		while (rig->guest.frames->len <= i)
			g_main_context_iteration(rig->context, TRUE);
		answer = frames_get(&rig->guest, i);
		if (be16_load(answer + 12) != ETHERTYPE_ARP || answer[21] != 2)
			answer = NULL;
	}
	memcpy(rig->guest.peer, answer + 6, 6);
	g_ptr_array_set_size(rig->guest.frames, 0);
}

/* Both ways; the kernel leaves the sum of what it sends to others. */
static void test_udp(void)
{
	struct frames_packet packet = {"192.0.2.15", "192.0.2.1", PACKET_UDP, 5000, 4000, 0, "hello", 5};
	struct tap_config config = {.name = "tap-test"};
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	const uint8_t *got = NULL;
	uint8_t pseudo[] = {0, PACKET_UDP, 0, 15};
	size_t len = 0;
	char text[64];
	struct rig rig;

	rig_init(&rig, &config);
	g_assert_cmpstr(tap_name(rig.tap), ==, "tap-test");
	meet_host(&rig);
	frames_send(&rig.guest, &packet);
	while (recvfrom(rig.host_fd, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len) !=
	       5)
		g_main_context_iteration(rig.context, FALSE);
	g_assert_cmpint(sendto(rig.host_fd, "welcome", 7, 0, (struct sockaddr *)&from, from_len), ==, 7);
	while (!(got = frames_find_udp(&rig.guest, 4000, &len)))
		g_main_context_iteration(rig.context, TRUE);
	g_assert_cmpmem(got, len, "welcome", 7);
	g_assert_cmphex(frame_sum(got - 8, 15, frame_sum(pseudo, 4, frame_sum(got - 16, 8, 0))), ==, 0xffff);
	rig_fini(&rig);
}

static void test_bridge(void)
{
	struct tap_config config = {.bridge = "lo"};
	g_autofree char *port = NULL;
	g_autoptr(GError) error = NULL;
	GMainContext *context = g_main_context_new();
	struct tap *tap = tap_new(context, &config, &error), *second;

	g_assert_null(tap);
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	g_assert_nonnull(strstr(error->message, "'lo' is an interface, but no bridge"));
	g_clear_error(&error);
	if (system("ip link add br-try type bridge 2>/dev/null") != 0) {
		g_test_skip("no bridges here");
	} else {
		/* Made by the first, joined by the second, there when both are gone. */
		config.bridge = "br-test";
		tap = tap_new(context, &config, &error);
		g_assert_no_error(error);
		second = tap_new(context, &config, &error);
		g_assert_no_error(error);
		port = g_strdup_printf("ip link show master br-test | grep -q '%s.*UP' && "
				       "ip link show master br-test | grep -q '%s.*UP' && ip link show br-test | grep -q UP",
				       tap_name(tap), tap_name(second));
		g_assert_cmpint(system(port), ==, 0);
		tap_free(tap);
		tap_free(second);
		g_assert_cmpint(system("ip link show br-test >/dev/null"), ==, 0);
	}
	g_main_context_unref(context);
}

/* Who may not is told what to ask for. */
static void test_refused(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
	struct tap_config config = {.name = "lo"};
	g_autoptr(GError) error = NULL;
	GMainContext *context = g_main_context_new();

	g_assert_null(tap_new(context, &config, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_HOST);
	g_assert_nonnull(strstr(error->message, "it is no tap"));
	g_clear_error(&error);
	g_assert_cmpint(syscall(SYS_capset, &header, none), ==, 0);
	config.name = "tap9";
	g_assert_null(tap_new(context, &config, &error));
	g_assert_nonnull(strstr(error->message, "ip tuntap add dev tap9 mode tap user"));
	g_main_context_unref(context);
}

int main(int argc, char **argv)
{
	bool can = enter_namespace();

	g_test_init(&argc, &argv, NULL);
	if (!can) {
		printf("1..0 # SKIP no network namespaces, or no /dev/net/tun\n");
		return 0;
	}
	g_test_add_func("/tap/udp", test_udp);
	g_test_add_func("/tap/bridge", test_bridge);
	g_test_add_func("/tap/refused", test_refused);
	return g_test_run();
}
