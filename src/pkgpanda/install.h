#ifndef DCOS_PKGPANDA_INSTALL_H
#define DCOS_PKGPANDA_INSTALL_H

/*
 * What is active on a host: a root folder whose parts are links into packages.
 *
 * A change stages all parts beside the ones in force ("bin.new"), syncs them, and swaps: what was
 * in force becomes "bin.old". The file <root>/install_progress says how far a swap got; from its
 * first writing on, the next change or `setup` finishes the swap, before that the stage is thrown
 * away: so a change happens whole or not at all, wherever a kill or a power cut falls. Changes wait
 * for each other (flock on the root).
 *
 * Parts: active, active.buildinfo.full.json, bin, environment, environment.export, etc, include,
 * lib below the root, and dcos.target.wants in the folder of units.
 */

#include "pkgpanda/package.h"
#include "pkgpanda/trust.h"

struct install {
    const char *root;           /* "/opt/mesosphere" */
    const char *repository;     /* "/opt/mesosphere/packages" */
    const char *config_dir;     /* "/etc/mesosphere" */
    const char *state_dir_root; /* "/var/lib/dcos" */
    const char *systemd_dir;    /* "/etc/systemd/system"; NULL = units are left out altogether */
    /* Where root and repository will be when used; NULL = where they are. */
    const char *link_root, *link_repository;
    bool manage_systemd; /* call systemctl */
    bool block_systemd;  /* wait for units to stop and start */
    bool manage_users;
    bool manage_state;           /* make state directories; their users must exist or be managed */
    const struct strings *roles; /* NULL = the names in <config_dir>/roles */
    /* Called after every step that changes something on disk, for tests. NULL = nothing. */
    void (*step)(const char *what, void *userdata);
    void *userdata;
};

/* Ids of active packages, sorted. -ENOENT when nothing was ever activated, -EUCLEAN when a change
 * was cut off: the messages say what to do. */
int install_active(const struct install *in, struct strings *ret, struct error *err);

/* Makes exactly these packages active. Finishes a change that was cut off first. Then, with
 * manage_systemd, systemd reads its units again and dcos.target is enabled and started.
 * -EINVAL for a set that cannot be (packages_validate), -ENOENT for a package that is not there. */
int install_activate(const struct install *in, const struct strings *ids, struct error *err);
/* Replaces the active package of the same name. */
int install_swap_package(const struct install *in, const char *id, struct error *err);
/* Activates what was active before the last change; a rollback that was cut off is finished, and
 * not undone. -ENOENT when that is not known, or names the
 * packages that are no longer there. */
int install_rollback(const struct install *in, struct error *err);
/* Finishes a change that was cut off. 1 when there was one, else 0. */
int install_recover(const struct install *in, struct error *err);

/* First start and every boot. See docs/pkgpanda.md for what it reads below config_dir. */
int install_setup(const struct install *in, struct error *err);
/* Takes everything off the host but config_dir, state directories and users. */
int install_uninstall(const struct install *in, struct error *err);

/* Executables of active packages' check folders, sorted; NULL for none. */
struct install_check {
    char *path;
    bool executable;
};
struct install_checks {
    struct install_check *items;
    size_t n, cap;
};
int install_list_checks(const struct install *in, struct install_checks *ret, struct error *err);
void install_checks_done(struct install_checks *c);

#endif
