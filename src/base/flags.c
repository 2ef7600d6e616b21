#include "base/flags.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/parse.h"

/* Compares a name from the command line with a flag's, '-' and '_' alike. */
static bool same_name(struct str given, const char *name)
{
    if (given.n != strlen(name))
        return false;
    for (size_t i = 0; i < given.n; i++) {
        char a = given.p[i] == '-' ? '_' : given.p[i];
        char b = name[i] == '-' ? '_' : name[i];
        if (a != b)
            return false;
    }
    return true;
}

static struct flag *find_flag(struct flag *flags, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (same_name(name, flags[i].name))
            return &flags[i];
    return NULL;
}

static int flag_set(struct flag *f, const char *text, const char *source, struct error *err)
{
    static const char *const expected[] = {
        [FLAG_STRING] = "text",
        [FLAG_BOOL] = "true or false",
        [FLAG_I64] = "a whole number",
        [FLAG_PORT] = "a port number from 0 to 65535",
        [FLAG_DOUBLE] = "a number",
        [FLAG_DURATION] = "a duration such as 10secs or 2mins",
        [FLAG_BYTES] = "a size such as 512MB",
        [FLAG_WITHOUT_EFFECT] = "",
    };
    struct str s = str_of(text);
    int r = 0;
    switch (f->type) {
    case FLAG_WITHOUT_EFFECT:
        break;
    case FLAG_STRING:
        *(const char **)f->target = text;
        break;
    case FLAG_BOOL:
        r = parse_bool(s, f->target);
        break;
    case FLAG_I64:
        r = parse_i64(s, f->target);
        break;
    case FLAG_PORT:
        r = parse_port(s, f->target);
        break;
    case FLAG_DOUBLE:
        r = parse_double(s, f->target);
        break;
    case FLAG_DURATION:
        r = duration_parse(s, f->target);
        break;
    case FLAG_BYTES:
        r = parse_bytes(s, f->target);
        break;
    }
    if (r < 0 && f->secret)
        return error_set(err, -EINVAL, "%s: expected %s", source, expected[f->type]);
    if (r < 0)
        return error_set(
            err, -EINVAL, "%s: expected %s, got '%s'", source, expected[f->type], text);
    f->value_text = text;
    return 0;
}

static int from_environment(
    const struct program *program, struct flag *flags, size_t n, struct error *err)
{
    for (size_t i = 0; program->env_prefix && i < n; i++) {
        _cleanup_free_ char *name = xasprintf("%s_%s", program->env_prefix, flags[i].name);
        for (char *p = name; *p; p++)
            *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        const char *text = getenv(name);
        if (!text)
            continue;
        int r = flag_set(&flags[i], text, name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int from_argument(
    struct flag *flags, size_t n, int argc, char **argv, int *i, struct error *err)
{
    const char *arg = argv[*i];
    if (!has_prefix(arg, "--") || !arg[2])
        return error_set(err, -EINVAL, "unexpected argument '%s'; see --help", arg);
    struct str name = str_of(arg + 2);
    const char *text = NULL;
    ptrdiff_t eq = str_index(name, '=');
    if (eq >= 0) {
        text = arg + 2 + eq + 1;
        name.n = (size_t)eq;
    }
    struct flag *f = find_flag(flags, n, name);
    if (!f && !text && str_has_prefix(name, STR("no-"))) {
        f = find_flag(flags, n, (struct str){name.p + 3, name.n - 3});
        if (f && (f->type == FLAG_BOOL || f->type == FLAG_WITHOUT_EFFECT))
            text = "false";
        else
            f = NULL;
    }
    if (!f)
        return error_set(err, -EINVAL, "unknown flag '--" STR_FMT "'; see --help", STR_ARG(name));
    if (!text && (f->type == FLAG_BOOL || f->type == FLAG_WITHOUT_EFFECT))
        text = "true";
    if (!text) {
        if (*i + 1 >= argc)
            return error_set(err, -EINVAL, "--%s needs a value", f->name);
        text = argv[++*i];
    }
    _cleanup_free_ char *source = xasprintf("--%s", f->name);
    return flag_set(f, text, source, err);
}

int flags_parse(const struct program *program, struct flag *flags, size_t n, int argc, char **argv,
    struct error *err)
{
    for (int i = 1; i < argc; i++) {
        if (streq(argv[i], "--help") || streq(argv[i], "-h")) {
            flags_help(program, flags, n, stdout);
            return 1;
        }
        if (streq(argv[i], "--version")) {
            printf("%s %s\n", program->name, program->version);
            return 1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!flags[i].default_text)
            continue;
        int r = flag_set(&flags[i], flags[i].default_text, flags[i].name, err);
        if (r < 0)
            return r;
    }
    int r = from_environment(program, flags, n, err);
    if (r < 0)
        return r;
    for (int i = 1; i < argc; i++) {
        r = from_argument(flags, n, argc, argv, &i, err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < n; i++)
        if (flags[i].required && !flags[i].value_text)
            return error_set(err, -EINVAL, "--%s is required; see --help", flags[i].name);
    return 0;
}

/* Their names, in lines of a terminal's width. */
static void without_effect_help(const struct flag *flags, size_t n, FILE *out)
{
    enum { WIDTH = 90 };
    size_t at = 0;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (flags[i].type != FLAG_WITHOUT_EFFECT)
            continue;
        if (!any)
            fprintf(out, "\nTaken for compatibility, without effect:");
        size_t length = strlen(flags[i].name) + 1;
        if (!any || at + length > WIDTH) {
            fprintf(out, "\n ");
            at = 1;
        }
        fprintf(out, " %s", flags[i].name);
        at += length;
        any = true;
    }
    if (any)
        fputc('\n', out);
}

void flags_help(const struct program *program, const struct flag *flags, size_t n, FILE *out)
{
    fprintf(out, "Usage: %s [--flag=value ...]\n\n%s\n\nFlags:\n", program->name, program->summary);
    for (size_t i = 0; i < n; i++) {
        const struct flag *f = &flags[i];
        if (f->type == FLAG_WITHOUT_EFFECT)
            continue;
        if (f->type == FLAG_BOOL)
            fprintf(out, "  --[no-]%s\n", f->name);
        else
            fprintf(out, "  --%s=%s\n", f->name, f->arg ? f->arg : "VALUE");
        fprintf(out, "        %s", f->help);
        if (f->required)
            fprintf(out, " (required)");
        else if (f->default_text && f->default_text[0])
            fprintf(out, " (default: %s)", f->default_text);
        fputc('\n', out);
    }
    fprintf(out, "  --help, --version\n");
    without_effect_help(flags, n, out);
    if (program->env_prefix)
        fprintf(out, "\nEach flag can also be set in the environment as %s_<FLAG>.\n",
            program->env_prefix);
}
