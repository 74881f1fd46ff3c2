/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux does: admin queue, one or more pairs of I/O queues, MSI-X. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/le.h"
#include "block/block.h"
#include "dev/pci/i440fx.h"
#include "dev/table.h"

#define RAM_SIZE  (16u << 20)
#define DISK_SIZE (8u << 20)
#define BLOCKS	  (DISK_SIZE / 512)
#define SLOT	  2

/* Guest RAM: queue i of either kind has a page at ..._AT + i * PAGE. */
#define PAGE	  0x1000u
#define SQ_AT	  0x10000u
#define CQ_AT	  0x20000u
#define LIST_AT	  0x30000u
#define DATA_AT	  0x100000u
#define ENTRIES	  16u
#define IO_QUEUES 3u

enum {
	CAP = 0,
	VS = 8,
	INTMS = 0xc,
	INTMC = 0x10,
	CC = 0x14,
	CSTS = 0x1c,
	AQA = 0x24,
	ASQ = 0x28,
	ACQ = 0x30
};
enum { CC_ENABLE = 0x00460001, CC_SHUTDOWN = 0x4000, RDY = 1, CFS = 2, SHST_DONE = 8 };

enum { DNR = 0x4000 };

struct driver {
	struct device_env env;
	struct device *host, *device;
	struct block *block;
	int image_fd;
	uint64_t bar;
	unsigned tail[IO_QUEUES + 1], head[IO_QUEUES + 1], size[IO_QUEUES + 1];
	bool phase[IO_QUEUES + 1];
	uint16_t next_id;
	uint32_t result; /* of the last completion */
	uint16_t completed_id;
	GMutex gate;	   /* held: the disk works on nothing */
	GMutex lock;	   /* guards what interrupts change */
	uint32_t messages; /* a bit a vector that was sent */
	bool level;
};

static uint8_t *ram(struct driver *d, uint64_t gpa)
{
	return mem_hva(d->env.mem, gpa);
}

static uint32_t config_read(struct driver *d, unsigned reg, unsigned size)
{
	bus_write(d->env.bus, BUS_PIO, 0xcf8, 0x80000000u | SLOT << 11 | (reg & 0xfc), 4);
	return bus_read(d->env.bus, BUS_PIO, 0xcfc + (reg & 3), size);
}

static void config_write(struct driver *d, unsigned reg, uint32_t value, unsigned size)
{
	bus_write(d->env.bus, BUS_PIO, 0xcf8, 0x80000000u | SLOT << 11 | (reg & 0xfc), 4);
	bus_write(d->env.bus, BUS_PIO, 0xcfc + (reg & 3), value, size);
}

static uint64_t reg_read(struct driver *d, unsigned reg, unsigned size)
{
	return bus_read(d->env.bus, BUS_MMIO, d->bar + reg, size);
}

static void reg_write(struct driver *d, unsigned reg, uint64_t value, unsigned size)
{
	bus_write(d->env.bus, BUS_MMIO, d->bar + reg, value, size);
}

static void on_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct driver *d = opaque;

	g_mutex_lock(&d->lock);
	d->messages |= 1u << (data - 0x40);
	g_mutex_unlock(&d->lock);
}

static void on_line(void *opaque, unsigned pin, bool level)
{
	struct driver *d = opaque;

	g_mutex_lock(&d->lock);
	d->level = level;
	g_mutex_unlock(&d->lock);
}

static void enable_msix(struct driver *d)
{
	unsigned cap = config_read(d, PCI_CAPABILITIES, 1);
	uint64_t table = config_read(d, PCI_BAR_0 + 16, 4);

	g_assert_cmphex(config_read(d, cap, 1), ==, PCI_CAP_ID_MSIX);
	for (unsigned i = 0; i < 17; i++) {
		bus_write(d->env.bus, BUS_MMIO, table + 16 * i, 0xfee00000, 4);
		bus_write(d->env.bus, BUS_MMIO, table + 16 * i + 8, 0x40 + i, 4);
		bus_write(d->env.bus, BUS_MMIO, table + 16 * i + 12, 0, 4);
	}
	config_write(d, cap + 2, 0x8000, 2);
}

static struct block *open_disk(struct driver *d, bool read_only)
{
	g_autofree char *path = NULL;
	struct block_options options = {.image.format = "raw", .image.read_only = read_only, .gate = &d->gate};

	d->image_fd = memfd_create("image", MFD_CLOEXEC);
	g_assert_cmpint(ftruncate(d->image_fd, DISK_SIZE), ==, 0);
	options.image.path = path = g_strdup_printf("/proc/self/fd/%d", d->image_fd);
	return block_open(&options, NULL);
}

