/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"
#include "net/firewall_int.h"

#define RULE_FORM "in|out|any[:tcp|udp|icmp|any[:PORT|FIRST-LAST|any[:CIDR]]]"
#define MAX_LINE  256u

static const char *const protocols[] = {
	[RULE_ANY] = "any", [RULE_TCP] = "tcp", [RULE_UDP] = "udp", [RULE_ICMP] = "icmp"};

bool firewall_address_parse(struct firewall_address *address, const char *text)
{
	*address = (struct firewall_address){.v6 = strchr(text, ':') != NULL};
	return inet_pton(address->v6 ? AF_INET6 : AF_INET, text, address->bytes) == 1;
}

static void clear_rule(gpointer rule)
{
	g_free(((struct rule *)rule)->text);
}

struct firewall_rules *firewall_rules_new(void)
{
	struct firewall_rules *rules = g_new0(struct firewall_rules, 1);

	rules->n_refs = 1;
	rules->rules = g_array_new(FALSE, TRUE, sizeof(struct rule));
	g_array_set_clear_func(rules->rules, clear_rule);
	return rules;
}

struct firewall_rules *firewall_rules_ref(struct firewall_rules *rules)
{
	if (rules)
		rules->n_refs++;
	return rules;
}

void firewall_rules_unref(struct firewall_rules *rules)
{
	if (!rules || --rules->n_refs)
		return;
	g_array_unref(rules->rules);
	g_free(rules);
}

static bool parse_direction(struct rule *rule, const char *text, GError **error)
{
	bool any = !strcmp(text, "any");

	rule->directions[NET_IN] = any || !strcmp(text, "in");
	rule->directions[NET_OUT] = any || !strcmp(text, "out");
	return rule->directions[NET_IN] || rule->directions[NET_OUT] ||
	       viv_refuse(error, "'%s' is no direction; write %s", text, RULE_FORM);
}

static bool parse_protocol(struct rule *rule, const char *text, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(protocols); i++) {
		if (strcmp(text, protocols[i]))
			continue;
		rule->protocol = i;
		return true;
	}
	return viv_refuse(error, "'%s' is no protocol; write %s", text, RULE_FORM);
}

static bool parse_ports(struct rule *rule, const char *text, GError **error)
{
	g_auto(GStrv) ends = g_strsplit(text, "-", 2);
	guint64 first, last;

	if (!strcmp(text, "any") || !strcmp(text, "*"))
		return true;
	if (!ends[0] || !g_ascii_string_to_unsigned(ends[0], 10, 1, UINT16_MAX, &first, NULL) ||
	    !g_ascii_string_to_unsigned(ends[1] ? ends[1] : ends[0], 10, first, UINT16_MAX, &last, NULL))
		return viv_refuse(error, "'%s' is no port; write one from 1 to 65535, FIRST-LAST or any", text);
	if (rule->protocol == RULE_ICMP)
		return viv_refuse(error, "'%s': ICMP has no ports; write any in their place", text);
	rule->has_ports = true;
	rule->first_port = first;
	rule->last_port = last;
	return true;
}

