/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the configuration share: config.c has the table of options, the others what the rows of a subject call. */
#ifndef VIV_VM_CONFIG_INT_H
#define VIV_VM_CONFIG_INT_H

#include "base/error.h"
#include "vm/config.h"

/* A path given twice is a slip of the hand, and which one was meant nobody knows. */
bool config_set_once(char **member, const char *value, GError **error);

bool config_set_kernel(void *target, const char *value, GError **error);
bool config_set_initrd(void *target, const char *value, GError **error);
bool config_set_kernel_cache(void *target, const char *value, GError **error);
bool config_set_append(void *target, const char *value, GError **error);
bool config_set_firmware(void *target, const char *value, GError **error);
bool config_set_vars(void *target, const char *value, GError **error);
bool config_set_firmware_log(void *target, const char *value, GError **error);
bool config_set_boot(void *target, const char *value, GError **error);

bool config_set_serial(void *target, const char *value, GError **error);
bool config_set_hvc(void *target, const char *value, GError **error);
bool config_set_port(void *target, const char *value, GError **error);

bool config_set_input(void *target, const char *value, GError **error);
bool config_set_video(void *target, const char *value, GError **error);
bool config_set_display(void *target, const char *value, GError **error);
bool config_set_vnc_password(void *target, const char *value, GError **error);
bool config_set_vnc_tls(void *target, const char *value, GError **error);

bool config_set_net(void *target, const char *value, GError **error);
bool config_set_forward(void *target, const char *value, GError **error);
bool config_set_pcap(void *target, const char *value, GError **error);
bool config_set_firewall(void *target, const char *value, GError **error);
bool config_set_allow(void *target, const char *value, GError **error);
bool config_set_deny(void *target, const char *value, GError **error);
bool config_set_no_spoof(void *target, const char *value, GError **error);
void config_fini_nets(struct vm_config *config);

#endif
