#include <errno.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "installer/web-internal.h"

/* Actions and everything that reads much run on the pool, one at a time. */

/* genconf, and an action after it. */
struct web_job {
    struct loop_work work;
    struct web_actions *actions;
    struct http_request *req; /* waits for genconf; NULL otherwise */
    enum action action;
    bool with_genconf, with_chain, retry;
    char *problems; /* JSON of errors, when genconf failed */
};

static void answer_status(struct http_request *req, const char *text)
{
    web_answer_take(req, 200, json_pack("{s:s}", "status", text));
}

/* ---- jobs ---- */

static char *state_path(const struct installer *in, enum action action)
{
    _cleanup_free_ char *name = xasprintf("state/%s.json", action_name(action));
    return installer_path(in, name);
}

static json_t *problems_of(const struct gen *g)
{
    json_t *errors = json_object();
    size_t n;
    const struct gen_problem *problems = gen_errors(g, &n);
    for (size_t i = 0; i < n; i++)
        json_object_set_new(errors, problems[i].name, json_string(problems[i].message));
    return errors;
}

static void job_problem(struct web_job *job, const struct gen *g, const struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *errors = g && !gen_ok(g) ? problems_of(g)
                                                    : json_pack("{s:s}", "config", err->msg);
    json_dump(errors, &text);
    job->problems = buf_steal(&text);
}

/* A run that could not begin has no state of hosts to say it in. */
static void write_failed_state(const struct web_job *job, const struct error *err)
{
    _cleanup_free_ char *path = state_path(job->actions->in, job->action);
    _cleanup_json_ json_t *state = json_pack(
        "{s:{},s:s,s:s}", "hosts", "chain_name", action_name(job->action), "error", err->msg);
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_dump(state, &text);
    (void)file_write_atomic(path, text.p, text.n, 0644, NULL); /* nothing more can be done */
}

static void job_work(struct loop_work *w)
{
    struct web_job *job = container_of(w, struct web_job, work);
    _cleanup_(gen_freep)
    struct gen *g = NULL;
    struct error err = ERROR_INIT;
    int r = config_load_whole(job->actions->in, &g, &err);
    if (r == 0 && !gen_ok(g))
        r = error_set(&err, -EINVAL, "config.yaml is not valid");
    if (r == 0 && job->with_genconf)
        r = genconf_make(job->actions->in, g, &err);
    if (job->with_genconf && r < 0)
        job_problem(job, g, &err);
    if (!job->with_chain)
        return;
    const struct action_options options = {
        .record_host_keys = job->actions->options->record_host_keys,
        .retry = job->retry,
        .cancel = &job->actions->cancel};
    struct action_result result = {0};
    if (r == 0)
        r = action_run(job->actions->in, g, job->action, &options, &result, &err);
    if (r < 0)
        write_failed_state(job, &err);
    action_result_done(&result);
}

static void job_on_pool(struct loop_work *w)
{
    job_work(w);
    OPENSSL_thread_stop(); /* the pool's threads know nothing of what it keeps for each */
}

static void start_job(struct web_job *job);

static void job_done(struct loop_work *w)
{
    struct web_job *job = container_of(w, struct web_job, work);
    struct web_actions *actions = job->actions;
    actions->job = NULL;
    if (job->req && job->problems) {
        _cleanup_buf_ struct buf body = BUF_INIT;
        buf_printf(&body, "{\"errors\": %s}", job->problems);
        http_respond_json(job->req, 400, &body);
    } else if (job->req && !actions->stopping) {
        struct web_job *next = xnew(struct web_job);
        *next = (struct web_job){.actions = actions, .action = job->action, .with_chain = true};
        _cleanup_free_ char *status = xasprintf("%s started", action_name(job->action));
        answer_status(job->req, status);
        start_job(next);
    }
    if (job->req)
        http_request_unref(job->req);
    free(job->problems);
    free(job);
    if (actions->stopping)
        loop_stop(actions->loop);
}

static void start_job(struct web_job *job)
{
    job->actions->job = job;
    job->actions->current = action_name(job->action);
    job->work.work = job_on_pool;
    job->work.done = job_done;
    loop_work_start(job->actions->loop, &job->work);
}

/* ---- actions ---- */

static bool action_of(struct http_request *req, enum action *ret)
{
    struct str name = http_route_var(req, "action");
    for (int i = ACTION_PREFLIGHT; i <= ACTION_POSTFLIGHT; i++) {
        if (str_eq_c(name, action_name((enum action)i))) {
            *ret = (enum action)i;
            return true;
        }
    }
    http_respond_text(req, 404, "404: Not Found");
    return false;
}

