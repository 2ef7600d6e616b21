#include "ssh/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/list.h"
#include "base/utf8.h"

enum {
    WORKER_STACK = 512 * 1024,
    WRITE_STATE_MS = 500, /* the state file is written at most that often, and at the end */
};

/* What a worker tells the thread of chain_run. */
struct message {
    struct list node;
    struct chain_event event;
    char *cmd; /* of a finished step */
    struct buf out, err;
    int64_t date_us;
};

struct runner {
    const struct chain *chain;
    struct chain_result *results;
    struct ssh_cancel cancel; /* the caller's, or a failure of ours */
    pthread_mutex_t lock;
    pthread_cond_t news;
    /* under the lock */
    struct list messages;
    size_t next_host;
    unsigned running;
    int log_error;
};

/* One host's work, in its thread. */
struct worker {
    struct runner *runner;
    size_t host;
    struct ssh_link *link;
    struct ssh_settings ssh;
    int log;
    struct message *message; /* of the step that runs */
    struct chain_result result;
};

/* ---- talking to the caller's thread ---- */

static struct message *message_new(enum chain_event_type type, size_t host, size_t step)
{
    struct message *m = xnew(struct message);
    m->event = (struct chain_event){.type = type, .host = host, .step = step};
    return m;
}

static void message_free(struct message *m)
{
    free(m->cmd);
    buf_done(&m->out);
    buf_done(&m->err);
    free(m);
}

static void tell(struct runner *r, struct message *m)
{
    list_init(&m->node);
    pthread_mutex_lock(&r->lock);
    list_push(&r->messages, &m->node);
    pthread_cond_signal(&r->news);
    pthread_mutex_unlock(&r->lock);
}

static void write_log(struct worker *w, const char *p, size_t n)
{
    int r = w->log >= 0 ? fd_write_all(w->log, p, n) : 0;
    if (r == 0)
        return;
    pthread_mutex_lock(&w->runner->lock);
    if (!w->runner->log_error)
        w->runner->log_error = r;
    pthread_mutex_unlock(&w->runner->lock);
    ssh_cancel_raise(&w->runner->cancel);
}

static void _printf_(2, 3) log_line(struct worker *w, const char *fmt, ...)
{
    char stamp[TIME_TEXT_SIZE];
    _cleanup_buf_ struct buf line = BUF_INIT;
    time_format_rfc3339(clock_realtime_us(), stamp);
    buf_printf(&line, "--- %s %s ", stamp, w->runner->chain->name);
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&line, fmt, ap);
    va_end(ap);
    buf_putc(&line, '\n');
    write_log(w, line.p, line.n);
}

static void on_output(bool is_stderr, const char *p, size_t n, void *userdata)
{
    struct worker *w = userdata;
    struct buf *kept = is_stderr ? &w->message->err : &w->message->out;
    write_log(w, p, n);
    buf_append(kept, p, n);
    if (kept->n > 2 * CHAIN_OUTPUT_MAX)
        buf_consume(kept, kept->n - CHAIN_OUTPUT_MAX);
}

/* ---- a host ---- */

static bool may_come_back(int r)
{
    return r == -ECONNREFUSED || r == -ECONNRESET || r == -ETIMEDOUT || r == -EHOSTUNREACH ||
           r == -ENETUNREACH || r == -EPROTO || r == -EPIPE;
}

static int pause_before(struct worker *w, unsigned attempt)
{
    int64_t us = w->runner->chain->retry_pause_us ? w->runner->chain->retry_pause_us : USEC_PER_SEC;
    struct pollfd p = {.fd = w->runner->cancel.fd, .events = POLLIN};
    us <<= MIN(attempt, 6u);
    return poll(&p, 1, (int)(us / USEC_PER_MSEC)) > 0 ? -ECANCELED : 0;
}

static unsigned attempts_of(const struct chain *c)
{
    return c->attempts ? c->attempts : 1;
}

