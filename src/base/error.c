#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *errno_text(int code)
{
    const char *text = strerrordesc_np(abs(code));
    return text ? text : "unknown error";
}

int error_setv(struct error *err, int code, const char *fmt, va_list ap)
{
    if (err) {
        err->code = code;
        vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    }
    return code;
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    error_setv(err, code, fmt, ap);
    va_end(ap);
    return code;
}

int error_errno(struct error *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    error_setv(err, code, fmt, ap);
    va_end(ap);
    if (err) {
        size_t n = strlen(err->msg);
        snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", errno_text(code));
    }
    return code;
}

int error_prefix(struct error *err, int code, const char *fmt, ...)
{
    if (err) {
        char old[ERROR_MSG_MAX];
        memcpy(old, err->msg, sizeof(old));
        va_list ap;
        va_start(ap, fmt);
        error_setv(err, code, fmt, ap);
        va_end(ap);
        size_t n = strlen(err->msg);
        snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old);
    }
    return code;
}
