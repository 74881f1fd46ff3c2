/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --net and what goes with it. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/uuid.h"
#include "net/firewall.h"
#include "vm/config_int.h"
#include "vm/runtime_dir.h"

#define RATE_MIN (64u << 10)   /* bits a second */
#define RATE_MAX 1000000000000 /* so that nothing overflows */

enum {
	NONE = 1 << VM_NET_NONE,
	USER = 1 << VM_NET_USER,
	TAP = 1 << VM_NET_TAP,
	PRIVATE = 1 << VM_NET_PRIVATE,
	CABLED = USER | TAP | PRIVATE,
	ALL = NONE | CABLED,
};

static const char *const kinds[VM_N_NETS] = {
	[VM_NET_NONE] = "none",
	[VM_NET_USER] = "user",
	[VM_NET_TAP] = "tap",
	[VM_NET_PRIVATE] = "private",
};

static const char *const models[MACHINE_N_NIC_MODELS] = {
	[MACHINE_VIRTIO_NET] = "virtio",
	[MACHINE_E1000] = "e1000",
	[MACHINE_RTL8139] = "rtl8139",
	[MACHINE_RTL8029] = "ne2k",
};

const char *vm_net_kind_name(enum vm_net_kind kind)
{
	return kinds[kind];
}

const char *vm_nic_model_name(enum machine_nic_model model)
{
	return models[model];
}

/* Lives as long as the configuration. */
static const char *keep(struct vm_config *config, const char *text)
{
	if (!config->net_texts)
		config->net_texts = g_string_chunk_new(256);
	return g_string_chunk_insert(config->net_texts, text);
}

static bool set_model(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	for (unsigned i = 0; i < MACHINE_N_NIC_MODELS; i++) {
		if (strcmp(value, models[i]))
			continue;
		nic->model = i;
		return true;
	}
	return viv_refuse(error, "'%s' is not a network card; write model=virtio, e1000, rtl8139 or ne2k",
			     value);
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
	unsigned byte[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
		   &byte[5], &end) != 6 ||
	    text[end])
		return false;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = byte[i];
	return !(mac[0] & 1);
}

static bool set_mac(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	nic->has_mac = parse_mac(value, nic->mac);
	return nic->has_mac ||
	       viv_refuse(error, "'%s' is not a card's address; write it like mac=52:54:00:12:34:56",
			     value);
}

/* Of a machine that has a UUID, always the same. */
static void make_mac(const struct vm_config *config, unsigned card, uint8_t mac[6])
{
	static const uint8_t none[16];
	uint8_t uuid[16];

	for (unsigned i = 0; i < sizeof(uuid); i++)
		uuid[i] = g_random_int();
	uuid_mac(memcmp(config->uuid, none, sizeof(none)) ? config->uuid : uuid, card, mac);
}

static bool set_rate(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	static const char suffixes[] = "KMG";
	char *end;
	double rate = g_ascii_strtod(value, &end);
	const char *suffix = *end ? strchr(suffixes, g_ascii_toupper(*end)) : NULL;

	for (int i = suffix ? suffix - suffixes : -1; i >= 0; i--)
		rate *= 1000;
	if (!g_ascii_isdigit(value[0]) || (*end && (!suffix || end[1])) ||
	    !(rate >= RATE_MIN && rate <= RATE_MAX))
		return viv_refuse(error,
				     "'%s' is no rate; write bits a second from 64K to 1000G, like rate=100M",
				     value);
	nic->rate = rate;
	return true;
}

static bool set_ip(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	struct firewall_address *address = &nic->addresses[nic->n_addresses];

	if (nic->n_addresses == G_N_ELEMENTS(nic->addresses))
		return viv_refuse(error, "'%s' is one address too many; give at most %zu", value,
				     G_N_ELEMENTS(nic->addresses));
	if (!firewall_address_parse(address, value))
		return viv_refuse(
			error, "'%s' is no address; write it like ip=192.0.2.7 or ip=2001:db8::7", value);
	nic->n_addresses++;
	return true;
}

static bool parse_switch(const char *value, bool *on, GError **error)
{
	*on = !strcmp(value, "on");
	return *on || !strcmp(value, "off") || viv_refuse(error, "'%s' is neither on nor off", value);
}

static bool set_restrict(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	return parse_switch(value, &nic->user.restricted, error);
}

static bool set_host(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	bool good = parse_switch(value, &nic->user.no_host, error);

	nic->user.no_host ^= true;
	return good;
}

static bool set_ipv6(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	bool good = parse_switch(value, &nic->user.no_ipv6, error);

	nic->user.no_ipv6 ^= true;
	return good;
}

