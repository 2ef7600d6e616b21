#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
#include "pkgpanda/run.h"
#include "release/release.h"

static const char usage[] =
    "dcos-release: builds packages and installers, and publishes them\n"
    "\n"
    "Usage:\n"
    "  dcos-release [options] create CHANNEL TAG VARIANT...   build, upload to testing/CHANNEL;\n"
    "                                       the variant without a name is \"default\"\n"
    "  dcos-release [options] promote SOURCE REPOSITORY [--destination-channel=C]\n"
    "                                       SOURCE is a repository and channel, testing/master\n"
    "  dcos-release [options] create-installer SOURCE   installers and templates of what is\n"
    "                                       published, to DIR/artifacts of --work; nothing is "
    "uploaded\n"
    "\n"
    "Options:\n"
    "  --config=FILE      storages [default: dcos-release.config.yaml]\n"
    "  --packages=DIR     folder of package folders [default: build/release.work/tree]\n"
    "  --installer=DIR    the installer's own files [default: build/dist/installer]\n"
    "  --extra=DIR        extension of the configuration, docs/gen.md [default: gen_extra]\n"
    "  --work=DIR         [default: build/dcos-release]\n"
    "  --commit=ID        of the sources [default: what git says here]\n"
    "  --noop             change nothing in the storages\n"
    "  --local            only installers, no templates of clouds\n";

struct line {
    struct release_options o;
    const char *destination_channel;
    const char *args[64];
    size_t n;
    bool help, version;
};

static int parse(struct line *l, int argc, char **argv, struct error *err)
{
    const struct option table[] = {{"--config", "-c", &l->o.config},
        {"--packages", NULL, &l->o.packages}, {"--installer", NULL, &l->o.installer},
        {"--work", NULL, &l->o.work}, {"--extra", NULL, &l->o.extra},
        {"--commit", NULL, &l->o.commit}, {"--destination-channel", NULL, &l->destination_channel},
        {"--noop", NULL, NULL, &l->o.noop}, {"--local", NULL, NULL, &l->o.local},
        {"--help", "-h", NULL, &l->help}, {"--version", NULL, NULL, &l->version}};
    return options_parse("dcos-release", table, ARRAY_SIZE(table), argc, argv, l->args,
        ARRAY_SIZE(l->args), &l->n, err);
}

/* Beside this program, where it is installed or built. */
static char *find_mkpanda(void)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[MAX(n, (ssize_t)0)] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    char *beside = path_join(self, "mkpanda"), *built = path_join(self, "../mkpanda/mkpanda");
    char *found = access(beside, X_OK) == 0 ? beside : built;
    free(found == beside ? built : beside);
    return found;
}

static int find_commit(char **ret, struct error *err)
{
    static const char *const argv[] = {"git", "rev-parse", "HEAD", NULL};
    _cleanup_buf_ struct buf output = BUF_INIT;
    const struct run_options options = {.output = &output};
    int status = run_program(argv, &options, err);
    struct str text = str_trim(buf_str(&output));
    if (status != 0 || text.n != COMMIT_LENGTH)
        return error_set(err, -EINVAL, "git knows no commit here; give it with --commit");
    *ret = str_dup(text);
    return 0;
}

static int need(const struct line *l, size_t least, size_t most, struct error *err)
{
    if (l->n < least || l->n > most)
        return error_set(err, -EINVAL, "wrong number of arguments, see dcos-release --help");
    return 0;
}

static int dispatch(struct line *l, const struct release_config *c, struct error *err)
{
    const char *command = l->args[0];
    int r;
    if (streq(command, "create")) {
        r = need(l, 4, ARRAY_SIZE(l->args), err);
        return r < 0 ? r
                     : release_create(&l->o, c, l->args[1], l->args[2], l->args + 3, l->n - 3, err);
    }
    if (streq(command, "promote")) {
        r = need(l, 3, 3, err);
        return r < 0 ? r
                     : release_promote(&l->o, c, l->args[1], l->args[2],
                           l->destination_channel ? l->destination_channel : "", err);
    }
    if (streq(command, "create-installer")) {
        r = need(l, 2, 2, err);
        return r < 0 ? r : release_create_installer(&l->o, c, l->args[1], err);
    }
    return error_set(err, -EINVAL, "unknown command %.100s, see dcos-release --help", command);
}

static int run(struct line *l, struct error *err)
{
    struct release_config config = {0};
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *commit = NULL, *mkpanda = find_mkpanda(), *work = NULL;
    int r = file_read(l->o.config, RELEASE_CONFIG_MAX, &text, err);
    if (r >= 0)
        r = release_config_read(buf_cstr(&text), text.n, &config, err);
    if (r < 0)
        return error_prefix(err, r, "%s", l->o.config);
    if (!l->o.commit) {
        r = find_commit(&commit, err);
        l->o.commit = commit;
    }
    if (r >= 0)
        r = mkdir_all(l->o.work, 0755, err);
    if (r >= 0 && !(work = realpath(l->o.work, NULL)))
        r = error_errno(err, -errno, "%s", l->o.work);
    l->o.work = work;
    l->o.mkpanda = mkpanda;
    if (r >= 0)
        r = dispatch(l, &config, err);
    release_config_done(&config);
    return r;
}

int main(int argc, char **argv)
{
    struct line l = {.o = {.config = "dcos-release.config.yaml",
                         .packages = "build/release.work/tree",
                         .installer = "build/dist/installer",
                         .extra = "gen_extra",
                         .work = "build/dcos-release"}};
    struct error err = ERROR_INIT;
    umask(022);
    log_init("dcos-release");
    int r = parse(&l, argc, argv, &err);
    if (r == 0 && l.version) {
        puts("dcos-release " DCOS_VERSION);
        return 0;
    }
    if (r == 0 && (l.help || l.n == 0)) {
        fputs(usage, stdout);
        return l.help ? 0 : 1;
    }
    if (r == 0)
        r = run(&l, &err);
    if (r < 0)
        fprintf(stderr, "ERROR: %s\n", err.msg);
    return r < 0;
}
