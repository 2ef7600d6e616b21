#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "master/shell.h"
#include "process/files.h"
#include "process/process.h"

/* What the master has in common with every daemon: metrics, the log, files, help. Answered by every
 * master, leading or not. */

static const char LOG_NAME[] = "/master/log";

/* ---- metrics ---- */

static void source(void *of, metric_fn fn, void *userdata)
{
    each_metric(of, fn, userdata);
}

struct wanted {
    bool prometheus;
    struct str callback; /* of jsonp */
};

static void write_metrics(struct shell *s, void *subject, struct json_writer *w)
{
    const struct wanted *m = subject;
    if (m->prometheus) {
        prometheus_write(source, s, w->out);
        return;
    }
    if (m->callback.p)
        buf_printf(w->out, STR_FMT "(", STR_ARG(m->callback));
    metrics_write_json(source, s, w->out);
    if (m->callback.p)
        buf_putc(w->out, ')');
}

/* Counting takes a while in a large cluster, and each framework has a hundred names. */
static void answer_metrics(void *of, struct http_request *req, bool prometheus)
{
    struct shell *s = of;
    struct wanted *m = arena_new(&req->arena, struct wanted);
    m->prometheus = prometheus;
    m->callback = http_request_param(req, "jsonp");
    if (m->callback.p && !http_callback_valid(m->callback)) {
        http_respond_text(req, 400, "The jsonp callback is not a name");
        return;
    }
    const struct document_order order = {
        /* Counters change without a revision: each answer is its own. */
        .key = arena_printf(&req->arena, "metrics %llu", (unsigned long long)++s->metrics_answers),
        .content_type = prometheus      ? PROMETHEUS_TYPE
                        : m->callback.p ? "text/javascript"
                                        : "application/json",
        .write = write_metrics,
        .subject = m,
    };
    documents_ask(s->documents, req, &order);
}

void endpoint_metrics_snapshot(struct operator_call *c)
{
    if (operator_may(c, AUTH_GET_ENDPOINT, "/metrics/snapshot"))
        metrics_http_snapshot(c->s->metrics, c->req);
}

void endpoint_metrics(struct operator_call *c)
{
    /* Shows the same, so the same rule says who may see it. */
    if (operator_may(c, AUTH_GET_ENDPOINT, "/metrics/snapshot"))
        metrics_http_prometheus(c->s->metrics, c->req);
}

/* ---- the log ---- */

void endpoint_logging_toggle(struct operator_call *c)
{
    if (http_request_param(c->req, "level").p)
        operator_object(c, NULL); /* it changes something, with whatever method */
    if (operator_may(c, AUTH_GET_ENDPOINT, "/logging/toggle"))
        log_toggle_http(&c->s->log_toggle, c->req);
}

void operator_get_logging_level(struct operator_call *c)
{
    Mesos__V1__Master__Response__GetLoggingLevel w =
        MESOS__V1__MASTER__RESPONSE__GET_LOGGING_LEVEL__INIT;
    w.has_level = true;
    w.level = c->s->log_toggle.level;
    Mesos__V1__Master__Response r = MESOS__V1__MASTER__RESPONSE__INIT;
    r.has_type = true;
    r.type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_LOGGING_LEVEL;
    r.get_logging_level = &w;
    operator_respond(c, &r);
}

void operator_set_logging_level(struct operator_call *c)
{
    const Mesos__V1__Master__Call__SetLoggingLevel *set = c->call->set_logging_level;
    int64_t nanoseconds = set->duration->nanoseconds;
    struct error err = ERROR_INIT;
    if (!operator_may(c, AUTH_SET_LOG_LEVEL, NULL))
        return;
    int r = log_toggle_set(
        &c->s->log_toggle, set->level, nanoseconds < 0 ? -1 : nanoseconds / NSEC_PER_USEC, &err);
    if (r < 0)
        http_respond_text(c->req, 400, "%s", err.msg);
    else
        http_respond(c->req, 200, NULL, NULL, 0);
}

/* ---- files ---- */

