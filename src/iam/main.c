#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "iam/shell.h"
#include "process/daemon.h"
#include "zk/url.h"

/* Options and wiring of dcos-iam. */

enum { MMAP_THRESHOLD = 512 * 1024, LOAD_PAGE = 1000 };

struct flags_out {
    const char *ip, *work_dir, *store, *socket, *peers, *ready_file, *logging_level;
    struct iam_bootstrap bootstrap;
    struct transport_settings transport;
    uint16_t port;
    int64_t token_days, cookie_days, info_days, token_life_us, session_timeout_us;
    struct iam_options options;
};

/* Others judge tokens by the wall clock, so it also makes them. */
int64_t iam_now(const struct iam *s)
{
    (void)s;
    return clock_realtime_us();
}

void iam_fail(struct iam *s, const char *what, const char *why)
{
    if (!s->failure)
        log_error("%s error=%s, ending", what, why);
    s->failure = 1;
    loop_stop(s->loop);
}

static void on_signal(void *userdata, int signum)
{
    struct iam *s = userdata;
    log_info("ending signal=%d", signum);
    loop_stop(s->loop);
}

static void on_lost(void *userdata)
{
    iam_fail(userdata, "leadership is lost", "another dcos-iam leads");
}

/* ---- loading ---- */

struct loading {
    struct iam *iam;
    char last[STORE_KEY_MAX + 1];
    int failed;
    struct error err;
};

static bool load_one(const struct store_entry *e, void *userdata)
{
    struct loading *l = userdata;
    if (streq(e->key, "peers/secret"))
        peers_load(l->iam, e->value);
    else if (has_prefix(e->key, "oidc/"))
        l->failed = oidc_load(l->iam, e->key, e->value, &l->err);
    else
        l->failed = iam_core_load(&l->iam->core, e->key, e->value, &l->err);
    if (has_prefix(e->key, "keys/"))
        keys_load(l->iam, e->key, e->value);
    if (has_prefix(e->key, "initial/"))
        bootstrap_load(l->iam, e->key);
    snprintf(l->last, sizeof(l->last), "%s", e->key);
    return l->failed >= 0;
}

static int load(struct iam *s, struct error *err)
{
    struct loading l = {.iam = s};
    ssize_t n;
    do {
        n = store_list(s->store, "", l.last[0] ? l.last : NULL, LOAD_PAGE, load_one, &l, &l.err);
        if (n < 0 || l.failed < 0) {
            *err = l.err;
            return l.failed < 0 ? l.failed : (int)n;
        }
    } while (n == LOAD_PAGE);
    return 0;
}

/* ---- start ---- */

void iam_tell_ready(struct iam *s)
{
    daemon_tell_ready(s->ready_file, s->ip, s->port, NULL);
    s->ready_file = NULL;
}

static void ready(void *userdata)
{
    struct iam *s = userdata;
    if (s->stopping || s->failure)
        return;
    s->ready = true;
    log_info("serving users=%zu address=%s:%u", map_size(&s->core.policy.users), s->ip, s->port);
    iam_tell_ready(s);
}

static void keys_ready(struct iam *s)
{
    if (s->core.changes.n)
        iam_commit(s, ready, s);
    else
        ready(s);
}

struct running {
    struct iam iam;
    const struct flags_out *flags;
};

static void on_leader(int status, uint64_t epoch, void *userdata)
{
    struct running *r = userdata;
    struct iam *s = &r->iam;
    struct error err = ERROR_INIT;
    if (status < 0) {
        if (status != -ECANCELED)
            iam_fail(s, "cannot become leader", store_failure(s->store));
        return;
    }
    if (load(s, &err) < 0) {
        iam_fail(s, "cannot load state", err.msg);
        return;
    }
    if (peers_lead(s, &err) < 0) {
        iam_fail(s, "cannot make the secret of peers", err.msg);
        return;
    }
    if (iam_bootstrap(s, &r->flags->bootstrap, &err) < 0) {
        iam_fail(s, "cannot make the first users", err.msg);
        return;
    }
    log_info("leading epoch=%llu", (unsigned long long)epoch);
    keys_start(s, keys_ready);
}

