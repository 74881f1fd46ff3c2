/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Speaks as Linux's drivers/block/floppy.c and the BIOS do, with an interrupt and DMA; and as
 * drivers without DMA. */
#include "dev/floppy/format.h"

#include <string.h>
#include <unistd.h>

#include "dev/table.h"
#include "rig.h"

enum {
	DOR = 0x3f2,
	MSR = 0x3f4,
	FIFO = 0x3f5,
	DIR_CCR = 0x3f7,
	KB = 1024,
	BUFFER = 0x10000,
	SECTOR = 512,
};

/* Each sector of it starts with its number. */
static struct block *open_gated(unsigned size, bool read_only, GMutex *gate)
{
	g_autofree char *path = NULL;
	struct block_options options = {.image.format = "raw", .image.read_only = read_only, .gate = gate};
	struct block *block;
	int fd = g_file_open_tmp("viv-floppy-XXXXXX", &path, NULL);

	for (uint32_t i = 0; i < size / SECTOR; i++)
		g_assert_cmpint(pwrite(fd, &i, sizeof(i), (off_t)i * SECTOR), ==, sizeof(i));
	g_assert_cmpint(ftruncate(fd, size), ==, 0);
	close(fd);
	options.image.path = path;
	block = block_open(&options, NULL);
	g_assert_nonnull(block);
	unlink(path);
	return block;
}

static struct block *open_image(unsigned size, bool read_only)
{
	return open_gated(size, read_only, NULL);
}

/* Drive A with the image, B without a disk; reset, as drivers begin. The image is the test's. */
static struct rig *setup_with(struct block *image)
{
	const struct rig_row row = {
		&i82077aa_class, {.drives = {{.block = image}}, .n_drives = 2}, .dma = true};
	struct rig *rig = rig_new_row(&row);

	rig_out8(rig, DOR, 0x0c);
	rig_assert_log(rig, "+6 ");
	return rig;
}

static void send(struct rig *rig, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		g_assert_cmphex(rig_in8(rig, MSR) & 0xc0, ==, 0x80);
		rig_out8(rig, FIFO, bytes[i]);
	}
}

#define SEND(rig, ...) \
	send(rig, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void assert_result(struct rig *rig, const char *expected)
{
	g_autoptr(GString) got = g_string_new(NULL);

	while ((rig_in8(rig, MSR) & 0xd0) == 0xd0)
		g_string_append_printf(got, "%s%02x", got->len ? " " : "", rig_in8(rig, FIFO));
	g_assert_cmpstr(got->str, ==, expected);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x80);
}

static void sense(struct rig *rig, const char *expected)
{
	SEND(rig, 0x08);
	assert_result(rig, expected);
}

/* Lets time pass up to the interrupt. */
static void wait_interrupt(struct rig *rig, struct block *image)
{
	clock_step(rig->env.clock, 2 * MS);
	if (image)
		block_drain(image);
	g_assert_true(rig_line(rig, 6));
}

static void start(struct rig *rig, struct block *image)
{
	for (unsigned i = 0; i < 4; i++) {
		g_autofree char *status = g_strdup_printf("%02x 00", 0xc0 | i);

		sense(rig, status);
	}
	sense(rig, "80");
	g_assert_false(rig_line(rig, 6));
	SEND(rig, 0x03, 0xdf, 0x02);
	rig_out8(rig, DIR_CCR, 0x00);
	rig_out8(rig, DOR, 0x1c);
	SEND(rig, 0x07, 0x00);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x81);
	wait_interrupt(rig, image);
	sense(rig, "20 00");
}

static struct rig *setup(struct block *image)
{
	struct rig *rig = setup_with(image);

	start(rig, image);
	return rig;
}

static void seek(struct rig *rig, unsigned cylinder)
{
	g_autofree char *status = g_strdup_printf("20 %02x", cylinder);

	SEND(rig, 0x0f, 0x00, cylinder);
	wait_interrupt(rig, NULL);
	sense(rig, status);
}

