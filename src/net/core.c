#include "net/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parse.h"

enum { ZK_NAMES = 5 };

struct net_core {
    struct net_config config;
    struct names names;
    struct map agents, frameworks, tasks; /* tasks by "framework/task" */
    struct map task_keys;                 /* the same, owner of the keys */
    struct map aliases;
    struct gifts masters, fixed;
    bool has_leader, loaded;
    struct address leader;
    uint16_t leader_port;
    void (*on_task)(void *userdata, struct net_task *t, const char *framework, bool gone);
    void *on_task_userdata;
};

/* ---- names that are there without any task ---- */

static void give(struct gifts *g, struct names *n, const char *name, const char *ip)
{
    struct address a;
    if (address_parse(ip, &a) == 0)
        gifts_ip(g, n, str_of(name), &a);
}

static void fixed_names(struct net_core *c)
{
    give(&c->fixed, &c->names, "ready.spartan", "127.0.0.1");
    give(&c->fixed, &c->names, "ns.spartan", "198.51.100.1");
    give(&c->fixed, &c->names, "localhost", "127.0.0.1");
    gifts_ip(&c->fixed, &c->names, STR("thisnode.thisdcos.directory"), &c->config.node);
    VEC_FOREACH (a, &c->config.public)
        gifts_ip(&c->fixed, &c->names, STR("public.thisnode.thisdcos.directory"), a);
    VEC_FOREACH (a, &c->config.listeners)
        gifts_ip(&c->fixed, &c->names, STR("ns1.mesos"), a);
}

/* "master3.mesos", "zk-3.zk" */
static void numbered(struct net_core *c, struct gifts *g, const char *before, size_t i,
    const char *after, const struct address *a)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%s%zu%s", before, i, after);
    gifts_ip(g, &c->names, str_of(name), a);
}

static void master_names(struct net_core *c)
{
    struct gifts old = c->masters, *g = &c->masters;
    c->masters = (struct gifts){0};
    VEC(struct address) all = {0};
    VEC_FOREACH (a, &c->config.masters)
        vec_push(&all, *a);
    bool listed = false;
    VEC_FOREACH (a, &all)
        listed = listed || (c->has_leader && address_eq(a, &c->leader));
    if (c->has_leader && !listed)
        vec_push(&all, c->leader);
    for (size_t i = 0; i < all.n; i++) {
        gifts_ip(g, &c->names, STR("master.mesos"), &all.items[i]);
        gifts_ip(g, &c->names, STR("master.dcos.thisdcos.directory"), &all.items[i]);
        numbered(c, g, "master", i, ".mesos", &all.items[i]);
    }
    const struct address *zk = c->config.zk.n > 0 ? c->config.zk.items : all.items;
    size_t n_zk = c->config.zk.n > 0 ? c->config.zk.n : all.n;
    for (size_t i = 0; i < ZK_NAMES && n_zk > 0; i++)
        numbered(c, g, "zk-", i + 1, ".zk", &zk[i % n_zk]);
    if (c->has_leader) {
        gifts_ip(g, &c->names, STR("leader.mesos"), &c->leader);
        gifts_ip(g, &c->names, STR("leader.dcos.thisdcos.directory"), &c->leader);
        gifts_target(
            g, &c->names, STR("_leader._tcp.mesos"), DNS_SRV, STR("leader.mesos"), c->leader_port);
        gifts_target(
            g, &c->names, STR("_leader._udp.mesos"), DNS_SRV, STR("leader.mesos"), c->leader_port);
    }
    vec_done(&all);
    gifts_clear(&old, &c->names);
}

struct net_core *net_core_new(const struct net_config *config)
{
    struct net_core *c = xnew(struct net_core);
    c->config = *config;
    fixed_names(c);
    master_names(c);
    return c;
}

void net_core_leader(struct net_core *c, const struct address *ip, uint16_t port)
{
    if (!ip)
        return;
    if (c->has_leader && address_eq(ip, &c->leader) && port == c->leader_port)
        return;
    c->has_leader = true;
    c->leader = *ip;
    c->leader_port = port;
    master_names(c);
}

static int by_address(const void *a, const void *b)
{
    return address_cmp(a, b);
}

void net_core_masters(struct net_core *c, const struct address *masters, size_t n)
{
    VEC(struct address) list = {0};
    for (size_t i = 0; i < n; i++)
        vec_push(&list, masters[i]);
    if (n > 0)
        qsort(list.items, n, sizeof(list.items[0]), by_address);
    bool same = c->config.masters.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = address_eq(&list.items[i], &c->config.masters.items[i]);
    vec_clear(&c->config.masters);
    VEC_FOREACH (a, &list)
        vec_push(&c->config.masters, *a);
    vec_done(&list);
    if (!same)
        master_names(c);
}

