#ifndef DCOS_INSTALLER_WEB_INTERNAL_H
#define DCOS_INSTALLER_WEB_INTERNAL_H

/* What the parts of the browser's installer share. */

#include "http/server.h"
#include "installer/web.h"

/* ---- web_door.c: who is let in ---- */

enum { WEB_SECRET_BYTES = 24, WEB_SECRET_TEXT = 2 * WEB_SECRET_BYTES + 1 };

/*
 * A browser comes in by an address with a code, which works once and leaves a cookie; programs show
 * a token in a header. Other pages in the operator's browser get nowhere: their Origin is not ours,
 * the cookie does not go with what they send, and a name of theirs that leads here is not answered
 * to.
 */
struct web_door {
    char code[WEB_SECRET_TEXT];    /* of the next browser */
    char session[WEB_SECRET_TEXT]; /* in cookies */
    char token[WEB_SECRET_TEXT];   /* of programs */
    char *address;                 /* "http://127.0.0.1:9000" */
    char *cookie;                  /* its name: cookies do not tell ports apart */
    char *token_path;              /* where programs find it, mode 0600 */
};

/* Draws the secrets, writes the token's file and prints how to come in. */
int web_door_open(struct web_door *d, const struct installer *in, const char *host, uint16_t port,
    struct error *err);
void web_door_close(struct web_door *d); /* the file goes */
/* True when the request may go on; else it was answered. */
bool web_door_admit(struct web_door *d, struct http_request *req);
/* Whether a Host header names this machine: a number, "localhost", or its own name. */
bool web_host_is_ours(struct str host);

/* ---- web.c: answers ---- */
void web_answer(struct http_request *req, int status, const json_t *value);
void web_answer_take(struct http_request *req, int status, json_t *value); /* takes the value */
void web_answer_failure(struct http_request *req, const struct error *err);

/* ---- web_action.c: actions, one at a time, on the pool ---- */

struct web_job;
struct web_actions {
    const struct installer *in;
    const struct web_options *options;
    struct loop *loop;
    struct ssh_cancel cancel;
    struct web_job *job; /* that runs; NULL = none */
    const char *current; /* name of the last action, "" = none yet */
    bool stopping;       /* the loop ends with the job */
};

int web_actions_init(struct web_actions *a, struct error *err); /* in, options, loop are set */
void web_actions_done(struct web_actions *a);
void web_actions_get(struct web_actions *a, struct http_request *req);
void web_actions_post(struct web_actions *a, struct http_request *req);
/* All results as one JSON value. */
json_t *web_actions_results(const struct web_actions *a);
/* Ends what runs, and then the loop. */
void web_actions_stop(struct web_actions *a);

#endif