static void driver_init(struct driver *d, bool read_only)
{
	struct device_config config = {.devfn = PCI_DEVFN(SLOT, 0)};

	*d = (struct driver){.env = {.mem = mem_new(RAM_SIZE, NULL),
				     .bus = bus_new(),
				     .clock = clock_new_manual()}};
	bus_set_msi_sink(d->env.bus, on_msi, d);
	bus_line_attach(d->env.bus, i440fx_gsi(SLOT, 0), on_line, d, 0);
	d->block = config.block = open_disk(d, read_only);
	d->host = device_new(&i440fx_class, &d->env, &(struct device_config){}, NULL);
	d->device = device_new(&nvme_class, &d->env, &config, NULL);
	g_assert_true(pci_assign_bars(d->env.pci, NULL));
	config_write(d, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	d->bar = config_read(d, PCI_BAR_0, 4) & ~15u;
}

static void driver_fini(struct driver *d)
{
	device_free(d->device);
	device_free(d->host);
	block_close(d->block);
	close(d->image_fd);
	bus_free(d->env.bus);
	clock_free(d->env.clock);
	mem_free(d->env.mem);
}

static void reset_queue(struct driver *d, unsigned i, unsigned size)
{
	d->tail[i] = d->head[i] = 0;
	d->phase[i] = true;
	d->size[i] = size;
	memset(ram(d, CQ_AT + i * PAGE), 0, PAGE);
}

static void disable(struct driver *d)
{
	reg_write(d, CC, CC_ENABLE & ~1, 4);
	while (reg_read(d, CSTS, 4) & RDY)
		g_thread_yield();
}

static void enable(struct driver *d)
{
	reset_queue(d, 0, ENTRIES);
	reg_write(d, AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1), 4);
	reg_write(d, ASQ, SQ_AT, 8);
	reg_write(d, ACQ, CQ_AT, 8);
	reg_write(d, CC, CC_ENABLE, 4);
	g_assert_cmphex(reg_read(d, CSTS, 4), ==, RDY);
}

struct command {
	uint8_t opcode;
	uint32_t namespace;
	uint64_t prp1, prp2;
	uint32_t dw10, dw11, dw12, dw13;
	uint16_t flags;
};

static void ring(struct driver *d, unsigned doorbell, uint32_t value)
{
	reg_write(d, 0x1000 + 4 * doorbell, value, 4);
}

/* Puts a command into a queue without telling. */
static uint16_t put(struct driver *d, unsigned queue, const struct command *c)
{
	uint8_t *entry = ram(d, SQ_AT + queue * PAGE + 64 * d->tail[queue]);

	memset(entry, 0, 64);
	le32_store(entry, c->opcode | c->flags | (uint32_t)++d->next_id << 16);
	le32_store(entry + 4, c->namespace);
	le64_store(entry + 24, c->prp1);
	le64_store(entry + 32, c->prp2);
	le32_store(entry + 40, c->dw10);
	le32_store(entry + 44, c->dw11);
	le32_store(entry + 48, c->dw12);
	le32_store(entry + 52, c->dw13);
	d->tail[queue] = (d->tail[queue] + 1) % d->size[queue];
	return d->next_id;
}

static bool has_completed(struct driver *d, unsigned queue)
{
	uint8_t *entry = ram(d, CQ_AT + queue * PAGE + 16 * d->head[queue]);

	return (__atomic_load_n((uint32_t *)(entry + 12), __ATOMIC_ACQUIRE) >> 16 & 1) ==
	       d->phase[queue];
}

/* The status of the next completion, which is left to be consumed. */
static uint16_t reap(struct driver *d, unsigned queue)
{
	uint8_t *entry = ram(d, CQ_AT + queue * PAGE + 16 * d->head[queue]);

	while (!has_completed(d, queue))
		g_thread_yield();
	d->result = le32_load(entry);
	d->completed_id = le16_load(entry + 12);
	g_assert_cmpuint(le16_load(entry + 10), ==, queue);
	if (++d->head[queue] == d->size[queue]) {
		d->head[queue] = 0;
		d->phase[queue] = !d->phase[queue];
	}
	return le16_load(entry + 14) >> 1;
}

static uint16_t run(struct driver *d, unsigned queue, struct command c)
{
	uint16_t id = put(d, queue, &c), status;

	ring(d, 2 * queue, d->tail[queue]);
	status = reap(d, queue);
	g_assert_cmpuint(d->completed_id, ==, id);
	ring(d, 2 * queue + 1, d->head[queue]);
	return status;
}

static uint16_t create_cq(struct driver *d, unsigned i, unsigned size, unsigned vector)
{
	reset_queue(d, i, size);
	return run(d, 0,
		   (struct command){.opcode = 5,
				    .prp1 = CQ_AT + i * PAGE,
				    .dw10 = (size - 1) << 16 | i,
				    .dw11 = vector << 16 | 3});
}

