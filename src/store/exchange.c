/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "block/image.h"
#include "store/disk_copy.h"
#include "store/ovf.h"

#define OVA	   "ova"
#define OVF_MEMORY	(1ull << 30)
#define MAX_EXTENT_TEXT (1 << 20)
#define COPY_CHUNK	(1 << 20)

struct import {
	const struct exchange_import *how;
	struct steps *steps;
	struct store_work work;
	struct manifest manifest;
	char *file;   /* of the disk as it comes */
	char *format; /* of that */
	bool temporary;
};

static bool refuse_host(GError **error, const char *what, const char *path)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot %s '%s': %s", what, path, g_strerror(errno));
	return false;
}

static bool is_url(const char *source)
{
	return g_str_has_prefix(source, "http://") || g_str_has_prefix(source, "https://");
}

/* curl's progress bar ends in "12.3%". */
static void on_curl(void *opaque, const char *line)
{
	const char *space = strrchr(line, ' ');
	char *end;
	double percent = g_ascii_strtod(space ? space : line, &end);

	if (*end == '%')
		steps_tell(opaque, "downloading", percent);
}

static bool download(struct import *import, GError **error)
{
	g_autofree char *path = g_build_filename(import->work.path, "download", NULL);
	const char *argv[] = {"curl",
			      "--fail",
			      "--location",
			      "--proto",
			      "=http,https",
			      "--proto-redir",
			      "=http,https",
			      "--progress-bar",
			      "--show-error",
			      "--output",
			      path,
			      "--",
			      import->how->source,
			      NULL};

	steps_tell(import->steps, "downloading", -1);
	if (!tool_run(&(struct tool){.argv = argv, .on_line = on_curl, .opaque = import->steps}, NULL, error))
		return false;
	import->file = g_steal_pointer(&path);
	import->temporary = true;
	return true;
}

/* Letters of the file's name, or the URL's last part, without extensions. */
static char *name_of(const char *source)
{
	g_autofree char *base = g_path_get_basename(source);
	char *name;

	base[strcspn(base, "?#")] = '\0';
	if (strrchr(base, '.') && strrchr(base, '.') != base)
		*strrchr(base, '.') = '\0';
	name = g_strcanon(g_strdup(base), G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '-');
	while (*name && !g_ascii_isalnum(*name))
		memmove(name, name + 1, strlen(name));
	name[MIN(strlen(name), 63)] = '\0';
	return name;
}

static bool looks_like_tar(const char *path)
{
	struct tar_member member;
	uint64_t offset = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is = fd >= 0 && tar_next(fd, path, &offset, &member, NULL);

	if (fd >= 0)
		close(fd);
	return is;
}

static bool find_member(int fd, const char *path, const char *name, struct tar_member *member, GError **error)
{
	g_autoptr(GError) cause = NULL;
	uint64_t offset = 0;

	while (tar_next(fd, path, &offset, member, &cause))
		if (name[0] == '.' ? g_str_has_suffix(member->name, name) : !strcmp(member->name, name))
			return true;
	if (cause)
		g_propagate_error(error, g_steal_pointer(&cause));
	else
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is damaged: it has no file '%s'", path,
			    name);
	return false;
}

static char *read_member(int fd, const char *path, const struct tar_member *member, GError **error)
{
	g_autofree char *text = NULL;

	if (member->size > OVF_MAX_DESCRIPTOR) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is damaged: its descriptor is too large",
			    path);
		return NULL;
	}
	text = g_malloc0(member->size + 1);
	if (pread(fd, text, member->size, member->offset) == (ssize_t)member->size)
		return g_steal_pointer(&text);
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is damaged: it ends too early", path);
	return NULL;
}

static bool copy_bytes(int from, uint64_t offset, uint64_t size, int to)
{
	g_autofree uint8_t *buffer = g_malloc(COPY_CHUNK);

	while (size) {
		ssize_t n = pread(from, buffer, MIN(size, COPY_CHUNK), offset);

		if (n <= 0 || write(to, buffer, n) != n)
			return false;
		offset += n;
		size -= n;
	}
	return true;
}

static bool take_member(struct import *import, int fd, const struct tar_member *member, GError **error)
{
	g_autofree char *path = g_build_filename(import->work.path, "member", NULL);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool done = to >= 0 && copy_bytes(fd, member->offset, member->size, to);

	if (!done)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s': its disk '%s' cannot be unpacked; is it whole?", import->file,
			    member->name);
	if (to >= 0)
		close(to);
	if (import->temporary)
		unlink(import->file);
	g_free(import->file);
	import->file = g_steal_pointer(&path);
	import->temporary = true;
	return done;
}

