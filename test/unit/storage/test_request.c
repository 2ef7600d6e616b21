#include "storage/azure_sign.h"
#include "storage/request.h"
#include "unit.h"

static void test_encode(void **state)
{
    static const char *const rows[][3] = {
        {"a/b c", "a/b%20c", "a%2Fb%20c"},
        {"x--1.2_~", "x--1.2_~", "x--1.2_~"},
        {"\xc3\xa4+&=", "%C3%A4%2B%26%3D", "%C3%A4%2B%26%3D"},
        {"", "", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (int slashes = 0; slashes < 2; slashes++) {
            char *text = request_encode(rows[i][0], slashes);
            assert_string_equal(text, rows[i][slashes ? 1 : 2]);
            free(text);
        }
}

static void test_xml(void **state)
{
    struct buf xml = BUF_INIT;
    _cleanup_strings_ struct strings names = {0};
    buf_puts(&xml, "<L><Key>a&amp;b</Key><C><Key>c&lt;&quot;</Key></C><Keys>no</Keys><Key>open");
    request_xml_texts(&xml, "Key", &names);
    buf_done(&xml);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.items[0], "a&b");
    assert_string_equal(names.items[1], "c<\"");
}

static void test_headers(void **state)
{
    struct request q = REQUEST_INIT;
    buf_puts(&q.answer_headers, "x-ms-copy-status: pending\r\nContent-Length:3\r\n\r\n");
    char *value = request_answer_header(&q, "X-MS-Copy-Status");
    assert_string_equal(value, "pending");
    free(value);
    value = request_answer_header(&q, "content-length");
    assert_string_equal(value, "3");
    free(value);
    assert_null(request_answer_header(&q, "etag"));
    request_done(&q);
}

/* The text that Azure's documentation has signed for such a request. */
static void test_azure(void **state)
{
    struct request q = REQUEST_INIT;
    struct buf text = BUF_INIT;
    q.method = "PUT";
    q.body_n = 3;
    request_header(&q, "x-ms-blob-type: BlockBlob");
    request_header(&q, "Content-Type: text/plain");
    request_header(&q, "x-ms-version: 2020-10-02");
    request_header(&q, "x-ms-date: Sun, 01 Nov 2026 00:00:00 GMT");
    azure_string_to_sign(&q, "acc", "/c/b", "", &text);
    assert_string_equal(buf_cstr(&text), "PUT\n\n\n3\n\ntext/plain\n\n\n\n\n\n\n"
                                         "x-ms-blob-type:BlockBlob\nx-ms-date:Sun, 01 Nov 2026 "
                                         "00:00:00 GMT\nx-ms-version:2020-10-02\n"
                                         "/acc/c/b");
    request_done(&q);
    buf_done(&text);
    struct request list = REQUEST_INIT;
    list.method = "GET";
    request_header(&list, "x-ms-version: 2020-10-02");
    azure_string_to_sign(&list, "acc", "/c", "comp=list&prefix=a/b&restype=container", &text);
    assert_string_equal(buf_cstr(&text), "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-version:2020-10-02\n"
                                         "/acc/c\ncomp:list\nprefix:a/b\nrestype:container");
    request_done(&list);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_encode), cmocka_unit_test(test_xml),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_azure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
