/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/option.h"

#include "base/error.h"

struct target {
	char *color;
	bool loud;
};

static bool set_color(void *target, const char *value, GError **error)
{
	struct target *t = target;

	if (g_str_equal(value, "plaid")) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'plaid' is no color; use red");
		return false;
	}
	g_free(t->color);
	t->color = g_strdup(value);
	return true;
}

static bool set_loud(void *target, const char *value, GError **error)
{
	return ((struct target *)target)->loud = true;
}

static const struct option_row color_rows[] = {{"color", 'c', "NAME", "what color", set_color}};
static const struct option_row loud_rows[] = {{"loud", 0, NULL, "first line\nsecond", set_loud}};

static bool parse(struct target *t, GError **error, const char *words)
{
	g_auto(GStrv) argv = g_strsplit(words, " ", -1);
	const struct option_group groups[] = {{color_rows, 1, t}, {loud_rows, 1, t}};

	*t = (struct target){0};
	return option_parse(groups, 2, g_strv_length(argv), argv, "viv x --help", error);
}

static void test_forms(void)
{
	static const struct {
		const char *words, *color;
		bool loud;
	} cases[] = {
		{"x", NULL, false},
		{"x --color red", "red", false},
		{"x --color=red --loud", "red", true},
		{"x --loud -c red", "red", true},
		{"x -cred", "red", false},
		{"x --color=", "", false},
		{"x --color --loud", "--loud", false},
		{"x --color a=b", "a=b", false},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		struct target t;

		g_assert_true(parse(&t, &error, cases[i].words));
		g_assert_no_error(error);
		g_assert_cmpstr(t.color, ==, cases[i].color);
		g_assert_cmpint(t.loud, ==, cases[i].loud);
		g_free(t.color);
	}
}

static void test_errors(void)
{
	static const struct {
		const char *words, *message;
	} cases[] = {
		{"x --colour red", "unknown option '--colour'; `viv x --help` lists the options"},
		{"x --col red", "unknown option '--col'; `viv x --help` lists the options"},
		{"x -z", "unknown option '-z'; `viv x --help` lists the options"},
		{"x --color", "--color needs a value: --color NAME"},
		{"x --loud=1", "--loud takes no value"},
		{"x --color plaid", "--color: 'plaid' is no color; use red"},
		{"x red", "'red' is no option, and there is nothing else to name here; see "
			  "`viv x --help`"},
		{"x -", "'-' is no option, and there is nothing else to name here; see "
			"`viv x --help`"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		struct target t;

		g_assert_false(parse(&t, &error, cases[i].words));
		g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
		g_assert_cmpstr(error->message, ==, cases[i].message);
		g_free(t.color);
	}
}

static void test_help(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	const struct option_group groups[] = {{color_rows, 1, NULL}, {loud_rows, 1, NULL}};

	option_append_help(text, &groups[0]);
	option_append_help(text, &groups[1]);
	g_assert_cmpstr(text->str, ==,
			"  -c, --color NAME           what color\n"
			"      --loud                 first line\n"
			"                             second\n");
}

static void test_words(void)
{
	const char *argv[] = {"x", "web", "--color", "red", "-", "-cblue", "cd0"};
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	struct target t = {0};
	const struct option_group group = {color_rows, 1, &t};

	g_assert_true(option_parse_words(&group, 1, G_N_ELEMENTS(argv), (char **)argv, "viv x --help",
					 words, NULL));
	g_assert_cmpstr(t.color, ==, "blue");
	g_assert_cmpuint(words->len, ==, 3);
	g_assert_cmpstr(words->pdata[0], ==, "web");
	g_assert_cmpstr(words->pdata[1], ==, "-");
	g_assert_cmpstr(words->pdata[2], ==, "cd0");
	g_free(t.color);
}

/* In all forms, with their values, and nothing of the other group's. */
static void test_select(void)
{
	struct target t = {0};
	const struct option_group groups[] = {{color_rows, 1, &t}, {loud_rows, 1, &t}};
	const struct option_group swapped[] = {groups[1], groups[0]};
	static const char *const none[] = {NULL}, *const no_color[] = {"color", NULL};
	g_auto(GStrv) argv = g_strsplit("x --loud word -c red --color=blue -cgreen --color --loud", " ", -1);
	g_autoptr(GPtrArray) colors = g_ptr_array_new_with_free_func(g_free),
			     louds = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *text = NULL;

	option_select(groups, 2, g_strv_length(argv), argv, no_color, colors);
	g_assert_cmpuint(colors->len, ==, 0);
	option_select(groups, 2, g_strv_length(argv), argv, none, colors);
	g_ptr_array_add(colors, NULL);
	text = g_strjoinv(" ", (char **)colors->pdata);
	g_assert_cmpstr(text, ==, "-c red --color=blue -cgreen --color --loud");
	option_select(swapped, 2, g_strv_length(argv), argv, none, louds);
	g_assert_cmpuint(louds->len, ==, 1);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/base/option/forms", test_forms);
	g_test_add_func("/base/option/errors", test_errors);
	g_test_add_func("/base/option/help", test_help);
	g_test_add_func("/option/words", test_words);
	g_test_add_func("/option/select", test_select);
	return g_test_run();
}
