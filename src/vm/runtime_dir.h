/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of the user's running VMs. A folder that is the user's alone holds for each the socket
 * NAME.sock, where it has them NAME.vnc, NAME.vsock and NAME.agent, and the file NAME.lock, which the VM's process has locked as long as it lives: what
 * is not locked was left by a process that is dead.
 */
#ifndef VIV_VM_RUNTIME_DIR_H
#define VIV_VM_RUNTIME_DIR_H

#include <glib.h>
#include <stdbool.h>

/* Whether it is 1 to 63 letters, digits, dots, dashes and underscores, no dot first. */
bool vm_name_check(const char *name, GError **error);

/*
 * The folder: viv in $XDG_RUNTIME_DIR or else in /run/user/UID, if that is the user's; else
 * /tmp/viv-UID. Made where it is missing; NULL where it is somebody else's or open to others.
 */
char *runtime_dir_open(GError **error);
/* Where the VM of that name listens. */
char *runtime_dir_socket(const char *folder, const char *name);
/* Removes what dead processes left. The names of the VMs that live, sorted. */
GPtrArray *runtime_dir_list(const char *folder, GError **error);

/* A name that is this process's. */
struct vm_name {
	char *name, *socket; /* `socket`: where to listen; nothing is there yet */
	char *screen, *vsock, *agent; /* the same for VNC viewers, vsock's callers, and who asks the guest's agent */
	int folder_fd, lock_fd;
};

/* The error says that the name is in use. */
bool vm_name_claim(struct vm_name *claim, const char *name, GError **error);
/* Removes socket and lock. Nothing where nothing was claimed. */
void vm_name_release(struct vm_name *claim);

#endif