static int connect_host(struct worker *w, struct error *err)
{
    const struct chain_host *h = &w->runner->chain->hosts[w->host];
    if (w->link)
        return 0;
    for (unsigned attempt = 0;; attempt++) {
        int r = ssh_link_open(&w->ssh, h->address, h->port, &w->link, err);
        if (r == 0 || !may_come_back(r) || attempt + 1 >= attempts_of(w->runner->chain))
            return r;
        log_line(w, "%s; trying again", err->msg);
        if (pause_before(w, attempt) < 0)
            return error_set(err, -ECANCELED, "cancelled");
    }
}

/* The last line that says something, of what a command printed. */
static struct str last_line(const struct buf *text)
{
    struct str rest = str_trim(buf_str(text));
    for (size_t i = rest.n; i > 0; i--) {
        if (rest.p[i - 1] == '\n' || rest.p[i - 1] == '\r')
            return (struct str){rest.p + i, rest.n - i};
    }
    return rest;
}

static void set_reason(struct worker *w, const struct chain_step *step, int code,
    enum chain_status status, const char *text, size_t n)
{
    if (w->result.status == CHAIN_FAILED || w->result.status == CHAIN_TERMINATED)
        return; /* the first one counts */
    w->result.status = status;
    w->result.code = code;
    int k = snprintf(w->result.reason, sizeof(w->result.reason), "%s%s%.*s",
        step ? step->stage : "", step ? ": " : "", (int)MIN(n, (size_t)CHAIN_REASON_MAX), text);
    utf8_make_plain(w->result.reason, (size_t)MIN(k, CHAIN_REASON_MAX - 1));
}

static int try_step(
    struct worker *w, const struct chain_step *step, int *ret_status, struct error *err)
{
    const struct chain *c = w->runner->chain;
    const struct ssh_output output = {on_output, w};
    int64_t timeout = step->timeout_us ? step->timeout_us : c->timeout_us;
    for (unsigned attempt = 0;; attempt++) {
        int r = connect_host(w, err);
        if (r == 0)
            r = step->file
                    ? ssh_link_copy(w->link, step->file, step->remote, step->mode, timeout, &output,
                          ret_status, err)
                    : ssh_link_run(w->link, w->message->cmd, timeout, &output, ret_status, err);
        if (r == 0)
            return 0;
        ssh_link_close(TAKE_PTR(w->link));
        if (r != -ECONNRESET || !(step->file || step->repeatable) || attempt + 1 >= attempts_of(c))
            return r;
        log_line(w, "%s; trying again", err->msg);
        if (pause_before(w, attempt) < 0)
            return error_set(err, -ECANCELED, "cancelled");
    }
}

static void run_step(struct worker *w, size_t i)
{
    const struct chain *c = w->runner->chain;
    const struct chain_step *step = &c->steps[i];
    struct error err = ERROR_INIT;
    int status = -1;
    tell(w->runner, message_new(CHAIN_STEP_STARTED, w->host, i));
    struct message *m = w->message = message_new(CHAIN_STEP_DONE, w->host, i);
    m->cmd = step->file   ? xasprintf("copy %s to %s", step->file->path, step->remote)
             : step->text ? xstrdup(step->text)
                          : step->command(&c->hosts[w->host], c->userdata);
    m->date_us = clock_realtime_us();
    log_line(w, "%s: %s", step->stage, m->cmd);
    int r = try_step(w, step, &status, &err);
    if (r < 0) {
        log_line(w, "%s: %s", step->stage, err.msg);
        if (m->err.n > 0 && m->err.p[m->err.n - 1] != '\n')
            buf_putc(&m->err, '\n');
        buf_puts(&m->err, err.msg);
    } else {
        log_line(w, "%s: exit status %d", step->stage, status);
    }
    m->event.returncode = status;
    if (r < 0 && !step->always) {
        set_reason(w, step, r, r == -ETIMEDOUT || r == -ECANCELED ? CHAIN_TERMINATED : CHAIN_FAILED,
            err.msg, strlen(err.msg));
    } else if (status != 0 && !step->always) {
        struct str line = last_line(
            m->err.n > 0 && str_trim(buf_str(&m->err)).n > 0 ? &m->err : &m->out);
        char text[CHAIN_REASON_MAX];
        int n = line.n > 0 ? snprintf(text, sizeof(text), "%.*s (exit status %d)",
                                 (int)MIN(line.n, (size_t)CHAIN_REASON_MAX - 40), line.p, status)
                           : snprintf(text, sizeof(text), "exit status %d", status);
        set_reason(w, step, status, CHAIN_FAILED, text, (size_t)n);
    }
    w->message = NULL;
    tell(w->runner, m);
}

