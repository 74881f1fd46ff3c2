/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands of the control queue: section 5.1.6.5. */
#include <string.h>

#include "base/le.h"
#include "dev/virtio_net/virtio_net_int.h"

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_MQ = 4, CLASS_GUEST_OFFLOADS = 5 };
enum { CTRL_OK = 0, CTRL_ERR = 1, CTRL_HEADER_SIZE = 2 };

/* A command and what is left of its data. */
struct command {
	uint8_t class, command;
	struct iovec *iov;
	unsigned n_iov;
};

/* The next `len` bytes; false: there are not so many. */
static bool take(struct command *c, void *bytes, size_t len)
{
	if (iov_read(c->iov, c->n_iov, bytes, len) < len)
		return false;
	iov_cut_front(&c->iov, &c->n_iov, len);
	return true;
}

static bool set_mode(struct virtio_net *nic, struct command *c)
{
	uint8_t on;

	if (!take(c, &on, 1))
		return false;
	nic->modes[c->command] = on;
	return true;
}

/* A table too long to keep lets every address pass. */
static bool take_table(struct command *c, struct addr_table *table)
{
	uint8_t n_bytes[4];
	uint64_t n;

	if (!take(c, n_bytes, sizeof(n_bytes)))
		return false;
	n = le32_load(n_bytes);
	if (iov_len(c->iov, c->n_iov) < n * NET_ADDR_LEN)
		return false;
	*table = (struct addr_table){.overflow = n > MAX_ADDRS};
	if (table->overflow) {
		iov_cut_front(&c->iov, &c->n_iov, n * NET_ADDR_LEN);
		return true;
	}
	table->n = n;
	return take(c, table->addrs, n * NET_ADDR_LEN);
}

static bool set_tables(struct virtio_net *nic, struct command *c)
{
	struct addr_table unicast, multicast;

	if (!take_table(c, &unicast) || !take_table(c, &multicast))
		return false;
	nic->unicast = unicast;
	nic->multicast = multicast;
	return true;
}

static bool set_mac(struct virtio_net *nic, struct command *c)
{
	uint8_t mac[NET_ADDR_LEN];

	if (!take(c, mac, sizeof(mac)))
		return false;
	memcpy(nic->mac, mac, sizeof(mac));
	virtio_net_update_config(nic);
	return true;
}

enum { VLAN_ADD, VLAN_DEL };

static bool set_vlan(struct virtio_net *nic, struct command *c)
{
	uint8_t bytes[2];
	unsigned vid;

	if (!take(c, bytes, sizeof(bytes)))
		return false;
	vid = le16_load(bytes);
	if (vid >= 4096)
		return false;
	if (c->command == VLAN_ADD)
		nic->vlans[vid / 32] |= 1u << vid % 32;
	else
		nic->vlans[vid / 32] &= ~(1u << vid % 32);
	return true;
}

static bool set_pairs(struct virtio_net *nic, struct command *c)
{
	uint8_t bytes[2];
	unsigned pairs;

	if (!take(c, bytes, sizeof(bytes)))
		return false;
	pairs = le16_load(bytes);
	if (!pairs || pairs > nic->max_pairs)
		return false;
	nic->pairs = pairs;
	/* A frame that waits may go to another queue now. */
	net_receive_more(nic->net);
	return true;
}

static bool set_offloads(struct virtio_net *nic, struct command *c)
{
	uint8_t bytes[8];
	uint64_t offloads;

	if (!take(c, bytes, sizeof(bytes)))
		return false;
	offloads = le64_load(bytes);
	if (offloads & ~(nic->virtio.driver_features & NET_F_GUEST_OFFLOADS))
		return false;
	nic->guest_offloads = offloads;
	virtio_net_apply_offloads(nic);
	return true;
}

static const struct {
	uint8_t class, command;
	uint64_t feature;
	bool (*run)(struct virtio_net *nic, struct command *command);
} commands[] = {
	{CLASS_RX, RX_PROMISC, NET_F_CTRL_RX, set_mode},
	{CLASS_RX, RX_ALLMULTI, NET_F_CTRL_RX, set_mode},
	{CLASS_RX, RX_ALLUNI, NET_F_CTRL_RX_EXTRA, set_mode},
	{CLASS_RX, RX_NOMULTI, NET_F_CTRL_RX_EXTRA, set_mode},
	{CLASS_RX, RX_NOUNI, NET_F_CTRL_RX_EXTRA, set_mode},
	{CLASS_RX, RX_NOBCAST, NET_F_CTRL_RX_EXTRA, set_mode},
	{CLASS_MAC, 0, NET_F_CTRL_RX, set_tables},
	{CLASS_MAC, 1, NET_F_CTRL_MAC_ADDR, set_mac},
	{CLASS_VLAN, VLAN_ADD, NET_F_CTRL_VLAN, set_vlan},
	{CLASS_VLAN, VLAN_DEL, NET_F_CTRL_VLAN, set_vlan},
	{CLASS_MQ, 0, NET_F_MQ, set_pairs},
	{CLASS_GUEST_OFFLOADS, 0, NET_F_CTRL_GUEST_OFFLOADS, set_offloads},
};

static bool run(struct virtio_net *nic, struct command *c)
{
	uint8_t header[CTRL_HEADER_SIZE];

	if (!take(c, header, sizeof(header)))
		return false;
	c->class = header[0];
	c->command = header[1];
	for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (commands[i].class == c->class && commands[i].command == c->command)
			return virtio_has(&nic->virtio, commands[i].feature) &&
			       commands[i].run(nic, c);
	}
	return false;
}

void virtio_net_control(struct virtio_net *nic)
{
	struct virtio *virtio = &nic->virtio;
	struct queue_chain *chain = &nic->chain;
	unsigned queue = control_queue(nic);

	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		struct command command = {.iov = chain->iov};
		struct iovec *in;
		uint8_t ack;
		size_t len;

		if (!virtio_pop(virtio, queue, chain))
			return;
		command.n_iov = chain->n_out;
		in = chain->iov + chain->n_out;
		ack = run(nic, &command) ? CTRL_OK : CTRL_ERR;
		len = iov_write(guest_mem(nic), in, chain->n_in, &ack, 1);
		virtio_push(virtio, queue, chain->head, len);
	}
	virtio_leave(virtio, queue);
}
