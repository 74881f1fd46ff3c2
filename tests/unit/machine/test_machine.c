/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each board as a whole: created, saved, restored, reset and freed. */
#include "machine/machine.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "dev/chipset/fw_cfg.h"
#include "dev/pci/pci.h"
#include "display/display.h"
#include "display/input.h"
#include "firmware/smbios.h"
#include "machine/board.h"
#include "stream/stream.h"

#define N_DISKS	  2
#define MAX_DISKS 5

static const struct board *const boards[] = {&board_pc, &board_q35};

struct rig {
	struct machine_config config;
	struct machine_disk disks[MAX_DISKS];
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

	struct block_options options = {.image.path = path, .image.format = "raw"};
	struct block *block = block_open(&options, &error);

	g_assert_no_error(error);
	g_unlink(path);
	return block;
}

/* All but the machine. */
static void rig_prepare(struct rig *rig, unsigned n_disks)
{
	*rig = (struct rig){
		.config = {.ram_size = 64 << 20,
			   .n_vcpus = 1,
			   .cpu = x86_model_default(),
			   .clock = clock_new_manual(),
			   .serial = stream_new(),
			   .display = display_new(),
			   .virtio_gpu = true,
			   .input = input_new(),
			   .inputs = {[MACHINE_USB_INPUT] = true, [MACHINE_VIRTIO_INPUT] = true},
			   .disks = rig->disks,
			   .n_disks = n_disks},
	};
	for (unsigned i = 0; i < n_disks; i++)
		rig->disks[i] = (struct machine_disk){.block = open_disk()};
}

static void rig_build(struct rig *rig, const struct board *board)
{
	g_autoptr(GError) error = NULL;

	rig->machine = machine_new(board, &rig->config, &error);
	g_assert_no_error(error);
}

static void rig_open(struct rig *rig, const struct board *board, unsigned n_disks)
{
	rig_prepare(rig, n_disks);
	rig_build(rig, board);
}

static void rig_close(struct rig *rig)
{
	machine_free(rig->machine);
	for (unsigned i = 0; i < rig->config.n_disks; i++)
		block_close(rig->disks[i].block);
	stream_free(rig->config.serial);
	display_free(rig->config.display);
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
	g_assert_cmpuint(n_found, ==, N_DISKS);
	rig_close(&rig);
}

static void test_drives_have_names(gconstpointer board)
{
	struct rig rig;
	g_autoptr(GError) error = NULL;
	struct block *medium;

	rig_prepare(&rig, N_DISKS);
	rig.disks[0].bus = ((const struct board *)board)->cd_bus;
	rig.disks[0].kind = MACHINE_BOOT_CD;
	rig.disks[1].bus = MACHINE_FLOPPY;
	rig.disks[1].kind = MACHINE_BOOT_FLOPPY;
	rig_build(&rig, board);
	medium = rig.disks[0].block;
	g_assert_true(machine_check_drive(rig.machine, "cd0", NULL));
	g_assert_true(machine_set_medium(rig.machine, "cd0", NULL) == medium);
	g_assert_null(machine_set_medium(rig.machine, "cd0", medium));
	g_assert_true(machine_set_medium(rig.machine, "floppy0", NULL) == rig.disks[1].block);
	g_assert_false(machine_check_drive(rig.machine, "cd1", &error));
	g_assert_nonnull(strstr(error->message, "'cd1'"));
	g_assert_nonnull(strstr(error->message, "cd0, floppy0"));
	rig_close(&rig);
}

/* More than a bus takes, and kinds that it does not. */
static void test_no_room(gconstpointer board)
{
	static const struct {
		enum machine_disk_bus bus;
		enum machine_boot kind;
		const char *says;
	} bad[] = {
		{MACHINE_VIRTIO, MACHINE_BOOT_CD, "bus 'virtio' takes no drive of that kind"},
		{MACHINE_FLOPPY, MACHINE_BOOT_DISK, "bus 'floppy' takes no drive of that kind"},
		{MACHINE_FLOPPY, MACHINE_BOOT_FLOPPY, "bus 'floppy' has room for 2 drives"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		struct rig rig;

		rig_prepare(&rig, 5);
		for (unsigned k = 0; k < 5; k++) {
			rig.disks[k].bus = bad[i].bus;
			rig.disks[k].kind = bad[i].kind;
		}
		g_assert_null(machine_new(board, &rig.config, &error));
		g_assert_nonnull(strstr(error->message, bad[i].says));
		rig_close(&rig);
	}
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

static bool is_told(const struct machine *machine, const char *file, const char *text)
{
	for (unsigned i = 0; i < machine->n_files; i++) {
		gsize len;
		const void *data = g_bytes_get_data(machine->files[i].bytes, &len);

		if (!g_strcmp0(machine->files[i].name, file))
			return memmem(data, len, text, strlen(text) + 1);
	}
	return false;
}

/* By SMBIOS; a processor of old does not tell its name itself. */
static void test_firmware_is_told(gconstpointer board)
{
	static const char *const models[][2] = {
		{"486", "486"}, {"pentium3", "pentium3"}, {"zen2", "Vivarium software CPU, zen2"}};

	for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
		g_autoptr(GBytes) bios = g_bytes_new_take(g_malloc0(64 << 10), 64 << 10);
		struct machine_firmware firmware = {.bios = bios};
		struct x86_model model;
		struct rig rig;

		g_assert_true(x86_model_parse(&model, models[i][0], NULL));
		rig_prepare(&rig, 0);
		rig.config.firmware = &firmware;
		rig.config.cpu = &model;
		rig_build(&rig, board);
		g_assert_true(is_told(rig.machine, SMBIOS_TABLES_FILE, models[i][1]));
		g_assert_true(is_told(rig.machine, SMBIOS_TABLES_FILE, ((const struct board *)board)->name));
		rig_close(&rig);
	}
}

/* The end of an image of any size is below 1 MiB, and nothing is before it. */
static void test_bios_sizes(gconstpointer board)
{
	static const uint32_t sizes[] = {4 << 10, 64 << 10, 128 << 10, 256 << 10};

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		uint8_t *image = g_malloc0(sizes[i]), byte = 0;
		g_autoptr(GBytes) bios = g_bytes_new_take(image, sizes[i]);
		struct machine_firmware firmware = {.bios = bios};
		uint32_t start = 0x100000 - MIN(sizes[i], 0x20000u);
		struct rig rig;
		struct mem *mem;

		image[sizes[i] - 16] = 0xea;
		rig_prepare(&rig, 0);
		rig.config.firmware = &firmware;
		rig_build(&rig, board);
		mem = rig.machine->env.mem;
		g_assert_true(mem_read(mem, 0xffff0, &byte, 1));
		g_assert_cmphex(byte, ==, 0xea);
		g_assert_true(mem_answers(mem, start, MEM_READ));
		g_assert_false(mem_answers(mem, start - 1, MEM_READ));
		rig_close(&rig);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(gconstpointer board);
	} tests[] = {
		{"disks-have-slots", test_disks_have_slots},
		{"drives-have-names", test_drives_have_names},
		{"no-room", test_no_room},
		{"save-and-load", test_save_and_load},
		{"cut-stream", test_cut_stream},
		{"bios-sizes", test_bios_sizes},
		{"firmware-is-told", test_firmware_is_told},
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