/* Channel 2 for `n` bytes from BUFFER; mode 46h is to memory, 4Ah from it. */
static void program_dma(struct rig *rig, uint8_t mode, unsigned n)
{
	rig_out8(rig, 0x0a, 0x06);
	rig_out8(rig, 0x0c, 0);
	rig_out8(rig, 0x0b, mode);
	rig_out8(rig, 0x04, 0);
	rig_out8(rig, 0x04, 0);
	rig_out8(rig, 0x81, BUFFER >> 16);
	rig_out8(rig, 0x05, n - 1);
	rig_out8(rig, 0x05, (n - 1) >> 8);
	rig_out8(rig, 0x0a, 0x02);
}

/* The number at the start of a sector in the buffer. */
static uint32_t number(struct rig *rig, unsigned sector)
{
	uint32_t value;

	g_assert_true(mem_read(rig->env.mem, BUFFER + sector * SECTOR, &value, sizeof(value)));
	return value;
}

static void test_reset(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup_with(image);

	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x80);
	start(rig, image);
	/* By DSR, then by DOR; an unfinished command is gone. */
	SEND(rig, 0x0f, 0x00);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x90);
	rig_out8(rig, MSR, 0x80);
	g_assert_true(rig_line(rig, 6));
	start(rig, image);
	rig_out8(rig, DOR, 0x18);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0);
	rig_out8(rig, FIFO, 0x10);
	/* Without the gate there is no interrupt, but it waits. */
	rig_out8(rig, DOR, 0x14);
	g_assert_false(rig_line(rig, 6));
	rig_out8(rig, DOR, 0x1c);
	g_assert_true(rig_line(rig, 6));
	start(rig, image);
	/* Polling off, and LOCK keeps it so. */
	SEND(rig, 0x13, 0x00, 0x17, 0x05);
	SEND(rig, 0x94);
	assert_result(rig, "10");
	rig_out8(rig, MSR, 0x80);
	g_assert_false(rig_line(rig, 6));
	SEND(rig, 0x0e);
	assert_result(rig, "00 00 00 00 df 02 00 80 17 05");
	SEND(rig, 0x14);
	assert_result(rig, "00");
	rig_out8(rig, MSR, 0x80);
	start(rig, image);
	SEND(rig, 0x0e);
	assert_result(rig, "00 00 00 00 df 02 00 00 20 00");
	rig_free(rig);
	block_close(image);
}

/* get_fdc_version() tells a 82077AA by these, and by what PART ID is to it. */
static void test_version(void)
{
	struct rig *rig = setup(NULL);

	SEND(rig, 0x10);
	assert_result(rig, "90");
	SEND(rig, 0x18);
	assert_result(rig, "80");
	SEND(rig, 0x12, 0x84);
	SEND(rig, 0x0e);
	assert_result(rig, "00 00 00 00 df 02 00 04 20 00");
	rig_free(rig);
}

static void test_seek(void)
{
	struct block *image = open_image(1440 * KB, true);
	struct rig *rig = setup(image);

	SEND(rig, 0x0f, 0x04, 0x20);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x81);
	/* Drive B meanwhile: an interrupt each. */
	SEND(rig, 0x0f, 0x01, 0x05);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x83);
	wait_interrupt(rig, image);
	g_string_truncate(rig->log, 0);
	sense(rig, "24 20");
	rig_assert_log(rig, "-6 +6 ");
	sense(rig, "21 05");
	sense(rig, "80");
	g_assert_false(rig_line(rig, 6));
	SEND(rig, 0x04, 0x00);
	assert_result(rig, "68");
	SEND(rig, 0x07, 0x00);
	wait_interrupt(rig, image);
	sense(rig, "20 00");
	SEND(rig, 0x04, 0x04);
	assert_result(rig, "7c");
	/* There is no third drive. */
	SEND(rig, 0x07, 0x02);
	wait_interrupt(rig, image);
	sense(rig, "72 00");
	SEND(rig, 0x04, 0x02);
	assert_result(rig, "2a");
	rig_free(rig);
	block_close(image);
}

