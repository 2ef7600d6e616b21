#include "unit.h"

#include "base/rng.h"

static void reproducible_and_bounded(void **state)
{
    (void)state;
    struct rng a, b;
    rng_init(&a, 7);
    rng_init(&b, 7);
    unsigned histogram[10] = {0};
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(rng_next(&a), rng_next(&b));
        histogram[rng_below(&a, 10)]++;
        rng_below(&b, 10);
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(histogram[i], 850, 1150);
}

static void uuids(void **state)
{
    (void)state;
    uint8_t b[16];
    char text[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
    for (int i = 0; i < 16; i++)
        b[i] = (uint8_t)(i * 17);
    uuid_make_v4(b);
    uuid_format(b, text);
    assert_string_equal(text, "00112233-4455-4677-8899-aabbccddeeff");
    uuid_random_text(text);
    uuid_random_text(other);
    assert_string_not_equal(text, other);
    assert_int_equal(text[14], '4');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reproducible_and_bounded), cmocka_unit_test(uuids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
