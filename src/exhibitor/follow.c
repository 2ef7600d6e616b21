#include "exhibitor/follow.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "json/json.h"
#include "transfer/download.h"

enum { ANSWER_MAX = 64 * 1024 };
static const int64_t STALL_US = 5 * USEC_PER_SEC;

int follow_parse(const char *p, size_t n, struct buf *ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    int r = json_parse(p, n, &json, err);
    if (r < 0)
        return -EBADMSG;
    const json_t *servers = json_at(json, "servers");
    int64_t port = json_i64_at(json, "port", 0);
    if (!json_is_array(servers) || json_array_size(servers) > MASTERS_MAX || port < 1 ||
        port > UINT16_MAX)
        return error_set(err, -EBADMSG, "the answer is no list of servers and a port");
    if (json_array_size(servers) == 0)
        return error_set(err, -EAGAIN, "the masters have no ZooKeeper servers yet");
    for (size_t i = 0; i < json_array_size(servers); i++) {
        const char *address = json_string_value(json_array_get(servers, i));
        if (!address || !master_address_valid(address))
            return error_set(err, -EBADMSG, "the answer names a server without an IPv4 address");
        buf_printf(ret, "%s%s:%lld", i ? "," : "", address, (long long)port);
    }
    return 0;
}

static int get(const char *base, struct buf *ret, struct error *err)
{
    _cleanup_free_ char *text = xasprintf("%s/exhibitor/v1/cluster/list", base);
    _cleanup_buf_ struct buf body = BUF_INIT;
    int r = download_text(text, STALL_US, ANSWER_MAX, &body, err);
    if (r < 0)
        return r;
    return error_prefix(err, follow_parse(body.p, body.n, ret, err), "%s", base);
}

/* Those that were known answer too, when whoever is in front does not. */
static int ask_known(
    const struct follow_options *o, const char *known, struct buf *ret, struct error *err)
{
    struct str rest = str_of(known), server;
    int r = -ENOENT;
    while (r < 0 && str_split(&rest, ',', &server)) {
        ptrdiff_t colon = str_index(server, ':');
        if (colon <= 0)
            continue;
        _cleanup_free_ char *base = xasprintf("http://%.*s:%u", (int)colon, server.p, o->port);
        buf_clear(ret);
        r = get(base, ret, err);
    }
    return r;
}

void follow_run(const struct follow_options *o)
{
    _cleanup_free_ char *known = xstrdup("");
    bool told = false;
    for (;;) {
        struct error err = ERROR_INIT, other = ERROR_INIT;
        _cleanup_buf_ struct buf servers = BUF_INIT;
        int r = get(o->url, &servers, &err);
        if (r < 0)
            r = ask_known(o, known, &servers, &other) == 0 ? 0 : r;
        if (r == 0)
            r = local_write_servers(&o->local, buf_cstr(&servers), &err);
        if (r < 0 && !told)
            log_warn("ZooKeeper's servers stay as they are, this is tried again error=%s", err.msg);
        told = r < 0;
        if (r == 0 && !streq(known, buf_cstr(&servers))) {
            log_info("following ZooKeeper's servers=%s", buf_cstr(&servers));
            free(known);
            known = xstrdup(buf_cstr(&servers));
        }
        (void)poll(NULL, 0, (int)(o->poll_us / USEC_PER_MSEC)); /* a pause */
    }
}
