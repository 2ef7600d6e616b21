#ifndef DCOS_CHECKS_SERVE_H
#define DCOS_CHECKS_SERVE_H

/*
 * The HTTP API of dcos-check-runner, which the router serves below /system/checks/v1 to whoever
 * may:
 *
 *     GET  BASE/node/?check=a&check=b     what there is          (node means node-poststart)
 *     POST BASE/node/ {"check": ["a"]}    runs, answers results  (all without a body; also a form)
 *     the same with cluster
 *
 * Reaching the socket is the permission: a check runs with this program's rights.
 */

#include "checks/config.h"

struct serve_options {
    const char *base;         /* "/system/checks/v1", no slash at the end */
    const char *host;         /* TCP, when there is no socket */
    uint16_t port;            /* 0 = any */
    const char *socket;       /* unix socket, or NULL */
    const char *socket_group; /* its owner, or NULL */
    bool systemd_socket;      /* the one that systemd hands over */
    unsigned role;
};

/* Serves until SIGTERM or SIGINT. 0, or a negative errno with err set. */
int checks_serve(
    const struct check_config *config, const struct serve_options *options, struct error *err);

#endif
