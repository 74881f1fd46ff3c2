/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA channels as devices of the ISA bus have them, on env->isa_dma.
 *
 * A device moves data when it would assert DREQ, and the channel's programming says where in RAM
 * they lie. Nothing waits: a masked channel moves nothing, which the device takes for an overrun
 * or tries again later.
 *
 * Threads: any, with the device's lock held; the controller's lock is taken under it.
 */
#ifndef VIV_DEV_ISA_ISA_DMA_H
#define VIV_DEV_ISA_ISA_DMA_H

#include <stdbool.h>
#include <stddef.h>

#define ISA_DMA_CHANNELS 8

struct isa_dma;

/*
 * Moves up to `len` bytes, whole words on channels 5 to 7, and ends early at terminal count, which
 * `tc` tells. Returns how many. Where the channel is programmed for the other direction, or to
 * verify, they are counted and not moved; what did not come from RAM is ones.
 */
size_t isa_dma_to_memory(struct isa_dma *dma, unsigned channel, const void *data, size_t len,
			 bool *tc);
size_t isa_dma_from_memory(struct isa_dma *dma, unsigned channel, void *data, size_t len, bool *tc);

#endif
