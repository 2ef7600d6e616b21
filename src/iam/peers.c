#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "auth/ca.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/rng.h"
#include "http/pass.h"
#include "iam/shell.h"

/*
 * Several dcos-iam on one store: one leads, the others pass calls on to it, so that everybody on a
 * node talks to the service of that node, whoever leads.
 *
 * Each has a listener for the others (--peers), with TLS by an authority of its own, whose
 * certificate stands in its node in ZooKeeper beside the address. Who calls there must show a
 * secret that is an entry of the store: who can read it could read the signing keys as well. Such a
 * call counts as if it had come to the leader from where it came to the other one, over the unix
 * socket or by TCP; nothing else gets in by this door, and a call is passed on once.
 */

#define LOOK_US (200 * USEC_PER_MSEC)  /* between looks at who leads */
#define SILENCE_US (60 * USEC_PER_SEC) /* in an answer; streams have heartbeats every five */

enum {
    SECRET_BYTES = 32,
    SECRET_MAX = 64,
    FROM_MAX = 160,
};

static const char SECRET_KEY[] = "peers/secret";
static const char SECRET_HEADER[] = "X-Dcos-Iam-Peer", FROM_HEADER[] = "X-Dcos-Iam-From";

/* The way to a leader; lives as long as calls go over it. */
struct link {
    unsigned refs;
    struct peers *peers;
    char *info; /* as it stands in the election */
    char host[256];
    uint16_t port;
    char secret[SECRET_MAX];
    struct tls_context *tls;
    struct http_client *client;
};

struct peers {
    struct iam *iam;
    char *folder; /* of keys and certificates */
    char host[256];
    uint16_t port;
    struct tls_context *tls; /* of the server */
    struct http_server *server;
    struct buf info;
    char secret[SECRET_MAX]; /* of the leader; empty: not made yet */
    struct link *link;       /* NULL: nobody is known to lead */
    struct timer look;
    bool standing_by;
};

/* ---- the way to the leader ---- */

static void link_unref(struct link *l)
{
    if (!l || --l->refs)
        return;
    if (l->client)
        http_client_free(l->client);
    tls_context_free(l->tls);
    free(l->info);
    free(l);
}

static int split_address(struct str text, char *host, size_t host_size, uint16_t *ret_port)
{
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || parse_port((struct str){text.p + colon, text.n - colon}, ret_port) < 0)
        return -EINVAL;
    struct str name = {text.p, colon - 1};
    if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = (struct str){name.p + 1, name.n - 2};
    if (!name.n || name.n >= host_size)
        return -EINVAL;
    memcpy(host, name.p, name.n);
    host[name.n] = '\0';
    return 0;
}

static int read_secret(struct iam *s, char *out, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = store_get(s->store, SECRET_KEY, &text, NULL, err);
    if (r == 0 && (!text.n || text.n >= SECRET_MAX))
        r = error_set(err, -EBADMSG, "%s is no secret", SECRET_KEY);
    if (r < 0)
        return r;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return 0;
}

/* "<address for clients>\n<address for peers>\n<certificate>" */
static int link_open(struct peers *p, struct str info, struct link **ret, struct error *err)
{
    struct str rest = info, clients, address;
    struct link *l = xnew(struct link);
    l->refs = 1;
    l->peers = p;
    l->info = str_dup(info);
    int r = 0;
    if (!str_split(&rest, '\n', &clients) || !str_split(&rest, '\n', &address) ||
        split_address(address, l->host, sizeof(l->host), &l->port) < 0)
        r = error_set(err, -EINVAL, "the leader at " STR_FMT " was started without --peers",
            STR_ARG(clients));
    _cleanup_free_ char *trusted = path_join(p->folder, "leader.crt");
    if (r == 0)
        r = read_secret(p->iam, l->secret, err);
    if (r == 0)
        r = file_write_atomic(trusted, rest.p, rest.n, 0600, err);
    if (r == 0)
        r = tls_context_new_client(trusted, true, &l->tls, err);
    if (r < 0) {
        link_unref(l);
        return r;
    }
    const struct http_client_options options = {.tls = l->tls};
    l->client = http_client_new(p->iam->loop, &options);
    *ret = l;
    return 0;
}

static void forget_leader(struct peers *p)
{
    link_unref(TAKE_PTR(p->link));
    if (p->standing_by && !timer_active(&p->look))
        timer_start(&p->look, LOOK_US);
}

/* Who led before may be gone without a word, and its connections silent for long: that another
 * leads, or nobody, ends the link at once. Calls under way keep it until they end. */
