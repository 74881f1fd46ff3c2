/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/acpi.h"

#include <string.h>

#include "base/error.h"
#include "base/le.h"
#include "firmware/acpi_int.h"
#include "firmware/aml.h"
#include "firmware/dsdt.h"

/* Section 5.2.6 */
enum {
	SDT_SIGNATURE = 0,
	SDT_LENGTH = 4,
	SDT_REVISION = 8,
	SDT_CHECKSUM = 9,
	SDT_OEM_ID = 10,
	SDT_OEM_TABLE_ID = 16,
	SDT_OEM_REVISION = 24,
	SDT_CREATOR_ID = 28,
	SDT_CREATOR_REVISION = 32,
	SDT_SIZE = 36,
};
#define OEM_ID "VIVARM"

/* Table 5.9; the X_ forms are generic addresses. */
enum {
	FADT_FIRMWARE_CTRL = 36,
	FADT_DSDT = 40,
	FADT_SCI_INT = 46,
	FADT_PM1A_EVT_BLK = 56,
	FADT_PM1A_CNT_BLK = 64,
	FADT_PM_TMR_BLK = 76,
	FADT_GPE0_BLK = 80,
	FADT_PM1_EVT_LEN = 88,
	FADT_PM1_CNT_LEN = 89,
	FADT_PM_TMR_LEN = 91,
	FADT_GPE0_BLK_LEN = 92,
	FADT_P_LVL2_LAT = 96,
	FADT_P_LVL3_LAT = 98,
	FADT_CENTURY = 108,
	FADT_IAPC_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_MINOR_VERSION = 131,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_EVT_BLK = 148,
	FADT_X_PM1A_CNT_BLK = 172,
	FADT_X_PM_TMR_BLK = 208,
	FADT_X_GPE0_BLK = 220,
	FADT_SIZE = 276,
};

/* Table 5.10; a button's bit set means it is not a fixed one. */
enum {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_SLP_BUTTON = 1 << 5,
	FADT_TMR_VAL_EXT = 1 << 8,
	FADT_RESET_REG_SUP = 1 << 10,
};

/* Table 5.11 */
enum { BOOT_LEGACY_DEVICES = 1 << 0, BOOT_8042 = 1 << 1, BOOT_NO_VGA = 1 << 2 };

/* Latencies above these mean that C2 and C3 do not exist (section 5.2.9). */
#define NO_C2_LATENCY 101
#define NO_C3_LATENCY 1001

/* Table 5.19 and 5.21 on */
enum {
	MADT_LOCAL_APIC = 0,
	MADT_IO_APIC = 1,
	MADT_SOURCE_OVERRIDE = 2,
	MADT_LOCAL_APIC_NMI = 4,
	MADT_LOCAL_X2APIC = 9,
	MADT_LOCAL_X2APIC_NMI = 10,
};
#define MADT_PCAT_COMPAT 1
#define MADT_ENABLED	 1
#define MADT_HIGH_LEVEL	 0x0d /* active high, level triggered */
#define MADT_ALL_CPUS	 0xff
#define MADT_ALL_X2APICS 0xffffffffu
#define NMI_LINT	 1
#define PIT_GSI		 2
#define FIRST_X2APIC_ID	 255

#define FACS_SIZE  64
#define FADT_MINOR 5

static void put(GByteArray *table, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	le64_store(bytes, value);
	g_byte_array_append(table, bytes, size);
}

/* Places and returns the offset of a table. */
static uint32_t tables_add(struct acpi_tables *t, const void *table, uint32_t len, uint32_t align)
{
	uint32_t at = (t->tables->len + align - 1) & ~(align - 1);
	uint32_t old = t->tables->len;

	g_byte_array_set_size(t->tables, at + len);
	memset(t->tables->data + old, 0, at - old);
	memcpy(t->tables->data + at, table, len);
	return at;
}

/* What stands at `at`, little-endian in `size` bytes, is an offset in the tables. */
static void add_pointer(struct acpi_tables *t, bool in_rsdp, uint32_t at, uint8_t size)
{
	struct acpi_pointer pointer = {in_rsdp, at, size};

	g_array_append_val(t->pointers, pointer);
}

static void add_sum(struct acpi_tables *t, bool in_rsdp, uint32_t start, uint32_t len, uint32_t at)
{
	struct acpi_sum sum = {in_rsdp, start, len, at};

	g_array_append_val(t->sums, sum);
}

