#ifndef DCOS_PKGPANDA_YAML_READ_H
#define DCOS_PKGPANDA_YAML_READ_H

/* YAML as setup's files have it: one document, every scalar a string, no anchors or tags. */

#include "json/json.h"

enum { YAML_DEPTH_MAX = 16, YAML_NODES_MAX = 100000 };

/* -EBADMSG with the line. Caller owns *ret. An empty document is an empty object. */
int yaml_read(const char *text, size_t n, json_t **ret, struct error *err);

#endif
