#ifndef DCOS_CLI_CLI_H
#define DCOS_CLI_CLI_H

/* What the commands of `dcos` share: settings and connections, made when first needed. */

#include "cli/config.h"
#include "console/command.h"
#include "console/request.h"
#include "console/table.h"
#include "json/json.h"

struct cli {
    int verbosity; /* 0, 1 = -v, 2 = -vv and more */
    struct config config;
    bool config_loaded;
    struct requester *http;
    struct tls_context *tls; /* of http, when the settings ask for one of its own */
};

void cli_done(struct cli *c);
/* How to talk to a cluster. Strings may be NULL. */
struct cli_connection {
    const char *token;
    const char *verify;  /* as core.ssl_verify has it */
    const char *timeout; /* as core.timeout has it */
};
/* The requester of the following calls, instead of the one that the settings would give. */
int cli_connect(struct cli *c, const struct cli_connection *how, struct error *err);
/* The same with the settings of a cluster that need not be the current one. */
int cli_connect_to(struct cli *c, const struct known_cluster *k, struct error *err);
static inline struct cli *cli_of(const struct invocation *inv)
{
    return inv->app;
}

int cli_config(struct cli *c, struct config **ret, struct error *err);
/* Base URL without a slash at its end: the setting `direct` when there is one, else core.dcos_url
 * followed by `suffix`. *ret_direct (may be NULL) tells which it was. */
int cli_base_url(struct cli *c, const char *direct, const char *suffix, char **ret,
    bool *ret_direct, struct error *err);
/* requester_send with a message for people: who cannot be reached and what to do. 401 and 403 are
 * errors here, other statuses are left to the caller. `what` names the service: "Marathon". */
int cli_send(struct cli *c, const char *what, const struct request *req, struct reply *ret,
    struct error *err);
/* requester_send without any reading of the status; c->http is made when needed. */
int cli_send_raw(struct cli *c, const struct request *req, struct reply *ret, struct error *err);
/* GET that must answer 200 and JSON. */
int cli_get_json(struct cli *c, const char *what, const char *url, json_t **ret, struct error *err);
int cli_parse_reply(const char *what, const struct reply *reply, json_t **ret, struct error *err);

/* The JSON document of a file, of an http(s) URL, or of stdin when `resource` is NULL. */
int cli_read_json(struct cli *c, const char *resource, json_t **ret, struct error *err);

void print_table(struct table *t);

/* Command groups, one file each. */
extern const struct command command_auth, command_cluster, command_config, command_marathon,
    command_node, command_security, command_service, command_task;
extern const struct command command_node_drain, command_node_deactivate, command_node_reactivate,
    command_node_decommission; /* cmd_node_state.c */
extern const struct command command_marathon_app, command_marathon_debug,
    command_marathon_deployment, command_marathon_group, command_marathon_task;

#define OPTION_FORCE                                                                               \
    {                                                                                              \
        "force", 0, OPTION_BOOL, "Disregard checks, and override running deployments"              \
    }
#define OPTION_JSON                                                                                \
    {                                                                                              \
        "json", 0, OPTION_BOOL, "Print in JSON format"                                             \
    }
#define OPTION_QUIET                                                                               \
    {                                                                                              \
        "quiet", 'q', OPTION_BOOL, "Print only ids"                                                \
    }
#define OPTIONS(table) .options = (table), .n_options = ARRAY_SIZE(table)
#define CHILDREN(table) .children = (table), .n_children = ARRAY_SIZE(table)

#endif
