#ifndef DCOS_MKPANDA_SANDBOX_H
#define DCOS_MKPANDA_SANDBOX_H

/*
 * Where build scripts run: a root that holds nothing but the system's programs (read-only), the
 * package's own folders and its dependencies, without network, in namespaces of its own.
 *
 *   /pkg/src    sources, writable       /pkg/build  the package's folder
 *   /pkg/extra  its extra/, if any      /opt/mesosphere  dependencies, active
 *   /opt/mesosphere/packages/<id>       what is built, writable
 *
 * Without the right to make namespaces (no root, and no user namespaces) the script runs in a plain
 * folder of the machine and can see all of it: PKG_SRC, PKG_BUILD, PKG_EXTRA, PKG_ROOT and PKG_PATH
 * say where things are then. They are set in both cases.
 */

#include "base/error.h"

struct sandbox {
    const char *work;    /* folder of the build: root/, opt/, src/, result/ */
    const char *package; /* the package's folder */
    const char *script;  /* file in it */
    const char *id, *name, *version, *variant;
    const char *builder_root; /* a system's tree to build in; NULL = this machine's */
    bool isolated;            /* sandbox_can_isolate() */
    int log_fd;               /* output of the script; <= 0: ours */
};

bool sandbox_can_isolate(void);
/* 0, or -EIO when the script failed. */
int sandbox_run(const struct sandbox *s, struct error *err);
/* The system that is built in, as "debian-12": part of ids. Caller frees. */
int sandbox_builder(const char *builder_root, char **ret, struct error *err);

#endif
