#include "cli/task_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/http.h"
#include "http/sse.h"

enum {
    PIECE = 32 * 1024, /* bytes asked for at once; agents give at most 64 KiB */
    FOLLOW_INTERVAL_MS = 500,
    EVENT_MAX = 1024 * 1024,
};

/* One file that is printed, and followed from `offset`. */
struct source {
    const char *task_id;
    struct sandbox sandbox;
    int64_t offset;
    bool gone;
};

static int file_size(
    struct cli *c, const struct source *s, const char *file, int64_t *ret, struct error *err)
{
    return sandbox_read(c, &s->sandbox, file, -1, 0, ret, NULL, err);
}

/* Offset at which the last `lines` lines start. */
static int find_tail(struct cli *c, const struct source *s, const struct task_log_options *options,
    int64_t size, int64_t *ret, struct error *err)
{
    int64_t at = size, seen = 0;
    while (at > 0 && options->lines > 0) {
        int64_t n = MIN(at, (int64_t)PIECE), offset;
        _cleanup_buf_ struct buf piece = BUF_INIT;
        int r = sandbox_read(c, &s->sandbox, options->file, at - n, n, &offset, &piece, err);
        if (r < 0)
            return r;
        for (size_t i = piece.n; i-- > 0;) {
            bool last_byte = at == size && i == piece.n - 1;
            if (piece.p[i] != '\n' || last_byte)
                continue;
            if (++seen == options->lines) {
                /* Bytes that are no UTF-8 arrive as three: then the place is found from the
                 * start of the piece only roughly, never before it. */
                int64_t place = at - n + (int64_t)i + 1;
                *ret = MIN(place, at);
                return 0;
            }
        }
        at -= n;
    }
    *ret = options->lines > 0 ? 0 : size;
    return 0;
}

static int print_range(
    struct cli *c, struct source *s, const char *file, int64_t end, struct error *err)
{
    while (s->offset < end) {
        int64_t n = MIN(end - s->offset, (int64_t)PIECE), offset;
        _cleanup_buf_ struct buf piece = BUF_INIT;
        int r = sandbox_read(c, &s->sandbox, file, s->offset, n, &offset, &piece, err);
        if (r < 0)
            return r;
        if (piece.n == 0)
            return 0; /* cut meanwhile */
        fwrite(piece.p, 1, piece.n, stdout);
        s->offset += n;
    }
    return 0;
}

static void print_title(const struct source *s)
{
    printf("===> %s <===\n", s->task_id);
}

static int print_tail(struct cli *c, const json_t *state, const json_t *task, struct source *s,
    const struct task_log_options *options, struct error *err)
{
    int64_t size = 0;
    int r = sandbox_find(c, state, task, &s->sandbox, err);
    if (r == 0)
        r = file_size(c, s, options->file, &size, err);
    if (r == 0)
        r = find_tail(c, s, options, size, &s->offset, err);
    if (r == 0)
        r = print_range(c, s, options->file, size, err);
    if (r == -ENOENT)
        return error_set(err, r, "'%s' is not in the sandbox of task '%s' (see 'dcos task ls %s')",
            options->file, s->task_id, s->task_id);
    return r;
}

/* Ends when every file is gone; otherwise by Ctrl-C. */
static int follow(struct cli *c, struct source *sources, size_t n,
    const struct task_log_options *options, struct error *err)
{
    const struct source *shown = NULL;
    for (;;) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            struct source *s = &sources[i];
            int64_t size = 0;
            struct error why = ERROR_INIT;
            if (s->gone)
                continue;
            int r = file_size(c, s, options->file, &size, &why);
            if (r == -ENOENT || r == -EINVAL) {
                s->gone = true;
                continue;
            }
            left++;
            if (r < 0)
                continue; /* the agent restarts: the file stays, so does our place */
            if (size < s->offset)
                s->offset = 0; /* rotated */
            if (size == s->offset)
                continue;
            if (n > 1 && shown != s)
                print_title(s);
            shown = s;
            print_range(c, s, options->file, size, &why);
            if (fflush(stdout) != 0)
                return error_errno(err, -errno, "cannot write the output");
        }
        if (left == 0)
            return error_set(err, -ENOENT, "'%s' was removed", options->file);
        requester_pause(c->http, FOLLOW_INTERVAL_MS * USEC_PER_MSEC);
    }
}

