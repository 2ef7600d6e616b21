#ifndef DCOS_BASE_PARSE_H
#define DCOS_BASE_PARSE_H

/* Numbers from text. The whole text must be the number; 0, or -EINVAL / -ERANGE. */

#include "base/macro.h"
#include "base/str.h"

int parse_u64(struct str text, uint64_t *ret); /* decimal digits only */
int parse_i64(struct str text, int64_t *ret);  /* optional leading '-' or '+' */
int parse_u32(struct str text, uint32_t *ret);
int parse_port(struct str text, uint16_t *ret); /* 0..65535 */
int parse_double(struct str text, double *ret); /* finite, decimal notation */
int parse_bool(struct str text, bool *ret);     /* true/false */
/* "512", "64KB", "2GB" (powers of 1024) as Mesos writes sizes: B KB MB GB TB. */
int parse_bytes(struct str text, uint64_t *ret);

#endif
