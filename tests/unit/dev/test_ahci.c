/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks to the ports as Linux's ahci driver does: reset, signature, slots, NCQ and its errors. */
#include "dev/pci/i440fx.h"
#include "dev/table.h"

#include "base/le.h"
#include "rig.h"

enum {
	DISK_SECTORS = 2048,
	CLB_AT = 0x10000,
	FB_AT = 0x12000,
	TABLES_AT = 0x20000,
	DATA_AT = 0x100000
};
/* The rig's drives: a disk, the same as a CD, an empty CD drive; and none. */
enum { DISK, CD, EMPTY, ABSENT };

#define ABAR (PCI_MEM_FIRST + (5 << 17))

enum { GHC = 4, IS = 8 };
enum {
	CLB = 0,
	FB = 8,
	PIS = 0x10,
	PIE = 0x14,
	CMD = 0x18,
	TFD = 0x20,
	SIG = 0x24,
	SSTS = 0x28,
	SCTL = 0x2c,
	SERR = 0x30,
	SACT = 0x34,
	CI = 0x38
};
enum { ST = 1, CLO = 8, FRE = 0x10, CR = 0x8000 };
enum { DHRS = 1, PSS = 2, SDBS = 8, OFS = 1 << 24, IFS = 1 << 27, HBFS = 1 << 29, TFES = 1 << 30 };

struct hba {
	struct rig *rig;
	unsigned port;
};

static uint8_t sector_byte(uint64_t at)
{
	return at / 512 * 7 + at % 512;
}

static void io_done(struct block_request *request, int status)
{
	g_assert_cmpint(status, ==, 0);
}

static void disk_io(struct hba *hba, enum block_op op, uint64_t at, void *data, uint64_t len)
{
	struct iovec iov = {data, len};
	struct block_request request = {op, at, len, &iov, 1, io_done};

	block_submit(hba->rig->block, &request);
	block_drain(hba->rig->block);
}

static uint32_t get(struct hba *hba, unsigned reg)
{
	return bus_read(hba->rig->env.bus, BUS_MMIO, ABAR + reg, 4);
}

static void set(struct hba *hba, unsigned reg, uint32_t value)
{
	bus_write(hba->rig->env.bus, BUS_MMIO, ABAR + reg, value, 4);
}

static uint32_t pget(struct hba *hba, unsigned reg)
{
	return get(hba, 0x100 + 0x80 * hba->port + reg);
}

static void pset(struct hba *hba, unsigned reg, uint32_t value)
{
	set(hba, 0x100 + 0x80 * hba->port + reg, value);
}

static uint8_t *ram(struct hba *hba, uint64_t gpa)
{
	return hba->rig->env.mem->base + gpa;
}

static void wait_clear(struct hba *hba, unsigned reg, uint32_t bits)
{
	while (pget(hba, reg) & bits)
		g_thread_yield();
}

static void start_port(struct hba *hba, unsigned port)
{
	hba->port = port;
	pset(hba, CLB, CLB_AT);
	pset(hba, FB, FB_AT);
	pset(hba, CMD, FRE);
	pset(hba, CMD, FRE | ST);
	pset(hba, SERR, UINT32_MAX);
	pset(hba, PIS, UINT32_MAX);
	pset(hba, PIE, UINT32_MAX);
}

static void restart_port(struct hba *hba)
{
	pset(hba, CMD, FRE);
	wait_clear(hba, CMD, CR);
	g_assert_cmphex(pget(hba, CI), ==, 0);
	g_assert_cmphex(pget(hba, SACT), ==, 0);
	pset(hba, PIS, UINT32_MAX);
	pset(hba, CMD, FRE | ST);
}

static void hba_init(struct hba *hba)
{
	g_autofree uint8_t *data = g_malloc(DISK_SECTORS * 512);

	hba->rig = rig_new_row(rig_row_of(&ahci_class));
	for (unsigned i = 0; i < DISK_SECTORS * 512; i++)
		data[i] = sector_byte(i);
	disk_io(hba, BLOCK_WRITE, 0, data, DISK_SECTORS * 512);
	set(hba, GHC, 2);
	start_port(hba, DISK);
}

static void hba_fini(struct hba *hba)
{
	rig_free(hba->rig);
}