static int open_file(void *userdata, struct str path, struct error *err)
{
    const struct operator_call *c = userdata;
    if (!c->s->log_path || !str_eq_c(path, LOG_NAME))
        return error_set(err, -ENOENT, "'" STR_FMT "' is not there", STR_ARG(path));
    int fd = open(c->s->log_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? error_errno(err, -errno, "cannot open the log") : fd;
}

static void attached(void *userdata, struct json_writer *w)
{
    const struct operator_call *c = userdata;
    if (c->s->log_path)
        jw_field_string(w, LOG_NAME, c->s->log_path);
}

static bool may_see(void *userdata, struct http_request *req, struct str path)
{
    (void)req;
    return !str_eq_c(path, LOG_NAME) || operator_sees(userdata, AUTH_ACCESS_MESOS_LOG, NULL);
}

static struct file_source files_of(struct operator_call *c)
{
    return (struct file_source){
        .open = open_file, .attached = attached, .may = may_see, .userdata = c};
}

void endpoint_files(struct operator_call *c)
{
    const size_t prefix = sizeof("/files") - 1;
    const struct file_source files = files_of(c);
    struct str endpoint = {c->path.p + prefix, c->path.n - prefix};
    if (str_has_prefix(endpoint, STR("/debug")) &&
        !operator_may(c, AUTH_GET_ENDPOINT, "/files/debug"))
        return;
    if (endpoint.n > 0) {
        endpoint.p++;
        endpoint.n--;
    }
    if (!files_http(&files, c->req, endpoint))
        http_respond_text(c->req, 404, "Not Found");
}

void operator_list_files(struct operator_call *c)
{
    struct str path = str_of(c->call->list_files->path);
    const struct file_source files = files_of(c);
    struct files_list list = {0};
    struct error err = ERROR_INIT;
    if (str_eq_c(path, LOG_NAME) && !operator_may(c, AUTH_ACCESS_MESOS_LOG, NULL))
        return;
    int r = files_list(&files, path, &list, &err);
    if (r < 0) {
        http_respond_text(c->req, files_status(r), "%s", err.msg);
        return;
    }
    /* The log is a file: there is nothing in it. */
    files_list_done(&list);
    Mesos__V1__Master__Response__ListFiles w = MESOS__V1__MASTER__RESPONSE__LIST_FILES__INIT;
    Mesos__V1__Master__Response response = MESOS__V1__MASTER__RESPONSE__INIT;
    response.has_type = true;
    response.type = MESOS__V1__MASTER__RESPONSE__TYPE__LIST_FILES;
    response.list_files = &w;
    operator_respond(c, &response);
}

void operator_read_file(struct operator_call *c)
{
    const Mesos__V1__Master__Call__ReadFile *q = c->call->read_file;
    const struct file_source files = files_of(c);
    struct str path = str_of(q->path);
    _cleanup_buf_ struct buf data = BUF_INIT;
    struct error err = ERROR_INIT;
    int64_t size = 0;
    if (str_eq_c(path, LOG_NAME) && !operator_may(c, AUTH_ACCESS_MESOS_LOG, NULL))
        return;
    if (q->offset > INT64_MAX || (q->has_length && q->length > INT64_MAX)) {
        http_respond_text(c->req, 400, "Offset or length is too large");
        return;
    }
    int r = files_read(&files, path, (int64_t)q->offset, q->has_length ? (int64_t)q->length : -1,
        &data, &size, &err);
    if (r < 0) {
        http_respond_text(c->req, files_status(r), "%s", err.msg);
        return;
    }
    Mesos__V1__Master__Response__ReadFile w = MESOS__V1__MASTER__RESPONSE__READ_FILE__INIT;
    w.has_size = true;
    w.size = (uint64_t)size;
    w.has_data = true;
    w.data = (ProtobufCBinaryData){.len = data.n, .data = (uint8_t *)data.p};
    Mesos__V1__Master__Response response = MESOS__V1__MASTER__RESPONSE__INIT;
    response.has_type = true;
    response.type = MESOS__V1__MASTER__RESPONSE__TYPE__READ_FILE;
    response.read_file = &w;
    operator_respond(c, &response);
}

/* ---- help ---- */

static const struct help_entry help[] = {
    {"files", "/browse", "Lists a folder.", "Query parameters: `path`."},
    {"files", "/debug", "Virtual paths and what they stand for.", NULL},
    {"files", "/download", "The bytes of a file.", "Query parameters: `path`."},
    {"files", "/read", "A part of a file.", "Query parameters: `path`, `offset`, `length`."},
    {"logging", "/toggle", "The verbosity of the log; sets it for a while.",
        "Query parameters: `level`, `duration`."},
    {"master", "/api/v1", "The v1 operator API: POST a call.", NULL},
    {"master", "/api/v1/scheduler", "The v1 scheduler API: POST a call.", NULL},
    {"master", "/create-volumes", "Makes persistent volumes.",
        "POST a form with `slaveId` and `volumes`."},
    {"master", "/destroy-volumes", "Destroys persistent volumes.",
        "POST a form with `slaveId` and `volumes`."},
    {"master", "/flags", "The options in force.", NULL},
    {"master", "/frameworks", "Frameworks with their tasks.", "Query parameters: `framework_id`."},
    {"master", "/health", "200 while the master serves.", NULL},
    {"master", "/machine/down", "Begins the maintenance of machines.", "POST a list of machines."},
    {"master", "/machine/up", "Ends the maintenance of machines.", "POST a list of machines."},
    {"master", "/maintenance/schedule", "The maintenance schedule; POST sets it.", NULL},
    {"master", "/maintenance/status", "Machines that drain or are down.", NULL},
    {"master", "/redirect", "Redirects to the leading master.", NULL},
    {"master", "/reserve", "Reserves resources of an agent.",
        "POST a form with `slaveId` and `resources`."},
    {"master", "/roles", "Roles with what they hold.", NULL},
    {"master", "/slaves", "Agents.", "Query parameters: `slave_id`."},
    {"master", "/state", "All of the cluster.",
        "Answers carry an `ETag`; with `If-None-Match` an unchanged state costs nothing."},
    {"master", "/state-summary", "Agents and frameworks with counts of their tasks.", NULL},
    {"master", "/tasks", "Tasks in the order of their first status.",
        "Query parameters: `limit`, `offset`, `order`, `framework_id`, `task_id`."},
    {"master", "/teardown", "Ends a framework.", "POST a form with `frameworkId`."},
    {"master", "/unreserve", "Ends reservations of an agent's resources.",
        "POST a form with `slaveId` and `resources`."},
    {"metrics", "", "Metrics for Prometheus.", NULL},
    {"metrics", "/snapshot", "Metrics as one object.", "Query parameters: `timeout`."},
    {"system", "/stats.json", "Processors, load and memory of the machine.", NULL},
    {"version", "", "The version.", NULL},
};

void endpoint_help(struct operator_call *c)
{
    const size_t prefix = sizeof("/help") - 1;
    process_help(
        c->req, (struct str){c->path.p + prefix, c->path.n - prefix}, help, ARRAY_SIZE(help));
}

void endpoint_landing(struct operator_call *c)
{
    static const struct landing_link links[] = {
        {"/state", "the whole cluster"},
        {"/state-summary", "agents and frameworks in short"},
        {"/slaves", "agents"},
        {"/frameworks", "frameworks and their tasks"},
        {"/tasks", "tasks"},
        {"/roles", "roles"},
        {"/metrics", "metrics for Prometheus"},
        {"/metrics/snapshot", "metrics as JSON"},
        {"/flags", "options in force"},
        {"/version", "version"},
        {"/help", "all endpoints"},
    };
    process_landing(c->req, "dcos-master",
        c->s->leading ? "Cluster kernel: agents, offers, tasks. This master leads."
                      : "Cluster kernel: agents, offers, tasks. Another master leads.",
        links, ARRAY_SIZE(links));
}

/* ---- the machine ---- */

void endpoint_system_stats(struct operator_call *c)
{
    process_system_stats(c->req);
}

void endpoint_processes(struct operator_call *c)
{
    process_list(c->req, "master");
}

/* ---- start ---- */

int operator_process_start(
    struct shell *s, const char *log_dir, const char *external_log_file, struct error *err)
{
    log_toggle_init(&s->log_toggle, s->loop);
    s->log_dir = log_dir;
    s->external_log_file = external_log_file;
    if (log_dir) {
        int r = mkdir_all(log_dir, 0755, err);
        if (r < 0)
            return error_prefix(err, r, "--log_dir");
        s->log_path = path_join(log_dir, "dcos-master.log");
        r = log_to_file(s->log_path);
        if (r < 0)
            return error_errno(err, r, "cannot write %s", s->log_path);
    } else if (external_log_file) {
        s->log_path = xstrdup(external_log_file);
    }
    return metrics_http_new(s->loop, source, s, answer_metrics, &s->metrics, err);
}

void operator_process_stop(struct shell *s)
{
    if (s->log_toggle.timer.loop)
        log_toggle_done(&s->log_toggle);
    metrics_http_free(s->metrics);
    free(s->log_path);
    metric_timer_done(&s->store_ms);
    metric_timer_done(&s->fetch_ms);
    metric_timer_done(&s->run_ms);
    metric_timer_done(&s->run_latency_ms);
    MAP_FOREACH (e, &s->registry_sizes)
        free(e->value);
    map_done(&s->registry_sizes);
}