static GByteArray *sdt_new(const char *signature, uint8_t revision)
{
	GByteArray *table = g_byte_array_new();
	uint8_t header[SDT_SIZE] = {0};

	memcpy(header + SDT_SIGNATURE, signature, 4);
	header[SDT_REVISION] = revision;
	memcpy(header + SDT_OEM_ID, OEM_ID, 6);
	memcpy(header + SDT_OEM_TABLE_ID, OEM_ID "PC", 8);
	le32_store(header + SDT_OEM_REVISION, 1);
	memcpy(header + SDT_CREATOR_ID, "VIV ", 4);
	le32_store(header + SDT_CREATOR_REVISION, 1);
	return g_byte_array_append(table, header, sizeof(header));
}

/* Completes, places and frees a table. */
static uint32_t sdt_add(struct acpi_tables *t, GByteArray *table)
{
	uint32_t at;

	le32_store(table->data + SDT_LENGTH, table->len);
	at = tables_add(t, table->data, table->len, 16);
	add_sum(t, false, at, table->len, at + SDT_CHECKSUM);
	g_byte_array_unref(table);
	return at;
}

static uint32_t add_dsdt(struct acpi_tables *t, const struct acpi_config *config)
{
	GByteArray *table = sdt_new("DSDT", 2);
	struct aml aml;

	aml_init(&aml);
	dsdt_write(&aml, config);
	g_byte_array_append(table, aml.code->data, aml.code->len);
	aml_fini(&aml);
	return sdt_add(t, table);
}

/* Section 5.2.10. It has no checksum; the OS writes to its lock and vectors. */
static uint32_t add_facs(struct acpi_tables *t)
{
	uint8_t facs[FACS_SIZE] = "FACS";
	const uint8_t version = 2;

	le32_store(facs + 4, sizeof(facs));
	facs[32] = version;
	return tables_add(t, facs, sizeof(facs), 64);
}

/* Table 5.1: an I/O port of one register, accessed at its width. */
static void put_port(uint8_t *gas, uint16_t port, unsigned bits)
{
	const uint8_t system_io = 1, access_size = bits == 8 ? 1 : bits == 16 ? 2 : 3;

	gas[0] = system_io;
	gas[1] = bits;
	gas[3] = access_size;
	le64_store(gas + 4, port);
}

/* A register block in its old and its extended field. */
static void put_block(uint8_t *fadt, unsigned field, unsigned len_field, unsigned x_field,
		      uint16_t port, unsigned bytes)
{
	le32_store(fadt + field, port);
	fadt[len_field] = bytes;
	put_port(fadt + x_field, port, bytes * 8);
}

static uint32_t add_fadt(struct acpi_tables *t, const struct acpi_config *config, uint32_t facs,
			 uint32_t dsdt)
{
	GByteArray *table = sdt_new("FACP", 6);
	uint8_t *fadt;
	uint32_t at;

	g_byte_array_set_size(table, FADT_SIZE);
	fadt = table->data;
	memset(fadt + SDT_SIZE, 0, FADT_SIZE - SDT_SIZE);
	fadt[FADT_MINOR_VERSION] = FADT_MINOR;
	le32_store(fadt + FADT_FIRMWARE_CTRL, facs);
	le32_store(fadt + FADT_DSDT, dsdt);
	le64_store(fadt + FADT_X_DSDT, dsdt);
	le16_store(fadt + FADT_SCI_INT, config->sci_irq);
	put_block(fadt, FADT_PM1A_EVT_BLK, FADT_PM1_EVT_LEN, FADT_X_PM1A_EVT_BLK, config->pm1a_evt,
		  4);
	put_block(fadt, FADT_PM1A_CNT_BLK, FADT_PM1_CNT_LEN, FADT_X_PM1A_CNT_BLK, config->pm1a_cnt,
		  2);
	put_block(fadt, FADT_PM_TMR_BLK, FADT_PM_TMR_LEN, FADT_X_PM_TMR_BLK, config->pm_tmr, 4);
	put_block(fadt, FADT_GPE0_BLK, FADT_GPE0_BLK_LEN, FADT_X_GPE0_BLK, config->gpe0,
		  config->gpe0_len);
	le16_store(fadt + FADT_P_LVL2_LAT, NO_C2_LATENCY);
	le16_store(fadt + FADT_P_LVL3_LAT, NO_C3_LATENCY);
	fadt[FADT_CENTURY] = config->cmos_century;
	le16_store(fadt + FADT_IAPC_BOOT_ARCH,
		   BOOT_LEGACY_DEVICES | BOOT_8042 | (config->has_vga ? 0 : BOOT_NO_VGA));
	le32_store(fadt + FADT_FLAGS, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON |
					      FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP);
	put_port(fadt + FADT_RESET_REG, config->reset_port, 8);
	fadt[FADT_RESET_VALUE] = config->reset_value;
	at = sdt_add(t, table);
	add_pointer(t, false, at + FADT_FIRMWARE_CTRL, 4);
	add_pointer(t, false, at + FADT_DSDT, 4);
	add_pointer(t, false, at + FADT_X_DSDT, 8);
	return at;
}

