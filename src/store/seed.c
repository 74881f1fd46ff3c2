/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/seed.h"

#include <crypt.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#define LIBISOFS_WITHOUT_LIBBURN
#include <libisofs/libisofs.h>

#include "base/error.h"

#define MAX_FILE   (1 << 20)
#define BLOCK_SIZE 2048
#define N_FILES	   4

/* JSON is YAML, and quotes for us. */
static char *to_yaml(const char *head, JsonObject *object)
{
	g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
	g_autofree char *text = NULL;

	json_node_take_object(root, object);
	text = json_to_string(root, TRUE);
	return g_strconcat(head, text, "\n", NULL);
}

static JsonArray *string_array(const GPtrArray *strings)
{
	JsonArray *array = json_array_new();

	for (unsigned i = 0; i < strings->len; i++)
		json_array_add_string_element(array, strings->pdata[i]);
	return array;
}

char *seed_meta_data(const struct vm_def *vm)
{
	JsonObject *data = json_object_new();

	json_object_set_string_member(data, "instance-id", vm->instance);
	json_object_set_string_member(data, "local-hostname", vm->host);
	json_object_set_array_member(data, "public-keys", string_array(vm->keys));
	return to_yaml("", data);
}

char *seed_network_config(const struct vm_def *vm)
{
	JsonObject *data = json_object_new(), *cards = json_object_new(), *card = json_object_new(),
		   *match = json_object_new();

	json_object_set_string_member(match, "macaddress", vm->mac);
	json_object_set_object_member(card, "match", match);
	json_object_set_boolean_member(card, "dhcp4", TRUE);
	json_object_set_object_member(cards, "net0", card);
	json_object_set_int_member(data, "version", 2);
	json_object_set_object_member(data, "ethernets", cards);
	return to_yaml("", data);
}

static char *hash_password(const char *password)
{
	g_autofree struct crypt_data *data = g_new0(struct crypt_data, 1);
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];

	if (!crypt_gensalt_rn("$6$", 0, NULL, 0, salt, sizeof(salt)))
		return NULL;
	return g_strdup(crypt_r(password, salt, data));
}

/* Only for who sits at a console: not over the network, even where the image's sshd would. */
static void set_password(JsonObject *data, const char *password)
{
	g_autofree char *hash = hash_password(password);
	JsonObject *expire = json_object_new();

	if (hash && hash[0] == '$')
		json_object_set_string_member(data, "password", hash);
	json_object_set_boolean_member(expire, "expire", FALSE);
	json_object_set_object_member(data, "chpasswd", expire);
	json_object_set_boolean_member(data, "ssh_pwauth", FALSE);
}

static void set_host_key(JsonObject *data, const char *private, const char *public)
{
	JsonObject *keys = json_object_new();

	json_object_set_string_member(keys, "ed25519_private", private);
	json_object_set_string_member(keys, "ed25519_public", public);
	json_object_set_object_member(data, "ssh_keys", keys);
}

/* What cloud-init runs early in each boot. */
static void add_command(JsonArray *commands, const char *const *words, size_t n)
{
	JsonArray *command = json_array_new();

	for (size_t i = 0; i < n; i++)
		json_array_add_string_element(command, words[i]);
	json_array_add_array_element(commands, command);
}

/* The disk has another machine's id; images have none. */
static void renew_machine_id(JsonArray *commands)
{
	static const char *const words[] = {
		"cloud-init-per",
		"instance",
		"viv-machine-id",
		"sh",
		"-c",
		"rm -f /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup"};

	add_command(commands, words, G_N_ELEMENTS(words));
}

/* Not by `mounts`, which a guest heeds but in its first boot, and leaves in its fstab when the folder is there no more. */
static void add_mount(JsonArray *commands, const struct seed_mount *mount)
{
	const char *const words[] = {
		"sh",	     "-c",	      "mkdir -p \"$0\" && mount -t \"$1\" -o \"$2\" \"$0\" \"$0\"",
		mount->path, mount->type, mount->options};

	add_command(commands, words, G_N_ELEMENTS(words));
}

char *seed_vendor_data(const struct vm_def *vm, const struct seed_mount *mounts, unsigned n_mounts,
		       const char *host_key, const char *host_key_public)
{
	JsonObject *data = json_object_new();
	JsonArray *commands = json_array_new();

	if (vm->password)
		set_password(data, vm->password);
	if (host_key)
		set_host_key(data, host_key, host_key_public);
	if (vm->cloned)
		renew_machine_id(commands);
	for (unsigned i = 0; i < n_mounts; i++)
		add_mount(commands, &mounts[i]);
	json_object_set_array_member(data, "bootcmd", commands);
	return to_yaml("#cloud-config\n", data);
}

