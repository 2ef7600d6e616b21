#ifndef DCOS_CHECKS_CONFIG_H
#define DCOS_CHECKS_CONFIG_H

/*
 * What dcos-check-runner runs: the JSON file that DC/OS's check runner reads.
 *
 *     {"cluster_checks": {NAME: {"description", "cmd": [...], "timeout": "30s"}},
 *      "node_checks": {"checks": {NAME: {..., "roles": ["master", "agent"]}},
 *                      "prestart": [NAME...], "poststart": [NAME...]},
 *      "check_env": {"PATH": ..., "LD_LIBRARY_PATH": ...}}
 *
 * Every check of a node is in one of its two lists and every name in a list is defined. Unknown
 * keys are errors: a check that is silently not run is worse.
 */

#include "base/error.h"

enum {
    CHECKS_MAX = 1000, /* of one kind */
    CHECK_ARGS_MAX = 256,
    CHECK_CONFIG_MAX = 4 * 1024 * 1024, /* bytes of the file */
};

enum check_role { CHECK_MASTER = 1, CHECK_AGENT = 2, CHECK_ANY = 3 };

struct check {
    const char *name, *description;
    const char *timeout_text;
    int64_t timeout_us; /* 5 s where the text is no duration, as the original */
    unsigned roles;     /* mask of enum check_role */
    const char **argv;  /* NULL-terminated, not empty */
};

/* Sorted by name. */
struct check_list {
    struct check **items;
    size_t n;
};

enum check_type { CHECK_CLUSTER, CHECK_PRESTART, CHECK_POSTSTART, CHECK_TYPES };
/* "cluster", "node-prestart", "node-poststart". */
const char *check_type_name(enum check_type type);
/* -EINVAL for other names. */
int check_type_parse(const char *text, enum check_type *ret);

struct check_config;

/* -EBADMSG with what is wrong where, or what reading the file gave. */
int check_config_load(const char *path, struct check_config **ret, struct error *err);
int check_config_parse(const char *text, size_t n, struct check_config **ret, struct error *err);
void check_config_free(struct check_config *c);
static inline void check_config_freep(struct check_config **c)
{
    check_config_free(*c);
}

const struct check_list *check_config_list(const struct check_config *c, enum check_type type);
/* The environment of checks, NULL-terminated: nothing of the caller's gets in. */
const char *const *check_config_env(const struct check_config *c);

/* "1.5s", "100ms", "2m", "1h", also ns, us, µs, and such terms in a row. -EINVAL for others. */
int check_timeout_parse(const char *text, int64_t *ret_us);

#endif
