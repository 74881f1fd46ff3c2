/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's UUID, and what follows from it. */
#ifndef VIV_BASE_UUID_H
#define VIV_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

/* 01234567-89ab-4cde-8f01-23456789abcd; false: the text is none, and `uuid` as it was. */
bool uuid_parse(const char *text, uint8_t uuid[16]);

/* The address of the machine's network card of that number, the same at each start; locally administered, of no vendor:
 * 52:54:00 is what guests' tools take for a virtual machine's. */
void uuid_mac(const uint8_t uuid[16], unsigned card, uint8_t mac[6]);

#endif
