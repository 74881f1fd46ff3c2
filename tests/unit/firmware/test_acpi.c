/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib/gstdio.h>
#include <string.h>

#include "base/le.h"
#include "firmware/acpi.h"
#include "firmware/aml.h"

#define RAM_SIZE (16ull << 20)

static const struct acpi_serial serials[] = {{0x3f8, 4}, {0}, {0x3e8, 4}};
static unsigned gsi(unsigned slot, unsigned pin)
{
	return 16 + (slot + pin) % 8;
}

static const struct acpi_config pc = {
	.n_cpus = 2,
	.lapic_base = 0xfee00000,
	.ioapic_base = 0xfec00000,
	.sci_irq = 9,
	.pm1a_evt = 0x600,
	.pm1a_cnt = 0x604,
	.pm_tmr = 0x608,
	.gpe0 = 0x620,
	.gpe0_len = 4,
	.slp_typ_s5 = 5,
	.reset_port = 0xcf9,
	.reset_value = 6,
	.cmos_century = 0x32,
	.has_ps2 = true,
	.has_floppies = true,
	.pci_last_bus = 0xff,
	.pci_io_first = 0xc000,
	.pci_io_last = 0xffff,
	.pci_mem_first = 0xc0000000,
	.pci_mem_last = 0xfebfffff,
	.pci_mem64_first = 0x8000000000,
	.pci_mem64_last = 0x8fffffffff,
	.pci_gsi = gsi,
	.pci_first_gsi = 16,
	.pirq_devfn = 31 << 3,
	.n_pirqs = 8,
	.pirq_regs = {0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6a, 0x6b},
	.serials = serials,
	.n_serials = G_N_ELEMENTS(serials),
};

static unsigned sum(const uint8_t *data, unsigned len)
{
	uint8_t total = 0;

	while (len--)
		total += *data++;
	return total;
}

/* A table found as an OS would, its checksum good. */
static const uint8_t *table_at(struct mem *mem, uint64_t gpa, const char *signature)
{
	const uint8_t *table = mem_hva(mem, gpa);

	g_assert_cmpmem(table, 4, signature, 4);
	g_assert_cmphex(gpa, >=, ACPI_AREA_START);
	g_assert_cmphex(gpa + le32_load(table + 4), <=, ACPI_AREA_END);
	g_assert_cmpuint(sum(table, le32_load(table + 4)), ==, 0);
	return table;
}

struct tables {
	struct mem *mem;
	const uint8_t *rsdt, *xsdt, *fadt, *madt, *dsdt, *facs, *mcfg, *hpet;
};

static void build(struct tables *t, const struct acpi_config *config)
{
	g_autoptr(GError) error = NULL;
	const uint8_t *rsdp;
	uint64_t gpa;

	t->mem = mem_new(RAM_SIZE, NULL);
	acpi_build(t->mem, config, &gpa, &error);
	g_assert_no_error(error);
	g_assert_cmphex(gpa % 16, ==, 0);
	rsdp = mem_hva(t->mem, gpa);
	g_assert_cmpmem(rsdp, 8, "RSD PTR ", 8);
	g_assert_cmpuint(sum(rsdp, 20), ==, 0);
	g_assert_cmpuint(sum(rsdp, 36), ==, 0);
	t->xsdt = table_at(t->mem, le64_load(rsdp + 24), "XSDT");
	t->rsdt = table_at(t->mem, le32_load(rsdp + 16), "RSDT");
	g_assert_cmpuint((le32_load(t->rsdt + 4) - 36) / 4, ==, (le32_load(t->xsdt + 4) - 36) / 8);
	for (unsigned at = 0; at < le32_load(t->rsdt + 4) - 36; at += 4)
		g_assert_cmphex(le32_load(t->rsdt + 36 + at), ==, le64_load(t->xsdt + 36 + 2 * at));
	g_assert_cmpuint(le32_load(t->xsdt + 4), ==, 36 + (config->pci_config_base ? 4 : 2) * 8);
	t->fadt = table_at(t->mem, le64_load(t->xsdt + 36), "FACP");
	t->madt = table_at(t->mem, le64_load(t->xsdt + 44), "APIC");
	t->mcfg = config->pci_config_base ? table_at(t->mem, le64_load(t->xsdt + 52), "MCFG") : NULL;
	t->hpet = config->pci_config_base ? table_at(t->mem, le64_load(t->xsdt + 60), "HPET") : NULL;
	t->dsdt = table_at(t->mem, le64_load(t->fadt + 140), "DSDT");
	g_assert_cmphex(le32_load(t->fadt + 36) % 64, ==, 0);
	t->facs = mem_hva(t->mem, le32_load(t->fadt + 36));
	g_assert_cmpmem(t->facs, 4, "FACS", 4);
}