struct file {
	const char *name;
	char *text;
	size_t len;
};

static char *read_file(const struct vm_def *vm, const char *name, size_t *len, GError **error)
{
	g_autofree char *path = vm_def_path(vm, name);

	return store_read(path, MAX_FILE, len, error);
}

static bool make_files(const struct vm_def *vm, const struct seed_mount *mounts, unsigned n_mounts,
		       struct file files[N_FILES], GError **error)
{
	g_autofree char *key = NULL, *public = NULL;

	key = read_file(vm, "ssh_host_ed25519_key", NULL, error);
	public = key ? read_file(vm, "ssh_host_ed25519_key.pub", NULL, error) : NULL;
	if (!public)
		return false;
	files[0] = (struct file){"meta-data", seed_meta_data(vm)};
	files[1] = (struct file){"network-config", seed_network_config(vm)};
	files[2] = (struct file){"vendor-data", seed_vendor_data(vm, mounts, n_mounts, key, public)};
	files[3] = (struct file){"user-data", g_strdup("#cloud-config\n{}\n")};
	for (unsigned i = 0; i < N_FILES; i++)
		files[i].len = strlen(files[i].text);
	if (!vm->has_user_data)
		return true;
	g_free(files[3].text);
	files[3].text = read_file(vm, "user-data", &files[3].len, error);
	return files[3].text;
}

static bool refuse_iso(GError **error, int status)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "libisofs cannot make the seed disk: %s",
		    iso_error_to_msg(status));
	return false;
}

static int add_file(IsoImage *image, const struct file *file)
{
	/* The stream frees its bytes as free() does. */
	void *bytes = malloc(MAX(file->len, 1));
	IsoStream *stream;
	int status;

	if (!bytes)
		return ISO_OUT_OF_MEM;
	memcpy(bytes, file->text, file->len);
	status = iso_memory_stream_new(bytes, file->len, &stream);
	if (status < 0)
		free(bytes);
	else
		status = iso_image_add_new_file(image, iso_image_get_root(image), file->name, stream, NULL);
	return status;
}

static bool write_blocks(struct burn_source *source, GString *out)
{
	uint8_t block[BLOCK_SIZE];
	int n;

	while ((n = source->read_xt(source, block, sizeof(block))) > 0)
		g_string_append_len(out, (char *)block, n);
	return n == 0;
}

static bool write_iso(IsoImage *image, GString *out, GError **error)
{
	struct burn_source *source = NULL;
	IsoWriteOpts *options = NULL;
	int status = iso_write_opts_new(&options, 0);
	bool done = false;

	if (status >= 0) {
		iso_write_opts_set_iso_level(options, 3);
		iso_write_opts_set_rockridge(options, 1);
		iso_write_opts_set_joliet(options, 1);
		/* 2: what the next lines say. */
		iso_write_opts_set_replace_mode(options, 2, 2, 2, 2);
		iso_write_opts_set_default_dir_mode(options, 0700);
		iso_write_opts_set_default_file_mode(options, 0600);
		iso_write_opts_set_default_uid(options, 0);
		iso_write_opts_set_default_gid(options, 0);
		status = iso_image_create_burn_source(image, options, &source);
	}
	if (status < 0)
		refuse_iso(error, status);
	else if (!write_blocks(source, out))
		refuse_iso(error, ISO_WRITE_ERROR);
	else
		done = true;
	if (source) {
		source->free_data(source);
		free(source);
	}
	if (options)
		iso_write_opts_free(options);
	return done;
}

static bool make_iso(const struct file files[N_FILES], GString *out, GError **error)
{
	IsoImage *image = NULL;
	int status = iso_init();
	bool done;

	if (status < 0 || (status = iso_image_new("cidata", &image)) < 0)
		return refuse_iso(error, status);
	for (unsigned i = 0; i < N_FILES && status >= 0; i++)
		status = add_file(image, &files[i]);
	done = status < 0 ? refuse_iso(error, status) : write_iso(image, out, error);
	iso_image_unref(image);
	return done;
}

bool seed_make(const struct vm_def *vm, const struct seed_mount *mounts, unsigned n_mounts, const char *path,
	       GError **error)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct file files[N_FILES] = {0};
	bool done = make_files(vm, mounts, n_mounts, files, error) && make_iso(files, out, error) &&
		    store_write(path, out->str, out->len, 0600, error);

	for (unsigned i = 0; i < N_FILES; i++)
		g_free(files[i].text);
	return done;
}
