#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/parse.h"
#include "gen/rules.h"

/* Types of JSON documents, and of keys. */

enum { SEARCH_MAX = 255, SEARCH_DOMAINS_MAX = 6, OVERLAY_NAME_MAX = 13, OVERLAY_MTU_MIN = 552 };

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "dict";
    case JSON_ARRAY:
        return "list";
    case JSON_STRING:
        return "str";
    case JSON_INTEGER:
        return "int";
    case JSON_REAL:
        return "float";
    case JSON_NULL:
        return "NoneType";
    default:
        return "bool";
    }
}

static int parse(const char *text, const char *what, json_t **ret, struct error *err)
{
    if (!text) /* not in config.yaml, and without a default */
        return error_set(err, -EINVAL, "Must be set");
    struct error why = ERROR_INIT;
    if (json_parse(text, strlen(text), ret, &why) < 0)
        return error_set(err, -EINVAL,
            "Must be a JSON formatted %s, but couldn't be parsed the given value `%.200s` "
            "as one because of: %.200s",
            what, text, why.msg);
    return 0;
}

int rule_parse_list(const char *text, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = parse(text, "list", &json, err);
    if (r < 0)
        return r;
    if (!json_is_array(json))
        return error_set(err, -EINVAL, "Must be a JSON list, got %s", type_name(json));
    if (json_array_size(json) > RULE_LIST_MAX)
        return error_set(err, -EINVAL, "Must not have more than %d members", (int)RULE_LIST_MAX);
    *ret = TAKE_PTR(json);
    return 0;
}

int rule_parse_dictionary(const char *text, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = parse(text, "dictionary", &json, err);
    if (r < 0)
        return r;
    if (!json_is_object(json))
        return error_set(err, -EINVAL, "Must be a JSON dictionary, got %s", type_name(json));
    *ret = TAKE_PTR(json);
    return 0;
}

static int rule_list(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    return rule_parse_list(c->in[0], &json, err);
}

static int rule_dictionary(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    return rule_parse_dictionary(c->in[0], &json, err);
}

/* Nothing is as good as an empty list. */
static int rule_no_proxy(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    json_t *item;
    size_t i;
    int r = *c->in[0] ? rule_parse_list(c->in[0], &json, err) : 0;
    if (r < 0)
        return r;
    json_array_foreach(json, i, item)
    {
        if (!json_is_string(item) || strpbrk(json_string_value(item), ", \n"))
            return error_set(err, -EINVAL, "Must be a JSON list of names and addresses");
    }
    return 0;
}

/* ---- lists of addresses ---- */

static int no_duplicates(const json_t *list, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    _cleanup_(map_done)
    struct map seen = MAP_INIT;
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const char *text = json_string_value(item);
        if (text)
            map_put(&seen, text, (void *)((uintptr_t)map_get(&seen, text) + 1));
    }
    MAP_FOREACH (e, &seen) {
        if ((uintptr_t)e->value > 1 && b.n < 400)
            buf_printf(&b, "%s%.60s appears %zu times", b.n ? ", " : "", e->key,
                (size_t)(uintptr_t)e->value);
    }
    if (b.n)
        return error_set(err, -EINVAL, "List cannot contain duplicates: %s", buf_cstr(&b));
    return 0;
}

static void note_invalid(struct buf *b, const json_t *item)
{
    char text[64];
    json_describe(item, text, sizeof(text));
    if (b->n < 400)
        buf_printf(
            b, "%s%.60s", b->n ? ", " : "", json_is_string(item) ? json_string_value(item) : text);
}

static int rule_ipv4_list(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *list = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;
    json_t *item;
    size_t i;
    int r = rule_parse_list(c->in[0], &list, err);
    if (r == 0)
        r = no_duplicates(list, err);
    if (r < 0)
        return r;
    json_array_foreach(list, i, item)
    {
        if (!json_is_string(item) || !rule_is_ipv4(json_string_value(item)))
            note_invalid(&b, item);
    }
    if (b.n)
        return error_set(err, -EINVAL, "Invalid IPv4 addresses in list: %s", buf_cstr(&b));
    return 0;
}

/* "address" or "address:port". */
static int endpoint(const char *text, struct error *err)
{
    const char *colon = strchr(text, ':');
    _cleanup_free_ char *address = xstrndup(text, colon ? (size_t)(colon - text) : strlen(text));
    uint16_t port = 1;
    if (!rule_is_ipv4(address))
        return error_set(err, -EINVAL, "Invalid IPv4 address: %.100s", address);
    if (colon && (parse_port(str_of(colon + 1), &port) < 0 || port == 0))
        return error_set(
            err, -EINVAL, "Invalid port: %.100s. Must be between 1 and 65535 inclusive", colon + 1);
    return 0;
}

