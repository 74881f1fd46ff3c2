/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI host: virtio 1.2, section 5.6. A drive is a target of its number, with logical unit 0.
 *
 * Commands are taken from the request queue on the vCPU that kicks it, and end there or on a worker
 * of the disk. None is ever cancelled: a task management function waits until nothing is in flight,
 * and while one does, nothing is taken from any queue.
 */
#include "base/le.h"
#include "dev/scsi/scsi.h"
#include "dev/virtio/virtio_pci.h"

enum { CONTROL_QUEUE, EVENT_QUEUE, REQUEST_QUEUE, N_QUEUES };

/* struct virtio_scsi_config, section 5.6.4. Sense and CDB sizes are what they are after reset,
 * which is what drivers write. */
enum {
	CONFIG_NUM_QUEUES = 0,
	CONFIG_SEG_MAX = 4,
	CONFIG_MAX_SECTORS = 8,
	CONFIG_CMD_PER_LUN = 12,
	CONFIG_EVENT_INFO_SIZE = 16,
	CONFIG_SENSE_SIZE = 20,
	CONFIG_CDB_SIZE = 24,
	CONFIG_MAX_CHANNEL = 28,
	CONFIG_MAX_TARGET = 30,
	CONFIG_MAX_LUN = 32,
	CONFIG_SIZE = 36,

	CDB_SIZE = 32,
	SENSE_SIZE = 96,
};

/* struct virtio_scsi_req_cmd, section 5.6.6.1: what the driver writes, and what we do. */
enum {
	HEADER_CDB = 19,
	HEADER_SIZE = HEADER_CDB + CDB_SIZE,

	RESPONSE_SENSE_LEN = 0,
	RESPONSE_RESIDUAL = 4,
	RESPONSE_STATUS = 10,
	RESPONSE_RESPONSE = 11,
	RESPONSE_SENSE = 12,
	RESPONSE_SIZE = RESPONSE_SENSE + SENSE_SIZE,
};

enum {
	SCSI_S_OK = 0,
	SCSI_S_OVERRUN = 1,
	SCSI_S_BAD_TARGET = 3,
	SCSI_S_FUNCTION_REJECTED = 11,
};

/* Section 5.6.6.2. */
enum {
	T_TMF = 0,
	T_AN_QUERY = 1,
	T_AN_SUBSCRIBE = 2,

	TMF_SUBTYPE = 4,
	TMF_LUN = 8,
	TMF_SIZE = 24,
	TMF_ABORT_TASK = 0,
	TMF_ABORT_TASK_SET = 1,
	TMF_CLEAR_TASK_SET = 3,
	TMF_I_T_NEXUS_RESET = 4,
	TMF_LOGICAL_UNIT_RESET = 5,

	AN_LUN = 4,
	AN_SIZE = 16,
	AN_RESPONSE = 4, /* behind the events, of which there are none */
};

/* Two descriptors are the header's and the response's. */
#define SEG_MAX (QUEUE_MAX_BUFFERS - 2)

struct scsi_request {
	struct virtio_scsi *scsi;
	struct scsi_request *next_free;
	struct queue_chain chain;
	struct iovec response[RESPONSE_SIZE]; /* a byte each at worst */
	unsigned n_response;
	uint64_t data_len;
	struct scsi_command command;
};

struct virtio_scsi {
	struct virtio virtio;
	uint8_t config[CONFIG_SIZE];
	struct scsi_unit units[DEVICE_MAX_DRIVES];
	unsigned n_units;
	struct queue_chain control; /* the function that waits, if one does */
	bool control_waits;
	struct scsi_request *requests, *free; /* QUEUE_SIZE of them */
};

static struct mem *guest_mem(const struct virtio_scsi *scsi)
{
	return scsi->virtio.pci.device.env->mem;
}

/* Section 5.6.6.1: 1, the target, a single-level address of the unit, and zeroes. */
static struct scsi_unit *find_unit(struct virtio_scsi *scsi, const uint8_t *lun)
{
	static const uint8_t zeroes[5];

