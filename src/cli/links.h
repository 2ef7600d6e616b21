#ifndef DCOS_CLI_LINKS_H
#define DCOS_CLI_LINKS_H

/* Links of the current cluster to others, kept by the cluster itself (/cluster/v1/links). */

#include "cli/setup.h"

/* Array of {id, name, url, login_provider: {id, type}}. -ENOSYS where the cluster has no links. */
int links_get(struct cli *c, json_t **ret, struct error *err);
/* The link that a name, an id or the start of an id means, or NULL. */
const json_t *links_find(const json_t *links, const char *word);

extern const struct command command_cluster_link, command_cluster_unlink;

#endif