static uint16_t create_sq(struct driver *d, unsigned i, unsigned size, unsigned cq)
{
	return run(d, 0,
		   (struct command){.opcode = 1,
				    .prp1 = SQ_AT + i * PAGE,
				    .dw10 = (size - 1) << 16 | i,
				    .dw11 = cq << 16 | 1});
}

static void start(struct driver *d, bool msix)
{
	if (msix)
		enable_msix(d);
	enable(d);
	for (unsigned i = 1; i <= IO_QUEUES; i++) {
		g_assert_cmphex(create_cq(d, i, ENTRIES, i), ==, 0);
		g_assert_cmphex(create_sq(d, i, ENTRIES, i), ==, 0);
	}
}

static struct command io(uint8_t opcode, uint64_t block, unsigned n, uint64_t prp1, uint64_t prp2)
{
	return (struct command){opcode, 1, prp1, prp2, block, block >> 32, n - 1};
}

enum { FLUSH = 0, WRITE = 1, READ = 2, WRITE_ZEROES = 8, DATASET = 9 };

static void test_registers(void)
{
	struct driver d;

	driver_init(&d, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x00101b36);
	g_assert_cmphex(config_read(&d, PCI_REVISION_ID, 4) >> 8, ==, 0x010802);
	g_assert_cmphex(reg_read(&d, CAP, 8), ==, 0x00000020140103ff);
	g_assert_cmphex(reg_read(&d, VS, 4), ==, 0x10400);
	reg_write(&d, ACQ, 0x123456789, 8);
	g_assert_cmphex(reg_read(&d, ACQ, 8), ==, 0x123456000);
	/* Queues of one entry, queues that are not RAM, and a page size that we have not. */
	reg_write(&d, CC, CC_ENABLE, 4);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, CFS);
	disable(&d);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, 0);
	reg_write(&d, AQA, 0x000f000f, 4);
	reg_write(&d, CC, CC_ENABLE, 4);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, CFS);
	disable(&d);
	reg_write(&d, ACQ, CQ_AT, 8);
	reg_write(&d, CC, CC_ENABLE | 1 << 7, 4);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, CFS);
	disable(&d);
	enable(&d);
	reg_write(&d, AQA, 0, 4); /* stands still */
	g_assert_cmphex(reg_read(&d, AQA, 4), ==, 0x000f000f);
	reg_write(&d, CC, CC_ENABLE | CC_SHUTDOWN, 4);
	while (!(reg_read(&d, CSTS, 4) & SHST_DONE))
		g_thread_yield();
	disable(&d);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, 0);
	driver_fini(&d);
}

static uint16_t identify(struct driver *d, uint32_t namespace, uint32_t which)
{
	memset(ram(d, DATA_AT), 0x55, 2 * PAGE);
	return run(d, 0, (struct command){6, namespace, DATA_AT + 0x800, DATA_AT + PAGE, which});
}

static void test_identify(void)
{
	struct driver d;
	uint8_t *data;

	driver_init(&d, false);
	enable(&d);
	data = ram(&d, DATA_AT + 0x800);
	g_assert_cmphex(identify(&d, 0, 1), ==, 0);
	g_assert_cmphex(le16_load(data), ==, 0x1b36);
	g_assert_true(!memcmp(data + 4, "viv-02.0            Vivarium", 28));
	g_assert_cmphex(data[512], ==, 0x66);
	g_assert_cmpuint(le32_load(data + 516), ==, 1);
	g_assert_cmphex(data[4095], ==, 0);
	g_assert_cmphex(data[4096], ==, 0x55);
	g_assert_cmphex(identify(&d, 1, 0), ==, 0);
	g_assert_cmpuint(le64_load(data), ==, BLOCKS);
	g_assert_cmpuint(data[130], ==, 9);
	g_assert_cmphex(identify(&d, 2, 0), ==, DNR | 0x0b);
	g_assert_cmphex(identify(&d, 0, 2), ==, 0);
	g_assert_cmpuint(le64_load(data), ==, 1);
	g_assert_cmphex(identify(&d, 1, 2), ==, 0);
	g_assert_cmpuint(le64_load(data), ==, 0);
	g_assert_cmphex(identify(&d, 1, 3), ==, 0);
	g_assert_cmphex(le16_load(data), ==, 0x0801);
	g_assert_cmphex(identify(&d, 1, 0x10), ==, DNR | 0x02);
	driver_fini(&d);
}

static uint16_t log_page(struct driver *d, unsigned id, uint32_t offset, uint32_t len)
{
	memset(ram(d, DATA_AT), 0x55, PAGE);
	return run(d, 0, (struct command){2, ~0u, DATA_AT, 0, (len / 4 - 1) << 16 | id, 0, offset});
}

