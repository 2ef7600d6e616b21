/* Cookies are scrubbed within their bounds and stay scrubbed; a plain path has one reading; apps of
 * any form are services or none. */

#include <assert.h>

#include "base/alloc.h"
#include "router/head.h"
#include "router/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scrub(struct str text)
{
    struct str found;
    const size_t room = head_scrub_size(text.n);
    char *once = xmalloc(room), *again = xmalloc(head_scrub_size(room));
    const size_t n = head_scrub(text, once, 0);
    assert(n <= room);
    assert(!head_cookie((struct str){once, n}, "dcos-acs-auth-cookie", &found));
    assert(!head_cookie((struct str){once, n}, "dcos-acs-info-cookie", &found));
    const size_t m = head_scrub((struct str){once, n}, again, 0);
    assert(m == n && memcmp(once, again, n) == 0);
    free(once);
    free(again);
}

static void path(struct str text)
{
    if (!head_path_is_plain(text))
        return;
    assert(
        *text.p == '/' && !memmem(text.p, text.n, "//", 2) && !memmem(text.p, text.n, "/../", 4));
    assert(!memmem(text.p, text.n, "%2f", 3) && !memmem(text.p, text.n, "%2e", 3));
    assert(!str_has_suffix(text, STR("/..")) && !str_has_suffix(text, STR("/.")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = xmemdup(data, size);
    const struct str text = {copy, size};
    struct str token;
    json_t *app = NULL;
    scrub(text);
    path(text);
    if (head_token(text, &token))
        assert(token.p + token.n == text.p + text.n);
    if (json_parse(copy, size, &app, NULL) == 0) {
        service_free(service_read(app));
        json_decref(app);
    }
    free(copy);
    return 0;
}
