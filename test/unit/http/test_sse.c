#include "unit.h"

#include <errno.h>

#include "base/alloc.h"
#include "http/sse.h"

static void note(const char *event, const char *id, struct str data, void *userdata)
{
    buf_printf(userdata, "[%s|%s|%.*s]", event, id, STR_ARG(data));
}

static void appends(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT;
    sse_append(&b, "event", "7", STR("one"));
    sse_append(&b, NULL, NULL, STR("a\nb\r\nc\rd"));
    sse_append(&b, "bad\nname", NULL, STR(""));
    assert_string_equal(b.p, "event: event\nid: 7\ndata: one\n\n"
                             "data: a\ndata: b\ndata: c\ndata: d\n\n"
                             "event: badname\ndata: \n\n");
}

static void decodes_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf: comment\r\ndata: one\r\n\r\n"
                               "event: named\nid: 5\ndata:two\ndata\ndata:  three\n\n"
                               "event: forgotten\n\ndata: four\rdata: five\r\r"
                               "retry: 10\nnonsense\ndata:\n\n"
                               "data: never dispatched\n";
    for (size_t step = 1; step <= sizeof(text); step++) {
        struct sse_decoder d;
        _cleanup_buf_ struct buf out = BUF_INIT;
        sse_decoder_init(&d, 1000);
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            size_t n = MIN(step, sizeof(text) - 1 - at);
            _cleanup_free_ char *piece = xmemdup(text + at, n);
            assert_int_equal(sse_decode(&d, piece, n, note, &out), 0);
        }
        assert_string_equal(
            out.p, "[message||one][named|5|two\n\n three][message|5|four\nfive][message|5|]");
        sse_decoder_done(&d);
    }
}

static void bounded(void **state)
{
    (void)state;
    struct sse_decoder d;
    _cleanup_buf_ struct buf out = BUF_INIT;
    sse_decoder_init(&d, 10);
    assert_int_equal(sse_decode(&d, "data: 1234\n", 11, note, &out), 0);
    assert_int_equal(sse_decode(&d, "data: 1234\n", 11, note, &out), -EMSGSIZE);
    assert_int_equal(sse_decode(&d, "\n", 1, note, &out), -EMSGSIZE);
    assert_int_equal(out.n, 0);
    sse_decoder_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(appends),
        cmocka_unit_test(decodes_in_any_pieces), cmocka_unit_test(bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