static void put_cpu(GByteArray *madt, uint32_t id)
{
	if (id < FIRST_X2APIC_ID) {
		put(madt, MADT_LOCAL_APIC, 1);
		put(madt, 8, 1);
		put(madt, id, 1); /* processor UID */
		put(madt, id, 1);
		put(madt, MADT_ENABLED, 4);
	} else {
		put(madt, MADT_LOCAL_X2APIC, 1);
		put(madt, 16, 1);
		put(madt, 0, 2);
		put(madt, id, 4);
		put(madt, MADT_ENABLED, 4);
		put(madt, id, 4); /* processor UID */
	}
}

/* An ISA line whose global system interrupt or signalling is not the bus's own. */
static void put_override(GByteArray *madt, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	const uint8_t isa_bus = 0;

	put(madt, MADT_SOURCE_OVERRIDE, 1);
	put(madt, 10, 1);
	put(madt, isa_bus, 1);
	put(madt, irq, 1);
	put(madt, gsi, 4);
	put(madt, flags, 2);
}

/* Every processor's NMI pin, as a PC has it, signalled as the bus does. */
static void put_nmi(GByteArray *madt)
{
	put(madt, MADT_LOCAL_APIC_NMI, 1);
	put(madt, 6, 1);
	put(madt, MADT_ALL_CPUS, 1);
	put(madt, 0, 2);
	put(madt, NMI_LINT, 1);
}

static void put_x2apic_nmi(GByteArray *madt)
{
	put(madt, MADT_LOCAL_X2APIC_NMI, 1);
	put(madt, 12, 1);
	put(madt, 0, 2);
	put(madt, MADT_ALL_X2APICS, 4);
	put(madt, NMI_LINT, 1);
	put(madt, 0, 3);
}

static uint32_t add_madt(struct acpi_tables *t, const struct acpi_config *config)
{
	GByteArray *madt = sdt_new("APIC", 5);

	put(madt, config->lapic_base, 4);
	put(madt, MADT_PCAT_COMPAT, 4);
	for (unsigned id = 0; id < config->n_cpus; id++)
		put_cpu(madt, id);
	put(madt, MADT_IO_APIC, 1);
	put(madt, 12, 1);
	put(madt, config->ioapic_id, 1);
	put(madt, 0, 1);
	put(madt, config->ioapic_base, 4);
	put(madt, 0, 4); /* first GSI */
	put_override(madt, 0, PIT_GSI, 0);
	put_override(madt, config->sci_irq, config->sci_irq, MADT_HIGH_LEVEL);
	put_nmi(madt);
	if (config->n_cpus > FIRST_X2APIC_ID)
		put_x2apic_nmi(madt);
	return sdt_add(t, madt);
}

/* PCI Firmware Specification 3.2, table 4-2: segment 0, from bus 0 on. */
static uint32_t add_mcfg(struct acpi_tables *t, const struct acpi_config *config)
{
	GByteArray *mcfg = sdt_new("MCFG", 1);

	put(mcfg, 0, 8);
	put(mcfg, config->pci_config_base, 8);
	put(mcfg, 0, 2);
	put(mcfg, 0, 1);
	put(mcfg, config->pci_last_bus, 1);
	put(mcfg, 0, 4);
	return sdt_add(t, mcfg);
}

/* IA-PC HPET specification 1.0a, section 3.2.4: number 0, in memory. */
static uint32_t add_hpet(struct acpi_tables *t, const struct acpi_config *config)
{
	GByteArray *hpet = sdt_new("HPET", 1);
	const uint16_t min_ticks = 2000; /* of a periodic timer: 20 us */

	put(hpet, config->hpet_id, 4);
	put(hpet, 0 | 64 << 8, 4);
	put(hpet, config->hpet_base, 8);
	put(hpet, 0, 1);
	put(hpet, min_ticks, 2);
	put(hpet, 0, 1);
	return sdt_add(t, hpet);
}

