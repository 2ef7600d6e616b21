#include <strings.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "net/core.h"

/* One task, out of what the master tells of it. There may be a million: nothing is larger than it
 * has to be. */

static void *keep(struct net_task *t, void *p)
{
    vec_push(&t->owned, p);
    return p;
}

static const char *keep_text(struct net_task *t, const char *text)
{
    return keep(t, xstrdup(text));
}

/* NULL for none. */
#define keep_array(t, type, n) ((n) > 0 ? (type *)keep((t), xnew_array(type, (n))) : NULL)

static void read_port(struct net_task *t, const Mesos__V1__Port *w)
{
    struct net_port *p = &t->ports[t->n_ports];
    *p = (struct net_port){.number = (uint16_t)w->number};
    if (w->number > UINT16_MAX)
        return;
    if (w->name && w->name[0])
        p->name = keep_text(t, w->name);
    if (w->protocol && w->protocol[0])
        p->protocol = keep_text(t, w->protocol);
    size_t n = w->labels ? w->labels->n_labels : 0;
    p->vips = keep_array(t, const char *, n);
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Label *l = w->labels->labels[i];
        if (!l->key || !l->value)
            continue;
        if (has_prefix(l->key, "VIP") || has_prefix(l->key, "vip"))
            p->vips[p->n_vips++] = keep_text(t, l->value);
        else if (streq(l->key, "network-scope"))
            p->host_scope = streq(l->value, "host");
    }
    t->n_ports++;
}

static void read_discovery(struct net_task *t, const Mesos__V1__DiscoveryInfo *d)
{
    if (d->name && d->name[0])
        t->discovery = keep_text(t, d->name);
    if (!d->ports)
        return;
    size_t n = MIN(d->ports->n_ports, (size_t)NET_TASK_PORTS_MAX);
    t->ports = keep_array(t, struct net_port, n);
    for (size_t i = 0; i < n; i++)
        read_port(t, d->ports->ports[i]);
}

static void read_resources(struct net_task *t, const Mesos__V1__Task *w)
{
    uint16_t ports[NET_TASK_PORTS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < w->n_resources; i++) {
        const Mesos__V1__Resource *r = w->resources[i];
        if (!r->name || !streq(r->name, "ports") || !r->ranges)
            continue;
        for (size_t k = 0; k < r->ranges->n_range; k++) {
            const Mesos__V1__Value__Range *range = r->ranges->range[k];
            for (uint64_t p = range->begin; p <= range->end && p <= UINT16_MAX; p++)
                if (n < NET_TASK_PORTS_MAX)
                    ports[n++] = (uint16_t)p;
        }
    }
    if (n == 0)
        return;
    t->host_ports = keep(t, xmemdup(ports, n * sizeof(ports[0])));
    t->n_host_ports = n;
}

static void read_labels(struct net_task *t, const Mesos__V1__Labels *labels)
{
    static const char PREFIX[] = "VIP_PORT";
    size_t n = labels ? labels->n_labels : 0;
    t->port_vips = keep_array(t, const char *, n);
    t->port_vip_index = keep_array(t, unsigned, n);
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Label *l = labels->labels[i];
        uint32_t index;
        if (!l->key || !l->value || strncasecmp(l->key, PREFIX, sizeof(PREFIX) - 1) != 0 ||
            parse_u32(str_of(l->key + sizeof(PREFIX) - 1), &index) < 0)
            continue;
        t->port_vip_index[t->n_port_vips] = index;
        t->port_vips[t->n_port_vips++] = keep_text(t, l->value);
    }
}

static void add_mapping(struct net_task *t, uint32_t host, uint32_t container, const char *protocol)
{
    if (host == 0 || host > UINT16_MAX || container == 0 || container > UINT16_MAX ||
        t->n_mappings == NET_TASK_PORTS_MAX)
        return;
    t->mappings = xreallocarray(t->mappings, t->n_mappings + 1, sizeof(*t->mappings));
    bool udp = protocol && strcasecmp(protocol, "udp") == 0;
    t->mappings[t->n_mappings++] = (struct net_mapping){
        .host = (uint16_t)host, .container = (uint16_t)container, .tcp = !udp, .udp = udp};
}

/* Mappings stand in the container's networks, or in its Docker part. */
static void read_container(struct net_task *t, const Mesos__V1__ContainerInfo *c)
{
    for (size_t i = 0; i < c->n_network_infos; i++)
        for (size_t k = 0; k < c->network_infos[i]->n_port_mappings; k++) {
            const Mesos__V1__NetworkInfo__PortMapping *m = c->network_infos[i]->port_mappings[k];
            add_mapping(t, m->host_port, m->container_port, m->protocol);
        }
    for (size_t k = 0; c->docker && k < c->docker->n_port_mappings; k++) {
        const Mesos__V1__ContainerInfo__DockerInfo__PortMapping *m = c->docker->port_mappings[k];
        add_mapping(t, m->host_port, m->container_port, m->protocol);
    }
}

void net_task_status(struct net_task *t, const Mesos__V1__TaskStatus *s)
{
    if (s->has_healthy) {
        t->has_healthy = true;
        t->healthy = s->healthy;
    }
    const Mesos__V1__ContainerStatus *c = s->container_status;
    if (!c)
        return;
    t->n_ips = 0;
    for (size_t i = 0; i < c->n_network_infos; i++)
        for (size_t k = 0; k < c->network_infos[i]->n_ip_addresses; k++) {
            const char *text = c->network_infos[i]->ip_addresses[k]->ip_address;
            struct address ip;
            if (!text || t->n_ips == NET_TASK_IPS_MAX || address_parse(text, &ip) < 0)
                continue;
            t->ips = xreallocarray(t->ips, t->n_ips + 1, sizeof(*t->ips));
            t->ips[t->n_ips++] = ip;
        }
}

struct net_task *net_task_new(const Mesos__V1__Task *w)
{
    if (!w->name || !w->task_id || !w->task_id->value || !w->framework_id ||
        !w->framework_id->value || !w->agent_id || !w->agent_id->value)
        return NULL;
    struct net_task *t = xnew(struct net_task);
    t->id = keep_text(t, w->task_id->value);
    t->name = keep_text(t, w->name);
    t->framework_id = keep_text(t, w->framework_id->value);
    t->agent_id = keep_text(t, w->agent_id->value);
    t->state = w->state;
    t->health_defined = w->health_check != NULL;
    if (w->discovery)
        read_discovery(t, w->discovery);
    read_resources(t, w);
    read_labels(t, w->labels);
    if (w->container)
        read_container(t, w->container);
    const Mesos__V1__TaskStatus *newest = NULL;
    for (size_t i = 0; i < w->n_statuses; i++)
        if (!newest || w->statuses[i]->timestamp >= newest->timestamp)
            newest = w->statuses[i];
    if (newest)
        net_task_status(t, newest);
    return t;
}

void net_task_free(struct net_task *t)
{
    VEC_FOREACH (p, &t->owned)
        free(*p);
    vec_done(&t->owned);
    free(t->mappings);
    free(t->ips);
    free(t);
}