static void assert_sectors(struct hba *hba, uint64_t gpa, uint64_t lba, unsigned n)
{
	for (unsigned i = 0; i < n * 512; i++)
		g_assert_cmphex(*ram(hba, gpa + i), ==, sector_byte(lba * 512 + i));
}

static uint64_t table_of(unsigned slot)
{
	return TABLES_AT + slot * 0x1000;
}

static void put_prd(struct hba *hba, unsigned slot, unsigned i, uint64_t at, uint32_t len)
{
	uint8_t *prd = ram(hba, table_of(slot) + 0x80 + 16 * i);

	le64_store(prd, at);
	le32_store(prd + 12, len - 1);
}

/* A command table with one PRD, and its header. */
static uint8_t *put_command(struct hba *hba, unsigned slot, uint8_t command, uint64_t lba,
			    uint16_t n, uint64_t at, uint32_t len)
{
	uint8_t *header = ram(hba, CLB_AT + 32 * slot), *fis = ram(hba, table_of(slot));

	memset(header, 0, 32);
	le32_store(header, 5 | 1 << 16);
	le64_store(header + 8, table_of(slot));
	memset(fis, 0, 0x80);
	fis[0] = 0x27;
	fis[1] = 0x80;
	fis[2] = command;
	for (unsigned i = 0; i < 3; i++) {
		fis[4 + i] = lba >> 8 * i;
		fis[8 + i] = lba >> (24 + 8 * i);
	}
	fis[7] = 0x40;
	le16_store(fis + 12, n);
	put_prd(hba, slot, 0, at, len);
	return fis;
}

static void put_queued(struct hba *hba, unsigned slot, bool write, uint64_t lba, uint16_t n)
{
	uint8_t *fis = put_command(hba, slot, write ? 0x61 : 0x60, lba, slot << 3,
				   DATA_AT + slot * 0x10000, n * 512);

	fis[3] = n;
	fis[11] = n >> 8;
}

/* The port's interrupt, acknowledged as a handler does. */
static uint32_t take_interrupt(struct hba *hba)
{
	unsigned line = i440fx_gsi(2, 0);
	uint32_t is;

	while (!get(hba, IS))
		g_thread_yield();
	g_assert_true(rig_line(hba->rig, line));
	g_assert_cmphex(get(hba, IS), ==, 1u << hba->port);
	is = pget(hba, PIS);
	pset(hba, PIS, is);
	set(hba, IS, 1u << hba->port);
	return is;
}

static void assert_quiet(struct hba *hba)
{
	g_assert_cmphex(get(hba, IS), ==, 0);
	g_assert_false(rig_line(hba->rig, i440fx_gsi(2, 0)));
}

static void issue(struct hba *hba, unsigned slot)
{
	pset(hba, CI, 1u << slot);
	wait_clear(hba, CI, 1u << slot);
}

static uint32_t prdbc(struct hba *hba, unsigned slot)
{
	return le32_load(ram(hba, CLB_AT + 32 * slot + 4));
}

static void test_ports(void)
{
	struct hba hba;

	hba_init(&hba);
	g_assert_cmphex(get(&hba, 0) & 0x1fff, ==, 31 << 8 | 5);
	g_assert_cmphex(get(&hba, 0xc), ==, 0x3f);
	g_assert_cmphex(pget(&hba, SSTS), ==, 0x133);
	g_assert_cmphex(pget(&hba, SIG), ==, 0x101);
	g_assert_cmphex(pget(&hba, TFD), ==, 0x150);
	hba.port = CD;
	g_assert_cmphex(pget(&hba, SIG), ==, 0xeb140101);
	hba.port = ABSENT;
	g_assert_cmphex(pget(&hba, SSTS), ==, 0);
	g_assert_cmphex(pget(&hba, TFD), ==, 0x7f);
	pset(&hba, CMD, FRE | ST);
	g_assert_cmphex(pget(&hba, CMD) & (ST | CR), ==, 0);
	/* COMRESET. */
	hba.port = DISK;
	pset(&hba, CMD, FRE);
	pset(&hba, SCTL, 0x301);
	g_assert_cmphex(pget(&hba, SSTS), ==, 0);
	g_assert_cmphex(pget(&hba, SIG), ==, UINT32_MAX);
	memset(ram(&hba, FB_AT), 0, 256);
	pset(&hba, SCTL, 0x300);
	g_assert_cmphex(pget(&hba, SSTS), ==, 0x133);
	g_assert_cmphex(pget(&hba, SERR), ==, 1 << 26 | 1 << 16);
	g_assert_cmphex(pget(&hba, PIS), ==, 1 << 6 | 1 << 22);
	g_assert_cmphex(ram(&hba, FB_AT)[0x40], ==, 0x34);
	g_assert_cmphex(ram(&hba, FB_AT)[0x42], ==, 0x50);
	g_assert_true(rig_line(hba.rig, i440fx_gsi(2, 0)));
	/* Reset of all. */
	set(&hba, GHC, 3);
	g_assert_cmphex(get(&hba, GHC), ==, 1u << 31);
	assert_quiet(&hba);
	g_assert_cmphex(pget(&hba, CLB), ==, CLB_AT);
	g_assert_cmphex(pget(&hba, CMD) & (ST | FRE), ==, 0);
	hba_fini(&hba);
}

