#ifndef DCOS_GEN_TEMPLATE_H
#define DCOS_GEN_TEMPLATE_H

/*
 * The template language of DC/OS's gen.
 *
 *   {{ name }}  {{ name | filter }}      exactly one blank on each side; names are [a-z0-9_]+
 *   {% switch name %}{% case "a" %}...{% case "b" %}...{% endswitch %}
 *   {% for x in name %}...{% endfor %}   name is a JSON list
 *   {{{{                                 the text {{
 *
 * A lone "{" and a stray "}}" are text. Between switch and its first case there may be white space
 * only. Case strings have \" and \\ and no line breaks.
 */

#include "json/json.h"

enum {
    TEMPLATE_MAX = 1024 * 1024,
    TEMPLATE_NODES_MAX = 20000,
    TEMPLATE_DEPTH_MAX = 32,
    TEMPLATE_OUTPUT_MAX = 8 * 1024 * 1024,
    TEMPLATE_STEPS_MAX = 4000000,
};

struct template;

/* -EBADMSG with "line L: ...". */
int template_parse(const char *text, size_t n, struct template **ret, struct error *err);
void template_free(struct template *t);
DEFINE_CLEANUP(struct template *, template_free)

/* Appends a changed value. */
typedef int template_filter_fn(const char *value, struct buf *out, struct error *err);
struct template_filter {
    const char *name;
    template_filter_fn *fn;
};

/* Filters that there always are: "json" (a JSON string, which is a YAML one too), "shell" (one word
 * of a POSIX shell in single quotes). */

/*
 * `arguments` is an object of strings, and of lists of strings for loops; a string that is the text
 * of a JSON list serves a loop too. -ENOENT for an argument that is not there, -EINVAL for a switch
 * without a case for the value, an unknown filter, or a loop over something else, -EFBIG.
 */
int template_render(const struct template *t, const json_t *arguments,
    const struct template_filter *filters, size_t n_filters, struct buf *out, struct error *err);

/* Names that rendering may need: {"variables": [sorted], "switches": {name: {case: target}}}. A new
 * object. */
json_t *template_target(const struct template *t);

#endif