/* RSDT or XSDT, with entries of 4 or of 8 bytes. */
static uint32_t add_root(struct acpi_tables *t, const char *signature, unsigned size,
			 const uint32_t *tables, unsigned n)
{
	GByteArray *root = sdt_new(signature, 1);
	uint32_t at;

	for (unsigned i = 0; i < n; i++)
		put(root, tables[i], size);
	at = sdt_add(t, root);
	for (unsigned i = 0; i < n; i++)
		add_pointer(t, false, at + SDT_SIZE + size * i, size);
	return at;
}

/* Table 5.4: the first checksum is over the 20 bytes ACPI 1.0 knew. */
static void set_rsdp(struct acpi_tables *t, uint32_t rsdt, uint32_t xsdt)
{
	uint8_t *rsdp = t->rsdp;
	const uint8_t revision = 2;

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, OEM_ID, 6);
	rsdp[15] = revision;
	le32_store(rsdp + 16, rsdt);
	le32_store(rsdp + 20, sizeof(t->rsdp));
	le64_store(rsdp + 24, xsdt);
	add_pointer(t, true, 16, 4);
	add_pointer(t, true, 24, 8);
	add_sum(t, true, 0, 20, 8);
	add_sum(t, true, 0, sizeof(t->rsdp), 32);
}

void acpi_tables_init(struct acpi_tables *t, const struct acpi_config *config)
{
	uint32_t facs, dsdt, rsdt, tables[4];
	unsigned n = 0;

	*t = (struct acpi_tables){
		.tables = g_byte_array_new(),
		.pointers = g_array_new(FALSE, FALSE, sizeof(struct acpi_pointer)),
		.sums = g_array_new(FALSE, FALSE, sizeof(struct acpi_sum)),
	};
	facs = add_facs(t);
	dsdt = add_dsdt(t, config);
	tables[n++] = add_fadt(t, config, facs, dsdt);
	tables[n++] = add_madt(t, config);
	if (config->pci_config_base)
		tables[n++] = add_mcfg(t, config);
	if (config->hpet_base)
		tables[n++] = add_hpet(t, config);
	/* What knows ACPI 1.0 only, like GRUB, reads the RSDT. */
	rsdt = add_root(t, "RSDT", 4, tables, n);
	set_rsdp(t, rsdt, add_root(t, "XSDT", 8, tables, n));
}

void acpi_tables_fini(struct acpi_tables *t)
{
	g_byte_array_unref(t->tables);
	g_array_unref(t->pointers);
	g_array_unref(t->sums);
}

static uint8_t checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *data++;
	return -sum;
}

/* Makes offsets addresses, the tables lying at `base`, and sets checksums. */
static void resolve(struct acpi_tables *t, uint64_t base)
{
	for (unsigned i = 0; i < t->pointers->len; i++) {
		const struct acpi_pointer *p = &g_array_index(t->pointers, struct acpi_pointer, i);
		uint8_t *at = (p->in_rsdp ? t->rsdp : t->tables->data) + p->at;

		if (p->size == 8)
			le64_store(at, le64_load(at) + base);
		else
			le32_store(at, le32_load(at) + base);
	}
	for (unsigned i = 0; i < t->sums->len; i++) {
		const struct acpi_sum *sum = &g_array_index(t->sums, struct acpi_sum, i);
		uint8_t *data = sum->in_rsdp ? t->rsdp : t->tables->data;

		data[sum->at] = checksum(data + sum->start, sum->len);
	}
}

static bool put_tables(struct mem *mem, struct acpi_tables *t, uint64_t *rsdp_gpa, GError **error)
{
	uint64_t rsdp = (ACPI_AREA_START + t->tables->len + 15) & ~15ull;

	if (rsdp + sizeof(t->rsdp) > ACPI_AREA_END) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "the ACPI tables have no room for that many processors; give fewer");
		return false;
	}
	resolve(t, ACPI_AREA_START);
	if (!mem_write(mem, ACPI_AREA_START, t->tables->data, t->tables->len) ||
	    !mem_write(mem, rsdp, t->rsdp, sizeof(t->rsdp))) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "no memory below 1 MiB for the ACPI tables");
		return false;
	}
	*rsdp_gpa = rsdp;
	return true;
}

bool acpi_build(struct mem *mem, const struct acpi_config *config, uint64_t *rsdp_gpa,
		GError **error)
{
	struct acpi_tables t;
	bool ok;

	acpi_tables_init(&t, config);
	ok = put_tables(mem, &t, rsdp_gpa, error);
	acpi_tables_fini(&t);
	return ok;
}
