#ifndef DCOS_FETCHER_FETCH_H
#define DCOS_FETCHER_FETCH_H

/* One run of the fetcher: what it was asked, and doing it. */

#include "base/error.h"
#include "json/json.h"

enum { FETCH_URIS_MAX = 1000 };

struct fetch_item {
    const char *value;
    const char *output_file; /* NULL = the URI's own name */
    bool executable, extract, cache;
};

struct fetch_request {
    const char *sandbox;
    const char *cache_dir; /* NULL = no cache */
    int64_t stall_timeout_us;
    int64_t max_bytes;       /* of the cache */
    int64_t total_max_bytes; /* fetched and unpacked, of all URIs together; 0 = no limit */
    struct fetch_item *items;
    size_t n;
};

/* Reads the document; strings go to the arena. -EINVAL or -EBADMSG with the path of what is wrong.
 */
int fetch_request_parse(
    const char *text, size_t n, struct arena *arena, struct fetch_request *ret, struct error *err);
/* Fetches all in order, with `progress` called for each line worth telling. Stops at the first
 * failure. */
int fetch_run(const struct fetch_request *request,
    void (*progress)(const char *line, void *userdata), void *userdata, struct error *err);

#endif