/* A message for each bit that comes, and none for one that is there. */
static void test_msi(void)
{
	enum { CAP = 0x40 };
	struct hba hba;

	hba_init(&hba);
	rig_config_write(hba.rig, PCI_DEVFN(2, 0), CAP + 4, 0xfee00000);
	rig_config_write(hba.rig, PCI_DEVFN(2, 0), CAP + 12, 0x51);
	rig_config_write(hba.rig, PCI_DEVFN(2, 0), CAP, 0x10000);
	pset(&hba, CMD, FRE);
	pset(&hba, SCTL, 0x301);
	g_string_truncate(hba.rig->log, 0);
	pset(&hba, SCTL, 0x300);
	g_assert_cmphex(get(&hba, IS), ==, 1u << hba.port);
	rig_assert_log(hba.rig, "msi:fee00000:51 ");
	set(&hba, GHC, 1u << 31 | 2);
	rig_assert_log(hba.rig, "");
	set(&hba, IS, 1u << hba.port); /* the port has its cause still */
	rig_assert_log(hba.rig, "msi:fee00000:51 ");
	pset(&hba, PIS, UINT32_MAX);
	pset(&hba, SERR, UINT32_MAX);
	set(&hba, IS, 1u << hba.port);
	rig_assert_log(hba.rig, "");
	hba_fini(&hba);
}

static void soft_reset(struct hba *hba)
{
	uint8_t *fis = put_command(hba, 0, 0, 0, 0, 0, 2);

	fis[1] = 0;
	fis[15] = 4;
	issue(hba, 0);
	g_assert_cmphex(pget(hba, TFD) & 0x80, ==, 0x80);
	fis[15] = 0;
	issue(hba, 0);
	wait_clear(hba, TFD, 0x88);
}

static void test_commands(void)
{
	struct hba hba;

	hba_init(&hba);
	soft_reset(&hba);
	g_assert_cmphex(ram(&hba, FB_AT)[0x40], ==, 0x34);
	g_assert_cmphex(ram(&hba, FB_AT)[0x4c], ==, 1);
	assert_quiet(&hba);
	/* PIO: IDENTIFY. */
	put_command(&hba, 3, 0xec, 0, 0, DATA_AT, 512);
	issue(&hba, 3);
	g_assert_cmphex(take_interrupt(&hba), ==, PSS);
	g_assert_cmphex(ram(&hba, FB_AT)[0x20], ==, 0x5f);
	g_assert_cmphex(ram(&hba, FB_AT)[0x22], ==, 0x58);
	g_assert_cmphex(ram(&hba, FB_AT)[0x2f], ==, 0x50);
	g_assert_cmpuint(prdbc(&hba, 3), ==, 512);
	g_assert_cmpuint(le16_load(ram(&hba, DATA_AT + 2 * 75)), ==, 31);
	g_assert_cmphex(le16_load(ram(&hba, DATA_AT + 2 * 76)) & 0x100, ==, 0x100);
	g_assert_cmphex(pget(&hba, TFD), ==, 0x50);
	/* Several blocks, in pieces. */
	put_command(&hba, 31, 0x24, 10, 40, DATA_AT, 100);
	put_prd(&hba, 31, 1, DATA_AT + 100, 40 * 512 - 100);
	le16_store(ram(&hba, CLB_AT + 32 * 31 + 2), 2);
	issue(&hba, 31);
	assert_sectors(&hba, DATA_AT, 10, 40);
	g_assert_cmpuint(prdbc(&hba, 31), ==, 40 * 512);
	take_interrupt(&hba);
	/* DMA, both ways. */
	put_command(&hba, 1, 0x25, 100, 64, DATA_AT, 64 * 512);
	issue(&hba, 1);
	g_assert_cmphex(take_interrupt(&hba), ==, DHRS);
	assert_sectors(&hba, DATA_AT, 100, 64);
	g_assert_cmpuint(prdbc(&hba, 1), ==, 64 * 512);
	put_command(&hba, 0, 0x35, 600, 64, DATA_AT, 64 * 512);
	put_command(&hba, 2, 0x25, 600, 64, DATA_AT + 0x10000, 64 * 512);
	pset(&hba, CI, 5);
	wait_clear(&hba, CI, 5);
	assert_sectors(&hba, DATA_AT + 0x10000, 100, 64);
	take_interrupt(&hba);
	assert_quiet(&hba);
	hba_fini(&hba);
}

