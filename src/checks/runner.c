#include "checks/runner.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "io/process.h"

struct outcome {
    struct check_run *run;
    const struct check *check;
    struct process *process;
    int status;
    struct buf output;
    char *failure; /* why it could not be started */
};

struct check_run {
    struct loop *loop;
    const struct check_config *config;
    struct outcome *items;
    size_t n, next, running;
    char **missing;
    size_t n_missing;
    check_run_cb done;
    void *userdata;
    struct deferred step;
};

static bool chosen(const struct check *check, const struct check_choice *choice)
{
    if (!(check->roles & choice->role))
        return false;
    for (size_t i = 0; i < choice->n_names; i++)
        if (streq(choice->names[i], check->name))
            return true;
    return choice->n_names == 0;
}

size_t check_missing(
    const struct check_config *c, const struct check_choice *choice, const char **ret)
{
    const struct check_list *l = check_config_list(c, choice->type);
    size_t n = 0;
    for (size_t i = 0; i < choice->n_names; i++) {
        size_t j = 0;
        while (j < l->n && (!streq(l->items[j]->name, choice->names[i]) ||
                               !(l->items[j]->roles & choice->role)))
            j++;
        if (j == l->n)
            ret[n++] = choice->names[i];
    }
    return n;
}

static void on_check_exit(const struct process_result *result, void *userdata)
{
    struct outcome *o = userdata;
    struct check_run *run = o->run;
    o->process = NULL;
    buf_append(&o->output, result->out.p, result->out.n);
    buf_append(&o->output, result->err.p, result->err.n);
    int code = WIFEXITED(result->status) ? WEXITSTATUS(result->status) : CHECK_UNKNOWN;
    o->status = code > CHECK_UNKNOWN ? CHECK_UNKNOWN : code;
    if (result->timed_out) {
        o->status = CHECK_UNKNOWN;
        buf_printf(&o->output, "%sthe check was ended: it took longer than %s\n",
            o->output.n && o->output.p[o->output.n - 1] != '\n' ? "\n" : "",
            o->check->timeout_text);
    }
    run->running--;
    loop_defer(run->loop, &run->step);
}

static void start(struct outcome *o)
{
    struct error err = ERROR_INIT;
    const struct process_options options = {.argv = o->check->argv,
        .envp = check_config_env(o->run->config),
        .capture_max = CHECK_OUTPUT_MAX,
        .timeout_us = o->check->timeout_us,
        .own_group = true};
    if (process_start(o->run->loop, &options, on_check_exit, o, &o->process, &err) < 0) {
        o->status = CHECK_UNKNOWN;
        o->failure = xstrdup(err.msg);
    } else {
        o->run->running++;
    }
}

static void step(struct deferred *d)
{
    struct check_run *run = container_of(d, struct check_run, step);
    while (run->next < run->n && run->running < CHECKS_AT_ONCE)
        start(&run->items[run->next++]);
    if (run->running == 0)
        run->done(run, run->userdata);
}

struct check_run *check_run_start(struct loop *l, const struct check_config *c,
    const struct check_choice *choice, check_run_cb done, void *userdata)
{
    const struct check_list *list = check_config_list(c, choice->type);
    struct check_run *run = xnew(struct check_run);
    run->loop = l;
    run->config = c;
    run->done = done;
    run->userdata = userdata;
    run->items = xnew_array(struct outcome, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        if (chosen(list->items[i], choice))
            run->items[run->n++] = (struct outcome){.run = run, .check = list->items[i]};
    run->missing = xnew_array(char *, choice->n_names + 1);
    run->n_missing = check_missing(c, choice, (const char **)run->missing);
    for (size_t i = 0; i < run->n_missing; i++)
        run->missing[i] = xstrdup(run->missing[i]);
    deferred_init(&run->step, step);
    loop_defer(l, &run->step);
    return run;
}

void check_run_free(struct check_run *run)
{
    if (!run)
        return;
    deferred_cancel(&run->step);
    for (size_t i = 0; i < run->n; i++) {
        process_abandon(run->items[i].process);
        buf_done(&run->items[i].output);
        free(run->items[i].failure);
    }
    for (size_t i = 0; i < run->n_missing; i++)
        free(run->missing[i]);
    free(run->missing);
    free(run->items);
    free(run);
}

int check_run_status(const struct check_run *run)
{
    int worst = run->n_missing ? CHECK_UNKNOWN : CHECK_OK;
    for (size_t i = 0; i < run->n; i++)
        worst = MAX(worst, run->items[i].status);
    return worst;
}

static bool write_problems(const struct check_run *run, struct json_writer *w)
{
    bool failed = false;
    for (size_t i = 0; i < run->n; i++)
        failed = failed || run->items[i].failure;
    if (!failed && run->n_missing == 0)
        return false;
    jw_field_string(w, "error",
        run->n_missing ? "Some of the requested checks do not exist on this node."
                       : "Some of the requested checks could not be run.");
    jw_key(w, "checks");
    jw_begin_array(w);
    for (size_t i = 0; i < run->n_missing; i++) {
        _cleanup_free_ char *text = xasprintf("%s: check not found", run->missing[i]);
        jw_string(w, text);
    }
    for (size_t i = 0; i < run->n; i++)
        if (run->items[i].failure) {
            _cleanup_free_ char *text = xasprintf(
                "%s: %s", run->items[i].check->name, run->items[i].failure);
            jw_string(w, text);
        }
    jw_end_array(w);
    return true;
}

void check_run_write(const struct check_run *run, struct json_writer *w)
{
    jw_begin_object(w);
    if (!write_problems(run, w)) {
        jw_field_i64(w, "status", check_run_status(run));
        jw_key(w, "checks");
        jw_begin_object(w);
        for (size_t i = 0; i < run->n; i++) {
            const struct outcome *o = &run->items[i];
            jw_key(w, o->check->name);
            jw_begin_object(w);
            jw_field_i64(w, "status", o->status);
            jw_key(w, "output");
            jw_string_n(w, buf_cstr(&o->output), o->output.n);
            jw_end_object(w);
        }
        jw_end_object(w);
    }
    jw_end_object(w);
}

void check_list_write(
    const struct check_config *c, const struct check_choice *choice, struct json_writer *w)
{
    const struct check_list *list = check_config_list(c, choice->type);
    jw_begin_object(w);
    for (size_t i = 0; i < list->n; i++) {
        const struct check *check = list->items[i];
        if (!chosen(check, choice))
            continue;
        jw_key(w, check->name);
        jw_begin_object(w);
        jw_field_string(w, "description", check->description);
        jw_key(w, "cmd");
        jw_begin_array(w);
        for (size_t j = 0; check->argv[j]; j++)
            jw_string(w, check->argv[j]);
        jw_end_array(w);
        jw_field_string(w, "timeout", check->timeout_text);
        jw_end_object(w);
    }
    jw_end_object(w);
}