static void look(struct timer *t)
{
    struct peers *p = container_of(t, struct peers, look);
    _cleanup_buf_ struct buf info = BUF_INIT;
    struct error err = ERROR_INIT;
    if (!p->standing_by)
        return;
    timer_start(t, LOOK_US);
    int r = store_leader_info(p->iam->store, &info, &err);
    const bool other = r == 0 && info.n && !str_eq_c(buf_str(&info), buf_cstr(&p->info));
    if (r == 0 && p->link && (!other || !str_eq_c(buf_str(&info), p->link->info)))
        link_unref(TAKE_PTR(p->link));
    if (!other || p->link)
        return;
    r = link_open(p, buf_str(&info), &p->link, &err);
    if (r < 0) {
        log_debug("the leader is not known yet error=%s", err.msg);
        return;
    }
    log_info("standing by, calls go to the leader address=%s:%u", p->link->host, p->link->port);
    iam_tell_ready(p->iam);
}

/* ---- passing a call on ---- */

static void refuse(struct http_request *req, int status, const char *code, const char *text)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &body);
    jw_begin_object(&w);
    jw_field_string(&w, "title", http_status_text(status));
    jw_field_string(&w, "description", text);
    jw_field_string(&w, "code", code);
    jw_end_object(&w);
    http_respond(req, status, "application/json", body.p, body.n);
}

/* A 503 is of one that does not lead, or not yet: who does may have changed. */
static void link_answered(int status, const char *error, void *userdata)
{
    struct link *l = userdata;
    if ((status >= 0 && status != 503) || l->peers->link != l)
        return;
    if (error)
        log_warn("the leader does not answer address=%s:%u error=%s", l->host, l->port, error);
    forget_leader(l->peers);
}

static void link_refuse(struct http_request *req, void *userdata)
{
    refuse(req, 503, "ERR_NOT_READY", "The leading identity service cannot be reached");
}

static void link_ended(void *userdata)
{
    link_unref(userdata);
}

static void pass_on(struct http_request *req)
{
    struct peers *p = req->userdata;
    struct link *l = p->link;
    if (!l) {
        refuse(req, 503, "ERR_NOT_READY", "No identity service leads at the moment");
        return;
    }
    char from[FROM_MAX];
    if (req->peer_is_unix)
        snprintf(from, sizeof(from), "unix:%u", (unsigned)req->peer_cred.uid);
    else
        snprintf(from, sizeof(from), "%s:%u", req->peer.host, req->peer.port);
    const struct http_header headers[] = {
        {str_of(SECRET_HEADER), str_of(l->secret)}, {str_of(FROM_HEADER), str_of(from)}};
    const struct http_pass_options o = {.client = l->client,
        .host = l->host,
        .port = l->port,
        .tls = true,
        .headers = headers,
        .n_headers = ARRAY_SIZE(headers),
        .idle_timeout_us = SILENCE_US,
        .on_answer = link_answered,
        .refuse = link_refuse,
        .on_end = link_ended,
        .userdata = l};
    l->refs++;
    http_pass_on(req, &o);
}

bool peers_pass_on(struct iam *s, struct http_request *req)
{
    struct peers *p = s->peers;
    if (!p || !p->standing_by)
        return false;
    req->userdata = p;
    http_request_collect(req, API_BODY_MAX, pass_on);
    return true;
}

bool peers_know_leader(const struct iam *s)
{
    return s->peers && s->peers->standing_by && s->peers->link;
}

/* ---- the listener for the others ---- */

/* How long it takes tells nothing about where they differ. */
static bool is_secret(struct str shown, const char *secret)
{
    unsigned differ = 0;
    if (!shown.n || shown.n != strlen(secret))
        return false;
    for (size_t i = 0; i < shown.n; i++)
        differ |= (unsigned char)shown.p[i] ^ (unsigned char)secret[i];
    return differ == 0;
}

/* "unix:<uid>" or "<address>:<port>" */
static bool take_place_of(struct http_request *req, struct str from)
{
    uint32_t uid;
    if (str_has_prefix(from, STR("unix:"))) {
        if (parse_u32((struct str){from.p + 5, from.n - 5}, &uid) < 0)
            return false;
        req->peer_is_unix = true;
        req->peer_cred.uid = (uid_t)uid;
        return true;
    }
    return split_address(from, req->peer.host, sizeof(req->peer.host), &req->peer.port) == 0;
}

static void handle_peer(struct http_request *req, void *userdata)
{
    struct peers *p = userdata;
    struct str shown = http_request_header(req, SECRET_HEADER);
    if (!p->iam->ready)
        refuse(req, 503, "ERR_NOT_READY", "This identity service does not lead");
    else if (!is_secret(shown, p->secret) ||
             !take_place_of(req, http_request_header(req, FROM_HEADER)))
        refuse(req, 403, "ERR_FORBIDDEN", "This port is for the identity services of the cluster");
    else
        iam_http_handle(req, p->iam);
}