/* One sector; a cylinder of both sides by multi-track; terminal count before the last sector. */
static void test_read(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup(image);

	program_dma(rig, 0x46, SECTOR);
	g_string_truncate(rig->log, 0);
	SEND(rig, 0xe6, 0x00, 0x00, 0x00, 0x01, 0x02, 0x12, 0x1b, 0xff);
	g_assert_cmphex(rig_in8(rig, MSR), ==, 0x10);
	rig_assert_log(rig, "");
	wait_interrupt(rig, image);
	rig_assert_log(rig, "+6 ");
	assert_result(rig, "00 00 00 00 00 02 02");
	rig_assert_log(rig, "-6 ");
	g_assert_cmphex(rig_in8(rig, 0x08), ==, 0x04);

	seek(rig, 3);
	program_dma(rig, 0x46, 36 * SECTOR);
	SEND(rig, 0xe6, 0x00, 0x03, 0x00, 0x01, 0x02, 0x12, 0x1b, 0xff);
	wait_interrupt(rig, image);
	assert_result(rig, "04 00 00 04 00 01 02");
	for (unsigned i = 0; i < 36; i++)
		g_assert_cmpuint(number(rig, i), ==, 3 * 36 + i);

	/* Side 1 from sector 17; half a sector is cut off. */
	mem_fill(rig->env.mem, BUFFER, NULL, 4 * SECTOR);
	program_dma(rig, 0x46, SECTOR + 256);
	SEND(rig, 0x46, 0x04, 0x03, 0x01, 0x11, 0x02, 0x12, 0x1b, 0xff);
	wait_interrupt(rig, image);
	assert_result(rig, "04 00 00 04 01 01 02");
	g_assert_cmpuint(number(rig, 0), ==, 3 * 36 + 18 + 16);
	g_assert_cmpuint(number(rig, 1), ==, 3 * 36 + 18 + 17);
	g_assert_cmpuint(number(rig, 2), ==, 0);
	rig_free(rig);
	block_close(image);
}