	if (lun[0] != 1 || lun[1] >= scsi->n_units || lun[2] & 0xbf || memcmp(lun + 3, zeroes, 5))
		return NULL;
	return &scsi->units[lun[1]];
}

/* Under the lock. */
static void respond(struct scsi_request *request, uint8_t response)
{
	const struct scsi_command *command = &request->command;
	struct virtio_scsi *scsi = request->scsi;
	uint8_t data[RESPONSE_SIZE] = {[RESPONSE_RESPONSE] = response};
	uint64_t moved = 0;

	if (response == SCSI_S_OK) {
		data[RESPONSE_STATUS] = command->status;
		if (command->status == SCSI_CHECK_CONDITION) {
			le32_store(data + RESPONSE_SENSE_LEN, SCSI_SENSE_SIZE);
			scsi_fill_sense(command, data + RESPONSE_SENSE);
		} else {
			moved = command->transferred;
		}
	}
	le32_store(data + RESPONSE_RESIDUAL, MIN(request->data_len - moved, UINT32_MAX));
	iov_write(guest_mem(scsi), request->response, request->n_response, data, sizeof(data));
	virtio_push(&scsi->virtio, REQUEST_QUEUE, request->chain.head,
		    MIN(RESPONSE_SIZE + (request->command.n_in ? moved : 0), UINT32_MAX));
	request->next_free = scsi->free;
	scsi->free = request;
}

static void finish(struct scsi_request *request)
{
	respond(request, request->command.overrun ? SCSI_S_OVERRUN : SCSI_S_OK);
}

static void run_requests(struct virtio_scsi *scsi);
static void run_control(struct virtio_scsi *scsi);
static void answer_control(struct virtio_scsi *scsi);

/* On a worker. */
static void command_done(struct scsi_command *command)
{
	struct scsi_request *request =
		(void *)((uint8_t *)command - offsetof(struct scsi_request, command));
	struct virtio_scsi *scsi = request->scsi;

	finish(request);
	/* Before a reset of the driver's, which may wait for the same, takes effect. */
	if (scsi->control_waits && scsi->virtio.in_flight == 1) {
		scsi->control_waits = false;
		answer_control(scsi);
	}
	virtio_end(&scsi->virtio);
	run_control(scsi);
	run_requests(scsi);
}

/* The response is cut off the chain's writable part; what is left on either side is data, of one
 * direction. */
static bool parse(struct scsi_request *request, uint8_t header[HEADER_SIZE])
{
	struct queue_chain *chain = &request->chain;
	struct scsi_command *command = &request->command;
	uint64_t left = RESPONSE_SIZE;

	command->out = chain->iov;
	command->n_out = chain->n_out;
	command->in = chain->iov + chain->n_out;
	command->n_in = chain->n_in;
	if (iov_read(command->out, command->n_out, header, HEADER_SIZE) < HEADER_SIZE ||
	    iov_len(command->in, command->n_in) < RESPONSE_SIZE)
		return false;
	iov_cut_front(&command->out, &command->n_out, HEADER_SIZE);
	for (request->n_response = 0; left; request->n_response++) {
		struct iovec *piece = &request->response[request->n_response];

		*piece = command->in[request->n_response];
		piece->iov_len = MIN(piece->iov_len, left);
		left -= piece->iov_len;
	}
	iov_cut_front(&command->in, &command->n_in, RESPONSE_SIZE);
	request->data_len =
		iov_len(command->out, command->n_out) + iov_len(command->in, command->n_in);
	return !command->n_out || !command->n_in;
}

static void start(struct scsi_request *request, const uint8_t header[HEADER_SIZE])
{
	struct scsi_command *command = &request->command;
	struct virtio_scsi *scsi = request->scsi;

	command->unit = find_unit(scsi, header);
	if (!command->unit) {
		respond(request, SCSI_S_BAD_TARGET);
		return;
	}
	memcpy(command->cdb, header + HEADER_CDB, SCSI_CDB_SIZE);
	if (scsi_start(command))
		finish(request);
	else
		virtio_begin(&scsi->virtio);
}

/* Takes what waits in the request queue, under the lock. A driver can add requests that finish at
 * once as fast as they are taken: they wait for the others from time to time. */
