#ifndef DCOS_PKGPANDA_ID_H
#define DCOS_PKGPANDA_ID_H

/*
 * Names in pkgpanda, as DC/OS has them: a package id is "<name>--<version>".
 *
 * Name: letters, digits, "@._+-", not beginning with "." or "-". Version: letters, digits, "@_+:.",
 * never a hyphen. "a---b" is no id. Each part has at most PACKAGE_PART_MAX bytes.
 */

#include "base/error.h"
#include "base/str.h"

enum { PACKAGE_PART_MAX = 120, PACKAGE_ID_MAX = 2 * PACKAGE_PART_MAX + 2 };

struct package_id {
    struct str name, version; /* point into the text */
};

bool package_name_valid(struct str name);
bool package_version_valid(struct str version);
/* -EINVAL "Invalid package ID: ...". */
int package_id_parse(const char *text, struct package_id *ret, struct error *err);
bool package_id_valid(const char *text);

/* "dcos_" and then small letters, digits and "_", at least one. */
bool user_name_valid(const char *name);
/* The empty name is accepted. */
bool group_name_valid(const char *name);

/* Names of package folders whose contents appear in the root: bin, etc, include, lib and
 * dcos.target.wants, each also with "_<role>". */
extern const char *const well_known_folders[];
enum { WELL_KNOWN_FOLDERS = 5, WELL_KNOWN_WANTS = 4 /* index of dcos.target.wants */ };
#define WANTS_NAME "dcos.target.wants"

/* Units that the installer owns: dcos.target, dcos-download.service, dcos-setup.service. */
bool unit_name_reserved(const char *name);

#endif
