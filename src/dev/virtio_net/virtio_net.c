/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/le.h"
#include "dev/table.h"
#include "dev/virtio_net/virtio_net_int.h"

/* What it says when asked, Mb/s: there is no wire to be faster or slower. */
#define SPEED 10000

#define FEATURES                                                                            \
	(NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_CTRL_GUEST_OFFLOADS | NET_F_MAC |            \
	 NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 |          \
	 NET_F_MRG_RXBUF | NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN | \
	 NET_F_CTRL_RX_EXTRA | NET_F_CTRL_MAC_ADDR | NET_F_SPEED_DUPLEX | VIRTIO_F_RING_RESET)

void virtio_net_update_config(struct virtio_net *nic)
{
	uint8_t *config = nic->config;

	memcpy(config + CONFIG_MAC, nic->mac, NET_ADDR_LEN);
	le16_store(config + CONFIG_STATUS, nic->link_up ? CONFIG_STATUS_LINK_UP : 0);
	le16_store(config + CONFIG_MAX_PAIRS, nic->max_pairs);
	le16_store(config + CONFIG_MTU, nic->mtu);
	le32_store(config + CONFIG_SPEED, SPEED);
	config[CONFIG_DUPLEX] = CONFIG_FULL_DUPLEX;
}

void virtio_net_apply_offloads(struct virtio_net *nic)
{
	uint64_t offloads = nic->guest_offloads;
	unsigned can = 0;

	/* Section 5.1.3.1: the others are nothing without. */
	if (offloads & NET_F_GUEST_CSUM)
		can = NET_CAN_CSUM | (offloads & NET_F_GUEST_TSO4 ? NET_CAN_TSO4 : 0) |
		      (offloads & NET_F_GUEST_TSO6 ? NET_CAN_TSO6 : 0);
	net_set_offloads(nic->net, can);
}

static bool on_receive(void *opaque, const uint8_t *frame, size_t len,
		       const struct net_offload *offload)
{
	struct virtio_net *nic = opaque;
	GMutex *lock = &nic->virtio.pci.device.lock;
	bool taken;

	g_mutex_lock(lock);
	taken = virtio_net_receive(nic, frame, len, offload);
	g_mutex_unlock(lock);
	return taken;
}

static void set_link(struct virtio_net *nic, bool up)
{
	if (up == nic->link_up)
		return;
	nic->link_up = up;
	virtio_net_update_config(nic);
	if (virtio_has(&nic->virtio, NET_F_STATUS))
		virtio_config_changed(&nic->virtio);
}

static void on_link(void *opaque, bool up)
{
	struct virtio_net *nic = opaque;
	GMutex *lock = &nic->virtio.pci.device.lock;

	g_mutex_lock(lock);
	set_link(nic, up);
	g_mutex_unlock(lock);
}

static void on_room(void *opaque)
{
	struct virtio_net *nic = opaque;
	GMutex *lock = &nic->virtio.pci.device.lock;

	g_mutex_lock(lock);
	virtio_net_transmit_more(nic);
	g_mutex_unlock(lock);
}

static void nic_started(struct virtio *virtio)
{
	struct virtio_net *nic = (struct virtio_net *)virtio;

	nic->guest_offloads = virtio->driver_features & NET_F_GUEST_OFFLOADS;
	virtio_net_apply_offloads(nic);
}

static void nic_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_net *nic = (struct virtio_net *)virtio;

	if (queue == control_queue(nic))
		virtio_net_control(nic);
	else if (is_transmit_queue(queue))
		virtio_net_transmit(nic, queue);
	else
		net_receive_more(nic->net);
}

static void nic_reset(struct virtio *virtio)
{
	struct virtio_net *nic = (struct virtio_net *)virtio;

	nic->link_up = net_link(nic->net);
	memcpy(nic->mac, nic->own_mac, NET_ADDR_LEN);
	nic->pairs = 1;
	memset(nic->modes, 0, sizeof(nic->modes));
	nic->modes[RX_PROMISC] = true;
	nic->unicast = nic->multicast = (struct addr_table){};
	memset(nic->vlans, 0, sizeof(nic->vlans));
	memset(nic->steering, 0, sizeof(nic->steering));
	nic->guest_offloads = 0;
	nic->waiting = 0;
	virtio_net_apply_offloads(nic);
	virtio_net_update_config(nic);
}

static const struct virtio_ops nic_ops = {
	.id = 1,
	.class_code = 0x020000,
	.started = nic_started,
	.notify = nic_notify,
	.reset = nic_reset,
};

static bool nic_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_net *nic = (struct virtio_net *)device;
	struct net_receiver receiver = {on_receive, on_link, nic, .room = on_room};
	uint64_t features = FEATURES;

	nic->net = config->net;
	memcpy(nic->own_mac, config->mac, NET_ADDR_LEN);
	nic->mtu = config->mtu;
	if (nic->mtu)
		features |= NET_F_MTU;
	nic->max_pairs = CLAMP(config->n_queues, 1, MAX_PAIRS);
	if (nic->max_pairs > 1)
		features |= NET_F_MQ;
	nic->virtio.n_queues = 2 * nic->max_pairs + 1;
	net_set_receiver(nic->net, &receiver);
	return virtio_init(&nic->virtio, &nic_ops, features, nic->config, sizeof(nic->config),
			   config, error);
}

static void nic_post_load(struct device *device)
{
	struct virtio_net *nic = (struct virtio_net *)device;

	virtio_post_load(device);
	virtio_net_apply_offloads(nic);
	/* The cable here may be another one than where it was saved. */
	set_link(nic, net_link(nic->net));
	virtio_net_update_config(nic);
	net_receive_more(nic->net);
}

static void nic_fini(struct device *device)
{
	net_set_receiver(((struct virtio_net *)device)->net, NULL);
	virtio_fini(device);
}

static bool nic_check(const void *object)
{
	const struct virtio_net *nic = object;

	return virtio_check(object) && nic->pairs >= 1 && nic->pairs <= nic->max_pairs &&
	       nic->unicast.n <= MAX_ADDRS && nic->multicast.n <= MAX_ADDRS &&
	       !(nic->guest_offloads & ~(nic->virtio.driver_features & NET_F_GUEST_OFFLOADS));
}

#define FIELD(member) STATE_FIELD(struct virtio_net, member)

static const struct state_field nic_fields[] = {
	VIRTIO_FIELDS(struct virtio_net, virtio),
	FIELD(link_up),
	FIELD(mac),
	FIELD(pairs),
	FIELD(guest_offloads),
	FIELD(modes),
	FIELD(unicast.n),
	FIELD(unicast.overflow),
	FIELD(unicast.addrs),
	FIELD(multicast.n),
	FIELD(multicast.overflow),
	FIELD(multicast.addrs),
	FIELD(vlans),
	FIELD(steering),
};

static const struct state_table nic_state = {
	.name = "virtio-net",
	.version = 1,
	.object_size = sizeof(struct virtio_net),
	.fields = nic_fields,
	.n_fields = G_N_ELEMENTS(nic_fields),
	.check = nic_check,
};

const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.document = "OASIS virtio 1.2, section 5.1",
	.size = sizeof(struct virtio_net),
	.state = &nic_state,
	.init = nic_init,
	.reset = virtio_reset,
	.post_load = nic_post_load,
	.fini = nic_fini,
};
