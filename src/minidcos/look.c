/* minidcos status, list, logs */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "console/table.h"
#include "minidcos/commands.h"
#include "minidcos/door.h"

enum { FOLLOW_MS = 100, EXIT_NOT_RUNNING = 3 };

static void put_age(struct table *t, int64_t us)
{
    long long s = us / USEC_PER_SEC;
    if (s < 120)
        table_cell_f(t, "%llds", s);
    else if (s < 7200)
        table_cell_f(t, "%lldm", s / 60);
    else if (s < 172800)
        table_cell_f(t, "%lldh", s / 3600);
    else
        table_cell_f(t, "%lldd", s / 86400);
}

static void print_status(struct cluster *c, bool supervised)
{
    static const char *const headers[] = {
        "DAEMON", "ADDRESS", "STATE", "PID", "UP", "RESTARTS", "CPUS", "MEM", "TASK PORTS"};
    struct table t;
    _cleanup_buf_ struct buf text = BUF_INIT;
    table_init(&t, headers, ARRAY_SIZE(headers));
    VEC_FOREACH (d, &c->daemons) {
        bool alive = process_alive(d->pid, d->start);
        table_cell(&t, d->name);
        table_cell_f(&t, "%s:%u", d->ip, d->port);
        table_cell(&t, alive ? daemon_state_text(d->state) : supervised ? "waiting" : "stopped");
        if (alive) {
            table_cell_f(&t, "%d", (int)d->pid);
            put_age(&t, clock_realtime_us() - d->started_us);
        } else {
            table_cell(&t, "-");
            table_cell(&t, "-");
        }
        table_cell_f(&t, "%lld", (long long)d->restarts);
        if (d->cgroups_root) {
            table_cell_f(&t, "%.3f", (double)d->cpus_milli / 1000);
            table_cell_f(&t, "%lld", (long long)d->mem_mb);
            table_cell_f(&t, "%u-%u", d->ports_from, d->ports_to);
        } else {
            for (int i = 0; i < 3; i++)
                table_cell(&t, "");
        }
    }
    table_print(&t, &text);
    fwrite(text.p, 1, text.n, stdout);
    table_done(&t);
}

static int run_status(const struct invocation *inv, struct error *err)
{
    struct cluster c;
    int r = load_of(inv, &c, err);
    if (r < 0)
        return r;
    bool supervised = cluster_is_supervised(&c);
    if (option_bool(inv, "json")) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        if (!supervised)
            c.supervisor_pid = 0;
        VEC_FOREACH (d, &c.daemons) {
            if (!process_alive(d->pid, d->start)) {
                d->pid = 0;
                d->state = supervised ? DAEMON_WAITING : DAEMON_STOPPED;
            }
        }
        cluster_to_json(&c, &text);
        fwrite(text.p, 1, text.n, stdout);
    } else {
        printf("cluster '%s' in %s\n", c.name, c.dir);
        print_status(&c, supervised);
        door_print(&c);
        if (supervised)
            printf("its dcos commands: DCOS_DIR=%s/cli%s%s\n", c.home,
                streq(c.name, "default") ? "" : " DCOS_CLUSTER=",
                streq(c.name, "default") ? "" : c.name);
        else
            printf("it is stopped; 'minidcos create %s' starts it, 'minidcos destroy %s' clears it "
                   "away\n",
                c.name, c.name);
    }
    cluster_done(&c);
    return supervised ? 0 : EXIT_NOT_RUNNING;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int run_list(const struct invocation *inv, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = home_of(inv, &home, err);
    if (r < 0)
        return r;
    VEC(char *) names = {0};
    DIR *dir = opendir(home);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        _cleanup_free_ char *file = path_join(home, e->d_name, "cluster.json");
        if (e->d_name[0] != '.' && path_exists(file))
            vec_push(&names, xstrdup(e->d_name));
    }
    if (dir)
        closedir(dir);
    if (names.n)
        qsort(names.items, names.n, sizeof(*names.items), by_name);
    VEC_FOREACH (name, &names) {
        printf("%s\n", *name);
        free(*name);
    }
    vec_done(&names);
    return 0;
}

/* ---- logs ---- */

struct log_file {
    const char *name, *path;
    int fd;
    int64_t offset;
};

static void log_open(struct log_file *f)
{
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    f->offset = 0;
}

