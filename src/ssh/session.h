#ifndef DCOS_SSH_SESSION_H
#define DCOS_SSH_SESSION_H

/*
 * One connection to one host: commands and files.
 *
 * Calls block their thread until they are done, their time is over or the cancel flag is raised. A
 * link belongs to one thread at a time; links of several threads are independent. Programs ignore
 * SIGPIPE.
 *
 * Hosts are identified by a file of known keys in OpenSSH's format. A key that is not the recorded
 * one is an error, always; a host without a recorded key is an error unless unknown ones are to be
 * recorded. Whoever logs in shows a private key; there are no passwords, agents or configuration
 * files of the user. Everything is done as root: users of other names go through sudo, which must
 * not ask for a password and may want a terminal (requiretty).
 */

#include <sys/types.h>

#include "base/clock.h"
#include "base/error.h"

/* Ends everything that waits, in any thread. Raising is safe in a signal handler. */
struct ssh_cancel {
    int fd; /* an eventfd; readable from the moment it was raised */
};
int ssh_cancel_init(struct ssh_cancel *c, struct error *err);
void ssh_cancel_done(struct ssh_cancel *c);
void ssh_cancel_raise(struct ssh_cancel *c);
bool ssh_cancel_raised(const struct ssh_cancel *c);

struct ssh_settings {
    const char *user;
    const char *key_path;       /* private key without a passphrase, PEM or OpenSSH's own format */
    const char *known_hosts;    /* file, made when the first key is recorded */
    bool record_unknown;        /* trust a host on first contact and record its key */
    int64_t connect_timeout_us; /* until logged in; 0 = 10 s */
    const struct ssh_cancel *cancel; /* NULL = none */
};

enum {
    SSH_CONNECT_SECONDS = 10,
    SSH_KILL_SECONDS = 2, /* how long a command may take to end when it is told to */
};

struct ssh_link;

/*
 * Connects and logs in. `address` is a numeric IPv4 address. Errors, all with a text that needs no
 * more than the host's name in front:
 *   -ECONNREFUSED, -EHOSTUNREACH and the like of the network; -ETIMEDOUT; -ECANCELED;
 *   -EKEYREJECTED  the host's key is not the recorded one;
 *   -ENOKEY        the host is not known and unknown ones are not recorded;
 *   -EACCES        the host does not take our key;
 *   -EPROTO        it does not speak SSH, or nothing that we speak too;
 *   -EPERM         the user does not become root: sudo wants a password, forbids it, is not there;
 *   -EINVAL        our own key cannot be read, or the address is none.
 */
int ssh_link_open(const struct ssh_settings *settings, const char *address, uint16_t port,
    struct ssh_link **ret, struct error *err);
void ssh_link_close(struct ssh_link *l); /* NULL is fine */
DEFINE_CLEANUP(struct ssh_link *, ssh_link_close)

/* Where the output of a command goes as it comes. */
struct ssh_output {
    void (*write)(bool is_stderr, const char *p, size_t n, void *userdata);
    void *userdata;
};

/* Runs a command line of a POSIX shell as root, without terminal and without input. 0 with its exit
 * status (128 + signal when one killed it; 255 when the host does not say), or -ETIMEDOUT (it was
 * told to end), -ECANCELED (likewise), -ECONNRESET. After an error the link is of no further use.
 */
int ssh_link_run(struct ssh_link *l, const char *command, int64_t timeout_us,
    const struct ssh_output *output, int *ret_status, struct error *err);

/* A local file to be copied to many hosts; its digest is taken once. */
struct ssh_file {
    char *path;
    uint64_t size;
    char sha256[65];
};
int ssh_file_init(struct ssh_file *f, const char *path, struct error *err);
void ssh_file_done(struct ssh_file *f);

/* Copies to `remote` (absolute), through a temporary file beside it that only becomes the real one
 * when its digest is right; the folders above are made. A file that is there already with the right
 * contents is left alone. Gives the exit status of the shell on the host as ssh_link_run does: 0 =
 * it is there; what went wrong is in the output. The timeout counts from the last byte that moved.
 */
int ssh_link_copy(struct ssh_link *l, const struct ssh_file *file, const char *remote, mode_t mode,
    int64_t stall_timeout_us, const struct ssh_output *output, int *ret_status, struct error *err);

/* Text as one word of a POSIX shell. Caller frees. */
char *ssh_quote(const char *text);

#endif