static int log_from_agents(struct cli *c, const json_t *state, const json_t *tasks,
    const struct task_log_options *options, struct error *err)
{
    size_t n = json_array_size(tasks), failed = 0;
    struct source *sources = xnew_array(struct source, n);
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *task = json_array_get(tasks, i);
        struct error why = ERROR_INIT;
        sources[i].task_id = json_str_at(task, "id", "");
        if (n > 1)
            print_title(&sources[i]);
        r = print_tail(c, state, task, &sources[i], options, &why);
        fflush(stdout);
        if (r < 0) {
            fprintf(stderr, "Error: %s\n", why.msg);
            sources[i].gone = true;
            failed++;
        }
    }
    if (failed > 0)
        r = n > 1 ? error_set(err, -EIO, "could not log all matched tasks")
                  : 1; /* it was told already */
    else if (options->follow)
        r = follow(c, sources, n, options, err);
    for (size_t i = 0; i < n; i++)
        sandbox_done(&sources[i].sandbox);
    free(sources);
    return r;
}

/* ---- the cluster's log service ---- */

static void print_entry(const char *event, const char *id, struct str data, void *userdata)
{
    _cleanup_json_ json_t *json = NULL;
    if (json_parse(data.p, data.n, &json, NULL) < 0)
        return;
    const json_t *fields = json_at(json, "fields");
    const char *who = json_str_at(fields, "SYSLOG_IDENTIFIER", "");
    const char *pid = json_str_at(fields, "_PID", NULL);
    char when[TIME_TEXT_SIZE];
    time_format_rfc3339(json_i64_at(json, "realtime_timestamp", 0), when);
    printf("%.10s %.8s UTC %s", when, when + 11, who);
    if (pid)
        printf(" [%s]", pid);
    printf(": %s\n", json_str_at(fields, "MESSAGE", ""));
}

static bool on_events(const char *p, size_t n, void *userdata)
{
    bool good = sse_decode(userdata, p, n, print_entry, NULL) >= 0;
    return fflush(stdout) == 0 && good;
}

/* -ENOSYS when the cluster has no log service. */
static int log_from_service(struct cli *c, const char *base, const json_t *tasks,
    const struct task_log_options *options, struct error *err)
{
    size_t n = json_array_size(tasks);
    int result = 0;
    for (size_t i = 0; i < n; i++) {
        const char *id = json_str_at(json_array_get(tasks, i), "id", "");
        _cleanup_buf_ struct buf url = BUF_INIT;
        buf_printf(&url, "%s/system/v1/logs/v2/task/", base);
        http_escape(&url, str_of(id));
        buf_puts(&url, "/file/");
        http_escape(&url, str_of(options->file));
        buf_printf(&url, "?cursor=END&skip=-%lld", (long long)options->lines);
        struct sse_decoder decoder;
        sse_decoder_init(&decoder, EVENT_MAX);
        struct request req = {.url = buf_cstr(&url), .accept = "text/plain"};
        if (options->follow) {
            req.accept = "text/event-stream";
            req.on_data = on_events;
            req.userdata = &decoder;
        }
        struct reply reply = {0};
        int r = cli_send(c, "the log service", &req, &reply, err);
        int status = reply.status;
        if (r == 0 && (status == 404 || status == 502 || status == 501) && i == 0)
            result = -ENOSYS;
        else if (r == 0 && n > 1)
            printf("===> %s <===\n", id);
        if (r == 0 && result == 0 && status == 200) {
            fwrite(reply.body.p, 1, reply.body.n, stdout);
        } else if (r == 0 && result == 0) {
            fprintf(stderr, "Error: %s\n", status == 204 ? "no logs found" : buf_cstr(&reply.body));
            result = n > 1 ? -EIO : 1;
        }
        reply_done(&reply);
        sse_decoder_done(&decoder);
        if (r < 0)
            return r;
        if (result == -ENOSYS)
            return result;
    }
    return result == -EIO ? error_set(err, result, "could not log all matched tasks") : result;
}

int task_log(struct cli *c, const json_t *state, const json_t *tasks,
    const struct task_log_options *options, struct error *err)
{
    bool direct = false;
    _cleanup_free_ char *base = NULL;
    int r = cli_base_url(c, "core.mesos_master_url", "", &base, &direct, err);
    if (r < 0)
        return r;
    if (!direct) {
        r = log_from_service(c, base, tasks, options, err);
        if (r != -ENOSYS)
            return r;
    }
    return log_from_agents(c, state, tasks, options, err);
}
