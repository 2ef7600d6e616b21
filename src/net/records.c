#include "net/core.h"

/*
 * The names of a running task, by the tables of mesos-dns and of the node's own zones.
 *
 * Below .mesos a task with a name in its DiscoveryInfo has all its names twice: as it stands there
 * and by the label rule.
 */

enum { HASH_CHARS = 5 };

struct build {
    struct net_task *t;
    struct names *names;
    struct buf framework; /* fragment */
    struct buf text;
    struct address ips[NET_TASK_IPS_MAX];
    size_t n_ips;
};

static struct str at(struct build *b, const char *fmt, ...) _printf_(2, 3);
static struct str at(struct build *b, const char *fmt, ...)
{
    va_list ap;
    buf_clear(&b->text);
    va_start(ap, fmt);
    buf_vprintf(&b->text, fmt, ap);
    va_end(ap);
    return buf_str(&b->text);
}

static void mesos_ips(struct build *b, const struct net_config *config)
{
    const struct net_task *t = b->t;
    for (size_t i = 0; i < config->n_ip_sources && b->n_ips == 0; i++) {
        if (config->ip_sources[i] == IP_HOST) {
            b->ips[b->n_ips++] = t->agent_ip;
            continue;
        }
        for (size_t k = 0; k < t->n_ips; k++)
            b->ips[k] = t->ips[k];
        b->n_ips = t->n_ips;
    }
}

static void srv(struct build *b, const char *task, const char *port_name, const char *protocol,
    const char *sub, const char *target, uint16_t port)
{
    static const char *const both[] = {"tcp", "udp"};
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        if (protocol && !streq(protocol, both[i]))
            continue;
        struct str name = port_name ? at(b, "_%s._%s._%s.%s%s.mesos", port_name, task, both[i],
                                          buf_cstr(&b->framework), sub)
                                    : at(b, "_%s._%s.%s%s.mesos", task, both[i],
                                          buf_cstr(&b->framework), sub);
        gifts_target(&b->t->mesos, b->names, name, DNS_SRV, str_of(target), port);
    }
}

/* "TCP", "tcp,udp" and the like as text without upper case; what is neither counts as none. */
static const char *protocol_of(const struct net_port *p)
{
    if (!p->protocol)
        return NULL;
    struct str s = str_of(p->protocol);
    return str_ieq_c(s, "tcp") ? "tcp" : str_ieq_c(s, "udp") ? "udp" : NULL;
}

static void discovery_srv(struct build *b, const char *task, const char *target, bool strict)
{
    _cleanup_buf_ struct buf label = BUF_INIT;
    for (size_t i = 0; i < b->t->n_ports; i++) {
        const struct net_port *p = &b->t->ports[i];
        srv(b, task, NULL, protocol_of(p), "", target, p->number);
        buf_clear(&label);
        if (p->name)
            name_label(str_of(p->name), strict, &label);
        if (label.n)
            srv(b, task, buf_cstr(&label), protocol_of(p), "", target, p->number);
    }
}

static void mesos_names(struct build *b, const char *task, bool strict)
{
    struct net_task *t = b->t;
    const char *fw = buf_cstr(&b->framework);
    char hash[HASH_CHARS + 1];
    name_hash(str_of(t->id), HASH_CHARS, hash);
    const char *dash = strrchr(t->agent_id, '-');
    _cleanup_buf_ struct buf agent = BUF_INIT, canonical = BUF_INIT, target = BUF_INIT;
    name_label(str_of(dash ? dash + 1 : t->agent_id), strict, &agent);
    buf_printf(&canonical, "%s-%s-%s.%s", task, hash, buf_cstr(&agent), fw);
    for (size_t i = 0; i < b->n_ips; i++) {
        gifts_ip(&t->mesos, b->names, at(b, "%s.%s.mesos", task, fw), &b->ips[i]);
        gifts_ip(&t->mesos, b->names, at(b, "%s.mesos", buf_cstr(&canonical)), &b->ips[i]);
    }
    gifts_ip(&t->mesos, b->names, at(b, "%s.%s.slave.mesos", task, fw), &t->agent_ip);
    gifts_ip(&t->mesos, b->names, at(b, "%s.slave.mesos", buf_cstr(&canonical)), &t->agent_ip);
    buf_printf(&target, "%s.slave.mesos", buf_cstr(&canonical));
    for (size_t i = 0; i < t->n_host_ports; i++) {
        srv(b, task, NULL, NULL, ".slave", buf_cstr(&target), t->host_ports[i]);
        if (!t->discovery)
            srv(b, task, NULL, NULL, "", buf_cstr(&target), t->host_ports[i]);
    }
    if (!t->discovery)
        return;
    buf_clear(&target);
    buf_printf(&target, "%s.mesos", buf_cstr(&canonical));
    discovery_srv(b, task, buf_cstr(&target), strict);
}

static void dcos_name(
    struct build *b, const char *kind, const char *task, const struct address *ips, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gifts_ip(&b->t->dcos, b->names,
            at(b, "%s.%s.%s.dcos.thisdcos.directory", task, buf_cstr(&b->framework), kind),
            &ips[i]);
}

/* Both the task and the framework are one label here. */
static void dcos_names(struct build *b, const char *framework)
{
    struct net_task *t = b->t;
    _cleanup_buf_ struct buf task = BUF_INIT;
    name_label(str_of(t->discovery ? t->discovery : t->name), false, &task);
    buf_clear(&b->framework);
    name_label(str_of(framework), false, &b->framework);
    if (task.n == 0 || b->framework.n == 0)
        return;
    bool host = t->n_mappings > 0 || t->n_ips == 0;
    dcos_name(b, "agentip", buf_cstr(&task), &t->agent_ip, 1);
    dcos_name(b, "slaveip", buf_cstr(&task), &t->agent_ip, 1);
    dcos_name(b, "containerip", buf_cstr(&task), t->ips, t->n_ips);
    dcos_name(b, "autoip", buf_cstr(&task), host ? &t->agent_ip : t->ips, host ? 1 : t->n_ips);
}

static void lower(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++)
        buf_putc(
            out, (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] - 'A' + 'a' : text.p[i]));
}

void task_records(struct net_task *t, const struct task_view *v, struct names *names)
{
    struct gifts mesos = t->mesos, dcos = t->dcos;
    t->mesos = t->dcos = (struct gifts){0};
    if (t->state == MESOS__V1__TASK_STATE__TASK_RUNNING && v->framework && v->known_agent &&
        t->has_agent_ip) {
        struct build b = {.t = t, .names = names};
        _cleanup_buf_ struct buf raw = BUF_INIT, mangled = BUF_INIT;
        mesos_ips(&b, v->config);
        name_fragment(str_of(v->framework), v->config->strict, &b.framework);
        name_label(str_of(t->discovery ? t->discovery : t->name), v->config->strict, &mangled);
        if (b.framework.n && mangled.n)
            mesos_names(&b, buf_cstr(&mangled), v->config->strict);
        if (t->discovery)
            lower(str_of(t->discovery), &raw);
        if (b.framework.n && raw.n && !str_eq(buf_str(&raw), buf_str(&mangled)))
            mesos_names(&b, buf_cstr(&raw), v->config->strict);
        dcos_names(&b, v->framework);
        buf_done(&b.framework);
        buf_done(&b.text);
    }
    /* Old ones go last: what stays has no moment without it. */
    gifts_clear(&mesos, names);
    gifts_clear(&dcos, names);
}
