/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks to the two channels as BIOSes and Linux's libata do: PIO and bus-master DMA, disks and
 * CD-ROM drives. */
#include <unistd.h>

#include "dev/pci/pci.h"
#include "dev/table.h"

#include "base/le.h"
#include "rig.h"

enum { DISK_SECTORS = 2048, TABLE_AT = 0x10000, DATA_AT = 0x100000, BM = PCI_IO_FIRST + (4 << 8) };
/* The rig's drives: a disk, the same as a CD, an empty CD drive; and none. */
enum { DISK, CD, EMPTY, ABSENT };

enum { ERROR = 1, COUNT = 2, LBA0 = 3, LBA1 = 4, LBA2 = 5, DEVICE = 6, STATUS = 7 };
enum { BSY = 0x80, DRDY = 0x40, DSC = 0x10, DRQ = 0x08, ERR = 0x01 };
enum { LBA_MODE = 0x40 };

struct ide {
	struct rig *rig;
	uint16_t base; /* of the selected drive's channel */
	unsigned line;
};

static uint8_t sector_byte(uint64_t at)
{
	return at / 512 * 7 + at % 512;
}

static void io_done(struct block_request *request, int status)
{
	g_assert_cmpint(status, ==, 0);
}

static void disk_io(struct ide *ide, enum block_op op, uint64_t at, void *data, uint64_t len)
{
	struct iovec iov = {data, len};
	struct block_request request = {op, at, len, &iov, 1, io_done};

	block_submit(ide->rig->block, &request);
	block_drain(ide->rig->block);
}

static void ide_init(struct ide *ide)
{
	g_autofree uint8_t *data = g_malloc(DISK_SECTORS * 512);

	ide->rig = rig_new_row(rig_row_of(&piix_ide_class));
	for (unsigned i = 0; i < DISK_SECTORS * 512; i++)
		data[i] = sector_byte(i);
	disk_io(ide, BLOCK_WRITE, 0, data, DISK_SECTORS * 512);
	ide->base = 0x1f0;
	ide->line = 14;
}

static void ide_fini(struct ide *ide)
{
	rig_free(ide->rig);
}

static uint8_t in(struct ide *ide, unsigned reg)
{
	return rig_in8(ide->rig, ide->base + reg);
}

static void out(struct ide *ide, unsigned reg, uint8_t value)
{
	rig_out8(ide->rig, ide->base + reg, value);
}

static uint8_t alt_status(struct ide *ide)
{
	return rig_in8(ide->rig, ide->base + 0x206);
}

static void wait_not_busy(struct ide *ide)
{
	while (alt_status(ide) & BSY)
		g_thread_yield();
}

static void select_drive(struct ide *ide, unsigned drive)
{
	ide->base = drive < 2 ? 0x1f0 : 0x170;
	ide->line = drive < 2 ? 14 : 15;
	out(ide, DEVICE, 0xa0 | drive % 2 << 4);
}

static void command(struct ide *ide, uint8_t code)
{
	out(ide, STATUS, code);
	wait_not_busy(ide);
}

/* 28-bit. */
static void rw(struct ide *ide, uint8_t code, uint32_t lba, uint8_t n)
{
	out(ide, COUNT, n);
	out(ide, LBA0, lba);
	out(ide, LBA1, lba >> 8);
	out(ide, LBA2, lba >> 16);
	out(ide, DEVICE, (in(ide, DEVICE) & 0x10) | 0xa0 | LBA_MODE | lba >> 24);
	command(ide, code);
}

/* The interrupt, and what its handler reads; INTRQ goes with it. */
static uint8_t take_interrupt(struct ide *ide)
{
	uint8_t status;

	g_assert_true(rig_line(ide->rig, ide->line));
	status = in(ide, STATUS);
	g_assert_false(rig_line(ide->rig, ide->line));
	return status;
}

static void read_block(struct ide *ide, uint8_t *to, unsigned len)
{
	for (unsigned i = 0; i < len; i += 2)
		le16_store(to + i, bus_read(ide->rig->env.bus, BUS_PIO, ide->base, 2));
}

static void write_block(struct ide *ide, const uint8_t *from, unsigned len)
{
	for (unsigned i = 0; i < len; i += 2)
		rig_out16(ide->rig, ide->base, le16_load(from + i));
}