static void test_features_and_logs(void)
{
	struct driver d;

	driver_init(&d, false);
	start(&d, true);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 9, .dw10 = 7, .dw11 = 0x00030003}),
			==, 0);
	g_assert_cmphex(d.result, ==, 0x000f000f);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 9, .dw10 = 8, .dw11 = 0x10102}), ==,
			0);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 10, .dw10 = 8}), ==, 0);
	g_assert_cmphex(d.result, ==, 0x0102);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 10, .dw10 = 6}), ==, 0);
	g_assert_cmphex(d.result, ==, 1);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 10, .dw10 = 3}), ==, DNR | 2);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 9, .dw10 = 0x80000006}), ==,
			DNR | 0x10d);
	g_assert_cmphex(run(&d, 1, io(READ, 0, 8, DATA_AT, 0)), ==, 0);
	g_assert_cmphex(log_page(&d, 2, 0, 512), ==, 0);
	g_assert_cmpuint(le16_load(ram(&d, DATA_AT + 1)), ==, 310);
	g_assert_cmpuint(le64_load(ram(&d, DATA_AT + 32)), ==, 1);
	g_assert_cmpuint(le64_load(ram(&d, DATA_AT + 64)), ==, 1);
	g_assert_cmphex(log_page(&d, 3, 8, 512), ==, 0);
	g_assert_true(!memcmp(ram(&d, DATA_AT), "1.0     ", 8));
	g_assert_cmphex(*ram(&d, DATA_AT + 504), ==, 0x55);
	g_assert_cmphex(log_page(&d, 3, 516, 512), ==, DNR | 2);
	g_assert_cmphex(log_page(&d, 0x70, 0, 512), ==, DNR | 0x109);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 8}), ==, 0);
	g_assert_cmphex(d.result, ==, 1);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 0x7f}), ==, DNR | 1);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 8, .flags = 0x4000}), ==, DNR | 2);
	driver_fini(&d);
}

static void fill(struct driver *d, uint64_t gpa, unsigned len, unsigned seed)
{
	for (unsigned i = 0; i < len; i++)
		*ram(d, gpa + i) = i * 7 + i / 512 + seed;
}

static void assert_filled(struct driver *d, uint64_t gpa, unsigned len, unsigned seed)
{
	for (unsigned i = 0; i < len; i++)
		g_assert_cmpuint(*ram(d, gpa + i), ==, (uint8_t)(i * 7 + i / 512 + seed));
}

/* 300 KiB by lists over two pages, the second of which begins far from the first. */
static void test_prp_lists(void)
{
	enum { LEN = 300 << 10, PAGES = LEN / PAGE };
	struct driver d;
	uint64_t list = LIST_AT + PAGE - 5 * 8;

	driver_init(&d, false);
	start(&d, true);
	fill(&d, DATA_AT, LEN, 1);
	for (unsigned i = 1; i <= PAGES; i++) {
		if (i == 5) {
			le64_store(ram(&d, list), LIST_AT + 4 * PAGE);
			list = LIST_AT + 4 * PAGE;
		}
		le64_store(ram(&d, list), DATA_AT + i * PAGE);
		list += 8;
	}
	list = LIST_AT + PAGE - 5 * 8;
	g_assert_cmphex(run(&d, 1, io(WRITE, 10, LEN / 512, DATA_AT, list)), ==, 0);
	memset(ram(&d, DATA_AT), 0, LEN + PAGE);
	/* Not from the start of a page: one entry more. */
	g_assert_cmphex(run(&d, 2, io(READ, 10, LEN / 512, DATA_AT + 0x204, list)), ==, 0);
	assert_filled(&d, DATA_AT + 0x204, LEN, 1);
	g_assert_cmpuint(*ram(&d, DATA_AT + 0x203), ==, 0);
	g_assert_cmpuint(*ram(&d, DATA_AT + 0x204 + LEN), ==, 0);

	/* The last of the data at a list page's end: no page follows it. */
	le64_store(ram(&d, LIST_AT + PAGE - 16), DATA_AT + PAGE);
	le64_store(ram(&d, LIST_AT + PAGE - 8), DATA_AT + 2 * PAGE);
	g_assert_cmphex(run(&d, 1, io(READ, 10, 24, DATA_AT, LIST_AT + PAGE - 16)), ==, 0);
	assert_filled(&d, DATA_AT, 3 * PAGE, 1);
	le64_store(ram(&d, LIST_AT + PAGE - 16), DATA_AT + 4 * PAGE);
	le64_store(ram(&d, LIST_AT + PAGE - 8), LIST_AT + 4 * PAGE);

	/* Not in RAM; not at a page's start; a list that is a loop. */
	le64_store(ram(&d, LIST_AT + 4 * PAGE + 24), RAM_SIZE);
	g_assert_cmphex(run(&d, 1, io(READ, 10, LEN / 512, DATA_AT, list)), ==, DNR | 4);
	le64_store(ram(&d, LIST_AT + 4 * PAGE + 24), DATA_AT + 512);
	g_assert_cmphex(run(&d, 1, io(READ, 10, LEN / 512, DATA_AT, list)), ==, DNR | 0x13);
	g_assert_cmphex(run(&d, 1, io(READ, 10, LEN / 512, DATA_AT, list + 1)), ==, DNR | 0x13);
	g_assert_cmphex(run(&d, 1, io(READ, 10, 1, DATA_AT + 2, 0)), ==, DNR | 0x13);
	g_assert_cmphex(run(&d, 1, io(READ, 10, 16, DATA_AT, DATA_AT + 8)), ==, DNR | 0x13);
	g_assert_cmphex(run(&d, 1, io(READ, 10, 1, -512ull, 0)), ==, DNR | 4);
	le64_store(ram(&d, LIST_AT + PAGE - 8), LIST_AT + PAGE);
	for (unsigned i = 0; i < 512; i++)
		le64_store(ram(&d, LIST_AT + PAGE + 8 * i), LIST_AT + PAGE);
	g_assert_cmphex(run(&d, 1, io(READ, 10, 1024, DATA_AT, LIST_AT + PAGE - 8)), ==, 0);
	driver_fini(&d);
}