static void run_requests(struct virtio_scsi *scsi)
{
	uint8_t header[HEADER_SIZE];

	for (unsigned i = 0; scsi->free && !scsi->control_waits; i++) {
		struct scsi_request *request = scsi->free;

		if (i == QUEUE_SIZE) {
			virtio_leave(&scsi->virtio, REQUEST_QUEUE);
			return;
		}
		if (!virtio_pop(&scsi->virtio, REQUEST_QUEUE, &request->chain))
			return;
		if (!parse(request, header)) {
			virtio_break(&scsi->virtio);
			return;
		}
		scsi->free = request->next_free;
		start(request, header);
	}
}

/* Nothing is in flight: all that a function was to abort has ended. */
static uint8_t do_function(struct virtio_scsi *scsi, const uint8_t *request)
{
	struct scsi_unit *unit = find_unit(scsi, request + TMF_LUN);

	if (!unit)
		return SCSI_S_BAD_TARGET;
	switch (le32_load(request + TMF_SUBTYPE)) {
	case TMF_I_T_NEXUS_RESET:
	case TMF_LOGICAL_UNIT_RESET:
		scsi_unit_reset(unit);
		unit->attention = SCSI_UNIT_RESET;
		return SCSI_S_OK;
	case TMF_ABORT_TASK:
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:
		return SCSI_S_OK;
	}
	return SCSI_S_FUNCTION_REJECTED;
}

/* Answers the request in scsi->control; the driver's error where it is none. */
static void answer_control(struct virtio_scsi *scsi)
{
	struct queue_chain *chain = &scsi->control;
	uint8_t request[TMF_SIZE] = {}, reply[AN_RESPONSE + 1] = {};
	size_t len = iov_read(chain->iov, chain->n_out, request, sizeof(request)), reply_len;
	uint32_t type = le32_load(request);

	if (type == T_TMF && len == TMF_SIZE) {
		reply[0] = do_function(scsi, request);
		reply_len = 1;
	} else if ((type == T_AN_QUERY || type == T_AN_SUBSCRIBE) && len >= AN_SIZE) {
		reply[AN_RESPONSE] =
			find_unit(scsi, request + AN_LUN) ? SCSI_S_OK : SCSI_S_BAD_TARGET;
		reply_len = sizeof(reply);
	} else {
		virtio_break(&scsi->virtio);
		return;
	}
	len = iov_write(guest_mem(scsi), chain->iov + chain->n_out, chain->n_in, reply, reply_len);
	virtio_push(&scsi->virtio, CONTROL_QUEUE, chain->head, len);
}

static void run_control(struct virtio_scsi *scsi)
{
	for (unsigned i = 0; !scsi->control_waits; i++) {
		if (i == QUEUE_SIZE) {
			virtio_leave(&scsi->virtio, CONTROL_QUEUE);
			return;
		}
		if (!virtio_pop(&scsi->virtio, CONTROL_QUEUE, &scsi->control))
			return;
		if (scsi->virtio.in_flight)
			scsi->control_waits = true;
		else
			answer_control(scsi);
	}
}

/* Buffers of the event queue stay where they are: no feature was offered that has events. */
static void scsi_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_scsi *scsi = (struct virtio_scsi *)virtio;

	if (queue == CONTROL_QUEUE)
		run_control(scsi);
	else if (queue == REQUEST_QUEUE)
		run_requests(scsi);
}

static const struct virtio_ops scsi_ops = {
	.id = 8,
	.class_code = 0x010000,
	.n_queues = N_QUEUES,
	.notify = scsi_notify,
};

static void fill_config(struct virtio_scsi *scsi)
{
	uint8_t *config = scsi->config;

	le32_store(config + CONFIG_NUM_QUEUES, N_QUEUES - REQUEST_QUEUE);
	le32_store(config + CONFIG_SEG_MAX, SEG_MAX);
	le32_store(config + CONFIG_MAX_SECTORS, 0xffff);
	le32_store(config + CONFIG_CMD_PER_LUN, QUEUE_SIZE);
	le32_store(config + CONFIG_EVENT_INFO_SIZE, 16);
	le32_store(config + CONFIG_SENSE_SIZE, SENSE_SIZE);
	le32_store(config + CONFIG_CDB_SIZE, CDB_SIZE);
	le16_store(config + CONFIG_MAX_TARGET, DEVICE_MAX_DRIVES - 1);
}

