#include "../unit.h"

#include <errno.h>
#include <stdio.h>

#include "exhibitor/document.h"

#define TOKEN "00112233445566778899aabbccddeeff"
#define HEAD "{\"version\":1,\"cluster\":\"" TOKEN "\",\"generation\":1,\"next_id\":2,"
#define MEMBER                                                                                     \
    "{\"id\":1,\"address\":\"10.0.0.1\",\"token\":\"" TOKEN                                        \
    "\",\"beat\":3,\"joined\":1,\"applied\":1,\"serving\":true,\"sees\":[1]}"

static void test_round_trip(void **state)
{
    static const char text[] = HEAD "\"members\":[" MEMBER
                                    "],\"waiting\":[{\"address\":\"10.0.0.9\",\"token\":\"" TOKEN
                                    "\",\"beat\":0}]}";
    struct document d, again;
    struct error err = ERROR_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT;
    char ensemble[ENSEMBLE_TEXT_MAX];
    assert_int_equal(document_parse(text, strlen(text), &d, &err), 0);
    document_write(&d, &out);
    assert_int_equal(document_parse(out.p, out.n, &again, &err), 0);
    assert_memory_equal(&d, &again, sizeof(d));
    document_ensemble(&d, ensemble);
    assert_string_equal(ensemble, "1:10.0.0.1");
    assert_true(d.members[0].serving);
    assert_int_equal(d.members[0].sees[0], 1);
    assert_string_equal(d.waiting[0].address, "10.0.0.9");
}

static void test_bad(void **state)
{
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"", -EBADMSG},
        {"[]", -EBADMSG},
        {"{\"version\":2}", -EPROTO},
        {"{\"version\":1}", -EBADMSG},
        {HEAD "\"members\":[],\"waiting\":[]}", -EBADMSG},
        {HEAD "\"members\":[" MEMBER "," MEMBER "],\"waiting\":[]}", -EBADMSG},
        {HEAD "\"members\":[" MEMBER "]}", -EBADMSG},
        {HEAD "\"members\":[{\"id\":1,\"address\":\"host\",\"token\":\"" TOKEN
              "\"}],\"waiting\":[]}",
            -EBADMSG},
        {HEAD "\"members\":[{\"id\":0,\"address\":\"1.1.1.1\",\"token\":\"" TOKEN
              "\",\"beat\":0}],\"waiting\":[]}",
            -EBADMSG},
        {HEAD "\"members\":[{\"id\":1,\"address\":\"1.1.1.1\",\"token\":\"x\",\"beat\":0}],"
              "\"waiting\":[]}",
            -EBADMSG},
        {HEAD "\"members\":[{\"id\":1,\"address\":\"1.1.1.1\",\"token\":\"" TOKEN
              "\",\"beat\":-1}],\"waiting\":[]}",
            -EBADMSG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct document d;
        struct error err = ERROR_INIT;
        assert_int_equal(document_parse(bad[i].text, strlen(bad[i].text), &d, &err), bad[i].code);
        assert_true(*err.msg);
    }
}

static void test_of_ensemble(void **state)
{
    static const char *const bad[] = {"", "1", "1:", "x:1.1.1.1", "0:1.1.1.1", "256:1.1.1.1",
        "1:host", "2:1.1.1.1,1:1.1.1.2", "1:1.1.1.1,1:1.1.1.2", "1:1.1.1.1,",
        ("1:1.1.1.1,2:1.1.1.1,3:1.1.1.1,4:1.1.1.1,5:1.1.1.1,6:1.1.1.1,7:1.1.1.1,8:1.1.1.1,9:1.1.1."
         "1,"
         "10:1.1.1.1")};
    struct document d;
    struct error err = ERROR_INIT;
    char text[ENSEMBLE_TEXT_MAX];
    assert_int_equal(document_of_ensemble("1:10.0.0.1,3:10.0.0.3", &d, &err), 0);
    document_ensemble(&d, text);
    assert_string_equal(text, "1:10.0.0.1,3:10.0.0.3");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(document_of_ensemble(bad[i], &d, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bad), cmocka_unit_test(test_of_ensemble)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
