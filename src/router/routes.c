#include "router/config.h"

#include "base/macro.h"

/*
 * The routes, in the order of the reference. What is found by table (mesos, agents, services,
 * leaders) has a target, what stands at a fixed place a backend. Locations with nothing but text
 * (static files, metrics) are in config.c.
 */

#define BOTH (ON_MASTER | ON_AGENT)

const struct route routes[] = {
    /* identity */
    {MATCH_PREFIX, "/acs/api/v1/auth/", ON_MASTER | ROUTE_OPEN_TO_ALL | ROUTE_SLASH, BACKEND_IAM,
        .tag = "IAM"},
    {MATCH_OUTER, "/acs/api/v1", ON_MASTER | ROUTE_NO_CACHE, BACKEND_IAM, .rid = "acs",
        .tag = "IAM"},
    {MATCH_REGEX, "^/acs/api/v1/users/[^/]+/permissions/?$",
        ON_MASTER | ROUTE_NO_CACHE | ROUTE_TOKEN_ONLY, BACKEND_IAM, .tag = "IAM"},
    {MATCH_EXACT, "/dcos-metadata/ui-config.json", ON_MASTER | ROUTE_OPEN_TO_ALL, BACKEND_IAM,
        .prefix = "/dcos-metadata/ui-config.json", .replacement = "/acs/api/v1/uiconfig/",
        .tag = "IAM"},
    /* the node */
    {MATCH_PREFIX, "/pkgpanda/", BOTH | ROUTE_SLASH | ROUTE_LOCATION, BACKEND_PKGPANDA,
        .prefix = "/pkgpanda/", .replacement = "/", .rid = "ops:metadata", .tag = "Pkgpanda"},
    {MATCH_EXACT, "/exhibitor/exhibitor/v1/cluster/status", ON_MASTER | ROUTE_OPEN_TO_ALL,
        BACKEND_EXHIBITOR, .prefix = "/exhibitor/", .replacement = "/", .tag = "Exhibitor"},
    {MATCH_PREFIX, "/exhibitor/", ON_MASTER | ROUTE_SLASH | ROUTE_LOCATION, BACKEND_EXHIBITOR,
        .prefix = "/exhibitor/", .replacement = "/", .rid = "ops:exhibitor", .tag = "Exhibitor"},
    /* masters and agents */
    {MATCH_PREFIX, "/mesos/", ON_MASTER | ROUTE_SLASH | ROUTE_STREAMS | ROUTE_STREAMS_REQUEST,
        .target = "mesos", .prefix = "/mesos/", .replacement = "/", .rid = "ops:mesos",
        .tag = "Mesos"},
    {MATCH_REGEX, "^/(agent|slave)/[0-9a-zA-Z-]+(/|$)",
        ON_MASTER | ROUTE_STREAMS | ROUTE_STREAMS_REQUEST | ROUTE_NO_ENCODING, .target = "agent",
        .rid = "ops:slave", .tag = "Agent"},
    {MATCH_REGEX,
        "^/system/v1/agent/[0-9a-zA-Z-]+/(logs|metrics/v0|dcos-metadata/dcos-version.json$|nginx/"
        "metrics$)",
        ON_MASTER | ROUTE_STREAMS | ROUTE_STREAMS_REQUEST | ROUTE_NO_ENCODING,
        .target = "agent_router", .rid = "ops:slave", .tag = "AgentRouter"},
    {MATCH_REGEX, "^/system/v1/leader/mesos(/|$)", ON_MASTER | ROUTE_STREAMS,
        .target = "leader_mesos", .prefix = "/system/v1/leader/mesos", .rid = "ops:mesos",
        .tag = "Leader"},
    {MATCH_REGEX, "^/system/v1/leader/marathon(/|$)", ON_MASTER | ROUTE_STREAMS,
        .target = "leader_marathon", .prefix = "/system/v1/leader/marathon",
        .rid = "service:marathon", .tag = "Leader"},
    /* observability */
    {MATCH_PREFIX, "/system/checks/v1", BOTH | ROUTE_NO_AUTHORIZATION, BACKEND_CHECKS,
        .rid = "ops:system-health", .tag = "DCOSChecks"},
    {MATCH_PREFIX, "/system/health/v1", BOTH, BACKEND_DIAGNOSTICS, .rid = "ops:system-health",
        .tag = "DCOSDiagnostics"},
    {MATCH_PREFIX, "/system/v1/logs/", BOTH | ROUTE_SLASH, BACKEND_LOG,
        .prefix = "/system/v1/logs/", .replacement = "/", .rid = "ops:system-logs",
        .tag = "DCOSLog"},
    {MATCH_PREFIX, "/system/v1/metrics/", BOTH | ROUTE_SLASH, BACKEND_METRICS,
        .prefix = "/system/v1/metrics/", .replacement = "/", .rid = "ops:system-metrics",
        .tag = "DCOSMetrics"},
    /* names and networks */
    {MATCH_PREFIX, "/mesos_dns/", ON_MASTER | ROUTE_SLASH | ROUTE_NO_AUTHORIZATION, BACKEND_NAMES,
        .prefix = "/mesos_dns/", .replacement = "/", .rid = "ops:mesos-dns", .tag = "MesosDNS"},
    {MATCH_PREFIX, "/net/", ON_MASTER | ROUTE_SLASH | ROUTE_NO_AUTHORIZATION, BACKEND_NET,
        .prefix = "/net/", .replacement = "/", .rid = "ops:networking", .tag = "DCOSNet"},
    {MATCH_PREFIX, "/navstar/lashup/key", ON_MASTER, BACKEND_NET, .prefix = "/navstar",
        .rid = "ops:networking", .tag = "DCOSNet"},
    /* packages */
    {MATCH_PREFIX, "/package/", ON_MASTER | ROUTE_STREAMS | ROUTE_STREAMS_REQUEST | ROUTE_LONG,
        BACKEND_COSMOS, .rid = "package", .tag = "Cosmos"},
    {MATCH_PREFIX, "/cosmos/service/", ON_MASTER | ROUTE_SLASH, BACKEND_COSMOS, .prefix = "/cosmos",
        .rid = "package", .tag = "Cosmos"},
    {MATCH_PREFIX, "/capabilities", ON_MASTER | ROUTE_TOKEN_ONLY, BACKEND_COSMOS, .tag = "Cosmos"},
    {MATCH_PREFIX, "/dcos-ui-update-service/api/", ON_MASTER, BACKEND_UI_UPDATE,
        .prefix = "/dcos-ui-update-service", .rid = "package", .tag = "DCOSUIUpdateService"},
};
const size_t n_routes = ARRAY_SIZE(routes);

static const char *const names[BACKENDS] = {
    [BACKEND_NONE] = "none",
    [BACKEND_IAM] = "iam",
    [BACKEND_COSMOS] = "cosmos",
    [BACKEND_NAMES] = "mesos_dns",
    [BACKEND_NET] = "net",
    [BACKEND_DIAGNOSTICS] = "diagnostics",
    [BACKEND_CHECKS] = "checks",
    [BACKEND_LOG] = "log",
    [BACKEND_METRICS] = "metrics",
    [BACKEND_PKGPANDA] = "pkgpanda",
    [BACKEND_UI_UPDATE] = "ui_update",
    [BACKEND_EXHIBITOR] = "exhibitor",
};

const char *backend_name(enum backend b)
{
    return names[b];
}