static void test_errors(void)
{
	struct hba hba;

	hba_init(&hba);
	/* The command's own: nothing goes on until the port is started anew. */
	put_command(&hba, 4, 0x25, DISK_SECTORS, 1, DATA_AT, 512);
	put_command(&hba, 5, 0xe7, 0, 0, DATA_AT, 2);
	pset(&hba, CI, 1 << 4);
	g_assert_cmphex(take_interrupt(&hba), ==, TFES | DHRS);
	g_assert_cmphex(pget(&hba, TFD), ==, 0x1051);
	g_assert_cmphex(pget(&hba, CMD) >> 8 & 0x1f, ==, 4);
	pset(&hba, CI, 1 << 5);
	g_assert_cmphex(pget(&hba, CI), ==, 3 << 4);
	restart_port(&hba);
	issue(&hba, 5);
	take_interrupt(&hba);
	/* Tables that are none. */
	put_command(&hba, 0, 0x25, 0, 8, DATA_AT, 1024);
	pset(&hba, CI, 1);
	g_assert_cmphex(take_interrupt(&hba), ==, OFS);
	pset(&hba, CMD, FRE);
	wait_clear(&hba, CMD, CR);
	pset(&hba, CMD, FRE | CLO);
	g_assert_cmphex(pget(&hba, TFD) & 0x88, ==, 0);
	pset(&hba, CMD, FRE | ST);
	soft_reset(&hba);
	put_command(&hba, 0, 0x25, 0, 8, 0xfec00000, 4096);
	pset(&hba, CI, 1);
	g_assert_cmphex(take_interrupt(&hba), ==, HBFS);
	restart_port(&hba);
	soft_reset(&hba);
	put_command(&hba, 0, 0x25, 0, 8, DATA_AT, 4096)[0] = 0x12;
	pset(&hba, CI, 1);
	g_assert_cmphex(take_interrupt(&hba), ==, IFS);
	restart_port(&hba);
	le64_store(ram(&hba, CLB_AT + 8), 0xfec00000);
	pset(&hba, CI, 1);
	g_assert_cmphex(take_interrupt(&hba), ==, HBFS);
	restart_port(&hba);
	put_command(&hba, 0, 0x25, 0, 8, DATA_AT, 4096);
	issue(&hba, 0);
	hba_fini(&hba);
}

static void test_queue(void)
{
	struct hba hba;

	hba_init(&hba);
	for (unsigned slot = 0; slot < 32; slot++)
		put_queued(&hba, slot, false, slot * 60, 60);
	pset(&hba, SACT, UINT32_MAX);
	pset(&hba, CI, UINT32_MAX);
	wait_clear(&hba, SACT, UINT32_MAX);
	g_assert_cmphex(pget(&hba, CI), ==, 0);
	g_assert_cmphex(take_interrupt(&hba), ==, SDBS);
	for (unsigned slot = 0; slot < 32; slot++)
		assert_sectors(&hba, DATA_AT + slot * 0x10000, slot * 60, 60);
	/* A write, and after it a command that waits for the queue. */
	put_queued(&hba, 7, true, 900, 8);
	put_command(&hba, 8, 0x25, 900, 8, DATA_AT, 4096);
	pset(&hba, SACT, 1 << 7);
	pset(&hba, CI, 3 << 7);
	wait_clear(&hba, CI, 3 << 7);
	g_assert_cmphex(pget(&hba, SACT), ==, 0);
	assert_sectors(&hba, DATA_AT, 7 * 60, 8);
	g_assert_cmphex(take_interrupt(&hba), ==, SDBS | DHRS);
	hba_fini(&hba);
}