static void assert_sectors(const uint8_t *data, uint64_t lba, unsigned n)
{
	for (unsigned i = 0; i < n * 512; i++)
		g_assert_cmphex(data[i], ==, sector_byte(lba * 512 + i));
}

static void test_identify(void)
{
	uint8_t data[512], sum = 0;
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, DISK);
	command(&ide, 0xec);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC | DRQ);
	read_block(&ide, data, 512);
	g_assert_cmphex(in(&ide, STATUS), ==, DRDY | DSC);
	for (unsigned i = 0; i < 512; i++)
		sum += data[i];
	g_assert_cmphex(sum, ==, 0);
	g_assert_cmpuint(le32_load(data + 2 * 60), ==, DISK_SECTORS);
	g_assert_cmpuint(le64_load(data + 2 * 100), ==, DISK_SECTORS);
	g_assert_cmpmem(data + 2 * 27, 14, "iVavirmud si k", 14);
	g_assert_cmphex(le16_load(data + 2 * 83) & 0x0400, !=, 0);
	/* A CD-ROM drive refuses, and says what it is. */
	select_drive(&ide, CD);
	command(&ide, 0xec);
	g_assert_cmphex(take_interrupt(&ide) & (DRQ | ERR), ==, ERR);
	g_assert_cmphex(in(&ide, LBA1), ==, 0x14);
	g_assert_cmphex(in(&ide, LBA2), ==, 0xeb);
	command(&ide, 0xa1);
	take_interrupt(&ide);
	read_block(&ide, data, 512);
	g_assert_cmphex(le16_load(data), ==, 0x85c0);
	ide_fini(&ide);
}

static void test_pio_read(void)
{
	uint8_t data[40 * 512];
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, DISK);
	rw(&ide, 0x20, 100, 40);
	for (unsigned i = 0; i < 40; i++) {
		wait_not_busy(&ide);
		g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC | DRQ);
		read_block(&ide, data + i * 512, 512);
	}
	g_assert_cmphex(in(&ide, STATUS), ==, DRDY | DSC);
	g_assert_false(rig_line(ide.rig, 14));
	assert_sectors(data, 100, 40);
	/* Cylinder 1, head 2, sector 3 of 16 heads and 63 sectors. */
	out(&ide, COUNT, 1);
	out(&ide, LBA0, 3);
	out(&ide, LBA1, 1);
	out(&ide, LBA2, 0);
	out(&ide, DEVICE, 0xa2);
	command(&ide, 0x20);
	read_block(&ide, data, 512);
	assert_sectors(data, 1 * 16 * 63 + 2 * 63 + 2, 1);
	/* Blocks of four sectors, the last one shorter; 32 bits at a time, as the port allows. */
	out(&ide, COUNT, 4);
	command(&ide, 0xc6);
	rw(&ide, 0xc4, 7, 6);
	for (unsigned i = 0; i < 4 * 512; i += 4)
		le32_store(data + i, rig_in32(ide.rig, 0x1f0));
	wait_not_busy(&ide);
	take_interrupt(&ide);
	read_block(&ide, data + 4 * 512, 2 * 512);
	g_assert_cmphex(in(&ide, STATUS), ==, DRDY | DSC);
	assert_sectors(data, 7, 6);
	ide_fini(&ide);
}

static void test_pio_write(void)
{
	uint8_t data[40 * 512], back[40 * 512];
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, DISK);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = i * 13;
	/* 48-bit, as Linux writes: upper bytes first. */
	out(&ide, COUNT, 0);
	for (unsigned reg = LBA0; reg <= LBA2; reg++)
		out(&ide, reg, 0);
	rw(&ide, 0x34, 200, 40);
	g_assert_false(rig_line(ide.rig, 14)); /* the first block is not waited for */
	for (unsigned i = 0; i < 40; i++) {
		g_assert_cmphex(alt_status(&ide), ==, DRDY | DSC | DRQ);
		write_block(&ide, data + i * 512, 512);
		wait_not_busy(&ide);
		g_assert_cmphex(take_interrupt(&ide) & ERR, ==, 0);
	}
	g_assert_cmphex(in(&ide, STATUS), ==, DRDY | DSC);
	disk_io(&ide, BLOCK_READ, 200 * 512, back, sizeof(back));
	g_assert_cmpmem(data, sizeof(data), back, sizeof(back));
	/* What was written before is in the upper byte. */
	out(&ide, COUNT, 0x12);
	out(&ide, COUNT, 0x34);
	g_assert_cmphex(in(&ide, COUNT), ==, 0x34);
	rig_out8(ide.rig, 0x3f6, 0x80);
	g_assert_cmphex(in(&ide, COUNT), ==, 0x12);
	command(&ide, 0xe7);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC);
	ide_fini(&ide);
}

