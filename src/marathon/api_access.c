/* Who may do what to which service: permissions "dcos:service:marathon:marathon:..." */

#include "base/str.h"
#include "marathon/api_internal.h"

static bool permits(
    const struct api_request *req, const char *kind, const char *id, unsigned action)
{
    if (!req->policy)
        return true;
    _cleanup_buf_ struct buf rid = BUF_INIT;
    buf_printf(&rid, "dcos:service:marathon:marathon:%s:%s", kind, id);
    return policy_allows(req->policy, req->uid, buf_cstr(&rid), action);
}

bool api_may(const struct api_request *req, const char *id, unsigned action)
{
    return permits(req, "services", id, action);
}

static bool forbid(struct api_reply *r)
{
    reply_message(r, 403, "Not Authorized to perform this action!");
    return false;
}

bool api_allow(const struct api_request *req, const char *id, unsigned action, struct api_reply *r)
{
    return api_may(req, id, action) || forbid(r);
}

bool api_allow_admin(
    const struct api_request *req, const char *what, unsigned action, struct api_reply *r)
{
    return permits(req, "admin", what, action) || forbid(r);
}

bool api_sees_group(const struct api_request *req, const struct group *g)
{
    if (!req->policy || api_may(req, g->id, POLICY_READ))
        return true;
    MAP_FOREACH (e, &g->specs) {
        const struct spec *s = e->value;
        if (s->app && api_may(req, s->id, POLICY_READ))
            return true;
    }
    MAP_FOREACH (e, &g->groups)
        if (api_sees_group(req, e->value))
            return true;
    return false;
}

/* 0 when the entry changes nothing: a group's definition names all of its services. */
static unsigned action_of(const struct change_entry *e)
{
    const void *old = e->spec ? (void *)e->spec->app : (void *)e->group->def;
    const void *new = e->spec ? (void *)e->new_app : (void *)e->new_group;
    if (!old || !new)
        return new ? POLICY_CREATE : old ? POLICY_DELETE : 0;
    bool same = e->spec && !e->restart && !e->kills &&
                streq(e->spec->app->text, e->new_app->text) &&
                e->spec->app->instances == e->new_app->instances;
    return same ? 0 : POLICY_UPDATE;
}

bool api_allow_change(const struct api_request *req, const struct change *ch, struct api_reply *r)
{
    if (!req->policy)
        return true;
    VEC_FOREACH (e, &ch->entries) {
        unsigned action = action_of(e);
        if (action && !api_may(req, e->spec ? e->spec->id : e->group->id, action))
            return forbid(r);
    }
    return true;
}

bool api_allow_deployment(
    const struct api_request *req, const struct deployment *d, struct api_reply *r)
{
    VEC_FOREACH (e, &d->change->entries)
        if (!api_may(req, e->spec ? e->spec->id : e->group->id, POLICY_UPDATE))
            return forbid(r);
    return true;
}

bool api_sees_deployment(const struct api_request *req, const struct deployment *d)
{
    VEC_FOREACH (e, &d->change->entries)
        if (api_may(req, e->spec ? e->spec->id : e->group->id, POLICY_READ))
            return true;
    return !req->policy;
}

bool api_allow_instances(
    const struct api_request *req, struct instance **list, size_t n, struct api_reply *r)
{
    for (size_t k = 0; k < n; k++)
        if (!api_may(req, list[k]->spec->id, POLICY_UPDATE))
            return forbid(r);
    return true;
}
