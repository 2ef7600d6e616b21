#include "base/alloc.h"
#include "master/shell.h"
#include "master/state_json.h"

/* The small answers of the v1 operator API, as messages: JSON or protobuf is made of them later.
 * The large ones are in state_v1_lists.c. */

typedef Mesos__V1__Master__Response Response;

#define NEW(arena, var, type, init)                                                                \
    type *var = arena_alloc((arena), sizeof(*var));                                                \
    init(var)

#define TAKE(vec, field)                                                                           \
    ret->n_##field = (vec).n;                                                                      \
    ret->field = (vec).n ? arena_memdup(arena, (vec).items, (vec).n * sizeof(*(vec).items))        \
                         : NULL;                                                                   \
    vec_done(&(vec))

/* ---- flags, metrics, version ---- */

static void fill_get_flags(
    struct shell *s, struct arena *arena, Mesos__V1__Master__Response__GetFlags *ret)
{
    ret->flags = arena_new_array(arena, Mesos__V1__Flag *, s->n_flags);
    for (size_t i = 0; i < s->n_flags; i++) {
        if (!s->flags[i].value_text)
            continue;
        NEW(arena, w, Mesos__V1__Flag, mesos__v1__flag__init);
        w->name = (char *)(uintptr_t)s->flags[i].name;
        w->value = (char *)(uintptr_t)(s->flags[i].secret ? "[redacted]" : s->flags[i].value_text);
        ret->flags[ret->n_flags++] = w;
    }
}

struct metric_list {
    struct arena *arena;
    VEC(Mesos__V1__Metric *) items;
};

static void add_metric(const char *name, double value, void *userdata)
{
    struct metric_list *list = userdata;
    NEW(list->arena, w, Mesos__V1__Metric, mesos__v1__metric__init);
    w->name = arena_strdup(list->arena, name);
    w->has_value = true;
    w->value = value;
    vec_push(&list->items, w);
}

static void fill_get_metrics(
    struct shell *s, struct arena *arena, Mesos__V1__Master__Response__GetMetrics *ret)
{
    struct metric_list list = {.arena = arena};
    each_metric(s, add_metric, &list);
    TAKE(list.items, metrics);
}

bool fill_response(const struct operator_call *c, Mesos__V1__Master__Call__Type type,
    struct arena *arena, Response *ret)
{
    struct shell *s = c->s;
    ret->has_type = true;
    switch (type) {
    case MESOS__V1__MASTER__CALL__TYPE__GET_HEALTH: {
        NEW(arena, w, Mesos__V1__Master__Response__GetHealth,
            mesos__v1__master__response__get_health__init);
        w->has_healthy = w->healthy = true;
        ret->type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_HEALTH;
        ret->get_health = w;
        return true;
    }
    case MESOS__V1__MASTER__CALL__TYPE__GET_FLAGS: {
        NEW(arena, w, Mesos__V1__Master__Response__GetFlags,
            mesos__v1__master__response__get_flags__init);
        fill_get_flags(s, arena, w);
        ret->type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_FLAGS;
        ret->get_flags = w;
        return true;
    }
    case MESOS__V1__MASTER__CALL__TYPE__GET_VERSION: {
        NEW(arena, w, Mesos__V1__Master__Response__GetVersion,
            mesos__v1__master__response__get_version__init);
        NEW(arena, info, Mesos__V1__VersionInfo, mesos__v1__version_info__init);
        info->version = (char *)(uintptr_t)s->version;
        info->build_date = info->build_user = (char *)(uintptr_t) "";
        info->has_build_time = true;
        w->version_info = info;
        ret->type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_VERSION;
        ret->get_version = w;
        return true;
    }
    case MESOS__V1__MASTER__CALL__TYPE__GET_METRICS: {
        NEW(arena, w, Mesos__V1__Master__Response__GetMetrics,
            mesos__v1__master__response__get_metrics__init);
        fill_get_metrics(s, arena, w);
        ret->type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_METRICS;
        ret->get_metrics = w;
        return true;
    }
    case MESOS__V1__MASTER__CALL__TYPE__GET_MASTER: {
        NEW(arena, w, Mesos__V1__Master__Response__GetMaster,
            mesos__v1__master__response__get_master__init);
        NEW(arena, info, Mesos__V1__MasterInfo, mesos__v1__master_info__init);
        master_info_init(s->core, arena, info);
        w->master_info = info;
        w->has_start_time = w->has_elected_time = true;
        w->start_time = (double)s->start_us / 1e6;
        w->elected_time = (double)s->elected_us / 1e6;
        ret->type = MESOS__V1__MASTER__RESPONSE__TYPE__GET_MASTER;
        ret->get_master = w;
        return true;
    }
    default:
        return false;
    }
}
