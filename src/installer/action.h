#ifndef DCOS_INSTALLER_ACTION_H
#define DCOS_INSTALLER_ACTION_H

/* What action.c and upgrade.c share: hosts of a configuration, and steps under way. */

#include "installer/installer.h"
#include "pkgpanda/names.h"

enum {
    CONNECT_ATTEMPTS = 3,
    STEPS_MAX = 2048, /* packages of a cluster, and a few more */
    COPY_STALL_SECONDS = 300,
};

struct action_context {
    const struct installer *in;
    const struct gen *g;
    const struct action_options *options;
    struct chain chain;
    char *known_hosts, *key, *state, *logs;
    struct chain_step *steps; /* STEPS_MAX */
    size_t n_steps;
    struct ssh_file *files; /* STEPS_MAX; the first n_files are used */
    size_t n_files;
    struct strings texts; /* owns remote names */
    const struct chain_host *first;
};

/* Masters, private agents, public agents, in the order of config.yaml. -EINVAL when there are none.
 */
int action_hosts(const struct gen *g, struct action_result *ret, struct error *err);

/* Settings of config.yaml, and names of files, for the chain `name`. */
int action_begin(struct action_context *c, const struct installer *in, const struct gen *g,
    const char *name, const struct action_options *options, struct error *err);
void action_end(struct action_context *c);
/* Steps, in order. Texts and stages are constants. */
struct chain_step *action_step(struct action_context *c, const char *stage);
int action_copy(struct action_context *c, const char *stage, const char *path, const char *remote,
    mode_t mode, struct error *err);
/* What nodes fetch, when they fetch it from a folder of their own; nothing otherwise. */
int action_copy_packages(struct action_context *c, bool with_bootstrap, struct error *err);
/* What only masters get, and only root there: the cluster's secrets. */
int action_copy_secrets(struct action_context *c, struct error *err);
/* A step that fails on masters that have the secrets of another cluster, or of this one from
 * another folder of the installer: with new ones they could not write to ZooKeeper any more. */
int action_check_secrets(struct action_context *c, struct error *err);
/* Runs the steps on n hosts; results has as many elements. As chain_run. */
int action_chain(struct action_context *c, const struct chain_host *hosts, size_t n,
    struct chain_result *results, struct error *err);

#endif
