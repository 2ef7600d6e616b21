#include "auth/authorizer.h"

/* Without rules everything is permitted. */
bool authorizer_permits(const struct authorizer *a, const struct auth_subject *who,
    enum auth_action action, const char *object)
{
    (void)who;
    (void)action;
    (void)object;
    return !a;
}
