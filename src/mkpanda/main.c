#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "mkpanda/bootstrap.h"
#include "mkpanda/sandbox.h"

/* The command line of mkpanda. */

static const char usage[] =
    "mkpanda: builds host packages\n"
    "\n"
    "Usage:\n"
    "  mkpanda [options]                  in a package's folder\n"
    "  mkpanda tree [options]             in the folder of package folders\n"
    "\n"
    "Options:\n"
    "  --variant=NAME             only this one; \"default\" is the one without a name\n"
    "  --repository-url=URL       take packages from there that are there already\n"
    "  --recursive                build dependencies that are missing\n"
    "  --mkbootstrap              tree: the bootstrap tarball too\n"
    "  --no-isolation             build in a plain folder, without namespaces\n"
    "  --builder-root=DIR         build in this system's tree instead of the machine's own\n"
    "  --dont-clean-after-build   keep sources and results in cache/packages/NAME/.work\n";

struct options {
    const char *variant, *repository_url, *builder_root;
    bool recursive, mkbootstrap, keep, plain, tree, help;
};

static int parse(struct options *o, int argc, char **argv, struct error *err)
{
    const struct {
        const char *name;
        const char **text;
        bool *flag;
    } table[] = {{"--variant", &o->variant}, {"--repository-url", &o->repository_url},
        {"--builder-root", &o->builder_root}, {"--recursive", NULL, &o->recursive},
        {"--mkbootstrap", NULL, &o->mkbootstrap}, {"--dont-clean-after-build", NULL, &o->keep},
        {"--no-isolation", NULL, &o->plain}, {"--help", NULL, &o->help}, {"-h", NULL, &o->help},
        {"tree", NULL, &o->tree}};
    for (int i = 1; i < argc; i++) {
        size_t n = strcspn(argv[i], "="), j = 0;
        while (j < ARRAY_SIZE(table) &&
               (strlen(table[j].name) != n || strncmp(table[j].name, argv[i], n) != 0))
            j++;
        if (j == ARRAY_SIZE(table) || (table[j].flag && argv[i][n]))
            return error_set(err, -EINVAL, "unknown argument %.100s, see mkpanda --help", argv[i]);
        if (table[j].flag)
            *table[j].flag = true;
        else if (argv[i][n])
            *table[j].text = argv[i] + n + 1;
        else if (i + 1 < argc)
            *table[j].text = argv[++i];
        else
            return error_set(err, -EINVAL, "%s needs a value", argv[i]);
    }
    if (o->variant && streq(o->variant, "default"))
        o->variant = "";
    if (o->mkbootstrap && !o->tree)
        return error_set(err, -EINVAL, "--mkbootstrap goes with mkpanda tree");
    return 0;
}

static int build_here(struct store *s, const struct options *o, const char *here, struct error *err)
{
    _cleanup_strings_ struct strings variants = {0};
    int r = buildinfo_variants(here, &variants, err);
    if (r == 0 && variants.n == 0)
        return error_set(err, -ENOENT,
            "%s is not a package's folder: there is no *" BUILDINFO_NAME " in it", here);
    if (r == 0 && o->variant && !strings_has(&variants, o->variant))
        return error_set(err, -ENOENT, "there is no variant %s here", variant_display(o->variant));
    for (size_t i = 0; i < variants.n && r == 0; i++) {
        _cleanup_free_ char *id = NULL;
        if (o->variant && !streq(o->variant, variants.items[i]))
            continue;
        r = build_package(s, strrchr(here, '/') + 1, variants.items[i], &id, err);
        if (r < 0)
            break;
        _cleanup_free_ char *tarball = store_tarball(s, id);
        printf("%s:%s\n", variant_display(variants.items[i]), tarball);
    }
    return r;
}

static int run(const struct options *o, const char *here, struct error *err)
{
    struct store s = {.repository_url = o->repository_url,
        .builder_root = o->builder_root,
        .keep_work = o->keep,
        .recursive = o->recursive,
        .isolated = !o->plain && sandbox_can_isolate()};
    _cleanup_free_ char *above = xstrdup(here);
    if (!o->tree)
        *strrchr(above, '/') = '\0';
    if (!s.isolated)
        fprintf(stderr, "WARNING: no namespaces: build scripts run in a plain folder and see this "
                        "machine and its network\n");
    int r = store_open(&s, above, err);
    if (r == 0)
        r = o->tree ? build_tree(&s, o->variant ? o->variant : "", o->mkbootstrap, err)
                    : build_here(&s, o, here, err);
    store_done(&s);
    return r;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct error err = ERROR_INIT;
    umask(022);
    log_init("mkpanda");
    int r = parse(&o, argc, argv, &err);
    if (r == 0 && o.help) {
        fputs(usage, stdout);
        return 0;
    }
    char *here = get_current_dir_name();
    if (r == 0)
        r = here ? run(&o, here, &err) : error_errno(&err, -errno, "working folder");
    free(here);
    if (r < 0)
        fprintf(stderr, "ERROR: %s\n", err.msg);
    return r < 0;
}
