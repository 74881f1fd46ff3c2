/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/nets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "net/lan.h"
#include "net/net.h"
#include "net/pcap.h"
#include "net/rate.h"
#include "net/tap.h"
#include "vm/runtime_dir.h"

struct card {
	const struct vm_nic *nic;
	struct net_port *port; /* NULL: no cable */
	struct firewall *firewall;
	struct rate *rate; /* NULL: no limit */
	/* The one there is, by nic->net. */
	struct user_net *user;
	struct tap *tap;
	struct lan *lan;
};

struct nets {
	const struct vm_config *config;
	GMainContext *context;
	struct card cards[VM_MAX_NICS];
	unsigned n_cards;
	struct pcap *pcap;
	struct user_forward forwards[VM_MAX_FORWARDS]; /* with the ports that were chosen */
	unsigned n_forwards;
};

static bool open_user(struct nets *nets, struct card *card, GError **error)
{
	bool is_first = true;

	card->user = user_net_new(nets->context, &card->nic->user);
	net_join(card->port, user_net_port(card->user));
	for (const struct card *other = nets->cards; other < card; other++)
		is_first &= !other->user;
	for (unsigned i = 0; is_first && i < nets->config->n_forwards; i++) {
		nets->forwards[i] = nets->config->forwards[i];
		if (!user_net_forward(card->user, &nets->forwards[i], error)) {
			g_prefix_error(error, "--publish: ");
			return false;
		}
		nets->n_forwards++;
	}
	return true;
}

static bool open_tap(struct nets *nets, struct card *card, GError **error)
{
	const struct tap_config config = {card->nic->name, card->nic->bridge};

	card->tap = tap_new(nets->context, &config, error);
	if (!card->tap) {
		g_prefix_error(error, "--net: ");
		return false;
	}
	net_join(card->port, tap_port(card->tap));
	return true;
}

static bool open_private(struct nets *nets, struct card *card, GError **error)
{
	g_autofree char *runtime = runtime_dir_open(error);
	g_autofree char *networks = runtime ? g_build_filename(runtime, "net", NULL) : NULL;
	g_autofree char *folder = runtime ? g_build_filename(networks, card->nic->name, NULL) : NULL;

	if (!runtime)
		return false;
	mkdir(networks, 0700); /* whether it is there is seen by the next */
	card->lan = lan_new(nets->context, folder, error);
	if (!card->lan) {
		g_prefix_error(error, "--net: ");
		return false;
	}
	net_join(card->port, lan_port(card->lan));
	return true;
}

static bool open_card(struct nets *nets, struct card *card, GError **error)
{
	static bool (*const openers[VM_N_NETS])(struct nets *, struct card *, GError **) = {
		[VM_NET_USER] = open_user, [VM_NET_TAP] = open_tap, [VM_NET_PRIVATE] = open_private};
	const struct vm_nic *nic = card->nic;
	struct firewall_config firewall = {.addresses = nic->addresses, .n_addresses = nic->n_addresses};
	g_autofree char *name = g_strdup_printf("net%u", nets->n_cards - 1);

	if (!openers[nic->net])
		return true;
	card->port = net_port_new(nets->context);
	memcpy(firewall.mac, nic->mac, sizeof(firewall.mac));
	pcap_watch(nets->pcap, card->port, name);
	card->firewall = firewall_new(card->port, &firewall, nets->config->firewall);
	if (nic->rate)
		card->rate = rate_new(nets->context, card->port, nic->rate);
	return openers[nic->net](nets, card, error);
}

struct nets *nets_new(const struct vm_config *config, GMainContext *context, GError **error)
{
	struct nets *nets = g_new0(struct nets, 1);

	nets->config = config;
	nets->context = context;
	nets->pcap = pcap_new();
	for (unsigned i = 0; i < config->n_nics; i++) {
		struct card *card = &nets->cards[nets->n_cards++];

		card->nic = &config->nics[i];
		if (!open_card(nets, card, error)) {
			nets_free(nets);
			return NULL;
		}
	}
	if (!config->pcap || nets_capture(nets, config->pcap, error))
		return nets;
	g_prefix_error(error, "--pcap: ");
	nets_free(nets);
	return NULL;
}

void nets_free(struct nets *nets)
{
	if (!nets)
		return;
	for (unsigned i = 0; i < nets->n_cards; i++) {
		struct card *card = &nets->cards[i];

		net_port_free(card->port);
		user_net_free(card->user);
		tap_free(card->tap);
		lan_free(card->lan);
		rate_free(card->rate);
		firewall_free(card->firewall);
	}
	pcap_free(nets->pcap);
	g_free(nets);
}

struct net_port *nets_port(const struct nets *nets, unsigned index)
{
	return nets->cards[index].port;
}

static void describe_forwards(const struct nets *nets, JsonObject *out)
{
	JsonArray *forwards = json_array_new();

	for (unsigned i = 0; i < nets->n_forwards; i++) {
		const struct user_forward *forward = &nets->forwards[i];
		JsonObject *object = json_object_new();
		char host[INET_ADDRSTRLEN];

		json_object_set_string_member(object, "protocol", forward->udp ? "udp" : "tcp");
		json_object_set_string_member(object, "host",
					      inet_ntop(AF_INET, &forward->host, host, sizeof(host)));
		json_object_set_int_member(object, "host_port", forward->host_port);
		json_object_set_int_member(object, "guest_port", forward->guest_port);
		json_array_add_object_element(forwards, object);
	}
	json_object_set_array_member(out, "forwards", forwards);
}

