#ifndef DCOS_BASE_BASE64_H
#define DCOS_BASE_BASE64_H

/* Standard base64 with padding (RFC 4648 section 4). */

#include "base/buf.h"

void base64_encode(struct buf *out, const void *p, size_t n);
/* Strict: padding required, no blanks. Appends to out; -EINVAL leaves out unchanged. */
int base64_decode(struct buf *out, struct str text);

#endif
