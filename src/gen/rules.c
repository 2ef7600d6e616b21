#include "gen/rules.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "pkgpanda/id.h"

/* Types of one value each. Those of JSON documents with a shape of their own are in rules_json.c.
 */

int rule_one_of(struct graph_call *c, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    const char *const *words = c->parameter;
    for (size_t i = 0; words[i]; i++) {
        if (streq(words[i], c->in[0]))
            return 0;
        buf_printf(&b, "%s'%s'", i ? ", " : "", words[i]);
    }
    return error_set(err, -EINVAL, "Must be one of %s. Got '%.200s'.", buf_cstr(&b), c->in[0]);
}

int rule_int(struct graph_call *c, struct error *err)
{
    const struct rule_range *range = c->parameter;
    int64_t v;
    if (parse_i64(str_of(c->in[0]), &v) < 0)
        return error_set(err, -EINVAL, "Must be an integer but got a str: %.200s", c->in[0]);
    if (range->max == INT64_MAX && v < range->min)
        return error_set(err, -EINVAL, "Must be above or equal to %lld", (long long)range->min);
    if (v < range->min || v > range->max)
        return error_set(err, -EINVAL, "Must be between %lld and %lld inclusive",
            (long long)range->min, (long long)range->max);
    return 0;
}

static int rule_line(struct graph_call *c, struct error *err)
{
    for (const char *p = c->in[0]; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return error_set(err, -EINVAL, "Must be one line of text, without control characters");
    }
    return 0;
}

static int rule_text(struct graph_call *c, struct error *err)
{
    return 0;
}

static int rule_not_empty(struct graph_call *c, struct error *err)
{
    if (!*c->in[0])
        return error_set(err, -EINVAL, "Must be set, but is empty");
    return rule_line(c, err);
}

static int rule_absolute(struct graph_call *c, struct error *err)
{
    if (*c->in[0] != '/')
        return error_set(err, -EINVAL,
            "Must be an absolute filesystem path starting with /. Got '%.200s'.", c->in[0]);
    return rule_line(c, err);
}

/* What units name on a line of a command. */
static int rule_word(struct graph_call *c, struct error *err)
{
    if (strpbrk(c->in[0], " '\"\\"))
        return error_set(err, -EINVAL, "Must be a word without blanks, quotes and backslashes");
    return rule_line(c, err);
}

static int rule_relative_folder(struct graph_call *c, struct error *err)
{
    if (!*c->in[0])
        return error_set(err, -EINVAL, "Must not be empty");
    if (*c->in[0] == '/')
        return error_set(err, -EINVAL, "Must be an absolute path without leading slash");
    return rule_word(c, err);
}

static int rule_url(struct graph_call *c, struct error *err)
{
    if (strlen(c->in[0]) <= 1)
        return error_set(err, -EINVAL,
            "Should be a url (http://example.com/bar or file:///path/to/local/cache)");
    if (has_suffix(c->in[0], "/"))
        return error_set(err, -EINVAL, "Must not end in a '/'");
    return rule_word(c, err);
}

static int rule_ca_url(struct graph_call *c, struct error *err)
{
    const char *url = c->in[0];
    if (!*url)
        return 0;
    if (!strstr(url, "://"))
        return error_set(err, -EINVAL, "failed to determine protocol");
    if (!has_prefix(url, "https://"))
        return error_set(err, -EINVAL, "Only https:// is allowed");
    if (has_suffix(url, "/"))
        return error_set(err, -EINVAL, "Must not end in a '/'");
    return rule_line(c, err);
}

static int rule_no_slash_end(struct graph_call *c, struct error *err)
{
    if (has_suffix(c->in[0], "/"))
        return error_set(err, -EINVAL, "Must not end in a '/'");
    return rule_line(c, err);
}

static int rule_channel(struct graph_call *c, struct error *err)
{
    if (strlen(c->in[0]) <= 1)
        return error_set(err, -EINVAL, "Must be more than 1 character");
    if (*c->in[0] == '/')
        return error_set(err, -EINVAL, "Must not start with a '/'");
    return rule_no_slash_end(c, err);
}

static int rule_zk_hosts(struct graph_call *c, struct error *err)
{
    if (has_prefix(c->in[0], "zk://"))
        return error_set(
            err, -EINVAL, "Must be of the form `host:port,host:port', not start with zk://");
    return rule_not_empty(c, err);
}