void net_core_zk(struct net_core *c, const struct address *servers, size_t n)
{
    bool same = c->config.zk.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = address_eq(&servers[i], &c->config.zk.items[i]);
    if (same)
        return;
    vec_clear(&c->config.zk);
    for (size_t i = 0; i < n; i++)
        vec_push(&c->config.zk, servers[i]);
    master_names(c);
}

int net_core_alias(struct net_core *c, const char *name, const char *target, struct error *err)
{
    static const char *const ours[] = {"l4lb", "mesos", "dcos", "thisnode", "dclb"};
    static const char SUFFIX[] = ".thisdcos.directory";
    if (!has_suffix(name, SUFFIX) || !name_valid(str_of(name)) || !name_valid(str_of(target)))
        return error_set(err, -EINVAL,
            "%s: an alias is a name below thisdcos.directory and a name that it stands for", name);
    struct str zone = {name, strlen(name) - (sizeof(SUFFIX) - 1)};
    for (size_t i = zone.n; i > 0; i--)
        if (zone.p[i - 1] == '.') {
            zone = (struct str){zone.p + i, zone.n - i};
            break;
        }
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        if (str_eq_c(zone, ours[i]))
            return error_set(err, -EINVAL, "%s: the zone %s has records of its own", name, ours[i]);
    _cleanup_free_ char *key = xasprintf(STR_FMT "%s", STR_ARG(zone), SUFFIX);
    if (!map_get(&c->aliases, key)) {
        map_put(&c->aliases, key, key);
        key = NULL;
    }
    gifts_target(&c->fixed, &c->names, str_of(name), DNS_CNAME, str_of(target), 0);
    return 0;
}

/* ---- tasks ---- */

static void task_refresh(struct net_core *c, struct net_task *t)
{
    const struct net_framework *f = map_get(&c->frameworks, t->framework_id);
    const struct net_agent *a = map_get(&c->agents, t->agent_id);
    if (a && a->has_ip) {
        t->has_agent_ip = true;
        t->agent_ip = a->ip;
    }
    const struct task_view v = {
        .config = &c->config, .framework = f ? f->name : NULL, .known_agent = a != NULL};
    task_records(t, &v, &c->names);
    if (c->on_task)
        c->on_task(c->on_task_userdata, t, v.framework, false);
}

static char *task_key(const char *framework, const char *task)
{
    return xasprintf("%s/%s", framework, task);
}

static void task_remove(struct net_core *c, const char *key)
{
    struct net_task *t = map_remove(&c->tasks, key);
    char *owned = map_remove(&c->task_keys, key);
    if (t) {
        gifts_clear(&t->mesos, &c->names);
        gifts_clear(&t->dcos, &c->names);
        if (c->on_task)
            c->on_task(c->on_task_userdata, t, NULL, true);
        net_task_free(t);
    }
    free(owned);
}

static bool over(Mesos__V1__TaskState state)
{
    switch (state) {
    case MESOS__V1__TASK_STATE__TASK_STAGING:
    case MESOS__V1__TASK_STATE__TASK_STARTING:
    case MESOS__V1__TASK_STATE__TASK_RUNNING:
    case MESOS__V1__TASK_STATE__TASK_KILLING:
    case MESOS__V1__TASK_STATE__TASK_UNREACHABLE:
        return false;
    default:
        return true;
    }
}

static void task_added(struct net_core *c, const Mesos__V1__Task *w)
{
    struct net_task *t = w ? net_task_new(w) : NULL;
    if (!t)
        return;
    char *key = task_key(t->framework_id, t->id);
    struct net_task *old = map_get(&c->tasks, key);
    if (over(t->state)) {
        task_remove(c, key);
        net_task_free(t);
        free(key);
        return;
    }
    if (old) {
        /* The new one takes over what the old one gave, so that nothing is missing meanwhile. */
        t->mesos = old->mesos;
        t->dcos = old->dcos;
        t->vips = old->vips;
        t->has_agent_ip = old->has_agent_ip;
        t->agent_ip = old->agent_ip;
        map_put(&c->tasks, map_get(&c->task_keys, key), t);
        net_task_free(old);
        free(key);
    } else {
        map_put(&c->task_keys, key, key);
        map_put(&c->tasks, key, t);
    }
    task_refresh(c, t);
}

