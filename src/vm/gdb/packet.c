/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/gdb/packet.h"

#include <stdio.h>
#include <string.h>

#define ESCAPE	   '}'
#define ESCAPE_XOR 0x20
#define INTERRUPT  0x03

static void begin(struct gdb_parser *parser)
{
	parser->state = PARSE_DATA;
	parser->sum = 0;
	parser->len = 0;
	parser->too_long = false;
}

static void add(struct gdb_parser *parser, uint8_t byte)
{
	if (parser->len == GDB_PACKET_MAX)
		parser->too_long = true;
	else
		parser->data[parser->len++] = byte;
}

static void take_data(struct gdb_parser *parser, uint8_t byte)
{
	if (byte == '$') {
		begin(parser);
	} else if (byte == '#') {
		parser->state = PARSE_SUM_HIGH;
	} else {
		parser->sum += byte;
		if (byte == ESCAPE)
			parser->state = PARSE_ESCAPE;
		else
			add(parser, byte);
	}
}

enum gdb_input gdb_parse(struct gdb_parser *parser, uint8_t byte)
{
	int digit = g_ascii_xdigit_value(byte);

	switch (parser->state) {
	case PARSE_IDLE:
		if (byte == '$')
			begin(parser);
		return byte == INTERRUPT ? GDB_INPUT_INTERRUPT : GDB_INPUT_NOTHING;
	case PARSE_DATA:
		take_data(parser, byte);
		return GDB_INPUT_NOTHING;
	case PARSE_ESCAPE:
		parser->sum += byte;
		add(parser, byte ^ ESCAPE_XOR);
		parser->state = PARSE_DATA;
		return GDB_INPUT_NOTHING;
	case PARSE_SUM_HIGH:
		parser->wanted = digit << 4;
		parser->state = digit < 0 ? PARSE_IDLE : PARSE_SUM_LOW;
		return digit < 0 ? GDB_INPUT_DAMAGED : GDB_INPUT_NOTHING;
	case PARSE_SUM_LOW:
		parser->state = PARSE_IDLE;
		if (digit < 0 || (parser->wanted | digit) != parser->sum || parser->too_long)
			return GDB_INPUT_DAMAGED;
		parser->data[parser->len] = 0;
		return GDB_INPUT_PACKET;
	}
	g_assert_not_reached();
}

void gdb_frame(GByteArray *out, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;
	char tail[4];

	g_byte_array_append(out, (const uint8_t *)"$", 1);
	for (size_t i = 0; i < len; i++) {
		uint8_t pair[2] = {ESCAPE, bytes[i] ^ ESCAPE_XOR};
		bool escaped = bytes[i] && strchr("$#}*", bytes[i]);

		sum += escaped ? pair[0] + pair[1] : bytes[i];
		g_byte_array_append(out, escaped ? pair : &bytes[i], escaped ? 2 : 1);
	}
	snprintf(tail, sizeof(tail), "#%02x", sum);
	g_byte_array_append(out, (const uint8_t *)tail, 3);
}

bool gdb_take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

bool gdb_take_word(const char **at, const char *word)
{
	if (!g_str_has_prefix(*at, word))
		return false;
	*at += strlen(word);
	return true;
}

bool gdb_take_hex(const char **at, uint64_t *value)
{
	unsigned digits = 0;

	*value = 0;
	for (; g_ascii_isxdigit(**at); ++*at, digits++) {
		if (digits == 16)
			return false;
		*value = *value << 4 | g_ascii_xdigit_value(**at);
	}
	return digits;
}

bool gdb_take_bytes(const char **at, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++, *at += 2) {
		int high = g_ascii_xdigit_value((*at)[0]);
		int low = high < 0 ? -1 : g_ascii_xdigit_value((*at)[1]);

		if (low < 0)
			return false;
		bytes[i] = high << 4 | low;
	}
	return true;
}
