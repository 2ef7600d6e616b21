#ifndef DCOS_AUTH_AUDIT_H
#define DCOS_AUTH_AUDIT_H

/*
 * The audit log: one line of JSON for each call that changes something or was refused.
 *
 *     {"time":"2026-11-28T19:00:00.123Z","program":"dcos-master","who":"ops","from":"10.0.0.1:4711",
 *      "action":"POST /teardown","object":"...-0000","status":200}
 *
 * `who` is null for nobody; then "claims" lists those of a token without a principal. A line
 * goes out in one write to a file that only its owner can read, when the answer does. Bodies of
 * calls, which may hold secrets, are never in it.
 */

#include "auth/authorizer.h"

enum { AUDIT_LINE_MAX = 4096, AUDIT_TEXT_MAX = 1024 /* of one field; longer is cut */ };

struct audit;
/* Creates the file with mode 0600 or appends. */
int audit_open(const char *path, const char *program, struct audit **ret, struct error *err);
/* After the file was renamed: opens (makes) the one of that name. The old one stays on failure. */
int audit_reopen(struct audit *a, struct error *err);
void audit_close(struct audit *a);

struct audit_entry {
    int64_t time_us;
    const struct auth_subject *who;
    const char *from;   /* address of the peer */
    const char *action; /* what was called */
    const char *object; /* what it was about, or NULL */
    int status;         /* of the answer */
};
/* -errno when the line could not be written (the disk is full): the call goes on. */
int audit_write(struct audit *a, const struct audit_entry *e);

#endif
