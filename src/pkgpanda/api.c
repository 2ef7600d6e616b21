#include "pkgpanda/api.h"

#include <errno.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "http/server.h"
#include "json/writer.h"
#include "pkgpanda/repository.h"

enum { BODY_MAX = 1024 * 1024 };

struct api {
    const struct install *in;
    struct loop *loop;
    struct http_server *server;
    unsigned open; /* requests that are not over */
    bool stopping;
};

/* A change, on the pool: it waits for disks, downloads and systemd. */
struct job {
    struct loop_work work;
    struct api *api;
    struct http_request *req;
    int (*run)(struct job *job); /* returns the HTTP status */
    char *id, *url;
    struct strings ids, missing;
    struct error err;
    int status;
};

static void answer_error(
    struct http_request *req, int status, const char *message, const struct strings *missing)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_field_string(&w, "error", message);
    if (missing && missing->n > 0) {
        jw_key(&w, "missing_packages");
        jw_begin_array(&w);
        for (size_t i = 0; i < missing->n; i++)
            jw_string(&w, missing->items[i]);
        jw_end_array(&w);
    }
    jw_end_object(&w);
    http_respond_json(req, status, &body);
}

static void answer_ids(struct http_request *req, int r, const struct strings *ids, struct error *e)
{
    if (r < 0) {
        answer_error(req, 500, e->msg, NULL);
        return;
    }
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_array(&w);
    for (size_t i = 0; i < ids->n; i++)
        jw_string(&w, ids->items[i]);
    jw_end_array(&w);
    http_respond_json(req, 200, &body);
}

static void answer_package(struct http_request *req, const struct package *p)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_field_string(&w, "id", p->id);
    jw_field_string(&w, "name", p->name);
    jw_field_string(&w, "version", p->version);
    jw_end_object(&w);
    http_respond_json(req, 200, &body);
}

/* ---- jobs ---- */

static void job_free(struct job *job)
{
    http_request_unref(job->req);
    strings_done(&job->ids);
    strings_done(&job->missing);
    free(job->id);
    free(job->url);
    free(job);
}

static void job_work(struct loop_work *w)
{
    struct job *job = container_of(w, struct job, work);
    job->status = job->run(job);
    OPENSSL_thread_stop(); /* what it keeps for this thread: the pool's never end */
}

static void job_done(struct loop_work *w)
{
    struct job *job = container_of(w, struct job, work);
    if (job->status == 204)
        http_respond(job->req, 204, NULL, NULL, 0);
    else
        answer_error(job->req, job->status, job->err.msg, &job->missing);
    job_free(job);
}

static struct job *job_new(struct http_request *req, struct api *api, int (*run)(struct job *job))
{
    struct job *job = xnew(struct job);
    job->work.work = job_work;
    job->work.done = job_done;
    job->api = api;
    job->req = req;
    job->run = run;
    http_request_ref(req);
    return job;
}

static int run_fetch(struct job *job)
{
    _cleanup_(trust_freep)
    struct trust *trust = NULL;
    const struct install *in = job->api->in;
    int r = trust_load_host(in->config_dir, false, &trust, &job->err);
    if (r == 0)
        r = repository_fetch(in->repository, job->url, job->id, trust, &job->err);
    return r < 0 ? 500 : 204;
}

static int run_remove(struct job *job)
{
    const struct install *in = job->api->in;
    _cleanup_strings_ struct strings active = {0};
    int r = install_active(in, &active, &job->err);
    if (r < 0 && r != -ENOENT)
        return 500;
    if (strings_has(&active, job->id)) {
        error_set(&job->err, -EBUSY, "Package %s is active, so it can't be removed.", job->id);
        return 409;
    }
    return repository_remove(in->repository, job->id, &job->err) < 0 ? 500 : 204;
}

