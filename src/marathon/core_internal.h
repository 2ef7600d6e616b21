#ifndef DCOS_MARATHON_CORE_INTERNAL_H
#define DCOS_MARATHON_CORE_INTERNAL_H

/* What the parts of the core share; nobody else includes it. Public functions put the time they
 * are given into core->now_us; these read it there. */

#include "marathon/core.h"

/* ---- output (output.c) ---- */
void out_put(struct core *c, const char *key, struct buf *value); /* takes the buffer's contents */
void out_delete(struct core *c, const char *key);
void out_call(struct core *c, json_t *call); /* takes the reference */
void timer_at(struct core *c, struct core_timer *t, int64_t at_us,
    void (*fn)(struct core *c, struct core_timer *t));
void timer_cancel(struct core *c, struct core_timer *t);

/* ---- events (event.c): each appends one OUT_EVENT ---- */
struct event {
    struct buf text;
    struct json_writer w;
    const char *type;
};
void event_begin(struct event *e, const char *type);
void event_end(struct core *c, struct event *e);
void event_deployment(
    struct core *c, const char *type, const struct deployment *d, const char *reason);
void event_instance(struct core *c, const struct instance *i);
void event_unknown_instance(
    struct core *c, const char *instance_id, const char *app_id, enum condition condition);
void event_status(struct core *c, const struct instance *i, const struct core_status *st);
void event_group(struct core *c, const char *group_id, int64_t version_us, const char *failure);
void event_health_check(
    struct core *c, const char *type, const struct app *a, size_t index, const struct instance *i);
void event_health(struct core *c, const struct instance *i, bool alive);
void event_instance_health(struct core *c, const struct instance *i, int healthy);
void event_unhealthy_kill(
    struct core *c, const struct instance *i, const struct health_result *h, int64_t at_us);
void event_app_terminated(struct core *c, const char *id);
void event_scheduler(struct core *c, const char *type);
void action_write(const struct action *a, struct json_writer *w, bool readiness);
void plan_write(const struct deployment *d, struct json_writer *w);

/* ---- specs and groups (tree.c) ---- */
struct spec *spec_get(struct core *c, const char *id);   /* makes the node */
struct group *group_get(struct core *c, const char *id); /* makes the node and its parents */
void spec_maybe_free(struct core *c, struct spec *s);
void spec_free(struct core *c, struct spec *s);
void tree_free(struct core *c);
void spec_mark(struct core *c, struct spec *s); /* to be looked at before the call returns */
void core_settle(struct core *c);
/* Sets the current app, keeps counters (service ports, dependents, roles). Takes a reference of
 * its own. */
void spec_set_app(struct core *c, struct spec *s, struct app *a);
void group_set_def(struct core *c, struct group *g, struct group_def *d);
void spec_add_version(struct core *c, struct spec *s, struct app *a, bool store);
void app_store(struct core *c, const struct spec *s, const struct app *a);
void spec_forget_versions(struct core *c, struct spec *s);
void group_store(struct core *c, const struct group *g);
/* fn for each app below the group (or the app itself when the id names one). */
void tree_each_app(struct core *c, const struct group *g,
    void (*fn)(struct core *c, struct spec *s, void *userdata), void *userdata);

/* ---- instances (instance.c) ---- */
struct instance *instance_new(
    struct core *c, struct spec *s, struct app *a, const char *deployment);
void instance_free(struct core *c, struct instance *i);
void instance_store(struct core *c, const struct instance *i);
int instance_load(struct core *c, const json_t *record, struct error *err);
bool instance_is_scheduled(const struct instance *i);
bool instance_is_gone(const struct instance *i);    /* counts as dead for deployments */
bool instance_counts(const struct instance *i);     /* goal running and not given up */
bool instance_is_healthy(const struct instance *i); /* running, and checks say so */
bool instance_is_ready(const struct instance *i);
void instance_set_condition(struct core *c, struct instance *i, enum condition condition);
void instance_set_goal(struct core *c, struct instance *i, enum goal goal);
void instance_requeue(struct core *c, struct instance *i);
void instance_kill(struct core *c, struct instance *i);
void instance_expunge(struct core *c, struct instance *i);
void instance_watch_launch(struct core *c, struct instance *i);
void spec_scale_check(struct core *c, struct spec *s);
/* Up to `kill` instances to take away, listed ones first; returns how many were put into `ret`. */
size_t spec_choose_victims(
    struct spec *s, const json_t *listed, size_t kill, struct instance **ret);

/* ---- launch queue (queue.c) ---- */
void queue_update(struct core *c, struct spec *s);
void queue_delay_increase(struct core *c, struct spec *s, const struct app *a);
void queue_delay_advance(struct core *c, struct spec *s, const struct app *a);
void queue_removed(struct core *c, struct spec *s);
void queue_wake(struct core *c); /* revive or suppress as needed */
void queue_role(struct core *c, const char *role);
json_t *queue_framework_roles(const struct core *c);
void offer_stats_free(struct offer_stats *s);

/* ---- task (task.c) ---- */
/* TaskInfo as JSON; ports are those chosen. */
json_t *task_info(
    const struct core *c, const struct instance *i, const struct offer *o, json_t *resources);

/* ---- deployments (deploy.c, upgrade.c) ---- */
void deployment_step(struct core *c, struct deployment *d);
struct deployment *deployment_new(struct core *c, struct change *ch);
void deployment_free(struct core *c, struct deployment *d);
void deployment_start(struct core *c, struct deployment *d);
bool restart_step(struct core *c, struct deployment *d, struct action *a);
void change_store(struct core *c, const struct change *ch);
void change_store_head(struct core *c, const struct change *ch);
int change_load(struct core *c, const char *key, const json_t *record, struct error *err);
void change_reapply(struct core *c, struct change *ch);
void history_trim(struct core *c);
/* Fills step numbers; returns the number of steps. -ELOOP when dependencies have a cycle. */
int plan_compute(struct core *c, struct change *ch);

/* ---- health (health.c) ---- */
void health_update(struct core *c, struct instance *i); /* after a change */
void health_stop(struct core *c, struct instance *i);
void health_from_task(struct core *c, struct instance *i, bool healthy);
int health_aggregate(const struct instance *i); /* -1 unknown, 0, 1 */

#endif
