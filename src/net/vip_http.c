#include <openssl/sha.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "json/writer.h"
#include "net/shell.h"

/* Virtual addresses as JSON: dcos-net's list, and what the kernel has counted. */

static void put_backends(struct json_writer *w, const struct vip *vip, bool more)
{
    char ip[ADDRESS_TEXT];
    VEC_FOREACH (b, &vip->backends) {
        address_text(&b->ip, ip);
        jw_begin_object(w);
        jw_field_string(w, "ip", ip);
        jw_field_i64(w, "port", b->port);
        if (more) {
            jw_field_i64(w, "weight", b->serving || b->unreachable ? 1 : 0);
            jw_field_bool(w, "reachable", b->serving || b->idle);
        }
        jw_end_object(w);
    }
}

/* "name.l4lb.thisdcos.directory:80" or "1.2.3.4:80" */
static void put_vip(struct json_writer *w, const struct vip *vip)
{
    char ip[ADDRESS_TEXT];
    _cleanup_buf_ struct buf text = BUF_INIT;
    address_text(&vip->ip, ip);
    if (vip->name)
        buf_printf(&text, "%s.l4lb.thisdcos.directory:%u", vip->name->name, vip->port);
    else
        buf_printf(&text, "%s:%u", ip, vip->port);
    jw_field_string(w, "vip", buf_cstr(&text));
    jw_field_string(w, "protocol", vip->protocol == VIP_TCP ? "tcp" : "udp");
}

void vip_http_list(struct http_request *req, void *userdata)
{
    const struct net *n = userdata;
    _cleanup_buf_ struct buf out = BUF_INIT, tag = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_array(&w);
    MAP_FOREACH (e, vips_all(n->vips)) {
        const struct vip *vip = e->value, *twin = vip_twin(n->vips, vip);
        if (twin && vip->ip.v6)
            continue; /* is told of with the other */
        jw_begin_object(&w);
        put_vip(&w, vip);
        jw_key(&w, "backend");
        jw_begin_array(&w);
        put_backends(&w, vip, false);
        if (twin)
            put_backends(&w, twin, false);
        jw_end_array(&w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)buf_cstr(&out), out.n, digest);
    base64_encode(&tag, digest, sizeof(digest));
    http_set_header(req, "ETag", buf_cstr(&tag));
    http_respond_json(req, 200, &out);
}

/* ---- status ---- */

struct asking {
    struct net *net;
    struct http_request *req;
};

/* counters: name of a chain -> packets; the first packet of each connection passes it. */
static void answer(struct net *n, struct http_request *req, const json_t *counters)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    struct nft_status s = {.error = "virtual addresses are off (--no-vips)"};
    if (n->nft)
        nft_get_status(n->nft, &s);
    jw_init(&w, &out);
    jw_begin_object(&w);
    jw_field_bool(&w, "in_force", s.in_force);
    jw_field_string(&w, "error", s.error);
    jw_field_i64(&w, "transactions", (int64_t)s.transactions);
    jw_field_i64(&w, "failures", (int64_t)s.failures);
    jw_field_i64(&w, "restored", (int64_t)s.restored);
    jw_field_i64(&w, "flows_ended", (int64_t)s.flows_cut);
    jw_field_i64(&w, "last_transaction_us", s.last_us);
    jw_key(&w, "vips");
    jw_begin_array(&w);
    MAP_FOREACH (e, vips_all(n->vips)) {
        const struct vip *vip = e->value;
        char ip[ADDRESS_TEXT], chain[16];
        address_text(&vip->ip, ip);
        (void)snprintf(chain, sizeof(chain), "v%u", vip->id);
        jw_begin_object(&w);
        put_vip(&w, vip);
        jw_field_string(&w, "ip", ip);
        if (counters)
            jw_field_i64(&w, "connections", json_i64_at(counters, chain, 0));
        jw_key(&w, "backend");
        jw_begin_array(&w);
        put_backends(&w, vip, true);
        jw_end_array(&w);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    http_respond_json(req, 200, &out);
}

static void on_counters(const struct process_result *result, void *userdata)
{
    struct asking *a = userdata;
    _cleanup_json_ json_t *json = NULL;
    _cleanup_json_ json_t *counters = json_object();
    a->net->asking = NULL;
    if (result->status == 0 && json_parse(result->out.p, result->out.n, &json, NULL) == 0) {
        const json_t *list = json_at(json, "nftables");
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *c = json_at(json_array_get(list, i), "counter");
            const char *name = json_str_at(c, "name", NULL);
            if (name)
                json_object_set_new(counters, name, json_integer(json_i64_at(c, "packets", 0)));
        }
    }
    answer(a->net, a->req, result->status == 0 ? counters : NULL);
    http_request_unref(a->req);
    free(a);
}

void vip_http_status(struct http_request *req, void *userdata)
{
    struct net *n = userdata;
    static const char *const argv[] = {
        "nft", "-j", "list", "counters", "table", "inet", NFT_TABLE, NULL};
    static const struct process_options options = {
        .argv = argv, .capture_max = 16 * 1024 * 1024, .timeout_us = 5000000};
    struct asking *a = xnew(struct asking);
    *a = (struct asking){.net = n, .req = req};
    http_request_ref(req);
    /* One at a time: who asks meanwhile gets an answer without counters. */
    if (!n->nft || n->asking ||
        process_start(n->loop, &options, on_counters, a, &n->asking, NULL) < 0) {
        answer(n, req, NULL);
        http_request_unref(req);
        free(a);
    }
}

void vip_metrics(const struct net *n, struct buf *out)
{
    size_t backends = 0, away = 0, dead = 0;
    MAP_FOREACH (e, vips_all(n->vips)) {
        const struct vip *vip = e->value;
        struct vip_target any;
        backends += vip->backends.n;
        VEC_FOREACH (b, &vip->backends)
            away += !b->serving && !b->idle;
        dead += vip_targets(vip, &any, 1) == 0;
    }
    struct nft_status s = {.error = ""};
    if (n->nft)
        nft_get_status(n->nft, &s);
    buf_printf(out, "# TYPE vips gauge\nvips %zu\n# TYPE backends gauge\nbackends %zu\n",
        map_size(vips_all(n->vips)), backends);
    buf_printf(out, "# TYPE unreachable_backends gauge\nunreachable_backends %zu\n", away);
    buf_printf(out, "# TYPE unreachable_vips gauge\nunreachable_vips %zu\n", dead);
    buf_printf(out, "# TYPE ignored_labels_total counter\nignored_labels_total %llu\n",
        (unsigned long long)vips_ignored(n->vips));
    buf_printf(out, "# TYPE nft_in_force gauge\nnft_in_force %d\n", s.in_force);
    buf_printf(out, "# TYPE nft_transactions_total counter\nnft_transactions_total %llu\n",
        (unsigned long long)s.transactions);
    buf_printf(out, "# TYPE nft_failures_total counter\nnft_failures_total %llu\n",
        (unsigned long long)s.failures);
    buf_printf(out, "# TYPE nft_restored_total counter\nnft_restored_total %llu\n",
        (unsigned long long)s.restored);
    buf_printf(out, "# TYPE flows_ended_total counter\nflows_ended_total %llu\n",
        (unsigned long long)s.flows_cut);
}