static int run_activate(struct job *job)
{
    const struct install *in = job->api->in;
    for (size_t i = 0; i < job->ids.n; i++)
        if (!repository_has(in->repository, job->ids.items[i]))
            strings_add(&job->missing, job->ids.items[i]);
    if (job->missing.n > 0) {
        error_set(&job->err, -ENOENT, "Not all packages in the request are present on this node.");
        strings_sort(&job->missing);
        return 409;
    }
    int r = install_activate(in, &job->ids, &job->err);
    return r == 0 ? 204 : (r == -EINVAL ? 409 : 500);
}

/* ---- handlers ---- */

static char *id_of(struct http_request *req)
{
    return str_dup(http_route_var(req, "id"));
}

static void get_repository(struct http_request *req, void *userdata)
{
    struct api *api = userdata;
    _cleanup_strings_ struct strings ids = {0};
    struct error err = ERROR_INIT;
    int r = repository_list(api->in->repository, &ids, &err);
    answer_ids(req, r, &ids, &err);
}

static void get_active(struct http_request *req, void *userdata)
{
    struct api *api = userdata;
    _cleanup_strings_ struct strings ids = {0};
    struct error err = ERROR_INIT;
    int r = install_active(api->in, &ids, &err);
    answer_ids(req, r, &ids, &err);
}

static void answer_one(struct http_request *req, struct api *api, const char *id)
{
    _cleanup_(package_freep)
    struct package *p = NULL;
    struct error err = ERROR_INIT;
    int r = package_load(api->in->repository, id, &p, &err);
    if (r == 0)
        answer_package(req, p);
    else
        answer_error(req, r == -ENOENT || r == -EINVAL ? 404 : 500, err.msg, NULL);
}

static void get_repository_one(struct http_request *req, void *userdata)
{
    _cleanup_free_ char *id = id_of(req);
    answer_one(req, userdata, id);
}

static void get_active_one(struct http_request *req, void *userdata)
{
    struct api *api = userdata;
    _cleanup_free_ char *id = id_of(req);
    _cleanup_strings_ struct strings ids = {0};
    struct error err = ERROR_INIT;
    struct package_id parts;
    if (package_id_parse(id, &parts, &err) < 0)
        answer_error(req, 404, err.msg, NULL);
    else if (install_active(api->in, &ids, &err) < 0)
        answer_error(req, 500, err.msg, NULL);
    else if (strings_has(&ids, id))
        answer_one(req, api, id);
    else {
        error_set(&err, -ENOENT, "Package %s is not active.", id);
        answer_error(req, 404, err.msg, NULL);
    }
}

static void post_repository(struct http_request *req, void *userdata)
{
    struct api *api = userdata;
    _cleanup_free_ char *id = id_of(req);
    _cleanup_json_ json_t *body = NULL;
    struct package_id parts;
    struct error err = ERROR_INIT;
    if (package_id_parse(id, &parts, &err) < 0) {
        answer_error(req, 400, err.msg, NULL);
        return;
    }
    const char *url = json_parse(req->body.p, req->body.n, &body, NULL) == 0
                          ? json_str_at(body, "repository_url", NULL)
                          : NULL;
    if (!url || !*url) {
        answer_error(req, 400, "No repository_url in the request's JSON body.", NULL);
        return;
    }
    struct job *job = job_new(req, api, run_fetch);
    job->id = TAKE_PTR(id);
    job->url = xstrdup(url);
    loop_work_start(api->loop, &job->work);
}

static void delete_repository(struct http_request *req, void *userdata)
{
    struct api *api = userdata;
    _cleanup_free_ char *id = id_of(req);
    struct package_id parts;
    struct error err = ERROR_INIT;
    if (package_id_parse(id, &parts, &err) < 0) {
        answer_error(req, 404, err.msg, NULL);
    } else if (!repository_has(api->in->repository, id)) {
        error_set(&err, -ENOENT, "Package %s not found.", id);
        answer_error(req, 404, err.msg, NULL);
    } else {
        struct job *job = job_new(req, api, run_remove);
        job->id = TAKE_PTR(id);
        loop_work_start(api->loop, &job->work);
    }
}

