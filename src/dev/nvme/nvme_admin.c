/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Admin commands: section 5. */
#include "base/le.h"
#include "dev/nvme/nvme_int.h"

enum {
	ADMIN_DELETE_SQ = 0x00,
	ADMIN_CREATE_SQ = 0x01,
	ADMIN_GET_LOG_PAGE = 0x02,
	ADMIN_DELETE_CQ = 0x04,
	ADMIN_CREATE_CQ = 0x05,
	ADMIN_IDENTIFY = 0x06,
	ADMIN_ABORT = 0x08,
	ADMIN_SET_FEATURES = 0x09,
	ADMIN_GET_FEATURES = 0x0a,
	ADMIN_ASYNC_EVENT_REQUEST = 0x0c,
};

/* Of a queue's creation, command dword 11. */
enum { QUEUE_CONTIGUOUS = 1, QUEUE_INTERRUPTS = 2 };

#define FIRMWARE_REVISION "1.0     "
#define KELVIN		  310u /* what we claim to be warm */
#define KELVIN_WARNING	  343u
#define KELVIN_CRITICAL	  353u

/* Gives the driver what a log page or an identification says, `len` bytes of it. */
static uint16_t give(struct nvme *nvme, const struct nvme_command *command, const uint8_t *data,
		     size_t data_len, uint32_t len)
{
	struct iovec iov[NVME_MAX_IOV];
	unsigned n;
	uint16_t status = nvme_map_data(nvme, command, len, iov, &n);

	if (!status)
		iov_write(nvme_mem(nvme), iov, n, data, data_len);
	return status;
}

/* What a queue has in common: base and number of entries. */
static uint16_t check_queue(const struct nvme *nvme, const struct nvme_command *command,
			    unsigned entry_size)
{
	unsigned n = command->dw[10] >> 16;

	if (!n || n >= NVME_MAX_ENTRIES)
		return NVME_INVALID_QUEUE_SIZE;
	if (!(command->dw[11] & QUEUE_CONTIGUOUS))
		return NVME_INVALID_FIELD;
	if (nvme_prp1(command) % NVME_PAGE)
		return NVME_INVALID_PRP_OFFSET;
	return mem_range(nvme_mem(nvme), nvme_prp1(command), (n + 1) * (uint64_t)entry_size)
		       ? NVME_OK
		       : NVME_DATA_TRANSFER_ERROR;
}

static bool is_io_queue(unsigned index)
{
	return index && index < NVME_QUEUES;
}

static uint16_t create_sq(struct nvme *nvme, const struct nvme_command *command, uint32_t *result)
{
	unsigned index = command->dw[10] & 0xffff, cq = command->dw[11] >> 16;
	uint16_t status;

	if (!is_io_queue(index) || nvme->sqs[index].size)
		return NVME_INVALID_QUEUE_ID;
	if (!is_io_queue(cq) || !nvme->cqs[cq].size)
		return NVME_INVALID_CQ;
	status = check_queue(nvme, command, NVME_SQE_SIZE);
	if (!status)
		nvme->sqs[index] = (struct nvme_sq){
			.base = nvme_prp1(command), .size = (command->dw[10] >> 16) + 1, .cq = cq};
	return status;
}

static uint16_t delete_sq(struct nvme *nvme, const struct nvme_command *command, uint32_t *result)
{
	unsigned index = command->dw[10] & 0xffff;
	struct nvme_sq *sq = &nvme->sqs[index % NVME_QUEUES];

	if (!is_io_queue(index) || !sq->size || sq->deleting)
		return NVME_INVALID_QUEUE_ID;
	if (sq->in_flight) {
		sq->deleting = true;
		sq->delete_id = nvme_id(command);
		return NVME_LATER;
	}
	*sq = (struct nvme_sq){};
	return NVME_OK;
}

static uint16_t create_cq(struct nvme *nvme, const struct nvme_command *command, uint32_t *result)
{
	unsigned index = command->dw[10] & 0xffff, vector = command->dw[11] >> 16;
	uint16_t status;

	if (!is_io_queue(index) || nvme->cqs[index].size)
		return NVME_INVALID_QUEUE_ID;
	if (vector >= NVME_QUEUES)
		return NVME_INVALID_VECTOR;
	status = check_queue(nvme, command, NVME_CQE_SIZE);
	if (!status)
		nvme->cqs[index] =
			(struct nvme_cq){.base = nvme_prp1(command),
					 .size = (command->dw[10] >> 16) + 1,
					 .vector = vector,
					 .interrupts = command->dw[11] & QUEUE_INTERRUPTS,
					 .phase = true};
	return status;
}

