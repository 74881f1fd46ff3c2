/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/local_socket.h"
#include "mem/mem.h"
#include "vm/gdb/server.h"
#include "vm/runtime_dir.h"

/* NULL: vm_new() measures and chooses. */
static const struct {
	const char *name;
	const struct engine *engine;
} engines[] = {
	{"auto", NULL},
	{"soft", &engine_soft},
	{"interp", &engine_interp},
	{"kvm", &engine_kvm},
};

G_GNUC_PRINTF(2, 3)
static bool refuse(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_propagate_error(error, g_error_new_valist(VIV_ERROR, VIV_ERROR_INPUT, format, args));
	va_end(args);
	return false;
}

/* A path given twice is a slip of the hand, and which one was meant nobody knows. */
static bool set_once(char **member, const char *value, GError **error)
{
	if (*member)
		return refuse(error, "given twice ('%s', then '%s'); give it once", *member, value);
	*member = g_strdup(value);
	return true;
}

static bool set_kernel(void *target, const char *value, GError **error)
{
	return set_once(&((struct vm_config *)target)->kernel, value, error);
}

static bool set_initrd(void *target, const char *value, GError **error)
{
	return set_once(&((struct vm_config *)target)->initrd, value, error);
}

static bool set_kernel_cache(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	g_free(config->kernel_cache);
	config->kernel_cache = strcmp(value, "off") ? g_strdup(value) : NULL;
	return true;
}

static bool set_append(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	g_free(config->append);
	config->append = g_strdup(value);
	return true;
}

/* Bytes; without a suffix, MiB. */
static bool parse_size(const char *text, uint64_t *size)
{
	static const char suffixes[] = "KMGT";
	const char *suffix = NULL;
	unsigned shift = 20;
	char *end;

	if (!g_ascii_isdigit(text[0]))
		return false;
	errno = 0;
	guint64 number = g_ascii_strtoull(text, &end, 10);

	if (*end) {
		suffix = strchr(suffixes, g_ascii_toupper(*end));
		if (!suffix || end[1])
			return false;
		shift = 10 * (suffix - suffixes + 1);
	}
	if (errno || number > UINT64_MAX >> shift)
		return false;
	*size = number << shift;
	return true;
}

static bool check_size(const char *value, uint64_t size, uint64_t min, uint64_t max, GError **error)
{
	if (size < min || size > max)
		return refuse(error, "%s is out of range; give between %" PRIu64 "M and %" PRIu64 "G",
			      value, min >> 20, max >> 30);
	if (size % MEM_PAGE_SIZE)
		return refuse(error, "%s is not a multiple of 4K; write it like 512M or 2G", value);
	return true;
}

static bool set_memory(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	uint64_t size;

	if (!parse_size(value, &size))
		return refuse(error, "'%s' is not a size; write it like 512M or 2G", value);
	if (!check_size(value, size, MEM_MIN_SIZE, MEM_MAX_SIZE, error))
		return false;
	config->ram_size = size;
	return true;
}

static bool set_code_cache(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	uint64_t size;

	if (!parse_size(value, &size))
		return refuse(error, "'%s' is not a size; write it like 16M or 1G", value);
	if (!check_size(value, size, ENGINE_CODE_CACHE_MIN, ENGINE_CODE_CACHE_MAX, error))
		return false;
	config->code_cache = size;
	return true;
}

static bool set_cpus(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	guint64 n;

	if (!g_ascii_string_to_unsigned(value, 10, 1, UINT_MAX, &n, NULL))
		return refuse(error, "'%s' is not a number of processors; write 1 or more", value);
	config->n_vcpus = n;
	return true;
}

static bool set_cpu(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	if (!strcmp(value, "help"))
		return config->cpu_help = true;
	return x86_model_parse(&config->cpu, value, error);
}

static bool set_disk(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	bool read_only = g_str_has_suffix(value, ",ro");
	struct vm_disk *disk = &config->disks[config->n_disks];

	if (config->n_disks == VM_MAX_DISKS)
		return refuse(error, "'%s' is one too many; a VM has at most %d disks", value,
			      VM_MAX_DISKS);
	disk->path = g_strndup(value, strlen(value) - (read_only ? strlen(",ro") : 0));
	disk->read_only = read_only;
	config->n_disks++;
	return true;
}

static bool set_engine(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	for (size_t i = 0; i < G_N_ELEMENTS(engines); i++) {
		if (strcmp(engines[i].name, value))
			continue;
		config->engine = engines[i].engine;
		return true;
	}
	return refuse(error, "'%s' is not an engine; use auto, soft, interp or kvm", value);
}

static bool set_name(void *target, const char *value, GError **error)
{
	return vm_name_check(value, error) &&
	       set_once(&((struct vm_config *)target)->name, value, error);
}

static bool set_serial(void *target, const char *value, GError **error)
{
	static const struct {
		const char *word;
		enum vm_serial_kind kind;
	} kinds[] = {
		{"stdio", VM_SERIAL_STDIO},
		{"unix:", VM_SERIAL_UNIX},
		{"file:", VM_SERIAL_FILE},
		{"none", VM_SERIAL_NONE},
	};
	struct vm_serial *serial = &((struct vm_config *)target)->serial;

	if (serial->kind != VM_SERIAL_DEFAULT)
		return refuse(error, "given twice; give it once");
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		bool has_path = g_str_has_suffix(kinds[i].word, ":");
		const char *path = value + strlen(kinds[i].word);

		if (!g_str_has_prefix(value, kinds[i].word) || has_path == !*path)
			continue;
		serial->kind = kinds[i].kind;
		serial->path = has_path ? g_canonicalize_filename(path, NULL) : NULL;
		return serial->kind != VM_SERIAL_UNIX || local_socket_check(serial->path, error);
	}
	return refuse(error, "'%s' is no place for it; write stdio, unix:PATH, file:PATH or none",
		      value);
}

