#ifndef DCOS_CLI_MARATHON_H
#define DCOS_CLI_MARATHON_H

/* Calls of Marathon's API, and what its answers mean to a person. */

#include "cli/cli.h"

struct marathon_answer {
    int status;
    json_t *json; /* NULL when the body is empty */
    char deployment_id[64];
};

void marathon_answer_done(struct marathon_answer *a);

/* `path` starts with "/v2". 0 for 2xx; otherwise err tells and the code is -ENOENT for 404, -EBUSY
 * for a lock (409 with deployments), -EEXIST for another 409, -EINVAL for 400 and 422, else
 * -EPROTO. `ret` is filled in both cases and must be released. */
int marathon_call(struct cli *c, const char *method, const char *path, const json_t *body,
    struct marathon_answer *ret, struct error *err);
/* GET that gives JSON. */
int marathon_get(struct cli *c, const char *path, json_t **ret, struct error *err);

/* "/v2/apps/<id><suffix>" with the id escaped and without its first slash; to be freed. */
char *marathon_path(const char *collection, const char *id, const char *suffix);
/* With a slash in front; to be freed. */
char *marathon_absolute_id(const char *id);
/* Id of the deployment that an answer starts, or "". */
const char *marathon_deployment_of(const struct marathon_answer *a);
void print_deployment(const struct marathon_answer *a);

/* "artifacts", "scale", "start", "stop", "restart", "kill-tasks", or the name itself. */
const char *marathon_action_word(const char *action);

/* Properties of "key=value" arguments, or of an object on stdin when there are none. */
int marathon_read_properties(
    struct cli *c, const struct invocation *inv, size_t first, json_t **ret, struct error *err);

#endif
