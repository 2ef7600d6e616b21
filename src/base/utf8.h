#ifndef DCOS_BASE_UTF8_H
#define DCOS_BASE_UTF8_H

/* Text of strangers, one character at a time. */

#include "base/macro.h"

/* Bytes of the character at p, its number to *ret; 0 when there is none: n is 0, a byte is out of
 * place, a form is not the shortest, a surrogate, or beyond U+10FFFF. */
size_t utf8_decode(const char *p, size_t n, uint32_t *ret);
/* What terminals act on instead of showing it: C0, DEL, C1, and marks that end or turn a line. */
bool utf8_is_control(uint32_t c);
/* Blanks in place of all such characters, and of bytes that are no UTF-8. For one line that is
 * shown. */
void utf8_make_plain(char *p, size_t n);

#endif
