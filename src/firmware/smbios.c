/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/smbios.h"

#include <string.h>

#include "base/le.h"
#include "mem/mem.h"

/* Table 1: the entry point, in its 32-bit form, which all firmware and systems know. */
enum {
	EP_CHECKSUM = 0x04,
	EP_LENGTH = 0x05,
	EP_MAJOR = 0x06,
	EP_MINOR = 0x07,
	EP_MAX_SIZE = 0x08,
	EP_INTERMEDIATE = 0x10,
	EP_INTERMEDIATE_CHECKSUM = 0x15,
	EP_TABLE_LENGTH = 0x16,
	EP_COUNT = 0x1c,
	EP_BCD_REVISION = 0x1e,
	EP_SIZE = 0x1f,
};

/* Section 7. */
enum structure_type {
	SYSTEM = 1,
	CHASSIS = 3,
	PROCESSOR = 4,
	MEMORY_ARRAY = 16,
	MEMORY_DEVICE = 17,
	MEMORY_MAPPED = 19,
	BOOT_INFORMATION = 32,
	END_OF_TABLE = 127,
};

enum { OTHER = 1, UNKNOWN = 2, SAFE = 3, NO_HANDLE = 0xffff, NO_ERROR_HANDLE = 0xfffe };

#define HANDLE(type, n) ((type) << 8 | (n))

struct tables {
	GByteArray *bytes;
	GByteArray *strings; /* of the structure that is open */
	unsigned n_strings;
	unsigned start; /* of that structure */
	unsigned n, max_size;
};

static void put(struct tables *t, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	le64_store(bytes, value);
	g_byte_array_append(t->bytes, bytes, size);
}

/* Its number, counted from 1 in its structure. */
static void put_string(struct tables *t, const char *text)
{
	g_byte_array_append(t->strings, (const uint8_t *)text, strlen(text) + 1);
	put(t, ++t->n_strings, 1);
}

static void put_no_string(struct tables *t)
{
	put(t, 0, 1);
}

static void begin(struct tables *t, enum structure_type type, unsigned n)
{
	t->start = t->bytes->len;
	put(t, type, 1);
	put(t, 0, 1); /* length, which end() sets */
	put(t, HANDLE(type, n), 2);
}

/* Section 6.1.3: strings follow, and a zero; where there are none, two zeros. */
static void end(struct tables *t)
{
	t->bytes->data[t->start + 1] = t->bytes->len - t->start;
	g_byte_array_append(t->bytes, t->strings->data, t->strings->len);
	put(t, 0, t->n_strings ? 1 : 2);
	g_byte_array_set_size(t->strings, 0);
	t->n_strings = 0;
	t->max_size = MAX(t->max_size, t->bytes->len - t->start);
	t->n++;
}

/* Section 7.2.1: the first three fields of a UUID are numbers. */
static void put_uuid(struct tables *t, const uint8_t uuid[16])
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	for (unsigned i = 0; i < 16; i++)
		put(t, uuid[order[i]], 1);
}

static void put_system(struct tables *t, const struct smbios_config *config)
{
	const uint8_t power_switch = 6;

	begin(t, SYSTEM, 0);
	put_string(t, "Vivarium");
	put_string(t, config->product);
	put_no_string(t); /* version */
	put_no_string(t); /* serial number */
	put_uuid(t, config->uuid);
	put(t, power_switch, 1);
	put_no_string(t); /* SKU number */
	put_no_string(t); /* family */
	end(t);
}

static void put_chassis(struct tables *t)
{
	begin(t, CHASSIS, 0);
	put_string(t, "Vivarium");
	put(t, OTHER, 1);
	put_no_string(t);   /* version */
	put_no_string(t);   /* serial number */
	put_no_string(t);   /* asset tag */
	put(t, SAFE, 1);    /* at boot-up */
	put(t, SAFE, 1);    /* power supply */
	put(t, SAFE, 1);    /* heat */
	put(t, UNKNOWN, 1); /* security */
	put(t, 0, 4);	    /* OEM's */
	put(t, 0, 1);	    /* height */
	put(t, 0, 1);	    /* power cords */
	put(t, 0, 2);	    /* no elements */
	put_no_string(t);   /* SKU number */
	end(t);
}

static void put_processor(struct tables *t, const struct smbios_config *config, unsigned n)
{
	const uint8_t central = 3, populated_enabled = 0x41, capable_of_64_bits = 1 << 2;
	g_autofree char *socket = g_strdup_printf("CPU %u", n);

	begin(t, PROCESSOR, n);
	put_string(t, socket);
	put(t, central, 1);
	put(t, OTHER, 1); /* family */
	put_string(t, config->cpu_vendor);
	put(t, config->cpu_signature, 4);
	put(t, config->cpu_features, 4);
	put_string(t, config->cpu_name);
	put(t, 0, 1); /* voltage */
	put(t, 0, 2); /* clock, highest speed and speed: unknown */
	put(t, 0, 2);
	put(t, 0, 2);
	put(t, populated_enabled, 1);
	put(t, OTHER, 1);      /* socket */
	put(t, NO_HANDLE, 2);  /* caches */
	put(t, NO_HANDLE, 2);
	put(t, NO_HANDLE, 2);
	put_no_string(t);      /* serial number */
	put_no_string(t);      /* asset tag */
	put_no_string(t);      /* part number */
	put(t, 1, 1);	       /* cores */
	put(t, 1, 1);	       /* of which enabled */
	put(t, 1, 1);	       /* threads */
	put(t, config->cpu_has_64_bits ? capable_of_64_bits : 0, 2);
	put(t, OTHER, 2);      /* family, again */
	end(t);
}

