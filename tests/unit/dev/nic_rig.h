/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of network cards: a rig whose cable's other end keeps the frames that the card sent. */
#ifndef VIV_TESTS_NIC_RIG_H
#define VIV_TESTS_NIC_RIG_H

#include "base/le.h"
#include "dev/pci/i440fx.h"
#include "dev/table.h"
#include "net/frame.h"
#include "rig.h"

static const uint8_t nic_mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t nic_broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct nic_rig {
	struct rig *rig;
	GPtrArray *frames; /* GBytes */
};

static inline bool nic_keep_frame(void *opaque, const uint8_t *frame, size_t len,
				  const struct net_offload *offload)
{
	g_ptr_array_add(((struct nic_rig *)opaque)->frames, g_bytes_new(frame, len));
	return true;
}

static inline void nic_rig_init(struct nic_rig *n, const struct device_class *class)
{
	struct net_receiver receiver = {.receive = nic_keep_frame, .opaque = n};

	n->rig = rig_new_row(rig_row_of(class));
	n->frames = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	net_set_receiver(n->rig->net_end, &receiver);
}

static inline void nic_rig_fini(struct nic_rig *n)
{
	rig_free(n->rig);
	g_ptr_array_unref(n->frames);
}

static inline uint8_t *nic_ram(struct nic_rig *n, uint64_t gpa)
{
	return mem_hva(n->rig->env.mem, gpa);
}

/* How many frames have come since the last call that forgot them. */
static inline unsigned nic_frames(struct nic_rig *n)
{
	net_run(n->rig->net);
	return n->frames->len;
}

static inline const uint8_t *nic_frame(struct nic_rig *n, unsigned i, size_t *len)
{
	g_assert_cmpuint(i, <, n->frames->len);
	return g_bytes_get_data(n->frames->pdata[i], len);
}

static inline void nic_forget(struct nic_rig *n)
{
	g_ptr_array_set_size(n->frames, 0);
}

/* Addresses, a type that means nothing, and bytes that differ. */
static inline void nic_make_frame(uint8_t *frame, size_t len, const uint8_t *to)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = i * 7 + (i >> 8);
	memcpy(frame, to, NET_ADDR_LEN);
	frame[12] = 0x88;
	frame[13] = 0xb5;
}

/* One from the other end. */
static inline void nic_arrive(struct nic_rig *n, const uint8_t *frame, size_t len)
{
	net_send(n->rig->net_end, frame, len);
	net_run(n->rig->net);
}

#endif
