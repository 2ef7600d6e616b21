#ifndef DCOS_GEN_TEMPLATE_INTERNAL_H
#define DCOS_GEN_TEMPLATE_INTERNAL_H

/* Tokens of the template language. */

#include "base/error.h"
#include "base/str.h"

enum { TEMPLATE_NAME_MAX = 128 };

enum template_token_kind {
    TEMPLATE_END,
    TEMPLATE_TEXT,   /* text */
    TEMPLATE_VALUE,  /* text: argument, extra: filter or nothing */
    TEMPLATE_SWITCH, /* text: argument */
    TEMPLATE_CASE,   /* text: what is between the quotes, still escaped */
    TEMPLATE_END_SWITCH,
    TEMPLATE_FOR, /* text: list, extra: variable */
    TEMPLATE_END_FOR,
};

struct template_token {
    enum template_token_kind kind;
    unsigned line;
    struct str text, extra; /* point into the template */
};

struct template_lexer {
    struct str rest;
    unsigned line;
};

/* -EBADMSG with "line L: ...". Behind the end comes the end again. */
int template_next(struct template_lexer *x, struct template_token *ret, struct error *err);
/* The string of a case, without escapes. Caller frees. */
char *template_case_text(const struct template_token *token);
const char *template_token_name(enum template_token_kind kind);

#endif
