/* URLs, query strings, escapes and Accept headers. What is escaped comes back unescaped. */

#include <assert.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct http_url url;
    struct http_params params;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf escaped = BUF_INIT;
    if (http_url_parse(text, &url, NULL) == 0) {
        assert(url.host.n > 0 && url.port > 0 && url.target.n > 0 && url.target.p[0] == '/');
        assert(url.host.p >= text.p && url.host.p + url.host.n <= text.p + text.n);
    }
    if (http_params_parse(text, &arena, &params) == 0)
        for (size_t i = 0; i < params.n; i++)
            assert(params.items[i].name.p && params.items[i].value.p);
    (void)http_accepts(text, "application/json");
    http_escape(&escaped, text);
    struct str back = http_unescape(buf_str(&escaped), false, &arena);
    if (size == 0 || !memchr(data, 0, size))
        assert(back.n == size && (size == 0 || memcmp(back.p, data, size) == 0));
    return 0;
}
