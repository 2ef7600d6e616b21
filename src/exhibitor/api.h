#ifndef DCOS_EXHIBITOR_API_H
#define DCOS_EXHIBITOR_API_H

/*
 * What Exhibitor answers on port 8181, as far as it only tells: cluster/status, cluster/list,
 * cluster/state[/HOST], config/get-state below /exhibitor/v1, and a page. Nothing can be changed
 * through it.
 */

#include "exhibitor/view.h"
#include "http/server.h"

struct api {
    struct worker *worker;
    uint16_t client_port;
};

void api_handle(struct http_request *req, void *userdata);

/* The answers, for tests. */
void api_write_status(const struct view *v, struct buf *ret);
void api_write_list(const struct view *v, uint16_t port, struct buf *ret);
void api_write_config(const struct view *v, uint16_t port, struct buf *ret);

#endif