static int start(struct running *r, struct error *err)
{
    struct iam *s = &r->iam;
    const struct flags_out *f = r->flags;
    int status = 0;
    if (f->work_dir)
        status = mkdir_all(f->work_dir, 0700, err);
    if (status < 0)
        return status;
    if (status == 0 && s->options.audit_log)
        status = audit_open(s->options.audit_log, s->gate.program, &s->gate.audit, err);
    struct transport_settings transport = f->transport;
    if (status == 0)
        status = transport_open(&transport, &s->gate.transport, err);
    if (status < 0)
        return status;
    _cleanup_free_ char *url = NULL;
    if (f->store)
        status = zk_flag_load(f->store, &url, err);
    else
        url = xasprintf("sqlite:%s/iam.db", f->work_dir);
    if (status < 0)
        return error_prefix(err, status, "--store");
    const struct store_options store = {.session_timeout_us = f->session_timeout_us};
    status = store_open_with(s->loop, url, &store, &s->store, err);
    if (status < 0)
        return error_prefix(err, status, "store");
    store_on_slow(s->store, STORE_SLOW_US, daemon_slow_store, s);
    store_on_lost(s->store, on_lost, s);
    s->server = http_server_new(s->loop, NULL, iam_http_handle, s);
    status = http_server_listen(s->server, f->ip, f->port, s->gate.transport.server, &s->port, err);
    if (status < 0)
        return status;
    if (f->socket) {
        status = http_server_listen_unix(s->server, f->socket, 0660, err);
        if (status < 0)
            return status;
    }
    if (f->peers) {
        status = peers_new(s, f->peers, f->work_dir, err);
        if (status < 0)
            return status;
    }
    char info[128];
    snprintf(info, sizeof(info), "%s:%u", f->ip, s->port);
    status = store_lead(s->store, s->peers ? peers_info(s) : info, on_leader, r);
    if (status < 0)
        return error_set(err, status, "cannot stand for leadership");
    peers_stand_by(s);
    return 0;
}

static void stop(struct iam *s)
{
    s->stopping = true;
    follow_stop(s);
    login_stop(s);
    if (s->server)
        http_server_free(s->server);
    peers_free(s);
    oidc_done(s);
    keys_done(s);
    bootstrap_done(s);
    if (s->store)
        store_close(s->store);
    iam_core_done(&s->core);
    limit_done(s);
    gate_close(&s->gate);
}

static int parse(struct flags_out *f, struct flag *flags, size_t n, int argc, char **argv)
{
    static const struct program program = {.name = "dcos-iam",
        .summary = "Identity service: users, groups, permissions, logins, tokens.",
        .env_prefix = "DCOS_IAM",
        .version = DCOS_VERSION};
    struct error err = ERROR_INIT;
    int r = flags_parse(&program, flags, n, argc, argv, &err);
    if (r == 0)
        r = daemon_log_level(f->logging_level, &err);
    if (r < 0) {
        fprintf(stderr, "dcos-iam: %s\n", err.msg);
        return r;
    }
    if (r > 0)
        return r;
    const char *wrong = NULL;
    if (!f->work_dir && !f->store)
        wrong = "--work_dir=PATH says where to keep state";
    else if (!f->bootstrap.service_uid != !f->bootstrap.service_key)
        wrong = "--superuser_service_account_uid and --superuser_service_account_public_key_file "
                "belong together";
    else if (f->token_days < 1 || f->cookie_days < 1 || f->info_days < 1 || f->token_days > 3650 ||
             f->cookie_days > 3650 || f->info_days > 3650)
        wrong = "lives of tokens and cookies are 1 to 3650 days";
    else if (f->token_life_us && f->token_life_us < USEC_PER_SEC)
        wrong = "--auth_token_life is at least 1secs";
    else if (f->options.login_failures < 1 || f->options.key_life_us < 0)
        wrong = "limits must be positive";
    if (wrong) {
        fprintf(stderr, "dcos-iam: %s\n", wrong);
        return -EINVAL;
    }
    static const int64_t DAY_US = 86400 * USEC_PER_SEC;
    f->options.token_life_us = f->token_life_us ? f->token_life_us : f->token_days * DAY_US;
    f->options.cookie_life_us = f->cookie_days * DAY_US;
    f->options.info_cookie_life_us = f->info_days * DAY_US;
    return 0;
}

