#ifndef DCOS_INSTALLER_PROGRESS_H
#define DCOS_INSTALLER_PROGRESS_H

/* What an operator sees of a chain: on a terminal one line that changes, elsewhere a line for each
 * step. Hosts that failed get a line each, at once and again at the end. */

#include "installer/installer.h"

struct progress {
    bool terminal, quiet_line; /* quiet_line: nothing to wipe */
    size_t total, running, done, failed;
    int64_t began_us;
    char latest[160];
};

void progress_init(struct progress *p, size_t total);
/* For action_options.progress; userdata is the struct progress. */
void progress_event(const struct chain *chain, const struct chain_event *event,
    const struct chain_result *result, void *userdata);
/* The summary, and why hosts failed on stderr. */
void progress_summary(
    struct progress *p, const char *action, const struct action_result *result, const char *logs);

#endif