static void put_active(struct http_request *req, void *userdata)
{
    struct api *api = userdata;
    _cleanup_json_ json_t *body = NULL;
    bool fine = json_parse(req->body.p, req->body.n, &body, NULL) == 0 && json_is_array(body);
    size_t i;
    json_t *value;
    if (fine) {
        json_array_foreach(body, i, value) fine = fine && json_is_string(value);
    }
    if (!fine) {
        answer_error(req, 400, "The request's body must be a JSON list of package ids.", NULL);
        return;
    }
    struct job *job = job_new(req, api, run_activate);
    json_array_foreach(body, i, value) strings_add(&job->ids, json_string_value(value));
    loop_work_start(api->loop, &job->work);
}

static void redirect(struct http_request *req, void *userdata)
{
    http_set_header_f(req, "Location", "%.*s/", STR_ARG(req->raw_path));
    http_respond(req, 301, NULL, NULL, 0);
}

/* ---- serving ---- */

static void maybe_end(struct api *api)
{
    if (api->stopping && api->open == 0)
        loop_stop(api->loop);
}

static void on_close(struct http_request *req)
{
    struct api *api = req->userdata;
    api->open--;
    maybe_end(api);
}

static void handle(struct http_request *req, void *userdata)
{
    static const struct http_route routes[] = {
        {1u << HTTP_GET, "/repository", redirect},
        {1u << HTTP_GET, "/repository/", get_repository},
        {1u << HTTP_GET, "/repository/:id", get_repository_one},
        {1u << HTTP_POST, "/repository/:id", post_repository, .body_max = BODY_MAX},
        {1u << HTTP_DELETE, "/repository/:id", delete_repository},
        {1u << HTTP_GET, "/active", redirect},
        {1u << HTTP_GET, "/active/", get_active},
        {1u << HTTP_GET, "/active/:id", get_active_one},
        {1u << HTTP_PUT, "/active/", put_active, .body_max = BODY_MAX},
    };
    struct api *api = userdata;
    req->userdata = api;
    req->on_close = on_close;
    api->open++;
    if (api->stopping)
        answer_error(req, 503, "The service is stopping.", NULL);
    else
        http_route(req, routes, ARRAY_SIZE(routes), api);
}

static void on_signal(void *userdata, int signum)
{
    struct api *api = userdata;
    log_info("ending signal=%d requests=%u", signum, api->open);
    api->stopping = true;
    maybe_end(api);
}

static int give_to_group(const struct api_options *o, struct error *err)
{
    if (!o->socket_group)
        return 0;
    char memory[16384];
    struct group gr, *found = NULL;
    int code = getgrnam_r(o->socket_group, &gr, memory, sizeof(memory), &found);
    if (code || !found)
        return error_set(err, -EINVAL, "Group %s does not exist on this host.", o->socket_group);
    return chown(o->socket, (uid_t)-1, gr.gr_gid) < 0
               ? error_errno(err, -errno, "cannot give %s to group %s", o->socket, o->socket_group)
               : 0;
}

int api_run(const struct install *in, const struct api_options *options, struct error *err)
{
    struct api api = {.in = in, .loop = loop_new()};
    api.server = http_server_new(api.loop, NULL, handle, &api);
    int r = http_server_listen_unix(api.server, options->socket, 0660, err);
    if (r >= 0)
        r = give_to_group(options, err);
    struct loop_signal *term = loop_signal_new(api.loop, SIGTERM, on_signal, &api);
    struct loop_signal *intr = loop_signal_new(api.loop, SIGINT, on_signal, &api);
    if (r >= 0) {
        log_info("serving socket=%s root=%s", options->socket, in->root);
        loop_run(api.loop);
    }
    http_server_free(api.server);
    loop_signal_free(term);
    loop_signal_free(intr);
    loop_free(api.loop);
    return r;
}
