#ifndef DCOS_TEST_UNIT_H
#define DCOS_TEST_UNIT_H

/* cmocka with the headers it wants in front of it. */

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#endif
