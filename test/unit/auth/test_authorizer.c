#include "unit.h"

#include "auth/authorizer.h"

static void without_rules(void **state)
{
    (void)state;
    const struct auth_subject nobody = {0};
    assert_true(authorizer_permits(NULL, &nobody, AUTH_DRAIN_AGENT, NULL));
    assert_true(authorizer_permits(NULL, &nobody, AUTH_VIEW_ROLE, "dev"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