static void test_errors(void)
{
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, DISK);
	rw(&ide, 0x20, DISK_SECTORS - 1, 2);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC | ERR);
	g_assert_cmphex(in(&ide, ERROR), ==, 0x10);
	command(&ide, 0xff);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC | ERR);
	g_assert_cmphex(in(&ide, ERROR), ==, 0x04);
	/* READ MULTIPLE before SET MULTIPLE. */
	rw(&ide, 0xc4, 0, 1);
	g_assert_cmphex(in(&ide, ERROR), ==, 0x04);
	command(&ide, 0xf8);
	g_assert_cmpuint(in(&ide, LBA0) | in(&ide, LBA1) << 8, ==, DISK_SECTORS - 1);
	ide_fini(&ide);
}

static void test_channels(void)
{
	struct ide ide;

	ide_init(&ide);
	/* Device 0 answers for a missing device 1. */
	select_drive(&ide, ABSENT);
	g_assert_cmphex(in(&ide, STATUS), ==, 0);
	out(&ide, COUNT, 0x55);
	g_assert_cmphex(in(&ide, COUNT), ==, 0x55);
	command(&ide, 0xec);
	g_assert_false(rig_line(ide.rig, 15));
	/* A soft reset shows who is there. */
	select_drive(&ide, DISK);
	command(&ide, 0xec);
	rig_out8(ide.rig, 0x3f6, 0x04);
	g_assert_cmphex(in(&ide, STATUS), ==, BSY);
	rig_out8(ide.rig, 0x3f6, 0x00);
	g_assert_cmphex(in(&ide, STATUS), ==, DRDY | DSC);
	g_assert_cmphex(in(&ide, COUNT) << 16 | in(&ide, LBA0) << 8 | in(&ide, LBA1), ==, 0x010100);
	select_drive(&ide, CD);
	g_assert_cmphex(in(&ide, STATUS), ==, 0);
	g_assert_cmphex(in(&ide, LBA1) << 8 | in(&ide, LBA2), ==, 0x14eb);
	/* Without nIEN, an interrupt waits for its drive to be selected. */
	rig_out8(ide.rig, 0x3f6, 0x02);
	select_drive(&ide, DISK);
	command(&ide, 0xe5);
	g_assert_cmphex(in(&ide, COUNT), ==, 0xff);
	g_assert_false(rig_line(ide.rig, 14));
	rig_out8(ide.rig, 0x3f6, 0x00);
	g_assert_true(rig_line(ide.rig, 14));
	select_drive(&ide, CD);
	g_assert_false(rig_line(ide.rig, 14));
	select_drive(&ide, DISK);
	take_interrupt(&ide);
	ide_fini(&ide);
}

static void put_prd(struct ide *ide, unsigned i, uint32_t at, uint16_t len, bool last)
{
	uint8_t entry[8];

	le32_store(entry, at);
	le32_store(entry + 4, len | (last ? 1u << 31 : 0));
	mem_write(ide->rig->env.mem, TABLE_AT + 8 * i, entry, sizeof(entry));
}

static void bm_start(struct ide *ide, bool to_memory)
{
	uint16_t bm = BM + (ide->line == 15 ? 8 : 0);

	bus_write(ide->rig->env.bus, BUS_PIO, bm + 4, TABLE_AT, 4);
	rig_out8(ide->rig, bm + 2, 0x06);
	rig_out8(ide->rig, bm, to_memory << 3 | 1);
	wait_not_busy(ide);
}

static uint8_t bm_stop(struct ide *ide)
{
	uint16_t bm = BM + (ide->line == 15 ? 8 : 0);
	uint8_t status = rig_in8(ide->rig, bm + 2);

	rig_out8(ide->rig, bm, 0);
	return status;
}

static uint8_t *ram(struct ide *ide, uint64_t gpa)
{
	return mem_hva(ide->rig->env.mem, gpa);
}

