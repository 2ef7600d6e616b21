#ifndef DCOS_PKGPANDA_API_H
#define DCOS_PKGPANDA_API_H

/*
 * `pkgpanda api`: the HTTP API of the original's pkgpanda-api on a unix socket, which the router
 * serves below /pkgpanda to whoever may. Nobody else is asked who they are: reaching the socket is
 * the permission.
 *
 * Activating stops the units of all services, this one as well: SIGTERM lets what is under way end
 * first.
 */

#include "pkgpanda/install.h"

struct api_options {
    const char *socket;
    const char *socket_group; /* NULL = the process's own */
};

/* Serves until SIGTERM or SIGINT. 0, or a negative errno with err set. */
int api_run(const struct install *in, const struct api_options *options, struct error *err);

#endif
