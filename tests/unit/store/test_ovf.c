/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/ovf.h"

#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENVELOPE(files, disks, rest)                                        \
	"<?xml version='1.0'?><o:Envelope xmlns:o='x'><o:References>" files \
	"</o:References><o:DiskSection>" disks "</o:DiskSection>" rest "</o:Envelope>"
#define FILE1 "<o:File o:id='f1' o:href='web-disk1.vmdk'/>"
#define DISK1 "<o:Disk o:diskId='d1' o:fileRef='f1' o:capacity='8'/>"

static bool parse(struct ovf *ovf, const char *text, GError **error)
{
	return ovf_parse(ovf, "a.ovf", text, strlen(text), error);
}

static void test_parse(void)
{
	struct ovf ovf;

	g_assert_true(parse(&ovf,
			    ENVELOPE(FILE1, DISK1,
				     "<o:VirtualSystem o:id='web'><o:Item><r:AllocationUnits>byte * "
				     "2^20</r:AllocationUnits>"
				     "<r:ResourceType>4</r:ResourceType><r:VirtualQuantity> 512 "
				     "</r:VirtualQuantity></o:Item>"
				     "<v:Config v:key='firmware' v:value='efi'/></o:VirtualSystem>"),
			    NULL));
	g_assert_cmpstr(ovf.name, ==, "web");
	g_assert_cmpstr(ovf.disk, ==, "web-disk1.vmdk");
	g_assert_cmpuint(ovf.memory, ==, 512 << 20);
	g_assert_true(ovf.uefi);
	ovf_clear(&ovf);
}

static void test_refused(void)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "no OVF"},
		{"<a>", "no OVF"},
		{ENVELOPE(FILE1, "", ""), "0 disks"},
		{ENVELOPE(FILE1, DISK1 DISK1, ""), "2 disks"},
		{ENVELOPE("", DISK1, ""), "which file"},
		{ENVELOPE("<o:File o:id='f1' o:href='/etc/shadow'/>", DISK1, ""), "which file"},
		{ENVELOPE("<o:File o:id='f1' o:href='../x'/>", DISK1, ""), "which file"},
		{ENVELOPE("<o:File o:id='f1' o:href='..'/>", DISK1, ""), "which file"},
		{ENVELOPE(FILE1, DISK1, "<o:VirtualSystemCollection/>"), "several machines"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		struct ovf ovf;

		g_assert_false(parse(&ovf, rows[i].text, &error));
		if (!strstr(error->message, rows[i].says))
			g_error("%s: %s", rows[i].text, error->message);
	}
}

/* What we write we read. */
static void test_describe(void)
{
	g_autofree char *text = ovf_describe(
		&(struct ovf_machine){"web", "web-disk1.vmdk", 100, 1 << 20, 2ull << 30, 2, true});
	g_autoptr(GError) error = NULL;
	struct ovf ovf;

	g_assert_true(parse(&ovf, text, &error));
	g_assert_cmpstr(ovf.disk, ==, "web-disk1.vmdk");
	g_assert_cmpuint(ovf.memory, ==, 2ull << 30);
	g_assert_true(ovf.uefi);
	ovf_clear(&ovf);
}

static void test_tar(void)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);
	uint8_t header[512];
	struct tar_member member;
	uint64_t offset = 0;
	g_autoptr(GError) error = NULL;

	tar_header(header, "a.ovf", 700);
	g_assert_cmpint(pwrite(fd, header, 512, 0), ==, 512);
	tar_header(header, "b.vmdk", 9ull << 30); /* more than octal digits hold */
	g_assert_cmpint(pwrite(fd, header, 512, 512 + 1024), ==, 512);
	g_assert_true(tar_next(fd, "t", &offset, &member, &error));
	g_assert_cmpstr(member.name, ==, "a.ovf");
	g_assert_cmpuint(member.size, ==, 700);
	g_assert_cmpuint(offset, ==, 512 + 1024);
	g_assert_true(tar_next(fd, "t", &offset, &member, &error));
	g_assert_cmpuint(member.size, ==, 9ull << 30);
	g_assert_false(tar_next(fd, "t", &offset, &member, &error));
	g_assert_no_error(error);
	header[0] ^= 1;
	g_assert_cmpint(pwrite(fd, header, 512, 0), ==, 512);
	offset = 0;
	g_assert_false(tar_next(fd, "t", &offset, &member, &error));
	g_assert_nonnull(error);
	close(fd);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/parse", test_parse);
	g_test_add_func("/refused", test_refused);
	g_test_add_func("/describe", test_describe);
	g_test_add_func("/tar", test_tar);
	return g_test_run();
}
