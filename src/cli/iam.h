#ifndef DCOS_CLI_IAM_H
#define DCOS_CLI_IAM_H

/* Calls of the identity service (/acs/api/v1). */

#include "cli/cli.h"

/* `path` starts with "/users". 2xx is 0, and *ret (may be NULL) the JSON of the answer, NULL for an
 * empty one. Otherwise the service's own words; -EEXIST for 409, -ENOENT where something is not
 * known. */
int iam_call(struct cli *c, const char *method, const char *path, const json_t *body, json_t **ret,
    struct error *err);
/* "/users/<id>" with the id escaped; of resources ("acls") twice, as the router undoes it once. */
void iam_path(struct buf *out, const char *collection, const char *id);

/* Gives or takes a permission; `who` is "users" or "groups". A resource that is not known is made
 * by a grant, with the description. */
int iam_grant(struct cli *c, const char *who, const char *id, const char *rid, const char *action,
    const char *description, struct error *err);
int iam_revoke(struct cli *c, const char *who, const char *id, const char *rid, const char *action,
    struct error *err);

#endif
