#ifndef DCOS_MARATHON_API_INTERNAL_H
#define DCOS_MARATHON_API_INTERNAL_H

/* What the parts of the API share. */

#include "marathon/api.h"
#include "marathon/core_internal.h"

/* ---- answers (api_reply.c) ---- */
/* {"message":...} */
void reply_message(struct api_reply *r, int status, const char *fmt, ...) _printf_(3, 4);
void reply_header(struct api_reply *r, const char *name, char *value); /* takes the value */
void reply_violations(struct api_reply *r, bool json_level, const struct violations *v);
void reply_refusal(struct api_reply *r, const struct refusal *refusal);
/* {"version":..,"deploymentId":..} with the deployment header. */
void reply_deployment(struct api_reply *r, int status, const char *deployment, int64_t version_us);
void reply_unknown(struct api_reply *r, const char *kind, const char *id);
void write_time(struct json_writer *w, const char *key, int64_t us);

/* ---- requests ---- */
bool param_bool(const struct api_request *req, const char *name, bool fallback);
/* Text of a parameter or NULL; lives as long as the request. */
const char *param_text(const struct api_request *req, const char *name, struct arena *arena);
/* The body as JSON; NULL after answering. Caller owns. */
json_t *request_json(const struct api_request *req, struct api_reply *r);
/* 0, or -1 after answering 422. */
int parse_version(const char *text, struct api_reply *r, int64_t *ret_us);

/* ---- permissions (api_access.c) ----
 *
 * Of the identity service, on "services:<id>" and "admin:<what>"; true where there are none. Those
 * that take a reply answer with 403 when they return false. */
bool api_may(const struct api_request *req, const char *id, unsigned action);
bool api_allow(const struct api_request *req, const char *id, unsigned action, struct api_reply *r);
bool api_allow_admin(
    const struct api_request *req, const char *what, unsigned action, struct api_reply *r);
/* The group, or anything in it, may be read. */
bool api_sees_group(const struct api_request *req, const struct group *g);
/* Each entry that creates, updates or deletes something. */
bool api_allow_change(const struct api_request *req, const struct change *ch, struct api_reply *r);
bool api_allow_deployment(
    const struct api_request *req, const struct deployment *d, struct api_reply *r);
bool api_sees_deployment(const struct api_request *req, const struct deployment *d);
bool api_allow_instances(
    const struct api_request *req, struct instance **list, size_t n, struct api_reply *r);

/* ---- what to embed ---- */
struct embed {
    const struct api_request *req; /* who asks: what they may not read is left out */
    bool tasks, counts, deployments, readiness, last_failure, stats;
    bool groups, apps; /* of group requests */
};
struct embed embed_parse(const struct api_request *req);

/* ---- documents (info.c) ---- */
void write_app_info(
    struct core *c, const struct spec *s, const struct embed *e, struct json_writer *w);
void write_counts(const struct spec *s, struct json_writer *w);
bool instance_has_task(const struct instance *i);
void write_task(const struct instance *i, bool service_ports, struct json_writer *w);
void write_deployment(const struct deployment *d, struct json_writer *w);

/* ---- definitions in requests (app_read.c) ---- */
struct app_reader {
    struct core *core;
    struct violations json, rules; /* JSON level; rules over the definition */
};
void app_reader_done(struct app_reader *a);
/*
 * One definition: `base` is what relative ids resolve against, `id` (or NULL) overrules the one
 * inside. With `existing`, fields of a partial update go over it; otherwise missing ones get
 * defaults. Paths of violations begin with `prefix`. NULL after adding violations.
 */
struct app *read_app(struct app_reader *a, const json_t *json, const char *base, const char *id,
    const struct app *existing, bool partial, const char *prefix);
/* Answers with what was found; false when there is nothing to say. */
bool app_reader_answer(const struct app_reader *a, struct api_reply *r);

/* Runs the change and answers; true on success, with the deployment filled. */
struct change_done {
    char deployment[UUID_TEXT_SIZE];
    int64_t version_us;
};
bool run_change(struct core *c, const struct api_request *req, struct change *ch, bool force,
    struct api_reply *r, struct change_done *ret);

/* ---- routes ---- */
void api_apps(struct core *c, const struct api_request *req, const char *rest,
    struct api_reply *r); /* rest: after /v2/apps, "" or "/..." */
void api_app_tasks(struct core *c, const struct api_request *req, const char *id, const char *task,
    struct api_reply *r);
void api_groups(
    struct core *c, const struct api_request *req, const char *rest, struct api_reply *r);
void api_tasks(
    struct core *c, const struct api_request *req, const char *rest, struct api_reply *r);
void api_deployments(
    struct core *c, const struct api_request *req, const char *rest, struct api_reply *r);
void api_queue(
    struct core *c, const struct api_request *req, const char *rest, struct api_reply *r);
void api_info_route(struct core *c, const struct api_info *info, struct api_reply *r);
void api_metrics(struct core *c, const struct api_info *info, bool prometheus, struct api_reply *r,
    int64_t now_us);
/* Kill without change of scale; writes "tasks". */
void kill_instances(struct core *c, const struct api_request *req, struct instance **list, size_t n,
    bool wipe, struct api_reply *r, bool single);
/* Kill and take away; answers with the deployment. */
void kill_and_scale(struct core *c, const struct api_request *req, struct instance **list, size_t n,
    struct api_reply *r);
/* Label selector: 0 and match, or -EINVAL with the reason. */
int selector_match(const char *selector, const json_t *labels, bool *ret, struct error *err);

#endif
