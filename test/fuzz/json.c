/* Whatever parses must write to a text that parses to the same; and any bytes whatsoever must come
 * out of the string writer as a string that parses. */

#include <assert.h>
#include <errno.h>

#include "json/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_document(const char *text, size_t size)
{
    _cleanup_json_ json_t *first = NULL, *second = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct error err = ERROR_INIT;
    if (json_parse(text, size, &first, &err) < 0) {
        assert(err.code == -EBADMSG && strncmp(err.msg, "line ", 5) == 0);
        return;
    }
    json_dump(first, &out);
    assert(json_parse(out.p, out.n, &second, &err) == 0);
    assert(json_equal(first, second));
    char description[64];
    json_describe(first, description, sizeof(description));
}

static void check_string(const char *text, size_t size)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &out);
    w.indent = size % 3;
    jw_begin_object(&w);
    jw_key(&w, "key");
    jw_string_n(&w, text, size);
    jw_end_object(&w);
    json_t *value = json_loadb(out.p, out.n, JSON_ALLOW_NUL, NULL);
    assert(value);
    assert(json_string_length(json_object_get(value, "key")) >= size);
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_document((const char *)data, size);
    check_string((const char *)data, size);
    return 0;
}
