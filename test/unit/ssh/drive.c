#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "json/writer.h"
#include "ssh/chain.h"

/*
 * Runs the chain that a JSON document on stdin describes and prints the results as JSON, for
 * test/integration/test_ssh.py. Each event is a line on stderr. SIGINT cancels.
 */

enum { HOSTS_MAX = 64, STEPS_MAX = 16, INPUT_MAX = 1024 * 1024 };

static struct ssh_cancel g_cancel;

static void on_signal(int signum)
{
    ssh_cancel_raise(&g_cancel);
}

static void on_event(
    const struct chain *c, const struct chain_event *e, const struct chain_result *result)
{
    static const char *const names[] = {"host-started", "step-started", "step-done", "host-done"};
    fprintf(stderr, "%s %zu %zu %d\n", names[e->type], e->host, e->step, e->returncode);
}

static int read_steps(const json_t *in, struct chain_step *steps, struct ssh_file *files)
{
    size_t i;
    json_t *item;
    struct error err = ERROR_INIT;
    json_array_foreach(json_object_get(in, "steps"), i, item)
    {
        const char *copy = json_str_at(item, "copy", NULL);
        if (i >= STEPS_MAX)
            return -1;
        if (copy && ssh_file_init(&files[i], copy, &err) < 0) {
            fprintf(stderr, "%s\n", err.msg);
            return -1;
        }
        steps[i] = (struct chain_step){.stage = json_str_at(item, "stage", "step"),
            .text = json_str_at(item, "run", NULL),
            .file = copy ? &files[i] : NULL,
            .remote = json_str_at(item, "remote", NULL),
            .mode = (mode_t)json_i64_at(item, "mode", 0644),
            .always = json_bool_at(item, "always", false),
            .repeatable = json_bool_at(item, "repeatable", false),
            .timeout_us = json_i64_at(item, "timeout_ms", 0) * USEC_PER_MSEC};
    }
    return (int)i;
}

static int read_hosts(const json_t *in, struct chain_host *hosts)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(in, "hosts"), i, item)
    {
        if (i >= HOSTS_MAX)
            return -1;
        hosts[i] = (struct chain_host){.address = json_str_at(item, "address", "127.0.0.1"),
            .port = (uint16_t)json_i64_at(item, "port", 22),
            .role = json_str_at(item, "role", "agent"),
            .install_role = json_str_at(item, "install_role", NULL)};
    }
    return (int)i;
}

static void print_results(const struct chain_result *results, int n)
{
    struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    jw_begin_array(&w);
    for (int i = 0; i < n; i++) {
        jw_begin_object(&w);
        jw_field_string(&w, "status", chain_status_name(results[i].status));
        jw_field_i64(&w, "code", results[i].code);
        jw_field_string(&w, "reason", results[i].reason);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    puts(buf_cstr(&out));
    buf_done(&out);
}

int main(void)
{
    struct buf text = BUF_INIT;
    struct error err = ERROR_INIT;
    struct ssh_file files[STEPS_MAX] = {0};
    struct chain_step steps[STEPS_MAX];
    struct chain_host hosts[HOSTS_MAX];
    struct chain_result results[HOSTS_MAX];
    json_t *in = NULL;
    signal(SIGPIPE, SIG_IGN);
    if (file_read("/dev/stdin", INPUT_MAX, &text, &err) < 0 ||
        json_parse(buf_cstr(&text), text.n, &in, &err) < 0 ||
        ssh_cancel_init(&g_cancel, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 2;
    }
    signal(SIGINT, on_signal);
    int n_steps = read_steps(in, steps, files), n_hosts = read_hosts(in, hosts);
    if (n_steps < 0 || n_hosts < 0)
        return 2;
    const struct chain chain = {.name = json_str_at(in, "name", "chain"),
        .hosts = hosts,
        .n_hosts = (size_t)n_hosts,
        .steps = steps,
        .n_steps = (size_t)n_steps,
        .ssh = {.user = json_str_at(in, "user", "root"),
            .key_path = json_str_at(in, "key", ""),
            .known_hosts = json_str_at(in, "known_hosts", ""),
            .record_unknown = json_bool_at(in, "record", false),
            .connect_timeout_us = json_i64_at(in, "connect_timeout_ms", 5000) * USEC_PER_MSEC,
            .cancel = &g_cancel},
        .parallelism = (unsigned)json_i64_at(in, "parallelism", 20),
        .attempts = (unsigned)json_i64_at(in, "attempts", 1),
        .retry_pause_us = json_i64_at(in, "retry_pause_ms", 100) * USEC_PER_MSEC,
        .timeout_us = json_i64_at(in, "timeout_ms", 20000) * USEC_PER_MSEC,
        .state_path = json_str_at(in, "state", NULL),
        .log_folder = json_str_at(in, "logs", NULL),
        .progress = on_event};
    int r = chain_run(&chain, results, &err);
    if (r < 0)
        fprintf(stderr, "error: %s\n", err.msg);
    else
        print_results(results, n_hosts);
    for (int i = 0; i < n_steps; i++)
        ssh_file_done(&files[i]);
    ssh_cancel_done(&g_cancel);
    buf_done(&text);
    json_decref(in);
    return r < 0 ? 3 : r;
}