static bool host_bits_are_zero(const uint8_t *bytes, unsigned prefix, unsigned len)
{
	for (unsigned bit = prefix; bit < len * 8; bit++)
		if (bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

static bool parse_net(struct rule *rule, const char *text, GError **error)
{
	g_auto(GStrv) words = g_strsplit(text, "/", 2);
	unsigned len;
	guint64 prefix;

	if (!strcmp(text, "any"))
		return true;
	if (!words[0] || !firewall_address_parse(&rule->net, words[0]))
		return viv_refuse(error, "'%s' is no network; write it like 192.0.2.0/24 or 2001:db8::/32", text);
	len = rule->net.v6 ? 16 : 4;
	prefix = len * 8;
	if (words[1] && !g_ascii_string_to_unsigned(words[1], 10, 0, len * 8, &prefix, NULL))
		return viv_refuse(error, "'%s': /%s is no prefix; write one from 0 to %u", text, words[1],
			      len * 8);
	if (!host_bits_are_zero(rule->net.bytes, prefix, len))
		return viv_refuse(error, "'%s' has bits behind its prefix; clear them, or write a longer prefix",
			      text);
	rule->has_net = true;
	rule->prefix = prefix;
	return true;
}

static bool parse_rule(struct rule *rule, const char *text, GError **error)
{
	g_auto(GStrv) words = g_strsplit(text, ":", 4);
	static bool (*const parsers[])(struct rule *, const char *,
				       GError **) = {parse_direction, parse_protocol, parse_ports, parse_net};

	for (unsigned i = 0; i < G_N_ELEMENTS(parsers) && words[i]; i++)
		if (!parsers[i](rule, words[i], error))
			return false;
	return words[0] || viv_refuse(error, "'%s' is no rule; write %s", text, RULE_FORM);
}

static bool set_policy(struct firewall_rules *rules, bool deny, GError **error)
{
	if (rules->has_policy && rules->deny != deny)
		return viv_refuse(error,
			      "'default-deny' and 'default-allow' contradict each other; leave one out");
	rules->has_policy = true;
	rules->deny = deny;
	return true;
}

bool firewall_is_policy(const char *word)
{
	return !strcmp(word, "default-deny") || !strcmp(word, "default-allow") || !strcmp(word, "no-spoof");
}

static bool add_rule(struct firewall_rules *rules, const char *verdict, const char *text, GError **error)
{
	struct rule rule = {.allow = !strcmp(verdict, "allow")};

	if (!rule.allow && strcmp(verdict, "deny"))
		return viv_refuse(error,
			      "'%s' is no line of a firewall; write allow RULE, deny RULE, default-deny, "
			      "default-allow or no-spoof",
			      verdict);
	if (rules->rules->len == FIREWALL_MAX_RULES)
		return viv_refuse(error, "'%s' is one rule too many; write at most %u", text, FIREWALL_MAX_RULES);
	if (!parse_rule(&rule, text, error))
		return false;
	rule.text = g_strdup_printf("%s %s", verdict, text);
	g_array_append_val(rules->rules, rule);
	return true;
}

bool firewall_rules_add(struct firewall_rules *rules, const char *line, GError **error)
{
	g_autofree char *text = g_strndup(line, strcspn(line, "#"));
	char *rule = g_strstrip(text) + strcspn(text, " \t");

	if (strlen(text) > MAX_LINE || !g_str_is_ascii(text))
		return viv_refuse(error, "a line has at most %u characters, all of ASCII", MAX_LINE);
	if (!*text)
		return true;
	if (!strcmp(text, "no-spoof"))
		return rules->no_spoof = true;
	if (firewall_is_policy(text))
		return set_policy(rules, !strcmp(text, "default-deny"), error);
	if (*rule)
		*rule++ = '\0';
	return add_rule(rules, text, g_strstrip(rule), error);
}

bool firewall_rules_add_text(struct firewall_rules *rules, const char *text, GError **error)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (unsigned i = 0; lines[i]; i++) {
		if (firewall_rules_add(rules, lines[i], error))
			continue;
		g_prefix_error(error, "line %u: ", i + 1);
		return false;
	}
	return true;
}

bool firewall_rules_check(const struct firewall_rules *rules, GError **error)
{
	for (unsigned i = 0; i < rules->rules->len; i++)
		if (!g_array_index(rules->rules, struct rule, i).allow)
			return true;
	return !rules->rules->len || rules->has_policy ||
	       viv_refuse(error, "what no rule denies passes anyway; add default-deny, or default-allow if that "
			     "is meant");
}

static bool fits_net(const struct rule *rule, const struct flow *flow)
{
	unsigned whole = rule->prefix / 8, rest = rule->prefix % 8;

	return flow->v6 == rule->net.v6 && !memcmp(flow->remote, rule->net.bytes, whole) &&
	       (!rest || !((flow->remote[whole] ^ rule->net.bytes[whole]) >> (8 - rest)));
}

static bool fits_protocol(const struct rule *rule, uint8_t protocol)
{
	switch (rule->protocol) {
	case RULE_TCP:
		return protocol == PACKET_TCP;
	case RULE_UDP:
		return protocol == PACKET_UDP;
	case RULE_ICMP:
		return protocol == PACKET_ICMP || protocol == PACKET_ICMPV6;
	default:
		return true;
	}
}

/* Where the port is not known, what would deny does, and what would allow does not. */
static bool fits_ports(const struct rule *rule, const struct flow *flow, enum net_direction direction,
		       bool later_fragment)
{
	uint16_t port = direction == NET_OUT ? flow->remote_port : flow->local_port;

	if (!rule->has_ports)
		return true;
	if (flow->protocol != PACKET_TCP && flow->protocol != PACKET_UDP)
		return false;
	if (later_fragment)
		return !rule->allow;
	return port >= rule->first_port && port <= rule->last_port;
}

int rules_match(const struct firewall_rules *rules, const struct flow *flow, enum net_direction direction,
		bool later_fragment)
{
	for (unsigned i = 0; i < rules->rules->len; i++) {
		const struct rule *rule = &g_array_index(rules->rules, struct rule, i);

		if (rule->directions[direction] && fits_protocol(rule, flow->protocol) &&
		    fits_ports(rule, flow, direction, later_fragment) &&
		    (!rule->has_net || fits_net(rule, flow)))
			return i;
	}
	return -1;
}