static int rule_zk_path(struct graph_call *c, struct error *err)
{
    if (*c->in[0] != '/')
        return error_set(err, -EINVAL, "Must be of the form /path/to/znode");
    return rule_line(c, err);
}

static int rule_variant(struct graph_call *c, struct error *err)
{
    if (*c->in[0] && !package_name_valid(str_of(c->in[0])))
        return error_set(err, -EINVAL, "'%.100s' is not the name of a variant", c->in[0]);
    return 0;
}

static int rule_num_masters(struct graph_call *c, struct error *err)
{
    static const char *const fine[] = {"1", "3", "5", "7", "9"};
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
        if (streq(fine[i], c->in[0]))
            return 0;
    }
    return error_set(err, -EINVAL, "Must have 1, 3, 5, 7, or 9 masters. Found %.100s.", c->in[0]);
}

/* Digits with at most one dot; the rest is returned. NULL when there are none. */
static const char *skip_number(const char *p, bool dot)
{
    size_t digits = 0;
    for (; (*p >= '0' && *p <= '9') || (dot && *p == '.'); p++) {
        if (*p == '.')
            dot = false;
        else
            digits++;
    }
    return digits ? p : NULL;
}

static int rule_duration(struct graph_call *c, struct error *err)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"secs", 1e9}, {"mins", 60e9},
        {"hrs", 3600e9}, {"days", 86400e9}, {"weeks", 604800e9}};
    const char *unit = skip_number(c->in[0], true);
    double v;
    for (size_t i = 0; unit && i < ARRAY_SIZE(units); i++) {
        struct str number = {c->in[0], (size_t)(unit - c->in[0])};
        if (!streq(units[i].name, unit))
            continue;
        if (parse_double(number, &v) < 0)
            break;
        if (v * units[i].ns > 18446744073709551616.0)
            return error_set(err, -EINVAL, "Value %.100s is too large", c->in[0]);
        return 0;
    }
    return error_set(err, -EINVAL,
        "Error parsing value: '%.100s'. Must be a number and one of ns, us, ms, secs, mins, hrs, "
        "days, weeks",
        c->in[0]);
}

static int rule_shm_size(struct graph_call *c, struct error *err)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    const char *unit = skip_number(c->in[0], false);
    if (!*c->in[0])
        return 0;
    for (size_t i = 0; unit && i < ARRAY_SIZE(units); i++) {
        if (streq(units[i], unit))
            return 0;
    }
    return error_set(err, -EINVAL,
        "Error parsing value: '%.100s'. Must be an integer and one of B, KB, MB, GB, TB", c->in[0]);
}

static int rule_frame_options(struct graph_call *c, struct error *err)
{
    struct str s = str_of(c->in[0]), from = STR("ALLOW-FROM ");
    if (str_ieq_c(s, "DENY") || str_ieq_c(s, "SAMEORIGIN"))
        return rule_line(c, err);
    if (s.n > from.n && str_ieq_c((struct str){s.p, from.n}, from.p) &&
        str_trim((struct str){s.p + from.n, s.n - from.n}).n)
        return rule_line(c, err);
    return error_set(err, -EINVAL,
        "X-Frame-Options must be set to one of DENY, SAMEORIGIN, ALLOW-FROM. Got '%.100s'.",
        c->in[0]);
}

static int rule_port(struct graph_call *c, struct error *err)
{
    static const struct rule_range range = {1, 65535};
    c->parameter = &range;
    return rule_int(c, err);
}

/* 1024 is the network number of the overlays. */
static int rule_vni(struct graph_call *c, struct error *err)
{
    static const struct rule_range range = {1, 16777215};
    c->parameter = &range;
    int r = rule_int(c, err);
    if (r == 0 && streq(c->in[0], "1024"))
        return error_set(err, -EINVAL, "Must not be 1024, which is the VNI of the DC/OS overlay");
    return r;
}

static int rule_color(struct graph_call *c, struct error *err)
{
    const char *p = c->in[0];
    if (*p == '#' && strlen(p) == 7 && strspn(p + 1, "0123456789abcdefABCDEF") == 6)
        return 0;
    return error_set(err, -EINVAL, "Must be a color like #1E232F. Got '%.100s'.", p);
}

static int rule_password_hash(struct graph_call *c, struct error *err)
{
    if (!has_prefix(c->in[0], "$6$") || strlen(c->in[0]) > 256)
        return error_set(err, -EINVAL,
            "Must be a sha512-crypt hash ($6$...), as made by dcos_generate_config.sh "
            "--hash-password");
    return rule_line(c, err);
}

