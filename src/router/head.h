#ifndef DCOS_ROUTER_HEAD_H
#define DCOS_ROUTER_HEAD_H

/* Reading heads of requests, apart from nginx so that it can be tested and fuzzed. No memory is
 * allocated; what is returned lies in what was given. */

#include "base/str.h"

/* The token of an Authorization header: all behind the first "token=", else behind the first
 * "Bearer " (Admin Router's reading). False when there is neither. */
bool head_token(struct str authorization, struct str *ret);

/* Value of the first cookie of that name in a Cookie header. */
bool head_cookie(struct str cookies, const char *name, struct str *ret);

/* Bytes that head_scrub() may write for a header of n bytes, for each header. */
static inline size_t head_scrub_size(size_t n)
{
    /* What is between two cookies may grow from ";" to "; ". */
    return 2 * n + 2;
}
/* Appends the cookies that are not the router's to out[at...]; returns the new end. */
size_t head_scrub(struct str cookies, char *out, size_t at);

/* Whether a raw path can be read in one way only: it has no empty and no dot segments, no encoded
 * slash, backslash, dot or NUL, no broken escape, nothing that does not belong into one. */
bool head_path_is_plain(struct str path);

/* Whether an entry for the resource `entry` covers `rid`: the same, or above it by ':'. Names of
 * services have slashes, and there is no inheritance between them. */
bool head_covers(const char *entry, struct str rid);

#endif
