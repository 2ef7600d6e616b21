#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/flags.h"
#include "base/log.h"
#include "exhibitor/api.h"
#include "exhibitor/follow.h"
#include "exhibitor/stores.h"
#include "process/daemon.h"

struct options {
    const char *backend, *staticensemble, *ip, *listen, *folder, *run_folder, *follow;
    const char *logging_level, *ready_file;
    struct store_options store;
    int64_t masters, poll_us, settled_us, fresh_us, dead_us;
    uint16_t port, client_port;
};

static void on_signal(void *userdata, int signum)
{
    loop_stop(userdata);
}

static int check(const struct options *o, struct error *err)
{
    if (!o->ip || !master_address_valid(o->ip))
        return error_set(err, -EINVAL, "--ip must be this master's IPv4 address, got %.50s",
            o->ip ? o->ip : "none");
    if (o->poll_us < 10 * USEC_PER_MSEC || o->fresh_us < 2 * o->settled_us ||
        o->dead_us < o->fresh_us)
        return error_set(err, -EINVAL,
            "--poll is at least 10ms, --fresh twice --settled_poll, --dead_after not less than "
            "--fresh");
    if (!streq(o->backend, "STATIC") && (o->masters < 1 || o->masters > MASTERS_MAX))
        return error_set(err, -EINVAL, "--masters must be from 1 to %d", MASTERS_MAX);
    return 0;
}

/* The worker and the store that it uses, or the fixed servers. */
static int open_worker(
    const struct options *o, struct worker **ret, struct shared **ret_shared, struct error *err)
{
    struct worker_options w = {.local = {o->folder, o->run_folder, o->client_port},
        .poll_us = o->poll_us,
        .settled_us = o->settled_us,
        .client_port = o->client_port,
        .core = {.masters = (uint32_t)o->masters, .fresh_us = o->fresh_us, .dead_us = o->dead_us}};
    struct document fixed;
    int r = check(o, err);
    if (r < 0)
        return r;
    snprintf(w.core.address, sizeof(w.core.address), "%s", o->ip);
    if (streq(o->backend, "STATIC")) {
        r = document_of_ensemble(o->staticensemble ? o->staticensemble : "", &fixed, err);
        return r < 0 ? error_prefix(err, r, "--staticensemble")
                     : worker_new(&w, NULL, &fixed, ret, err);
    }
    local_draw(w.core.cluster);
    r = local_token(&w.local, w.core.token, err);
    if (r == 0)
        r = store_open(o->backend, &o->store, o->ip, ret_shared, err);
    return r < 0 ? r : worker_new(&w, *ret_shared, NULL, ret, err);
}

