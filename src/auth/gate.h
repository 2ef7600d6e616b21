#ifndef DCOS_AUTH_GATE_H
#define DCOS_AUTH_GATE_H

/*
 * What the kernel's daemons have in common at their door: TLS, who calls, which endpoints are
 * closed, what is written down. Flags are Mesos' where Mesos has them.
 */

#include "auth/audit.h"
#include "auth/authenticator.h"
#include "auth/login.h"
#include "auth/policy_follow.h"
#include "auth/transport.h"

struct gate_settings {
    const char *credentials, *acls, *authenticators, *jwt_secret_key, *jwt_public_keys, *audit_log,
        *firewall_rules;
    const char *iam_url, *iam_token_file, *security_mode, *service_account;
    bool readonly, readwrite; /* whether endpoints that read, and the others, ask who calls */
    struct transport_settings transport;
};
enum { GATE_FLAGS = 13 + TRANSPORT_FLAGS, GATE_FIREWALL_MAX = 1000 };
/* `credentials` is the name of the flag with the file of names and secrets. */
size_t gate_flags(struct gate_settings *s, const char *credentials, struct flag *out);

struct gate {
    const char *program;
    struct transport transport;
    struct credentials *credentials;
    struct jwt_keys *keys;
    struct buf jwt_secret;        /* of --jwt_secret_key, for whoever makes tokens */
    struct login *service;        /* of --service_account; or NULL */
    struct policy_follow *follow; /* of the identity service; NULL without --iam_url */
    bool strict;                  /* its permissions decide, and everybody is asked who they are */
    struct authenticator *http;
    bool readonly, readwrite;
    struct authorizer *authorizer; /* NULL: everything is permitted */
    struct audit *audit;
    struct buf firewall; /* closed paths, one a line */
    const char *alias;   /* prefix that paths may have in front: "/master" */
    struct buf warnings; /* what is to be told to the operator, one a line */
    int audit_status;    /* of the last line: 0, or why it could not be written; the log tells */
};
/* Paths of a component have `alias` in front, its resource ids have `component` ("master") in them.
 * These texts and the loop outlive the gate. */
int gate_open(struct gate *g, const struct gate_settings *s, struct loop *loop, const char *program,
    const char *alias, const char *component, struct error *err);
/* For an authenticator of the gate's credentials and keys; `names` NULL: what there is. */
int gate_authenticator(
    const struct gate *g, const char *names, struct authenticator **ret, struct error *err);
void gate_close(struct gate *g);
/* Tells the log what there is to warn about. */
void gate_log_warnings(const struct gate *g);
/* For SIGHUP, with the gate as userdata: opens the audit log anew, after it was moved away. */
void gate_on_hangup(void *gate, int signum);

/* What a table leaves out is closed to strangers. */
enum gate_kind { GATE_WRITE, GATE_READ, GATE_OPEN };

/* Every request, first: 403 when its endpoint is closed (false then). */
bool gate_passable(const struct gate *g, struct http_request *req);
/* Asks who calls where flags say so and sets req->subject: false when it was answered with 401. */
bool gate_enter(
    const struct gate *g, struct http_request *req, enum gate_kind kind, const char *realm);

/* Whether the caller has a name, or nobody was asked: a token may have claims only, which is enough
 * for few calls. Answers 403 otherwise. */
bool gate_named(struct http_request *req);

/* Writes the answer to this request down: always when it `changes` something, else when it is
 * refused with 401 or 403. Texts live as long as the request; calling again replaces them, NULL
 * leaves what was there. */
void gate_note(
    struct gate *g, struct http_request *req, const char *action, const char *object, bool changes);

#endif
