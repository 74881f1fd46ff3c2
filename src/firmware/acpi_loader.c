/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables as firmware takes them over: files, and a list of commands of 128 bytes each that say where files may
 * lie, what in them is a pointer, and what a checksum (QEMU's ACPI linker/loader interface).
 */
#include <string.h>

#include "base/le.h"
#include "firmware/acpi_int.h"

#define COMMAND_SIZE 128
#define NAME_SIZE    56
#define TABLE_ALIGN  64 /* the FACS asks for it */
#define RSDP_ALIGN   16

enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_F_SEGMENT = 2 };

/* A command being written, its fields one after the other. */
struct command {
	uint8_t bytes[COMMAND_SIZE];
	unsigned at;
};

static void put_number(struct command *c, uint32_t value, unsigned size)
{
	uint8_t bytes[4];

	le32_store(bytes, value);
	memcpy(c->bytes + c->at, bytes, size);
	c->at += size;
}

static void put_name(struct command *c, const char *name)
{
	g_strlcpy((char *)c->bytes + c->at, name, NAME_SIZE);
	c->at += NAME_SIZE;
}

static struct command new_command(uint32_t what, const char *file)
{
	struct command c = {0};

	put_number(&c, what, 4);
	put_name(&c, file);
	return c;
}

static void finish(GByteArray *script, const struct command *c)
{
	g_byte_array_append(script, c->bytes, sizeof(c->bytes));
}

static void allocate(GByteArray *script, const char *file, uint32_t align, uint8_t zone)
{
	struct command c = new_command(ALLOCATE, file);

	put_number(&c, align, 4);
	put_number(&c, zone, 1);
	finish(script, &c);
}

static const char *file_of(bool in_rsdp)
{
	return in_rsdp ? ACPI_RSDP_FILE : ACPI_TABLES_FILE;
}

static GBytes *write_script(const struct acpi_tables *t)
{
	GByteArray *script = g_byte_array_new();

	allocate(script, ACPI_TABLES_FILE, TABLE_ALIGN, ZONE_HIGH);
	allocate(script, ACPI_RSDP_FILE, RSDP_ALIGN, ZONE_F_SEGMENT);
	for (unsigned i = 0; i < t->pointers->len; i++) {
		const struct acpi_pointer *p = &g_array_index(t->pointers, struct acpi_pointer, i);
		struct command c = new_command(ADD_POINTER, file_of(p->in_rsdp));

		put_name(&c, ACPI_TABLES_FILE);
		put_number(&c, p->at, 4);
		put_number(&c, p->size, 1);
		finish(script, &c);
	}
	for (unsigned i = 0; i < t->sums->len; i++) {
		const struct acpi_sum *sum = &g_array_index(t->sums, struct acpi_sum, i);
		struct command c = new_command(ADD_CHECKSUM, file_of(sum->in_rsdp));

		put_number(&c, sum->at, 4);
		put_number(&c, sum->start, 4);
		put_number(&c, sum->len, 4);
		finish(script, &c);
	}
	return g_byte_array_free_to_bytes(script);
}

void acpi_build_files(const struct acpi_config *config, struct acpi_files *files)
{
	struct acpi_tables t;

	acpi_tables_init(&t, config);
	*files = (struct acpi_files){
		.tables = g_bytes_new(t.tables->data, t.tables->len),
		.rsdp = g_bytes_new(t.rsdp, sizeof(t.rsdp)),
		.loader = write_script(&t),
	};
	acpi_tables_fini(&t);
}
