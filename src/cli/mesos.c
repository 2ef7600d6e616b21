#include "cli/mesos.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"

int mesos_get(struct cli *c, const char *path, json_t **ret, struct error *err)
{
    _cleanup_free_ char *base = NULL;
    int r = cli_base_url(c, "core.mesos_master_url", "/mesos", &base, NULL, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *url = xasprintf("%s%s", base, path);
    return cli_get_json(c, "the Mesos master", url, ret, err);
}

int mesos_state(struct cli *c, json_t **ret, struct error *err)
{
    return mesos_get(c, "/state", ret, err);
}

int mesos_call(struct cli *c, const json_t *call, struct reply *ret, struct error *err)
{
    _cleanup_free_ char *base = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = cli_base_url(c, "core.mesos_master_url", "/mesos", &base, NULL, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *url = xasprintf("%s/api/v1", base);
    json_dump(call, &text);
    return cli_send(c, "the Mesos master",
        &(struct request){.method = "POST", .url = url, .body = text.p, .body_n = text.n}, ret,
        err);
}

const json_t *mesos_agent(const json_t *state, const char *id)
{
    const json_t *agents = json_at(state, "slaves");
    for (size_t i = 0; i < json_array_size(agents); i++) {
        const json_t *a = json_array_get(agents, i);
        if (streq(json_str_at(a, "id", NULL), id))
            return a;
    }
    return NULL;
}

const char *mesos_domain(const json_t *host, const char *part, const char *fallback)
{
    const json_t *domain = json_at(json_at(host, "domain"), "fault_domain");
    return json_str_at(json_at(domain, part), "name", fallback);
}

const char *mesos_pid_address(const char *pid)
{
    const char *at = pid ? strchr(pid, '@') : NULL;
    return at && at[1] ? at + 1 : NULL;
}

char *mesos_pid_ip(const char *pid)
{
    const char *address = mesos_pid_address(pid);
    const char *colon = address ? strrchr(address, ':') : NULL;
    if (!colon)
        return NULL;
    if (address[0] == '[' && colon[-1] == ']')
        return xstrndup(address + 1, (size_t)(colon - address) - 2);
    return xstrndup(address, (size_t)(colon - address));
}

/* ---- tasks ---- */

static bool is_over(const json_t *task)
{
    static const char *const live[] = {
        "TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"};
    const char *state = json_str_at(task, "state", "");
    for (size_t i = 0; i < ARRAY_SIZE(live); i++) {
        if (streq(state, live[i]))
            return false;
    }
    return true;
}

static bool fits(const json_t *task, enum task_scope scope, const char *filter, const char *agent)
{
    const char *id = json_str_at(task, "id", "");
    if (scope != TASKS_ALL && is_over(task) != (scope == TASKS_COMPLETED))
        return false;
    if (agent && !streq(json_str_at(task, "slave_id", NULL), agent))
        return false;
    return !filter || strstr(id, filter) || fnmatch(filter, id, 0) == 0;
}

json_t *mesos_tasks(
    const json_t *state, enum task_scope scope, const char *filter, const char *agent)
{
    static const char *const lists[] = {"tasks", "completed_tasks"};
    json_t *out = json_array();
    const json_t *frameworks = json_at(state, "frameworks");
    for (size_t i = 0; i < json_array_size(frameworks); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
            const json_t *tasks = json_at(json_array_get(frameworks, i), lists[k]);
            for (size_t n = 0; n < json_array_size(tasks); n++) {
                if (fits(json_array_get(tasks, n), scope, filter, agent))
                    json_array_append(out, json_array_get(tasks, n));
            }
        }
    }
    return out;
}

int mesos_one_task(const json_t *tasks, const char *filter, const json_t **ret, struct error *err)
{
    size_t n = json_array_size(tasks);
    if (n == 0)
        return error_set(
            err, -ENOENT, "no task ID found containing '%s' (see 'dcos task list --all')", filter);
    _cleanup_buf_ struct buf ids = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        const json_t *task = json_array_get(tasks, i);
        const char *id = json_str_at(task, "id", "");
        if (n == 1 || streq(id, filter)) {
            *ret = task;
            return 0;
        }
        buf_printf(&ids, "%s%s", i ? " " : "", id);
    }
    return error_set(err, -EINVAL,
        "found more than one task with the same name: [%s]; give more of the id", buf_cstr(&ids));
}

/* ---- sandboxes ---- */

void sandbox_done(struct sandbox *s)
{
    free(s->base);
    free(s->path);
    *s = (struct sandbox){0};
}