static void test_read_write(void)
{
	struct driver d;

	driver_init(&d, false);
	start(&d, true);
	fill(&d, DATA_AT, 8192, 3);
	d.messages = 0;
	g_assert_cmphex(run(&d, 2, io(WRITE, 100, 16, DATA_AT, DATA_AT + PAGE)), ==, 0);
	block_drain(d.block); /* the interrupt follows the entry */
	g_assert_cmphex(d.messages, ==, 1 << 2);
	g_assert_cmphex(run(&d, 2, (struct command){.opcode = FLUSH, .namespace = ~0u}), ==, 0);
	memset(ram(&d, DATA_AT), 0, 8192);
	g_assert_cmphex(run(&d, 3, io(READ, 100, 16, DATA_AT, DATA_AT + PAGE)), ==, 0);
	assert_filled(&d, DATA_AT, 8192, 3);

	g_assert_cmphex(run(&d, 3, io(WRITE_ZEROES, 101, 2, 0, 0)), ==, 0);
	g_assert_cmphex(run(&d, 3, io(READ, 100, 8, DATA_AT, 0)), ==, 0);
	for (unsigned i = 0; i < 512; i++)
		g_assert_cmpuint(*ram(&d, DATA_AT + 1023 + i), ==,
				 i ? 0 : *ram(&d, DATA_AT + 1023));
	assert_filled(&d, DATA_AT, 512, 3);

	/* Off the end, and round to the start. */
	g_assert_cmphex(run(&d, 1, io(READ, BLOCKS - 1, 2, DATA_AT, 0)), ==, DNR | 0x80);
	g_assert_cmphex(run(&d, 1, io(WRITE, 1ull << 55, 1, DATA_AT, 0)), ==, DNR | 0x80);
	g_assert_cmphex(run(&d, 1, io(WRITE_ZEROES, ~0ull, 1, 0, 0)), ==, DNR | 0x80);
	g_assert_cmphex(run(&d, 1, io(READ, 0, 1025, DATA_AT, 0)), ==, DNR | 2);
	g_assert_cmphex(run(&d, 1, (struct command){READ, 2, DATA_AT}), ==, DNR | 0x0b);
	g_assert_cmphex(run(&d, 1, (struct command){0x7f, 1, DATA_AT}), ==, DNR | 1);
	/* With the cache off, and forced to the disk. */
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 9, .dw10 = 6, .dw11 = 0}), ==, 0);
	g_assert_cmphex(run(&d, 1, io(WRITE, 0, 1, DATA_AT, 0)), ==, 0);
	g_assert_cmphex(run(&d, 1, io(WRITE, 0, 0x40000001, DATA_AT, 0)), ==, 0);
	driver_fini(&d);
}

static void put_range(struct driver *d, unsigned i, uint64_t block, uint32_t n)
{
	le32_store(ram(d, DATA_AT + 16 * i), 0);
	le32_store(ram(d, DATA_AT + 16 * i + 4), n);
	le64_store(ram(d, DATA_AT + 16 * i + 8), block);
}

