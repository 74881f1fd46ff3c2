/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VM is made of, as the user says it. The table of options is the one home of
 * each setting's name, meaning and checks.
 */
#ifndef VIV_VM_CONFIG_H
#define VIV_VM_CONFIG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/option.h"
#include "base/trace.h"
#include "block/throttle.h"
#include "cpu/engine.h"
#include "cpu/x86/model.h"
#include "machine/machine.h"
#include "net/firewall.h"
#include "net/user.h"

#define VM_MAX_DISKS MACHINE_MAX_DISKS
#define VM_MAX_NICS	8
#define VM_MAX_FORWARDS 64
#define VM_MAX_DOMAINS	4

/* What most guests have a driver for. */
#define VM_DEFAULT_NIC MACHINE_VIRTIO_NET

/* What a network card is connected to. */
enum vm_net_kind { VM_NET_NONE, VM_NET_USER, VM_NET_TAP, VM_NET_PRIVATE, VM_N_NETS };
/* As users write it. */
const char *vm_net_kind_name(enum vm_net_kind kind);
const char *vm_nic_model_name(enum machine_nic_model model);
#define VM_MAX_SHARES 8
#define VM_MAX_PORTS  DEVICE_MAX_PORTS

struct vm_nic {
	enum machine_nic_model model;
	bool has_mac; /* said; else vm_config_complete() makes one */
	uint8_t mac[6];
	enum vm_net_kind net;
	bool no_rom;		 /* firmware does not boot from it */
	uint64_t rate;		 /* bits a second and direction; 0: no limit */
	struct user_config user; /* of VM_NET_USER */
	const char *domains[VM_MAX_DOMAINS + 1];
	const char *name;   /* of a private network; of a tap's interface, or NULL */
	const char *bridge; /* that a tap becomes a port of; NULL: none */
	/* From which it may send, where that is looked at; none: as DHCP says. */
	struct firewall_address addresses[4];
	unsigned n_addresses;
};

/* A folder of the host's that the guest mounts by its tag. */
struct vm_share {
	char *path, *tag;
	bool read_only;
	bool by_9p; /* else by FUSE */
};

struct vm_disk {
	char *path; /* NULL: a drive without a medium */
	const char *format; /* NULL: as the path ends, or raw */
	char *secret;	    /* a passphrase; NULL: it is not encrypted */
	bool read_only, direct, no_discard;
	bool snapshot; /* what is written goes with the VM */
	struct block_limits limits;
	enum machine_disk_bus bus; /* MACHINE_N_DISK_BUSES: the board's for CD-ROM drives */
	enum machine_boot kind;
};

/* Where a serial port's bytes go, and come from. */
struct vm_serial {
	enum vm_serial_kind {
		VM_SERIAL_DEFAULT, /* what the run's surroundings suggest */
		VM_SERIAL_STDIO,
		VM_SERIAL_UNIX, /* a socket, for one client at a time */
		VM_SERIAL_FILE, /* output only */
		VM_SERIAL_NONE,
	} kind;
	char *path; /* absolute; NULL where there is none */
};

/* A port of a virtio console's, by its name in the guest. */
struct vm_port {
	char *name;
	struct vm_serial place;
};
#define VM_AGENT_PORT "org.qemu.guest_agent.0"

struct vm_config {
	char *name; /* NULL: none was given */
	const struct board *board;
	char *kernel;	     /* NULL: firmware boots */
	char *firmware;	     /* "none", "bios", "uefi", or an image's path; NULL: as suits the rest */
	char *vars;	     /* file of UEFI's variables; NULL: they go with the VM */
	char *firmware_log;  /* NULL: none */
	enum machine_boot boot[MACHINE_N_BOOT];
	unsigned n_boot;
	bool boot_menu;
	char *initrd; /* NULL: none */
	char *append;
	char *kernel_cache; /* folder of unpacked kernels, or NULL */
	uint64_t ram_size;
	uint8_t uuid[16]; /* all zero: none */
	unsigned n_vcpus;
	struct x86_model cpu;
	bool cpu_help;		     /* no VM is wanted, but the list of models */
	const struct engine *engine; /* NULL: the one that suits the host */
	struct vm_disk disks[VM_MAX_DISKS];
	unsigned n_disks;
	struct vm_nic nics[VM_MAX_NICS];
	unsigned n_nics;
	struct user_forward forwards[VM_MAX_FORWARDS]; /* of the first user network */
	unsigned n_forwards;
	char *pcap;			 /* NULL: no capture */
	struct firewall_rules *firewall; /* of all cards; NULL: none */
	GStringChunk *net_texts;
	bool packed_rings; /* virtio devices offer them, too */
	uint32_t cid;	/* the guest's vsock address; 0: it has none */
	char *vsock;	/* path of the host's end; NULL: in the runtime folder */
	struct vm_share shares[VM_MAX_SHARES];
	unsigned n_shares;
	bool inputs[MACHINE_N_INPUTS];
	bool has_video, virtio_gpu; /* a screen is wanted; with a virtio GPU besides the VGA */
	struct vm_serial serial;
	struct vm_serial hvc; /* of a virtio console; VM_SERIAL_DEFAULT: there is none */
	struct vm_port ports[VM_MAX_PORTS];
	unsigned n_ports;
	bool balloon;
	bool agent; /* a port for the guest's agent is wanted */
	bool has_vnc;
	char *vnc;	    /* address to serve VNC viewers at; NULL: in the runtime folder */
	char *vnc_password; /* NULL: none is asked for */
	char *vnc_tls;	    /* file of a certificate and its key, to encrypt with; NULL: nothing is */
	char *gdb; /* address to serve gdb at; NULL: none */
	bool gdb_wait;
	uint64_t code_cache; /* bytes a vCPU; 0: as much as the engine likes */
	bool trace[TRACE_N], traces; /* what is told; whether anything is */
	bool trace_help;	     /* no VM is wanted, but the list of events */
	char *trace_file;	     /* NULL: standard error */
	bool perf_map;
	bool sample; /* vm_report() is to say where CPU time went */
	unsigned lockstep; /* each so many-th run of translated code is compared; 0: none */
	char *dump_regions; /* file for a listing of what was translated; NULL: none */
};

/* "PATH[,WORD...]": sets the path and what the words say. They are taken from the end, as long as they are
 * known: a path may hold commas, too. */
bool vm_disk_parse(struct vm_disk *disk, const char *value, GError **error);
void vm_config_init(struct vm_config *config);
void vm_config_fini(struct vm_config *config);
/* What follows from what was said, and whether it goes together; after the last option. */
bool vm_config_complete(struct vm_config *config, GError **error);
/* A named port with a socket at the path; for --agent. */
bool vm_config_add_port(struct vm_config *config, const char *name, const char *path, GError **error);
/* Where the guest's agent is reached; NULL: nowhere. */
const char *vm_config_agent(const struct vm_config *config);
/* Whether the guest starts with firmware rather than with a kernel. */
bool vm_config_has_firmware(const struct vm_config *config);
bool vm_config_has_screen(const struct vm_config *config);
/* Whether it has a keyboard and a pointer: what has a screen has them, too. */
bool vm_config_has_input(const struct vm_config *config);

/* Their target is a struct vm_config. */
extern const struct option_row vm_config_options[];
extern const size_t vm_config_n_options;

#endif
