#ifndef DCOS_GEN_RULES_H
#define DCOS_GEN_RULES_H

/*
 * What values of parameters must look like: types with their checks and messages.
 *
 * Lists and mappings are JSON text by the time they get here. Messages are sentences without the
 * parameter's name, which whoever prints them puts in front.
 */

#include "gen/graph.h"
#include "json/json.h"

enum { RULE_LIST_MAX = 10000 };

struct gen_type {
    const char *text; /* for people: "true or false" */
    graph_check_fn *check;
    const void *parameter;
};

struct rule_words {
    const char *const *words; /* NULL at the end */
};
struct rule_range {
    int64_t min, max; /* max INT64_MAX: none */
};

#define TYPE_ONE_OF(...)                                                                           \
    (&(const struct gen_type){                                                                     \
        "one of " #__VA_ARGS__, rule_one_of, (const char *const[]){__VA_ARGS__, NULL}})
#define TYPE_INT(a, b)                                                                             \
    (&(const struct gen_type){                                                                     \
        "an integer from " #a " to " #b, rule_int, &(const struct rule_range){a, b}})
#define TYPE_INT_FROM(a)                                                                           \
    (&(const struct gen_type){                                                                     \
        "an integer of " #a " or more", rule_int, &(const struct rule_range){a, INT64_MAX}})

graph_check_fn rule_one_of, rule_int;

extern const struct gen_type type_line, /* anything without line breaks */
    type_text,                          /* anything */
    type_bool, type_integer, type_json_list, type_json_dictionary, type_ipv4_list, type_ipv4,
    type_ipv6, type_subnet4, type_absolute, type_resolvers, type_dns_search, type_forward_zones,
    type_url, type_ca_url, type_no_slash_end, type_channel, type_vni, type_no_proxy, type_zk_hosts,
    type_zk_path, type_relative_folder, type_not_empty, type_variant, type_num_masters,
    type_duration, type_shm_size, type_frame_options, type_overlay, type_checks, type_custom_checks,
    type_public_key, type_password_hash, type_port, type_color;

/* The same, for lists that a check of several parameters wants to look into. -EINVAL with the
 * sentence. Caller owns *ret. */
int rule_parse_list(const char *text, json_t **ret, struct error *err);
int rule_parse_dictionary(const char *text, json_t **ret, struct error *err);
bool rule_is_ipv4(const char *text);

struct subnet4 {
    uint32_t address; /* host order, bits behind the prefix 0 */
    unsigned prefix;
};
/* "a.b.c.d/n" without bits behind the prefix; false for anything else. */
bool rule_subnet4(const char *text, struct subnet4 *ret);
bool subnet4_overlap(const struct subnet4 *a, const struct subnet4 *b);

/* Checks that look at several parameters at once. */
extern const struct graph_check gen_checks[];
extern const size_t gen_n_checks;

#endif