static void task_updated(struct net_core *c, const Mesos__V1__Master__Event__TaskUpdated *u)
{
    if (!u || !u->framework_id || !u->framework_id->value || !u->status || !u->status->task_id ||
        !u->status->task_id->value)
        return;
    _cleanup_free_ char *key = task_key(u->framework_id->value, u->status->task_id->value);
    struct net_task *t = map_get(&c->tasks, key);
    if (!t)
        return;
    t->state = u->has_state ? u->state : u->status->state;
    if (over(t->state)) {
        task_remove(c, key);
        return;
    }
    net_task_status(t, u->status);
    task_refresh(c, t);
}

static void refresh_where(struct net_core *c, const char *framework_id, const char *agent_id)
{
    MAP_FOREACH (e, &c->tasks) {
        struct net_task *t = e->value;
        if ((framework_id && streq(t->framework_id, framework_id)) ||
            (agent_id && streq(t->agent_id, agent_id)))
            task_refresh(c, t);
    }
}

/* ---- agents ---- */

/* "slave(1)@IP:PORT", or the host name when it is an address. */
static void agent_address(
    struct net_agent *a, const Mesos__V1__Master__Response__GetAgents__Agent *w)
{
    char ip[ADDRESS_TEXT];
    const char *from = w->pid ? strrchr(w->pid, '@') : NULL;
    const char *colon = from ? strrchr(from, ':') : NULL;
    a->port = w->agent_info->has_port ? (uint16_t)w->agent_info->port : 5051;
    if (colon) {
        (void)parse_port(str_of(colon + 1), &a->port);
        struct str host = {from + 1, (size_t)(colon - from) - 1};
        if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
            host = (struct str){host.p + 1, host.n - 2};
        (void)snprintf(ip, sizeof(ip), STR_FMT, (int)MIN(host.n, sizeof(ip) - 1), host.p);
        a->has_ip = address_parse(ip, &a->ip) == 0;
    }
    if (!a->has_ip && w->agent_info->hostname)
        a->has_ip = address_parse(w->agent_info->hostname, &a->ip) == 0;
}

static void agent_free(struct net_core *c, struct net_agent *a)
{
    gifts_clear(&a->gifts, &c->names);
    free(a->id);
    free(a->hostname);
    free(a);
}

/* What the master did not tell of an agent that it now knows, or has given up. */
static void drop_stale(struct net_core *c, const char *agent_id)
{
    MAP_FOREACH (e, &c->tasks) {
        const struct net_task *t = e->value;
        if (t->stale && streq(t->agent_id, agent_id))
            task_remove(c, e->key);
    }
}

static void agent_added(struct net_core *c, const Mesos__V1__Master__Response__GetAgents__Agent *w)
{
    if (!w || !w->agent_info || !w->agent_info->id || !w->agent_info->id->value)
        return;
    struct net_agent *a = xnew(struct net_agent);
    a->id = xstrdup(w->agent_info->id->value);
    a->hostname = xstrdup(w->agent_info->hostname ? w->agent_info->hostname : "");
    agent_address(a, w);
    if (a->has_ip) {
        gifts_ip(&a->gifts, &c->names, STR("slave.mesos"), &a->ip);
        gifts_target(
            &a->gifts, &c->names, STR("_slave._tcp.mesos"), DNS_SRV, STR("slave.mesos"), a->port);
    }
    struct net_agent *old = map_put(&c->agents, a->id, a);
    bool awaited = old && old->awaited;
    if (old)
        agent_free(c, old);
    if (awaited)
        drop_stale(c, a->id);
    refresh_where(c, NULL, a->id);
}

static void agent_removed(struct net_core *c, const char *id)
{
    struct net_agent *a = id ? map_remove(&c->agents, id) : NULL;
    if (!a)
        return;
    if (a->awaited)
        drop_stale(c, id);
    refresh_where(c, NULL, id);
    agent_free(c, a);
}

/* ---- frameworks ---- */

static void framework_names(struct net_core *c, struct net_framework *f)
{
    _cleanup_buf_ struct buf name = BUF_INIT;
    name_fragment(str_of(f->name), c->config.strict, &name);
    gifts_clear(&f->gifts, &c->names);
    if (name.n == 0 || !f->has_ip)
        return;
    buf_puts(&name, ".mesos");
    gifts_ip(&f->gifts, &c->names, buf_str(&name), &f->ip);
}

static void framework_free(struct net_core *c, struct net_framework *f)
{
    gifts_clear(&f->gifts, &c->names);
    free(f->id);
    free(f->name);
    free(f->host);
    free(f);
}

