/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A configuration made into a running machine: memory, board, disks, serial port, one
 * thread a vCPU, and what ended them.
 *
 * Threads: all functions on the loop thread, except vm_stop(), which may be called on any.
 */
#ifndef VIV_VM_VM_H
#define VIV_VM_VM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/engine.h"
#include "vm/config.h"

struct vm;

enum vm_result {
	VM_RUNNING,
	VM_POWEROFF, /* the guest switched itself off */
	VM_RESET,    /* the guest asked for a reset by a register */
	VM_CRASH,    /* triple fault */
	VM_LEFT,     /* the user typed the escape character */
	VM_STOPPED,  /* vm_stop() from outside */
	VM_KILLED,   /* gdb's kill command */
	VM_RESTART,  /* the user asked for a reset */
	VM_ENDED,    /* the user pulled the plug by a control command */
	VM_FAILED,   /* the host or the engine cannot go on */
};

/* Where the first serial port's bytes come from and go to; -1: nowhere. */
struct vm_console {
	int in_fd, out_fd;
	int escape; /* a byte that leaves the VM instead of going to the guest; -1: none */
};

/*
 * Opens what the configuration names, builds the machine and loads the kernel; no guest
 * code runs yet, and nothing is left behind on failure. `context` is the loop
 * thread's. The configuration and the context outlive the VM.
 */
struct vm *vm_new(const struct vm_config *config, const struct vm_console *console,
		  GMainContext *context, GError **error);
/* Writes out what the guest has printed, flushes and closes its disks. NULL is fine. */
void vm_free(struct vm *vm);

/* Runs the guest, and the context's sources, until something ends it. */
enum vm_result vm_run(struct vm *vm);
/* Ends vm_run(); the first result counts. */
void vm_stop(struct vm *vm, enum vm_result result);
/* After vm_run(): back to power-on, with the kernel loaded again; paused where it was paused. */
bool vm_reset(struct vm *vm, GError **error);

/* The guest and its clock stand still until vm_resume(); apart from gdb's stopping them. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
/* Whether the guest listens for its power button, which was pressed. */
bool vm_press_power_button(struct vm *vm);
/* Ends the run by VM_ENDED after so many seconds of the host's. */
void vm_end_after(struct vm *vm, unsigned seconds);
/* Another CD or floppy disk in a drive, read from the file; NULL: none. */
bool vm_set_medium(struct vm *vm, const char *drive, const char *path, GError **error);

/* What is open, of struct block: disks, media in drives, UEFI's variables. */
const GPtrArray *vm_disks(const struct vm *vm);

/* The terminal that shows the virtio console has another size. */
void vm_resize_console(struct vm *vm, uint16_t columns, uint16_t rows);

/* Its memory balloon; NULL: it has none. */
struct device *vm_balloon(const struct vm *vm);

enum vm_state { VM_STATE_RUNNING, VM_STATE_PAUSED, VM_STATE_DEBUGGED };
struct vm_status {
	const struct vm_config *config;
	const struct engine *engine;
	const char *board;
	enum vm_state state;
	int64_t uptime_ns;  /* the host's time since vm_new() */
	int64_t virtual_ns; /* the guest's since power-on */
};
void vm_get_status(const struct vm *vm, struct vm_status *status);

/* Why the engine ended the run, after VM_CRASH or VM_FAILED. */
const char *vm_reason(const struct vm *vm);

struct vm_stats {
	struct engine_stats engine; /* summed over the vCPUs */
	int64_t cpu_ns;		    /* CPU time of the vCPU threads */
	int64_t wall_ns;	    /* time spent in vm_run() */
	uint64_t console_dropped;   /* bytes of serial output nobody took in time */
};
/* After vm_run(). */
void vm_get_stats(const struct vm *vm, struct vm_stats *stats);
/* Writes the file that the configuration's dump_regions names, if it names one. */
bool vm_list_regions(struct vm *vm, GError **error);
/* Appends lines for a human, each ended. */
void vm_report(const struct vm *vm, GString *out);

/* The guest's screen and the hand on its keyboard; NULL: it has none. */
struct display *vm_display(const struct vm *vm);
struct input *vm_input(const struct vm *vm);
struct nets *vm_nets(const struct vm *vm);
struct typist *vm_typist(const struct vm *vm);

#endif
