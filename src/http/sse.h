#ifndef DCOS_HTTP_SSE_H
#define DCOS_HTTP_SSE_H

/* Server-sent events, as Marathon writes and EventSource reads them. */

#include "base/buf.h"

/* "event: <event>\ndata: <line>\n...\n\n"; event or id may be NULL. */
void sse_append(struct buf *out, const char *event, const char *id, struct str data);

struct sse_decoder {
    struct buf line, data;
    char event[256];
    char id[256];
    size_t max;
    bool failed, skip_lf, started;
};
void sse_decoder_init(struct sse_decoder *d, size_t max);
void sse_decoder_done(struct sse_decoder *d);
/* fn gets each dispatched event ("message" when unnamed). -EMSGSIZE when one is larger than max. */
int sse_decode(struct sse_decoder *d, const char *p, size_t n,
    void (*fn)(const char *event, const char *id, struct str data, void *userdata), void *userdata);

#endif
