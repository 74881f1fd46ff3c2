/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of the NVMe controller: nvme.c has registers, queues and interrupts,
 * nvme_admin.c the admin commands, nvme_io.c those for the disk. Sections are those of the NVM
 * Express Base Specification 1.4.
 *
 * A command is taken from its submission queue only when its completion queue has an entry to
 * spare, which it then holds: a completion never waits, and there are none to be saved.
 * Admin commands are carried out where they are taken. The others become requests to the disk, of
 * which there is a fixed number; while none is free, commands stay in their queues.
 *
 * The driver's reset of the controller takes effect, and CSTS.RDY goes, once the disk has nothing
 * of ours any more: until then nothing is taken and no completion is posted.
 *
 * All under the device's lock.
 */
#ifndef VIV_DEV_NVME_NVME_INT_H
#define VIV_DEV_NVME_NVME_INT_H

#include "block/block.h"
#include "dev/pci/pci.h"
#include "mem/iov.h"

#define NVME_QUEUES	 17u /* of each kind, the admin queue's being number 0 */
#define NVME_MAX_ENTRIES 1024u
#define NVME_REQUESTS	 128u
#define NVME_PAGE	 4096u
#define NVME_MDTS	 7u
#define NVME_MAX_DATA	 (NVME_PAGE << NVME_MDTS)
/* Data that does not begin with a page ends in one more. */
#define NVME_MAX_IOV  ((1u << NVME_MDTS) + 1)
#define NVME_MAX_AERS 4u

#define NVME_SQE_SIZE 64u
#define NVME_CQE_SIZE 16u

#define NVME_VERSION 0x00010400u

/* Status field without the phase: type, code and "do not retry", section 4.6.1. */
enum nvme_status {
	NVME_DNR = 0x4000,

	NVME_OK = 0,
	NVME_INVALID_OPCODE = NVME_DNR | 0x001,
	NVME_INVALID_FIELD = NVME_DNR | 0x002,
	NVME_DATA_TRANSFER_ERROR = NVME_DNR | 0x004,
	NVME_INTERNAL_ERROR = 0x006,
	NVME_INVALID_NAMESPACE = NVME_DNR | 0x00b,
	NVME_INVALID_PRP_OFFSET = NVME_DNR | 0x013,
	NVME_WRITE_PROTECTED = NVME_DNR | 0x020,
	NVME_LBA_OUT_OF_RANGE = NVME_DNR | 0x080,
	NVME_INVALID_CQ = NVME_DNR | 0x100,
	NVME_INVALID_QUEUE_ID = NVME_DNR | 0x101,
	NVME_INVALID_QUEUE_SIZE = NVME_DNR | 0x102,
	NVME_AER_LIMIT = NVME_DNR | 0x105,
	NVME_INVALID_VECTOR = NVME_DNR | 0x108,
	NVME_INVALID_LOG_PAGE = NVME_DNR | 0x109,
	NVME_INVALID_QUEUE_DELETION = NVME_DNR | 0x10c,
	NVME_NOT_SAVEABLE = NVME_DNR | 0x10d,
	NVME_WRITE_FAULT = 0x280,
	NVME_READ_ERROR = 0x281,

	NVME_LATER = 0xffff, /* ours: the completion comes some other time */
};

/* Asynchronous events of the type "error", section 5.2. */
enum nvme_event { NVME_NO_EVENT, NVME_EVENT_BAD_DOORBELL, NVME_EVENT_BAD_DOORBELL_VALUE };

/* Features, section 5.21.1, by their identifiers. */
enum {
	NVME_FEATURE_VOLATILE_WRITE_CACHE = 0x06,
	NVME_FEATURE_QUEUES = 0x07,
	NVME_FEATURE_VECTOR = 0x09,
	NVME_FEATURES = 0x0c,
};

struct nvme_command {
	uint32_t dw[16];
};

struct nvme_sq {
	uint64_t base;
	uint16_t size; /* entries; 0: there is no such queue */
	uint16_t head, tail;
	uint16_t cq;
	/* Until all that were taken have completed; nothing of it is left when a save begins. */
	unsigned in_flight;
	bool deleting;
	uint16_t delete_id; /* the command that waits for it */
};

