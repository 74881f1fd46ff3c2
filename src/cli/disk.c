/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv disk: a table of verbs of its own. */
#include "cli/disk.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"

#define PAGE_WIDTH 88

static const struct verb *const verbs[] = {
	&disk_create, &disk_info,   &disk_check,    &disk_resize,  &disk_convert, &disk_map,
	&disk_commit, &disk_rebase, &disk_snapshot, &disk_compare, &disk_stat,	  &disk_limit,
};

static bool set_string(const char **member, const char *value)
{
	*member = value;
	return true;
}

bool disk_set_format(void *target, const char *value, GError **error)
{
	return image_find_format(value, error) &&
	       set_string(&((struct disk_options *)target)->format, value);
}

bool disk_set_target_format(void *target, const char *value, GError **error)
{
	return image_find_format(value, error) &&
	       set_string(&((struct disk_options *)target)->target_format, value);
}

bool disk_set_backing(void *target, const char *value, GError **error)
{
	return set_string(&((struct disk_options *)target)->backing, value);
}

bool disk_set_backing_format(void *target, const char *value, GError **error)
{
	return image_find_format(value, error) &&
	       set_string(&((struct disk_options *)target)->backing_format, value);
}

bool disk_set_option(void *target, const char *value, GError **error)
{
	struct disk_options *options = target;
	g_auto(GStrv) words = g_strsplit(value, ",", 0);

	if (!options->options)
		options->options = g_ptr_array_new_with_free_func(g_free);
	else /* its end */
		g_ptr_array_remove_index(options->options, options->options->len - 1);
	for (char **word = words; *word; word++)
		g_ptr_array_add(options->options, g_strdup(*word));
	g_ptr_array_add(options->options, NULL);
	return true;
}

bool disk_set_secret(void *target, const char *value, GError **error)
{
	struct disk_options *options = target;

	g_clear_pointer(&options->secret, g_free);
	options->secret = image_read_secret(value, error);
	return options->secret != NULL;
}

bool disk_set_json(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->json = true;
}

bool disk_set_progress(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->progress = true;
}

bool disk_set_force(void *target, const char *value, GError **error)
{
	return ((struct disk_options *)target)->force = true;
}

void disk_options_fini(struct disk_options *options)
{
	if (options->options)
		g_ptr_array_unref(options->options);
	g_free(options->secret);
}

/* In lines of a page's width, each `indent` wide in. */
static void append_wrapped(GString *out, unsigned indent, const char *text)
{
	g_auto(GStrv) words = g_strsplit_set(text, " \n", 0);
	gsize start = out->len;

	g_string_append_printf(out, "%*s", indent, "");
	for (char **word = words; *word; word++) {
		if (word == words) {
			g_string_append(out, *word);
		} else if (out->len - start + strlen(*word) < PAGE_WIDTH) {
			g_string_append_printf(out, " %s", *word);
		} else {
			start = out->len + 1;
			g_string_append_printf(out, "\n%*s%s", indent, "", *word);
		}
	}
	g_string_append_c(out, '\n');
}

void disk_append_formats(GString *out)
{
	g_string_append(out, "\nFormats, and what -o tells them:\n");
	for (unsigned i = 0; image_format_name(i); i++) {
		const struct image_option *row = image_format_options(i);

		g_string_append_printf(out, "%s:%s\n", image_format_name(i),
				       row->name ? "" : " nothing");
		for (; row->name; row++) {
			g_autofree char *help = g_strdup_printf("%s%s%s", row->help,
								row->value ? "; without it: " : "",
								row->value ? row->value : "");

			g_string_append_printf(out, "  %s=%s\n", row->name, row->metavar);
			append_wrapped(out, 6, help);
		}
	}
}

const char *disk_format_of(const char *name, const char *format, GError **error)
{
	const char *suspect = format ? NULL : image_suspect_format(name);

	if (!suspect)
		return format ? format : image_format_of_path(name);
	g_set_error(
		error, VIV_ERROR, VIV_ERROR_INPUT,
		"disk '%s' is raw by its name, but looks like %s; say which it is, with -f %s or "
		"-f raw",
		name, suspect, suspect);
	return NULL;
}

struct image *disk_open(const struct disk_options *options, const char *path, struct image_open how,
			GError **error)
{
	how.path = path;
	how.secret = options->secret;
	how.format = disk_format_of(path, options->format, error);
	return how.format ? image_open(&how, error) : NULL;
}

bool disk_parse_size(const char *text, uint64_t *size, GError **error)
{
	if (size_parse(text, 0, size))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "'%s' is not a size; write it like 10G, or in bytes", text);
	return false;
}

void disk_print_json(JsonNode *node)
{
	g_autofree char *text = json_to_string(node, true);

	puts(text);
	json_node_unref(node);
}

static int list_verbs(FILE *out, int status)
{
	fprintf(out, "Usage: viv disk VERB [OPTIONS] ...\n\n"
		     "Makes disk images, looks after them and converts them.\n\n");
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	fprintf(out, "\nFormats: ");
	for (unsigned i = 0; image_format_name(i); i++)
		fprintf(out, "%s%s", i ? ", " : "", image_format_name(i));
	fprintf(out,
		". A file is of the format that its name ends in, or raw, unless\n"
		"-f says otherwise; what stands in it is never asked.\n"
		"\n`viv disk VERB --help` explains one.\n"
		"\n"
		"Exit status: 0 success; 1 the host refused something, or an image is not as it\n"
		"should be (compare: as the other one); 2 the command line, or a file it names, "
		"is\n"
		"wrong; 128 and a signal's number, where that ended it.\n");
	return status;
}

static int disk_main(int argc, char **argv)
{
	if (argc < 2)
		return list_verbs(stderr, EXIT_STATUS_USAGE);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return list_verbs(stdout, EXIT_STATUS_OK);
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		g_autofree char *name = g_strconcat("disk ", verbs[i]->name, NULL);

		if (strcmp(verbs[i]->name, argv[1]))
			continue;
		argv[1] = name;
		return verbs[i]->run(argc - 1, argv + 1);
	}
	return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
					"unknown verb 'disk %s'; `viv disk --help` lists the verbs",
					argv[1]));
}

const struct verb verb_disk = {"disk", "make, check, convert disk images: viv disk --help",
			       disk_main};
