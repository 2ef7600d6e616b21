#include "marathon/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000, HEAP_LIMIT_KB = 1024 };

struct regex {
    pcre2_code *code;
    pcre2_match_context *context;
};

int regex_new(const char *pattern, struct regex **ret, struct error *err)
{
    int code;
    PCRE2_SIZE where;
    size_t n = strlen(pattern);
    if (n > REGEX_PATTERN_MAX)
        return error_set(err, -EINVAL, "pattern is longer than %d bytes", REGEX_PATTERN_MAX);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, n,
        PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C, &code, &where,
        NULL);
    if (!compiled) {
        PCRE2_UCHAR text[120];
        pcre2_get_error_message(code, text, sizeof(text));
        return error_set(err, -EINVAL, "%s at offset %zu", (char *)text, (size_t)where);
    }
    struct regex *r = xnew(struct regex);
    r->code = compiled;
    r->context = pcre2_match_context_create(NULL);
    if (r->context) {
        pcre2_set_match_limit(r->context, MATCH_LIMIT);
        pcre2_set_depth_limit(r->context, DEPTH_LIMIT);
        pcre2_set_heap_limit(r->context, HEAP_LIMIT_KB);
    }
    *ret = r;
    return 0;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_match_context_free(r->context);
    pcre2_code_free(r->code);
    free(r);
}

bool regex_full_match(const struct regex *r, const char *text)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data)
        return false;
    int n = pcre2_match(r->code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, r->context);
    pcre2_match_data_free(data);
    return n >= 0;
}
