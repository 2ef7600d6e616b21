#ifndef DCOS_PKGPANDA_OUTPUT_H
#define DCOS_PKGPANDA_OUTPUT_H

/* What the program prints, for people and with --json for machines. */

#include "pkgpanda/names.h"

struct error;

/* A single version of a name as its id, several as "name:" and the indented versions. */
void print_repository(const struct strings *ids);
void print_lines(const struct strings *ids);
void print_json_list(const struct strings *ids);
/* {"<key>": [...]} */
void print_json_field(const char *key, const struct strings *ids);
/* "Validation Error: ...", "Package Error: ..." or "ERROR: ..." on stderr; with json
 * {"error": {"kind", "message"}}. Returns 1, the exit status. */
int print_error(const struct error *err, bool json);

#endif
