#ifndef DCOS_PKGPANDA_INTERNAL_H
#define DCOS_PKGPANDA_INTERNAL_H

/* What the parts of pkgpanda's library share. */

#include "pkgpanda/install.h"

#define NEW ".new"
#define OLD ".old"
#define UNIT_NEW ".unit.new"
#define PROGRESS_FILE "install_progress"
#define TARGET_NAME "dcos.target"

/* One part of what is swapped. */
struct part {
    char *folder; /* that it lies in */
    const char *name;
    bool directory;
};
struct parts {
    struct part items[10];
    size_t n;
};
/* `active` is first: its .old is what a rollback reads. */
void parts_init(struct parts *p, const struct install *in);
void parts_done(struct parts *p);
#define _cleanup_parts_ _cleanup_(parts_done)
char *part_path(const struct part *p, const char *suffix);

/* Paths as packages will see them. */
static inline const char *link_root(const struct install *in)
{
    return in->link_root ? in->link_root : in->root;
}
static inline const char *link_repository(const struct install *in)
{
    return in->link_repository ? in->link_repository : in->repository;
}

static inline void step(const struct install *in, const char *what)
{
    if (in->step)
        in->step(what, in->userdata);
}

/* The exclusive lock on the root, which is made. Close to unlock. */
int install_lock(const struct install *in, struct error *err);
int install_activate_locked(
    const struct install *in, const struct strings *ids, bool rollback, struct error *err);
int folder_sync(const char *path, struct error *err);

/* ---- link.c: the folders of links ---- */
int link_packages(const struct install *in, const struct packages *p, const struct strings *roles,
    struct error *err);

/* ---- environment.c: what is written about the set ---- */
int write_environment(const struct install *in, const struct packages *p, struct error *err);
int write_buildinfo(const struct install *in, const struct packages *p, struct error *err);
int write_service_configuration(
    const struct install *in, const struct packages *p, struct error *err);

/* ---- users.c ---- */
int ensure_users(const struct install *in, const struct packages *p, struct error *err);
int ensure_state_directories(const struct install *in, const struct packages *p, struct error *err);

/* ---- units.c: files of systemd ---- */
/* Puts the units of the staged wants folder beside their places. */
int units_stage(const struct install *in, struct error *err);
int units_in(const struct install *in, const char *suffix, struct strings *ret, struct error *err);
int units_remove(const struct install *in, const struct strings *units, struct error *err);
int units_place(const struct install *in, struct error *err);
int target_write(const struct install *in, struct error *err);
int target_remove(const struct install *in, struct error *err);

/* ---- systemd.c: the only caller of systemctl; without manage_systemd nothing happens ---- */
int systemd_stop(const struct install *in, const struct strings *units, struct error *err);
int systemd_start_target(const struct install *in, bool block, struct error *err);
int systemd_stop_target(const struct install *in, struct error *err);
int systemd_reload(const struct install *in, struct error *err);

/* ---- swap.c ---- */
int swap_discard(const struct install *in, struct error *err); /* a stage that is not used */
/* The staged set comes into force. `rollback` is remembered while it does. */
int swap_run(const struct install *in, bool rollback, struct error *err);
/* Finishes a swap that was cut off; 0 when there was none. */
enum { SWAP_RECOVERED = 1, SWAP_RECOVERED_ROLLBACK };
int swap_recover(const struct install *in, struct error *err);

/* ---- late.c: packages whose last values only the host knows ---- */
/* Makes the package that late-config.yaml names. *ret_id is NULL when there is none. */
int late_package(const struct install *in, const char *base_url, const struct trust *trust,
    char **ret_id, struct error *err);

#endif