static void test_fadt(void)
{
	struct tables t;

	build(&t, &pc);
	g_assert_cmpuint(le32_load(t.fadt + 4), ==, 276);
	g_assert_cmpuint(le16_load(t.fadt + 46), ==, 9);    /* SCI */
	g_assert_cmphex(le32_load(t.fadt + 48), ==, 0);	    /* SMI_CMD: ACPI is on */
	g_assert_cmphex(le32_load(t.fadt + 56), ==, 0x600); /* PM1a_EVT_BLK */
	g_assert_cmphex(le32_load(t.fadt + 64), ==, 0x604); /* PM1a_CNT_BLK */
	g_assert_cmphex(le32_load(t.fadt + 76), ==, 0x608); /* PM_TMR_BLK */
	g_assert_cmpmem(t.fadt + 88, 5, "\x04\x02\0\x04\x04", 5);
	g_assert_cmphex(le16_load(t.fadt + 109), ==, 0x7); /* IAPC_BOOT_ARCH: no VGA */
	g_assert_cmphex(le32_load(t.fadt + 112), ==, 0x525);
	g_assert_cmpmem(t.fadt + 116, 13, "\x01\x08\0\x01\xf9\x0c\0\0\0\0\0\0\x06", 13);
	g_assert_cmpmem(t.fadt + 172, 12, "\x01\x10\0\x02\x04\x06\0\0\0\0\0\0", 12);
	mem_free(t.mem);
}

static void test_madt(void)
{
	static const uint8_t expected[] = {
		0, 8,  0,    0, 1, 0, 0,    0,			 /* two local APICs */
		0, 8,  1,    1, 1, 0, 0,    0,			 /* */
		1, 12, 0,    0, 0, 0, 0xc0, 0xfe, 0,	0, 0, 0, /* the IOAPIC */
		2, 10, 0,    0, 2, 0, 0,    0,	  0,	0,	 /* the PIT's line on pin 2 */
		2, 10, 0,    9, 9, 0, 0,    0,	  0x0d, 0,	 /* SCI: level, high */
		4, 6,  0xff, 0, 0, 1,				 /* NMI on LINT1 */
	};
	struct tables t;

	build(&t, &pc);
	g_assert_cmphex(le32_load(t.madt + 36), ==, 0xfee00000);
	g_assert_cmphex(le32_load(t.madt + 40), ==, 1); /* 8259s, too */
	g_assert_cmpmem(t.madt + 44, le32_load(t.madt + 4) - 44, expected, sizeof(expected));
	mem_free(t.mem);
}

/* Each entry's length leads to the next; ids from 255 on need the x2APIC's form. */
static void test_many_cpus(void)
{
	struct acpi_config config = pc;
	unsigned count[16] = {0};
	struct tables t;
	uint32_t at = 44;

	config.n_cpus = 300;
	build(&t, &config);
	for (; at < le32_load(t.madt + 4); at += t.madt[at + 1]) {
		g_assert_cmpuint(t.madt[at], <, 16);
		g_assert_cmpuint(t.madt[at + 1], >=, 6);
		if (t.madt[at] == 9)
			g_assert_cmpuint(le32_load(t.madt + at + 4), ==, 255 + count[9]);
		count[t.madt[at]]++;
	}
	g_assert_cmpuint(at, ==, le32_load(t.madt + 4));
	g_assert_cmpuint(count[0], ==, 255);
	g_assert_cmpuint(count[9], ==, 45);
	g_assert_cmpuint(count[10], ==, 1);
	mem_free(t.mem);
}

static void test_too_many_cpus(void)
{
	struct acpi_config config = pc;
	struct mem *mem = mem_new(RAM_SIZE, NULL);
	g_autoptr(GError) error = NULL;
	uint64_t gpa;

	config.n_cpus = 10000;
	g_assert_false(acpi_build(mem, &config, &gpa, &error));
	g_assert_nonnull(strstr(error->message, "give fewer"));
	g_assert_cmphex(le64_load(mem_hva(mem, ACPI_AREA_START)), ==, 0);
	mem_free(mem);
}