/* ---- addresses ---- */

bool rule_is_ipv4(const char *text)
{
    struct in_addr a;
    return inet_pton(AF_INET, text, &a) == 1;
}

static int rule_ipv4(struct graph_call *c, struct error *err)
{
    if (!rule_is_ipv4(c->in[0]))
        return error_set(err, -EINVAL, "Invalid IPv4 address: %.100s", c->in[0]);
    return 0;
}

static int rule_ipv6(struct graph_call *c, struct error *err)
{
    struct in6_addr a;
    if (inet_pton(AF_INET6, c->in[0], &a) != 1)
        return error_set(err, -EINVAL, "Invalid IPv6 address: %.100s", c->in[0]);
    return 0;
}

bool rule_subnet4(const char *text, struct subnet4 *ret)
{
    const char *slash = strchr(text, '/');
    struct in_addr a;
    uint32_t prefix;
    char address[INET_ADDRSTRLEN];
    if (!slash || (size_t)(slash - text) >= sizeof(address))
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    if (inet_pton(AF_INET, address, &a) != 1 || parse_u32(str_of(slash + 1), &prefix) < 0 ||
        prefix > 32)
        return false;
    uint32_t mask = prefix ? ~(uint32_t)0 << (32 - prefix) : 0;
    *ret = (struct subnet4){ntohl(a.s_addr), prefix};
    return (ret->address & ~mask) == 0;
}

bool subnet4_overlap(const struct subnet4 *a, const struct subnet4 *b)
{
    unsigned prefix = MIN(a->prefix, b->prefix);
    uint32_t mask = prefix ? ~(uint32_t)0 << (32 - prefix) : 0;
    return (a->address & mask) == (b->address & mask);
}

static int rule_subnet(struct graph_call *c, struct error *err)
{
    struct subnet4 s;
    if (!rule_subnet4(c->in[0], &s))
        return error_set(err, -EINVAL,
            "Incorrect value for `%s`: `%.100s`. Only IPv4 subnets are allowed", c->name, c->in[0]);
    return 0;
}

const struct gen_type type_line = {"one line of text", rule_line};
const struct gen_type type_text = {"text", rule_text};
const struct gen_type type_not_empty = {"text that is not empty", rule_not_empty};
const struct gen_type type_bool = {
    "true or false", rule_one_of, (const char *const[]){"true", "false", NULL}};
const struct gen_type type_integer = {
    "an integer", rule_int, &(const struct rule_range){INT64_MIN, INT64_MAX}};
const struct gen_type type_ipv4 = {"an IPv4 address", rule_ipv4};
const struct gen_type type_ipv6 = {"an IPv6 address", rule_ipv6};
const struct gen_type type_subnet4 = {"an IPv4 subnet, as 172.29.0.0/16", rule_subnet};
const struct gen_type type_absolute = {"an absolute path", rule_absolute};
const struct gen_type type_relative_folder = {"a path without leading '/'", rule_relative_folder};
const struct gen_type type_url = {"a URL that does not end in '/'", rule_url};
const struct gen_type type_ca_url = {
    "an https URL that does not end in '/', or nothing", rule_ca_url};
const struct gen_type type_no_slash_end = {"text that does not end in '/'", rule_no_slash_end};
const struct gen_type type_channel = {"text without '/' at its ends", rule_channel};
const struct gen_type type_zk_hosts = {"host:port, several with commas between", rule_zk_hosts};
const struct gen_type type_zk_path = {"a path that begins with '/'", rule_zk_path};
const struct gen_type type_variant = {"the name of a variant, or nothing", rule_variant};
const struct gen_type type_num_masters = {"1, 3, 5, 7 or 9", rule_num_masters};
const struct gen_type type_duration = {
    "a number with ns, us, ms, secs, mins, hrs, days or weeks", rule_duration};
const struct gen_type type_shm_size = {
    "an integer with B, KB, MB, GB or TB, or nothing", rule_shm_size};
const struct gen_type type_frame_options = {
    "DENY, SAMEORIGIN or ALLOW-FROM url", rule_frame_options};
const struct gen_type type_port = {"a port, 1 to 65535", rule_port};
const struct gen_type type_vni = {"an integer from 1 to 16777215, but not 1024", rule_vni};
const struct gen_type type_color = {"a color, as #1E232F", rule_color};
const struct gen_type type_password_hash = {"a sha512-crypt hash", rule_password_hash};
