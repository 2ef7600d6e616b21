#ifndef DCOS_IO_LOOP_INTERNAL_H
#define DCOS_IO_LOOP_INTERNAL_H

/* What the modules of src/io know about the loop beyond loop.h. */

#include <uv.h>

#include "io/loop.h"

enum { LOOP_READ_BUFFER = 64 * 1024 };

/* Something that outlives its owner's interest for a while (a stream flushing its last bytes) and
 * must go at once when the loop goes. */
struct loop_lingering {
    struct list node;
    void (*drop)(struct loop_lingering *l);
};

struct loop {
    uv_loop_t uv;
    uv_timer_t alarm; /* for the earliest of `timers` */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active while something is deferred: polling must not wait */
    struct heap timers;
    struct list deferred;
    struct list lingering;
    int64_t now_us;
    int64_t alarm_us;  /* when `alarm` rings; 0 = off */
    bool in_alarm;     /* timers are firing; the alarm is set after them */
    char *read_buffer; /* LOOP_READ_BUFFER bytes shared by all streams: each consumes in its call */
};

void loop_linger(struct loop *l, struct loop_lingering *what);

#endif
