/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands for a VM's networks; seen by table.c only. */
#ifndef VIV_VM_CONTROL_NET_H
#define VIV_VM_CONTROL_NET_H

#include "vm/control/command.h"

bool run_net(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
bool run_pcap(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);
bool run_firewall(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error);

#endif
