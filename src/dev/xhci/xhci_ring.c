/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rings, section 4.9; interrupts, section 4.17. */
#include "base/le.h"
#include "dev/xhci/xhci_int.h"

#define MAX_LINKS 16 /* in a row: a longer walk is a loop */

/* Event Ring Segment Table, section 6.5. HCSPARAMS2 says so many. */
enum { MAX_SEGMENTS = 4, SEGMENT_ENTRY_SIZE = 16, SEGMENT_SIZE = 8, SEGMENT_MIN = 16, SEGMENT_MAX = 4096 };

enum { IMAN_IP = 1, IMAN_IE = 2 };
#define ERDP_BUSY    (1u << 3)
#define ERDP_ADDRESS (~15ull)

enum ring_result xhci_ring_next(struct xhci *xhci, struct xhci_ring *ring, struct xhci_trb *trb)
{
	for (unsigned links = 0; links < MAX_LINKS; links++) {
		uint8_t bytes[TRB_SIZE];

		if (!mem_read(xhci_mem(xhci), ring->gpa, bytes, sizeof(bytes)))
			return RING_BAD;
		*trb = (struct xhci_trb){ring->gpa, le64_load(bytes), le32_load(bytes + 8),
					 le32_load(bytes + 12)};
		if ((trb->control & TRB_CYCLE) != ring->cycle)
			return RING_EMPTY;
		if (trb_type(trb) != TRB_LINK) {
			ring->gpa += TRB_SIZE;
			return RING_TRB;
		}
		ring->gpa = trb->parameter & ~15ull;
		if (trb->control & TRB_TOGGLE_CYCLE)
			ring->cycle = !ring->cycle;
	}
	return RING_BAD;
}

struct segments {
	unsigned n, total; /* entries; TRBs in all */
	struct {
		uint64_t base;
		uint32_t size;
	} at[MAX_SEGMENTS];
};

static bool read_segments(struct xhci *xhci, struct segments *segments)
{
	*segments = (struct segments){.n = MIN(xhci->erstsz, MAX_SEGMENTS)};
	for (unsigned i = 0; i < segments->n; i++) {
		uint8_t entry[SEGMENT_ENTRY_SIZE];
		uint32_t size;

		if (!mem_read(xhci_mem(xhci), xhci->erstba + i * sizeof(entry), entry, sizeof(entry)))
			return false;
		size = le16_load(entry + SEGMENT_SIZE);
		if (size < SEGMENT_MIN || size > SEGMENT_MAX)
			return false;
		segments->at[i].base = le64_load(entry) & ~63ull;
		segments->at[i].size = size;
		segments->total += size;
	}
	return segments->n && xhci->event_segment < segments->n &&
	       xhci->event_index < segments->at[xhci->event_segment].size;
}

/* TRBs from the ring's start to a segment's entry. */
static unsigned place_of(const struct segments *segments, unsigned segment, unsigned index)
{
	for (unsigned i = 0; i < segment; i++)
		index += segments->at[i].size;
	return index;
}

/* The place that the dequeue pointer names; false: it is in no segment. */
static bool find_dequeue(const struct xhci *xhci, const struct segments *segments, unsigned *place)
{
	for (unsigned i = 0; i < segments->n; i++) {
		uint64_t offset = (xhci->erdp & ERDP_ADDRESS) - segments->at[i].base;

		if (offset < (uint64_t)segments->at[i].size * TRB_SIZE) {
			*place = place_of(segments, i, offset / TRB_SIZE);
			return true;
		}
	}
	return false;
}

void xhci_events_reset(struct xhci *xhci)
{
	xhci->event_segment = xhci->event_index = 0;
	xhci->event_cycle = true;
}

/* A full ring has one TRB free, section 4.9.4. */
unsigned xhci_event_room(struct xhci *xhci)
{
	struct segments segments;
	unsigned enqueue, dequeue;

	if (!read_segments(xhci, &segments) || !find_dequeue(xhci, &segments, &dequeue))
		return 0;
	enqueue = place_of(&segments, xhci->event_segment, xhci->event_index);
	return (dequeue + segments.total - enqueue - 1) % segments.total;
}

void xhci_update_interrupt(struct xhci *xhci)
{
	bool wanted = xhci->iman & IMAN_IP && xhci->iman & IMAN_IE && xhci->usbcmd & CMD_INTE;

	if (!pci_msix_enabled(&xhci->pci)) {
		pci_set_intx(&xhci->pci, wanted);
		return;
	}
	pci_set_intx(&xhci->pci, false);
	if (!wanted)
		return;
	/* Section 5.5.2.1: a message that is sent clears it. */
	xhci->iman &= ~IMAN_IP;
	pci_msix_notify(&xhci->pci, 0);
}

/* Section 4.17: one interrupt until the guest says that it has handled the events. */
static void interrupt(struct xhci *xhci)
{
	if (xhci->erdp & ERDP_BUSY)
		return;
	xhci->erdp |= ERDP_BUSY;
	xhci->iman |= IMAN_IP;
	xhci->usbsts |= STS_EINT;
	xhci_update_interrupt(xhci);
}

/* The control word last: the guest looks at its cycle bit. */
static bool write_event(struct xhci *xhci, uint64_t gpa, uint64_t parameter, uint32_t status,
			uint32_t control)
{
	uint8_t bytes[TRB_SIZE];

	le64_store(bytes, parameter);
	le32_store(bytes + 8, status);
	le32_store(bytes + 12, control);
	if (!mem_write(xhci_mem(xhci), gpa, bytes, 12))
		return false;
	atomic_thread_fence(memory_order_release);
	return mem_write(xhci_mem(xhci), gpa + 12, bytes + 12, 4);
}

void xhci_post_event(struct xhci *xhci, uint64_t parameter, uint32_t status, uint32_t control)
{
	struct segments segments;
	uint64_t gpa;

	if (!read_segments(xhci, &segments)) {
		xhci_fail(xhci);
		return;
	}
	gpa = segments.at[xhci->event_segment].base + (uint64_t)xhci->event_index * TRB_SIZE;
	if (!write_event(xhci, gpa, parameter, status, (control & ~TRB_BEI) | xhci->event_cycle)) {
		xhci_fail(xhci);
		return;
	}
	if (++xhci->event_index == segments.at[xhci->event_segment].size) {
		xhci->event_index = 0;
		if (++xhci->event_segment == segments.n) {
			xhci->event_segment = 0;
			xhci->event_cycle = !xhci->event_cycle;
		}
	}
	if (!(control & TRB_BEI))
		interrupt(xhci);
}

/* There may be events that came while the guest handled others, and work that waits for room. */
void xhci_erdp_written(struct xhci *xhci, bool end_of_handling)
{
	struct segments segments;
	unsigned dequeue;

	if (end_of_handling && xhci_is_running(xhci) && read_segments(xhci, &segments) &&
	    find_dequeue(xhci, &segments, &dequeue) &&
	    dequeue != place_of(&segments, xhci->event_segment, xhci->event_index))
		interrupt(xhci);
	xhci_work(xhci);
}
