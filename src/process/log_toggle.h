#ifndef DCOS_PROCESS_LOG_TOGGLE_H
#define DCOS_PROCESS_LOG_TOGGLE_H

/*
 * A more verbose log for a while, as libprocess offers it: level 0 is what the daemon was started
 * with, 1 and above is debug. When the time is over the log is as it was.
 */

#include "http/server.h"
#include "io/loop.h"

struct log_toggle {
    struct timer timer;
    unsigned original, level;
    int saved; /* enum log_level at the start */
};
/* After the log's level was set from the command line. */
void log_toggle_init(struct log_toggle *t, struct loop *l);
void log_toggle_done(struct log_toggle *t);
/* -EINVAL with the text of the 400 answer when `level` is below the original one. */
int log_toggle_set(struct log_toggle *t, uint32_t level, int64_t duration_us, struct error *err);
/* /logging/toggle: the level as text, or level=N&duration=DURATION sets it. */
void log_toggle_http(struct log_toggle *t, struct http_request *req);

#endif
