/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instruction rows, and the reading of their notation (insn.h). */
#include <glib.h>
#include <string.h>

#include "cpu/x86/insn_int.h"

/* First pass over the rows: declare their routines. */
#define I(name, encoding, operands, feature, flags, routines) \
	extern const struct exec_set exec_##routines;
#include "cpu/x86/rows/all.inc"
#undef I

#define I(name, encoding, operands, feature, flags, routines) \
	{name, encoding, operands, &exec_##routines, flags, feature},
static struct insn_row rows[] = {
#include "cpu/x86/rows/all.inc"
};
#undef I

struct insn_index insn_index;

/* One '.'- or blank-separated word of an encoding. */
static void parse_word(struct insn_row *row, const char *word, bool *have_opcode)
{
	static const struct {
		const char *word;
		size_t offset;
		uint8_t value;
	} words[] = {
#define SETS(member, value) offsetof(struct insn_row, member), value
		{"NP", SETS(prefix, INSN_PREFIX_NP)},
		{"NFx", SETS(prefix, INSN_PREFIX_NFX)},
		{"66", SETS(prefix, INSN_PREFIX_66)},
		{"F3", SETS(prefix, INSN_PREFIX_F3)},
		{"F2", SETS(prefix, INSN_PREFIX_F2)},
		{"0F", SETS(map, 1)},
		{"0F38", SETS(map, 2)},
		{"0F3A", SETS(map, 3)},
		{"REX.W", SETS(w, 1)},
		{"W1", SETS(w, 1)},
		{"W0", SETS(w, 0)},
		{"VEX", SETS(vex, INSN_VEX_LIG)},
		{"EVEX", SETS(evex, true)},
		{"L", SETS(vex, INSN_VEX_L)},
		{"128", SETS(vex, INSN_VEX_128)},
		{"LZ", SETS(vex, INSN_VEX_128)},
		{"256", SETS(vex, INSN_VEX_256)},
		{"512", SETS(vex, INSN_VEX_512)},
		{"LY", SETS(vex, INSN_VEX_LY)},
		{"LIG", SETS(vex, INSN_VEX_LIG)},
		{"/r", SETS(has_modrm, true)},
		{"m:", SETS(mod, INSN_MOD_MEM)},
		{"r:", SETS(mod, INSN_MOD_REG)},
#undef SETS
	};

	/* A prefix stands before the map; what follows the map is the opcode, then ModRM. */
	bool is_byte = (*have_opcode || row->map) && g_ascii_isxdigit(word[0]) && strlen(word) == 2;

	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		if (is_byte || strcmp(word, words[i].word))
			continue;
		((uint8_t *)row)[words[i].offset] = words[i].value;
		return;
	}
	if (word[0] == '/') {
		row->has_modrm = true;
		row->reg = word[1] - '0';
		return;
	}
	unsigned byte = strtoul(word, NULL, 16);

	g_assert(g_ascii_isxdigit(word[0]) && byte < 256);
	if (!*have_opcode) {
		row->opcode = byte;
		row->plus_r = strstr(word, "+r") != NULL;
		*have_opcode = true;
	} else {
		row->has_modrm = true;
		row->mod = INSN_MOD_REG;
		row->reg = byte >> 3 & 7;
		row->rm = byte & 7;
		g_assert(byte >= 0xc0);
	}
}

static uint8_t element_size(char letter)
{
	static const char letters[] = "bwdq";
	const char *found = strchr(letters, letter);

	g_assert(letter && found);
	return 1 << (found - letters);
}

/* What may follow an operand's size; cuts it off. */
static void parse_suffix(struct insn_row *row, char *operand)
{
	static const struct {
		const char *word;
		size_t offset;
		uint8_t value;
	} words[] = {
		{"{k}", offsetof(struct insn_row, masking), INSN_MASK_MERGE},
		{"{kz}", offsetof(struct insn_row, masking), INSN_MASK_ZERO},
		{"{sae}", offsetof(struct insn_row, rounding), INSN_ROUNDING_SAE},
		{"{er}", offsetof(struct insn_row, rounding), INSN_ROUNDING_ER},
	};
	char *suffix = strpbrk(operand, ":!/{");

	if (!suffix)
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
		if (strstr(suffix, words[i].word))
			((uint8_t *)row)[words[i].offset] = words[i].value;
	const char *element = strpbrk(suffix, "bwdq");

	if (strpbrk(suffix, ":!"))
		row->element = element_size(*element);
	row->faults_whole |= suffix[0] == '!';
	if (strchr(suffix, '/'))
		row->broadcast = element_size(*element);
	*suffix = 0;
}

