#include "unit.h"

#include <errno.h>

#include "base/alloc.h"
#include "http/recordio.h"

struct seen {
    struct buf all;
    int n, stop_at;
};

static bool note(const char *record, size_t n, void *userdata)
{
    struct seen *s = userdata;
    buf_putc(&s->all, '<');
    buf_append(&s->all, record, n);
    buf_putc(&s->all, '>');
    return ++s->n != s->stop_at;
}

static void appends(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT;
    recordio_append(&b, "hello", 5);
    recordio_append(&b, NULL, 0);
    recordio_append(&b, "0123456789", 10);
    assert_string_equal(b.p, "5\nhello0\n10\n0123456789");
    _cleanup_buf_ struct buf small = BUF_INIT_MAX(20);
    recordio_append(&small, "hello", 5);
    assert_int_equal(small.n, 0); /* whole or not at all */
    assert_true(small.overflow);
}

static void decodes_in_any_pieces(void **state)
{
    (void)state;
    static const char text[] = "5\nhello0\n10\n01234567893\na\nb7\n1234567";
    for (size_t step = 1; step <= sizeof(text); step++) {
        struct recordio_decoder d;
        struct seen s = {0};
        recordio_decoder_init(&d, 10);
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            size_t n = MIN(step, sizeof(text) - 1 - at);
            _cleanup_free_ char *piece = xmemdup(text + at, n);
            assert_int_equal(recordio_decode(&d, piece, n, note, &s, NULL), 0);
        }
        assert_string_equal(s.all.p, "<hello><><0123456789><a\nb><1234567>");
        buf_done(&s.all);
        recordio_decoder_done(&d);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"\n", -EBADMSG},
        {"x\n", -EBADMSG},
        {"-1\n", -EBADMSG},
        {"+1\n", -EBADMSG},
        {" 1\n", -EBADMSG},
        {"1 \n", -EBADMSG},
        {"0x1\n", -EBADMSG},
        {"1\r\n", -EBADMSG},
        {"101\n", -EMSGSIZE},
        {"99999999999999999999\n", -EMSGSIZE},
        {"000000000000000000000000001\n", -EBADMSG},
        {"1\nx\n", -EBADMSG},
        {"100\n", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            struct recordio_decoder d;
            struct seen s = {0};
            struct error err = ERROR_INIT;
            recordio_decoder_init(&d, 100);
            size_t n = strlen(cases[i].text);
            int r = 0;
            for (size_t at = 0; at < n && r == 0; at += bytewise ? 1 : n)
                r = recordio_decode(&d, cases[i].text + at, bytewise ? 1 : n, note, &s, &err);
            if (r != cases[i].result)
                fail_msg("case %zu: %d", i, r);
            if (r < 0) {
                assert_true(err.msg[0]);
                assert_int_equal(recordio_decode(&d, "1\nx", 3, note, &s, NULL), -EBADMSG);
            }
            buf_done(&s.all);
            recordio_decoder_done(&d);
        }
}

static void stops_when_told(void **state)
{
    (void)state;
    struct recordio_decoder d;
    struct seen s = {.stop_at = 2};
    recordio_decoder_init(&d, 100);
    assert_int_equal(recordio_decode(&d, "1\na1\nb1\nc", 9, note, &s, NULL), 0);
    assert_string_equal(s.all.p, "<a><b>");
    buf_done(&s.all);
    recordio_decoder_done(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(appends),
        cmocka_unit_test(decodes_in_any_pieces), cmocka_unit_test(refuses),
        cmocka_unit_test(stops_when_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
