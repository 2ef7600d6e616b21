#include "agent/core_internal.h"

#include <errno.h>

#include "kernel/attributes.h"

/*
 * Whether an agent may go on under its id with what its flags say now. "equal": nothing changed.
 * "additive": resources and attributes may be added, resources may grow (more of a scalar, wider
 * ranges, larger sets), and a domain may be given where there was none.
 */

enum change { CHANGE_NONE, CHANGE_ADDITION, CHANGE_OTHER };

/* Every attribute of `a` is in `b` too. */
static bool attributes_within(const Mesos__V1__AgentInfo *a, const Mesos__V1__AgentInfo *b)
{
    for (size_t i = 0; i < a->n_attributes; i++) {
        bool found = false;
        for (size_t k = 0; k < b->n_attributes && !found; k++)
            found = wire_equal(&a->attributes[i]->base, &b->attributes[k]->base);
        if (!found)
            return false;
    }
    return true;
}

static enum change attributes_change(
    const Mesos__V1__AgentInfo *old, const Mesos__V1__AgentInfo *fresh)
{
    if (!attributes_within(old, fresh))
        return CHANGE_OTHER;
    return attributes_within(fresh, old) ? CHANGE_NONE : CHANGE_ADDITION;
}

static enum change domain_change(const Mesos__V1__AgentInfo *old, const Mesos__V1__AgentInfo *fresh)
{
    if (!old->domain)
        return fresh->domain ? CHANGE_ADDITION : CHANGE_NONE;
    if (!fresh->domain || !wire_equal(&old->domain->base, &fresh->domain->base))
        return CHANGE_OTHER;
    return CHANGE_NONE;
}

static void describe_attributes(const Mesos__V1__AgentInfo *info, struct buf *out)
{
    struct json_writer w;
    jw_init(&w, out);
    attributes_write_state(&w, info->attributes, info->n_attributes);
}

static void describe_domain(const Mesos__V1__AgentInfo *info, struct buf *out)
{
    if (!info->domain) {
        buf_puts(out, "none");
        return;
    }
    struct json_writer w;
    jw_init(&w, out);
    wire_to_json(&w, &info->domain->base);
}

static int refuse(const char *id, const char *what, struct str was, struct str is,
    enum change change, struct error *err)
{
    return error_set(err, -EINVAL,
        "the agent's %s changed since it registered as %s: was %.*s, is %.*s. Start it as "
        "before%s, "
        "or remove agent.db from its work_dir: then it registers as a new agent, its tasks end, "
        "and "
        "its reservations and volumes are forgotten",
        what, id, (int)MIN(was.n, (size_t)120), was.p, (int)MIN(is.n, (size_t)120), is.p,
        change == CHANGE_ADDITION ? ", or with --reconfiguration_policy=additive" : "");
}

int agent_info_check(const Mesos__V1__AgentInfo *old, const Mesos__V1__AgentInfo *fresh,
    bool additive, struct error *err)
{
    const char *id = old->id ? old->id->value : "?";
    if (!streq(old->hostname, fresh->hostname))
        return refuse(
            id, "hostname", str_of(old->hostname), str_of(fresh->hostname), CHANGE_OTHER, err);
    if (old->port != fresh->port) {
        _cleanup_free_ char *was = xasprintf("%d", (int)old->port);
        _cleanup_free_ char *is = xasprintf("%d", (int)fresh->port);
        return refuse(id, "port", str_of(was), str_of(is), CHANGE_OTHER, err);
    }
    enum change tolerated = additive ? CHANGE_ADDITION : CHANGE_NONE;
    enum change change;
    struct buf was = BUF_INIT, is = BUF_INIT;
    const char *what = NULL;
    struct resources a = RESOURCES_INIT, b = RESOURCES_INIT;
    int r = resources_from_wire(old->resources, old->n_resources, &a, err);
    if (r >= 0)
        r = resources_from_wire(fresh->resources, fresh->n_resources, &b, err);
    if (r < 0)
        goto out;
    if ((change = attributes_change(old, fresh)) > tolerated) {
        what = "attributes";
        describe_attributes(old, &was);
        describe_attributes(fresh, &is);
    } else if ((change = domain_change(old, fresh)) > tolerated) {
        what = "domain";
        describe_domain(old, &was);
        describe_domain(fresh, &is);
    } else if ((change = !resources_contains(&b, &a) ? CHANGE_OTHER
                         : resources_equal(&a, &b)   ? CHANGE_NONE
                                                     : CHANGE_ADDITION) > tolerated) {
        what = "resources";
        resources_format(&a, &was);
        resources_format(&b, &is);
    }
    if (what)
        r = refuse(id, what, buf_str(&was), buf_str(&is), change, err);
out:
    buf_done(&was);
    buf_done(&is);
    resources_done(&a);
    resources_done(&b);
    return r;
}
