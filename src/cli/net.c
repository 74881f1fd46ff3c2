/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv net, viv pcap and viv firewall: the networks of a running VM. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "vm/client.h"

static const struct usage net_usage = {
	.words = "NAME",
	.min_words = 1,
	.max_words = 1,
	.text = "Tells what the network cards of a running VM are connected to, and which ports of the\n"
		"host are forwarded to the guest.\n",
};

static const struct usage pcap_usage = {
	.words = "NAME [FILE|off]",
	.min_words = 1,
	.max_words = 2,
	.text = "Captures what passes the network cards of a running VM in FILE, as pcapng, in place of a\n"
		"capture that runs; off ends it. Without either, tells how it goes.\n",
};

static const struct usage firewall_usage = {
	.words = "NAME [FILE|-]",
	.min_words = 1,
	.max_words = 2,
	.text = "Gives the network cards of a running VM the rules in FILE, or at standard input, in place "
		"of\n"
		"those they had; an empty file lets everything pass. Without FILE, shows the rules, and how\n"
		"many packets' fate each decided.\n",
};

static JsonObject *ask(const char *name, const char *command, JsonObject *arguments, int *status)
{
	GError *error = NULL;
	struct client *client = client_open(name, &error);
	JsonObject *answer = NULL;

	if (client)
		answer = client_call(client, command, arguments, &error);
	else if (arguments)
		json_object_unref(arguments);
	client_close(client);
	*status = error ? report_error(error) : EXIT_STATUS_OK;
	return answer;
}

static void print_card(JsonArray *cards, guint index, JsonNode *node, gpointer data)
{
	static const char *const facts[] = {"interface", "network", "address"};
	JsonObject *card = json_node_get_object(node);
	JsonArray *forwards = json_object_has_member(card, "forwards")
				      ? json_object_get_array_member(card, "forwards")
				      : NULL;

	printf("net%u  %s  %s  %s", index, json_object_get_string_member(card, "kind"),
	       json_object_get_string_member(card, "model"), json_object_get_string_member(card, "mac"));
	for (size_t i = 0; i < G_N_ELEMENTS(facts); i++)
		if (json_object_has_member(card, facts[i]))
			printf("  %s", json_object_get_string_member(card, facts[i]));
	if (json_object_has_member(card, "peers"))
		printf("  %" PRId64 " peers", json_object_get_int_member(card, "peers"));
	printf("\n");
	for (guint i = 0; forwards && i < json_array_get_length(forwards); i++) {
		JsonObject *forward = json_array_get_object_element(forwards, i);

		printf("      %s:%" PRId64 " -> %" PRId64 "/%s\n",
		       json_object_get_string_member(forward, "host"),
		       json_object_get_int_member(forward, "host_port"),
		       json_object_get_int_member(forward, "guest_port"),
		       json_object_get_string_member(forward, "protocol"));
	}
}

static int net_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	g_autoptr(JsonObject) answer = NULL;
	int status;

	if (!usage_parse(&net_usage, argc, argv, NULL, words, &status))
		return status;
	answer = ask(words[0], "net", NULL, &status);
	if (answer)
		json_array_foreach_element(json_object_get_array_member(answer, "cards"), print_card, NULL);
	return status;
}

static int pcap_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	g_autoptr(JsonObject) answer = NULL;
	JsonObject *arguments;
	int status;

	if (!usage_parse(&pcap_usage, argc, argv, NULL, words, &status))
		return status;
	arguments = json_object_new();
	if (words[1] && !strcmp(words[1], "off")) {
		json_object_set_boolean_member(arguments, "off", TRUE);
	} else if (words[1]) {
		g_autofree char *path = remote_path(words[1], &status);

		if (!path) {
			json_object_unref(arguments);
			return status;
		}
		json_object_set_string_member(arguments, "file", path);
	}
	answer = ask(words[0], "pcap", arguments, &status);
	if (answer)
		printf("%s  %" PRId64 " frames  %" PRId64 " dropped\n",
		       json_object_get_string_member_with_default(answer, "file", "off"),
		       json_object_get_int_member(answer, "frames"),
		       json_object_get_int_member(answer, "dropped"));
	return status;
}

static void print_counts(JsonArray *cards, guint index, JsonNode *node, gpointer data)
{
	static const char *const counts[] = {"passed", "denied", "malformed", "spoofed", "connections"};

	if (json_node_is_null(node))
		return;
	printf("# net%u:", index);
	for (size_t i = 0; i < G_N_ELEMENTS(counts); i++)
		printf(" %" PRId64 " %s", json_object_get_int_member(json_node_get_object(node), counts[i]),
		       counts[i]);
	printf("\n");
}

/* All cards have the same. */
static JsonArray *get_rules(JsonArray *cards, guint index)
{
	JsonNode *card = json_array_get_element(cards, index);

	return json_node_is_null(card) ? NULL
				       : json_object_get_array_member(json_node_get_object(card), "rules");
}

/* As lines of a file, with what became of packets in comments. */
static void print_firewall(JsonObject *answer)
{
	JsonArray *cards = json_object_get_array_member(answer, "cards"), *rules = NULL;
	guint n_cards = json_array_get_length(cards);

	printf("default-%s\n%s", json_object_get_string_member(answer, "default"),
	       json_object_get_boolean_member(answer, "no_spoof") ? "no-spoof\n" : "");
	json_array_foreach_element(cards, print_counts, NULL);
	for (guint card = 0; card < n_cards && !rules; card++)
		rules = get_rules(cards, card);
	for (guint i = 0; rules && i < json_array_get_length(rules); i++) {
		printf("%-40s #",
		       json_object_get_string_member(json_array_get_object_element(rules, i), "rule"));
		for (guint card = 0; card < n_cards; card++)
			if (get_rules(cards, card))
				printf(" net%u: %" PRId64, card,
				       json_object_get_int_member(
					       json_array_get_object_element(get_rules(cards, card), i),
					       "packets"));
		printf(" packets\n");
	}
}

static char *read_rules(const char *file, int *status)
{
	GError *error = NULL;
	char *text = NULL;

	if (!g_file_get_contents(strcmp(file, "-") ? file : "/dev/stdin", &text, NULL, &error)) {
		*status = report_error(g_error_new_literal(VIV_ERROR, VIV_ERROR_INPUT, error->message));
		g_error_free(error);
		return NULL;
	}
	if (g_utf8_validate(text, -1, NULL))
		return text;
	*status = report_error(
		g_error_new(VIV_ERROR, VIV_ERROR_INPUT, "'%s' holds no text; name a file of rules", file));
	g_free(text);
	return NULL;
}

static int firewall_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	g_autoptr(JsonObject) answer = NULL;
	JsonObject *arguments = NULL;
	int status;

	if (!usage_parse(&firewall_usage, argc, argv, NULL, words, &status))
		return status;
	if (words[1]) {
		g_autofree char *text = read_rules(words[1], &status);

		if (!text)
			return status;
		arguments = json_object_new();
		json_object_set_string_member(arguments, "rules", text);
	}
	answer = ask(words[0], "firewall", arguments, &status);
	if (answer && !words[1])
		print_firewall(answer);
	return status;
}

const struct verb verb_net = {"net", "what a VM's network cards are connected to", net_main};
const struct verb verb_pcap = {"pcap", "capture a VM's packets", pcap_main};
const struct verb verb_firewall = {"firewall", "show or replace a VM's firewall rules", firewall_main};