static void test_read_errors(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup(image);
	static const struct {
		uint8_t command[9];
		const char *result;
	} rows[] = {
		/* No such sector, side, cylinder under the head, size, density. */
		{{0x46, 0, 0, 0, 19, 2, 20, 0x1b, 0xff}, "40 04 00 00 00 13 02"},
		{{0x46, 0, 0, 0, 0, 2, 18, 0x1b, 0xff}, "40 04 00 00 00 00 02"},
		{{0x46, 0, 0, 1, 1, 2, 18, 0x1b, 0xff}, "40 04 00 00 01 01 02"},
		{{0x46, 0, 7, 0, 1, 2, 18, 0x1b, 0xff}, "40 04 10 07 00 01 02"},
		{{0x46, 0, 0, 0, 1, 3, 18, 0x1b, 0xff}, "40 04 00 00 00 01 03"},
		{{0x06, 0, 0, 0, 1, 2, 18, 0x1b, 0xff}, "40 01 00 00 00 01 02"},
		/* Drive B has no disk. */
		{{0x46, 1, 0, 0, 1, 2, 18, 0x1b, 0xff}, "41 01 00 00 00 01 02"},
		/* The last sector asked for comes before the last byte. */
		{{0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff}, "40 80 00 01 00 01 02"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		program_dma(rig, 0x46, 4 * SECTOR);
		send(rig, rows[i].command, 9);
		wait_interrupt(rig, image);
		assert_result(rig, rows[i].result);
	}
	/* A masked channel, and the wrong data rate. */
	rig_out8(rig, 0x0a, 0x06);
	SEND(rig, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	wait_interrupt(rig, image);
	assert_result(rig, "40 10 00 00 00 01 02");
	rig_out8(rig, DIR_CCR, 0x02);
	SEND(rig, 0x4a, 0x00);
	wait_interrupt(rig, image);
	assert_result(rig, "40 01 00 00 00 00 00");
	rig_out8(rig, DIR_CCR, 0x00);
	SEND(rig, 0x4a, 0x04);
	wait_interrupt(rig, image);
	assert_result(rig, "04 00 00 00 01 02 02");
	rig_free(rig);
	block_close(image);
}

static void read_back(struct rig *rig, struct block *image, unsigned sector)
{
	program_dma(rig, 0x46, SECTOR);
	SEND(rig, 0x46, 0, 0, 0, sector, 2, 18, 0x1b, 0xff);
	wait_interrupt(rig, image);
	while ((rig_in8(rig, MSR) & 0xd0) == 0xd0)
		rig_in8(rig, FIFO);
}

static void test_write(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup(image);

	mem_write(rig->env.mem, BUFFER, "abcdefgh", 8);
	mem_write(rig->env.mem, BUFFER + SECTOR, "efgh", 4);
	program_dma(rig, 0x4a, SECTOR + 6);
	SEND(rig, 0x45, 0, 0, 0, 2, 2, 18, 0x1b, 0xff);
	wait_interrupt(rig, image);
	assert_result(rig, "00 00 00 00 00 04 02");
	read_back(rig, image, 2);
	g_assert_cmphex(number(rig, 0), ==, 0x64636261);
	/* After TC come zeros, to the sector's end. */
	read_back(rig, image, 3);
	g_assert_cmphex(number(rig, 0), ==, 0x68676665);
	g_assert_cmphex(*mem_hva(rig->env.mem, BUFFER + 6), ==, 0);
	read_back(rig, image, 4);
	g_assert_cmphex(number(rig, 0), ==, 3);
	rig_free(rig);
	block_close(image);

	image = open_image(1440 * KB, true);
	rig = setup(image);
	program_dma(rig, 0x4a, SECTOR);
	SEND(rig, 0x45, 0, 0, 0, 2, 2, 18, 0x1b, 0xff);
	wait_interrupt(rig, image);
	assert_result(rig, "40 02 00 00 00 02 02");
	rig_free(rig);
	block_close(image);
}

static void test_format(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup(image);

	for (unsigned i = 0; i < 18; i++)
		mem_write(rig->env.mem, BUFFER + 4 * i, (const uint8_t[]){0, 0, i + 1, 2}, 4);
	program_dma(rig, 0x4a, 18 * 4);
	SEND(rig, 0x4d, 0x00, 0x02, 18, 0x54, 0xf6);
	wait_interrupt(rig, image);
	rig_in8(rig, FIFO);
	g_assert_cmphex(rig_in8(rig, FIFO), ==, 0);
	while (rig_in8(rig, MSR) & 0x40)
		rig_in8(rig, FIFO);
	read_back(rig, image, 18);
	g_assert_cmphex(number(rig, 0), ==, 0xf6f6f6f6);
	/* A sector that the medium has not. */
	mem_write(rig->env.mem, BUFFER, (const uint8_t[]){0, 0, 19, 2}, 4);
	program_dma(rig, 0x4a, 4);
	SEND(rig, 0x4d, 0x00, 0x02, 1, 0x54, 0xf6);
	wait_interrupt(rig, image);
	g_assert_cmphex(rig_in8(rig, FIFO), ==, 0x40);
	g_assert_cmphex(rig_in8(rig, FIFO), ==, 0x04);
	rig_free(rig);
	block_close(image);
}

/* Without DMA the processor moves the bytes, and no TC ends the command but the last sector. */
static void test_pio(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup(image);
	uint8_t sector[SECTOR];

	SEND(rig, 0x03, 0xdf, 0x03);
	SEND(rig, 0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff);
	for (unsigned i = 16; i < 18; i++) {
		wait_interrupt(rig, image);
		for (unsigned j = 0; j < SECTOR; j++) {
			g_assert_cmphex(rig_in8(rig, MSR), ==, 0xf0);
			sector[j] = rig_in8(rig, FIFO);
		}
		g_assert_cmpuint(sector[0], ==, i);
	}
	wait_interrupt(rig, image);
	assert_result(rig, "40 80 00 01 00 01 02");

	SEND(rig, 0x45, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
	wait_interrupt(rig, image);
	for (unsigned j = 0; j < SECTOR; j++) {
		g_assert_cmphex(rig_in8(rig, MSR), ==, 0xb0);
		rig_out8(rig, FIFO, 'a');
	}
	wait_interrupt(rig, image);
	assert_result(rig, "40 80 00 01 00 01 02");
	SEND(rig, 0x03, 0xdf, 0x02);
	read_back(rig, image, 18);
	g_assert_cmphex(number(rig, 0), ==, 0x61616161);
	rig_free(rig);
	block_close(image);
}

/* A step is what tells the drive that its disk was noticed. */
static void test_change(void)
{
	struct block *image = open_image(1440 * KB, false), *other = open_image(720 * KB, false);
	struct rig *rig = setup(image);

	g_assert_cmphex(rig_in8(rig, DIR_CCR), ==, 0x80);
	rig_out8(rig, DOR, 0x0c);
	g_assert_cmphex(rig_in8(rig, DIR_CCR), ==, 0);
	rig_out8(rig, DOR, 0x1c);
	seek(rig, 0);
	g_assert_cmphex(rig_in8(rig, DIR_CCR), ==, 0x80);
	seek(rig, 1);
	g_assert_cmphex(rig_in8(rig, DIR_CCR), ==, 0);
	g_assert_true(device_set_medium(rig->device, 0, NULL));
	seek(rig, 0);
	g_assert_cmphex(rig_in8(rig, DIR_CCR), ==, 0x80);
	g_assert_true(device_set_medium(rig->device, 0, other));
	g_assert_cmphex(rig_in8(rig, DIR_CCR), ==, 0x80);
	seek(rig, 1);
	g_assert_cmphex(rig_in8(rig, DIR_CCR), ==, 0);
	/* Nine sectors a track now, at 250 kbit/s. */
	rig_out8(rig, DIR_CCR, 2);
	program_dma(rig, 0x46, SECTOR);
	SEND(rig, 0x46, 4, 1, 1, 9, 2, 9, 0x1b, 0xff);
	wait_interrupt(rig, other);
	assert_result(rig, "04 00 00 02 01 01 02");
	g_assert_cmpuint(number(rig, 0), ==, 35);
	g_assert_false(device_set_medium(rig->device, 2, NULL));
	rig_free(rig);
	block_close(image);
	block_close(other);
}

/* While a request is in flight, or the head on its way. */
static void test_reset_in_flight(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup(image);

	for (unsigned i = 0; i < 200; i++) {
		program_dma(rig, 0x46, 36 * SECTOR);
		SEND(rig, 0xc6, 0x00, 0x00, 0x00, 0x01, 0x02, 0x12, 0x1b, 0xff);
		if (i % 4)
			clock_step(rig->env.clock, MS);
		rig_out8(rig, DOR, 0x00);
		rig_out8(rig, DOR, 0x1c);
		start(rig, NULL);
		program_dma(rig, 0x46, SECTOR);
		SEND(rig, 0xc6, 0x00, 0x00, 0x00, 0x05, 0x02, 0x12, 0x1b, 0xff);
		wait_interrupt(rig, image);
		assert_result(rig, "00 00 00 00 00 06 02");
		g_assert_cmpuint(number(rig, 0), ==, 4);
	}
	rig_free(rig);
	block_close(image);
}

/* Two disks that stand still until they are let go. */
struct held {
	GMutex gates[2];
	int is_held, let_go;
};

/* B's answers first. */
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

/* What a reset cut off on one drive may be waited for by a command for another. */
static void test_drain(void)
{
	struct block *images[2];
	struct held held = {};
	struct rig_row row = {&i82077aa_class, {.n_drives = 2}, .dma = true};
	GThread *thread;
	struct rig *rig;

	for (unsigned i = 0; i < 2; i++) {
		g_mutex_init(&held.gates[i]);
		images[i] = open_gated(1440 * KB, false, &held.gates[i]);
		row.config.drives[i].block = images[i];
	}
	rig = rig_new_row(&row);
	rig_out8(rig, DOR, 0x0c);
	rig_assert_log(rig, "+6 ");
	start(rig, NULL);
	thread = g_thread_new("disks", hold_disks, &held);
	while (!g_atomic_int_get(&held.is_held))
		g_usleep(1000);
	program_dma(rig, 0x46, SECTOR);
	SEND(rig, 0xc6, 0x01, 0x00, 0x00, 0x01, 0x02, 0x12, 0x1b, 0xff);
	clock_step(rig->env.clock, MS);
	rig_out8(rig, DOR, 0x00);
	rig_out8(rig, DOR, 0x3c);
	start(rig, NULL);
	program_dma(rig, 0x46, SECTOR);
	SEND(rig, 0xc6, 0x00, 0x00, 0x00, 0x05, 0x02, 0x12, 0x1b, 0xff);
	clock_step(rig->env.clock, MS);
	g_atomic_int_set(&held.let_go, true);
	i82077aa_class.drain(rig->device);
	g_assert_true(rig_line(rig, 6));
	assert_result(rig, "00 00 00 00 00 06 02");
	g_thread_join(thread);
	rig_free(rig);
	for (unsigned i = 0; i < 2; i++) {
		block_close(images[i]);
		g_mutex_clear(&held.gates[i]);
	}
}

static void test_implied_seek(void)
{
	struct block *image = open_image(1440 * KB, false);
	struct rig *rig = setup(image);

	SEND(rig, 0x13, 0x00, 0x57, 0x00);
	program_dma(rig, 0x46, SECTOR);
	SEND(rig, 0x46, 0, 40, 0, 1, 2, 18, 0x1b, 0xff);
	wait_interrupt(rig, image);
	assert_result(rig, "00 00 00 28 00 02 02");
	g_assert_cmpuint(number(rig, 0), ==, 40 * 36);
	rig_free(rig);
	block_close(image);
}

/* What drive the board puts in for an image, and that its last sector is where it should be. */
static void test_formats(void)
{
	static const struct {
		unsigned kb;
		uint8_t drive, rate, cylinder, head, sector;
	} rows[] = {
		{160, 1, 2, 39, 0, 8},	 {180, 1, 1, 39, 0, 9},	  {320, 1, 2, 39, 1, 8},
		{360, 1, 1, 39, 1, 9},	 {720, 3, 2, 79, 1, 9},	  {1200, 2, 0, 79, 1, 15},
		{1440, 4, 0, 79, 1, 18}, {1680, 4, 0, 79, 1, 21}, {2880, 5, 3, 79, 1, 36},
	};

	g_assert_cmpuint(floppy_drive_type(NULL), ==, 4);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct block *image = open_image(rows[i].kb * KB, false);
		struct rig *rig = setup(image);

		g_assert_cmpuint(floppy_drive_type(image), ==, rows[i].drive);
		seek(rig, rows[i].cylinder);
		rig_out8(rig, DIR_CCR, rows[i].rate);
		program_dma(rig, 0x46, SECTOR);
		SEND(rig, 0x46, rows[i].head << 2, rows[i].cylinder, rows[i].head, rows[i].sector,
		     2, rows[i].sector, 0x1b, 0xff);
		wait_interrupt(rig, image);
		g_assert_cmphex(rig_in8(rig, FIFO) & 0xc0, ==, 0);
		g_assert_cmpuint(number(rig, 0), ==, rows[i].kb * 2 - 1);
		rig_free(rig);
		block_close(image);
	}
}

static void test_no_floppy(void)
{
	struct block *image = open_image(4096 * KB, false);
	const struct device_config config = {.drives = {{.block = image}}, .n_drives = 1};
	const struct rig_row row = {&i82077aa_class, .dma = true};
	struct rig *rig = rig_new_row(&row);
	g_autoptr(GError) error = NULL;

	device_free(rig->device);
	rig->device = device_new(&i82077aa_class, &rig->env, &config, &error);
	g_assert_null(rig->device);
	g_assert_nonnull(strstr(error->message, "floppy drive A: an image of 4194304 bytes"));
	rig_free(rig);
	block_close(image);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/i82077aa/reset", test_reset);
	g_test_add_func("/i82077aa/version", test_version);
	g_test_add_func("/i82077aa/seek", test_seek);
	g_test_add_func("/i82077aa/read", test_read);
	g_test_add_func("/i82077aa/read-errors", test_read_errors);
	g_test_add_func("/i82077aa/write", test_write);
	g_test_add_func("/i82077aa/format", test_format);
	g_test_add_func("/i82077aa/pio", test_pio);
	g_test_add_func("/i82077aa/change", test_change);
	g_test_add_func("/i82077aa/reset-in-flight", test_reset_in_flight);
	g_test_add_func("/i82077aa/drain", test_drain);
	g_test_add_func("/i82077aa/implied-seek", test_implied_seek);
	g_test_add_func("/i82077aa/formats", test_formats);
	g_test_add_func("/i82077aa/no-floppy", test_no_floppy);
	return g_test_run();
}
