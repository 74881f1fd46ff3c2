/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/le.h"
#include "dev/nvme/nvme_int.h"

/* Section 3.1; 64-bit registers in halves. */
enum {
	REG_CAP = 0x00,
	REG_CAP_HIGH = 0x04,
	REG_VS = 0x08,
	REG_INTMS = 0x0c,
	REG_INTMC = 0x10,
	REG_CC = 0x14,
	REG_CSTS = 0x1c,
	REG_AQA = 0x24,
	REG_ASQ = 0x28,
	REG_ASQ_HIGH = 0x2c,
	REG_ACQ = 0x30,
	REG_ACQ_HIGH = 0x34,
	REG_DOORBELLS = 0x1000, /* of 4 bytes: CAP.DSTRD is 0 */

	NVME_BAR = 0,
	NVME_BAR_SIZE = 0x2000,
	MSIX_BAR = 4,
};

#define CAP_CQR	 (1ull << 16)  /* queues are contiguous */
#define CAP_TO	 (20ull << 24) /* half seconds */
#define CAP_CSS	 (1ull << 37)  /* the NVM command set */
#define NVME_CAP ((NVME_MAX_ENTRIES - 1) | CAP_CQR | CAP_TO | CAP_CSS)

#define CC_EN	       1u
#define CC_CSS_MPS_AMS 0x00003ff0u /* command set, page size, arbitration: all 0 */
#define CC_SHN	       0x0000c000u
#define CC_WRITABLE    0x00fffff1u

#define CSTS_RDY	0x1u
#define CSTS_CFS	0x2u
#define CSTS_SHST	0xcu
#define CSTS_SHST_DOING 0x4u
#define CSTS_SHST_DONE	0x8u

#define AQA_WRITABLE  0x0fff0fffu
#define AQA_MAX	      4096u /* entries */
#define QUEUE_ALIGNED (~(uint64_t)(NVME_PAGE - 1))

static bool runs(const struct nvme *nvme)
{
	return (nvme->csts & (CSTS_RDY | CSTS_CFS)) == CSTS_RDY && !nvme->stopping &&
	       pci_is_master(&nvme->pci);
}

/* Of a driver whose queues cannot be used; it finds CSTS.CFS and resets us. */
static void fail(struct nvme *nvme)
{
	nvme->csts |= CSTS_CFS;
}

static unsigned used_entries(const struct nvme_cq *cq)
{
	return (cq->tail + cq->size - cq->head) % cq->size;
}

static bool has_room(const struct nvme_cq *cq)
{
	return used_entries(cq) + cq->held < cq->size - 1u;
}

/* Section 7.5.1: with its pin, the controller asks for as long as there are entries to consume. */
void nvme_update_intx(struct nvme *nvme)
{
	bool level = false;

	for (unsigned i = 0; i < NVME_QUEUES; i++) {
		const struct nvme_cq *cq = &nvme->cqs[i];

		level |=
			cq->interrupts && cq->head != cq->tail && !(nvme->masked >> cq->vector & 1);
	}
	pci_set_intx(&nvme->pci, level);
}

