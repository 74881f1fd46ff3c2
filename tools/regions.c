/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disassembles what `viv run --dump-regions FILE` wrote: the guest's instructions, each above the
 * host's that it became.
 *
 * Usage: regions FILE [RIP...]	only the regions that start at these addresses, in hexadecimal
 *
 * Code in the file is `guest64 ADDRESS BYTES`, `guest32 ADDRESS BYTES` or `host ADDRESS BYTES`,
 * indented, with anything after it; other lines are for the reader, and a region starts with
 * `region RIP`.
 */
#include <Zydis/Zydis.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word;
	ZydisMachineMode mode;
} kinds[] = {
	{"guest64 ", ZYDIS_MACHINE_MODE_LONG_64},
	{"guest32 ", ZYDIS_MACHINE_MODE_LONG_COMPAT_32},
	{"host ", ZYDIS_MACHINE_MODE_LONG_64},
};

#define N_KINDS	    (sizeof(kinds) / sizeof(kinds[0]))
#define BYTES_WIDTH 32

/* Turns hexadecimal digits into bytes in place; returns their number. */
static size_t parse_bytes(char **text, uint8_t *bytes)
{
	size_t n = 0;
	char *p = *text;

	while (isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1])) {
		char digits[3] = {p[0], p[1], 0};

		bytes[n++] = strtoul(digits, NULL, 16);
		p += 2;
	}
	*text = p;
	return n;
}

/* One instruction; what is none is one byte. Returns its length. */
static size_t print_insn(ZydisMachineMode mode, uint64_t address, const uint8_t *bytes, size_t n,
			 int indent, const char *comment)
{
	ZydisDisassembledInstruction insn;
	bool good = ZYAN_SUCCESS(ZydisDisassembleIntel(mode, address, bytes, n, &insn));
	size_t len = good ? insn.info.length : 1;
	int printed = printf("%*s%" PRIx64 "  ", indent, "", address);

	for (size_t i = 0; i < len; i++)
		printed += printf("%02x", bytes[i]);
	printf("%*s %s%s",
	       printed < indent + 16 + BYTES_WIDTH ? indent + 16 + BYTES_WIDTH - printed : 0, "",
	       good ? insn.text : "(bad)", comment);
	if (!*comment)
		putchar('\n');
	return len;
}

/* False: the line holds no code. */
static bool print_code(char *line)
{
	char *p = line + strspn(line, " ");
	int indent = p - line;

	for (size_t i = 0; i < N_KINDS; i++) {
		size_t word = strlen(kinds[i].word);
		uint8_t *bytes = (uint8_t *)line; /* never ahead of what is read */
		uint64_t address;
		size_t n;

		if (strncmp(p, kinds[i].word, word))
			continue;
		address = strtoull(p + word, &p, 16);
		p += *p == ' ';
		n = parse_bytes(&p, bytes);
		for (size_t at = 0; at < n;)
			at += print_insn(kinds[i].mode, address + at, bytes + at, n - at, indent,
					 *p == ' ' && at == 0 ? p : "");
		return true;
	}
	return false;
}

static bool is_wanted(const char *line, char **rips, int n)
{
	uint64_t rip = strtoull(line, NULL, 16);

	for (int i = 0; i < n; i++)
		if (strtoull(rips[i], NULL, 16) == rip)
			return true;
	return n == 0;
}

int main(int argc, char **argv)
{
	static const char region[] = "region ";
	bool wanted = argc == 2;
	char *line = NULL;
	size_t size = 0;
	FILE *in;

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "Usage: regions FILE [RIP...]\n");
		return 2;
	}
	in = fopen(argv[1], "r");
	if (!in) {
		perror(argv[1]);
		return 2;
	}
	while (getline(&line, &size, in) > 0) {
		if (!strncmp(line, region, strlen(region)))
			wanted = is_wanted(line + strlen(region), argv + 2, argc - 2);
		if (wanted && !print_code(line))
			fputs(line, stdout);
	}
	free(line);
	fclose(in);
	return 0;
}
