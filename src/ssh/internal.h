#ifndef DCOS_SSH_INTERNAL_H
#define DCOS_SSH_INTERNAL_H

/* What session.c and command.c share. */

#include <libssh/libssh.h>

#include "ssh/session.h"

struct ssh_link {
    ssh_session session;
    const struct ssh_cancel *cancel;
    int fd; /* of the connection; libssh owns it */
    bool sudo;
};

/* Waits until the connection has something for us or takes something, at most until `deadline_us`
 * (monotonic). 0 = look again, -ETIMEDOUT, -ECANCELED. */
int ssh_link_wait(const struct ssh_link *l, int64_t deadline_us);
int ssh_poll_fd(int fd, short events, const struct ssh_cancel *cancel, int64_t deadline_us);

#endif