static void post(struct nvme *nvme, const struct nvme_sq *sq, uint16_t id, uint32_t result,
		 uint16_t status)
{
	struct nvme_cq *cq = &nvme->cqs[sq->cq];
	uint64_t gpa = cq->base + (uint64_t)cq->tail * NVME_CQE_SIZE;
	uint8_t *entry = mem_range(nvme_mem(nvme), gpa, NVME_CQE_SIZE);

	if (!entry) {
		fail(nvme);
		return;
	}
	le32_store(entry, result);
	le32_store(entry + 4, 0);
	le32_store(entry + 8, sq->head | (uint32_t)(sq - nvme->sqs) << 16);
	/* A driver that polls knows the entry by its phase. */
	__atomic_store_n((uint32_t *)(entry + 12),
			 id | (uint32_t)(uint16_t)(status << 1 | cq->phase) << 16,
			 __ATOMIC_RELEASE);
	mem_written(nvme_mem(nvme), gpa, NVME_CQE_SIZE);
	if (++cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	if (cq->interrupts && pci_msix_enabled(&nvme->pci))
		pci_msix_notify(&nvme->pci, cq->vector);
	nvme_update_intx(nvme);
}

bool nvme_post(struct nvme *nvme, unsigned sq, uint16_t id, uint32_t result, uint16_t status)
{
	if (!runs(nvme) || !has_room(&nvme->cqs[nvme->sqs[sq].cq]))
		return false;
	post(nvme, &nvme->sqs[sq], id, result, status);
	return true;
}

void nvme_release(struct nvme *nvme, unsigned sq)
{
	nvme->sqs[sq].in_flight--;
	nvme->cqs[nvme->sqs[sq].cq].held--;
}

void nvme_complete(struct nvme *nvme, unsigned index, uint16_t id, uint32_t result, uint16_t status)
{
	struct nvme_sq *sq = &nvme->sqs[index];

	nvme_release(nvme, index);
	if (runs(nvme))
		post(nvme, sq, id, result, status);
	if (sq->deleting && !sq->in_flight) {
		id = sq->delete_id;
		*sq = (struct nvme_sq){};
		nvme_complete(nvme, 0, id, 0, NVME_OK);
	}
}

/* The next command of one queue; false: it has none that can be carried out now. */
static bool take(struct nvme *nvme, unsigned index)
{
	struct nvme_sq *sq = &nvme->sqs[index];
	struct nvme_command command;

	if (!sq->size || sq->deleting || sq->head == sq->tail || !has_room(&nvme->cqs[sq->cq]) ||
	    (index && !nvme->free))
		return false;
	if (!mem_read(nvme_mem(nvme), sq->base + (uint64_t)sq->head * NVME_SQE_SIZE, &command,
		      sizeof(command))) {
		fail(nvme);
		return false;
	}
	sq->head = (sq->head + 1) % sq->size;
	sq->in_flight++;
	nvme->cqs[sq->cq].held++;
	if (index)
		nvme_run_io(nvme, index, &command);
	else
		nvme_run_admin(nvme, &command);
	return true;
}

/* Round robin, a command a turn (section 4.13.1). No more are taken than completion queues have
 * entries, which the driver cannot give back meanwhile. */
void nvme_run(struct nvme *nvme)
{
	unsigned idle = 0;

	while (idle < NVME_QUEUES && runs(nvme)) {
		idle = take(nvme, nvme->turn) ? 0 : idle + 1;
		nvme->turn = (nvme->turn + 1) % NVME_QUEUES;
	}
}

static void tell_event(struct nvme *nvme, enum nvme_event event)
{
	if (nvme->event || nvme->event_masked)
		return;
	nvme->event = event;
	nvme_post_event(nvme);
}

static void write_sq_tail(struct nvme *nvme, unsigned index, uint32_t value)
{
	struct nvme_sq *sq = &nvme->sqs[index];

	if (!sq->size)
		tell_event(nvme, NVME_EVENT_BAD_DOORBELL);
	else if (value >= sq->size)
		tell_event(nvme, NVME_EVENT_BAD_DOORBELL_VALUE);
	else
		sq->tail = value;
}

static void write_cq_head(struct nvme *nvme, unsigned index, uint32_t value)
{
	struct nvme_cq *cq = &nvme->cqs[index];

	if (!cq->size)
		tell_event(nvme, NVME_EVENT_BAD_DOORBELL);
	else if (value >= cq->size || (value + cq->size - cq->head) % cq->size > used_entries(cq))
		tell_event(nvme, NVME_EVENT_BAD_DOORBELL_VALUE);
	else
		cq->head = value;
	nvme_update_intx(nvme);
	if (index == 0)
		nvme_post_event(nvme);
}

static void write_doorbell(struct nvme *nvme, unsigned number, uint32_t value)
{
	if (!runs(nvme))
		return;
	if (number / 2 >= NVME_QUEUES)
		tell_event(nvme, NVME_EVENT_BAD_DOORBELL);
	else if (number % 2)
		write_cq_head(nvme, number / 2, value);
	else
		write_sq_tail(nvme, number / 2, value);
	nvme_run(nvme);
}

/* Section 7.6.1. False: the driver asks for what we cannot. */
static bool set_up_admin_queue(struct nvme *nvme)
{
	const struct nvme_sq sq = {.base = nvme->asq, .size = (nvme->aqa & 0xfff) + 1};
	const struct nvme_cq cq = {.base = nvme->acq,
				   .size = (nvme->aqa >> 16) + 1,
				   .interrupts = true,
				   .phase = true};

	if (nvme->cc & CC_CSS_MPS_AMS || sq.size == 1 || cq.size == 1 ||
	    !mem_range(nvme_mem(nvme), sq.base, (uint64_t)sq.size * NVME_SQE_SIZE) ||
	    !mem_range(nvme_mem(nvme), cq.base, (uint64_t)cq.size * NVME_CQE_SIZE))
		return false;
	nvme->sqs[0] = sq;
	nvme->cqs[0] = cq;
	return true;
}

static void start(struct nvme *nvme)
{
	if (nvme->stopping)
		return; /* as soon as it has stopped */
	if (set_up_admin_queue(nvme))
		nvme->csts |= CSTS_RDY;
	else
		fail(nvme);
}

/* Section 7.3.2: all but AQA, ASQ and ACQ, and CC, which its driver wrote. */
static void reset_controller(struct nvme *nvme)
{
	nvme->stopping = false;
	nvme->csts = nvme->masked = 0;
	memset(nvme->sqs, 0, sizeof(nvme->sqs));
	memset(nvme->cqs, 0, sizeof(nvme->cqs));
	nvme->turn = 0;
	nvme->n_aers = 0;
	nvme->event = NVME_NO_EVENT;
	nvme->event_masked = false;
	nvme_reset_features(nvme);
	pci_set_intx(&nvme->pci, false);
}

static void stop_if_idle(struct nvme *nvme)
{
	if (!nvme->stopping || nvme->in_flight)
		return;
	reset_controller(nvme);
	if (nvme->cc & CC_EN)
		start(nvme);
}

void nvme_begin(struct nvme *nvme)
{
	nvme->in_flight++;
}

void nvme_end(struct nvme *nvme)
{
	g_assert(nvme->in_flight);
	nvme->in_flight--;
	stop_if_idle(nvme);
}

/* On a worker. A disk that cannot be flushed is no reason to keep the machine from going off. */
static void shutdown_done(struct block_request *io, int error)
{
	struct nvme *nvme = io->opaque;

	g_mutex_lock(&nvme->pci.device.lock);
	nvme->csts = (nvme->csts & ~CSTS_SHST) | CSTS_SHST_DONE;
	nvme_end(nvme);
	g_mutex_unlock(&nvme->pci.device.lock);
}

/* Section 7.6.2. */
static void shut_down(struct nvme *nvme)
{
	if (nvme->csts & CSTS_SHST || nvme->stopping)
		return;
	if (!runs(nvme)) {
		nvme->csts |= CSTS_SHST_DONE;
		return;
	}
	nvme->csts |= CSTS_SHST_DOING;
	nvme->shutdown_flush =
		(struct block_request){.op = BLOCK_FLUSH, .done = shutdown_done, .opaque = nvme};
	nvme_begin(nvme);
	block_submit(nvme->block, &nvme->shutdown_flush);
}

static void write_cc(struct nvme *nvme, uint32_t value)
{
	uint32_t changed = nvme->cc ^ value;

	nvme->cc = value & CC_WRITABLE;
	if (changed & CC_EN && value & CC_EN) {
		start(nvme);
	} else if (changed & CC_EN) {
		nvme->stopping = true;
		stop_if_idle(nvme);
	}
	if (value & CC_SHN)
		shut_down(nvme);
}

static void set_half(uint64_t *reg, bool high, uint32_t value)
{
	unsigned shift = high ? 32 : 0;

	*reg = (*reg & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

static void write_admin_queue(struct nvme *nvme, unsigned offset, uint32_t value)
{
	if (nvme->cc & CC_EN)
		return;
	if (offset == REG_AQA)
		nvme->aqa = value & AQA_WRITABLE;
	else
		set_half(offset < REG_ACQ ? &nvme->asq : &nvme->acq, offset & 4, value);
	nvme->asq &= QUEUE_ALIGNED;
	nvme->acq &= QUEUE_ALIGNED;
}

static uint64_t nvme_read(void *opaque, uint64_t offset, unsigned size)
{
	const struct nvme *nvme = opaque;

	switch (offset) {
	case REG_CAP:
		return (uint32_t)NVME_CAP;
	case REG_CAP_HIGH:
		return NVME_CAP >> 32;
	case REG_VS:
		return NVME_VERSION;
	case REG_INTMS:
	case REG_INTMC:
		return nvme->masked;
	case REG_CC:
		return nvme->cc;
	case REG_CSTS:
		return nvme->csts;
	case REG_AQA:
		return nvme->aqa;
	case REG_ASQ:
		return nvme->asq;
	case REG_ASQ_HIGH:
		return nvme->asq >> 32;
	case REG_ACQ:
		return nvme->acq;
	case REG_ACQ_HIGH:
		return nvme->acq >> 32;
	}
	return 0;
}

static void nvme_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct nvme *nvme = opaque;

	switch (offset) {
	case REG_INTMS:
		nvme->masked |= value;
		nvme_update_intx(nvme);
		break;
	case REG_INTMC:
		nvme->masked &= ~value;
		nvme_update_intx(nvme);
		break;
	case REG_CC:
		write_cc(nvme, value);
		break;
	case REG_AQA:
	case REG_ASQ:
	case REG_ASQ_HIGH:
	case REG_ACQ:
	case REG_ACQ_HIGH:
		write_admin_queue(nvme, offset, value);
		break;
	default:
		if (offset >= REG_DOORBELLS && offset % 4 == 0)
			write_doorbell(nvme, (offset - REG_DOORBELLS) / 4, value);
		break;
	}
}

static const struct bus_ops nvme_ops = {nvme_read, nvme_write, .min_size = 4, .max_size = 4};

/* The class code is the standard's; vendor and device those of the emulated controller that systems
 * know. */
static const struct pci_ids nvme_ids = {
	.vendor = 0x1b36,
	.device = 0x0010,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.class_code = 0x010802,
	.revision = 2,
	.interrupt_pin = 1,
};

static bool nvme_init(struct device *device, const struct device_config *config, GError **error)
{
	struct nvme *nvme = (struct nvme *)device;
	g_assert(config->block);
	nvme->block = config->block;
	nvme->place = config->bridge ? config->bridge : config->devfn;
	g_snprintf(nvme->serial, sizeof(nvme->serial), "viv-%02x.%x", pci_slot(nvme->place), nvme->place % 8);
	nvme_add_requests(nvme);
	if (!pci_device_init(&nvme->pci, &nvme_ids, NULL, config, error))
		return false;
	pci_add_bar(&nvme->pci, NVME_BAR, PCI_BAR_MEM64, NVME_BAR_SIZE, &nvme_ops);
	pci_add_msix(&nvme->pci, MSIX_BAR, NVME_QUEUES);
	pci_add_express(&nvme->pci, PCI_EXPRESS_ENDPOINT);
	return true;
}

static void nvme_reset(struct device *device)
{
	struct nvme *nvme = (struct nvme *)device;

	g_assert(!nvme->in_flight);
	nvme->cc = nvme->aqa = 0;
	nvme->asq = nvme->acq = 0;
	nvme->blocks_read = nvme->blocks_written = nvme->reads = nvme->writes = 0;
	reset_controller(nvme);
	pci_device_reset(&nvme->pci);
}

static void nvme_post_load(struct device *device)
{
	pci_device_post_load((struct pci_device *)device);
}

static void nvme_drain(struct device *device)
{
	block_drain(((struct nvme *)device)->block);
}

static void nvme_fini(struct device *device)
{
	pci_device_fini((struct pci_device *)device);
	g_free(((struct nvme *)device)->requests);
}

static unsigned max_entries(unsigned queue)
{
	return queue ? NVME_MAX_ENTRIES : AQA_MAX;
}

static bool sq_is_good(const struct nvme *nvme, unsigned i)
{
	const struct nvme_sq *sq = &nvme->sqs[i];

	return !sq->size || (sq->size > 1 && sq->size <= max_entries(i) && sq->head < sq->size &&
			     sq->tail < sq->size && !(sq->base % NVME_PAGE) &&
			     sq->cq < NVME_QUEUES && !sq->cq == !i && nvme->cqs[sq->cq].size);
}

static bool cq_is_good(const struct nvme *nvme, unsigned i)
{
	const struct nvme_cq *cq = &nvme->cqs[i];

	if (!cq->size)
		return cq->head == cq->tail && cq->vector == 0;
	return !(cq->base % NVME_PAGE) && cq->size > 1 && cq->size <= max_entries(i) &&
	       cq->head < cq->size && cq->tail < cq->size && cq->vector < NVME_QUEUES;
}

static bool nvme_check(const void *object)
{
	const struct nvme *nvme = object;
	bool ready = nvme->csts & CSTS_RDY;

	if (!pci_device_check(&nvme->pci) || nvme->cc & ~CC_WRITABLE || nvme->aqa & ~AQA_WRITABLE ||
	    (nvme->asq | nvme->acq) & ~QUEUE_ALIGNED)
		return false;
	/* A shutdown ends before a save does. */
	if (nvme->csts & ~(CSTS_RDY | CSTS_CFS | CSTS_SHST_DONE) || (ready && !(nvme->cc & CC_EN)))
		return false;
	if (!nvme->sqs[0].size == ready || !nvme->cqs[0].size == ready)
		return false;
	for (unsigned i = 0; i < NVME_QUEUES; i++) {
		if (!sq_is_good(nvme, i) || !cq_is_good(nvme, i))
			return false;
	}
	return nvme->turn < NVME_QUEUES && nvme->n_aers <= NVME_MAX_AERS &&
	       nvme->event <= NVME_EVENT_BAD_DOORBELL_VALUE && nvme_features_are_good(nvme);
}

#define FIELD(member) STATE_FIELD(struct nvme, member)
#define QUEUE(i)                                                                              \
	FIELD(sqs[i].base), FIELD(sqs[i].size), FIELD(sqs[i].head), FIELD(sqs[i].tail),       \
		FIELD(sqs[i].cq), FIELD(cqs[i].base), FIELD(cqs[i].size), FIELD(cqs[i].head), \
		FIELD(cqs[i].tail), FIELD(cqs[i].vector), FIELD(cqs[i].interrupts),           \
		FIELD(cqs[i].phase)

static const struct state_field nvme_fields[] = {
	PCI_DEVICE_FIELDS(struct nvme, pci),
	FIELD(cc),
	FIELD(csts),
	FIELD(aqa),
	FIELD(masked),
	FIELD(asq),
	FIELD(acq),
	QUEUE(0),
	QUEUE(1),
	QUEUE(2),
	QUEUE(3),
	QUEUE(4),
	QUEUE(5),
	QUEUE(6),
	QUEUE(7),
	QUEUE(8),
	QUEUE(9),
	QUEUE(10),
	QUEUE(11),
	QUEUE(12),
	QUEUE(13),
	QUEUE(14),
	QUEUE(15),
	QUEUE(16),
	FIELD(turn),
	FIELD(features),
	FIELD(aers),
	FIELD(n_aers),
	FIELD(event),
	FIELD(event_masked),
	FIELD(blocks_read),
	FIELD(blocks_written),
	FIELD(reads),
	FIELD(writes),
};

static const struct state_table nvme_state = {
	.name = "nvme",
	.version = 1,
	.object_size = sizeof(struct nvme),
	.fields = nvme_fields,
	.n_fields = G_N_ELEMENTS(nvme_fields),
	.check = nvme_check,
};

const struct device_class nvme_class = {
	.name = "nvme",
	.document = "NVM Express Base Specification 1.4",
	.size = sizeof(struct nvme),
	.state = &nvme_state,
	.init = nvme_init,
	.reset = nvme_reset,
	.post_load = nvme_post_load,
	.fini = nvme_fini,
	.drain = nvme_drain,
};