static void test_dma(void)
{
	uint8_t back[512];
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, DISK);
	/* Pieces that are no sectors. */
	put_prd(&ide, 0, DATA_AT, 100, false);
	put_prd(&ide, 1, DATA_AT + 100, 1000, false);
	put_prd(&ide, 2, DATA_AT + 1100, 8 * 512 - 1100, true);
	rw(&ide, 0xc8, 64, 8);
	g_assert_false(rig_line(ide.rig, 14));
	bm_start(&ide, true);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC);
	g_assert_cmphex(bm_stop(&ide), ==, 0x04);
	assert_sectors(ram(&ide, DATA_AT), 64, 8);
	/* The interrupt bit stays until it is written. */
	g_assert_cmphex(rig_in8(ide.rig, BM + 2), ==, 0x04);
	rig_out8(ide.rig, BM + 2, 0x04);
	g_assert_cmphex(rig_in8(ide.rig, BM + 2), ==, 0);
	/* Many pieces, of two and of six bytes: more than go into one request, and with a sector's
	 * end inside. */
	for (unsigned size = 2; size <= 6; size += 4) {
		unsigned n = 4092 / size;

		put_prd(&ide, 0, DATA_AT + 8192, 4, false);
		for (unsigned i = 0; i < n; i++)
			put_prd(&ide, i + 1, DATA_AT + 8196 + size * i, size, i == n - 1);
		rw(&ide, 0xc8, 3, 8);
		bm_start(&ide, true);
		take_interrupt(&ide);
		g_assert_cmphex(bm_stop(&ide), ==, 0x04);
		assert_sectors(ram(&ide, DATA_AT + 8192), 3, 8);
		memset(ram(&ide, DATA_AT + 8192), 0, 4096);
	}
	/* To the disk, the bus master first, from a table that is longer than the transfer. */
	memset(ram(&ide, DATA_AT), 0x5a, 512);
	put_prd(&ide, 0, DATA_AT, 0, true);
	bm_start(&ide, false);
	rw(&ide, 0xca, 9, 1);
	take_interrupt(&ide);
	g_assert_cmphex(bm_stop(&ide), ==, 0x05);
	disk_io(&ide, BLOCK_READ, 9 * 512, back, 512);
	g_assert_cmphex(back[0], ==, 0x5a);
	g_assert_cmphex(back[511], ==, 0x5a);
	ide_fini(&ide);
}

static void test_dma_tables(void)
{
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, DISK);
	/* Too short: the drive waits for more, in vain. */
	put_prd(&ide, 0, DATA_AT, 1024, true);
	rw(&ide, 0xc8, 64, 8);
	bm_start(&ide, true);
	g_assert_false(rig_line(ide.rig, 14));
	g_assert_cmphex(bm_stop(&ide), ==, 0);
	g_assert_cmphex(alt_status(&ide) & DRQ, ==, DRQ);
	assert_sectors(ram(&ide, DATA_AT), 64, 2);
	rig_out8(ide.rig, 0x3f6, 0x04);
	rig_out8(ide.rig, 0x3f6, 0x00);
	g_assert_cmphex(alt_status(&ide), ==, DRDY | DSC);
	/* What is not RAM. */
	put_prd(&ide, 0, 0xfec00000, 4096, true);
	rw(&ide, 0xc8, 64, 8);
	bm_start(&ide, true);
	g_assert_cmphex(bm_stop(&ide), ==, 0x02);
	g_assert_false(rig_line(ide.rig, 14));
	ide_fini(&ide);
}

/* A reset, or a stop of the bus master, with work in flight: it ends, and later nothing is written.
 */
static void test_reset_in_flight(void)
{
	struct ide ide;

	ide_init(&ide);
	for (unsigned i = 0; i < 32; i++)
		put_prd(&ide, i, DATA_AT + i * 4096, 4096, i == 31);
	for (unsigned round = 0; round < 100; round++) {
		select_drive(&ide, DISK);
		rw(&ide, 0xc8, 0, 0);
		bus_write(ide.rig->env.bus, BUS_PIO, BM + 4, TABLE_AT, 4);
		rig_out8(ide.rig, BM, 9);
		if (round % 2)
			rig_out8(ide.rig, BM, 0);
		rig_out8(ide.rig, 0x3f6, 0x04);
		rig_out8(ide.rig, 0x3f6, 0x00);
		wait_not_busy(&ide);
		memset(ram(&ide, DATA_AT), 0xa5, 32 * 4096);
		g_assert_cmphex(alt_status(&ide), ==, DRDY | DSC);
		g_assert_cmphex(in(&ide, LBA0), ==, 1);
		g_assert_false(rig_line(ide.rig, 14));
		block_drain(ide.rig->block);
		for (unsigned i = 0; i < 32 * 4096; i += 512)
			g_assert_cmphex(*ram(&ide, DATA_AT + i), ==, 0xa5);
		rig_out8(ide.rig, BM, 0);
	}
	ide_fini(&ide);
}

