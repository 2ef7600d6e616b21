#ifndef DCOS_GEN_CONFIG_H
#define DCOS_GEN_CONFIG_H

/*
 * config.yaml: a mapping of names to values, which all become text.
 *
 * Text stays, whole numbers become decimal, truth values "true" or "false", lists and mappings one
 * line of JSON; what is which is read as json/yaml_read.h says. Null and numbers with a fraction
 * are no values.
 */

#include "json/json.h"

enum { CONFIG_NAME_MAX = 128 };

struct config_entry {
    const char *name;
    const char *value;   /* NULL: it has none, see problem */
    const char *problem; /* why not */
    const json_t *json;  /* as it was read */
    unsigned line;       /* from 1 */
};

struct config {
    struct arena arena;
    json_t *json;                 /* {name: value as it was read}; of a name twice, the first */
    struct config_entry *entries; /* in the file's order */
    size_t n;
};

/* -EBADMSG with the line, -EFBIG. What is wrong with one value only is in its entry. */
int config_read(const char *text, size_t n, struct config *ret, struct error *err);
void config_done(struct config *c);
const struct config_entry *config_get(const struct config *c, const char *name);

/* A value as the text that an argument is. NULL with *ret_problem, a sentence, for what is none.
 * The text is the arena's. */
const char *config_text(struct arena *arena, const json_t *value, const char **ret_problem);
/* JSON as Python's json.dumps writes it: ", " and ": " between, keys in their order. */
void config_dump(const json_t *value, struct buf *out);

#endif