static bool is_first_user(const struct nets *nets, const struct card *card)
{
	for (const struct card *other = nets->cards; other < card; other++)
		if (other->user)
			return false;
	return card->user != NULL;
}

static void describe_network(const struct nets *nets, const struct card *card, JsonObject *out)
{
	char address[INET_ADDRSTRLEN];
	struct in_addr guest;

	switch (card->nic->net) {
	case VM_NET_USER:
		guest = user_net_guest(card->user);
		json_object_set_string_member(out, "address",
					      inet_ntop(AF_INET, &guest, address, sizeof(address)));
		break;
	case VM_NET_TAP:
		json_object_set_string_member(out, "interface", tap_name(card->tap));
		break;
	case VM_NET_PRIVATE:
		json_object_set_string_member(out, "network", card->nic->name);
		json_object_set_int_member(out, "peers", lan_n_peers(card->lan));
		break;
	default:
		break;
	}
	if (is_first_user(nets, card))
		describe_forwards(nets, out);
}

JsonArray *nets_describe(const struct nets *nets)
{
	JsonArray *cards = json_array_new();

	for (unsigned i = 0; i < nets->n_cards; i++) {
		const struct card *card = &nets->cards[i];
		const uint8_t *mac = card->nic->mac;
		g_autofree char *text = g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
							mac[2], mac[3], mac[4], mac[5]);
		JsonObject *object = json_object_new();

		json_object_set_string_member(object, "kind", vm_net_kind_name(card->nic->net));
		json_object_set_string_member(object, "model", vm_nic_model_name(card->nic->model));
		json_object_set_string_member(object, "mac", text);
		json_object_set_int_member(object, "dropped", net_dropped(card->port));
		describe_network(nets, card, object);
		json_array_add_object_element(cards, object);
	}
	return cards;
}

static JsonObject *describe_card_firewall(const struct firewall *firewall)
{
	JsonObject *out = json_object_new();
	JsonArray *rules = json_array_new();

	for (enum firewall_count i = 0; i < FIREWALL_N_COUNTS; i++)
		json_object_set_int_member(out, firewall_count_name(i), firewall_count(firewall, i));
	json_object_set_int_member(out, "connections", firewall_connections(firewall));
	for (unsigned i = 0; i < firewall_n_rules(firewall); i++) {
		JsonObject *rule = json_object_new();
		uint64_t packets;

		json_object_set_string_member(rule, "rule", firewall_rule(firewall, i, &packets));
		json_object_set_int_member(rule, "packets", packets);
		json_array_add_object_element(rules, rule);
	}
	json_object_set_array_member(out, "rules", rules);
	return out;
}

void nets_describe_firewall(const struct nets *nets, JsonObject *answer)
{
	JsonArray *cards = json_array_new();
	const struct firewall *any = NULL;

	for (unsigned i = 0; i < nets->n_cards; i++) {
		const struct firewall *firewall = nets->cards[i].firewall;

		any = firewall ? firewall : any;
		if (firewall)
			json_array_add_object_element(cards, describe_card_firewall(firewall));
		else
			json_array_add_null_element(cards);
	}
	json_object_set_string_member(answer, "default", any && firewall_denies(any) ? "deny" : "allow");
	json_object_set_boolean_member(answer, "no_spoof", any && firewall_checks_sources(any));
	json_object_set_array_member(answer, "cards", cards);
}

bool nets_set_firewall(struct nets *nets, const char *text, GError **error)
{
	struct firewall_rules *rules = firewall_rules_new();
	bool good = firewall_rules_add_text(rules, text, error) && firewall_rules_check(rules, error);

	for (unsigned i = 0; good && i < nets->n_cards; i++)
		if (nets->cards[i].firewall)
			firewall_set_rules(nets->cards[i].firewall, rules);
	firewall_rules_unref(rules);
	return good;
}

static bool has_cable(const struct nets *nets)
{
	for (unsigned i = 0; i < nets->n_cards; i++)
		if (nets->cards[i].port)
			return true;
	return false;
}

bool nets_capture(struct nets *nets, const char *path, GError **error)
{
	if (path && has_cable(nets))
		return pcap_start(nets->pcap, path, error);
	if (path) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "nothing to capture: no network card has a cable; start the VM with --net user");
		return false;
	}
	pcap_stop(nets->pcap);
	return true;
}

void nets_describe_capture(const struct nets *nets, JsonObject *answer)
{
	const char *path = pcap_path(nets->pcap);
	g_autofree char *text = path ? g_filename_display_name(path) : NULL;

	if (text)
		json_object_set_string_member(answer, "file", text);
	json_object_set_int_member(answer, "frames", pcap_frames(nets->pcap));
	json_object_set_int_member(answer, "dropped", pcap_dropped(nets->pcap));
}