static void parse_operands(struct insn_row *row)
{
	g_auto(GStrv) names = g_strsplit(row->operands, ",", -1);

	for (unsigned i = 0; names[i]; i++) {
		struct insn_operand *op = &row->operand[i];
		const char *s = names[i];

		g_assert(i < INSN_MAX_OPERANDS);
		parse_suffix(row, names[i]);
		op->kind = 'f';
		if (g_ascii_isupper(s[0]))
			op->kind = *s++;
		g_assert(strlen(s) <= sizeof(op->size) || op->kind == 'f');
		memcpy(op->size, s, MIN(strlen(s), sizeof(op->size)));
	}
}

static bool has_size(const struct insn_row *row, char c)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++)
		if (row->operand[i].kind && row->operand[i].kind != 'f' &&
		    row->operand[i].size[0] == c && !row->operand[i].size[1])
			return true;
	return false;
}

/* The size that selects the routine: v where any operand is of size v, else y, else the first's. */
static uint8_t routine_size(const struct insn_row *row)
{
	static const char letters[] = "bwdq";
	const struct insn_operand *first = &row->operand[0];

	if (has_size(row, 'v') || has_size(row, 'z') || !first->kind)
		return INSN_SIZE_V;
	if (has_size(row, 'y'))
		return INSN_SIZE_Y;
	for (unsigned i = 0; i < 2; i++) {
		const struct insn_operand *op = &row->operand[i];

		if (op->kind == 'f' && !memcmp(op->size, "al", 3))
			return 1;
		if (op->kind == 'f' && !memcmp(op->size, "rax", 3))
			return INSN_SIZE_V;
	}
	if (strchr("EGMRXYZS", first->kind))
		for (unsigned i = 0; i < 4; i++)
			if (first->size[0] == letters[i] && !first->size[1])
				return 1 << i;
	return INSN_SIZE_V;
}

static void sum_up_operands(struct insn_row *row)
{
	for (unsigned i = 0; i < INSN_MAX_OPERANDS; i++) {
		const struct insn_operand *op = &row->operand[i];

		row->kinds |= INSN_KIND(op->kind);
		row->uses_vvvv |= op->kind == 'H' || op->kind == 'B' ||
				  (op->kind == 'K' && op->size[0] == 'h');
		g_assert(op->kind != 'J' || i == 0);
	}
	row->routine_size = routine_size(row);
}

static void parse_row(struct insn_row *row)
{
	g_auto(GStrv) words = g_strsplit(row->encoding, " ", -1);
	bool have_opcode = false;

	row->w = row->reg = row->rm = INSN_ANY;
	for (unsigned i = 0; words[i]; i++) {
		if (!strcmp(words[i], "REX.W")) {
			parse_word(row, words[i], &have_opcode);
			continue;
		}
		g_auto(GStrv) parts = g_strsplit(words[i], ".", -1);

		for (unsigned j = 0; parts[j]; j++)
			parse_word(row, parts[j], &have_opcode);
	}
	g_assert(have_opcode);
	parse_operands(row);
	sum_up_operands(row);
}

typedef GArray *index_lists[INSN_N_ENCODINGS][4][256];

static void index_row(index_lists lists, uint16_t n)
{
	const struct insn_row *row = &rows[n];
	enum insn_encoding encoding = row->evex	 ? INSN_IS_EVEX
				      : row->vex ? INSN_IS_VEX
						 : INSN_LEGACY;

	for (unsigned i = 0; i < (row->plus_r ? 8 : 1); i++) {
		GArray **list = &lists[encoding][row->map][row->opcode + i];

		if (!*list)
			*list = g_array_new(false, false, sizeof(uint16_t));
		g_array_append_val(*list, n);
	}
}

static gpointer table_init_once(gpointer unused)
{
	index_lists lists = {0};
	uint32_t used = 0;

	for (size_t n = 0; n < G_N_ELEMENTS(rows); n++) {
		parse_row(&rows[n]);
		if (feature_available(rows[n].feature))
			index_row(lists, n);
	}
	insn_index.candidates = g_new(uint16_t, 8 * G_N_ELEMENTS(rows) + 1);
	for (unsigned i = 0; i < INSN_N_ENCODINGS * 4 * 256; i++) {
		GArray *list = (&lists[0][0][0])[i];

		(&insn_index.start[0][0][0])[i] = used;
		(&insn_index.count[0][0][0])[i] = list ? list->len : 0;
		if (!list)
			continue;
		memcpy(insn_index.candidates + used, list->data, list->len * sizeof(uint16_t));
		used += list->len;
		g_array_unref(list);
	}
	return NULL;
}

void insn_table_init(void)
{
	static GOnce once = G_ONCE_INIT;

	g_once(&once, table_init_once, NULL);
}

size_t insn_table_size(void)
{
	return G_N_ELEMENTS(rows);
}

const struct insn_row *insn_row_get(size_t n)
{
	g_assert(n < G_N_ELEMENTS(rows));
	return &rows[n];
}