/* A drive that is still in a reset when both are told to diagnose themselves takes no command
 * before its disk has answered. */
static void test_diagnostic_in_reset(void)
{
	struct ide ide;

	ide_init(&ide);
	for (unsigned i = 0; i < 8; i++)
		put_prd(&ide, i, DATA_AT, 0, i == 7);
	bus_write(ide.rig->env.bus, BUS_PIO, BM + 4, TABLE_AT, 4);
	for (unsigned round = 0; round < 100; round++) {
		static const uint8_t read10[12] = {0x28, [7] = 1, [8] = 0};

		for (unsigned i = 0; i < 2; i++) {
			select_drive(&ide, CD);
			out(&ide, ERROR, 1);
			out(&ide, STATUS, 0xa0);
			write_block(&ide, read10, 12);
			rig_out8(ide.rig, BM, 9);
			if (i)
				break;
			rig_out8(ide.rig, 0x3f6, 0x04);
			rig_out8(ide.rig, 0x3f6, 0x00);
			out(&ide, STATUS, 0x90);
		}
		select_drive(&ide, CD);
		wait_not_busy(&ide);
		rig_out8(ide.rig, BM, 0);
		rig_out8(ide.rig, 0x3f6, 0x04);
		rig_out8(ide.rig, 0x3f6, 0x00);
	}
	select_drive(&ide, CD);
	wait_not_busy(&ide);
	g_assert_cmphex(in(&ide, LBA1), ==, 0x14);
	ide_fini(&ide);
}

/* Two disks that stand still until they are let go. */
struct held {
	GMutex gates[2];
	int is_held, let_go;
};

/* The second one answers first. */
static gpointer hold_disks(gpointer opaque)
{
	struct held *held = opaque;

	g_mutex_lock(&held->gates[0]);
	g_mutex_lock(&held->gates[1]);
	g_atomic_int_set(&held->is_held, true);
	while (!g_atomic_int_get(&held->let_go))
		g_usleep(1000);
	for (int i = 1; i >= 0; i--) {
		g_usleep(100000);
		g_mutex_unlock(&held->gates[i]);
	}
	return NULL;
}

static struct block *open_gated(GMutex *gate)
{
	g_autofree char *path = NULL;
	struct block_options options = {.image.format = "raw", .gate = gate};
	int fd = g_file_open_tmp("viv-ide-XXXXXX", &path, NULL);
	struct block *block;

	g_assert_cmpint(ftruncate(fd, DISK_SECTORS * 512), ==, 0);
	close(fd);
	options.image.path = path;
	block = block_open(&options, NULL);
	g_assert_nonnull(block);
	unlink(path);
	return block;
}

/* The end of a drive's reset can find the channel's other drive ready to go: its DMA was started while the function
 * was no bus master. */
