/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/ovf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define MAX_DEPTH   32
#define MAX_FILES   64
#define RASD_MEMORY "4" /* CIM_ResourceAllocationSettingData, ResourceType */

void ovf_clear(struct ovf *ovf)
{
	g_clear_pointer(&ovf->name, g_free);
	g_clear_pointer(&ovf->disk, g_free);
}

struct parser {
	struct ovf *ovf;
	unsigned depth, n_disks;
	GHashTable *files;	       /* id -> href */
	char *file_ref;		       /* of the disk */
	GString *text;		       /* of the element that is open */
	char *type, *quantity, *units; /* of the Item that is open */
	bool machines;		       /* more than one */
};

/* Names stand behind a prefix of a namespace that everybody calls as he likes. */
static const char *local(const char *name)
{
	const char *colon = strchr(name, ':');

	return colon ? colon + 1 : name;
}

static const char *attribute(const char **names, const char **values, const char *wanted)
{
	for (; *names; names++, values++)
		if (!strcmp(local(*names), wanted))
			return *values;
	return NULL;
}

static void begin_disk(struct parser *p, const char **names, const char **values)
{
	const char *ref = attribute(names, values, "fileRef");

	/* One without a file is empty: made where the machine is. */
	if (ref && !p->n_disks++)
		p->file_ref = g_strdup(ref);
}

static void begin(GMarkupParseContext *context, const char *element, const char **names, const char **values,
		  gpointer opaque, GError **error)
{
	struct parser *p = opaque;
	const char *id = attribute(names, values, "id"), *href = attribute(names, values, "href");
	const char *name = local(element);

	g_string_truncate(p->text, 0);
	if (++p->depth > MAX_DEPTH)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "its elements are nested too deep");
	else if (!strcmp(name, "File") && id && href && g_hash_table_size(p->files) < MAX_FILES)
		g_hash_table_insert(p->files, g_strdup(id), g_strdup(href));
	else if (!strcmp(name, "Disk"))
		begin_disk(p, names, values);
	else if (!strcmp(name, "VirtualSystemCollection"))
		p->machines = true;
	else if (!strcmp(name, "VirtualSystem") && id && !p->ovf->name)
		p->ovf->name = g_strdup(id);
	else if (!strcmp(name, "Config") && !g_strcmp0(attribute(names, values, "key"), "firmware"))
		p->ovf->uefi = !g_strcmp0(attribute(names, values, "value"), "efi");
}

/* "byte * 2^20" of DSP0004, or what programs wrote before there was that. */
static unsigned unit_shift(const char *units)
{
	const char *power = units ? strstr(units, "2^") : NULL;
	guint64 shift;

	if (power && g_ascii_string_to_unsigned(power + 2, 10, 0, 40, &shift, NULL))
		return shift;
	if (units && (!g_ascii_strcasecmp(units, "GigaBytes") || !g_ascii_strcasecmp(units, "GB")))
		return 30;
	return 20;
}

static void end_item(struct parser *p)
{
	guint64 quantity;

	if (!g_strcmp0(p->type, RASD_MEMORY) && p->quantity &&
	    g_ascii_string_to_unsigned(p->quantity, 10, 1, 1 << 23, &quantity, NULL))
		p->ovf->memory = quantity << unit_shift(p->units);
	g_clear_pointer(&p->type, g_free);
	g_clear_pointer(&p->quantity, g_free);
	g_clear_pointer(&p->units, g_free);
}

static void keep(struct parser *p, char **member)
{
	g_free(*member);
	*member = g_strstrip(g_strdup(p->text->str));
}

static void end(GMarkupParseContext *context, const char *element, gpointer opaque, GError **error)
{
	struct parser *p = opaque;
	const char *name = local(element);

	p->depth--;
	if (!strcmp(name, "ResourceType"))
		keep(p, &p->type);
	else if (!strcmp(name, "VirtualQuantity"))
		keep(p, &p->quantity);
	else if (!strcmp(name, "AllocationUnits"))
		keep(p, &p->units);
	else if (!strcmp(name, "Item"))
		end_item(p);
}