int main(int argc, char **argv)
{
    struct flags_out f = {0};
    struct flag flags[] = {
        {"ip", FLAG_STRING, &f.ip, "127.0.0.1", "ADDRESS", "address to listen on"},
        {"port", FLAG_PORT, &f.port, "8101", "PORT", "port to listen on; 0 picks a free one"},
        {"socket", FLAG_STRING, &f.socket, NULL, "PATH",
            "also listen on this unix socket (mode 0660); calls over it need no token"},
        {"peers", FLAG_STRING, &f.peers, NULL, "ADDRESS:PORT",
            "with several on one store: where the others of the cluster reach this one, over TLS; "
            "those that do not lead pass calls on"},
        {"work_dir", FLAG_STRING, &f.work_dir, NULL, "PATH", "folder for state"},
        {"store", FLAG_STRING, &f.store, NULL, "URL",
            "where state is kept; default sqlite:<work_dir>/iam.db"},
        {"zk_session_timeout", FLAG_DURATION, &f.session_timeout_us, "10secs", "DURATION",
            "with a store in ZooKeeper: how long it takes to notice that the leader is gone"},
        {"require_auth", FLAG_BOOL, &f.options.require_auth, "true", NULL,
            "ask for a superuser's token also on the port; off: whoever reaches it may do all"},
        {"superuser_username", FLAG_STRING, &f.bootstrap.superuser, "bootstrapuser", "UID",
            "made at start when a password hash is given"},
        {"superuser_password_hash", FLAG_STRING, &f.bootstrap.hash, NULL, "HASH",
            "its password, hashed (SHA-512 crypt or argon2id)", .secret = true},
        {"superuser_password_hash_file", FLAG_STRING, &f.bootstrap.hash_file, NULL, "PATH",
            "the same from a file"},
        {"superuser_password_file", FLAG_STRING, &f.bootstrap.password_file, NULL, "PATH",
            "or the password itself, in a file that only its owner can read"},
        {"superuser_service_account_uid", FLAG_STRING, &f.bootstrap.service_uid, NULL, "UID",
            "service account made at start, a superuser"},
        {"superuser_service_account_public_key_file", FLAG_STRING, &f.bootstrap.service_key, NULL,
            "PATH", "its public key (PEM)"},
        {"initial_accounts", FLAG_STRING, &f.bootstrap.accounts, NULL, "PATH",
            "users and service accounts with their permissions (JSON), each made at one start"},
        {"expiration_auth_token_days", FLAG_I64, &f.token_days, "5", "DAYS", "life of tokens"},
        {"auth_token_life", FLAG_DURATION, &f.token_life_us, NULL, "DURATION",
            "the same, where days are too long: 1secs or more"},
        {"expiration_auth_cookie_days", FLAG_I64, &f.cookie_days, "5", "DAYS",
            "life of the cookie with the token"},
        {"expiration_info_cookie_days", FLAG_I64, &f.info_days, "5", "DAYS",
            "life of the cookie that tells who is logged in"},
        {"auth_cookie_secure_flag", FLAG_BOOL, &f.options.cookie_secure, "false", NULL,
            "send cookies over TLS only"},
        {"signing_key_life", FLAG_DURATION, &f.options.key_life_us, "90days", "DURATION",
            "a new key signs after so long; 0secs: never"},
        {"login_failures_per_minute", FLAG_I64, &f.options.login_failures, "10", "N",
            "failed logins per user and per address before more are refused"},
        {"audit_log", FLAG_STRING, &f.options.audit_log, NULL, "PATH",
            "file with a line of JSON for each change, login and refusal; opened anew by SIGHUP"},
        {"ui_config_file", FLAG_STRING, &f.options.ui_config_file, NULL, "PATH",
            "the console's configuration (JSON)"},
        {"cluster_id_file", FLAG_STRING, &f.options.cluster_id_file, NULL, "PATH",
            "file with the cluster's id"},
        {"logging_level", FLAG_STRING, &f.logging_level, "INFO", "LEVEL",
            "error, warning, info or debug"},
        {"ready_file", FLAG_STRING, &f.ready_file, NULL, "PATH",
            "written once it serves: {\"ip\",\"port\",\"pid\"}"},
    };
    log_init("dcos-iam");
    /* Memory for hashing, 19 MiB a piece, goes back to the system; left alone, malloc would learn
     * from the first one to keep it. */
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    struct flag all[ARRAY_SIZE(flags) + TRANSPORT_FLAGS];
    memcpy(all, flags, sizeof(flags));
    size_t n_flags = ARRAY_SIZE(flags) + transport_flags(&f.transport, all + ARRAY_SIZE(flags));
    int r = parse(&f, all, n_flags, argc, argv);
    if (r != 0)
        return r > 0 ? 0 : 2;
    umask(0077);
    struct running run = {.flags = &f};
    struct iam *s = &run.iam;
    s->options = f.options;
    s->gate = (struct gate){.program = "dcos-iam"};
    s->ready_file = f.ready_file;
    s->ip = f.ip;
    list_init(&s->followers);
    list_init(&s->hash_queue);
    s->loop = loop_new();
    timer_init(&s->key_timer, s->loop, NULL);
    timer_init(&s->follow_timer, s->loop, NULL);
    struct loop_signal *term = loop_signal_new(s->loop, SIGTERM, on_signal, s);
    struct loop_signal *intr = loop_signal_new(s->loop, SIGINT, on_signal, s);
    struct loop_signal *hup = loop_signal_new(s->loop, SIGHUP, gate_on_hangup, &s->gate);
    struct error err = ERROR_INIT;
    if (start(&run, &err) < 0) {
        log_error("cannot start error=%s", err.msg);
        s->failure = 1;
    } else {
        log_info("listening address=%s:%u version=%s", s->ip, s->port, DCOS_VERSION);
        loop_run(s->loop);
    }
    stop(s);
    loop_signal_free(term);
    loop_signal_free(intr);
    loop_signal_free(hup);
    loop_free(s->loop);
    return s->failure;
}