static bool set_network(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	g_auto(GStrv) words = g_strsplit(value, "/", 2);
	struct in_addr network;
	guint64 prefix;

	if (!words[0] || !words[1] || inet_pton(AF_INET, words[0], &network) != 1 ||
	    !g_ascii_string_to_unsigned(words[1], 10, USER_NET_PREFIX_MIN, USER_NET_PREFIX_MAX, &prefix,
					NULL) ||
	    ntohl(network.s_addr) & UINT32_MAX >> prefix)
		return viv_refuse(
			error,
			"'%s' is no network for a guest; write one of /%u to /%u, like net=10.0.2.0/24",
			value, USER_NET_PREFIX_MIN, USER_NET_PREFIX_MAX);
	nic->user.network = network;
	nic->user.prefix = prefix;
	return true;
}

static bool set_mtu(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	guint64 mtu;

	if (!g_ascii_string_to_unsigned(value, 10, USER_NET_MTU_MIN, USER_NET_MTU_MAX, &mtu, NULL))
		return viv_refuse(error, "'%s' is no MTU; write mtu=%u to %u", value, USER_NET_MTU_MIN,
				     USER_NET_MTU_MAX);
	nic->user.mtu = mtu;
	return true;
}

/* What DHCP carries in an option. */
static bool check_host_name(const char *value, GError **error)
{
	size_t len = strspn(value, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS ".-");

	return (len && len <= 63 && !value[len] && value[0] != '.' && value[0] != '-') ||
	       viv_refuse(error, "'%s' is no host's name; write letters, digits, dots and dashes", value);
}

static bool set_hostname(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	nic->user.hostname = keep(config, value);
	return check_host_name(value, error);
}

static bool set_domain(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	unsigned n = 0;

	while (n < VM_MAX_DOMAINS && nic->domains[n])
		n++;
	if (n == VM_MAX_DOMAINS)
		return viv_refuse(error, "'%s' is one domain too many; give at most %d", value,
				     VM_MAX_DOMAINS);
	nic->domains[n] = keep(config, value);
	return check_host_name(value, error);
}

static bool set_tftp(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	nic->user.tftp = keep(config, value);
	return g_file_test(value, G_FILE_TEST_IS_DIR) ||
	       viv_refuse(error, "'%s' is no folder; name one that is there", value);
}

static bool set_bootfile(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	nic->user.bootfile = keep(config, value);
	/* BOOTP's field, RFC 951. */
	return strlen(value) < 128 || viv_refuse(error, "a boot file's name has at most 127 characters");
}

static bool check_interface(const char *value, GError **error)
{
	size_t len = strspn(value, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-");

	return (len && len < IFNAMSIZ && !value[len]) ||
	       viv_refuse(error, "'%s' is no interface's name; write 1 to %d of A-Z a-z 0-9 . _ -", value,
			     IFNAMSIZ - 1);
}

static bool set_ifname(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	nic->name = keep(config, value);
	return check_interface(value, error);
}

static bool set_bridge(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error)
{
	nic->bridge = keep(config, value);
	return check_interface(value, error);
}

static const struct {
	const char *name;
	unsigned kinds;
	bool (*set)(struct vm_config *config, struct vm_nic *nic, const char *value, GError **error);
} keys[] = {
	{"model", ALL, set_model},	  {"mac", ALL, set_mac},
	{"rate", CABLED, set_rate},	  {"ip", CABLED, set_ip},
	{"restrict", USER, set_restrict}, {"host", USER, set_host},
	{"ipv6", USER, set_ipv6},	  {"net", USER, set_network},
	{"mtu", USER, set_mtu},		  {"hostname", USER, set_hostname},
	{"domain", USER, set_domain},	  {"tftp", USER, set_tftp},
	{"bootfile", USER, set_bootfile}, {"ifname", TAP, set_ifname},
	{"bridge", TAP, set_bridge},
};

static bool refuse_key(const struct vm_nic *nic, const char *name, GError **error)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
		if (keys[i].kinds & 1 << nic->net)
			g_string_append_printf(names, "%s%s", names->len ? ", " : "", keys[i].name);
	return viv_refuse(error, "'%s' is nothing that %s has; it has %s", name, kinds[nic->net],
			     names->str);
}

static bool set_key(struct vm_config *config, struct vm_nic *nic, const char *word, GError **error)
{
	const char *equals = strchr(word, '=');
	g_autofree char *name = equals ? g_strndup(word, equals - word) : g_strdup(word);

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		if (strcmp(keys[i].name, name) || !(keys[i].kinds & 1 << nic->net))
			continue;
		if (!equals || !equals[1])
			return viv_refuse(error, "'%s' needs a value; write %s=...", name, name);
		return keys[i].set(config, nic, equals + 1, error);
	}
	return refuse_key(nic, name, error);
}