static int endpoints(const json_t *list, struct error *err)
{
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        if (!json_is_string(item))
            return error_set(err, -EINVAL, "Invalid IPv4 address: a %s", type_name(item));
        int r = endpoint(json_string_value(item), err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int rule_resolvers(struct graph_call *c, struct error *err)
{
    static const char *const own[] = {"198.51.100.1", "198.51.100.2", "198.51.100.3"};
    _cleanup_json_ json_t *list = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;
    json_t *item;
    size_t i;
    int r = rule_parse_list(c->in[0], &list, err);
    if (r == 0)
        r = no_duplicates(list, err);
    if (r == 0)
        r = endpoints(list, err);
    if (r < 0)
        return r;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        for (size_t k = 0; k < ARRAY_SIZE(own); k++) {
            size_t n = strlen(own[k]);
            if (strncmp(text, own[k], n) == 0 && (text[n] == '\0' || text[n] == ':'))
                buf_printf(&b, "%s%s", b.n ? ", " : "", own[k]);
        }
    }
    if (b.n)
        return error_set(err, -EINVAL, "Spartan addresses found: %s", buf_cstr(&b));
    return 0;
}

static int rule_forward_zones(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *zones = NULL;
    const char *zone;
    json_t *list;
    int r = rule_parse_dictionary(c->in[0], &zones, err);
    if (r == 0) {
        json_object_foreach(zones, zone, list)
        {
            if (r < 0)
                break;
            if (!json_is_array(list))
                r = error_set(err, -EINVAL, "%.100s: must be a list of addresses, got %s", zone,
                    type_name(list));
            else if ((r = endpoints(list, err)) < 0)
                error_prefix(err, r, "%.100s", zone);
        }
    }
    return r < 0 ? error_prefix(err, r, "Invalid \"%s\"", c->name) : 0;
}

static int rule_dns_search(struct graph_call *c, struct error *err)
{
    const char *text = c->in[0];
    size_t domains = 0;
    struct str rest = str_of(text), word;
    if (strchr(text, '\n'))
        return error_set(err, -EINVAL, "Newlines are not allowed");
    if (strchr(text, ','))
        return error_set(err, -EINVAL, "Commas are not allowed");
    while (str_split(&rest, ' ', &word))
        domains += word.n > 0;
    if (strlen(text) > SEARCH_MAX)
        return error_set(err, -EINVAL, "Must be less than 256 characters long");
    if (domains > SEARCH_DOMAINS_MAX)
        return error_set(err, -EINVAL, "Must contain no more than 6 domains");
    return 0;
}

/* ---- overlays ---- */

static bool subnet6(const char *text)
{
    const char *slash = strchr(text, '/');
    uint32_t prefix;
    struct in6_addr a;
    _cleanup_free_ char *address = slash ? xstrndup(text, (size_t)(slash - text)) : NULL;
    return slash && inet_pton(AF_INET6, address, &a) == 1 &&
           parse_u32(str_of(slash + 1), &prefix) == 0 && prefix <= 128;
}

static int subnet_field(const json_t *o, const char *key, bool six, struct error *err)
{
    const json_t *value = json_at(o, key);
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    struct subnet4 s;
    if (!value || (six ? subnet6(text) : rule_subnet4(text, &s)))
        return 0;
    return error_set(err, -EINVAL,
        "Incorrect value for `%s`: `%.100s`. Only IPv%c subnets are allowed", key, text,
        six ? '6' : '4');
}

static int one_overlay(const json_t *o, struct error *err)
{
    const char *name = json_str_at(o, "name", "");
    const json_t *enabled = json_at(o, "enabled");
    if (!json_is_object(o))
        return error_set(err, -EINVAL, "Each overlay must be a dictionary");
    if (!*name || strlen(name) > OVERLAY_NAME_MAX)
        return error_set(err, -EINVAL, "Overlay network name cannot exceed %d characters: '%.100s'",
            (int)OVERLAY_NAME_MAX, name);
    if (!json_at(o, "subnet") && !json_at(o, "subnet6"))
        return error_set(
            err, -EINVAL, "Missing `subnet` or `subnet6` in overlay network '%s'", name);
    int r = subnet_field(o, "subnet", false, err);
    if (r == 0)
        r = subnet_field(o, "subnet6", true, err);
    if (r < 0)
        return error_prefix(err, r, "Overlay network '%s'", name);
    if (enabled && !json_is_boolean(enabled))
        return error_set(err, -EINVAL,
            "Invalid value of `enabled` in overlay network '%s': must be true or false", name);
    return 0;
}

static int rule_overlay(struct graph_call *c, struct error *err)
{
    static const char *const keys[] = {"overlays", "vtep_mac_oui", "vtep_subnet", "vtep_subnet6"};
    _cleanup_json_ json_t *json = NULL;
    json_t *item;
    size_t i;
    int r = rule_parse_dictionary(c->in[0], &json, err);
    if (r < 0)
        return r;
    for (i = 0; i < ARRAY_SIZE(keys); i++) {
        if (!json_at(json, keys[i]))
            return error_set(err, -EINVAL, "Missing `%s` in the overlay configuration", keys[i]);
    }
    const json_t *overlays = json_at(json, "overlays"), *mtu = json_at(json, "vtep_mtu");
    if (!json_is_array(overlays) || json_array_size(overlays) == 0)
        return error_set(
            err, -EINVAL, "`overlays` must be a list with at least one overlay network");
    if (mtu && (!json_is_integer(mtu) || json_integer_value(mtu) < OVERLAY_MTU_MIN))
        return error_set(err, -EINVAL,
            "Incorrect value for `vtep_mtu`: must be above or equal to %d", (int)OVERLAY_MTU_MIN);
    r = subnet_field(json, "vtep_subnet", false, err);
    if (r == 0)
        r = subnet_field(json, "vtep_subnet6", true, err);
    json_array_foreach((json_t *)(uintptr_t)overlays, i, item)
    {
        if (r == 0)
            r = one_overlay(item, err);
    }
    return r;
}

/* ---- keys ---- */

static int no_passphrase(char *text, int size, int writing, void *userdata)
{
    return 0;
}

static int rule_public_key(struct graph_call *c, struct error *err)
{
    if (!*c->in[0])
        return 0;
    BIO *bio = BIO_new_mem_buf(c->in[0], (int)strlen(c->in[0]));
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
    bool fine = key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
    EVP_PKEY_free(key);
    BIO_free(bio);
    if (!fine)
        return error_set(err, -EINVAL, "Must be an RSA public key, PEM encoded (BEGIN PUBLIC KEY)");
    return 0;
}

const struct gen_type type_json_list = {"a list", rule_list};
const struct gen_type type_no_proxy = {"a list of names and addresses", rule_no_proxy};
const struct gen_type type_json_dictionary = {"a mapping", rule_dictionary};
const struct gen_type type_ipv4_list = {"a list of IPv4 addresses", rule_ipv4_list};
const struct gen_type type_resolvers = {
    "a list of IPv4 addresses, each with or without :port", rule_resolvers};
const struct gen_type type_forward_zones = {
    "a mapping of zones to lists of IPv4 addresses, each with or without :port",
    rule_forward_zones};
const struct gen_type type_dns_search = {"up to 6 domains with blanks between", rule_dns_search};
const struct gen_type type_overlay = {
    "a mapping with vtep_subnet, vtep_subnet6, vtep_mac_oui and overlays", rule_overlay};
const struct gen_type type_public_key = {"an RSA public key as PEM, or nothing", rule_public_key};

/* ---- several parameters ---- */

static int check_backend(struct graph_call *c, struct error *err)
{
    if (streq(c->in[0], "static") && !streq(c->in[1], "static"))
        return error_set(err, -EINVAL,
            "When master_discovery is not static, exhibitor_storage_backend must not be static "
            "either: a fixed "
            "ensemble needs a fixed list of masters.");
    return 0;
}

/* An address in two lists. */
static int disjoint(
    const char *a, const char *b, const char *a_name, const char *b_name, struct error *err)
{
    _cleanup_json_ json_t *first = NULL, *second = NULL;
    _cleanup_buf_ struct buf common = BUF_INIT;
    json_t *x, *y;
    size_t i, k;
    if (rule_parse_list(a, &first, NULL) < 0 || rule_parse_list(b, &second, NULL) < 0)
        return 0;
    json_array_foreach(first, i, x)
    {
        json_array_foreach(second, k, y)
        {
            if (json_equal(x, y) && common.n < 400)
                buf_printf(&common, "%s%.60s", common.n ? ", " : "", json_string_value(x));
        }
    }
    if (common.n)
        return error_set(
            err, -EINVAL, "%s and %s must not both have %s", a_name, b_name, buf_cstr(&common));
    return 0;
}

static int check_masters_agents(struct graph_call *c, struct error *err)
{
    return disjoint(c->in[0], c->in[1], "master_list", "agent_list", err);
}

static int check_masters_public(struct graph_call *c, struct error *err)
{
    return disjoint(c->in[0], c->in[1], "master_list", "public_agent_list", err);
}

static int check_agents_public(struct graph_call *c, struct error *err)
{
    return disjoint(c->in[0], c->in[1], "agent_list", "public_agent_list", err);
}

static int check_tls(struct graph_call *c, struct error *err)
{
    for (int i = 0; i < 3; i++) {
        if (streq(c->in[i], "true"))
            return 0;
    }
    return error_set(err, -EINVAL,
        "At least one of adminrouter_tls_1_0_enabled, adminrouter_tls_1_1_enabled and "
        "adminrouter_tls_1_2_enabled must be set to true.");
}

static int check_l4lb_ipv6(struct graph_call *c, struct error *err)
{
    if (streq(c->in[0], "false") && streq(c->in[1], "true"))
        return error_set(
            err, -EINVAL, "dcos_l4lb_enable_ipv6 must be false when enable_ipv6 is false");
    return 0;
}

static int check_overlay_name(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    json_t *item;
    size_t i;
    if (rule_parse_dictionary(c->in[1], &json, err) < 0)
        return 0;
    json_array_foreach((json_t *)(uintptr_t)json_at(json, "overlays"), i, item)
    {
        if (streq(json_str_at(item, "name", NULL), c->in[0]))
            return 0;
    }
    return error_set(err, -EINVAL,
        "Default overlay network name does not reference a defined overlay network: %.100s",
        c->in[0]);
}

static int check_calico_overlay(struct graph_call *c, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    struct subnet4 calico, other;
    json_t *item;
    size_t i;
    if (!streq(c->in[2], "true") || !streq(c->in[3], "true") || !rule_subnet4(c->in[0], &calico) ||
        rule_parse_dictionary(c->in[1], &json, err) < 0)
        return 0;
    json_array_foreach((json_t *)(uintptr_t)json_at(json, "overlays"), i, item)
    {
        const char *subnet = json_str_at(item, "subnet", "");
        if (rule_subnet4(subnet, &other) && subnet4_overlap(&calico, &other))
            return error_set(err, -EINVAL,
                "The calico network CIDR `%s` overlaps with the subnet `%s` of the overlay network "
                "'%s'",
                c->in[0], subnet, json_str_at(item, "name", ""));
    }
    return 0;
}

static int check_service_account(struct graph_call *c, struct error *err)
{
    if (!*c->in[0] != !*c->in[1])
        return error_set(err, -EINVAL,
            "superuser_service_account_uid and superuser_service_account_public_key must both be "
            "given, or neither");
    return 0;
}

static int check_exhibitor_tls(struct graph_call *c, struct error *err)
{
    if (streq(c->in[1], "true") && !streq(c->in[0], "true"))
        return error_set(
            err, -EINVAL, "exhibitor_tls_required needs exhibitor_tls_enabled to be true");
    return 0;
}

static int check_fault_domain(struct graph_call *c, struct error *err)
{
    if (streq(c->in[0], "true") && !*c->in[1])
        return error_set(err, -EINVAL,
            "fault_domain_enabled needs a script: fault_domain_detect_filename names none that is "
            "there");
    return 0;
}

const struct graph_check gen_checks[] = {
    {"exhibitor_storage_backend master_discovery", check_backend},
    {"master_list agent_list", check_masters_agents},
    {"master_list public_agent_list", check_masters_public},
    {"agent_list public_agent_list", check_agents_public},
    {"adminrouter_tls_1_0_enabled adminrouter_tls_1_1_enabled adminrouter_tls_1_2_enabled",
        check_tls},
    {"enable_ipv6 dcos_l4lb_enable_ipv6", check_l4lb_ipv6},
    {"dcos_overlay_network_default_name dcos_overlay_network", check_overlay_name},
    {"calico_network_cidr dcos_overlay_network calico_enabled dcos_overlay_enable",
        check_calico_overlay},
    {"superuser_service_account_uid superuser_service_account_public_key", check_service_account},
    {"exhibitor_tls_enabled exhibitor_tls_required", check_exhibitor_tls},
    {"fault_domain_enabled fault_domain_detect_contents", check_fault_domain},
};
const size_t gen_n_checks = ARRAY_SIZE(gen_checks);