/* Section 20.2.4's encodings at the edges of their ranges. */
static void test_package_length(void)
{
	static const struct {
		unsigned body, n;
		const char *encoded;
	} cases[] = {
		{62, 1, "\x3f"},	   {63, 2, "\x41\x04"},	       {4093, 2, "\x4f\xff"},
		{4094, 3, "\x81\x00\x01"}, {70000, 3, "\x83\x17\x11"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct aml aml;

		aml_init(&aml);
		aml_open_package(&aml, 0);
		g_byte_array_set_size(aml.code, aml.code->len + cases[i].body - 1);
		aml_close(&aml);
		g_assert_cmpuint(aml.code->len, ==, 1 + cases[i].n + cases[i].body);
		g_assert_cmpmem(aml.code->data + 1, cases[i].n, cases[i].encoded, cases[i].n);
		aml_fini(&aml);
	}
}

static void test_terms(void)
{
	static const uint8_t expected[] = {
		0x08, '_',  'S',  'B',	'_',  0x0c, 0x41, 0xd0, 0x0a, 0x03,	  /* PNP0A03 */
		0x00, 0x01, 0x0a, 0x02, 0x0b, 0x00, 0x01, 0x0c, 0,    0,    1, 0, /* integers */
		0x0e, 0,    0,	  0,	0,    1,    0,	  0,	0,
	};
	struct aml aml;

	aml_init(&aml);
	aml_name(&aml, "_SB");
	aml_eisa_id(&aml, "PNP0A03");
	aml_integer(&aml, 0);
	aml_integer(&aml, 1);
	aml_integer(&aml, 2);
	aml_integer(&aml, 0x100);
	aml_integer(&aml, 0x10000);
	aml_integer(&aml, 1ull << 32);
	g_assert_cmpmem(aml.code->data, aml.code->len, expected, sizeof(expected));
	aml_fini(&aml);
}

static void run_iasl(const char *dir, char **argv, char **output)
{
	g_autofree char *errors = NULL;
	g_autoptr(GError) error = NULL;
	int status;

	g_spawn_sync(dir, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, output, &errors, &status,
		     &error);
	g_assert_no_error(error);
	if (!g_spawn_check_wait_status(status, NULL) || strstr(errors, "rror") ||
	    strstr(errors, "arning"))
		g_error("iasl: %s%s", *output, errors);
}

/* ACPICA's own reading of a table, without white space and line comments. Compiled again it must be
 * free of complaints. */
static char *disassemble(const char *dir, const char *name, const uint8_t *table)
{
	g_autofree char *binary = g_build_filename(dir, name, NULL);
	g_autofree char *source = g_strdup_printf("%s.dsl", binary);
	g_autofree char *compiled = g_strdup_printf("%s.aml", binary);
	g_autofree char *disassembled = NULL, *log = NULL;
	char *read_table[] = {"iasl", "-d", (char *)name, NULL};
	char *compile[] = {"iasl", source, NULL};
	char *text, *end;

	g_assert_true(g_file_set_contents(binary, (const char *)table, le32_load(table + 4), NULL));
	run_iasl(dir, read_table, &disassembled);
	g_assert_true(g_file_get_contents(source, &text, NULL, NULL));
	if (strstr(text, "ERROR") || strstr(text, "WARNING") || strstr(text, "nvalid"))
		g_error("%s", text);
	run_iasl(dir, compile, &log);
	g_remove(binary);
	g_remove(source);
	g_remove(compiled);
	end = text;
	for (const char *c = text; *c; c++) {
		if (c[0] == '/' && c[1] == '/')
			c = strchr(c, '\n');
		else if (!g_ascii_isspace(*c))
			*end++ = *c;
	}
	*end = '\0';
	return text;
}

static void check_dsdt(const char *text)
{
	static const char *const expected[] = {
		"Name(_HID,EisaId(\"PNP0A03\")",
		"WordBusNumber(ResourceProducer,MinFixed,MaxFixed,PosDecode,0x0000,0x0000,0x00FF,",
		"IO(Decode16,0x0CF8,0x0CF8,0x01,0x08,)",
		"0x0000,0x0000,0x0CF7,0x0000,0x0CF8",
		"0x0000,0xC000,0xFFFF,0x0000,0x4000",
		"0x00000000,0xC0000000,0xFEBFFFFF,0x00000000,0x3EC00000",
		"0x0000008000000000,0x0000008FFFFFFFFF,0x0000000000000000,0x0000001000000000",
		"Package(0x04){0x0001FFFF,Zero,Zero,0x11}",
		"Package(0x04){0x001FFFFF,0x03,Zero,0x12}",
		"Package(0x04){0x0001FFFF,Zero,ISA.LNKB,Zero}",
		"Method(_PRT,0,Serialized){If(\\PICF){Return(PRTA)",
		"Name(_ADR,0x001F0000)OperationRegion(PIRQ,PCI_Config,0x60,0x0C)",
		"PRQD,8,Offset(0x08),PRQE,8,",
		"If((PRQH&0x80)){Return(0x09)}Return(0x0B)",
		"Method(_SRS,1,Serialized){CreateDWordField(Arg0,0x05,LINE)PRQH=LINE",
		"Device(RTC)",
		"Device(KBD)",
		"EisaId(\"PNP0303\")",
		("IO(Decode16,0x0060,0x0060,0x01,0x01,)IO(Decode16,0x0064,0x0064,0x01,0x01,)"
		 "IRQNoFlags(){1}"),
		"EisaId(\"PNP0F13\")",
		"IRQNoFlags(){6}DMA(Compatibility,NotBusMaster,Transfer8,){2}",
		"Device(COM1)",
		"IO(Decode16,0x03F8,0x03F8,0x01,0x08,)IRQNoFlags(){4}",
		"Device(COM3)",
		"Name(\\_S5,Package(0x04){0x05,0x05,Zero,Zero}",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
		if (!strstr(text, expected[i]))
			g_error("no '%s' in %s", expected[i], text);
	}
	g_assert_null(strstr(text, "Device(COM2)"));
	g_assert_null(strstr(text, "Buffer(")); /* a resource template it could not read */
}

static void check_express_dsdt(const char *text)
{
	static const char *const expected[] = {
		"Name(_HID,EisaId(\"PNP0A08\")",
		"Name(_CID,EisaId(\"PNP0A03\")",
		"0x00000000,0xC0000000,0xCFFFFFFF,0x00000000,0x10000000",
		"0x00000000,0xE0000000,0xFEBFFFFF,0x00000000,0x1EC00000",
		"Name(_HID,EisaId(\"PNP0103\")",
		"Memory32Fixed(ReadWrite,0xFED00000,0x00000400,)",
		"Memory32Fixed(ReadWrite,0xD0000000,0x10000000,)",
		"ToUUID(\"33db4d5b-1ff7-401c-9657-7441c03dd766\")",
		"Local0=(CTRL&0x14)If((CTRL!=Local0)){STAT|=0x10}CTRL=Local0}Else{STAT|=0x04}Return(Arg3)",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
		if (!strstr(text, expected[i]))
			g_error("no '%s' in %s", expected[i], text);
	}
}

static void test_express(void)
{
	g_autofree char *iasl = g_find_program_in_path("iasl");
	g_autofree char *dir = g_dir_make_tmp("viv-acpi-XXXXXX", NULL), *dsdt = NULL;
	struct acpi_config config = pc;
	struct tables t;

	config.pci_config_base = 0xd0000000;
	config.gpe0_len = 16;
	config.hpet_base = 0xfed00000;
	config.hpet_id = 0x80862201;
	build(&t, &config);
	g_assert_cmphex(t.fadt[92], ==, 16);
	g_assert_cmphex(t.fadt[221], ==, 128);
	g_assert_cmphex(le64_load(t.mcfg + 44), ==, 0xd0000000);
	g_assert_cmpmem(t.mcfg + 52, 8, "\0\0\0\xff\0\0\0\0", 8);
	g_assert_cmpmem(t.hpet + 36, 20, "\x01\x22\x86\x80\0\x40\0\0\0\0\xd0\xfe\0\0\0\0\0\xd0\x07\0", 20);
	if (iasl) {
		g_free(disassemble(dir, "mcfg", t.mcfg));
		g_free(disassemble(dir, "hpet", t.hpet));
		dsdt = disassemble(dir, "dsdt", t.dsdt);
		check_express_dsdt(dsdt);
	}
	g_assert_cmpint(g_rmdir(dir), ==, 0);
	mem_free(t.mem);
}

static void test_iasl(void)
{
	g_autofree char *iasl = g_find_program_in_path("iasl");
	g_autofree char *dir = NULL, *dsdt = NULL;
	struct tables t;

	if (!iasl) {
		g_test_skip("iasl is not installed");
		return;
	}
	dir = g_dir_make_tmp("viv-acpi-XXXXXX", NULL);
	build(&t, &pc);
	g_free(disassemble(dir, "xsdt", t.xsdt));
	g_free(disassemble(dir, "fadt", t.fadt));
	g_free(disassemble(dir, "madt", t.madt));
	g_free(disassemble(dir, "facs", t.facs));
	dsdt = disassemble(dir, "dsdt", t.dsdt);
	check_dsdt(dsdt);
	g_assert_cmpint(g_rmdir(dir), ==, 0);
	mem_free(t.mem);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/acpi/fadt", test_fadt);
	g_test_add_func("/acpi/madt", test_madt);
	g_test_add_func("/acpi/many-cpus", test_many_cpus);
	g_test_add_func("/acpi/too-many-cpus", test_too_many_cpus);
	g_test_add_func("/acpi/package-length", test_package_length);
	g_test_add_func("/acpi/terms", test_terms);
	g_test_add_func("/acpi/iasl", test_iasl);
	g_test_add_func("/acpi/express", test_express);
	return g_test_run();
}