struct nvme_cq {
	uint64_t base;
	uint16_t size;
	uint16_t head, tail;
	uint16_t vector;
	bool interrupts;
	bool phase;
	unsigned held; /* entries, by commands in flight */
};

struct nvme_request {
	struct nvme *nvme;
	struct nvme_request *next_free;
	unsigned sq;
	uint16_t id;
	bool flush_after;
	uint8_t *ranges; /* of a deallocation, those that are left */
	unsigned n_ranges, next_range;
	struct block_request io;
	struct iovec iov[NVME_MAX_IOV];
};

struct nvme {
	struct pci_device pci;
	struct block *block;
	uint8_t place; /* devfn of the function on the host bridge's bus, the bridge where it is behind one */
	char serial[21];
	uint32_t cc, csts, aqa, masked; /* by INTMS and INTMC */
	uint64_t asq, acq;
	struct nvme_sq sqs[NVME_QUEUES];
	struct nvme_cq cqs[NVME_QUEUES];
	uint8_t turn; /* the queue to look at first */

	uint32_t features[NVME_FEATURES];
	/* Asynchronous Event Requests that wait, and what for; an event that was told of stays
	 * masked until its log page is read. */
	uint16_t aers[NVME_MAX_AERS];
	uint8_t n_aers;
	uint8_t event;
	bool event_masked;
	/* For the SMART log. */
	uint64_t blocks_read, blocks_written, reads, writes;

	struct nvme_request *requests, *free; /* NVME_REQUESTS of them */
	struct block_request shutdown_flush;
	unsigned in_flight; /* on the disk */
	bool stopping;	    /* once in_flight is 0 */
};

static inline struct mem *nvme_mem(const struct nvme *nvme)
{
	return nvme->pci.device.env->mem;
}

static inline uint64_t nvme_blocks(const struct nvme *nvme)
{
	return block_size(nvme->block) / BLOCK_SECTOR_SIZE;
}

static inline uint8_t nvme_opcode(const struct nvme_command *command)
{
	return command->dw[0];
}

/* Neither fused operations nor scatter-gather lists are supported. */
static inline uint16_t nvme_check_head(const struct nvme_command *command)
{
	return command->dw[0] & 0xc300 ? NVME_INVALID_FIELD : NVME_OK;
}

static inline uint16_t nvme_id(const struct nvme_command *command)
{
	return command->dw[0] >> 16;
}

static inline uint32_t nvme_namespace(const struct nvme_command *command)
{
	return command->dw[1];
}

static inline uint64_t nvme_dw64(const struct nvme_command *command, unsigned i)
{
	return command->dw[i] | (uint64_t)command->dw[i + 1] << 32;
}

static inline uint64_t nvme_prp1(const struct nvme_command *command)
{
	return nvme_dw64(command, 6);
}

/* nvme.c */
/* Ends a command of submission queue `sq`, and holds its entry no more. */
void nvme_complete(struct nvme *nvme, unsigned sq, uint16_t id, uint32_t result, uint16_t status);
/* The same for one that never held it, for as long as there is room: false. */
bool nvme_post(struct nvme *nvme, unsigned sq, uint16_t id, uint32_t result, uint16_t status);
/* Gives back what a command holds that completes later. */
void nvme_release(struct nvme *nvme, unsigned sq);
void nvme_update_intx(struct nvme *nvme);
/* Takes what waits in the submission queues. */
void nvme_run(struct nvme *nvme);
void nvme_begin(struct nvme *nvme);
void nvme_end(struct nvme *nvme);

/* nvme_admin.c */
/* Tells of an event, if one is there and asked for. */
void nvme_post_event(struct nvme *nvme);
void nvme_run_admin(struct nvme *nvme, const struct nvme_command *command);
void nvme_reset_features(struct nvme *nvme);
bool nvme_features_are_good(const struct nvme *nvme);

/* nvme_io.c */
/*
 * Finds the `len` bytes, 1 to NVME_MAX_DATA, that a command's PRP entries name: section 4.3. `iov`
 * has NVME_MAX_IOV elements.
 */
uint16_t nvme_map_data(const struct nvme *nvme, const struct nvme_command *command, uint32_t len,
		       struct iovec *iov, unsigned *n_iov);
void nvme_run_io(struct nvme *nvme, unsigned sq, const struct nvme_command *command);
void nvme_add_requests(struct nvme *nvme);

#endif
