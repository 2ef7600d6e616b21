#ifndef DCOS_MINIDCOS_COMMANDS_H
#define DCOS_MINIDCOS_COMMANDS_H

#include "console/command.h"
#include "minidcos/cluster.h"

extern const struct command command_create, command_wait, command_destroy;    /* life.c */
extern const struct command command_status, command_list, command_logs;       /* look.c */
extern const struct command command_restart, command_kill, command_supervise; /* act.c */

extern const struct command command_nspawn; /* nspawn/commands.c */

#define OPTIONS(table) .options = (table), .n_options = ARRAY_SIZE(table)
#define OPTION_DIR                                                                                 \
    {                                                                                              \
        "dir", 0, OPTION_STRING, "Folder of the clusters (MINIDCOS_HOME, else ~/.minidcos)"        \
    }
#define OPTION_CLUSTER                                                                             \
    {                                                                                              \
        "cluster-id", 'c', OPTION_STRING, "Name of the cluster (default)"                          \
    }

/* Folder of the clusters by --dir, MINIDCOS_HOME or HOME; absolute; to be freed. */
int home_of(const struct invocation *inv, char **ret, struct error *err);
/* Name by the first argument or --cluster-id, whichever the command has. */
const char *name_of(const struct invocation *inv);
int load_of(const struct invocation *inv, struct cluster *ret, struct error *err);

/* Waits until the cluster serves: every daemon ready, agents and Marathon registered. Prints what
 * it waits for when `progress`. -ETIMEDOUT names what is missing. *ret_token is what the operator
 * of a secure cluster shows to it, NULL for a plain one; to be wiped (rsa_wipe). */
int cluster_wait(
    struct cluster *c, int64_t timeout_s, bool progress, char **ret_token, struct error *err);

#endif