static void framework_put(struct net_core *c, const Mesos__V1__FrameworkInfo *w)
{
    if (!w || !w->id || !w->id->value || !w->name)
        return;
    struct net_framework *f = xnew(struct net_framework);
    f->id = xstrdup(w->id->value);
    f->name = xstrdup(w->name);
    f->host = w->hostname && w->hostname[0] ? xstrdup(w->hostname) : NULL;
    f->has_ip = f->host && address_parse(f->host, &f->ip) == 0;
    struct net_framework *old = map_put(&c->frameworks, f->id, f);
    bool renamed = !old || !streq(old->name, f->name);
    if (old && !f->has_ip && old->has_ip && streq(old->host, f->host)) {
        f->has_ip = true;
        f->ip = old->ip;
    }
    if (old)
        framework_free(c, old);
    framework_names(c, f);
    if (renamed)
        refresh_where(c, f->id, NULL);
}

static void framework_removed(struct net_core *c, const Mesos__V1__FrameworkInfo *w)
{
    struct net_framework *f = w && w->id && w->id->value ? map_remove(&c->frameworks, w->id->value)
                                                         : NULL;
    if (!f)
        return;
    refresh_where(c, f->id, NULL);
    framework_free(c, f);
}

const char *net_core_unresolved(const struct net_core *c)
{
    MAP_FOREACH (e, &c->frameworks) {
        const struct net_framework *f = e->value;
        if (!f->has_ip && f->host)
            return f->host;
    }
    return NULL;
}

void net_core_resolved(struct net_core *c, const char *host, const struct address *ip)
{
    MAP_FOREACH (e, &c->frameworks) {
        struct net_framework *f = e->value;
        if (f->has_ip || !f->host || !streq(f->host, host))
            continue;
        if (ip) {
            f->has_ip = true;
            f->ip = *ip;
            framework_names(c, f);
        } else {
            /* Nobody knows it: it is not asked for again until the framework says something new. */
            free(f->host);
            f->host = NULL;
        }
    }
}

/* ---- the stream ---- */

static bool is_agent(const Mesos__V1__AgentInfo *info, const char *id)
{
    return info && info->id && info->id->value && streq(info->id->value, id);
}

static bool in_agents(const Mesos__V1__Master__Response__GetAgents *list, const char *id)
{
    for (size_t i = 0; list && i < list->n_agents; i++)
        if (is_agent(list->agents[i]->agent_info, id))
            return true;
    return false;
}

/* Those that were known and are waited for stay as they are, the others go. */
static void snapshot_agents(
    struct net_core *c, const Mesos__V1__Master__Response__GetAgents *list, struct map *ret_awaited)
{
    for (size_t i = 0; list && i < list->n_recovered_agents; i++) {
        const Mesos__V1__AgentInfo *info = list->recovered_agents[i];
        struct net_agent *a = info->id && info->id->value ? map_get(&c->agents, info->id->value)
                                                          : NULL;
        if (a && !in_agents(list, a->id)) {
            a->awaited = true;
            map_put(ret_awaited, a->id, a);
        }
    }
    MAP_FOREACH (e, &c->agents)
        if (!in_agents(list, e->key) && !map_get(ret_awaited, e->key))
            agent_removed(c, e->key);
}

static void mark(struct net_core *c, Mesos__V1__Task *const *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        task_added(c, tasks[i]);
        if (!tasks[i]->framework_id || !tasks[i]->framework_id->value || !tasks[i]->task_id ||
            !tasks[i]->task_id->value)
            continue;
        _cleanup_free_ char *key = task_key(
            tasks[i]->framework_id->value, tasks[i]->task_id->value);
        struct net_task *t = map_get(&c->tasks, key);
        if (t)
            t->stale = false;
    }
}

static void snapshot_tasks(struct net_core *c, const Mesos__V1__Master__Response__GetTasks *list,
    const struct map *awaited)
{
    MAP_FOREACH (e, &c->tasks)
        ((struct net_task *)e->value)->stale = true;
    if (list) {
        mark(c, list->unreachable_tasks, list->n_unreachable_tasks);
        mark(c, list->tasks, list->n_tasks);
    }
    MAP_FOREACH (e, &c->tasks) {
        const struct net_task *t = e->value;
        if (t->stale && !map_get(awaited, t->agent_id))
            task_remove(c, e->key);
    }
}

