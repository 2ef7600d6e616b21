#ifndef DCOS_JSON_YAML_READ_H
#define DCOS_JSON_YAML_READ_H

/*
 * One YAML document as JSON. Keys are text, whatever they look like, and may be there once.
 * Anchors, aliases and tags of one's own are refused: what is read is not larger than what was
 * written. Errors are -EBADMSG with the line.
 */

#include "json/json.h"

enum { YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 200000 };

enum yaml_scalars {
    YAML_TEXTS, /* every scalar is a string, as files of setup have it */
    /* Unquoted ones are what YAML 1.1 says they are (yes, on and No are truth values, 0x10 is 16),
     * but for dates and numbers with colons, which stay text. */
    YAML_TYPES,
};

/* Caller owns *ret. An empty document is an empty object. */
int yaml_read(const char *text, size_t n, json_t **ret, struct error *err);

/* One member of the outermost mapping; takes `value`. A name may come again: that is for the
 * receiver to tell. `line` begins with 1. A failure ends reading. */
typedef int yaml_member(
    void *userdata, const char *name, json_t *value, unsigned line, struct error *err);
/* A document that is a mapping, or empty, one member after the other in the file's order. */
int yaml_read_members(const char *text, size_t n, enum yaml_scalars scalars, yaml_member *member,
    void *userdata, struct error *err);

/* One unquoted scalar by YAML_TYPES: a string, integer, true, false, real or null. NULL: not UTF-8.
 */
json_t *yaml_scalar(const char *text, size_t n);

#endif