static void test_deallocate(void)
{
	struct command deallocate = {DATASET, 1, DATA_AT, 0, 2, 4};
	struct driver d;

	driver_init(&d, false);
	start(&d, true);
	fill(&d, DATA_AT + PAGE, PAGE, 5);
	g_assert_cmphex(run(&d, 1, io(WRITE, 0, 8, DATA_AT + PAGE, 0)), ==, 0);
	g_assert_cmphex(run(&d, 1, io(WRITE, 8, 8, DATA_AT + PAGE, 0)), ==, 0);
	put_range(&d, 0, 0, 8);
	put_range(&d, 1, 5, 0);
	put_range(&d, 2, BLOCKS - 8, 9);
	g_assert_cmphex(run(&d, 1, deallocate), ==, DNR | 0x80);
	g_assert_cmphex(run(&d, 1, io(READ, 0, 8, DATA_AT + PAGE, 0)), ==, 0);
	assert_filled(&d, DATA_AT + PAGE, PAGE, 5);
	put_range(&d, 2, 8, 8);
	g_assert_cmphex(run(&d, 1, deallocate), ==, 0);
	for (unsigned at = 0; at < 16; at += 8) {
		g_assert_cmphex(run(&d, 1, io(READ, at, 8, DATA_AT + PAGE, 0)), ==, 0);
		for (unsigned i = 0; i < PAGE; i++)
			g_assert_cmpuint(*ram(&d, DATA_AT + PAGE + i), ==, 0);
	}
	driver_fini(&d);
}

static void test_read_only(void)
{
	struct driver d;

	driver_init(&d, true);
	start(&d, true);
	g_assert_cmphex(identify(&d, 1, 0), ==, 0);
	g_assert_cmphex(*ram(&d, DATA_AT + 0x800 + 99), ==, 1);
	g_assert_cmphex(run(&d, 1, io(WRITE, 0, 1, DATA_AT, 0)), ==, DNR | 0x20);
	g_assert_cmphex(run(&d, 1, io(WRITE_ZEROES, 0, 1, 0, 0)), ==, DNR | 0x20);
	g_assert_cmphex(run(&d, 1, (struct command){DATASET, 1, DATA_AT, 0, 0, 4}), ==, DNR | 0x20);
	g_assert_cmphex(run(&d, 1, io(READ, 0, 1, DATA_AT, 0)), ==, 0);
	driver_fini(&d);
}

static void test_queues(void)
{
	struct driver d;
	struct command bad = {
		.opcode = 1, .prp1 = SQ_AT, .dw10 = 15u << 16 | 9, .dw11 = 1 << 16 | 1};

	driver_init(&d, false);
	start(&d, true);
	g_assert_cmphex(create_sq(&d, 1, ENTRIES, 1), ==, DNR | 0x101);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 5, .dw10 = 17 | 15 << 16}), ==,
			DNR | 0x101);
	bad.dw11 = 9 << 16 | 1;
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 0x100);
	bad.dw11 = 1; /* the admin queue's is not for others */
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 0x100);
	bad.dw11 = 1 << 16;
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 2);
	bad.dw11 = 1 << 16 | 1;
	bad.prp1 = SQ_AT + 64;
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 0x13);
	bad.prp1 = RAM_SIZE;
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 4);
	bad.dw10 = 1024u << 16 | 9;
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 0x102);
	bad.dw10 = 9;
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 0x102);
	bad = (struct command){.opcode = 5, .dw10 = 15 << 16 | 9, .dw11 = 17u << 16 | 3};
	g_assert_cmphex(run(&d, 0, bad), ==, DNR | 0x108);

	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 4, .dw10 = 1}), ==, DNR | 0x10c);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 0, .dw10 = 1}), ==, 0);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 0, .dw10 = 1}), ==, DNR | 0x101);
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 4, .dw10 = 1}), ==, 0);
	g_assert_cmphex(create_cq(&d, 1, ENTRIES, 1), ==, 0);
	g_assert_cmphex(create_sq(&d, 1, ENTRIES, 1), ==, 0);
	g_assert_cmphex(run(&d, 1, io(READ, 0, 1, DATA_AT, 0)), ==, 0);
	driver_fini(&d);
}

/* Three submission queues on one completion queue with room for three: commands wait for it. */
static void test_full_completion_queue(void)
{
	struct command read = io(READ, 0, 1, DATA_AT, 0);
	struct driver d;
	unsigned n = 0;

	driver_init(&d, false);
	enable(&d);
	g_assert_cmphex(create_cq(&d, 1, 4, 1), ==, 0);
	for (unsigned i = 1; i <= IO_QUEUES; i++) {
		g_assert_cmphex(create_sq(&d, i, ENTRIES, 1), ==, 0);
		d.tail[i] = 0;
		d.size[i] = ENTRIES;
	}
	d.size[1] = ENTRIES;
	for (unsigned i = 1; i <= IO_QUEUES; i++) {
		for (unsigned k = 0; k < ENTRIES - 1; k++)
			put(&d, i, &read);
		ring(&d, 2 * i, d.tail[i]);
	}
	d.size[1] = 4;
	block_drain(d.block);
	while (n < IO_QUEUES * (ENTRIES - 1)) {
		uint8_t *entry = ram(&d, CQ_AT + PAGE + 16 * d.head[1]);

		while (!has_completed(&d, 1))
			g_thread_yield();
		g_assert_cmphex(le16_load(entry + 14) >> 1, ==, 0);
		if (++d.head[1] == 4) {
			d.head[1] = 0;
			d.phase[1] = !d.phase[1];
		}
		ring(&d, 3, d.head[1]);
		n++;
	}
	block_drain(d.block);
	g_assert_false(has_completed(&d, 1));
	driver_fini(&d);
}