static void put_memory_array(struct tables *t, uint64_t size)
{
	const uint8_t system_board = 3, system_memory = 3, no_correction = 3;
	const uint32_t see_extended = 0x80000000;

	begin(t, MEMORY_ARRAY, 0);
	put(t, system_board, 1);
	put(t, system_memory, 1);
	put(t, no_correction, 1);
	put(t, see_extended, 4);
	put(t, NO_ERROR_HANDLE, 2);
	put(t, 1, 2); /* devices */
	put(t, size, 8);
	end(t);
}

static void put_memory_device(struct tables *t, uint64_t size)
{
	const uint8_t dimm = 9, ram = 7;
	const uint16_t see_extended = 0x7fff, type_other = 1 << 1, unknown_width = 0xffff;
	uint32_t mib = size >> 20;

	begin(t, MEMORY_DEVICE, 0);
	put(t, HANDLE(MEMORY_ARRAY, 0), 2);
	put(t, NO_ERROR_HANDLE, 2);
	put(t, unknown_width, 2); /* with error correction, and without */
	put(t, unknown_width, 2);
	put(t, MIN(mib, see_extended), 2);
	put(t, dimm, 1);
	put(t, 0, 1); /* set of devices */
	put_string(t, "DIMM 0");
	put_no_string(t); /* bank */
	put(t, ram, 1);
	put(t, type_other, 2);
	put(t, 0, 2); /* speed */
	put_string(t, "Vivarium");
	put_no_string(t); /* serial number */
	put_no_string(t); /* asset tag */
	put_no_string(t); /* part number */
	put(t, 0, 1);	  /* rank */
	put(t, mib < see_extended ? 0 : mib, 4);
	put(t, 0, 2); /* speed as set */
	put(t, 0, 6); /* voltages */
	end(t);
}

static void put_mapped(struct tables *t, unsigned n, uint64_t start, uint64_t size)
{
	if (!size)
		return;
	begin(t, MEMORY_MAPPED, n);
	put(t, start >> 10, 4);
	put(t, (start + size - 1) >> 10, 4);
	put(t, HANDLE(MEMORY_ARRAY, 0), 2);
	put(t, 1, 1);  /* devices in a row */
	put(t, 0, 8); /* addresses that KiB cannot say */
	put(t, 0, 8);
	end(t);
}

static void put_end(struct tables *t)
{
	const uint8_t no_error = 0;

	begin(t, BOOT_INFORMATION, 0);
	put(t, 0, 6);
	put(t, no_error, 1);
	end(t);
	begin(t, END_OF_TABLE, 0);
	end(t);
}

static void set_checksum(uint8_t *data, unsigned len, unsigned at)
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < len; i++)
		sum += data[i];
	data[at] -= sum;
}

/* Without the address of the tables, which firmware puts in, and corrects the checksums. */
static GBytes *make_anchor(const struct tables *t)
{
	uint8_t ep[EP_SIZE] = "_SM_";

	ep[EP_LENGTH] = EP_SIZE;
	ep[EP_MAJOR] = 2;
	ep[EP_MINOR] = 8;
	le16_store(ep + EP_MAX_SIZE, t->max_size);
	memcpy(ep + EP_INTERMEDIATE, "_DMI_", 5);
	le16_store(ep + EP_TABLE_LENGTH, t->bytes->len);
	le16_store(ep + EP_COUNT, t->n);
	ep[EP_BCD_REVISION] = 0x28;
	set_checksum(ep + EP_INTERMEDIATE, EP_SIZE - EP_INTERMEDIATE,
		     EP_INTERMEDIATE_CHECKSUM - EP_INTERMEDIATE);
	set_checksum(ep, EP_SIZE, EP_CHECKSUM);
	return g_bytes_new(ep, sizeof(ep));
}

void smbios_build_files(const struct smbios_config *config, struct smbios_files *files)
{
	struct tables t = {.bytes = g_byte_array_new(), .strings = g_byte_array_new()};

	put_system(&t, config);
	put_chassis(&t);
	for (unsigned i = 0; i < config->n_cpus; i++)
		put_processor(&t, config, i);
	put_memory_array(&t, config->low_size + config->high_size);
	put_memory_device(&t, config->low_size + config->high_size);
	put_mapped(&t, 0, 0, config->low_size);
	put_mapped(&t, 1, MEM_HOLE_END, config->high_size);
	put_end(&t);
	g_assert(t.bytes->len <= UINT16_MAX); /* some 500 processors */
	files->anchor = make_anchor(&t);
	files->tables = g_byte_array_free_to_bytes(t.bytes);
	g_byte_array_unref(t.strings);
}
