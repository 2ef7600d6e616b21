#ifndef DCOS_MARATHON_NORMALIZE_H
#define DCOS_MARATHON_NORMALIZE_H

/*
 * From what clients send to the canonical definition: deprecated fields become their successors,
 * defaults are filled in, fields come in one fixed order. All functions change the tree in place.
 */

#include "marathon/violation.h"

struct app_options {
    const char *default_network_name; /* NULL: none */
    const char *bridge_name;          /* "mesos-bridge" */
};

/* Deprecated inputs to canonical fields. `partial`: only a part of the fields is given. */
void app_translate_legacy(
    json_t *app, bool partial, const struct app_options *options, struct violations *v);
/* Puts the fields of a partial update over a canonical definition. */
void app_merge(json_t *app, const json_t *update);
/* Fills every default and leaves out what is empty; returns the tree in canonical order without
 * version fields. Takes the reference to `app`. `role` is used when the tree has none. */
json_t *app_canonical(
    json_t *app, const char *id, const char *role, const struct app_options *options);

enum network_mode { NETWORK_HOST, NETWORK_BRIDGE, NETWORK_CONTAINER };
enum network_mode app_network_mode(const json_t *app);

#endif
