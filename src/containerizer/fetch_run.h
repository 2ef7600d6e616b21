#ifndef DCOS_CONTAINERIZER_FETCH_RUN_H
#define DCOS_CONTAINERIZER_FETCH_RUN_H

/* Running dcos-fetcher for the URIs of a command: by the agent for an executor, and by the executor
 * of a pod for its tasks. */

#include "base/error.h"
#include "io/process.h"

struct fetch_options {
    const char *uris;         /* array of mesos.v1.CommandInfo.URI in JSON */
    const char *launcher_dir; /* where dcos-fetcher is */
    const char *cache_dir;    /* below it each user has a cache of its own */
    const char *sandbox;
    const char *user; /* to fetch as; NULL = no switch */
    uid_t uid;        /* of `user` */
    gid_t gid;
    int64_t stall_timeout_us;
    uint64_t cache_size; /* bytes of one cache */
};

/* cb is called once unless *ret is given up by process_abandon(). */
int fetch_start(struct loop *l, const struct fetch_options *o, process_cb cb, void *userdata,
    struct process **ret, struct error *err);
/* What to say about a result whose status is not 0. The caller frees. */
char *fetch_failure(const struct process_result *result);

#endif