static int open_log(struct worker *w, struct error *err)
{
    const struct chain *c = w->runner->chain;
    const struct chain_host *h = &c->hosts[w->host];
    if (!c->log_folder)
        return 0;
    _cleanup_free_ char *name = xasprintf("%s_%u.log", h->address, h->port);
    _cleanup_free_ char *path = path_join(c->log_folder, name);
    w->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return w->log < 0 ? error_errno(err, -errno, "%s", path) : 0;
}

static void run_host(struct runner *r, size_t host)
{
    const struct chain *c = r->chain;
    struct worker w = {.runner = r, .host = host, .log = -1, .ssh = c->ssh};
    struct error err = ERROR_INIT;
    w.ssh.cancel = &r->cancel;
    tell(r, message_new(CHAIN_HOST_STARTED, host, 0));
    w.result.status = CHAIN_RUNNING;
    int code = open_log(&w, &err);
    if (code == 0)
        code = connect_host(&w, &err);
    if (code < 0) {
        log_line(&w, "%s", err.msg);
        set_reason(&w, NULL, code, code == -ECANCELED ? CHAIN_TERMINATED : CHAIN_FAILED, err.msg,
            strlen(err.msg));
    }
    for (size_t i = 0; i < c->n_steps && code == 0; i++) {
        const struct chain_step *step = &c->steps[i];
        bool wanted = !step->role || streq(step->role, c->hosts[host].role);
        if (wanted && (w.result.status == CHAIN_RUNNING || step->always))
            run_step(&w, i);
    }
    if (w.result.status == CHAIN_RUNNING)
        w.result.status = CHAIN_SUCCESS;
    log_line(&w, "%s%s%s", chain_status_name(w.result.status), w.result.reason[0] ? ": " : "",
        w.result.reason);
    ssh_link_close(w.link);
    fd_close(w.log);
    r->results[host] = w.result; /* read after the message only */
    tell(r, message_new(CHAIN_HOST_DONE, host, 0));
}

static void *worker_main(void *arg)
{
    struct runner *r = arg;
    for (;;) {
        pthread_mutex_lock(&r->lock);
        bool go = r->next_host < r->chain->n_hosts && !ssh_cancel_raised(&r->cancel) &&
                  !(r->chain->ssh.cancel && ssh_cancel_raised(r->chain->ssh.cancel));
        size_t host = go ? r->next_host++ : 0;
        if (!go) {
            r->running--;
            pthread_cond_signal(&r->news);
        }
        pthread_mutex_unlock(&r->lock);
        if (!go)
            return NULL;
        run_host(r, host);
    }
}

/* ---- the caller's thread ---- */

static void take_message(struct runner *r, struct chain_state *state, struct message *m)
{
    const struct chain *c = r->chain;
    const struct chain_step *step = c->n_steps ? &c->steps[m->event.step] : NULL;
    if (m->event.type == CHAIN_STEP_DONE) {
        struct chain_command command = {.cmd = m->cmd,
            .stage = step->stage,
            .out = buf_str(&m->out),
            .err = buf_str(&m->err),
            .returncode = m->event.returncode,
            .date_us = m->date_us};
        chain_state_command(state, m->event.host, &command);
    } else if (m->event.type == CHAIN_HOST_DONE) {
        chain_state_host(state, m->event.host, r->results[m->event.host].status);
    }
    if (c->progress)
        c->progress(
            c, &m->event, m->event.type == CHAIN_HOST_DONE ? &r->results[m->event.host] : NULL);
}

