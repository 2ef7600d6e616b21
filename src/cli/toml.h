#ifndef DCOS_CLI_TOML_H
#define DCOS_CLI_TOML_H

/*
 * The part of TOML that dcos.toml needs, edited in place: whatever is not touched, comments and
 * values of other types included, is written back as it was read.
 *
 * Known are [section] headers with dotted names, bare and quoted keys, strings, integers, booleans
 * and any other one-line value as its text. Arrays and strings that span lines, and [[tables]], are
 * kept but not looked into.
 */

#include "base/buf.h"
#include "base/error.h"
#include "base/vec.h"

enum { TOML_SIZE_MAX = 1024 * 1024 };

enum toml_line_kind { TOML_TEXT, TOML_SECTION, TOML_VALUE };

struct toml_line {
    enum toml_line_kind kind;
    char *text;          /* as written, without the newline; may hold several lines */
    char *section, *key; /* section of a TOML_SECTION or TOML_VALUE ("" = top); key of a value */
    char *value;         /* decoded: a string's content, or the value's text */
    bool is_string;
};

struct toml {
    VEC(struct toml_line) lines;
};

void toml_done(struct toml *t);
/* -EBADMSG with "line L: ..." */
int toml_parse(struct str text, struct toml *ret, struct error *err);
void toml_write(const struct toml *t, struct buf *out);

/* NULL when absent. The last dot of `name` parts section from key: "core.dcos_url". */
const struct toml_line *toml_get(const struct toml *t, const char *name);
/* Writes a string, or with `bare` the text as it stands (numbers, booleans). Keys of a section are
 * kept sorted where they were. */
void toml_set(struct toml *t, const char *name, const char *value, bool bare);
/* False when it was not there. A section that becomes empty goes too. */
bool toml_unset(struct toml *t, const char *name);

#endif
