#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "json/json.h"
#include "net/shell.h"
#include "zk/session.h"

#define SERVERS_LOOK_US (2 * USEC_PER_SEC)

/* Who the masters are: given, or as ZooKeeper has them. */

static int push(struct str text, struct net_config *c)
{
    char ip[ADDRESS_TEXT];
    struct address a;
    if (text.n >= sizeof(ip))
        return -EINVAL;
    memcpy(ip, text.p, text.n);
    ip[text.n] = '\0';
    if (address_parse(ip, &a) < 0)
        return -EINVAL;
    vec_push(&c->masters, a);
    vec_push(&c->zk, a);
    return 0;
}

/* ["ip", ...], as DC/OS' file master_list has them */
static int read_json(const char *text, struct net_config *c, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = json_parse(text, strlen(text), &json, err);
    for (size_t i = 0; r == 0 && i < json_array_size(json); i++) {
        const char *ip = json_string_value(json_array_get(json, i));
        if (!ip || push(str_of(ip), c) < 0)
            r = error_set(err, -EINVAL, "entry %zu is no address", i);
    }
    return r;
}

static int read_list(const char *text, struct net_config *c, struct error *err)
{
    struct str rest = str_of(text), part;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.n > 0 && push(part, c) < 0)
            return error_set(err, -EINVAL, "'" STR_FMT "' is no address", STR_ARG(part));
    }
    return 0;
}

struct addresses {
    struct address *items;
    size_t n, cap;
};

/* Servers of ZooKeeper that are given by address; one by name may be a zk-N.zk of ours. */
static void read_addresses(const char *servers, struct addresses *ret)
{
    struct str rest = str_of(servers), part;
    while (str_split(&rest, ',', &part)) {
        size_t colon = part.n;
        while (colon > 0 && part.p[colon - 1] != ':')
            colon--;
        struct str host = {part.p, colon > 0 ? colon - 1 : part.n};
        if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
            host = (struct str){host.p + 1, host.n - 2};
        struct address a;
        char ip[ADDRESS_TEXT] = "";
        if (host.n < sizeof(ip))
            memcpy(ip, host.p, host.n);
        if (address_parse(ip, &a) == 0)
            vec_push(ret, a);
    }
}

static int read_servers(const char *text, struct net_config *c, struct error *err)
{
    _cleanup_zk_url_ struct zk_url url = {0};
    struct addresses list = {0};
    int r = zk_url_parse(text, &url, err);
    if (r == 0)
        read_addresses(url.servers, &list);
    VEC_FOREACH (a, &list)
        vec_push(&c->zk, *a);
    vec_done(&list);
    return r;
}

static void look_at_servers(struct timer *t)
{
    struct net *n = container_of(t, struct net, zk_timer);
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct addresses list = {0};
    if (zk_servers_read(n->zk_file, &text) == 0)
        read_addresses(buf_cstr(&text), &list);
    if (list.n > 0)
        net_core_zk(n->core, list.items, list.n);
    vec_done(&list);
    timer_start(t, SERVERS_LOOK_US);
}

void net_servers_start(struct net *n)
{
    const char *file = getenv(ZK_SERVERS_VARIABLE);
    timer_init(&n->zk_timer, n->loop, look_at_servers);
    if (!file || !*file)
        return;
    n->zk_file = file;
    look_at_servers(&n->zk_timer);
}

int net_masters_read(
    struct net *n, const struct net_options *o, struct net_config *c, struct error *err)
{
    _cleanup_free_ char *master = NULL, *text = NULL;
    int r = zk_flag_load(o->master, &master, err);
    if (r < 0)
        return error_prefix(err, r, "--master");
    if (o->masters)
        r = zk_flag_load(o->masters, &text, err);
    if (r < 0)
        return error_prefix(err, r, "--masters");
    n->masters_of_events = zk_is_url(master) && (!text || streq(text, master));
    const char *from = text ? text : n->masters_of_events ? master : "";
    if (zk_is_url(from))
        r = read_servers(from, c, err);
    else if (from[0] == '[')
        r = read_json(from, c, err);
    else
        r = read_list(from, c, err);
    return r < 0 ? error_prefix(err, r, "--masters") : 0;
}

void net_masters_found(const struct zk_master *masters, size_t n, void *userdata)
{
    struct net *net = userdata;
    VEC(struct address) list = {0};
    for (size_t i = 0; i < n; i++) {
        struct address a;
        if (address_parse(masters[i].ip[0] ? masters[i].ip : masters[i].hostname, &a) == 0)
            vec_push(&list, a);
        else
            log_debug("a master without an address has no name here id=%s", masters[i].id);
    }
    if (list.n > 0)
        net_core_masters(net->core, list.items, list.n);
    vec_done(&list);
}

/* Who leads is told by whoever the events come from. */
static void on_leader(const struct zk_master *leader, void *userdata)
{
    (void)leader;
    (void)userdata;
}

int net_masters_start(struct net *n, const struct net_options *o, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_zk_url_ struct zk_url url = {0};
    if (!o->masters || n->masters_of_events)
        return 0;
    int r = zk_flag_load(o->masters, &text, err);
    if (r < 0 || !zk_is_url(text))
        return r;
    r = zk_url_parse(text, &url, err);
    return r < 0 ? r
                 : zk_detector_new_all(
                       n->loop, &url, 0, on_leader, net_masters_found, n, &n->masters, err);
}
