#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
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
    const char *command = NULL;
    size_t n = 0;
    const struct option table[] = {{"--variant", NULL, &o->variant},
        {"--repository-url", NULL, &o->repository_url}, {"--builder-root", NULL, &o->builder_root},
        {"--recursive", NULL, NULL, &o->recursive}, {"--mkbootstrap", NULL, NULL, &o->mkbootstrap},
        {"--dont-clean-after-build", NULL, NULL, &o->keep},
        {"--no-isolation", NULL, NULL, &o->plain}, {"--help", "-h", NULL, &o->help}};
    int r = options_parse("mkpanda", table, ARRAY_SIZE(table), argc, argv, &command, 1, &n, err);
    if (r < 0)
        return r;
    if (n > 0 && !streq(command, "tree"))
        return error_set(err, -EINVAL, "unknown argument %.100s, see mkpanda --help", command);
    o->tree = n > 0;
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
