#ifndef DCOS_BASE_ERROR_H
#define DCOS_BASE_ERROR_H

/*
 * Why something failed, for a person or an API client.
 *
 * Functions return 0 or more on success and a negative errno on failure. Where the caller must be
 * able to say why, they take a `struct error *err` last, which may be NULL, is caller's storage,
 * needs no freeing, and is written only on failure.
 */

#include <stdarg.h>

#include "base/macro.h"

enum { ERROR_MSG_MAX = 768 };

struct error {
    int code; /* negative errno, 0 when unset */
    char msg[ERROR_MSG_MAX];
};

#define ERROR_INIT                                                                                 \
    {                                                                                              \
        0                                                                                          \
    }

/* Sets the message and returns `code` (a negative errno), so that `return error_set(...)` works. */
int error_set(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);
int error_setv(struct error *err, int code, const char *fmt, va_list ap) _printf_(3, 0);
/* Like error_set with ": <text of errno>" appended. */
int error_errno(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);
/* Puts "<context>: " in front of the message already there. Returns `code`. */
int error_prefix(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* strerror of a negative or positive errno, thread safe, never NULL. */
const char *errno_text(int code);

#endif