/* The driver is told that some command failed, and reads which one out of the log. */
static void test_queue_error(void)
{
	struct hba hba;
	uint8_t sum = 0;

	hba_init(&hba);
	put_queued(&hba, 9, false, DISK_SECTORS - 1, 2);
	pset(&hba, SACT, 1 << 9);
	pset(&hba, CI, 1 << 9);
	g_assert_cmphex(take_interrupt(&hba), ==, TFES | SDBS);
	g_assert_cmphex(pget(&hba, SACT), ==, 1 << 9);
	g_assert_cmphex(pget(&hba, TFD), ==, 0x1051);
	restart_port(&hba);
	put_command(&hba, 0, 0x2f, 0x10, 1, DATA_AT, 512);
	issue(&hba, 0);
	g_assert_cmphex(take_interrupt(&hba), ==, PSS);
	g_assert_cmphex(*ram(&hba, DATA_AT), ==, 9);
	g_assert_cmphex(*ram(&hba, DATA_AT + 3), ==, 0x10);
	g_assert_cmphex(le16_load(ram(&hba, DATA_AT + 4)), ==, DISK_SECTORS - 1);
	for (unsigned i = 0; i < 512; i++)
		sum += *ram(&hba, DATA_AT + i);
	g_assert_cmphex(sum, ==, 0);
	/* A tag that is not the slot's. */
	put_queued(&hba, 9, false, 0, 1);
	le16_store(ram(&hba, table_of(9) + 12), 8 << 3);
	pset(&hba, SACT, 1 << 9);
	pset(&hba, CI, 1 << 9);
	g_assert_cmphex(take_interrupt(&hba), ==, TFES | DHRS);
	hba_fini(&hba);
}

/* Stopped or reset with work in flight: CR falls when it has ended, and nothing is written later.
 */
static void test_stop_in_flight(void)
{
	struct hba hba;

	hba_init(&hba);
	for (unsigned round = 0; round < 60; round++) {
		start_port(&hba, DISK);
		for (unsigned slot = 0; slot < 8; slot++)
			put_queued(&hba, slot, false, slot * 100, 100);
		pset(&hba, SACT, 0xff);
		pset(&hba, CI, 0xff);
		if (round % 3 == 0) {
			set(&hba, GHC, 1);
			while (get(&hba, GHC) & 1)
				g_thread_yield();
			set(&hba, GHC, 2);
		} else if (round % 3 == 1) {
			pset(&hba, SCTL, 0x301);
			pset(&hba, SCTL, 0x300);
			wait_clear(&hba, TFD, 0x88);
		} else {
			pset(&hba, CMD, FRE);
			wait_clear(&hba, CMD, CR);
		}
		memset(ram(&hba, DATA_AT), 0x5a, 8 * 0x10000);
		memset(ram(&hba, FB_AT), 0x5a, 256);
		block_drain(hba.rig->block);
		for (unsigned i = 0; i < 8 * 0x10000; i += 512)
			g_assert_cmphex(*ram(&hba, DATA_AT + i), ==, 0x5a);
		g_assert_cmphex(*ram(&hba, FB_AT + 0x58), ==, 0x5a);
		g_assert_cmphex(pget(&hba, TFD) & 0x88, ==, 0);
		pset(&hba, CMD, 0);
	}
	hba_fini(&hba);
}

/* A slot that is issued again while the drive has it: an error, and nothing more. */
static void test_slot_twice(void)
{
	struct hba hba;

	hba_init(&hba);
	for (unsigned round = 0; round < 60; round++) {
		for (unsigned slot = 0; slot < 8; slot++)
			put_queued(&hba, slot, false, slot * 100, 100);
		pset(&hba, SACT, 0xff);
		for (unsigned i = 0; i < 4; i++)
			pset(&hba, CI, 0xff);
		restart_port(&hba);
		set(&hba, IS, UINT32_MAX);
	}
	put_command(&hba, 0, 0x25, 0, 8, DATA_AT, 4096);
	issue(&hba, 0);
	g_assert_cmphex(take_interrupt(&hba), ==, DHRS);
	hba_fini(&hba);
}

