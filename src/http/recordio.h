#ifndef DCOS_HTTP_RECORDIO_H
#define DCOS_HTTP_RECORDIO_H

/* RecordIO as Mesos frames it: "<decimal length>\n<bytes>", repeated. */

#include "base/buf.h"
#include "base/error.h"

void recordio_append(struct buf *out, const void *p, size_t n);

struct recordio_decoder {
    struct buf pending;
    size_t max; /* largest record, bytes */
    bool failed;
};
void recordio_decoder_init(struct recordio_decoder *d, size_t max);
void recordio_decoder_done(struct recordio_decoder *d);
/* Feeds bytes; fn gets each whole record (valid during the call; return false to stop feeding: the
 * rest is dropped). 0, -EBADMSG for a bad length, -EMSGSIZE for a record over max; after an error
 * the decoder stays failed. */
int recordio_decode(struct recordio_decoder *d, const char *p, size_t n,
    bool (*fn)(const char *record, size_t n, void *userdata), void *userdata, struct error *err);

#endif
