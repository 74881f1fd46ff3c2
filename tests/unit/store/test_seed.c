/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/seed.h"

#include <crypt.h>
#include <string.h>

static JsonObject *parse(const char *text)
{
	g_autoptr(JsonParser) parser = json_parser_new();

	g_assert_true(json_parser_load_from_data(parser, text, -1, NULL));
	return json_object_ref(json_node_get_object(json_parser_get_root(parser)));
}

static void make_vm(struct vm_def *vm)
{
	vm_def_init(vm);
	vm->name = g_strdup("web");
	vm->host = g_strdup("web");
	vm->instance = g_strdup("iid-1");
	vm->mac = g_strdup("52:54:00:01:02:03");
	vm->password = g_strdup("secret-word");
	g_ptr_array_add(vm->keys, g_strdup("ssh-ed25519 AAAA \"quoted\": #x"));
}

static void test_meta_data(void)
{
	g_autoptr(JsonObject) data = NULL;
	g_autofree char *text = NULL;
	struct vm_def vm;

	make_vm(&vm);
	text = seed_meta_data(&vm);
	data = parse(text);
	g_assert_cmpstr(json_object_get_string_member(data, "instance-id"), ==, "iid-1");
	g_assert_cmpstr(json_array_get_string_element(json_object_get_array_member(data, "public-keys"), 0),
			==, vm.keys->pdata[0]);
	vm_def_clear(&vm);
}

/* The password is not in it, but what it can be checked with; and it is for consoles. */
static void test_vendor_data(void)
{
	g_autoptr(JsonObject) data = NULL;
	g_autofree char *text = NULL;
	const char *hash;
	struct vm_def vm;

	make_vm(&vm);
	text = seed_vendor_data(&vm, NULL, 0, "PRIVATE\n", "PUBLIC\n");
	g_assert_true(g_str_has_prefix(text, "#cloud-config\n"));
	g_assert_null(strstr(text, "secret-word"));
	data = parse(strchr(text, '\n'));
	hash = json_object_get_string_member(data, "password");
	g_assert_cmpstr(crypt("secret-word", hash), ==, hash);
	g_assert_false(json_object_get_boolean_member(data, "ssh_pwauth"));
	g_assert_cmpstr(json_object_get_string_member(json_object_get_object_member(data, "ssh_keys"),
						      "ed25519_private"),
			==, "PRIVATE\n");
	g_assert_cmpuint(json_array_get_length(json_object_get_array_member(data, "bootcmd")), ==, 0);
	vm_def_clear(&vm);
}

/* A machine with another's disk gets another machine-id. */
static void test_cloned(void)
{
	g_autofree char *text = NULL;
	struct vm_def vm;

	make_vm(&vm);
	vm.cloned = true;
	text = seed_vendor_data(&vm, NULL, 0, NULL, NULL);
	g_assert_nonnull(strstr(text, "systemd-machine-id-setup"));
	g_assert_null(strstr(text, "ssh_keys"));
	vm_def_clear(&vm);
}

/* A shared folder is mounted in each boot. */
static void test_mounts(void)
{
	const struct seed_mount mounts[] = {{"/data", "virtiofs", "rw"}, {"/old", "9p", "ro,trans=virtio"}};
	g_autoptr(JsonObject) data = NULL;
	g_autofree char *text = NULL;
	JsonArray *commands, *words;
	struct vm_def vm;

	make_vm(&vm);
	text = seed_vendor_data(&vm, mounts, G_N_ELEMENTS(mounts), NULL, NULL);
	data = parse(strchr(text, '\n'));
	commands = json_object_get_array_member(data, "bootcmd");
	g_assert_cmpuint(json_array_get_length(commands), ==, 2);
	words = json_array_get_array_element(commands, 1);
	g_assert_cmpstr(json_array_get_string_element(words, 3), ==, "/old");
	g_assert_cmpstr(json_array_get_string_element(words, 4), ==, "9p");
	g_assert_cmpstr(json_array_get_string_element(words, 5), ==, "ro,trans=virtio");
	vm_def_clear(&vm);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/meta-data", test_meta_data);
	g_test_add_func("/vendor-data", test_vendor_data);
	g_test_add_func("/cloned", test_cloned);
	g_test_add_func("/mounts", test_mounts);
	return g_test_run();
}
