/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/config_int.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "base/local_socket.h"
#include "base/uuid.h"
#include "machine/board.h"
#include "mem/mem.h"
#include "vm/address.h"
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

static const struct board *const boards[] = {&board_pc, &board_q35};

bool config_set_once(char **member, const char *value, GError **error)
{
	if (*member)
		return viv_refuse(error, "given twice ('%s', then '%s'); give it once", *member, value);
	*member = g_strdup(value);
	return true;
}

static bool check_size(const char *value, uint64_t size, uint64_t min, uint64_t max, GError **error)
{
	if (size < min || size > max)
		return viv_refuse(error, "%s is out of range; give between %" PRIu64 "M and %" PRIu64 "G",
			      value, min >> 20, max >> 30);
	if (size % MEM_PAGE_SIZE)
		return viv_refuse(error, "%s is not a multiple of 4K; write it like 512M or 2G", value);
	return true;
}

static bool set_board(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	for (size_t i = 0; i < G_N_ELEMENTS(boards); i++) {
		if (strcmp(boards[i]->name, value))
			continue;
		config->board = boards[i];
		return true;
	}
	return viv_refuse(error, "'%s' is not a board; use pc or q35", value);
}

static bool set_memory(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	uint64_t size;

	if (!size_parse(value, 20, &size))
		return viv_refuse(error, "'%s' is not a size; write it like 512M or 2G", value);
	if (!check_size(value, size, MEM_MIN_SIZE, MEM_MAX_SIZE, error))
		return false;
	config->ram_size = size;
	return true;
}