/* Offset of the last `lines` lines. */
static int64_t find_tail(int fd, int64_t size, int64_t lines)
{
    char piece[16384];
    int64_t seen = 0;
    for (int64_t at = size; at > 0;) {
        int64_t n = MIN(at, (int64_t)sizeof(piece));
        if (pread(fd, piece, (size_t)n, at - n) != n)
            return at;
        for (int64_t i = n - 1; i >= 0; i--) {
            if (piece[i] == '\n' && at - n + i != size - 1 && ++seen == lines)
                return at - n + i + 1;
        }
        at -= n;
    }
    return 0;
}

/* Prints what is new; returns how many bytes. */
static int64_t log_print(struct log_file *f, bool title)
{
    char piece[16384];
    int64_t sum = 0;
    for (ssize_t n; (n = pread(f->fd, piece, sizeof(piece), f->offset)) > 0; sum += n) {
        if (title && sum == 0)
            printf("==> %s <==\n", f->name);
        fwrite(piece, 1, (size_t)n, stdout);
        f->offset += n;
    }
    return sum;
}

/* A file that was moved away at a restart is followed under its name. */
static void log_reopen(struct log_file *f)
{
    struct stat now, open_one;
    if (stat(f->path, &now) < 0)
        return;
    if (f->fd >= 0 && fstat(f->fd, &open_one) == 0 && open_one.st_ino == now.st_ino)
        return;
    fd_close(f->fd);
    log_open(f);
}

static int run_logs(const struct invocation *inv, struct error *err)
{
    struct cluster c;
    const char *word = arg_at(inv, 0) ?: "all";
    int64_t lines = option_i64(inv, "lines", 10);
    if (lines < 0)
        return error_set(err, -EINVAL, "--lines must not be negative");
    int r = load_of(inv, &c, err);
    if (r < 0)
        return r;
    bool chosen[CLUSTER_NODES_MAX + 8] = {false};
    _cleanup_free_ char *own = path_join(c.dir, "logs", "supervisor.log");
    VEC(struct log_file) files = {0};
    if (streq(word, "supervisor")) {
        vec_push(&files, (struct log_file){.name = "supervisor", .path = own});
    } else {
        r = c.daemons.n <= ARRAY_SIZE(chosen) ? cluster_resolve(&c, word, chosen, err)
                                              : error_set(err, -E2BIG, "too many daemons");
        for (size_t i = 0; r > 0 && i < c.daemons.n; i++) {
            const struct daemon *d = &c.daemons.items[i];
            if (chosen[i])
                vec_push(&files, (struct log_file){.name = d->name, .path = d->log});
        }
    }
    VEC_FOREACH (f, &files) {
        struct stat st;
        log_open(f);
        if (f->fd >= 0 && fstat(f->fd, &st) == 0)
            f->offset = lines ? find_tail(f->fd, st.st_size, lines) : st.st_size;
        log_print(f, files.n > 1);
    }
    const struct log_file *last = NULL;
    while (r >= 0 && option_bool(inv, "follow")) {
        VEC_FOREACH (f, &files) {
            log_reopen(f);
            if (f->fd >= 0 && log_print(f, files.n > 1 && last != f) > 0)
                last = f;
        }
        if (fflush(stdout) != 0 || !path_exists(c.dir))
            break;
        pause_ms(FOLLOW_MS);
    }
    VEC_FOREACH (f, &files)
        fd_close(f->fd);
    vec_done(&files);
    cluster_done(&c);
    return MIN(r, 0);
}

static const struct option_spec status_options[] = {
    OPTION_DIR, {"json", 0, OPTION_BOOL, "Print everything that is known, as JSON"}};
static const struct option_spec list_options[] = {OPTION_DIR};
static const struct option_spec logs_options[] = {OPTION_CLUSTER, OPTION_DIR,
    {"follow", 'f', OPTION_BOOL, "Go on with what is added"},
    {"lines", 'n', OPTION_I64, "Last lines of each log (10)"}};

const struct command command_status = {.name = "status",
    .arguments = "[<name>]",
    .summary = "Show the daemons of a cluster (exit code 3 when it is stopped)",
    OPTIONS(status_options),
    .max_args = 1,
    .run = run_status};
const struct command command_list = {.name = "list",
    .summary = "Print the names of all clusters of the folder",
    OPTIONS(list_options),
    .run = run_list};
const struct command command_logs = {.name = "logs",
    .arguments = "[<node>|<daemon>|supervisor]",
    .summary = "Print the logs of daemons",
    OPTIONS(logs_options),
    .max_args = 1,
    .run = run_logs};