static uint16_t delete_cq(struct nvme *nvme, const struct nvme_command *command, uint32_t *result)
{
	unsigned index = command->dw[10] & 0xffff;

	if (!is_io_queue(index) || !nvme->cqs[index].size)
		return NVME_INVALID_QUEUE_ID;
	for (unsigned i = 1; i < NVME_QUEUES; i++) {
		if (nvme->sqs[i].size && nvme->sqs[i].cq == index)
			return NVME_INVALID_QUEUE_DELETION;
	}
	nvme->cqs[index] = (struct nvme_cq){};
	nvme_update_intx(nvme);
	return NVME_OK;
}

/* An ASCII field, filled up with spaces. */
static void put_text(uint8_t *at, size_t size, const char *text)
{
	memset(at, ' ', size);
	memcpy(at, text, MIN(size, strlen(text)));
}

/* Section 5.15.2.2, offsets from figure 251. */
static uint16_t identify_controller(const struct nvme *nvme, const struct nvme_command *command,
				    uint8_t *data)
{
	le16_store(data + 0, le16_load(nvme->pci.config + PCI_VENDOR_ID));
	le16_store(data + 2, le16_load(nvme->pci.config + PCI_SUBSYSTEM_VENDOR_ID));
	put_text(data + 4, 20, nvme->serial);
	put_text(data + 24, 40, "Vivarium NVMe disk");
	put_text(data + 64, 8, FIRMWARE_REVISION);
	data[77] = NVME_MDTS;
	le32_store(data + 80, NVME_VERSION);
	data[111] = 1; /* CNTRLTYPE: an I/O controller */
	data[258] = 3; /* ACL */
	data[259] = NVME_MAX_AERS - 1;
	data[260] = 1 << 1 | 1; /* FRMW: one slot, which is read-only */
	data[261] = 1 << 2;	/* LPA: log pages in parts */
	le16_store(data + 266, KELVIN_WARNING);
	le16_store(data + 268, KELVIN_CRITICAL);
	data[512] = 0x66; /* SQES and CQES: 2^6 and 2^4 bytes, no more and no less */
	data[513] = 0x44;
	le32_store(data + 516, 1);		 /* NN */
	le16_store(data + 520, 1 << 2 | 1 << 3); /* ONCS: Dataset Management, Write Zeroes */
	data[525] = 1;				 /* VWC: there is a cache */
	g_snprintf((char *)data + 768, 256,
		   "nqn.2014-08.org.nvmexpress:uuid:76697669-7661-4269-b56d-0000000000%02x",
		   nvme->place);
	le16_store(data + 2048, 500); /* the one power state: 5 W */
	return NVME_OK;
}

/* As a locally administered EUI-64, which no other disk of this VM has. */
static void put_eui64(const struct nvme *nvme, uint8_t *at)
{
	memcpy(at, "\x02viv\0\0\0", 7);
	at[7] = nvme->place;
}

/* Section 5.15.2.1, offsets from figure 249. */
static uint16_t identify_namespace(const struct nvme *nvme, const struct nvme_command *command,
				   uint8_t *data)
{
	if (nvme_namespace(command) != 1)
		return NVME_INVALID_NAMESPACE;
	for (unsigned at = 0; at <= 16; at += 8) /* NSZE, NCAP, NUSE */
		le64_store(data + at, nvme_blocks(nvme));
	data[99] = block_read_only(nvme->block);
	put_eui64(nvme, data + 120);
	data[130] = 9; /* the only LBA format: 2^9 bytes */
	return NVME_OK;
}

/* Those beyond the one that the command names. */
static uint16_t identify_active(const struct nvme *nvme, const struct nvme_command *command,
				uint8_t *data)
{
	if (nvme_namespace(command) >= 0xfffffffe)
		return NVME_INVALID_NAMESPACE;
	if (nvme_namespace(command) == 0)
		le32_store(data, 1);
	return NVME_OK;
}