static void text(GMarkupParseContext *context, const char *bytes, gsize len, gpointer opaque, GError **error)
{
	g_string_append_len(((struct parser *)opaque)->text, bytes, len);
}

/* In the archive, or beside the descriptor: nowhere else. */
static bool is_plain(const char *name)
{
	return *name && *name != '.' && strlen(name) < sizeof(((struct tar_member *)0)->name) &&
	       !strpbrk(name, "/\\\n");
}

static bool conclude(struct parser *p, const char *file, GError **error)
{
	const char *href = p->file_ref ? g_hash_table_lookup(p->files, p->file_ref) : NULL;

	if (p->machines)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' describes several machines; viv takes one", file);
	else if (p->n_disks != 1)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' describes a machine with %u disks; viv takes one", file, p->n_disks);
	else if (!href || !is_plain(href))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is damaged: it does not say which file its disk is", file);
	else
		p->ovf->disk = g_strdup(href);
	return p->ovf->disk;
}

bool ovf_parse(struct ovf *ovf, const char *file, const char *bytes, size_t len, GError **error)
{
	static const GMarkupParser callbacks = {.start_element = begin, .end_element = end, .text = text};
	struct parser p = {.ovf = ovf, .text = g_string_new(NULL)};
	g_autoptr(GError) cause = NULL;
	GMarkupParseContext *context;
	bool done;

	*ovf = (struct ovf){0};
	p.files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	context = g_markup_parse_context_new(&callbacks, 0, &p, NULL);
	done = g_markup_parse_context_parse(context, bytes, len, &cause) &&
	       g_markup_parse_context_end_parse(context, &cause);
	if (!done)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is no OVF descriptor: %s", file,
			    cause->message);
	done = done && conclude(&p, file, error);
	g_markup_parse_context_free(context);
	g_hash_table_unref(p.files);
	g_string_free(p.text, TRUE);
	g_free(p.file_ref);
	g_free(p.type);
	g_free(p.quantity);
	g_free(p.units);
	if (!done)
		ovf_clear(ovf);
	return done;
}

/* POSIX ustar. */
enum {
	TAR_BLOCK = 512,
	TAR_MODE = 100,
	TAR_UID = 108,
	TAR_GID = 116,
	TAR_SIZE = 124,
	TAR_MTIME = 136,
	TAR_CHECKSUM = 148,
	TAR_TYPE = 156,
	TAR_MAGIC = 257,
};

/* Octal digits; or, with the first bit set, GNU's binary number. */
static bool tar_number(const uint8_t *field, unsigned len, uint64_t *value)
{
	uint64_t number = 0;
	unsigned i = 0;

	if (field[0] & 0x80) {
		for (i = len - 8; i < len; i++)
			number = number << 8 | field[i];
		*value = number;
		return number <= INT64_MAX / 2;
	}
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		number = number << 3 | (field[i] - '0');
	*value = number;
	return i == len || !field[i] || field[i] == ' ';
}

static unsigned tar_sum(const uint8_t *header)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < TAR_BLOCK; i++)
		sum += i >= TAR_CHECKSUM && i < TAR_CHECKSUM + 8 ? ' ' : header[i];
	return sum;
}

static bool damaged(GError **error, const char *path)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is no tar archive, or a damaged one", path);
	return false;
}