static int serve(const struct options *o, struct error *err)
{
    struct shared *shared = NULL;
    struct api api = {.client_port = o->client_port};
    struct loop *loop = loop_new();
    struct loop_signal *term = loop_signal_new(loop, SIGTERM, on_signal, loop);
    struct loop_signal *intr = loop_signal_new(loop, SIGINT, on_signal, loop);
    struct http_server *server = NULL;
    uint16_t port = o->port;
    int r = open_worker(o, &api.worker, &shared, err);
    if (r == 0) {
        server = http_server_new(loop, NULL, api_handle, &api);
        r = http_server_listen(server, o->listen, port, NULL, &port, err);
    }
    if (r == 0) {
        log_info("serving address=%s:%u backend=%s version=%s", o->listen, port, o->backend,
            DCOS_VERSION);
        daemon_tell_ready(o->ready_file, o->listen, port, NULL);
        loop_run(loop);
    }
    if (server)
        http_server_free(server);
    loop_signal_free(term);
    loop_signal_free(intr);
    worker_free(api.worker);
    shared_free(shared);
    loop_free(loop);
    return r;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct store_options *s = &o.store;
    struct flag flags[] = {
        {"backend", FLAG_STRING, &o.backend, "STATIC", "KIND",
            "where masters find each other: STATIC, SHARED_FS, ZK, AWS_S3 or AZURE"},
        {"masters", FLAG_I64, &o.masters, "0", "N", "how many masters make an ensemble"},
        {"ip", FLAG_STRING, &o.ip, NULL, "ADDRESS", "this master's address"},
        {"staticensemble", FLAG_STRING, &o.staticensemble, NULL, "LIST",
            "STATIC: id:address,... of the servers"},
        {"fsconfigdir", FLAG_STRING, &s->folder, NULL, "PATH",
            "SHARED_FS: a folder that all masters mount"},
        {"zk_connect", FLAG_STRING, &s->zk_connect, NULL, "LIST",
            "ZK: other ZooKeeper servers, host:port,..."},
        {"zk_path", FLAG_STRING, &s->zk_path, NULL, "PATH", "ZK: a node there"},
        {"s3_bucket", FLAG_STRING, &s->s3_bucket, NULL, "NAME", "AWS_S3: the bucket"},
        {"s3_prefix", FLAG_STRING, &s->s3_prefix, NULL, "TEXT", "AWS_S3: how names begin there"},
        {"aws_region", FLAG_STRING, &s->aws_region, NULL, "NAME", "AWS_S3: the bucket's region"},
        {"s3_endpoint", FLAG_STRING, &s->s3_endpoint, NULL, "URL",
            "AWS_S3: who speaks like Amazon's S3, in place of Amazon"},
        {"azure_account_name", FLAG_STRING, &s->azure_account, NULL, "NAME",
            "AZURE: the storage account"},
        {"azure_account_key", FLAG_STRING, &s->azure_key, NULL, "BASE64", "AZURE: its key",
            .secret = true},
        {"azure_container", FLAG_STRING, &s->azure_container, "dcos-exhibitor", "NAME",
            "AZURE: the container, made when there is none"},
        {"azure_prefix", FLAG_STRING, &s->azure_prefix, NULL, "TEXT",
            "AZURE: how names begin there"},
        {"azure_endpoint", FLAG_STRING, &s->azure_endpoint, NULL, "URL",
            "AZURE: in place of https://ACCOUNT.blob.core.windows.net"},
        {"client_port", FLAG_PORT, &o.client_port, "2181", "PORT", "of the ZooKeeper servers"},
        {"folder", FLAG_STRING, &o.folder, "/var/lib/dcos/zookeeper", "PATH",
            "where ZooKeeper's files and what is known of the ensemble are"},
        {"run_folder", FLAG_STRING, &o.run_folder, NULL, "PATH",
            "where the file \"servers\" is written for clients on this node"},
        {"listen", FLAG_STRING, &o.listen, "0.0.0.0", "ADDRESS", "address of the HTTP API"},
        {"port", FLAG_PORT, &o.port, "8181", "PORT", "its port; 0 picks a free one"},
        {"follow", FLAG_STRING, &o.follow, NULL, "URL",
            "be no master: ask there, http://HOST:PORT, for the servers, and write --run_folder"},
        {"poll", FLAG_DURATION, &o.poll_us, "2secs", "DURATION",
            "how often ZooKeeper is looked at, and the store while something is under way"},
        {"settled_poll", FLAG_DURATION, &o.settled_us, "15secs", "DURATION",
            "how often the store is looked at otherwise"},
        {"fresh", FLAG_DURATION, &o.fresh_us, "60secs", "DURATION",
            "a master that was heard of in this time is alive"},
        {"dead_after", FLAG_DURATION, &o.dead_us, "10mins", "DURATION",
            "one that was not in this time may be replaced"},
        {"logging_level", FLAG_STRING, &o.logging_level, "INFO", "LEVEL",
            "error, warning, info or debug"},
        {"ready_file", FLAG_STRING, &o.ready_file, NULL, "PATH",
            "written once it serves: {\"ip\",\"port\",\"pid\"}"},
    };
    static const struct program program = {.name = "dcos-exhibitor",
        .summary = "Makes the masters' ZooKeeper servers one ensemble.",
        .env_prefix = "EXHIBITOR",
        .version = DCOS_VERSION};
    struct error err = ERROR_INIT;
    umask(022); /* one file is for everybody, the others say whom they are for */
    log_init("dcos-exhibitor");
    int r = flags_parse(&program, flags, ARRAY_SIZE(flags), argc, argv, &err);
    if (r == 0)
        r = daemon_log_level(o.logging_level, &err);
    if (r == 0 && o.follow && !o.run_folder)
        r = error_set(&err, -EINVAL, "--follow needs --run_folder");
    if (r < 0)
        fprintf(stderr, "dcos-exhibitor: %s\n", err.msg);
    if (r != 0)
        return r > 0 ? 0 : 2;
    /* This program's own ZooKeeper is another one than that of the cluster. */
    unsetenv("DCOS_ZOOKEEPER_SERVERS");
    if (o.follow)
        follow_run(&(struct follow_options){.url = o.follow,
            .port = o.port,
            .local = {NULL, o.run_folder, o.client_port},
            .poll_us = o.settled_us});
    r = serve(&o, &err);
    if (r < 0)
        log_error("cannot start error=%s", err.msg);
    return r < 0;
}