static int listen_for_peers(struct peers *p, struct error *err)
{
    _cleanup_free_ char *cert = path_join(p->folder, "own.crt"),
                        *key = path_join(p->folder, "own.key"),
                        *authority = path_join(p->folder, "dcos-ca.crt");
    _cleanup_buf_ struct buf pem = BUF_INIT;
    struct ca *ca = NULL;
    const char *names[] = {p->host};
    const struct ca_request request = {
        .name = "dcos-iam", .alternatives = names, .n_alternatives = ARRAY_SIZE(names)};
    int r = ca_create(p->folder, "dcos-iam of one node", err);
    if (r == 0 || r == -EEXIST)
        r = ca_open(p->folder, &ca, err);
    if (r == 0) {
        r = ca_issue(ca, &request, cert, key, err);
        ca_close(ca);
    }
    if (r == 0)
        r = tls_context_new_server(cert, key, &p->tls, err);
    if (r == 0)
        r = file_read(authority, 64 * 1024, &pem, err);
    if (r >= 0) {
        p->server = http_server_new(p->iam->loop, NULL, handle_peer, p);
        r = http_server_listen(p->server, p->host, p->port, p->tls, &p->port, err);
    }
    if (r < 0)
        return r;
    buf_printf(&p->info, strchr(p->host, ':') ? "%s:%u\n[%s]:%u\n" : "%s:%u\n%s:%u\n", p->iam->ip,
        p->iam->port, p->host, p->port);
    buf_append(&p->info, pem.p, pem.n);
    return 0;
}

/* ---- life ---- */

int peers_new(struct iam *s, const char *where, const char *work_dir, struct error *err)
{
    struct peers *p = xnew(struct peers);
    s->peers = p;
    p->iam = s;
    timer_init(&p->look, s->loop, look);
    if (!work_dir)
        return error_set(err, -EINVAL, "--peers wants --work_dir, for keys");
    if (split_address(str_of(where), p->host, sizeof(p->host), &p->port) < 0 ||
        streq(p->host, "0.0.0.0") || streq(p->host, "::"))
        return error_set(err, -EINVAL, "--peers is ADDRESS:PORT, by which others reach this node");
    p->folder = path_join(work_dir, "peers");
    int r = mkdir_all(p->folder, 0700, err);
    if (r == 0)
        r = listen_for_peers(p, err);
    return r < 0 ? error_prefix(err, r, "--peers") : 0;
}

const char *peers_info(const struct iam *s)
{
    return buf_cstr(&s->peers->info);
}

void peers_stand_by(struct iam *s)
{
    if (!s->peers)
        return;
    s->peers->standing_by = true;
    timer_start(&s->peers->look, 0);
}

void peers_load(struct iam *s, struct str value)
{
    if (s->peers && value.n < SECRET_MAX) {
        memcpy(s->peers->secret, value.p, value.n);
        s->peers->secret[value.n] = '\0';
    }
}

static void secret_stored(
    int status, ssize_t failed_op, const int64_t *new_versions, void *userdata)
{
    struct iam *s = userdata;
    if (status < 0)
        iam_fail(s, "cannot store the secret of peers", store_failure(s->store));
}

int peers_lead(struct iam *s, struct error *err)
{
    struct peers *p = s->peers;
    if (!p)
        return 0;
    p->standing_by = false;
    timer_stop(&p->look);
    link_unref(TAKE_PTR(p->link));
    if (p->secret[0])
        return 0;
    unsigned char random[SECRET_BYTES];
    _cleanup_buf_ struct buf text = BUF_INIT;
    random_bytes(random, sizeof(random));
    base64url_encode(&text, random, sizeof(random));
    snprintf(p->secret, sizeof(p->secret), "%s", buf_cstr(&text));
    const struct store_op op = {.type = STORE_PUT,
        .key = SECRET_KEY,
        .value = text.p,
        .n = text.n,
        .version = STORE_ANY_VERSION};
    return store_commit(s->store, &op, 1, secret_stored, s, err);
}

void peers_free(struct iam *s)
{
    struct peers *p = TAKE_PTR(s->peers);
    if (!p)
        return;
    timer_stop(&p->look);
    if (p->server)
        http_server_free(p->server);
    tls_context_free(p->tls);
    link_unref(p->link);
    buf_done(&p->info);
    free(p->folder);
    free(p);
}