static json_t *state_of(const struct web_actions *actions, enum action action)
{
    _cleanup_free_ char *path = state_path(actions->in, action);
    json_t *state = NULL;
    return chain_state_read(path, &state, NULL) == 0 ? state : NULL;
}

void web_actions_get(struct web_actions *actions, struct http_request *req)
{
    enum action action;
    if (!action_of(req, &action))
        return;
    json_t *state = state_of(actions, action);
    web_answer_take(req, 200, state ? state : json_object());
}

/* Hosts of a state that did not succeed. */
static json_t *unsuccessful(const json_t *state)
{
    json_t *out = json_array(), *host;
    const char *name;
    json_object_foreach(json_object_get(state, "hosts"), name, host)
    {
        if (!streq(json_str_at(host, "host_status", ""), "success"))
            json_array_append_new(out, json_string(name));
    }
    return out;
}

static bool wants_retry(struct http_request *req)
{
    _cleanup_json_ json_t *body = NULL;
    struct http_params params;
    if (str_eq_c(http_request_param(req, "retry"), "true"))
        return true;
    if (req->body.n == 0)
        return false;
    if (json_parse(req->body.p, req->body.n, &body, NULL) == 0)
        return json_bool_at(body, "retry", streq(json_str_at(body, "retry", ""), "true"));
    return http_params_parse(req->body, &req->arena, &params) == 0 &&
           str_eq_c(http_params_get(&params, "retry"), "true");
}

static struct web_job *job_new(struct web_actions *actions, enum action action)
{
    struct web_job *job = xnew(struct web_job);
    *job = (struct web_job){.actions = actions, .action = action, .with_chain = true};
    return job;
}

void web_actions_post(struct web_actions *actions, struct http_request *req)
{
    enum action action;
    if (!action_of(req, &action))
        return;
    const char *name = action_name(action);
    _cleanup_json_ json_t *state = state_of(actions, action);
    _cleanup_free_ char *text = NULL;
    if (actions->job && actions->job->action == action) {
        text = xasprintf("%s is running, skipping", name);
        answer_status(req, text);
        return;
    }
    if (actions->job) {
        web_answer_take(
            req, 409, json_pack("{s:s}", "error", "another action runs; wait for its end"));
        return;
    }
    if (action == ACTION_DEPLOY && state && wants_retry(req)) {
        struct web_job *job = job_new(actions, action);
        job->retry = true;
        web_answer_take(
            req, 200, json_pack("{s:s,s:o}", "status", "retried", "details", unsuccessful(state)));
        start_job(job);
        return;
    }
    if (action == ACTION_DEPLOY && state) {
        answer_status(req, "deploy was already executed, skipping");
        return;
    }
    _cleanup_free_ char *path = state_path(actions->in, action);
    (void)unlink(path);
    struct web_job *job = job_new(actions, action);
    if (action == ACTION_PREFLIGHT) {
        /* The answer waits until there is something to install. */
        job->with_chain = false;
        job->with_genconf = true;
        job->req = req;
        http_request_ref(req);
    } else {
        text = xasprintf("%s started", name);
        answer_status(req, text);
    }
    start_job(job);
}

static void remove_states(const struct installer *in)
{
    for (int i = ACTION_PREFLIGHT; i <= ACTION_POSTFLIGHT; i++) {
        _cleanup_free_ char *path = state_path(in, (enum action)i);
        (void)unlink(path); /* absent is fine, and what stays is shown as it is */
    }
}

json_t *web_actions_results(const struct web_actions *actions)
{
    json_t *all = json_object();
    for (int i = ACTION_PREFLIGHT; i <= ACTION_POSTFLIGHT; i++) {
        json_t *state = state_of(actions, (enum action)i);
        if (state)
            json_object_set_new(all, action_name((enum action)i), state);
    }
    return all;
}

int web_actions_init(struct web_actions *actions, struct error *err)
{
    actions->current = "";
    actions->cancel.fd = -1;
    int r = ssh_cancel_init(&actions->cancel, err);
    if (r == 0)
        remove_states(actions->in);
    return r;
}

void web_actions_done(struct web_actions *actions)
{
    ssh_cancel_done(&actions->cancel);
}

void web_actions_stop(struct web_actions *actions)
{
    actions->stopping = true;
    ssh_cancel_raise(&actions->cancel);
    if (!actions->job)
        loop_stop(actions->loop);
}