static uint16_t identify_descriptors(const struct nvme *nvme, const struct nvme_command *command,
				     uint8_t *data)
{
	if (nvme_namespace(command) != 1)
		return NVME_INVALID_NAMESPACE;
	data[0] = 1; /* an EUI-64, of 8 bytes */
	data[1] = 8;
	put_eui64(nvme, data + 4);
	return NVME_OK;
}

static uint16_t identify(struct nvme *nvme, const struct nvme_command *command, uint32_t *result)
{
	static uint16_t (*const structures[])(const struct nvme *, const struct nvme_command *,
					      uint8_t *) = {
		identify_namespace,
		identify_controller,
		identify_active,
		identify_descriptors,
	};
	unsigned which = command->dw[10] & 0xff;
	uint8_t data[NVME_PAGE] = {};
	uint16_t status;

	if (which >= G_N_ELEMENTS(structures))
		return NVME_INVALID_FIELD;
	status = structures[which](nvme, command, data);
	return status ? status : give(nvme, command, data, sizeof(data), sizeof(data));
}

/* Section 5.14.1.2. Data units are thousands of blocks of 512 bytes. */
static void fill_smart_log(struct nvme *nvme, uint8_t *data)
{
	le16_store(data + 1, KELVIN);
	data[3] = 100; /* spare, of which 10 % are needed */
	data[4] = 10;
	le64_store(data + 32, (nvme->blocks_read + 999) / 1000);
	le64_store(data + 48, (nvme->blocks_written + 999) / 1000);
	le64_store(data + 64, nvme->reads);
	le64_store(data + 80, nvme->writes);
}

static void fill_firmware_log(struct nvme *nvme, uint8_t *data)
{
	data[0] = 1; /* runs from slot 1 */
	put_text(data + 8, 8, FIRMWARE_REVISION);
}

/* Section 5.14.1. The error log has one entry, which is never used. */
static const struct {
	uint8_t id;
	uint16_t size;
	void (*fill)(struct nvme *nvme, uint8_t *data);
} log_pages[] = {
	{0x01, 64, NULL},
	{0x02, 512, fill_smart_log},
	{0x03, 512, fill_firmware_log},
};

/* Bit 15 asks that the page's events stay masked; all that we have are the error page's. */
static void log_was_read(struct nvme *nvme, const struct nvme_command *command)
{
	if ((command->dw[10] & 0x80ff) == 0x01)
		nvme->event_masked = false;
}

static uint16_t get_log_page(struct nvme *nvme, const struct nvme_command *command,
			     uint32_t *result)
{
	uint64_t len = ((uint64_t)(command->dw[11] & 0xffff) << 16 | command->dw[10] >> 16) * 4 + 4;
	uint64_t offset = nvme_dw64(command, 12);
	uint8_t data[512] = {};
	uint16_t status;

	for (size_t i = 0; i < G_N_ELEMENTS(log_pages); i++) {
		if (log_pages[i].id != (command->dw[10] & 0xff))
			continue;
		if (len > NVME_MAX_DATA || offset % 4 || offset > log_pages[i].size)
			return NVME_INVALID_FIELD;
		if (log_pages[i].fill)
			log_pages[i].fill(nvme, data);
		status = give(nvme, command, data + offset, MIN(len, log_pages[i].size - offset),
			      len);
		if (!status)
			log_was_read(nvme, command);
		return status;
	}
	return NVME_INVALID_LOG_PAGE;
}

/* Section 5.21.1: what reset sets and a driver may. What only the driver looks at is just kept. */
static const struct {
	bool known;
	uint32_t reset, writable;
} features[NVME_FEATURES] = {
	[0x01] = {true, 0, 0xffffff07},		 /* arbitration */
	[0x02] = {true, 0, 0},			 /* power management: one state */
	[0x04] = {true, KELVIN_WARNING, 0xffff}, /* temperature threshold */
	[0x05] = {true, 0, 0xffff},		 /* error recovery */
	[NVME_FEATURE_VOLATILE_WRITE_CACHE] = {true, 1, 1},
	[NVME_FEATURE_QUEUES] = {true, (NVME_QUEUES - 2) << 16 | (NVME_QUEUES - 2), 0},
	[0x08] = {true, 0, 0xffff},	      /* interrupt coalescing */
	[NVME_FEATURE_VECTOR] = {true, 0, 0}, /* of a vector: none */
	[0x0a] = {true, 0, 1},		      /* write atomicity */
	[0x0b] = {true, 0, 0xffff},	      /* asynchronous events */
};

