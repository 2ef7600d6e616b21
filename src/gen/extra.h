#ifndef DCOS_GEN_EXTRA_H
#define DCOS_GEN_EXTRA_H

/*
 * Extensions: a folder gen_extra/ with parameters of one's own and more files for nodes, for who
 * builds installers for others. In DC/OS it holds Python; here params.yaml says what there is to
 * say, and templates have the names of the built-in ones, to which they are added:
 *
 *     parameters:
 *       monitor_url:
 *         help: where measurements go
 *         pattern: "https?://.*"
 *         message: Must be an http address.
 *       monitor_host:
 *         must: "{{ cluster_name }}.example"
 *       ui_banner:
 *         default: true
 *     provider_template_defaults:
 *       oauth_enabled: false
 *
 * A description has one of `default`, `must` (config.yaml may not set it) and `optional: true`;
 * without them the parameter is required. Values may mention others as {{ name }}. `when: {name:
 * value}` says while what it holds. `type` (line, text, not_empty, boolean, integer, list,
 * mapping), `one_of`, `min`, `max` and `pattern` (POSIX, extended, for the whole value) say what is
 * taken, `message` what is said otherwise; `secret: true` hides it. The name of a built-in
 * parameter replaces how that gets its value, and adds to what is checked.
 */

#include "base/vec.h"
#include "gen/calc.h"
#include "gen/rules.h"
#include "gen/template.h"

#define EXTRA_FOLDER "gen_extra"
#define EXTRA_PARAMS "params.yaml"

enum {
    EXTRA_PARAMS_MAX = 500,
    EXTRA_NAME_MAX = 64,
    EXTRA_PATTERN_MAX = 1000,
    EXTRA_REPEATS_MAX = 10000, /* product of all {n} in a pattern: it is unfolded when compiled */
};

struct extra_param {
    const char *name, *help;
    enum setter_kind kind;
    const char *value;         /* constant, NULL with a template */
    struct template *template; /* of `inputs` */
    const char *inputs, *when; /* as graph_setter has them */
    const struct gen_type *type;
    const char *const *one_of; /* NULL at the end */
    const char *pattern, *message;
    const struct rule_range *range;
    bool secret;
};

struct extra {
    struct arena arena;
    VEC(struct extra_param) params;
    json_t *templates;         /* {built-in template's name: text} */
    json_t *provider_defaults; /* {name: text} */
};

/* Reads what `folder` has; without the folder there is nothing. -EBADMSG, -EINVAL with the file's
 * name. Also -EINVAL for what would not be used: other files, calc.py. */
int extra_read(
    const struct gen_files *files, const char *folder, struct extra *ret, struct error *err);
void extra_done(struct extra *x);
const struct extra_param *extra_find(const struct extra *x, const char *name);
/* Setters and rules. The graph's userdata is the struct gen_files of a struct gen. */
void extra_add(struct extra *x, struct graph *g);
/* Setters for provider_template_defaults, which are for templates of clouds only. */
void extra_add_defaults(struct extra *x, struct graph *g);

#endif
