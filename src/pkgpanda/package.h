#ifndef DCOS_PKGPANDA_PACKAGE_H
#define DCOS_PKGPANDA_PACKAGE_H

/*
 * A package: a folder named after its id with a pkginfo.json that says what the host owes it.
 *
 * pkginfo.json is an object with, all optional: environment (name to text), requires (names, or
 * {"name","variant"}), sysctl (service to {key: value}), state_directory, username, group, variant.
 * Unknown members are kept and ignored, as the original does.
 */

#include "json/json.h"
#include "pkgpanda/id.h"
#include "pkgpanda/names.h"

enum { PKGINFO_MAX = 4 * 1024 * 1024 };

struct package {
    char *id, *name, *version;
    char *path;   /* its folder */
    json_t *info; /* pkginfo.json; the fields below point into it, NULL = not given */
    const json_t *environment, *requires, *sysctl;
    const char *username, *group, *variant; /* variant: "" = default */
    bool state_directory;
};

/* Whether the members have the right types. -EINVAL names the one that has not. */
int pkginfo_check(const json_t *info, struct error *err);
/* Parses and checks. Caller owns *ret. */
int pkginfo_parse(const char *text, size_t n, json_t **ret, struct error *err);

/* -ENOENT "Package <id> not found.", -EINVAL for a bad id, -EBADMSG for an unreadable pkginfo. */
int package_load(const char *repository, const char *id, struct package **ret, struct error *err);
void package_free(struct package *p);
DEFINE_CLEANUP(struct package *, package_free)

/* Several, sorted by name when packages_load() made them. */
struct packages {
    struct package **items;
    size_t n, cap;
};
int packages_load(
    const char *repository, const struct strings *ids, struct packages *ret, struct error *err);
void packages_done(struct packages *p);
#define _cleanup_packages_ _cleanup_(packages_done)

/* Whether the packages can be active together: names once each, requirements there, groups only
 * with users, users and groups well named, no reserved or doubled environment variables, sysctl
 * keys of one value. -EINVAL with the first that is wrong. */
int packages_validate(const struct packages *p, struct error *err);

#endif
