#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"
#include "bootstrap/bootstrap.h"

static const char USER[] = "dcos_exhibitor", FOLDER[] = "/var/lib/dcos/zookeeper";

enum {
    PEER_PORT = 2888,
    ELECTION_PORT = 3888,
    TICK_MS = 500,
    SYNC_TICKS = 4,
    INIT_MS = 20000,
    SESSION_MAX_MS = 40000,
    CONNECT_MS = 1000, /* to another server, which may be gone */
    NOTIFY_MS = 2000,  /* between attempts of an election */
};

int zookeeper_config(const char *ensemble, const char *self, const char *data, uint16_t port,
    struct buf *ret, uint32_t *ret_id, struct error *err)
{
    struct str rest = str_of(ensemble), part;
    _cleanup_buf_ struct buf members = BUF_INIT;
    uint32_t own = 0;
    while (str_split(&rest, ',', &part)) {
        uint32_t id;
        ptrdiff_t colon = str_index(part, ':');
        struct str address = {part.p + colon + 1, part.n - (size_t)colon - 1};
        if (colon <= 0 || parse_u32((struct str){part.p, (size_t)colon}, &id) < 0 || id < 1 ||
            id > 255 || !address.n)
            return error_set(err, -EINVAL,
                "EXHIBITOR_STATICENSEMBLE: expected ID:ADDRESS, got " STR_FMT, STR_ARG(part));
        buf_printf(&members, "server.%u=" STR_FMT ":%d:%d\n", id, STR_ARG(address), PEER_PORT,
            ELECTION_PORT);
        if (str_eq_c(address, self))
            own = id;
    }
    if (!own)
        return error_set(
            err, -EINVAL, "detect_ip says %s, which is none of the masters (%s)", self, ensemble);
    buf_printf(ret,
        "# Written by dcos-bootstrap at each start; changes are lost.\n"
        "dataDir=%s\nclientPort=%u\nmaxClientCnxns=0\n"
        "autopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n"
        "admin.enableServer=false\n%s",
        data, port, buf_cstr(&members));
    *ret_id = own;
    return 0;
}

static int number(const char *name, uint32_t fallback, uint32_t least, uint32_t most, uint32_t *ret,
    struct error *err)
{
    const char *text = node_setting(name);
    *ret = fallback;
    if (text && (parse_u32(str_of(text), ret) < 0 || *ret < least || *ret > most))
        return error_set(err, -EINVAL, "%s: expected a number from %u to %u, got %.50s", name,
            least, most, text);
    return 0;
}

/* How soon servers and clients that are gone without a word are given up. A server whose leader
 * says nothing for syncLimit ticks looks for another one, which costs no session; it must be found
 * within the sessions of those that lead, 5 seconds, and a session that ended is noticed a tick
 * late. The others are what they are with ticks of two seconds. */
int zookeeper_timing(struct buf *ret, struct error *err)
{
    uint32_t tick, sync;
    int r = number("ZOOKEEPER_TICK_TIME", TICK_MS, 100, 10000, &tick, err);
    if (r == 0)
        r = number("ZOOKEEPER_SYNC_LIMIT", SYNC_TICKS, 2, 1000, &sync, err);
    if (r < 0)
        return r;
    buf_printf(ret,
        "tickTime=%u\ninitLimit=%u\nsyncLimit=%u\nmaxSessionTimeout=%d\n"
        "cnxTimeout=%d\nfastleader.maxNotificationInterval=%d\n",
        tick, MAX((uint32_t)INIT_MS / tick, sync), sync, SESSION_MAX_MS, CONNECT_MS, NOTIFY_MS);
    return 0;
}

/* The servers: those that config.yaml names, or what dcos-exhibitor found out with a shared backend
 * and keeps in the user's folder, as which this runs. Caller frees. */
static int find_ensemble(const struct node *n, char **ret, struct error *err)
{
    const char *backend = node_setting("EXHIBITOR_BACKEND");
    const char *fixed = node_setting("EXHIBITOR_STATICENSEMBLE");
    *ret = NULL;
    if (!backend || streq(backend, "STATIC")) {
        if (!fixed)
            return error_set(err, -EINVAL, "etc/exhibitor has no EXHIBITOR_STATICENSEMBLE");
        *ret = xstrdup(fixed);
        return 0;
    }
    _cleanup_free_ char *file = xasprintf("%s/ensemble", FOLDER);
    *ret = node_text(n, file);
    return *ret ? 0
                : error_set(err, -EAGAIN,
                      "the masters are no ensemble yet, or have no place "
                      "for this one; dcos-exhibitor-ensemble tells");
}

/* In the user's own folder, as the user. */
static int write_own(const struct node *n, const char *data, uint32_t id, const struct buf *config,
    struct error *err)
{
    _cleanup_free_ char *myid = xasprintf("%s/myid", data);
    _cleanup_free_ char *file = xasprintf("%s/zoo.cfg", FOLDER);
    _cleanup_free_ char *line = xasprintf("%u\n", id);
    int r = node_folder(n, data, USER, 0750, err);
    if (r == 0)
        r = node_file(n, myid, line, USER, 0640, err);
    return r < 0 ? r : node_file(n, file, buf_cstr(config), USER, 0640, err);
}

int zookeeper_prepare(const struct node *n, struct error *err)
{
    const char *port_text = node_setting("ZOOKEEPER_CLIENT_PORT");
    _cleanup_free_ char *ip = NULL, *ensemble = NULL;
    _cleanup_buf_ struct buf config = BUF_INIT;
    uint16_t port = 2181;
    uint32_t id;
    if (port_text && (parse_port(str_of(port_text), &port) < 0 || port == 0))
        return error_set(err, -EINVAL, "ZOOKEEPER_CLIENT_PORT is no port: %.50s", port_text);
    _cleanup_free_ char *data = xasprintf("%s/data", FOLDER);
    struct error why = ERROR_INIT;
    int r = node_detect_ip(n, &ip, err);
    if (r == 0)
        r = node_folder(n, FOLDER, USER, 0750, err);
    if (r == 0)
        r = node_become(USER, err);
    if (r < 0)
        return r;
    r = find_ensemble(n, &ensemble, err);
    if (r == 0)
        r = zookeeper_config(ensemble, ip, data, port, &config, &id, err);
    if (r == 0)
        r = zookeeper_timing(&config, err);
    if (r == 0)
        r = write_own(n, data, id, &config, err);
    int back = node_root(&why);
    return r == 0 && back < 0 ? error_set(err, back, "%s", why.msg) : r;
}

int ensemble_prepare(struct node *n, struct error *err)
{
    const char *shared = node_setting("EXHIBITOR_FSCONFIGDIR");
    _cleanup_free_ char *ip = NULL;
    int r = node_folder(n, FOLDER, USER, 0750, err);
    if (r == 0)
        r = node_detect_ip(n, &ip, err);
    if (r == 0)
        r = node_tell(n, "EXHIBITOR_IP", ip, err);
    _cleanup_free_ char *full = shared ? node_path(n, shared) : NULL;
    /* One that is there is the operator's, who says who may write in it. */
    if (r == 0 && full && !path_exists(full))
        r = node_folder(n, shared, USER, 0750, err);
    return r;
}