static void test_drain(void)
{
	struct held held = {};
	struct rig_row row = *rig_row_of(&piix_ide_class);
	struct block *disks[2];
	struct ide ide = {.base = 0x1f0, .line = 14};
	GThread *thread;

	row.disk = false;
	row.config.n_drives = 2;
	for (unsigned i = 0; i < 2; i++) {
		g_mutex_init(&held.gates[i]);
		disks[i] = open_gated(&held.gates[i]);
		row.config.drives[i] = (struct device_drive){.block = disks[i]};
	}
	ide.rig = rig_new_row(&row);
	thread = g_thread_new("disks", hold_disks, &held);
	while (!g_atomic_int_get(&held.is_held))
		g_usleep(1000);
	select_drive(&ide, 1);
	out(&ide, STATUS, 0xe7);
	rig_out8(ide.rig, 0x3f6, 0x04);
	rig_out8(ide.rig, 0x3f6, 0x00);
	rig_config_write(ide.rig, row.config.devfn, PCI_COMMAND, PCI_COMMAND_IO);
	memset(ram(&ide, DATA_AT), 0xa5, 512);
	put_prd(&ide, 0, DATA_AT, 512, true);
	bus_write(ide.rig->env.bus, BUS_PIO, BM + 4, TABLE_AT, 4);
	select_drive(&ide, 0);
	rw(&ide, 0xc8, 0, 1);
	rig_out8(ide.rig, BM, 9);
	rig_config_write(ide.rig, row.config.devfn, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	g_assert_cmphex(alt_status(&ide) & (BSY | DRQ), ==, DRQ);
	g_atomic_int_set(&held.let_go, true);
	piix_ide_class.drain(ide.rig->device);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC);
	g_assert_cmphex(*ram(&ide, DATA_AT), ==, 0);
	g_thread_join(thread);
	rig_free(ide.rig);
	for (unsigned i = 0; i < 2; i++) {
		block_close(disks[i]);
		g_mutex_clear(&held.gates[i]);
	}
}

static void test_trim(void)
{
	uint8_t back[3 * 512];
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, DISK);
	memset(ram(&ide, DATA_AT), 0, 512);
	le64_store(ram(&ide, DATA_AT), 8 | 1ull << 48);
	le64_store(ram(&ide, DATA_AT + 8), 10 | 1ull << 48);
	put_prd(&ide, 0, DATA_AT, 512, true);
	out(&ide, COUNT, 0);
	out(&ide, ERROR, 1);
	rw(&ide, 0x06, 0, 1);
	bm_start(&ide, false);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY | DSC);
	bm_stop(&ide);
	disk_io(&ide, BLOCK_READ, 8 * 512, back, sizeof(back));
	g_assert_cmphex(back[100], ==, 0);
	g_assert_cmphex(back[512 + 100], ==, sector_byte(9 * 512 + 100));
	g_assert_cmphex(back[1024 + 100], ==, 0);
	/* Past the end. */
	le64_store(ram(&ide, DATA_AT), DISK_SECTORS | 1ull << 48);
	rw(&ide, 0x06, 0, 1);
	bm_start(&ide, false);
	g_assert_cmphex(take_interrupt(&ide) & ERR, ==, ERR);
	ide_fini(&ide);
}

/* ATAPI. A packet's status, and how much it sent. */
static unsigned packet(struct ide *ide, const uint8_t *cdb, uint8_t *data, unsigned limit)
{
	unsigned total = 0;
	bool odd = false;

	out(ide, ERROR, 0);
	out(ide, LBA1, limit);
	out(ide, LBA2, limit >> 8);
	command(ide, 0xa0);
	g_assert_cmphex(in(ide, STATUS) & (DRQ | ERR), ==, DRQ);
	g_assert_cmphex(in(ide, COUNT) & 3, ==, 1);
	g_assert_false(rig_line(ide->rig, ide->line));
	write_block(ide, cdb, 12);
	for (;;) {
		unsigned n;

		wait_not_busy(ide);
		if (!(take_interrupt(ide) & DRQ))
			break;
		g_assert_cmphex(in(ide, COUNT) & 3, ==, 2);
		n = in(ide, LBA1) | in(ide, LBA2) << 8;
		g_assert_cmpuint(n, <=, limit);
		g_assert_false(odd); /* only the last block may be */
		odd = n % 2;
		read_block(ide, data + total, n);
		total += n;
	}
	g_assert_cmphex(in(ide, COUNT) & 3, ==, 3);
	return total;
}

static unsigned packet6(struct ide *ide, uint8_t code, uint8_t byte4, uint8_t *data)
{
	const uint8_t cdb[12] = {code, [4] = byte4};

	return packet(ide, cdb, data, 0xfffe);
}

/* Sense key and code. */
static unsigned sense(struct ide *ide)
{
	uint8_t data[18];

	g_assert_cmpuint(packet6(ide, 0x03, sizeof(data), data), ==, sizeof(data));
	return data[2] << 16 | data[12] << 8 | data[13];
}