static void test_events(void)
{
	struct command request = {.opcode = 0x0c};
	struct driver d;
	uint16_t id;

	driver_init(&d, false);
	start(&d, true);
	id = put(&d, 0, &request);
	for (unsigned i = 0; i < 3; i++)
		put(&d, 0, &request);
	ring(&d, 0, d.tail[0]);
	g_assert_false(has_completed(&d, 0));
	g_assert_cmphex(run(&d, 0, request), ==, DNR | 0x105);

	ring(&d, 2, ENTRIES); /* past the queue's end */
	g_assert_cmphex(reap(&d, 0), ==, 0);
	g_assert_cmpuint(d.completed_id, ==, id);
	g_assert_cmphex(d.result, ==, 0x010100);
	ring(&d, 1, d.head[0]);
	/* Masked until the log is read. */
	ring(&d, 2 * 9, 1);
	g_assert_false(has_completed(&d, 0));
	g_assert_cmphex(log_page(&d, 0x01, 0, 64), ==, 0);
	ring(&d, 2 * 9, 1);
	g_assert_cmphex(reap(&d, 0), ==, 0);
	g_assert_cmphex(d.result, ==, 0x010000);
	ring(&d, 1, d.head[0]);
	/* A head that passes the tail. */
	g_assert_cmphex(log_page(&d, 0x01, 0, 64), ==, 0);
	ring(&d, 3, 1);
	g_assert_cmphex(reap(&d, 0), ==, 0);
	g_assert_cmphex(d.result, ==, 0x010100);
	ring(&d, 1, d.head[0]);
	g_assert_cmphex(run(&d, 1, io(READ, 0, 1, DATA_AT, 0)), ==, 0);
	driver_fini(&d);
}

static void test_pin(void)
{
	struct command read = io(READ, 0, 1, DATA_AT, 0);
	struct driver d;

	driver_init(&d, false);
	enable(&d);
	g_assert_cmphex(create_cq(&d, 1, ENTRIES, 0), ==, 0);
	g_assert_cmphex(create_sq(&d, 1, ENTRIES, 1), ==, 0);
	g_assert_false(d.level);
	put(&d, 1, &read);
	ring(&d, 2, d.tail[1]);
	block_drain(d.block);
	g_assert_true(d.level);
	reg_write(&d, INTMS, 1, 4);
	g_assert_false(d.level);
	g_assert_cmphex(reg_read(&d, INTMC, 4), ==, 1);
	reg_write(&d, INTMC, 1, 4);
	g_assert_true(d.level);
	g_assert_cmphex(reap(&d, 1), ==, 0);
	ring(&d, 3, d.head[1]);
	g_assert_false(d.level);
	driver_fini(&d);
}

static void assert_nothing_posted(struct driver *d)
{
	for (unsigned i = 0; i < (IO_QUEUES + 1) * PAGE; i++)
		g_assert_cmpuint(*ram(d, CQ_AT + i), ==, 0);
}

static void put_reads(struct driver *d)
{
	const struct command read = io(READ, 0, 8, DATA_AT, 0);

	for (unsigned i = 1; i <= IO_QUEUES; i++) {
		for (unsigned k = 0; k < ENTRIES - 1; k++)
			put(d, i, &read);
		ring(d, 2 * i, d->tail[i]);
	}
}

/* A queue is gone once its commands have completed. */
static void test_deletion(void)
{
	struct command delete = {.opcode = 0, .dw10 = 1};
	struct driver d;

	driver_init(&d, false);
	start(&d, true);
	g_mutex_lock(&d.gate);
	put_reads(&d);
	put(&d, 0, &delete);
	put(&d, 0, &delete); /* once more */
	ring(&d, 0, d.tail[0]);
	g_assert_cmphex(reap(&d, 0), ==, DNR | 0x101);
	g_assert_false(has_completed(&d, 0));
	g_mutex_unlock(&d.gate);
	g_assert_cmphex(reap(&d, 0), ==, 0);
	ring(&d, 1, d.head[0]);
	for (unsigned k = 0; k < ENTRIES - 1; k++)
		g_assert_cmphex(reap(&d, 1), ==, 0);
	ring(&d, 2, 1);
	g_assert_false(has_completed(&d, 1));
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 4, .dw10 = 1}), ==, 0);
	driver_fini(&d);
}