static bool scsi_init(struct device *device, const struct device_config *config, GError **error)
{
	struct virtio_scsi *scsi = (struct virtio_scsi *)device;

	g_assert(config->n_drives <= DEVICE_MAX_DRIVES);
	scsi->n_units = config->n_drives;
	for (unsigned i = 0; i < scsi->n_units; i++)
		scsi_unit_init(&scsi->units[i], device, &config->drives[i], config->devfn, i);
	fill_config(scsi);
	scsi->requests = g_new0(struct scsi_request, QUEUE_SIZE);
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		scsi->requests[i].scsi = scsi;
		scsi->requests[i].command.done = command_done;
		scsi->requests[i].next_free = scsi->free;
		scsi->free = &scsi->requests[i];
	}
	return virtio_init(&scsi->virtio, &scsi_ops, 0, scsi->config, sizeof(scsi->config), config,
			   error);
}

static void scsi_reset(struct device *device)
{
	struct virtio_scsi *scsi = (struct virtio_scsi *)device;

	for (unsigned i = 0; i < DEVICE_MAX_DRIVES; i++)
		scsi_unit_reset(&scsi->units[i]);
	virtio_reset(device);
}

/* What ends on one disk can start something on another. */
static void scsi_drain(struct device *device)
{
	struct virtio_scsi *scsi = (struct virtio_scsi *)device;
	bool idle;

	do {
		for (unsigned i = 0; i < scsi->n_units; i++) {
			if (scsi->units[i].block)
				block_drain(scsi->units[i].block);
		}
		g_mutex_lock(&device->lock);
		idle = !scsi->virtio.in_flight;
		g_mutex_unlock(&device->lock);
	} while (!idle);
}

static bool scsi_set_medium(struct device *device, unsigned drive, struct block *medium)
{
	struct virtio_scsi *scsi = (struct virtio_scsi *)device;

	return drive < scsi->n_units && scsi_unit_set_medium(&scsi->units[drive], medium);
}

static void scsi_fini(struct device *device)
{
	virtio_fini(device);
	g_free(((struct virtio_scsi *)device)->requests);
}

#define UNIT_FIELDS(i) SCSI_UNIT_FIELDS(struct virtio_scsi, units[i])

static const struct state_field scsi_fields[] = {
	VIRTIO_FIELDS(struct virtio_scsi, virtio),
	UNIT_FIELDS(0),
	UNIT_FIELDS(1),
	UNIT_FIELDS(2),
	UNIT_FIELDS(3),
	UNIT_FIELDS(4),
	UNIT_FIELDS(5),
	UNIT_FIELDS(6),
	UNIT_FIELDS(7),
};
G_STATIC_ASSERT(DEVICE_MAX_DRIVES == 8);

static bool scsi_check(const void *object)
{
	const struct virtio_scsi *scsi = object;

	for (unsigned i = 0; i < DEVICE_MAX_DRIVES; i++) {
		if (!scsi_unit_check(&scsi->units[i]))
			return false;
	}
	return virtio_check(object);
}

static const struct state_table scsi_state = {
	.name = "virtio-scsi",
	.version = 1,
	.object_size = sizeof(struct virtio_scsi),
	.fields = scsi_fields,
	.n_fields = G_N_ELEMENTS(scsi_fields),
	.check = scsi_check,
};

const struct device_class virtio_scsi_class = {
	.name = "virtio-scsi",
	.document = "OASIS virtio 1.2, section 5.6",
	.size = sizeof(struct virtio_scsi),
	.state = &scsi_state,
	.init = scsi_init,
	.reset = scsi_reset,
	.post_load = virtio_post_load,
	.fini = scsi_fini,
	.drain = scsi_drain,
	.set_medium = scsi_set_medium,
};