static void test_packets(void)
{
	static const uint8_t toc[12] = {0x43, 2, [8] = 255}, config[12] = {0x46, [8] = 255},
			     modes[12] = {0x5a, [2] = 0x3f, [8] = 255};
	uint8_t data[512];
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, CD);
	g_assert_cmpuint(packet6(&ide, 0x12, 36, data), ==, 36);
	g_assert_cmphex(data[0], ==, 5);
	g_assert_cmpuint(packet6(&ide, 0x12, 5, data), ==, 5);
	g_assert_cmpuint(packet6(&ide, 0x00, 0, data), ==, 0);
	g_assert_cmphex(in(&ide, STATUS), ==, DRDY);
	g_assert_cmpuint(packet6(&ide, 0x25, 0, data), ==, 8);
	g_assert_cmpuint(GUINT32_FROM_BE(*(uint32_t *)data), ==, DISK_SECTORS / 4 - 1);
	g_assert_cmpuint(packet(&ide, toc, data, 0xfffe), ==, 20);
	g_assert_cmpuint(data[4 + 8 + 2], ==, 0xaa);
	g_assert_cmpuint(data[4 + 8 + 7], ==, (512 + 150) % 75);
	g_assert_cmpuint(packet(&ide, config, data, 0xfffe), >, 8);
	g_assert_cmphex(data[7], ==, 0x08);
	g_assert_cmpuint(packet(&ide, modes, data, 0xfffe), ==, 8 + 8 + 20);
	packet6(&ide, 0xf7, 0, data);
	g_assert_cmphex(in(&ide, STATUS), ==, DRDY | ERR);
	g_assert_cmphex(in(&ide, ERROR), ==, 0x54);
	g_assert_cmphex(sense(&ide), ==, 0x052000);
	g_assert_cmphex(sense(&ide), ==, 0);
	ide_fini(&ide);
}

static void test_cd_read(void)
{
	static const uint8_t read10[12] = {0x28, [5] = 3, [8] = 11},
			     read_cd[12] = {0xbe, [5] = 4, [8] = 2, [9] = 0x10},
			     past[12] = {0x28, [4] = 2, [8] = 1};
	g_autofree uint8_t *data = g_malloc(11 * 2048);
	struct ide ide;

	ide_init(&ide);
	select_drive(&ide, CD);
	g_assert_cmpuint(packet(&ide, read10, data, 2048), ==, 11 * 2048);
	assert_sectors(data, 3 * 4, 11 * 4);
	memset(data, 0, 11 * 2048);
	g_assert_cmpuint(packet(&ide, read10, data, 3001), ==, 11 * 2048);
	assert_sectors(data, 3 * 4, 11 * 4);
	g_assert_cmpuint(packet(&ide, read_cd, data, 0xfffe), ==, 2 * 2048);
	assert_sectors(data, 4 * 4, 2 * 4);
	packet(&ide, past, data, 2048);
	g_assert_cmphex(sense(&ide), ==, 0x052100);
	/* By DMA, and a reply from the buffer by DMA. */
	put_prd(&ide, 0, DATA_AT, 11 * 2048, true);
	out(&ide, ERROR, 1);
	command(&ide, 0xa0);
	write_block(&ide, read10, 12);
	bm_start(&ide, true);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY);
	g_assert_cmphex(in(&ide, COUNT) & 3, ==, 3);
	g_assert_cmphex(bm_stop(&ide), ==, 0x04);
	assert_sectors(ram(&ide, DATA_AT), 3 * 4, 11 * 4);
	put_prd(&ide, 0, DATA_AT, 8, true);
	command(&ide, 0xa0);
	write_block(&ide, (const uint8_t[12]){0x25}, 12);
	bm_start(&ide, true);
	g_assert_cmphex(take_interrupt(&ide), ==, DRDY);
	g_assert_cmphex(ram(&ide, DATA_AT)[6], ==, 2048 >> 8);
	ide_fini(&ide);
}

static unsigned media_event(struct ide *ide)
{
	static const uint8_t cdb[12] = {0x4a, 1, [4] = 0x10, [8] = 8};
	uint8_t data[8];

	g_assert_cmpuint(packet(ide, cdb, data, 0xfffe), ==, 8);
	return data[4] << 8 | data[5];
}

