#include <errno.h>

#include "pkgpanda/internal.h"
#include "pkgpanda/run.h"

/* systemctl. */

enum { NOT_LOADED = 5 /* exit status of stop for a unit that systemd does not know */ };

static int systemctl(const char *const *argv, bool tolerate_unknown, struct error *err)
{
    _cleanup_buf_ struct buf output = BUF_INIT;
    const struct run_options options = {.output = &output};
    int r = run_program(argv, &options, err);
    if (r <= 0 || (tolerate_unknown && r == NOT_LOADED))
        return MIN(r, 0);
    struct str text = str_trim(buf_str(&output));
    return error_set(err, -EIO, "systemctl %s ended with %d: %.*s", argv[1], r,
        (int)MIN(text.n, (size_t)400), text.p);
}

int systemd_stop(const struct install *in, const struct strings *units, struct error *err)
{
    if (!in->manage_systemd || units->n == 0)
        return 0;
    VEC(const char *) argv = {0};
    vec_push(&argv, "systemctl");
    vec_push(&argv, "stop");
    if (!in->block_systemd)
        vec_push(&argv, "--no-block");
    for (size_t i = 0; i < units->n; i++)
        vec_push(&argv, units->items[i]);
    vec_push(&argv, NULL);
    int r = systemctl(argv.items, true, err);
    vec_done(&argv);
    return r;
}

int systemd_reload(const struct install *in, struct error *err)
{
    const char *const argv[] = {"systemctl", "daemon-reload", NULL};
    return in->manage_systemd ? systemctl(argv, false, err) : 0;
}

int systemd_start_target(const struct install *in, bool block, struct error *err)
{
    if (!in->manage_systemd)
        return 0;
    const char *const enable[] = {"systemctl", "enable", TARGET_NAME, "--no-reload", NULL};
    const char *const start[] = {
        "systemctl", "start", TARGET_NAME, block ? NULL : "--no-block", NULL};
    int r = systemd_reload(in, err);
    if (r == 0)
        r = systemctl(enable, false, err);
    return r < 0 ? r : systemctl(start, false, err);
}

int systemd_stop_target(const struct install *in, struct error *err)
{
    const char *const stop[] = {"systemctl", "stop", TARGET_NAME, NULL};
    const char *const disable[] = {"systemctl", "disable", TARGET_NAME, "--no-reload", NULL};
    if (!in->manage_systemd)
        return 0;
    int r = systemctl(stop, true, err);
    return r < 0 ? r : systemctl(disable, true, err);
}