/* Waits for news, at most so long. Moves the messages to `ret`; false when all workers ended. */
static bool wait_for_news(struct runner *r, struct list *ret)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WRITE_STATE_MS * 1000000L / 2;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&r->lock);
    if (list_empty(&r->messages) && r->running > 0)
        pthread_cond_timedwait(&r->news, &r->lock, &until);
    list_splice(ret, &r->messages);
    bool more = r->running > 0 || !list_empty(ret);
    pthread_mutex_unlock(&r->lock);
    return more;
}

static int follow_workers(struct runner *r, struct chain_state *state, struct error *err)
{
    struct list messages;
    int64_t written = 0;
    bool dirty = false;
    int result = 0;
    list_init(&messages);
    while (wait_for_news(r, &messages)) {
        if (r->chain->ssh.cancel && ssh_cancel_raised(r->chain->ssh.cancel))
            ssh_cancel_raise(&r->cancel);
        LIST_FOREACH_SAFE (m, &messages, struct message, node) {
            list_remove(&m->node);
            dirty = dirty || m->event.type == CHAIN_STEP_DONE || m->event.type == CHAIN_HOST_DONE;
            take_message(r, state, m);
            message_free(m);
        }
        int64_t now = clock_monotonic_us();
        if (dirty && now - written >= WRITE_STATE_MS * USEC_PER_MSEC && result == 0) {
            result = chain_state_write(state, err);
            dirty = false;
            written = now;
            if (result < 0)
                ssh_cancel_raise(&r->cancel);
        }
    }
    if (dirty && result == 0)
        result = chain_state_write(state, err);
    if (result == 0 && r->log_error)
        result = error_errno(err, r->log_error, "%s: a host's log", r->chain->log_folder);
    return result;
}

static int start_workers(struct runner *r, pthread_t *threads, unsigned n, struct error *err)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int code = 0;
    unsigned started = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    sigfillset(&all); /* signals are the program's thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r->running = n;
    while (started < n && code == 0) {
        code = pthread_create(&threads[started], &attributes, worker_main, r);
        started += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    pthread_mutex_lock(&r->lock);
    r->running -= n - started;
    pthread_mutex_unlock(&r->lock);
    return started > 0 ? (int)started : error_errno(err, -code, "cannot start a thread");
}

static int run_all(struct runner *r, struct chain_state *state, struct error *err)
{
    const struct chain *c = r->chain;
    pthread_t threads[CHAIN_PARALLEL_MAX];
    unsigned n = MIN(MAX(c->parallelism, 1u), (unsigned)CHAIN_PARALLEL_MAX);
    int started = start_workers(r, threads, (unsigned)MIN((size_t)n, c->n_hosts), err);
    if (started < 0)
        return started;
    int result = follow_workers(r, state, err);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return result;
}

int chain_run(const struct chain *chain, struct chain_result *results, struct error *err)
{
    _cleanup_(chain_state_freep)
    struct chain_state *state = NULL;
    struct runner runner = {.chain = chain,
        .results = results,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .news = PTHREAD_COND_INITIALIZER};
    list_init(&runner.messages);
    if (chain->n_hosts > CHAIN_HOSTS_MAX)
        return error_set(err, -E2BIG, "more than %d hosts", CHAIN_HOSTS_MAX);
    for (size_t i = 0; i < chain->n_hosts; i++)
        results[i] = (struct chain_result){.status = CHAIN_UNSTARTED};
    int r = chain->log_folder ? mkdir_all(chain->log_folder, 0755, err) : 0;
    if (r == 0)
        r = chain_state_open(chain, &state, err);
    if (r == 0)
        r = chain_state_write(state, err);
    if (r == 0 && chain->n_hosts > 0)
        r = ssh_cancel_init(&runner.cancel, err);
    if (r < 0 || chain->n_hosts == 0)
        return r;
    r = run_all(&runner, state, err);
    ssh_cancel_done(&runner.cancel);
    if (r < 0)
        return r;
    for (size_t i = 0; i < chain->n_hosts; i++) {
        if (results[i].status != CHAIN_SUCCESS)
            r = 1;
    }
    return r;
}