void nvme_reset_features(struct nvme *nvme)
{
	for (unsigned i = 0; i < NVME_FEATURES; i++)
		nvme->features[i] = features[i].reset;
}

bool nvme_features_are_good(const struct nvme *nvme)
{
	for (unsigned i = 0; i < NVME_FEATURES; i++) {
		if ((nvme->features[i] ^ features[i].reset) & ~features[i].writable)
			return false;
	}
	return true;
}

static uint16_t get_features(struct nvme *nvme, const struct nvme_command *command,
			     uint32_t *result)
{
	unsigned id = command->dw[10] & 0xff;

	if (id >= NVME_FEATURES || !features[id].known)
		return NVME_INVALID_FIELD;
	*result = nvme->features[id];
	if (id == NVME_FEATURE_VECTOR)
		*result |= command->dw[11] & 0xffff;
	return NVME_OK;
}

/* The number of queues is ours to say, whatever was asked for. */
static uint16_t set_features(struct nvme *nvme, const struct nvme_command *command,
			     uint32_t *result)
{
	unsigned id = command->dw[10] & 0xff;

	if (command->dw[10] >> 31)
		return NVME_NOT_SAVEABLE;
	if (id >= NVME_FEATURES || !features[id].known)
		return NVME_INVALID_FIELD;
	nvme->features[id] = features[id].reset & ~features[id].writable;
	nvme->features[id] |= command->dw[11] & features[id].writable;
	if (id == NVME_FEATURE_QUEUES)
		*result = nvme->features[id];
	return NVME_OK;
}

/* Section 5.1: bit 0 says that the command was not aborted, as those on the disk never are. */
static uint16_t abort_command(struct nvme *nvme, const struct nvme_command *command,
			      uint32_t *result)
{
	*result = 1;
	return NVME_OK;
}

static uint16_t async_event_request(struct nvme *nvme, const struct nvme_command *command,
				    uint32_t *result)
{
	if (nvme->n_aers == NVME_MAX_AERS)
		return NVME_AER_LIMIT;
	nvme->aers[nvme->n_aers++] = nvme_id(command);
	nvme_release(nvme, 0);
	nvme_post_event(nvme);
	return NVME_LATER;
}

void nvme_post_event(struct nvme *nvme)
{
	/* Type "error", which event, and the log page to read. */
	uint32_t result = (nvme->event - 1u) << 8 | 0x01 << 16;

	if (!nvme->event || !nvme->n_aers || !nvme_post(nvme, 0, nvme->aers[0], result, NVME_OK))
		return;
	nvme->n_aers--;
	memmove(nvme->aers, nvme->aers + 1, nvme->n_aers * sizeof(*nvme->aers));
	nvme->event = NVME_NO_EVENT;
	nvme->event_masked = true;
}

static const struct {
	uint8_t opcode;
	uint16_t (*run)(struct nvme *nvme, const struct nvme_command *command, uint32_t *result);
} admin_commands[] = {
	{ADMIN_DELETE_SQ, delete_sq},	    {ADMIN_CREATE_SQ, create_sq},
	{ADMIN_GET_LOG_PAGE, get_log_page}, {ADMIN_DELETE_CQ, delete_cq},
	{ADMIN_CREATE_CQ, create_cq},	    {ADMIN_IDENTIFY, identify},
	{ADMIN_ABORT, abort_command},	    {ADMIN_SET_FEATURES, set_features},
	{ADMIN_GET_FEATURES, get_features}, {ADMIN_ASYNC_EVENT_REQUEST, async_event_request},
};

void nvme_run_admin(struct nvme *nvme, const struct nvme_command *command)
{
	uint16_t status = nvme_check_head(command);
	uint32_t result = 0;

	if (!status) {
		status = NVME_INVALID_OPCODE;
		for (size_t i = 0; i < G_N_ELEMENTS(admin_commands); i++) {
			if (admin_commands[i].opcode == nvme_opcode(command))
				status = admin_commands[i].run(nvme, command, &result);
		}
	}
	if (status != NVME_LATER)
		nvme_complete(nvme, 0, nvme_id(command), result, status);
}