static bool set_gdb(void *target, const char *value, GError **error)
{
	return gdb_address_check(value, error) &&
	       set_once(&((struct vm_config *)target)->gdb, value, error);
}

static bool set_gdb_wait(void *target, const char *value, GError **error)
{
	return ((struct vm_config *)target)->gdb_wait = true;
}

static bool set_perf_map(void *target, const char *value, GError **error)
{
	return ((struct vm_config *)target)->perf_map = true;
}

static bool set_dump_regions(void *target, const char *value, GError **error)
{
	return set_once(&((struct vm_config *)target)->dump_regions, value, error);
}

static bool set_trace(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	if (!strcmp(value, "help"))
		return config->trace_help = true;
	return config->traces = trace_enable(config->trace, value, error);
}

static bool set_trace_file(void *target, const char *value, GError **error)
{
	return set_once(&((struct vm_config *)target)->trace_file, value, error);
}

static bool set_lockstep(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	guint64 n;

	if (!g_ascii_string_to_unsigned(value, 10, 1, UINT_MAX, &n, NULL))
		return refuse(error, "'%s' is not a number of runs; write 1 to compare each, 100 for "
				     "one in 100", value);
	config->lockstep = n;
	return true;
}

const struct option_row vm_config_options[] = {
	{"kernel", 0, "FILE", "Linux kernel to boot: bzImage or ELF vmlinux", set_kernel},
	{"initrd", 0, "FILE", "initial RAM disk for the kernel", set_initrd},
	{"append", 0, "STRING",
	 "the kernel's command line, used as it is;\nwithout it: console=ttyS0", set_append},
	{"kernel-cache", 0, "DIR|off",
	 "where unpacked kernels are kept for the next boot;\nwithout it: viv/kernels in the user's cache",
	 set_kernel_cache},
	{"memory", 'm', "SIZE", "RAM, like 512M or 2G; a bare number is MiB; without it: 1G",
	 set_memory},
	{"cpus", 0, "N", "processors; without it: 1", set_cpus},
	{"cpu", 0, "MODEL[,...]",
	 "what the processors are; ,+FEATURE and ,-FEATURE change it;\nhelp lists both; without "
	 "it: default",
	 set_cpu},
	{"disk", 0, "FILE[,ro]",
	 "raw disk image (virtio-blk); ,ro makes it read-only;\nmay be given several times",
	 set_disk},
	{"serial", 0, "PLACE",
	 "the first serial port: stdio, unix:PATH (a socket),\nfile:PATH (output only) or none; "
	 "without it: stdio",
	 set_serial},
	{"name", 0, "NAME", "what `viv ls` and others call it; without it: vm-PID", set_name},
	{"engine", 0, "ENGINE", "what runs the guest's code: auto, soft, interp or kvm; auto\nmeasures",
	 set_engine},
	{"code-cache", 0, "SIZE", "room for each processor's translated code; without it: 64M",
	 set_code_cache},
	{"gdb", 0, "ADDRESS", "serve gdb at unix:PATH or tcp:127.0.0.1:PORT", set_gdb},
	{"gdb-wait", 0, NULL, "with --gdb: run nothing before gdb says so", set_gdb_wait},
	{"perf-map", 0, NULL, "name translated code for Linux's perf, in /tmp/perf-PID.map",
	 set_perf_map},
	{"dump-regions", 0, "FILE",
	 "at the end, list what the guest's code was translated\ninto; tools/regions disassembles it",
	 set_dump_regions},
	{"lockstep", 0, "N",
	 "compare each Nth run of translated code with the\ninterpreter, and stop where they differ",
	 set_lockstep},
	{"trace", 0, "EVENT[,...]",
	 "tell of events, with their virtual time: names, or\npatterns like cpu_*; help lists them",
	 set_trace},
	{"trace-file", 0, "FILE", "with --trace: where to; without it: standard error", set_trace_file},
};
const size_t vm_config_n_options = G_N_ELEMENTS(vm_config_options);

void vm_config_init(struct vm_config *config)
{
	*config = (struct vm_config){
		.append = g_strdup("console=ttyS0"),
		.kernel_cache = g_build_filename(g_get_user_cache_dir(), "viv", "kernels", NULL),
		.ram_size = 1ull << 30,
		.n_vcpus = 1,
		.cpu = *x86_model_default(),
		.engine = engines[0].engine,
	};
}

void vm_config_fini(struct vm_config *config)
{
	g_free(config->kernel);
	g_free(config->initrd);
	g_free(config->append);
	g_free(config->kernel_cache);
	g_free(config->name);
	g_free(config->serial.path);
	g_free(config->gdb);
	g_free(config->dump_regions);
	g_free(config->trace_file);
	for (unsigned i = 0; i < config->n_disks; i++)
		g_free(config->disks[i].path);
}