static bool take_ovf(struct import *import, struct ovf *ovf, const char *text, size_t len, GError **error)
{
	if (!ovf_parse(ovf, import->file, text, len, error))
		return false;
	import->manifest.min_memory = ovf->memory;
	if (ovf->uefi && !import->manifest.firmware->len)
		g_ptr_array_add(import->manifest.firmware, g_strdup("uefi"));
	return true;
}

static bool open_ova(struct import *import, GError **error)
{
	struct tar_member member;
	struct ovf ovf = {0};
	g_autofree char *text = NULL;
	int fd = open(import->file, O_RDONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return refuse_host(error, "open", import->file);
	done = find_member(fd, import->file, ".ovf", &member, error) &&
	       (text = read_member(fd, import->file, &member, error)) &&
	       take_ovf(import, &ovf, text, member.size, error) &&
	       find_member(fd, import->file, ovf.disk, &member, error) &&
	       take_member(import, fd, &member, error);
	ovf_clear(&ovf);
	close(fd);
	return done;
}

/* Its disk lies beside the descriptor. */
static bool open_ovf(struct import *import, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(import->file), *text = NULL;
	struct ovf ovf = {0};
	size_t len;

	text = store_read(import->file, OVF_MAX_DESCRIPTOR, &len, error);
	if (!text || !take_ovf(import, &ovf, text, len, error))
		return false;
	g_free(import->file);
	import->file = g_build_filename(folder, ovf.disk, NULL);
	ovf_clear(&ovf);
	return true;
}

static bool find_disk(struct import *import, GError **error)
{
	const struct exchange_import *how = import->how;

	if (is_url(how->source) ? !download(import, error) : !(import->file = g_strdup(how->source)))
		return false;
	if (access(import->file, R_OK) < 0)
		return refuse_host(error, "read", import->file);
	if (how->format && strcmp(how->format, OVA)) {
		import->format = g_strdup(how->format);
		return image_find_format(how->format, error);
	}
	if (g_str_has_suffix(import->file, ".ovf")) {
		if (!open_ovf(import, error))
			return false;
	} else if ((how->format || looks_like_tar(import->file)) && !open_ova(import, error)) {
		return false;
	}
	/* The file is not a VM's that could write into it what another format looks like. */
	import->format = g_strdup(image_guess_format(import->file, error));
	return import->format;
}

/* A VMDK may be a text that names files in which its disk is: those beside it, and not any that its maker would like to
 * have out of here. */
static bool check_extents(const struct import *import, GError **error)
{
	g_autofree char *text = g_malloc0(MAX_EXTENT_TEXT + 1);
	int fd = open(import->file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, MAX_EXTENT_TEXT) : -1;
	g_auto(GStrv) lines = g_strsplit(n > 0 ? text : "", "\n", 0);
	bool good = true;

	if (fd >= 0)
		close(fd);
	for (unsigned i = 0; strcmp(import->format, "vmdk") == 0 && lines[i] && good; i++)
		good = !strchr(lines[i], '"') || lines[i][0] == '#' || g_str_has_prefix(lines[i], "ddb.") ||
		       !strchr(strchr(lines[i], '"'), '/');
	if (!good)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' names files of other folders as parts of its disk; viv takes none but those beside it",
			    import->file);
	return good;
}

static void describe(struct import *import)
{
	const struct exchange_import *how = import->how;
	struct manifest *m = &import->manifest;

	m->name = how->name ? g_strdup(how->name) : name_of(how->source);
	m->description = g_strdup(how->description);
	m->origin = g_strdup(how->source);
	m->user = g_strdup(how->user);
	m->cloud_init = how->cloud_init;
	m->format = g_strdup(DISK_STORE_FORMAT);
	m->file = g_strconcat("disk.", m->format, NULL);
	if (how->uefi)
		g_ptr_array_add(m->firmware, g_strdup("uefi"));
}

static bool take_disk(struct import *import, GError **error)
{
	struct manifest *m = &import->manifest;
	g_autofree char *to = g_build_filename(import->work.path, m->file, NULL);
	const struct disk_copy copy = {.from = import->file,
				       .from_format = import->format,
				       .to = to,
				       .to_format = m->format,
				       .alone = true,
				       .step = "copying",
				       .steps = import->steps};

	if (!m->firmware->len)
		g_ptr_array_add(m->firmware, g_strdup("bios"));
	if (!disk_copy(&copy, &m->size, error))
		return false;
	if (import->temporary)
		unlink(import->file);
	return true;
}