static bool set_code_cache(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	uint64_t size;

	if (!size_parse(value, 20, &size))
		return viv_refuse(error, "'%s' is not a size; write it like 16M or 1G", value);
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
		return viv_refuse(error, "'%s' is not a number of processors; write 1 or more", value);
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

static bool add_disk(struct vm_config *config, const char *value, const struct vm_disk *like,
		     GError **error)
{
	struct vm_disk *disk = &config->disks[config->n_disks];

	if (config->n_disks == VM_MAX_DISKS)
		return viv_refuse(error, "'%s' is one too many; a VM has at most %d disks", value,
			      VM_MAX_DISKS);
	*disk = *like;
	config->n_disks++; /* whatever it has by then is freed */
	if (!vm_disk_parse(disk, value, error))
		return false;
	if (disk->kind != MACHINE_BOOT_DISK && !strcmp(disk->path, "none"))
		g_clear_pointer(&disk->path, g_free);
	return true;
}

static bool set_disk(void *target, const char *value, GError **error)
{
	return add_disk(target, value, &(struct vm_disk){.bus = MACHINE_VIRTIO}, error);
}

static bool set_cdrom(void *target, const char *value, GError **error)
{
	const struct vm_disk like = {
		.bus = MACHINE_N_DISK_BUSES, .kind = MACHINE_BOOT_CD, .read_only = true};

	return add_disk(target, value, &like, error);
}

static bool set_floppy(void *target, const char *value, GError **error)
{
	const struct vm_disk like = {.bus = MACHINE_FLOPPY, .kind = MACHINE_BOOT_FLOPPY};

	return add_disk(target, value, &like, error);
}

static bool set_virtio_rings(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	config->packed_rings = !strcmp(value, "packed");
	if (!config->packed_rings && strcmp(value, "split"))
		return viv_refuse(error, "'%s' is no kind of rings; use split or packed", value);
	return true;
}

/* It is written in the guest's shell, and in its /etc/fstab. */
static bool check_tag(const char *tag, bool by_9p, GError **error)
{
	size_t len = strlen(tag), max = by_9p ? DEVICE_MAX_TAG : DEVICE_MAX_FS_TAG;

	if (!len || len > max ||
	    strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") != len)
		return viv_refuse(error, "'%s' cannot be what the guest calls a folder; write 1 to %zu letters, digits, "
				     "dots, dashes, underscores and slashes%s", tag, max,
				     len > max && !by_9p ? ", or add :9p, which takes 64" : "");
	return true;
}

/* Cuts `suffix` off, if it is there. */
static bool cut_suffix(char *text, const char *suffix)
{
	if (!g_str_has_suffix(text, suffix))
		return false;
	text[strlen(text) - strlen(suffix)] = '\0';
	return true;
}

/* FOLDER[:TAG][:ro][:9p]; a folder's own path may hold colons, if a tag follows. */
static bool set_volume(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	g_autofree char *path = g_strdup(value), *tag = NULL;
	struct vm_share share = {.by_9p = cut_suffix(path, ":9p")};
	char *colon;

	if (config->n_shares == VM_MAX_SHARES)
		return viv_refuse(error, "'%s' is one too many; a VM has at most %d shared folders", value,
			      VM_MAX_SHARES);
	share.read_only = cut_suffix(path, ":ro");
	colon = strrchr(path, ':');
	if (colon)
		*colon = '\0';
	tag = colon ? g_strdup(colon + 1) : g_path_get_basename(path);
	if (!check_tag(tag, share.by_9p, error))
		return false;
	for (unsigned i = 0; i < config->n_shares; i++)
		if (!strcmp(config->shares[i].tag, tag))
			return viv_refuse(error, "'%s' is two folders' name; give one another, like %s:TAG", tag, path);
	share.path = g_steal_pointer(&path);
	share.tag = g_steal_pointer(&tag);
	config->shares[config->n_shares++] = share;
	return true;
}

/* 0 to 2 and the last are not a guest's (virtio 1.2, section 5.10.4). */
static bool set_vsock(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	g_auto(GStrv) words = g_strsplit(value, ",", 2);
	guint64 cid;

	if (!words[0] || !g_ascii_string_to_unsigned(words[0], 10, 3, UINT32_MAX - 1, &cid, NULL))
		return viv_refuse(error, "'%s' is not a guest's vsock address; write a number from 3 on, like 3",
			      words[0] ? words[0] : "");
	if (config->cid)
		return viv_refuse(error, "given twice; give it once");
	if (words[1] && !local_socket_check(words[1], error))
		return false;
	config->cid = cid;
	config->vsock = g_strdup(words[1]);
	return true;
}

static bool set_uuid(void *target, const char *value, GError **error)
{
	return uuid_parse(value, ((struct vm_config *)target)->uuid) ||
	       viv_refuse(error, "'%s' is no UUID; write it like 01234567-89ab-4cde-8f01-23456789abcd", value);
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
	return viv_refuse(error, "'%s' is not an engine; use auto, soft, interp or kvm", value);
}

static bool set_name(void *target, const char *value, GError **error)
{
	return vm_name_check(value, error) &&
	       config_set_once(&((struct vm_config *)target)->name, value, error);
}

static bool set_agent(void *target, const char *value, GError **error)
{
	return ((struct vm_config *)target)->agent = true;
}

static bool set_balloon(void *target, const char *value, GError **error)
{
	return ((struct vm_config *)target)->balloon = true;
}

static bool set_gdb(void *target, const char *value, GError **error)
{
	return address_check(value, error) &&
	       config_set_once(&((struct vm_config *)target)->gdb, value, error);
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
	return config_set_once(&((struct vm_config *)target)->dump_regions, value, error);
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
	return config_set_once(&((struct vm_config *)target)->trace_file, value, error);
}

static bool set_lockstep(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	guint64 n;

	if (!g_ascii_string_to_unsigned(value, 10, 1, UINT_MAX, &n, NULL))
		return viv_refuse(error, "'%s' is not a number of runs; write 1 to compare each, 100 for "
				     "one in 100", value);
	config->lockstep = n;
	return true;
}

const struct option_row vm_config_options[] = {
	{"kernel", 0, "FILE", "Linux kernel to boot: bzImage or ELF vmlinux", config_set_kernel},
	{"initrd", 0, "FILE", "initial RAM disk for the kernel", config_set_initrd},
	{"append", 0, "STRING",
	 "the kernel's command line, used as it is;\nwithout it: console=ttyS0", config_set_append},
	{"kernel-cache", 0, "DIR|off",
	 "where unpacked kernels are kept for the next boot;\nwithout it: viv/kernels in the user's cache",
	 config_set_kernel_cache},
	{"board", 0, "BOARD", "pc (440FX) or q35 (PCI Express, SATA); without it: pc", set_board},
	{"memory", 'm', "SIZE", "RAM, like 512M or 2G; a bare number is MiB; without it: 1G",
	 set_memory},
	{"cpus", 0, "N", "processors; without it: 1", set_cpus},
	{"cpu", 0, "MODEL[,...]",
	 "what the processors are; ,+FEATURE and ,-FEATURE change it;\nhelp lists both; without "
	 "it: default",
	 set_cpu},
	{"disk", 0, "FILE[,NAME=VALUE...]",
	 "a disk image or NBD URI; ,ro is read-only, ,snapshot\nforgets what is written, ,bus=BUS one of\nvirtio (without it), ide, sata, scsi and nvme, "
	 "and\n,format=FORMAT what it is, without it as its name ends;\n,direct=on past the page cache, ,discard=off keeps space,\n"
	 ",secret=FILE has its passphrase; ,iops=N ,bps=SIZE limit\nit, -rd and -wr one way, -burst at once; may be "
	 "given\nseveral times",
	 set_disk},
	{"cdrom", 0, "FILE|none[,bus=BUS]",
	 "a drive with that ISO image, or without, on the bus ide,\nsata or scsi; without one: ide, and on q35 sata", set_cdrom},
	{"floppy", 0, "FILE|none[,ro]", "a floppy drive with that raw image, or without", set_floppy},
	{"net", 0, "NETWORK[,...]",
	 "a network card on that network: user (no root needed),\ntap, private=NAME (between your VMs) or none; the manual\n"
	 "page has what may follow; without it: user, where\nfirmware boots from disks; may be given several times",
	 config_set_net},
	{"publish", 'p', "[ADDRESS:]PORT:PORT[/udp]",
	 "forward a port of the host to one of the guest, by the\nuser network; without an address: 127.0.0.1; 0: a free\none, "
	 "which `viv net` tells",
	 config_set_forward},
	{"pcap", 0, "FILE", "capture what passes the network cards, as pcapng", config_set_pcap},
	{"firewall", 0, "FILE|POLICY",
	 "rules for what passes the network cards: a file, or\ndefault-deny, default-allow", config_set_firewall},
	{"allow", 0, "RULE",
	 "let connections pass: in|out[:PROTOCOL[:PORT[:CIDR]]],\nlike out:tcp:443:0.0.0.0/0; the first rule that fits\ncounts",
	 config_set_allow},
	{"deny", 0, "RULE", "have connections dropped", config_set_deny},
	{"no-spoof", 0, NULL, "let out only packets that bear the guest's own addresses", config_set_no_spoof},
	{"virtio-rings", 0, "split|packed",
	 "what drivers may use to talk to virtio devices: split\nrings alone, or packed ones, too; without it: split", set_virtio_rings},
	{"volume", 'v', "FOLDER[:TAG][:ro][:9p]",
	 "a folder that the guest can mount:\nmount -t virtiofs TAG /mnt; without TAG: the folder's\nname; :ro makes it read-only; :9p is for guests without\nvirtiofs: mount -t 9p; may be given several times",
	 set_volume},
	{"vsock", 0, "CID[,PATH]",
	 "sockets between host and guest, which has the address\nCID; without PATH: a socket that `viv vsock` finds",
	 set_vsock},
	{"input", 0, "KIND[,...]",
	 "a keyboard and a tablet, usb or virtio, besides a PS/2\nkeyboard and mouse; without it: ps2, those alone", config_set_input},
	{"video", 0, "vga|virtio",
	 "a screen, by a VGA, or by a virtio GPU besides it; without\nit: vga, where firmware or --display wants a screen", config_set_video},
	{"firmware", 0, "bios|uefi|none|FILE",
	 "what starts the guest: a BIOS (SeaBIOS), UEFI (OVMF),\nyour own image, or none, the kernel; without it: bios\nwhere no kernel is given",
	 config_set_firmware},
	{"vars", 0, "FILE",
	 "where UEFI keeps its variables, made if it is not there;\nwithout it they go with the VM", config_set_vars},
	{"boot", 0, "KIND[,...]",
	 "what firmware boots from, in this order: disk, cd,\nfloppy, net; with menu, it asks; without it: disk,cd,\nfloppy,net",
	 config_set_boot},
	{"firmware-log", 0, "FILE", "what the firmware tells its makers", config_set_firmware_log},
	{"serial", 0, "PLACE",
	 "the first serial port: stdio, unix:PATH (a socket),\nfile:PATH (output only) or none; "
	 "without it: stdio",
	 config_set_serial},
	{"balloon", 0, NULL, "a balloon, by which `viv balloon` takes memory from the guest,\nand which gives back what the guest does not use", set_balloon},
	{"hvc", 0, "PLACE", "a virtio console, Linux's hvc0: a place as of --serial", config_set_hvc},
	{"port", 0, "NAME=PLACE",
	 "a virtio port that a program in the guest finds by NAME:\nunix:PATH or file:PATH; may be given several times",
	 config_set_port},
	{"agent", 0, NULL, "a port for the QEMU guest agent, which `viv agent` asks", set_agent},
	{"name", 0, "NAME", "what `viv ls` and others call it; without it: vm-PID", set_name},
	{"uuid", 0, "UUID", "what firmware calls the machine, by SMBIOS; without it: none.\nCards' addresses follow from it", set_uuid},
	{"display", 0, "none|vnc[:ADDRESS]",
	 "serve the screen to VNC viewers, at unix:PATH or\ntcp:127.0.0.1:PORT; without one: a socket that\n"
	 "`viv screen` finds", config_set_display},
	{"vnc-password", 0, "FILE", "ask VNC viewers for the password in FILE", config_set_vnc_password},
	{"vnc-tls", 0, "FILE", "encrypt VNC by TLS, with the certificate and its key in the PEM FILE", config_set_vnc_tls},
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
		.board = boards[0],
		.ram_size = 1ull << 30,
		.n_vcpus = 1,
		.cpu = *x86_model_default(),
		.engine = engines[0].engine,
		.n_boot = MACHINE_N_BOOT,
		.boot = {MACHINE_BOOT_DISK, MACHINE_BOOT_CD, MACHINE_BOOT_FLOPPY, MACHINE_BOOT_NET},
	};
}

void vm_config_fini(struct vm_config *config)
{
	g_free(config->kernel);
	g_free(config->firmware);
	g_free(config->firmware_log);
	g_free(config->vars);
	g_free(config->vsock);
	g_free(config->vnc);
	g_free(config->vnc_password);
	g_free(config->vnc_tls);
	g_free(config->initrd);
	g_free(config->append);
	g_free(config->kernel_cache);
	g_free(config->name);
	g_free(config->serial.path);
	g_free(config->hvc.path);
	for (unsigned i = 0; i < VM_MAX_PORTS; i++) {
		g_free(config->ports[i].name);
		g_free(config->ports[i].place.path);
	}
	g_free(config->gdb);
	g_free(config->dump_regions);
	g_free(config->trace_file);
	for (unsigned i = 0; i < config->n_shares; i++) {
		g_free(config->shares[i].path);
		g_free(config->shares[i].tag);
	}
	for (unsigned i = 0; i < config->n_disks; i++) {
		g_free(config->disks[i].path);
		g_free(config->disks[i].secret);
	}
	config_fini_nets(config);
}
