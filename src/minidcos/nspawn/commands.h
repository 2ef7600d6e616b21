#ifndef DCOS_MINIDCOS_NSPAWN_COMMANDS_H
#define DCOS_MINIDCOS_NSPAWN_COMMANDS_H

#include "minidcos/commands.h"
#include "minidcos/nspawn/nspawn.h"

/* make.c */
extern const struct command nspawn_create, nspawn_provision, nspawn_install, nspawn_upgrade;
extern const struct command nspawn_wait;
/* use.c */
extern const struct command nspawn_run, nspawn_send_file, nspawn_sync, nspawn_web;
extern const struct command nspawn_kill, nspawn_start;
/* look.c */
extern const struct command nspawn_inspect, nspawn_list;
extern const struct command nspawn_destroy, nspawn_destroy_list, nspawn_clean;
/* doctor.c */
extern const struct command nspawn_doctor;
/* download.c */
extern const struct command nspawn_download;
/* sidecar.c */
extern const struct command nspawn_create_sidecar, nspawn_destroy_sidecar, nspawn_list_sidecars;

enum { EXIT_USAGE = 2 };

#define OPTION_VERBOSE                                                                             \
    {                                                                                              \
        "verbose", 'v', OPTION_BOOL, "Show what programs that are called say"                      \
    }
/* Every command has them. Progress is lines of text; there is no spinner to turn on or off. */
#define OPTIONS_COMMON                                                                             \
    OPTION_DIR, OPTION_VERBOSE, {"transport", 0, OPTION_STRING, "ssh", true},                      \
        {"enable-spinner", 0, OPTION_BOOL, "Without effect", true},                                \
    {                                                                                              \
        "no-enable-spinner", 0, OPTION_BOOL, "Without effect", true                                \
    }
#define OPTION_CACHE                                                                               \
    {                                                                                              \
        "cache", 0, OPTION_STRING,                                                                 \
            "Folder of Debian trees (MINIDCOS_CACHE, else ~/.cache/minidcos)"                      \
    }
#define OPTION_NODE                                                                                \
    {                                                                                              \
        "node", 0, OPTION_LIST, "Node: <role>_<n>, address or host name (repeat it for more)"      \
    }

/* Prints a usage error as miniDC/OS does; returns its exit code, which the caller passes on. */
int usage_error(const struct error *err);
/* --transport, where a command has it: -EINVAL for another one than ssh. */
int check_transport(const struct invocation *inv, struct error *err);
/* By --cluster-id; a usage error when there is none of that id. Returns 0, the exit code, or a
 * negative errno. */
int nspawn_load(const struct invocation *inv, struct machines *ret, struct error *err);
/* Holds the cluster as long as the descriptor is open, so that two commands do not change it at
 * once. -EBUSY. */
int nspawn_lock(const struct machines *m, struct error *err);
/* Folder of trees, by --cache or the environment, made when it is not there; to be freed. */
int nspawn_cache(const struct invocation *inv, char **ret, struct error *err);
/* The same, -ENOENT when it is not there. */
int nspawn_cache_find(const struct invocation *inv, char **ret, struct error *err);
/* -EPERM with a message for people unless root. */
int need_root(struct error *err);
/* Variables for tests that run on a master; `quoted` as a shell's assignments. */
void test_environment(const struct machines *m, struct buf *out);

#endif
