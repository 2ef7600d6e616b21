#ifndef DCOS_SSH_INTERNAL_H
#define DCOS_SSH_INTERNAL_H

/* What session.c and command.c share. */

#include <libssh/libssh.h>

#include "ssh/session.h"

enum ssh_sudo { SUDO_NONE, SUDO_PLAIN, SUDO_TERMINAL };

struct ssh_link {
    ssh_session session;
    const struct ssh_cancel *cancel;
    int fd;             /* of the connection; libssh owns it */
    enum ssh_sudo sudo; /* how commands become root's */
};

/* Waits until the connection has something for us or takes something, at most until `deadline_us`
 * (monotonic). 0 = look again, -ETIMEDOUT, -ECANCELED. */
int ssh_link_wait(const struct ssh_link *l, int64_t deadline_us);
/* What the host's shell is asked to run: a script in a plain sh, as root. Caller frees. */
char *ssh_shell_command(const struct ssh_link *l, const char *script);
/* Finds out how that goes for this user; -EPERM when it does not. */
int ssh_link_become_root(struct ssh_link *l, const char *user, struct error *err);
int ssh_poll_fd(int fd, short events, const struct ssh_cancel *cancel, int64_t deadline_us);

#endif
