#include "agent/agent.h"

#include "agent/volume_disk.h"
#include "base/alloc.h"
#include "base/log.h"

/* The folders of persistent volumes, as the core orders it: made at once, so that what is started
 * after finds them; removed on the worker pool. */

struct volume_work {
    struct loop_work work;
    struct agent *agent;
    uint64_t number;
    struct arena arena;
    const Mesos__V1__Resource *resource;
    int status;
    struct error err;
};

static void report(struct agent *a, uint64_t number, int status, const struct error *err)
{
    struct agent_now now;
    agent_now(&now);
    agent_core_volume_done(a->core, &now, number, status < 0 ? err->msg : NULL);
    agent_pump(a);
}

static void removal_work(struct loop_work *w)
{
    struct volume_work *v = container_of(w, struct volume_work, work);
    v->status = volume_destroy(v->agent->work_dir, v->resource, &v->err);
}

static void removal_done(struct loop_work *w)
{
    struct volume_work *v = container_of(w, struct volume_work, work);
    const char *id = v->resource->disk->persistence->id;
    if (v->status < 0)
        log_warn("volume cannot be removed volume=%s: %s", id, v->err.msg);
    else
        log_info("volume removed volume=%s", id);
    if (!v->agent->stopping)
        report(v->agent, v->number, v->status, &v->err);
    arena_done(&v->arena);
    free(v);
}

void agent_volume_work(struct agent *a, const struct agent_effect *e)
{
    struct volume_work *v = xnew(struct volume_work);
    v->agent = a;
    v->number = e->number;
    ProtobufCMessage *m;
    int r = wire_unpack(
        &mesos__v1__resource__descriptor, &v->arena, e->bytes.p, e->bytes.n, &m, &v->err);
    if (r >= 0) {
        v->resource = (const Mesos__V1__Resource *)m;
        if (e->type == AGENT_VOLUME_DESTROY) {
            v->work = (struct loop_work){.work = removal_work, .done = removal_done};
            loop_work_start(a->loop, &v->work);
            return;
        }
        r = volume_create(a->work_dir, v->resource, &v->err);
        if (r < 0)
            log_warn("volume cannot be made volume=%s: %s", v->resource->disk->persistence->id,
                v->err.msg);
        else
            log_info("volume made volume=%s", v->resource->disk->persistence->id);
    }
    report(a, v->number, r, &v->err);
    arena_done(&v->arena);
    free(v);
}
