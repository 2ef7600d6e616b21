#ifndef DCOS_PROCESS_DAEMON_H
#define DCOS_PROCESS_DAEMON_H

/* What the programs of all daemons do in the same words. They tell the log; nothing here fails a
 * caller for it. */

#include "base/error.h"

/* Sets the log's level by the value of --logging_level: error, warning (warn), info or debug, in
 * capitals or not. -EINVAL. */
int daemon_log_level(const char *text, struct error *err);
/* --ready_file: {"ip","port","pid"} and `more` members (",\"name\":value", or NULL) for whoever
 * waits. `path` NULL: nobody does. */
void daemon_tell_ready(const char *path, const char *ip, uint16_t port, const char *more);
/* For store_on_slow(). A full disk is such a case: nothing is acknowledged until there is space. */
void daemon_slow_store(int64_t waited_us, const char *reason, void *userdata);

#endif
