#ifndef DCOS_CONSOLE_PROMPT_H
#define DCOS_CONSOLE_PROMPT_H

/* Questions to whoever runs the program: asked on stdout, answered on stdin. */

#include "base/error.h"

enum { PROMPT_LINE_MAX = 64 * 1024, PROMPT_ATTEMPTS = 3 };

/* One line without its newline, to be freed. Hidden ones are not echoed by a terminal, and the
 * caller wipes them. -ENODATA at the end of the input. */
int prompt_line(const char *question, bool hidden, char **ret, struct error *err);
/* Takes y, yes, Y, Yes and n, no, N, No and asks again for anything else, at most three times. An
 * empty answer is `fallback` where that is not negative. 1 = yes, 0 = no; -ENODATA when there was
 * no answer. */
int prompt_confirm(const char *question, int fallback, struct error *err);
/* A number from 1 to n; -EINVAL after three other answers. */
int prompt_choice(const char *question, unsigned n, unsigned *ret, struct error *err);

#endif
