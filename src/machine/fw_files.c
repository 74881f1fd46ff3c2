/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/fw_files.h"

#include <string.h>

#include "base/le.h"
#include "cpu/x86/cpuid.h"
#include "dev/chipset/fw_cfg.h"
#include "firmware/smbios.h"
#include "machine/board.h"

#define SERIAL_CONSOLE_PORT 0x3f8
#define E820_RAM	    1

/* Takes over `bytes`. */
static void add(struct machine *machine, const char *name, uint16_t key, GBytes *bytes)
{
	g_assert(machine->n_files < FW_CFG_MAX_FILES);
	machine->files[machine->n_files++] = (struct fw_cfg_file){name, key, bytes};
}

/* A number of `size` bytes, little-endian. */
static GBytes *number(uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	le64_store(bytes, value);
	return g_bytes_new(bytes, size);
}

static void append_range(GByteArray *map, uint64_t start, uint64_t len)
{
	uint8_t entry[20];

	le64_store(entry, start);
	le64_store(entry + 8, len);
	le32_store(entry + 16, E820_RAM);
	if (len)
		g_byte_array_append(map, entry, sizeof(entry));
}

static GBytes *memory_map(const struct mem *mem)
{
	GByteArray *map = g_byte_array_new();

	append_range(map, 0, mem->low_size);
	append_range(map, MEM_HOLE_END, mem->high_size);
	return g_byte_array_free_to_bytes(map);
}

/* Firmware's names of devices, a line each, in the order in which it is to try them. */
static GBytes *boot_order(const struct machine *machine, const struct machine_firmware *firmware)
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (unsigned i = 0; i < firmware->n_order; i++) {
		const GPtrArray *paths = machine->boot_paths[firmware->order[i]];

		for (unsigned k = 0; k < paths->len; k++)
			g_string_append_printf(text, "%s%s", text->len ? "\n" : "",
					       (const char *)paths->pdata[k]);
	}
	return g_bytes_new(text->str, text->len + 1);
}

/* Sleep states: bit 7 says that one is there; S3 and S4 are not. The value of S4 follows its bit. */
static GBytes *system_states(void)
{
	static const uint8_t states[6] = {0x80, 0, 0, 1, 2, 0x80};

	return g_bytes_new_static(states, sizeof(states));
}

static void add_acpi(struct machine *machine)
{
	struct acpi_files files;

	acpi_build_files(&machine->acpi, &files);
	add(machine, ACPI_TABLES_FILE, 0, files.tables);
	add(machine, ACPI_RSDP_FILE, 0, files.rsdp);
	add(machine, ACPI_LOADER_FILE, 0, files.loader);
}

/* As CPUID has it; those of old do not say. */
static void get_cpu_name(const struct machine_config *config, char name[3 * sizeof(struct cpuid) + 1])
{
	static const struct x86_state at_reset;
	const struct x86_model *cpu = config->cpu;

	if (cpu->max_extended_leaf < 0x80000004) {
		g_strlcpy(name, cpu->name, 3 * sizeof(struct cpuid) + 1);
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		struct cpuid part = cpuid_get(cpu, 0x80000002 + i, 0, &at_reset, 0, config->n_vcpus);

		memcpy(name + i * sizeof(part), &part, sizeof(part));
	}
	name[3 * sizeof(struct cpuid)] = '\0';
}

static void add_smbios(struct machine *machine, const struct machine_config *config)
{
	const struct x86_model *cpu = config->cpu;
	char name[3 * sizeof(struct cpuid) + 1];
	struct smbios_config smbios = {
		.product = machine->board->name,
		.n_cpus = config->n_vcpus,
		.cpu_vendor = cpu->vendor,
		.cpu_name = name,
		.cpu_signature = cpu->signature,
		.cpu_features = cpuid_feature_bits(cpu->has, 1, 0).edx,
		.cpu_has_64_bits = cpu->has[F_LM],
		.low_size = machine->env.mem->low_size,
		.high_size = machine->env.mem->high_size,
	};
	struct smbios_files files;

	get_cpu_name(config, name);
	memcpy(smbios.uuid, config->uuid, sizeof(smbios.uuid));
	smbios_build_files(&smbios, &files);
	add(machine, SMBIOS_ANCHOR_FILE, 0, files.anchor);
	add(machine, SMBIOS_TABLES_FILE, 0, files.tables);
}

/* UEFI has drivers for network cards and tries to boot from each, for minutes, unless it is told not to. */
static void forbid_network_boot(struct machine *machine)
{
	static const char *const files[] = {
		"opt/org.tianocore/IPv4PXESupport", "opt/org.tianocore/IPv6PXESupport",
		"opt/org.tianocore/IPv4Support",    "opt/org.tianocore/IPv6Support",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
		add(machine, files[i], 0, g_bytes_new_static("no", 2));
}

static bool boots_from_network(const struct machine_config *config)
{
	for (unsigned i = 0; i < config->n_nics; i++)
		if (config->nics[i].rom)
			return true;
	return false;
}

void fw_files_build(struct machine *machine, const struct machine_config *config)
{
	const struct machine_firmware *firmware = config->firmware;

	machine->files = g_new0(struct fw_cfg_file, FW_CFG_MAX_FILES);
	add(machine, NULL, FW_CFG_RAM_SIZE, number(config->ram_size, 8));
	add(machine, NULL, FW_CFG_NB_CPUS, number(config->n_vcpus, 2));
	add(machine, NULL, FW_CFG_MAX_CPUS, number(config->n_vcpus, 2));
	add(machine, NULL, FW_CFG_BOOT_MENU, number(firmware->menu, 2));
	add_acpi(machine);
	add_smbios(machine, config);
	add(machine, "etc/e820", 0, memory_map(machine->env.mem));
	add(machine, "etc/system-states", 0, system_states());
	add(machine, "bootorder", 0, boot_order(machine, firmware));
	if (!boots_from_network(config))
		forbid_network_boot(machine);
	if (firmware->serial_console)
		add(machine, "etc/sercon-port", 0, number(SERIAL_CONSOLE_PORT, 2));
}

void fw_files_free(struct machine *machine)
{
	for (unsigned i = 0; i < machine->n_files; i++)
		g_bytes_unref(machine->files[i].bytes);
	g_free(machine->files);
}