/* A reset waits for the disk, and posts nothing more; the last word of several counts. */
static void test_reset(void)
{
	struct driver d;

	driver_init(&d, false);
	enable_msix(&d);
	for (unsigned round = 0; round < 4; round++) {
		start(&d, false);
		g_mutex_lock(&d.gate);
		put_reads(&d);
		reg_write(&d, CC, CC_ENABLE & ~1, 4);
		g_assert_cmphex(reg_read(&d, CSTS, 4), ==, RDY);
		if (round % 2) {
			reg_write(&d, CC, CC_ENABLE, 4);
			ring(&d, 0, 5);
		}
		if (round == 3)
			reg_write(&d, CC, CC_ENABLE & ~1, 4);
		memset(ram(&d, CQ_AT), 0, (IO_QUEUES + 1) * PAGE);
		g_mutex_unlock(&d.gate);
		block_drain(d.block);
		g_assert_cmphex(reg_read(&d, CSTS, 4), ==, round == 1 ? RDY : 0);
		assert_nothing_posted(&d);
		if (round == 1)
			disable(&d);
	}
	driver_fini(&d);
}

/* More commands than there are requests, and a shutdown behind them. */
static void test_many(void)
{
	struct driver d;

	driver_init(&d, false);
	enable_msix(&d);
	enable(&d);
	for (unsigned i = 1; i <= IO_QUEUES; i++) {
		g_assert_cmphex(create_cq(&d, i, 64, i), ==, 0);
		g_assert_cmphex(create_sq(&d, i, 64, i), ==, 0);
	}
	g_mutex_lock(&d.gate);
	for (unsigned i = 1; i <= IO_QUEUES; i++) {
		struct command read = io(READ, i, 1, DATA_AT, 0);

		for (unsigned k = 0; k < 63; k++)
			put(&d, i, &read);
		ring(&d, 2 * i, d.tail[i]);
	}
	/* The admin queue needs none. */
	g_assert_cmphex(run(&d, 0, (struct command){.opcode = 8}), ==, 0);
	reg_write(&d, CC, CC_ENABLE | CC_SHUTDOWN, 4);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, RDY | 4);
	g_mutex_unlock(&d.gate);
	for (unsigned i = 1; i <= IO_QUEUES; i++) {
		for (unsigned k = 0; k < 63; k++)
			g_assert_cmphex(reap(&d, i), ==, 0);
	}
	block_drain(d.block);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, RDY | SHST_DONE);
	driver_fini(&d);
}

static void test_fatal(void)
{
	struct driver d;

	driver_init(&d, false);
	enable(&d);
	/* RAM that goes where the queues are. */
	mem_set_smram(d.env.mem, MEM_SMRAM_COMPATIBLE, SQ_AT, PAGE);
	ring(&d, 0, 1);
	g_assert_cmphex(reg_read(&d, CSTS, 4), ==, RDY | CFS);
	mem_set_smram(d.env.mem, MEM_SMRAM_COMPATIBLE, 0, 0);
	ring(&d, 0, 2);
	g_assert_false(has_completed(&d, 0));
	disable(&d);
	start(&d, true);
	g_assert_cmphex(run(&d, 1, io(READ, 0, 1, DATA_AT, 0)), ==, 0);
	driver_fini(&d);
}

static void test_saved(void)
{
	struct command event = {.opcode = 0x0c};
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;
	struct driver d;

	driver_init(&d, false);
	start(&d, true);
	put(&d, 0, &event);
	ring(&d, 0, d.tail[0]);
	device_save(d.device, 0, saved);
	device_reset(d.device);
	g_assert_cmphex(config_read(&d, PCI_COMMAND, 2), ==, 0);
	reader = (struct state_reader){saved->data, saved->len, 0};
	g_assert_true(device_load(d.device, 0, &reader, NULL));
	g_assert_cmphex(run(&d, 3, io(READ, 0, 1, DATA_AT, 0)), ==, 0);
	ring(&d, 2 * 9, 1);
	g_assert_cmphex(reap(&d, 0), ==, 0);
	g_assert_cmphex(d.result, ==, 0x010000);
	driver_fini(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/nvme/registers", test_registers);
	g_test_add_func("/nvme/identify", test_identify);
	g_test_add_func("/nvme/features-and-logs", test_features_and_logs);
	g_test_add_func("/nvme/prp-lists", test_prp_lists);
	g_test_add_func("/nvme/read-write", test_read_write);
	g_test_add_func("/nvme/deallocate", test_deallocate);
	g_test_add_func("/nvme/read-only", test_read_only);
	g_test_add_func("/nvme/queues", test_queues);
	g_test_add_func("/nvme/full-completion-queue", test_full_completion_queue);
	g_test_add_func("/nvme/events", test_events);
	g_test_add_func("/nvme/pin", test_pin);
	g_test_add_func("/nvme/deletion", test_deletion);
	g_test_add_func("/nvme/reset", test_reset);
	g_test_add_func("/nvme/many", test_many);
	g_test_add_func("/nvme/fatal", test_fatal);
	g_test_add_func("/nvme/saved", test_saved);
	return g_test_run();
}
