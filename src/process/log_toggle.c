#include "process/log_toggle.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"

static void apply(struct log_toggle *t, unsigned level)
{
    t->level = level;
    log_set_level(level > 0 ? LOG_DEBUG : (enum log_level)t->saved);
}

static void on_timer(struct timer *timer)
{
    struct log_toggle *t = container_of(timer, struct log_toggle, timer);
    apply(t, t->original);
    log_info("the log's level is as it was level=%u", t->original);
}

void log_toggle_init(struct log_toggle *t, struct loop *l)
{
    *t = (struct log_toggle){.saved = (int)log_level()};
    t->original = t->level = log_enabled(LOG_DEBUG) ? 1 : 0;
    timer_init(&t->timer, l, on_timer);
}

void log_toggle_done(struct log_toggle *t)
{
    timer_stop(&t->timer);
}

int log_toggle_set(struct log_toggle *t, uint32_t level, int64_t duration_us, struct error *err)
{
    if (level < t->original)
        return error_set(err, -EINVAL, "'%u' < original level", level);
    if (duration_us < 0)
        return error_set(err, -EINVAL, "The duration is negative");
    apply(t, level);
    if (level == t->original)
        timer_stop(&t->timer);
    else
        timer_start(&t->timer, duration_us);
    log_info("the log's level changes level=%u seconds=%lld", level,
        (long long)(duration_us / USEC_PER_SEC));
    return 0;
}

void log_toggle_http(struct log_toggle *t, struct http_request *req)
{
    struct str level = http_request_param(req, "level");
    struct str duration = http_request_param(req, "duration");
    if (!level.p && !duration.p) {
        http_respond_text(req, 200, "%u\n", t->level);
        return;
    }
    if (!level.p || !duration.p) {
        http_respond_text(
            req, 400, "Expecting '%s=value' in query.\n", level.p ? "duration" : "level");
        return;
    }
    int64_t v, us;
    if (parse_i64(level, &v) < 0 || v > INT32_MAX || v < 0) {
        http_respond_text(req, 400, "Invalid level '" STR_FMT "'.\n", STR_ARG(level));
        return;
    }
    if (duration_parse(duration, &us) < 0 || us < 0) {
        http_respond_text(req, 400, "Invalid duration '" STR_FMT "'.\n", STR_ARG(duration));
        return;
    }
    struct error err = ERROR_INIT;
    if (log_toggle_set(t, (uint32_t)v, us, &err) < 0)
        http_respond_text(req, 400, "%s.\n", err.msg);
    else
        http_respond(req, 200, NULL, NULL, 0);
}
