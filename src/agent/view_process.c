#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/sandbox.h"
#include "agent/view.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "process/process.h"

/* Files, metrics, the log and help: what the agent has in common with every daemon. */

static const char LOG_NAME[] = "/slave/log";

/* ---- files ---- */

static int open_file(void *userdata, struct str path, struct error *err)
{
    struct agent *a = userdata;
    if (!a->log_path || !str_eq_c(path, LOG_NAME))
        return sandbox_open(a->work_dir, a->core->id, path, err);
    int fd = open(a->log_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? error_errno(err, -errno, "cannot open the log") : fd;
}

static bool may_see(void *userdata, struct http_request *req, struct str path)
{
    return agent_sees_files(userdata, req, path);
}

static void attached(void *userdata, struct json_writer *w)
{
    struct agent *a = userdata;
    if (a->log_path)
        jw_field_string(w, LOG_NAME, a->log_path);
    MAP_FOREACH (entry, &a->core->containers) {
        const struct agent_executor *e = entry->value;
        _cleanup_free_ char *real = sandbox_path(
            a->work_dir, a->core->id, e->framework->id, e->id, e->container_id);
        _cleanup_free_ char *name = xasprintf(
            "/frameworks/%s/executors/%s/runs/latest", e->framework->id, e->id);
        jw_field_string(w, real, real);
        jw_field_string(w, name, real);
    }
}

/* ---- help ---- */

static const struct help_entry help[] = {
    {"agent", "/api/v1", "The v1 operator API: POST a call.", NULL},
    {"agent", "/api/v1/executor", "The v1 executor API.", NULL},
    {"agent", "/containerizer/debug", "Launches that are under way.", NULL},
    {"agent", "/containers", "Containers with their status and use of resources.",
        "Query parameters: `container_id`, `framework_id`, `executor_id` with `framework_id`."},
    {"agent", "/flags", "The options in force.", NULL},
    {"agent", "/health", "200 while the agent serves.", NULL},
    {"agent", "/monitor/statistics", "Use of resources by container.", NULL},
    {"agent", "/state", "Frameworks, executors and tasks of this agent.", NULL},
    {"files", "/browse", "Lists a folder.", "Query parameters: `path`."},
    {"files", "/debug", "Virtual paths and what they stand for.", NULL},
    {"files", "/download", "The bytes of a file.", "Query parameters: `path`."},
    {"files", "/read", "A part of a file.", "Query parameters: `path`, `offset`, `length`."},
    {"logging", "/toggle", "The verbosity of the log; sets it for a while.",
        "Query parameters: `level`, `duration`."},
    {"metrics", "/snapshot", "Metrics as one object.", "Query parameters: `timeout`."},
    {"system", "/stats.json", "Processors, load and memory of the machine.", NULL},
    {"version", "", "The version.", NULL},
};

static const struct landing_link links[] = {
    {"/state", "frameworks, executors and tasks"},
    {"/containers", "containers and what they use"},
    {"/metrics", "metrics for Prometheus"},
    {"/metrics/snapshot", "metrics as JSON"},
    {"/flags", "options in force"},
    {"/version", "version"},
    {"/help", "all endpoints"},
};

/* ---- endpoints ---- */

bool agent_process_http(struct agent *a, struct http_request *req)
{
    struct str path = req->path;
    bool get = req->method == HTTP_GET || req->method == HTTP_HEAD;
    if (str_eq_c(path, "/logging/toggle")) {
        log_toggle_http(&a->log_toggle, req);
        return true;
    }
    if (!get)
        return false;
    if (str_has_prefix(path, STR("/files/"))) {
        const size_t prefix = sizeof("/files/") - 1;
        return files_http(&a->files, req, (struct str){path.p + prefix, path.n - prefix});
    }
    if (str_eq_c(path, "/metrics/snapshot") || str_eq_c(path, "/metrics/snapshot.json"))
        metrics_http_snapshot(a->metrics, req);
    else if (str_eq_c(path, "/metrics")) {
        /* Shows the same, so the same rule says who may see it. */
        if (agent_may(a, req, AUTH_GET_ENDPOINT, "/metrics/snapshot"))
            metrics_http_prometheus(a->metrics, req);
    } else if (str_eq_c(path, "/system/stats.json"))
        process_system_stats(req);
    else if (str_eq_c(path, "/__processes__"))
        process_list(req, "slave(1)");
    else if (str_eq_c(path, "/help") || str_has_prefix(path, STR("/help/")))
        process_help(req, (struct str){path.p + 5, path.n - 5}, help, ARRAY_SIZE(help));
    else if (str_eq_c(path, "/"))
        process_landing(
            req, "dcos-agent", "Runs containers on this node.", links, ARRAY_SIZE(links));
    else
        return false;
    return true;
}

static void source(void *of, metric_fn fn, void *userdata)
{
    view_metrics(of, fn, userdata);
}

static int start_log(struct agent *a, struct error *err)
{
    const struct agent_settings *s = &a->settings;
    if (s->log_dir) {
        int r = mkdir_all(s->log_dir, 0755, err);
        if (r < 0)
            return error_prefix(err, r, "--log_dir");
        a->log_path = path_join(s->log_dir, "dcos-agent.log");
        r = log_to_file(a->log_path);
        if (r < 0)
            return error_errno(err, r, "cannot write %s", a->log_path);
    } else if (s->external_log_file) {
        a->log_path = xstrdup(s->external_log_file);
    }
    return 0;
}

int agent_process_start(struct agent *a, struct error *err)
{
    a->recovery_us = -1;
    a->files = (struct file_source){
        .open = open_file, .attached = attached, .may = may_see, .userdata = a};
    log_toggle_init(&a->log_toggle, a->loop);
    int r = start_log(a, err);
    return r < 0 ? r : metrics_http_new(a->loop, source, a, NULL, &a->metrics, err);
}

void agent_process_stop(struct agent *a)
{
    if (a->log_toggle.timer.loop)
        log_toggle_done(&a->log_toggle);
    metrics_http_free(a->metrics);
    a->metrics = NULL;
    free(TAKE_PTR(a->log_path));
}
