/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing of GDB's remote serial protocol (GDB manual, "Remote Serial Protocol: Overview"):
 * $data#checksum, acknowledged by + or -, with a bare 03h for an interrupt.
 */
#ifndef VIV_VM_GDB_PACKET_H
#define VIV_VM_GDB_PACKET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The longest data of a packet in either direction; told to gdb as PacketSize. */
#define GDB_PACKET_MAX 0x4000

enum gdb_input {
	GDB_INPUT_NOTHING, /* more bytes are needed */
	GDB_INPUT_PACKET,  /* data and len are a packet, until the next byte */
	GDB_INPUT_DAMAGED, /* a packet with a wrong checksum, or too long */
	GDB_INPUT_INTERRUPT,
};

struct gdb_parser {
	enum { PARSE_IDLE, PARSE_DATA, PARSE_ESCAPE, PARSE_SUM_HIGH, PARSE_SUM_LOW } state;
	uint8_t sum, wanted;
	bool too_long;
	size_t len;
	char data[GDB_PACKET_MAX + 1]; /* unescaped, and a NUL behind it */
};

/* A parser of all zeros is ready. */
enum gdb_input gdb_parse(struct gdb_parser *parser, uint8_t byte);

/* Appends data as a packet to `out`; escapes what must be. */
void gdb_frame(GByteArray *out, const void *data, size_t len);

/* Readers of a packet's parts; each moves *at past what it took. */
bool gdb_take_char(const char **at, char c);
bool gdb_take_word(const char **at, const char *word);
bool gdb_take_hex(const char **at, uint64_t *value);
bool gdb_take_bytes(const char **at, uint8_t *bytes, size_t len);

#endif