static void test_media(void)
{
	struct ide ide;
	uint8_t data[512];

	ide_init(&ide);
	select_drive(&ide, EMPTY);
	packet6(&ide, 0x00, 0, data);
	g_assert_cmphex(sense(&ide), ==, 0x023a01);
	g_assert_false(device_set_medium(ide.rig->device, DISK, NULL));
	g_assert_false(device_set_medium(ide.rig->device, 17, NULL));
	g_assert_true(device_set_medium(ide.rig->device, EMPTY, ide.rig->block));
	g_assert_cmphex(media_event(&ide), ==, 0x202);
	g_assert_cmphex(media_event(&ide), ==, 0x002);
	packet6(&ide, 0x25, 0, data);
	g_assert_cmphex(sense(&ide), ==, 0x062800);
	g_assert_cmpuint(packet6(&ide, 0x25, 0, data), ==, 8);
	/* Locked, then not: the guest opens the tray, and closes it. */
	packet6(&ide, 0x1e, 1, data);
	packet6(&ide, 0x1b, 2, data);
	g_assert_cmphex(sense(&ide), ==, 0x055302);
	packet6(&ide, 0x1e, 0, data);
	packet6(&ide, 0x1b, 2, data);
	g_assert_cmphex(media_event(&ide), ==, 0x301);
	packet6(&ide, 0x00, 0, data);
	g_assert_cmphex(sense(&ide), ==, 0x023a02);
	packet6(&ide, 0x1b, 3, data);
	packet6(&ide, 0x00, 0, data);
	g_assert_cmphex(sense(&ide), ==, 0x062800);
	/* The user takes the disc out. */
	g_assert_true(device_set_medium(ide.rig->device, EMPTY, NULL));
	packet6(&ide, 0x25, 0, data);
	g_assert_cmphex(sense(&ide), ==, 0x062800);
	packet6(&ide, 0x25, 0, data);
	g_assert_cmphex(sense(&ide), ==, 0x023a01);
	ide_fini(&ide);
}

/* In the middle of a PIO read; and a drive's own state. */
static void test_state(void)
{
	struct ide a, b;
	uint8_t data[6 * 512];

	ide_init(&a);
	ide_init(&b);
	select_drive(&a, DISK);
	rw(&a, 0x20, 50, 6);
	read_block(&a, data, 512);
	wait_not_busy(&a);
	read_block(&a, data + 512, 100);
	rig_clone(b.rig, a.rig);
	g_assert_true(rig_line(b.rig, 14));
	read_block(&b, data + 612, 412);
	for (unsigned i = 2; i < 6; i++) {
		wait_not_busy(&b);
		read_block(&b, data + i * 512, 512);
	}
	assert_sectors(data, 50, 6);
	g_assert_cmphex(in(&b, STATUS), ==, DRDY | DSC);
	/* A disc that was changed, a tray that is locked. */
	select_drive(&b, CD);
	packet6(&b, 0x1e, 1, data);
	device_set_medium(b.rig->device, CD, b.rig->block);
	g_assert_cmphex(media_event(&b), ==, 0x202);
	rig_clone(a.rig, b.rig);
	a.base = b.base;
	g_assert_cmphex(media_event(&a), ==, 0x002);
	packet6(&a, 0x00, 0, data);
	g_assert_cmphex(sense(&a), ==, 0x062800);
	packet6(&a, 0x1b, 2, data);
	g_assert_cmphex(sense(&a), ==, 0x055302);
	ide_fini(&a);
	ide_fini(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/piix-ide/identify", test_identify);
	g_test_add_func("/piix-ide/pio-read", test_pio_read);
	g_test_add_func("/piix-ide/pio-write", test_pio_write);
	g_test_add_func("/piix-ide/errors", test_errors);
	g_test_add_func("/piix-ide/channels", test_channels);
	g_test_add_func("/piix-ide/dma", test_dma);
	g_test_add_func("/piix-ide/dma-tables", test_dma_tables);
	g_test_add_func("/piix-ide/reset-in-flight", test_reset_in_flight);
	g_test_add_func("/piix-ide/diagnostic-in-reset", test_diagnostic_in_reset);
	g_test_add_func("/piix-ide/drain", test_drain);
	g_test_add_func("/piix-ide/trim", test_trim);
	g_test_add_func("/piix-ide/packets", test_packets);
	g_test_add_func("/piix-ide/cd-read", test_cd_read);
	g_test_add_func("/piix-ide/media", test_media);
	g_test_add_func("/piix-ide/state", test_state);
	return g_test_run();
}
