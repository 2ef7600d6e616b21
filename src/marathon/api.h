#ifndef DCOS_MARATHON_API_H
#define DCOS_MARATHON_API_H

/*
 * The REST API over the core: a request in, an answer out, nothing asynchronous. The shell holds
 * the answer back until what it says is durable.
 */

#include "auth/policy.h"
#include "http/http.h"
#include "marathon/core.h"

enum { API_HEADERS_MAX = 4, API_BODY_MAX = 8 * 1024 * 1024 };

struct api_request {
    enum http_method method;
    const char *path; /* decoded, without query */
    struct http_params params;
    struct str body;
    const char *remote; /* client's address */
    const char *accept; /* or NULL */
    const char *uri;    /* as sent, for events */
    int64_t now_us;
    /* Permissions of the identity service, and the user who calls; NULL: everything is permitted.
     */
    const struct policy *policy;
    const char *uid;
};

struct api_reply {
    int status;
    struct buf body; /* JSON unless content_type says else */
    const char *content_type;
    struct {
        const char *name;
        char *value;
    } headers[API_HEADERS_MAX];
    size_t n_headers;
};
void api_reply_done(struct api_reply *r);

/* What /v2/info and /v2/leader tell beyond the core. */
struct api_info {
    const char *version, *address; /* "host:port" */
    const char *zk;                /* without a password, or NULL */
    int64_t zk_session_timeout_ms;
    bool tls; /* of the API: links begin with https */
    const char *master_flag;
    uint16_t http_port;
    int64_t started_us;
    size_t event_streams;
};

void api_handle(struct core *c, const struct api_info *info, const struct api_request *req,
    struct api_reply *reply);

#endif
