/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers as gdb numbers and packs them, and the target description that tells it so
 * (GDB manual, "Target Descriptions", "Standard Target Features: i386").
 */
#ifndef VIV_VM_GDB_REGISTERS_H
#define VIV_VM_GDB_REGISTERS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/state.h"

#define GDB_REGISTER_MAX_SIZE 16

/* The description as XML; the caller frees. */
char *gdb_registers_xml(void);

unsigned gdb_registers_count(void);
/* Bytes of a register, at most GDB_REGISTER_MAX_SIZE. */
unsigned gdb_register_size(unsigned number);
void gdb_register_read(const struct x86_state *state, unsigned number, uint8_t *value);
/* False, and nothing changed, where the register is not one that a debugger may change or the
 * processor cannot hold the value. */
bool gdb_register_write(struct x86_state *state, unsigned number, const uint8_t *value);

#endif