static void put_packet(struct hba *hba, const uint8_t *cdb, bool dma, uint32_t len)
{
	uint8_t *fis = put_command(hba, 0, 0xa0, 0, 0, DATA_AT, len);

	fis[3] = dma;
	fis[5] = 0x00; /* byte count limit */
	fis[6] = 0x08;
	memcpy(fis + 0x40, cdb, 12);
}

static void test_packets(void)
{
	static const uint8_t read10[12] = {0x28, [5] = 2, [8] = 9}, inquiry[12] = {0x12, [4] = 36},
			     ready[12] = {}, sense[12] = {0x03, [4] = 18};
	struct hba hba;

	hba_init(&hba);
	start_port(&hba, CD);
	put_packet(&hba, inquiry, false, 36);
	issue(&hba, 0);
	g_assert_cmphex(take_interrupt(&hba), ==, PSS | DHRS);
	g_assert_cmphex(*ram(&hba, DATA_AT), ==, 5);
	g_assert_cmpuint(prdbc(&hba, 0), ==, 36);
	for (unsigned dma = 0; dma < 2; dma++) {
		memset(ram(&hba, DATA_AT), 0, 9 * 2048);
		put_packet(&hba, read10, dma, 9 * 2048);
		issue(&hba, 0);
		take_interrupt(&hba);
		assert_sectors(&hba, DATA_AT, 2 * 4, 9 * 4);
		g_assert_cmpuint(prdbc(&hba, 0), ==, 9 * 2048);
	}
	g_assert_true(device_set_medium(hba.rig->device, CD, NULL));
	g_assert_false(device_set_medium(hba.rig->device, DISK, NULL));
	for (unsigned i = 0; i < 2; i++) {
		put_packet(&hba, ready, false, 2);
		pset(&hba, CI, 1);
		g_assert_cmphex(take_interrupt(&hba), ==, TFES | DHRS);
		g_assert_cmphex(pget(&hba, TFD), ==, i ? 0x2041 : 0x6041);
		restart_port(&hba);
	}
	put_packet(&hba, sense, true, 18);
	issue(&hba, 0);
	g_assert_cmphex(*ram(&hba, DATA_AT + 12), ==, 0x3a);
	/* Two ports at once. */
	start_port(&hba, DISK);
	put_command(&hba, 0, 0xe7, 0, 0, DATA_AT, 2);
	issue(&hba, 0);
	g_assert_cmphex(get(&hba, IS), ==, 1 << CD | 1 << DISK);
	hba_fini(&hba);
}

/* Saved with work in flight: it is complete in the saved RAM. */
static void test_state(void)
{
	struct hba a, b;

	hba_init(&a);
	hba_init(&b);
	for (unsigned slot = 0; slot < 8; slot++)
		put_queued(&a, slot, false, slot * 100, 100);
	pset(&a, PIE, SDBS | DHRS);
	pset(&a, SACT, 0xff);
	pset(&a, CI, 0xff);
	rig_clone(b.rig, a.rig);
	g_assert_cmphex(pget(&b, PIE), ==, SDBS | DHRS);
	g_assert_cmphex(pget(&b, SACT), ==, 0);
	for (unsigned slot = 0; slot < 8; slot++)
		assert_sectors(&b, DATA_AT + slot * 0x10000, slot * 100, 100);
	g_assert_cmphex(take_interrupt(&b), ==, SDBS);
	put_command(&b, 0, 0x25, 0, 8, DATA_AT, 4096);
	issue(&b, 0);
	g_assert_cmphex(take_interrupt(&b), ==, DHRS);
	hba_fini(&a);
	hba_fini(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/ahci/ports", test_ports);
	g_test_add_func("/ahci/msi", test_msi);
	g_test_add_func("/ahci/commands", test_commands);
	g_test_add_func("/ahci/errors", test_errors);
	g_test_add_func("/ahci/queue", test_queue);
	g_test_add_func("/ahci/queue-error", test_queue_error);
	g_test_add_func("/ahci/stop-in-flight", test_stop_in_flight);
	g_test_add_func("/ahci/slot-twice", test_slot_twice);
	g_test_add_func("/ahci/packets", test_packets);
	g_test_add_func("/ahci/state", test_state);
	return g_test_run();
}
