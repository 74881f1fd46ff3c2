/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each board as a whole: created, saved, restored, reset and freed. */
#include "machine/machine.h"

#include <glib/gstdio.h>
#include <unistd.h>

#include "block/block.h"
#include "dev/pci/pci.h"
#include "display/input.h"
#include "machine/board.h"
#include "stream/stream.h"

static const enum machine_disk_bus buses[] = {MACHINE_VIRTIO, MACHINE_VIRTIO, MACHINE_FLOPPY};

#define N_DISKS G_N_ELEMENTS(buses)
#define N_ON_PCI 2

static const struct board *const boards[] = {&board_pc};

struct rig {
	struct machine_config config;
	struct machine_disk disks[N_DISKS];
	struct machine *machine;
};

static struct block *open_disk(void)
{
	g_autofree char *path = NULL;
	g_autoptr(GError) error = NULL;
	int fd = g_file_open_tmp(NULL, &path, &error);

	g_assert_no_error(error);
	g_assert_cmpint(ftruncate(fd, 1 << 20), ==, 0);
	close(fd);

	struct block_options options = {.path = path, .format = "raw"};
	struct block *block = block_open(&options, &error);

	g_assert_no_error(error);
	g_unlink(path);
	return block;
}

static void rig_open(struct rig *rig, const struct board *board, unsigned n_disks)
{
	g_autoptr(GError) error = NULL;

	*rig = (struct rig){
		.config = {.ram_size = 64 << 20,
			   .n_vcpus = 1,
			   .clock = clock_new_manual(),
			   .serial = stream_new(),
			   .input = input_new(),
			   .disks = rig->disks,
			   .n_disks = n_disks},
	};
	for (unsigned i = 0; i < n_disks; i++)
		rig->disks[i] = (struct machine_disk){.block = open_disk(), .bus = buses[i]};
	rig->machine = machine_new(board, &rig->config, &error);
	g_assert_no_error(error);
}

static void rig_close(struct rig *rig)
{
	machine_free(rig->machine);
	for (unsigned i = 0; i < rig->config.n_disks; i++)
		block_close(rig->disks[i].block);
	stream_free(rig->config.serial);
	input_free(rig->config.input);
	clock_free(rig->config.clock);
}

static void test_disks_have_slots(gconstpointer board)
{
	struct rig rig;
	unsigned n_found = 0;

	rig_open(&rig, board, N_DISKS);
	for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++)
		n_found += pci_bus_read(rig.machine->env.pci, devfn, PCI_CLASS_PROG + 2, 1) == 1;
	g_assert_cmpuint(n_found, ==, N_ON_PCI);
	rig_close(&rig);
}

static GByteArray *saved(struct machine *machine)
{
	GByteArray *bytes = g_byte_array_new();

	machine_save(machine, bytes);
	return bytes;
}

/* Moves every register that a write to a port can move. */
static void disturb(struct machine *machine)
{
	for (unsigned port = 0; port < 0x1000; port++) {
		/* Not the ones that end the machine. */
		if (port != 0x64 && port != 0x92 && port != 0xcf9)
			bus_write(machine->env.bus, BUS_PIO, port, port * 7 & ~0x20, 1);
	}
}

static void test_save_and_load(gconstpointer board)
{
	struct rig from, to;
	g_autoptr(GError) error = NULL;

	rig_open(&from, board, N_DISKS);
	rig_open(&to, board, N_DISKS);

	GByteArray *fresh = saved(from.machine);

	disturb(from.machine);

	GByteArray *disturbed = saved(from.machine);
	struct state_reader reader = {.data = disturbed->data, .len = disturbed->len};

	g_assert_false(fresh->len == disturbed->len &&
		       !memcmp(fresh->data, disturbed->data, fresh->len));
	machine_load(to.machine, &reader, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(reader.pos, ==, reader.len);

	GByteArray *again = saved(to.machine);

	g_assert_cmpmem(again->data, again->len, disturbed->data, disturbed->len);
	g_byte_array_unref(fresh);
	g_byte_array_unref(disturbed);
	g_byte_array_unref(again);
	rig_close(&from);
	rig_close(&to);
}

static void test_cut_stream(gconstpointer board)
{
	struct rig rig;

	rig_open(&rig, board, 0);

	GByteArray *bytes = saved(rig.machine);

	for (size_t len = 0; len < bytes->len; len += 1 + len / 8) {
		g_autoptr(GError) error = NULL;
		struct state_reader reader = {.data = bytes->data, .len = len};

		g_assert_false(machine_load(rig.machine, &reader, &error));
		g_assert_nonnull(error);
	}
	g_byte_array_unref(bytes);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(gconstpointer board);
	} tests[] = {
		{"disks-have-slots", test_disks_have_slots},
		{"save-and-load", test_save_and_load},
		{"cut-stream", test_cut_stream},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t b = 0; b < G_N_ELEMENTS(boards); b++) {
		for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
			g_autofree char *path =
				g_strdup_printf("/machine/%s/%s", boards[b]->name, tests[i].name);

			g_test_add_data_func(path, boards[b], tests[i].test);
		}
	}
	return g_test_run();
}
