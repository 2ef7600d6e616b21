#include <strings.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "net/core.h"

/* One task, out of what the master tells of it. */

static void read_port(struct net_task *t, const Mesos__V1__Port *w)
{
    struct net_port *p = &t->ports[t->n_ports];
    *p = (struct net_port){.number = (uint16_t)w->number};
    if (w->number > UINT16_MAX)
        return;
    if (w->name && w->name[0])
        p->name = arena_strdup(&t->arena, w->name);
    if (w->protocol && w->protocol[0])
        p->protocol = arena_strdup(&t->arena, w->protocol);
    size_t n = w->labels ? w->labels->n_labels : 0;
    p->vips = arena_new_array(&t->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Label *l = w->labels->labels[i];
        if (!l->key || !l->value)
            continue;
        if (has_prefix(l->key, "VIP") || has_prefix(l->key, "vip"))
            p->vips[p->n_vips++] = arena_strdup(&t->arena, l->value);
        else if (streq(l->key, "network-scope"))
            p->host_scope = streq(l->value, "host");
    }
    t->n_ports++;
}

static void read_discovery(struct net_task *t, const Mesos__V1__DiscoveryInfo *d)
{
    if (d->name && d->name[0])
        t->discovery = arena_strdup(&t->arena, d->name);
    if (!d->ports)
        return;
    size_t n = MIN(d->ports->n_ports, (size_t)NET_TASK_PORTS_MAX);
    t->ports = arena_new_array(&t->arena, struct net_port, n + 1);
    for (size_t i = 0; i < n; i++)
        read_port(t, d->ports->ports[i]);
}

static void read_resources(struct net_task *t, const Mesos__V1__Task *w)
{
    t->host_ports = arena_new_array(&t->arena, uint16_t, NET_TASK_PORTS_MAX);
    for (size_t i = 0; i < w->n_resources; i++) {
        const Mesos__V1__Resource *r = w->resources[i];
        if (!r->name || !streq(r->name, "ports") || !r->ranges)
            continue;
        for (size_t k = 0; k < r->ranges->n_range; k++) {
            const Mesos__V1__Value__Range *range = r->ranges->range[k];
            for (uint64_t p = range->begin; p <= range->end && p <= UINT16_MAX; p++)
                if (t->n_host_ports < NET_TASK_PORTS_MAX)
                    t->host_ports[t->n_host_ports++] = (uint16_t)p;
        }
    }
}

static void read_labels(struct net_task *t, const Mesos__V1__Labels *labels)
{
    static const char PREFIX[] = "VIP_PORT";
    size_t n = labels ? labels->n_labels : 0;
    t->port_vips = arena_new_array(&t->arena, const char *, n + 1);
    t->port_vip_index = arena_new_array(&t->arena, unsigned, n + 1);
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Label *l = labels->labels[i];
        uint32_t index;
        if (!l->key || !l->value || strncasecmp(l->key, PREFIX, sizeof(PREFIX) - 1) != 0 ||
            parse_u32(str_of(l->key + sizeof(PREFIX) - 1), &index) < 0)
            continue;
        t->port_vip_index[t->n_port_vips] = index;
        t->port_vips[t->n_port_vips++] = arena_strdup(&t->arena, l->value);
    }
}

static void add_mapping(struct net_task *t, uint32_t host, uint32_t container, const char *protocol)
{
    if (host == 0 || host > UINT16_MAX || container == 0 || container > UINT16_MAX ||
        t->n_mappings == NET_TASK_PORTS_MAX)
        return;
    if (!t->mappings)
        t->mappings = arena_new_array(&t->arena, struct net_mapping, NET_TASK_PORTS_MAX);
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
            if (text && t->n_ips < NET_TASK_IPS_MAX && address_parse(text, &ip) == 0)
                t->ips[t->n_ips++] = ip;
        }
}

struct net_task *net_task_new(const Mesos__V1__Task *w)
{
    if (!w->name || !w->task_id || !w->task_id->value || !w->framework_id ||
        !w->framework_id->value || !w->agent_id || !w->agent_id->value)
        return NULL;
    struct net_task *t = xnew(struct net_task);
    t->id = arena_strdup(&t->arena, w->task_id->value);
    t->name = arena_strdup(&t->arena, w->name);
    t->framework_id = arena_strdup(&t->arena, w->framework_id->value);
    t->agent_id = arena_strdup(&t->arena, w->agent_id->value);
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
    struct arena arena = t->arena;
    arena_done(&arena);
    free(t);
}