static void snapshot(struct net_core *c, const Mesos__V1__Master__Response__GetState *s)
{
    if (!s)
        return;
    const Mesos__V1__Master__Response__GetAgents *agents = s->get_agents;
    const Mesos__V1__Master__Response__GetFrameworks *frameworks = s->get_frameworks;
    struct map seen = MAP_INIT, awaited = MAP_INIT;
    MAP_FOREACH (e, &c->agents)
        ((struct net_agent *)e->value)->awaited = false;
    for (size_t i = 0; agents && i < agents->n_agents; i++)
        agent_added(c, agents->agents[i]);
    for (size_t i = 0; frameworks && i < frameworks->n_frameworks; i++) {
        const Mesos__V1__FrameworkInfo *info = frameworks->frameworks[i]->framework_info;
        framework_put(c, info);
        if (info && info->id && info->id->value)
            map_put(&seen, info->id->value, c);
    }
    snapshot_agents(c, agents, &awaited);
    snapshot_tasks(c, s->get_tasks, &awaited);
    MAP_FOREACH (e, &c->frameworks) {
        struct net_framework *f = e->value;
        if (map_get(&seen, f->id))
            continue;
        map_remove(&c->frameworks, f->id);
        refresh_where(c, f->id, NULL);
        framework_free(c, f);
    }
    map_done(&seen);
    map_done(&awaited);
    c->loaded = true;
}

void net_core_event(struct net_core *c, const Mesos__V1__Master__Event *e)
{
    switch (e->type) {
    case MESOS__V1__MASTER__EVENT__TYPE__SUBSCRIBED:
        if (e->subscribed)
            snapshot(c, e->subscribed->get_state);
        break;
    case MESOS__V1__MASTER__EVENT__TYPE__TASK_ADDED:
        task_added(c, e->task_added ? e->task_added->task : NULL);
        break;
    case MESOS__V1__MASTER__EVENT__TYPE__TASK_UPDATED:
        task_updated(c, e->task_updated);
        break;
    case MESOS__V1__MASTER__EVENT__TYPE__AGENT_ADDED:
        agent_added(c, e->agent_added ? e->agent_added->agent : NULL);
        break;
    case MESOS__V1__MASTER__EVENT__TYPE__AGENT_REMOVED:
        if (e->agent_removed && e->agent_removed->agent_id)
            agent_removed(c, e->agent_removed->agent_id->value);
        break;
    case MESOS__V1__MASTER__EVENT__TYPE__FRAMEWORK_ADDED:
        if (e->framework_added && e->framework_added->framework)
            framework_put(c, e->framework_added->framework->framework_info);
        break;
    case MESOS__V1__MASTER__EVENT__TYPE__FRAMEWORK_UPDATED:
        if (e->framework_updated && e->framework_updated->framework)
            framework_put(c, e->framework_updated->framework->framework_info);
        break;
    case MESOS__V1__MASTER__EVENT__TYPE__FRAMEWORK_REMOVED:
        if (e->framework_removed)
            framework_removed(c, e->framework_removed->framework_info);
        break;
    default:
        break;
    }
}

/* ---- looking ---- */

const struct names *net_core_names(const struct net_core *c)
{
    return &c->names;
}

struct names *net_core_names_rw(struct net_core *c)
{
    return &c->names;
}

const struct net_config *net_core_config(const struct net_core *c)
{
    return &c->config;
}

const struct map *net_core_tasks(const struct net_core *c)
{
    return &c->tasks;
}

const struct map *net_core_frameworks(const struct net_core *c)
{
    return &c->frameworks;
}

const struct map *net_core_agents(const struct net_core *c)
{
    return &c->agents;
}

const struct map *net_core_aliases(const struct net_core *c)
{
    return &c->aliases;
}

bool net_core_loaded(const struct net_core *c)
{
    return c->loaded;
}

uint16_t net_core_leader_port(const struct net_core *c)
{
    return c->leader_port;
}

void net_core_on_task(struct net_core *c,
    void (*fn)(void *userdata, struct net_task *t, const char *framework, bool gone),
    void *userdata)
{
    c->on_task = fn;
    c->on_task_userdata = userdata;
}

void net_core_forget(struct net_core *c)
{
    MAP_FOREACH (e, &c->tasks)
        task_remove(c, e->key);
}

void net_core_free(struct net_core *c)
{
    net_core_forget(c);
    MAP_FOREACH (e, &c->agents)
        agent_free(c, e->value);
    MAP_FOREACH (e, &c->frameworks)
        framework_free(c, e->value);
    MAP_FOREACH (e, &c->aliases)
        free(e->value);
    gifts_clear(&c->masters, &c->names);
    gifts_clear(&c->fixed, &c->names);
    map_done(&c->tasks);
    map_done(&c->task_keys);
    map_done(&c->agents);
    map_done(&c->frameworks);
    map_done(&c->aliases);
    vec_done(&c->config.public);
    vec_done(&c->config.masters);
    vec_done(&c->config.zk);
    vec_done(&c->config.listeners);
    names_done(&c->names);
    free(c);
}