bool tar_next(int fd, const char *path, uint64_t *offset, struct tar_member *member, GError **error)
{
	uint8_t header[TAR_BLOCK];
	ssize_t n = pread(fd, header, sizeof(header), *offset);
	uint64_t sum;

	if (n == 0 || (n == sizeof(header) && !header[0]))
		return false;
	if (n != sizeof(header) || !tar_number(header + TAR_CHECKSUM, 8, &sum) || sum != tar_sum(header) ||
	    !tar_number(header + TAR_SIZE, 12, &member->size) || member->size > INT64_MAX / 2)
		return damaged(error, path);
	memset(member->name, 0, sizeof(member->name));
	memcpy(member->name, header, 100);
	/* "./name" is the name. */
	if (g_str_has_prefix(member->name, "./"))
		memmove(member->name, member->name + 2, sizeof(member->name) - 2);
	member->offset = *offset + TAR_BLOCK;
	*offset = member->offset + (member->size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	return *offset < INT64_MAX || damaged(error, path);
}

void tar_header(uint8_t header[512], const char *name, uint64_t size)
{
	memset(header, 0, TAR_BLOCK);
	memcpy(header, name, MIN(strlen(name), 99));
	memcpy(header + TAR_MODE, "0000644", 8);
	memcpy(header + TAR_UID, "0000000", 8);
	memcpy(header + TAR_GID, "0000000", 8);
	memcpy(header + TAR_MTIME, "00000000000", 12);
	memcpy(header + TAR_MAGIC, "ustar\00000", 8);
	header[TAR_TYPE] = '0';
	if (size < 1ull << 33) {
		char digits[12 + 1];

		snprintf(digits, sizeof(digits), "%011" PRIo64, size);
		memcpy(header + TAR_SIZE, digits, 12);
	} else {
		header[TAR_SIZE] = 0x80;
		for (unsigned i = 0; i < 8; i++)
			header[TAR_SIZE + 11 - i] = size >> 8 * i;
	}
	char sum[8 + 1];

	snprintf(sum, sizeof(sum), "%06o", tar_sum(header));
	memcpy(header + TAR_CHECKSUM, sum, 7);
	header[TAR_CHECKSUM + 7] = ' ';
}

static const char descriptor[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" "
	"xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\""
	" xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\""
	" xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData\""
	" xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n"
	"  <References>\n"
	"    <File ovf:id=\"file1\" ovf:href=\"%s\" ovf:size=\"%" PRIu64 "\"/>\n"
	"  </References>\n"
	"  <DiskSection>\n"
	"    <Info>The disk</Info>\n"
	"    <Disk ovf:diskId=\"disk1\" ovf:fileRef=\"file1\" ovf:capacity=\"%" PRIu64
	"\" ovf:capacityAllocationUnits=\"byte\""
	" ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"/>\n"
	"  </DiskSection>\n"
	"  <NetworkSection>\n"
	"    <Info>The networks</Info>\n"
	"    <Network ovf:name=\"NAT\"><Description>The NAT network</Description></Network>\n"
	"  </NetworkSection>\n"
	"  <VirtualSystem ovf:id=\"%s\">\n"
	"    <Info>A virtual machine</Info>\n"
	"    <OperatingSystemSection ovf:id=\"96\"><Info>Debian, 64 bits</Info></OperatingSystemSection>\n"
	"    <VirtualHardwareSection>\n"
	"      <Info>What it needs</Info>\n"
	"      <System><vssd:ElementName>Hardware</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>"
	"<vssd:VirtualSystemIdentifier>%s</vssd:VirtualSystemIdentifier>"
	"<vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType></System>\n"
	"      <Item><rasd:ElementName>Processors</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>"
	"<rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>%u</rasd:VirtualQuantity></Item>\n"
	"      <Item><rasd:AllocationUnits>byte * "
	"2^20</rasd:AllocationUnits><rasd:ElementName>Memory</rasd:ElementName>"
	"<rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>"
	"<rasd:VirtualQuantity>%" PRIu64 "</rasd:VirtualQuantity></Item>\n"
	"      <Item><rasd:Address>0</rasd:Address><rasd:ElementName>SATA</rasd:ElementName>"
	"<rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType>"
	"<rasd:ResourceType>20</rasd:ResourceType></Item>\n"
	"      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Disk</rasd:ElementName>"
	"<rasd:HostResource>ovf:/disk/disk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>"
	"<rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>\n"
	"      "
	"<Item><rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>NAT</"
	"rasd:Connection>"
	"<rasd:ElementName>Network card</rasd:ElementName><rasd:InstanceID>5</rasd:InstanceID>"
	"<rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>\n"
	"%s"
	"    </VirtualHardwareSection>\n"
	"  </VirtualSystem>\n"
	"</Envelope>\n";

char *ovf_describe(const struct ovf_machine *m)
{
	return g_strdup_printf(descriptor, m->file, m->file_size, m->size, m->name, m->name, m->cpus,
			       m->memory >> 20,
			       m->uefi ? "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" "
					 "vmw:value=\"efi\"/>\n"
				       : "");
}
