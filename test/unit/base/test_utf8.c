#include "unit.h"

#include <stdio.h>

#include "base/str.h"
#include "base/utf8.h"

static void decoding(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n, want;
        uint32_t c;
    } rows[] = {{"a", 1, 1, 'a'}, {"\xc3\xa9", 2, 2, 0xe9}, {"\xe2\x82\xac", 3, 3, 0x20ac},
        {"\xf0\x9f\x98\x80", 4, 4, 0x1f600}, {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff}, {"", 0, 0},
        {"\x80", 1, 0}, {"\xc0\x80", 2, 0}, {"\xc1\xbf", 2, 0}, {"\xe0\x9f\xbf", 3, 0},
        {"\xed\xa0\x80", 3, 0}, {"\xf0\x8f\xbf\xbf", 4, 0}, {"\xf4\x90\x80\x80", 4, 0},
        {"\xff", 1, 0}, {"\xe2\x82", 2, 0}, {"\xc3(", 2, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint32_t c = 0;
        size_t got = utf8_decode(rows[i].text, rows[i].n, &c);
        if (got != rows[i].want || c != rows[i].c)
            fail_msg("row %zu: %zu bytes, U+%04x", i, got, c);
    }
}

static void plain(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"caf\xc3\xa9 \xe2\x82\xac", "caf\xc3\xa9 \xe2\x82\xac"},
        {"a\x1b[2Jb\tc\x7f", "a [2Jb c "},
        {"\x9b"
         "2J",
            " 2J"},
        {"\xc2\x9b"
         "2J",
            "  2J"},
        {"\xc2\xa0", "\xc2\xa0"},
        {"a\xe2\x80\xae"
         "b",
            "a   b"},
        {"cut\xe2\x82", "cut  "}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[32] = "";
        (void)snprintf(text, sizeof(text), "%s", rows[i][0]);
        utf8_make_plain(text, strlen(text));
        assert_string_equal(text, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decoding), cmocka_unit_test(plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
