#ifndef DCOS_CHECKS_RUNNER_H
#define DCOS_CHECKS_RUNNER_H

/*
 * Runs checks, side by side, and gathers what they say, as DC/OS's check runner does: exit code 0
 * is fine, 1 a warning, 2 critical, 3 (and every other code, and a timeout) unknown. The status of
 * the whole is the worst.
 */

#include "checks/config.h"
#include "io/loop.h"
#include "json/writer.h"

enum {
    CHECK_OK,
    CHECK_WARNING,
    CHECK_CRITICAL,
    CHECK_UNKNOWN,
};
enum {
    CHECK_OUTPUT_MAX = 64 * 1024, /* bytes kept of each of stdout and stderr */
    CHECKS_AT_ONCE = 64,
};

struct check_run;
typedef void (*check_run_cb)(struct check_run *run, void *userdata);

/* The checks of a type that `role` (mask of enum check_role) has, or of them those named. */
struct check_choice {
    enum check_type type;
    unsigned role;
    const char *const *names;
    size_t n_names; /* 0 = all */
};

/* Names of the choice that no check of the type and role has. Caller's array of n_names. */
size_t check_missing(
    const struct check_config *c, const struct check_choice *choice, const char **ret);

/* `done` is called once, from the loop, also when there is nothing to run; the configuration must
 * outlive the run. */
struct check_run *check_run_start(struct loop *l, const struct check_config *c,
    const struct check_choice *choice, check_run_cb done, void *userdata);
/* Kills what still runs; `done` is not called any more. */
void check_run_free(struct check_run *run);
/* 0 to 3. Names that were missing and programs that could not be started count as unknown. */
int check_run_status(const struct check_run *run);
/* {"status", "checks": {NAME: {"status", "output"}}}, or {"error", "checks": ["NAME: reason"]} when
 * a check is missing or could not be started. */
void check_run_write(const struct check_run *run, struct json_writer *w);

/* {NAME: {"description", "cmd", "timeout"}} */
void check_list_write(
    const struct check_config *c, const struct check_choice *choice, struct json_writer *w);

#endif