/* Folder of the executor whose container the task ran in, else of the newest run. */
static const char *directory_in(
    const json_t *agent_state, const char *framework, const char *executor, const char *container)
{
    static const char *const frameworks[] = {"frameworks", "completed_frameworks"};
    static const char *const executors[] = {"executors", "completed_executors"};
    const char *found = NULL;
    for (size_t f = 0; f < 2; f++) {
        const json_t *list = json_at(agent_state, frameworks[f]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *item = json_array_get(list, i);
            if (!streq(json_str_at(item, "id", NULL), framework))
                continue;
            for (size_t e = 0; e < 2; e++) {
                const json_t *all = json_at(item, executors[e]);
                for (size_t k = 0; k < json_array_size(all); k++) {
                    const json_t *x = json_array_get(all, k);
                    if (!streq(json_str_at(x, "id", NULL), executor))
                        continue;
                    const char *directory = json_str_at(x, "directory", NULL);
                    if (container && streq(json_str_at(x, "container", NULL), container))
                        return directory;
                    if (!found)
                        found = directory;
                }
            }
        }
    }
    return found;
}

int sandbox_find(
    struct cli *c, const json_t *state, const json_t *task, struct sandbox *ret, struct error *err)
{
    const char *id = json_str_at(task, "id", ""), *agent_id = json_str_at(task, "slave_id", "");
    const char *framework = json_str_at(task, "framework_id", "");
    const char *executor = json_str_at(task, "executor_id", "");
    bool direct = false;
    _cleanup_free_ char *base = NULL;
    int r = cli_base_url(c, "core.mesos_master_url", "/agent/", &base, &direct, err);
    if (r < 0)
        return r;
    if (!*executor)
        executor = id;
    if (direct) {
        const json_t *agent = mesos_agent(state, agent_id);
        const char *address = mesos_pid_address(json_str_at(agent, "pid", NULL));
        if (!address)
            return error_set(err, -EHOSTUNREACH,
                "the sandbox of task '%s' cannot be read: its agent %s is not registered", id,
                agent_id);
        bool tls = has_prefix(base, "https:");
        free(base);
        base = xasprintf("http%s://%s", tls ? "s" : "", address);
    } else {
        char *with_id = xasprintf("%s%s", base, agent_id);
        free(base);
        base = with_id;
    }
    const json_t *statuses = json_at(task, "statuses");
    const char *container = NULL;
    for (size_t i = json_array_size(statuses); i-- > 0 && !container;) {
        const json_t *status = json_at(json_array_get(statuses, i), "container_status");
        const json_t *cid = json_at(status, "container_id");
        const json_t *parent = json_at(cid, "parent");
        container = json_str_at(parent ?: cid, "value", NULL);
    }
    _cleanup_json_ json_t *agent_state = NULL;
    _cleanup_free_ char *url = xasprintf("%s/state", base);
    r = cli_get_json(c, "the agent", url, &agent_state, err);
    if (r < 0)
        return r;
    const char *directory = directory_in(agent_state, framework, executor, container);
    /* The agent forgets old executors before their folders are collected. */
    if (directory)
        ret->path = xstrdup(directory);
    else
        ret->path = xasprintf(
            "/frameworks/%s/executors/%s/runs/%s", framework, executor, container ?: "latest");
    ret->base = TAKE_PTR(base);
    return 0;
}

static char *files_url(const struct sandbox *s, const char *verb, const char *name)
{
    struct buf url = BUF_INIT;
    _cleanup_free_ char *path = *name ? xasprintf("%s/%s", s->path, name) : xstrdup(s->path);
    buf_printf(&url, "%s/files/%s?path=", s->base, verb);
    http_escape(&url, str_of(path));
    return buf_steal(&url);
}

static int files_get(struct cli *c, const char *url, json_t **ret, struct error *err)
{
    struct reply reply = {0};
    int r = cli_send(c, "the agent", &(struct request){.url = url}, &reply, err);
    if (r == 0 && reply.status == 404)
        r = error_set(err, -ENOENT, "no such file or directory");
    else if (r == 0 && reply.status != 200)
        r = error_set(err, reply.status == 400 ? -EINVAL : -EPROTO, "the agent: HTTP %d: %.200s",
            reply.status, buf_cstr(&reply.body));
    else if (r == 0)
        r = cli_parse_reply("the agent", &reply, ret, err);
    reply_done(&reply);
    return r;
}

int sandbox_browse(
    struct cli *c, const struct sandbox *s, const char *name, json_t **ret, struct error *err)
{
    _cleanup_free_ char *url = files_url(s, "browse", name);
    return files_get(c, url, ret, err);
}

int sandbox_read(struct cli *c, const struct sandbox *s, const char *name, int64_t offset,
    int64_t length, int64_t *ret_offset, struct buf *out, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    _cleanup_free_ char *url = files_url(s, "read", name);
    _cleanup_free_ char *full = offset < 0 ? xasprintf("%s&offset=-1", url)
                                           : xasprintf("%s&offset=%lld&length=%lld", url,
                                                 (long long)offset, (long long)length);
    int r = files_get(c, full, &json, err);
    if (r < 0)
        return r;
    const json_t *data = json_at(json, "data");
    *ret_offset = json_i64_at(json, "offset", 0);
    if (out && json_is_string(data))
        buf_append(out, json_string_value(data), json_string_length(data));
    return 0;
}
