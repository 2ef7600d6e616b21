#ifndef DCOS_BASE_STR_H
#define DCOS_BASE_STR_H

/* Views of bytes that somebody else owns, and small helpers on C strings. */

#include <string.h>

#include "base/macro.h"

struct str {
    const char *p; /* not NUL-terminated */
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *s)
{
    return (struct str){s, s ? strlen(s) : 0};
}

/* NULL compares equal only to NULL. */
static inline bool streq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_ieq_c(struct str a, const char *b); /* ASCII case ignored */
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
struct str str_trim(struct str s); /* ASCII blanks, both ends */
/* Cuts the part before the next `sep` off `*rest` into `*ret`; false when nothing is left. An
 * empty last part after a separator is returned. */
bool str_split(struct str *rest, char sep, struct str *ret);
/* Index of c, or -1. */
ptrdiff_t str_index(struct str s, char c);
char *str_dup(struct str s); /* new NUL-terminated copy */

bool has_prefix(const char *s, const char *prefix);
bool has_suffix(const char *s, const char *suffix);

/* 64-bit SipHash-1-3 keyed with a process-wide random key. Never let its value reach output or
 * decisions: it differs from run to run. */
uint64_t str_hash(const void *p, size_t n);

/* Writes `n` bytes as 2n lower-case hex digits and a NUL. */
void hex_encode(const void *p, size_t n, char *ret);
/* Returns the number of bytes, or -EINVAL / -ENOBUFS. */
int hex_decode(struct str text, void *ret, size_t size);

#endif
