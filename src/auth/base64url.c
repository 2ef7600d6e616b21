#include <errno.h>

#include "auth/jwt.h"
#include "base/base64.h"

void base64url_encode(struct buf *out, const void *p, size_t n)
{
    size_t start = out->n;
    base64_encode(out, p, n);
    for (size_t i = start; i < out->n; i++) {
        if (out->p[i] == '+')
            out->p[i] = '-';
        else if (out->p[i] == '/')
            out->p[i] = '_';
        else if (out->p[i] == '=') {
            out->n = i;
            out->p[i] = '\0';
        }
    }
}

int base64url_decode(struct buf *out, struct str text)
{
    _cleanup_buf_ struct buf standard = BUF_INIT;
    if (text.n % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '+' || c == '/' || c == '=')
            return -EINVAL;
        buf_putc(&standard, c == '-' ? '+' : c == '_' ? '/' : c);
    }
    while (standard.n % 4)
        buf_putc(&standard, '=');
    return base64_decode(out, buf_str(&standard));
}