bool exchange_import(const struct store *store, const struct exchange_import *how, struct steps *steps,
		     struct image_ref *image, GError **error)
{
	struct import import = {.how = how, .steps = steps};
	bool done;

	manifest_init(&import.manifest);
	describe(&import);
	done = store_name_check(import.manifest.name, error) &&
	       store_begin(&import.work, store->images, error) && find_disk(&import, error) &&
	       check_extents(&import, error) &&
	       take_disk(&import, error) &&
	       images_add(store, &import.work, &import.manifest, steps, image, error);
	if (import.work.path)
		store_drop(&import.work);
	manifest_fini(&import.manifest);
	g_free(import.file);
	g_free(import.format);
	return done;
}

static bool write_member(int fd, const char *name, const void *bytes, uint64_t size, int from)
{
	static const uint8_t zeroes[512];
	uint8_t header[512];

	tar_header(header, name, size);
	return write(fd, header, sizeof(header)) == sizeof(header) &&
	       (bytes ? write(fd, bytes, size) == (ssize_t)size : copy_bytes(from, 0, size, fd)) &&
	       write(fd, zeroes, -size % 512) == (ssize_t)(-size % 512);
}

static bool write_ova(const struct image_ref *image, const char *disk, int fd)
{
	static const uint8_t end[1024];
	const struct manifest *m = &image->manifest;
	g_autofree char *disk_name = g_strconcat(m->name, "-disk1.vmdk", NULL),
			*ovf_name = g_strconcat(m->name, ".ovf", NULL);
	g_autofree char *text = NULL;
	struct stat st;
	int from = open(disk, O_RDONLY | O_CLOEXEC);
	bool done = false;

	if (from >= 0 && fstat(from, &st) == 0) {
		text = ovf_describe(&(struct ovf_machine){.name = m->name,
							  .file = disk_name,
							  .file_size = st.st_size,
							  .size = m->size,
							  .memory = MAX(m->min_memory, OVF_MEMORY),
							  .cpus = 1,
							  .uefi = !strcmp(m->firmware->pdata[0], "uefi")});
		done = write_member(fd, ovf_name, text, strlen(text), -1) &&
		       write_member(fd, disk_name, NULL, st.st_size, from) &&
		       write(fd, end, sizeof(end)) == sizeof(end) && fsync(fd) == 0;
	}
	if (from >= 0)
		close(from);
	return done;
}

static bool copy_out(const struct image_ref *image, const char *to, const char *format,
		     const char *const *options, struct steps *steps, GError **error)
{
	const struct disk_copy copy = {.from = image->disk,
				       .from_format = image->manifest.format,
				       .to = to,
				       .to_format = format,
				       .to_options = options,
				       .step = "writing",
				       .steps = steps};

	return disk_copy(&copy, NULL, error);
}

static bool export_ova(const struct image_ref *image, const char *path, const char *new, struct steps *steps,
		       GError **error)
{
	static const char *const stream[] = {"subformat=streamOptimized", NULL};
	g_autofree char *disk = g_strconcat(new, ".vmdk", NULL);
	int fd = -1;
	bool done = copy_out(image, disk, "vmdk", stream, steps, error);

	if (done) {
		fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		done = (fd >= 0 && write_ova(image, disk, fd)) || refuse_host(error, "write", path);
	}
	if (fd >= 0)
		close(fd);
	unlink(disk);
	return done;
}

bool exchange_export(const struct image_ref *image, const char *path, const char *format, struct steps *steps,
		     GError **error)
{
	g_autofree char *new = g_strdup_printf("%s.new-%ld", path, (long)getpid());
	bool is_ova = format ? !strcmp(format, OVA) : g_str_has_suffix(path, "." OVA);
	bool done;

	if (access(path, F_OK) == 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is there already; name a new file",
			    path);
		return false;
	}
	if (!format)
		format = image_format_of_path(path);
	if (is_ova)
		done = export_ova(image, path, new, steps, error);
	else
		done = image_find_format(format, error) && copy_out(image, new, format, NULL, steps, error);
	if (done && rename(new, path) < 0)
		done = refuse_host(error, "write", path);
	if (!done)
		unlink(new);
	return done;
}
