/* The document on the fetcher's stdin. */

#include <errno.h>

#include "base/clock.h"
#include "fetcher/fetch.h"

#define STALL_TIMEOUT_DEFAULT_US (60 * USEC_PER_SEC)
#define CACHE_DEFAULT_BYTES (INT64_C(2) << 30)

static int read_item(
    const json_t *value, size_t i, struct arena *arena, struct fetch_item *ret, struct error *err)
{
    static const struct json_field fields[] = {
        {"value", JSON_FIELD_STRING, offsetof(struct fetch_item, value), .required = true},
        {"output_file", JSON_FIELD_STRING, offsetof(struct fetch_item, output_file)},
        {"executable", JSON_FIELD_BOOL, offsetof(struct fetch_item, executable)},
        {"extract", JSON_FIELD_BOOL, offsetof(struct fetch_item, extract)},
        {"cache", JSON_FIELD_BOOL, offsetof(struct fetch_item, cache)},
    };
    char path[32];
    (void)snprintf(path, sizeof(path), "/uris/%zu", i);
    *ret = (struct fetch_item){.extract = true};
    return json_read_object(
        value, path, fields, ARRAY_SIZE(fields), JSON_ALLOW_UNKNOWN, ret, arena, err);
}

static int read_items(
    const json_t *uris, struct arena *arena, struct fetch_request *ret, struct error *err)
{
    size_t n = json_array_size(uris);
    if (n > FETCH_URIS_MAX)
        return error_set(err, -EINVAL, "/uris: %zu are more than %d", n, FETCH_URIS_MAX);
    ret->n = n;
    ret->items = arena_new_array(arena, struct fetch_item, n);
    for (size_t i = 0; i < n; i++) {
        int r = read_item(json_array_get(uris, i), i, arena, &ret->items[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

int fetch_request_parse(
    const char *text, size_t n, struct arena *arena, struct fetch_request *ret, struct error *err)
{
    struct document {
        struct fetch_request request;
        const json_t *uris;
    } d = {.request = {
               .stall_timeout_us = STALL_TIMEOUT_DEFAULT_US, .max_bytes = CACHE_DEFAULT_BYTES}};
    static const struct json_field fields[] = {
        {"sandbox", JSON_FIELD_STRING, offsetof(struct document, request.sandbox),
            .required = true},
        {"cache_dir", JSON_FIELD_STRING, offsetof(struct document, request.cache_dir)},
        {"stall_timeout_us", JSON_FIELD_I64, offsetof(struct document, request.stall_timeout_us),
            .max = INT64_MAX},
        {"max_bytes", JSON_FIELD_I64, offsetof(struct document, request.max_bytes),
            .max = INT64_MAX},
        {"total_max_bytes", JSON_FIELD_I64, offsetof(struct document, request.total_max_bytes),
            .max = INT64_MAX},
        {"uris", JSON_FIELD_ARRAY, offsetof(struct document, uris), .required = true},
    };
    _cleanup_json_ json_t *value = NULL;
    int r = json_parse(text, n, &value, err);
    if (r == 0)
        r = json_read_object(
            value, "", fields, ARRAY_SIZE(fields), JSON_ALLOW_UNKNOWN, &d, arena, err);
    if (r == 0)
        r = read_items(d.uris, arena, &d.request, err);
    if (r < 0)
        return r;
    *ret = d.request;
    return 0;
}