static bool set_kind(struct vm_config *config, struct vm_nic *nic, const char *word, GError **error)
{
	bool private = g_str_has_prefix(word, "private=");

	if (private) {
		nic->net = VM_NET_PRIVATE;
		nic->name = keep(config, word + strlen("private="));
		return vm_name_check(nic->name, error);
	}
	for (nic->net = 0; nic->net < VM_N_NETS; nic->net++)
		if (nic->net != VM_NET_PRIVATE && !strcmp(word, kinds[nic->net]))
			return true;
	return viv_refuse(error, "'%s' is no network; write user, tap, private=NAME or none", word);
}

static void init_nic(struct vm_nic *nic)
{
	*nic = (struct vm_nic){.model = VM_DEFAULT_NIC};
	user_config_init(&nic->user);
}

bool config_set_net(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	struct vm_nic *nic = &config->nics[config->n_nics];
	g_auto(GStrv) words = g_strsplit(value, ",", 0);

	if (config->n_nics == VM_MAX_NICS)
		return viv_refuse(error, "'%s' is one too many; a VM has at most %d network cards", value,
				     VM_MAX_NICS);
	init_nic(nic);
	if (!set_kind(config, nic, words[0] ? words[0] : "", error))
		return false;
	for (unsigned i = 1; words[i]; i++)
		if (!set_key(config, nic, words[i], error))
			return false;
	config->n_nics++;
	return true;
}

bool config_set_forward(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	if (config->n_forwards == VM_MAX_FORWARDS)
		return viv_refuse(error, "'%s' is one too many; at most %d ports are forwarded", value,
				     VM_MAX_FORWARDS);
	return user_forward_parse(&config->forwards[config->n_forwards], value, error) &&
	       ++config->n_forwards;
}

bool config_set_pcap(void *target, const char *value, GError **error)
{
	return config_set_once(&((struct vm_config *)target)->pcap, value, error);
}

static struct firewall_rules *get_rules(struct vm_config *config)
{
	if (!config->firewall)
		config->firewall = firewall_rules_new();
	return config->firewall;
}

/* A file, or one of the words that stand alone in it. */
bool config_set_firewall(void *target, const char *value, GError **error)
{
	struct firewall_rules *rules = get_rules(target);
	g_autofree char *text = NULL;

	if (firewall_is_policy(value))
		return firewall_rules_add(rules, value, error);
	if (!g_file_get_contents(value, &text, NULL, error)) {
		(*error)->domain = VIV_ERROR;
		(*error)->code = VIV_ERROR_INPUT;
		return false;
	}
	if (firewall_rules_add_text(rules, text, error))
		return true;
	g_prefix_error(error, "'%s': ", value);
	return false;
}

static bool add_rule(struct vm_config *config, const char *verdict, const char *value, GError **error)
{
	g_autofree char *line = g_strconcat(verdict, " ", value, NULL);

	return firewall_rules_add(get_rules(config), line, error);
}

bool config_set_allow(void *target, const char *value, GError **error)
{
	return add_rule(target, "allow", value, error);
}

bool config_set_deny(void *target, const char *value, GError **error)
{
	return add_rule(target, "deny", value, error);
}

bool config_set_no_spoof(void *target, const char *value, GError **error)
{
	return firewall_rules_add(get_rules(target), "no-spoof", error);
}

static struct vm_nic *first_user(struct vm_config *config)
{
	for (unsigned i = 0; i < config->n_nics; i++)
		if (config->nics[i].net == VM_NET_USER)
			return &config->nics[i];
	return NULL;
}

static void add_user(struct vm_config *config)
{
	struct vm_nic *nic = &config->nics[config->n_nics++];

	init_nic(nic);
	nic->net = VM_NET_USER;
	nic->no_rom = true;
}

bool vm_config_complete(struct vm_config *config, GError **error)
{
	bool boots_disk = vm_config_has_firmware(config) && config->n_disks;

	if (!config->n_nics && (config->n_forwards || boots_disk))
		add_user(config);
	if (config->n_forwards && !first_user(config)) {
		viv_refuse(error, "--publish: only a user network forwards ports; add --net user");
		return false;
	}
	for (unsigned i = 0; i < config->n_nics; i++) {
		struct vm_nic *nic = &config->nics[i];

		if (!nic->has_mac)
			make_mac(config, i, nic->mac);
		nic->user.search = nic->domains[0] ? nic->domains : NULL;
		if (!nic->user.hostname && config->name && check_host_name(config->name, NULL))
			nic->user.hostname = config->name;
	}
	if (config->firewall && !firewall_rules_check(config->firewall, error)) {
		g_prefix_error(error, "--allow: ");
		return false;
	}
	return true;
}

void config_fini_nets(struct vm_config *config)
{
	firewall_rules_unref(config->firewall);
	if (config->net_texts)
		g_string_chunk_free(config->net_texts);
	g_free(config->pcap);
}
