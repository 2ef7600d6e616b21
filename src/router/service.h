#ifndef DCOS_ROUTER_SERVICE_H
#define DCOS_ROUTER_SERVICE_H

/*
 * What an app of Marathon's says about being a service behind the router, by the labels and rules
 * of Admin Router. No I/O.
 *
 *     DCOS_SERVICE_NAME         name, "group/app" style, normalised to "app.group"
 *     DCOS_SERVICE_SCHEME       http or https; required
 *     DCOS_SERVICE_PORT_INDEX   number of the port, from 0; required
 *     DCOS_SERVICE_REWRITE_REQUEST_URLS   only "false" keeps /service/<name> in the path
 *     DCOS_SERVICE_REQUEST_BUFFERING      only "false" turns it off
 */

#include "json/json.h"
#include "router/table.h"

struct instance {
    char *task, *host;
    uint16_t port;
};

struct service {
    uint32_t flags; /* TARGET_* */
    size_t n_instances;
    struct instance *instances; /* running ones, in Marathon's order */
    char *name;                 /* normalised */
    char app[];
};

enum { SERVICE_INSTANCES_MAX = 100, SERVICE_NAME_MAX = 1000 };

/* NULL when the app is none: a label is missing or wrong. An app whose tasks do not run is a
 * service without instances. `app` is its id. */
struct service *service_read(const json_t *app_json);
void service_free(struct service *s);
/* Whether the task was one of its instances; it is none any more. */
bool service_drop(struct service *s, const char *task);

/* "/a//b" -> "b.a"; empty when nothing is left. */
void service_name(struct buf *out, const char *text);

#endif
