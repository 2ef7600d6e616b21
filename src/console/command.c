#include "console/command.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "base/vec.h"

/* ---- help ---- */

/* The text of options and commands is indented by eight; further lines of a text start in column 0
 * as they do upstream, so each help string is kept to one line. */
static void print_entry(FILE *out, const char *name, const char *text)
{
    fprintf(out, "    %s\n        %s\n", name, text);
}

static bool has_visible_children(const struct command *c)
{
    for (size_t i = 0; i < c->n_children; i++) {
        if (!c->children[i]->hidden)
            return true;
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    const struct command *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void print_children(const struct command *c, bool is_root, FILE *out)
{
    static const struct command help = {
        .name = "help", .summary = "Help about any command", .max_args = 8};
    VEC(const struct command *) shown = {0};
    for (size_t i = 0; i < c->n_children; i++) {
        if (!c->children[i]->hidden)
            vec_push(&shown, c->children[i]);
    }
    if (is_root)
        vec_push(&shown, &help);
    qsort(shown.items, shown.n, sizeof(*shown.items), by_name);
    fprintf(out, "\nCommands:\n");
    VEC_FOREACH (child, &shown)
        print_entry(out, (*child)->name, (*child)->summary);
    vec_done(&shown);
}

static void print_options(const struct command *c, FILE *out)
{
    bool help_done = false;
    fprintf(out, "\nOptions:\n");
    for (size_t i = 0; i <= c->n_options; i++) {
        const struct option_spec *o = i < c->n_options ? &c->options[i] : NULL;
        if (!help_done && (!o || strcmp(o->name, "help") > 0)) {
            fprintf(out, "    -h, --help\n        help for %s\n", c->name);
            help_done = true;
        }
        if (!o || o->hidden)
            continue;
        char name[96];
        if (o->letter)
            snprintf(name, sizeof(name), "-%c, --%s", o->letter, o->name);
        else
            snprintf(name, sizeof(name), "--%s", o->name);
        print_entry(out, name, o->help);
    }
}

static void print_usage(const struct command *c, const char *path, bool is_root, FILE *out)
{
    fprintf(out, "Usage:\n");
    if (c->n_children)
        fprintf(out, "    %s [command]\n", path);
    if (!c->n_children || (c->run && c->max_args))
        fprintf(out, "    %s%s%s [flags]\n", path, c->arguments ? " " : "", c->arguments ?: "");
    if (c->examples)
        fprintf(out, "\nExamples:\n%s\n", c->examples);
    if (has_visible_children(c))
        print_children(c, is_root, out);
    print_options(c, out);
    if (has_visible_children(c))
        fprintf(out, "\nUse \"%s [command] --help\" for more information about a command.\n", path);
}

void command_help(const struct command *c, const char *path, bool is_root, FILE *out)
{
    const char *text = c->description ?: c->summary;
    if (text)
        fprintf(out, "%s\n\n", text);
    print_usage(c, path, is_root, out);
}

/* ---- options ---- */

static const struct option_spec *find_option(
    const struct command *c, struct str name, char letter, size_t *ret_index)
{
    for (size_t i = 0; i < c->n_options; i++) {
        if (letter ? c->options[i].letter == letter : str_eq_c(name, c->options[i].name)) {
            *ret_index = i;
            return &c->options[i];
        }
    }
    return NULL;
}

static size_t option_index(const struct invocation *inv, const char *name, unsigned types)
{
    size_t i = 0;
    const struct option_spec *o = find_option(inv->command, str_of(name), 0, &i);
    if (!o || !(types & 1u << o->type)) {
        fprintf(stderr, "no option --%s of that type in '%s'\n", name, inv->path);
        abort();
    }
    return i;
}

bool option_bool(const struct invocation *inv, const char *name)
{
    return inv->values[option_index(inv, name, 1u << OPTION_BOOL)].truth;
}

const char *option_text(const struct invocation *inv, const char *name)
{
    size_t i = option_index(inv, name, 1u << OPTION_STRING);
    return inv->values[i].n ? inv->values[i].texts[inv->values[i].n - 1] : NULL;
}

int64_t option_i64(const struct invocation *inv, const char *name, int64_t fallback)
{
    size_t i = option_index(inv, name, 1u << OPTION_I64);
    return inv->values[i].seen ? inv->values[i].number : fallback;
}

size_t option_list(const struct invocation *inv, const char *name, const char *const **ret)
{
    size_t i = option_index(inv, name, 1u << OPTION_LIST);
    *ret = inv->values[i].texts;
    return inv->values[i].n;
}

static int set_option(
    struct invocation *inv, size_t i, const char *text, const char *shown, struct error *err)
{
    const struct option_spec *o = &inv->command->options[i];
    inv->values[i].seen = true;
    switch (o->type) {
    case OPTION_BOOL:
        inv->values[i].truth = true;
        if (text && parse_bool(str_of(text), &inv->values[i].truth) < 0)
            return error_set(err, -EINVAL,
                "invalid argument \"%s\" for \"%s\": expected true or false", text, shown);
        return 0;
    case OPTION_I64:
        if (parse_i64(str_of(text), &inv->values[i].number) < 0)
            return error_set(err, -EINVAL,
                "invalid argument \"%s\" for \"%s\": expected a whole number", text, shown);
        return 0;
    default:
        inv->values[i].texts = xreallocarray(
            inv->values[i].texts, inv->values[i].n + 1, sizeof(char *));
        inv->values[i].texts[inv->values[i].n++] = text;
        return 0;
    }
}

struct cursor {
    char **argv;
    int argc, i;
};

static bool parse_word(struct invocation *inv, const char *arg)
{
    for (size_t i = 0; i < inv->command->n_options; i++) {
        const struct option_spec *o = &inv->command->options[i];
        if (o->word && o->type == OPTION_BOOL && streq(o->word, arg + 1)) {
            inv->values[i].seen = inv->values[i].truth = true;
            return true;
        }
    }
    return false;
}

static int parse_long(struct invocation *inv, struct cursor *at, bool *ret_help, struct error *err)
{
    const char *arg = at->argv[at->i];
    const char *equals = strchr(arg, '=');
    struct str name = {arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2)};
    size_t i;
    if (str_eq_c(name, "help")) {
        *ret_help = true;
        return 0;
    }
    const struct option_spec *o = find_option(inv->command, name, 0, &i);
    if (!o)
        return error_set(err, -EINVAL, "unknown flag: --" STR_FMT " (see '%s --help')",
            STR_ARG(name), inv->path);
    const char *text = equals ? equals + 1 : NULL;
    if (!text && o->type != OPTION_BOOL) {
        if (at->i + 1 >= at->argc)
            return error_set(err, -EINVAL, "flag needs an argument: --%s", o->name);
        text = at->argv[++at->i];
    }
    char shown[64];
    snprintf(shown, sizeof(shown), "--%s", o->name);
    return set_option(inv, i, text, shown, err);
}

static int parse_short(struct invocation *inv, struct cursor *at, bool *ret_help, struct error *err)
{
    const char *arg = at->argv[at->i];
    for (const char *p = arg + 1; *p; p++) {
        size_t i;
        if (*p == 'h' && !find_option(inv->command, STR(""), 'h', &i)) {
            *ret_help = true;
            continue;
        }
        const struct option_spec *o = find_option(inv->command, STR(""), *p, &i);
        if (!o)
            return error_set(err, -EINVAL, "unknown shorthand flag: '%c' in %s (see '%s --help')",
                *p, arg, inv->path);
        char shown[64];
        snprintf(shown, sizeof(shown), "-%c, --%s", o->letter, o->name);
        if (o->type == OPTION_BOOL) {
            set_option(inv, i, NULL, shown, err);
            continue;
        }
        const char *text = p[1] == '=' ? p + 2 : p + 1;
        if (!p[1]) {
            if (at->i + 1 >= at->argc)
                return error_set(
                    err, -EINVAL, "flag needs an argument: '%c' in %s", o->letter, arg);
            text = at->argv[++at->i];
        }
        return set_option(inv, i, text, shown, err);
    }
    return 0;
}

/* Options go to inv->values, everything else to args. */
static int parse_options(struct invocation *inv, int argc, char **argv, const char **args,
    bool *ret_help, struct error *err)
{
    struct cursor at = {argv, argc, 0};
    bool only_args = false;
    for (; at.i < argc; at.i++) {
        const char *arg = argv[at.i];
        int r = 0;
        if (only_args || arg[0] != '-' || !arg[1]) {
            args[inv->n_args++] = arg;
            only_args = only_args || inv->command->first_ends;
        } else if (streq(arg, "--"))
            only_args = true;
        else if (arg[1] == '-')
            r = parse_long(inv, &at, ret_help, err);
        else if (!parse_word(inv, arg))
            r = parse_short(inv, &at, ret_help, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_args(const struct invocation *inv, struct error *err)
{
    const struct command *c = inv->command;
    if (inv->n_args >= c->min_args && inv->n_args <= c->max_args)
        return 0;
    if (c->min_args == c->max_args)
        return error_set(err, -EINVAL, "accepts %u arg(s), received %zu (usage: %s%s%s)",
            c->min_args, inv->n_args, inv->path, c->arguments ? " " : "", c->arguments ?: "");
    if (inv->n_args < c->min_args)
        return error_set(err, -EINVAL,
            "requires at least %u arg(s), only received %zu (usage: %s%s%s)", c->min_args,
            inv->n_args, inv->path, c->arguments ? " " : "", c->arguments ?: "");
    return error_set(err, -EINVAL, "accepts at most %u arg(s), received %zu (usage: %s%s%s)",
        c->max_args, inv->n_args, inv->path, c->arguments ? " " : "", c->arguments ?: "");
}

/* ---- running ---- */

static const struct command *find_child(const struct command *c, const char *name)
{
    for (size_t i = 0; i < c->n_children; i++) {
        if (streq(c->children[i]->name, name))
            return c->children[i];
    }
    return NULL;
}

static int run_command(struct invocation *inv, bool is_root, int argc, char **argv)
{
    struct error err = ERROR_INIT;
    const char **args = xcalloc((size_t)argc + 1, sizeof(*args));
    bool help = false;
    assert(inv->command->n_options <= COMMAND_OPTIONS_MAX);
    inv->args = args;
    int r = parse_options(inv, argc, argv, args, &help, &err);
    if (r == 0 && !help)
        r = check_args(inv, &err);
    int failure = r < 0 && inv->usage_exit ? inv->usage_exit : 1;
    if (r == 0 && help)
        command_help(inv->command, inv->path, is_root, stdout);
    else if (r == 0)
        r = inv->command->run(inv, &err);
    /* Output that could not be written is an error of the command. */
    if (r >= 0 && fflush(stdout) != 0)
        r = error_errno(&err, -errno, "cannot write the output");
    if (r < 0) {
        fflush(stdout);
        fprintf(stderr, "Error: %s\n", err.msg);
    }
    for (size_t i = 0; i < inv->command->n_options; i++)
        free(inv->values[i].texts);
    free(args);
    return r < 0 ? failure : r;
}

static int unknown_child(const struct command *c, const char *path, bool is_root, const char *name)
{
    if (c->lenient) {
        command_help(c, path, is_root, stdout);
        return 0;
    }
    print_usage(c, path, is_root, c->usage_on_stderr ? stderr : stdout);
    fflush(stdout);
    fprintf(stderr, "\nError: unknown command %s\n", name);
    return c->usage_exit ? c->usage_exit : 1;
}

int command_main(const struct command *root, void *app, int argc, char **argv)
{
    const struct command *c = root;
    struct invocation inv = {.app = app};
    snprintf(inv.path, sizeof(inv.path), "%s", root->name);
    int i = 0;
    bool help = argc > 0 && streq(argv[0], "help") && !find_child(root, "help");
    if (help)
        i = 1;
    for (; c->n_children && i < argc; i++) {
        const struct command *child = find_child(c, argv[i]);
        if (!child) {
            if (streq(argv[i], "--help") || streq(argv[i], "-h"))
                help = true;
            else if (c->run)
                break;
            else
                return unknown_child(c, inv.path, c == root, argv[i]);
            break;
        }
        c = child;
        inv.usage_exit = c->usage_exit ? c->usage_exit : inv.usage_exit;
        size_t used = strlen(inv.path);
        snprintf(inv.path + used, sizeof(inv.path) - used, " %s", c->name);
    }
    inv.command = c;
    if (help || (!c->run && i >= argc)) {
        command_help(c, inv.path, c == root, stdout);
        return 0;
    }
    /* A group that does something of its own takes its options here, and still refuses words that
     * are no command of it. */
    if (c->n_children && c->max_args == 0 && i < argc && argv[i][0] != '-')
        return unknown_child(c, inv.path, c == root, argv[i]);
    return run_command(&inv, c == root, argc - i, argv + i);
}
