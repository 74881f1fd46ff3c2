/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A verb is one file with one row in main.c's table: `viv NAME ...` calls run() with the
 * verb's name as argv[0]. It returns an exit status.
 */
#ifndef VIV_CLI_VERB_H
#define VIV_CLI_VERB_H

#include <glib.h>

enum exit_status {
	EXIT_STATUS_OK = 0,
	EXIT_STATUS_HOST = 1,	  /* the host refused something, or the engine cannot go on */
	EXIT_STATUS_USAGE = 2,	  /* the command line, or a file it names, is wrong */
	EXIT_STATUS_RESET = 3,	  /* the guest asked for a reset */
	EXIT_STATUS_CRASH = 4,	  /* the guest's processor shut down */
	EXIT_STATUS_SIGNAL = 128, /* plus the number of the signal that ended viv */
};

struct verb {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

/* In the order of `viv help`, as main.c has them. */
extern const struct verb
	verb_run,
	verb_ls,
	verb_stop,
	verb_kill,
	verb_pause,
	verb_resume,
	verb_reset,
	verb_eject,
	verb_insert,
	verb_screen,
	verb_screenshot,
	verb_text,
	verb_type,
	verb_key,
	verb_mouse,
	verb_console,
	verb_vsock,
	verb_agent,
	verb_balloon,
	verb_monitor,
	verb_disk,
	verb_net,
	verb_pcap,
	verb_firewall,
	verb_image,
	verb_create,
	verb_start,
	verb_rm,
	verb_clone,
	verb_inspect,
	verb_ssh,
	verb_doctor,
	verb_help,
	verb_version;

/* Prints `viv: message` to standard error, frees the error, and returns its exit status. */
int report_error(GError *error);

#endif
