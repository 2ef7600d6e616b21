#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/options.h"
#include "json/writer.h"
#include "pkgpanda/api.h"
#include "pkgpanda/output.h"
#include "pkgpanda/repository.h"
#include "pkgpanda/run.h"

/* The command line of pkgpanda. Options may stand anywhere. */

struct options {
    const char *config_dir, *root, *repository, *state_dir_root, *repository_url, *socket,
        *socket_group, *sign_key, *digests;
    bool rooted_systemd, no_systemd, no_block_systemd, silent, json, list, help, version;
};

struct context {
    struct options o;
    struct install in;
    struct trust *trust;
    const char *command;
    const char *const *args;
    size_t n_args;
    struct strings done; /* for --json */
};

static const char usage[] =
    "pkgpanda: host packages\n"
    "\n"
    "Usage:\n"
    "  pkgpanda list                       packages on this host\n"
    "  pkgpanda active                     packages in force\n"
    "  pkgpanda fetch --repository-url=URL ID...\n"
    "  pkgpanda add TARBALL                <ID>.tar.xz\n"
    "  pkgpanda activate ID...             exactly these packages\n"
    "  pkgpanda swap ID                    instead of the active package of that name\n"
    "  pkgpanda rollback                   what was active before the last change\n"
    "  pkgpanda remove ID...\n"
    "  pkgpanda setup                      first start, and every boot\n"
    "  pkgpanda uninstall\n"
    "  pkgpanda check [--list]             run the checks of active packages\n"
    "  pkgpanda api --socket=PATH          serve the HTTP API\n"
    "  pkgpanda sign FILE... [--key=PEM]   write FILE.sha256 and FILE.sha256.sig\n"
    "\n"
    "Options:\n"
    "  --config-dir=DIR       host configuration [default: /etc/mesosphere]\n"
    "  --root=DIR             [default: /opt/mesosphere]\n"
    "  --repository=DIR       [default: packages below the root]\n"
    "  --state-dir-root=DIR   [default: /var/lib/dcos]\n"
    "  --rooted-systemd       units go below the root instead of /etc/systemd/system\n"
    "  --no-systemd           do not call systemctl\n"
    "  --no-block-systemd     do not wait for units\n"
    "  --digests=FILE         fetch: lines of sha256sum; nothing else is taken\n"
    "  --socket-group=GROUP   owner of the API's socket\n"
    "  --json                 answers for machines\n"
    "  --silent               no log lines\n";

/* `args` has room for argc. */
static int parse(
    struct context *c, int argc, char **argv, const char **args, size_t *ret_n, struct error *err)
{
    struct options *o = &c->o;
    const struct option table[] = {{"--config-dir", NULL, &o->config_dir},
        {"--root", NULL, &o->root}, {"--repository", NULL, &o->repository},
        {"--state-dir-root", NULL, &o->state_dir_root},
        {"--repository-url", NULL, &o->repository_url}, {"--socket", NULL, &o->socket},
        {"--socket-group", NULL, &o->socket_group}, {"--key", NULL, &o->sign_key},
        {"--digests", NULL, &o->digests}, {"--rooted-systemd", NULL, NULL, &o->rooted_systemd},
        {"--no-systemd", NULL, NULL, &o->no_systemd},
        {"--no-block-systemd", NULL, NULL, &o->no_block_systemd},
        {"--silent", NULL, NULL, &o->silent}, {"--json", NULL, NULL, &o->json},
        {"--list", NULL, NULL, &o->list}, {"--help", "-h", NULL, &o->help},
        {"--version", NULL, NULL, &o->version}};
    return options_parse(
        "pkgpanda", table, ARRAY_SIZE(table), argc, argv, args, (size_t)argc, ret_n, err);
}

/* ---- commands ---- */

static int need_args(const struct context *c, size_t min, size_t max, struct error *err)
{
    if (c->n_args < min || c->n_args > max)
        return error_set(err, -EINVAL, "pkgpanda %s takes %s, see pkgpanda --help", c->command,
            max == 0 ? "no arguments" : (max == 1 ? "one argument" : "at least one argument"));
    return 0;
}

static int cmd_list(struct context *c, struct error *err)
{
    _cleanup_strings_ struct strings ids = {0};
    int r = need_args(c, 0, 0, err);
    if (r == 0)
        r = repository_list(c->in.repository, &ids, err);
    if (r == 0)
        (c->o.json ? print_json_list : print_repository)(&ids);
    return r;
}

static int cmd_active(struct context *c, struct error *err)
{
    _cleanup_strings_ struct strings ids = {0};
    int r = need_args(c, 0, 0, err);
    if (r == 0)
        r = install_active(&c->in, &ids, err);
    if (r == 0)
        (c->o.json ? print_json_list : print_lines)(&ids);
    return r;
}

static void progress(const struct context *c, const char *fmt, const char *id)
{
    if (c->o.json)
        return;
    printf("\r%s: %s", fmt, id);
    fflush(stdout);
}

static int cmd_fetch(struct context *c, struct error *err)
{
    int r = need_args(c, 1, SIZE_MAX, err);
    if (r == 0 && !c->o.repository_url)
        r = error_set(err, -EINVAL, "pkgpanda fetch needs --repository-url=URL");
    for (size_t i = 0; i < c->n_args && r >= 0; i++) {
        progress(c, "Fetching", c->args[i]);
        r = repository_fetch(c->in.repository, c->o.repository_url, c->args[i], c->trust, err);
        if (r < 0) {
            if (!c->o.json)
                putchar('\n');
            break;
        }
        progress(c, "Fetched", c->args[i]);
        if (!c->o.json)
            putchar('\n');
        strings_add(&c->done, c->args[i]);
    }
    if (r >= 0 && c->o.json)
        print_json_field("fetched", &c->done);
    return MIN(r, 0);
}

static int cmd_add(struct context *c, struct error *err)
{
    _cleanup_free_ char *id = NULL;
    int r = need_args(c, 1, 1, err);
    if (r == 0)
        r = repository_id_of_tarball(c->args[0], &id, err);
    if (r == 0)
        r = repository_add(c->in.repository, c->args[0], id, err);
    if (r < 0)
        return r;
    if (r > 0 && !c->o.json)
        fprintf(stderr, "Package %s is already added.\n", id);
    strings_add(&c->done, id);
    if (c->o.json)
        print_json_field("added", &c->done);
    return 0;
}

static int cmd_activate(struct context *c, struct error *err)
{
    _cleanup_strings_ struct strings ids = {0};
    int r = need_args(c, 1, SIZE_MAX, err);
    for (size_t i = 0; i < c->n_args; i++)
        strings_add(&ids, c->args[i]);
    return r < 0 ? r : install_activate(&c->in, &ids, err);
}

static int cmd_swap(struct context *c, struct error *err)
{
    int r = need_args(c, 1, 1, err);
    return r < 0 ? r : install_swap_package(&c->in, c->args[0], err);
}

static int cmd_rollback(struct context *c, struct error *err)
{
    int r = need_args(c, 0, 0, err);
    return r < 0 ? r : install_rollback(&c->in, err);
}

static int cmd_remove(struct context *c, struct error *err)
{
    _cleanup_strings_ struct strings active = {0};
    int r = need_args(c, 1, SIZE_MAX, err);
    if (r == 0)
        r = install_active(&c->in, &active, err);
    if (r == -ENOENT) /* nothing is active yet */
        r = 0;
    for (size_t i = 0; i < c->n_args && r == 0; i++) {
        if (strings_has(&active, c->args[i]))
            return error_set(
                err, -EINVAL, "Package %s is active, so it can't be removed.", c->args[i]);
        progress(c, "Removing", c->args[i]);
        r = repository_remove(c->in.repository, c->args[i], err);
        if (r == 0)
            progress(c, "Removed", c->args[i]);
        if (!c->o.json)
            putchar('\n');
        strings_add(&c->done, c->args[i]);
    }
    if (r == 0 && c->o.json)
        print_json_field("removed", &c->done);
    return r;
}

static int cmd_setup(struct context *c, struct error *err)
{
    int r = need_args(c, 0, 0, err);
    return r < 0 ? r : install_setup(&c->in, err);
}

static int cmd_uninstall(struct context *c, struct error *err)
{
    int r = need_args(c, 0, 0, err);
    return r < 0 ? r : install_uninstall(&c->in, err);
}

static int run_check(const struct context *c, const char *path, struct json_writer *w)
{
    struct error err = ERROR_INIT;
    const char *const argv[] = {path, NULL};
    _cleanup_buf_ struct buf output = BUF_INIT;
    const struct run_options options = {.output = c->o.json ? &output : NULL};
    fflush(stdout);
    int r = run_program(argv, &options, &err);
    if (r != 0)
        fprintf(stderr, "WARNING: `%s` failed with %s %d\n", path, r < 0 ? "error" : "return code",
            r < 0 ? -r : r);
    jw_begin_object(w);
    jw_field_string(w, "check", path);
    jw_field_i64(w, "status", r);
    jw_field_string(w, "output", buf_cstr(&output));
    jw_end_object(w);
    return r;
}

static int cmd_check(struct context *c, struct error *err)
{
    struct install_checks checks = {0};
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    int r = need_args(c, 0, 0, err), failed = 0;
    if (r == 0)
        r = install_list_checks(&c->in, &checks, err);
    jw_init(&w, &text);
    jw_begin_array(&w);
    for (size_t i = 0; i < checks.n && r == 0; i++) {
        const char *path = checks.items[i].path;
        if (!checks.items[i].executable)
            fprintf(stderr, "WARNING: `%s` is not executable\n", path);
        else if (!c->o.list)
            failed |= run_check(c, path, &w) != 0;
        else if (c->o.json)
            jw_string(&w, path);
        else
            puts(path);
    }
    jw_end_array(&w);
    if (r == 0 && c->o.json)
        puts(buf_cstr(&text));
    install_checks_done(&checks);
    return r < 0 ? r : failed;
}

static int cmd_api(struct context *c, struct error *err)
{
    int r = need_args(c, 0, 0, err);
    if (r == 0 && !c->o.socket)
        r = error_set(err, -EINVAL, "pkgpanda api needs --socket=PATH");
    if (r < 0)
        return r;
    /* A stop that was waited for would wait for ourselves. */
    c->in.block_systemd = false;
    c->in.manage_users = false;
    const struct api_options options = {c->o.socket, c->o.socket_group};
    return api_run(&c->in, &options, err);
}

static int cmd_sign(struct context *c, struct error *err)
{
    int r = need_args(c, 1, SIZE_MAX, err);
    for (size_t i = 0; i < c->n_args && r == 0; i++)
        r = trust_publish(c->args[i], c->o.sign_key, err);
    return r;
}

static const struct {
    const char *name;
    int (*run)(struct context *c, struct error *err);
} commands[] = {{"list", cmd_list}, {"active", cmd_active}, {"fetch", cmd_fetch}, {"add", cmd_add},
    {"activate", cmd_activate}, {"swap", cmd_swap}, {"rollback", cmd_rollback},
    {"remove", cmd_remove}, {"setup", cmd_setup}, {"uninstall", cmd_uninstall},
    {"check", cmd_check}, {"api", cmd_api}, {"sign", cmd_sign}};

static int run_command(struct context *c, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (streq(commands[i].name, c->command))
            return commands[i].run(c, err);
    return error_set(err, -EINVAL, "unknown command %.64s, see pkgpanda --help", c->command);
}

/* Links are made to last: they must not depend on where we were called from. */
static char *absolute(const char *path)
{
    if (path[0] == '/')
        return xstrdup(path);
    char *here = get_current_dir_name();
    char *full = here ? path_join(here, path) : xstrdup(path);
    free(here);
    return full;
}

int main(int argc, char **argv)
{
    struct context c = {.o = {.config_dir = "/etc/mesosphere",
                            .root = "/opt/mesosphere",
                            .state_dir_root = "/var/lib/dcos"}};
    _cleanup_free_ const char **args = xnew_array(const char *, (size_t)argc + 1);
    size_t n_args = 0;
    struct error err = ERROR_INIT;
    umask(022);
    log_init("pkgpanda");
    int r = parse(&c, argc, argv, args, &n_args, &err);
    if (r < 0)
        return print_error(&err, c.o.json);
    if (c.o.version) {
        printf("pkgpanda %s\n", DCOS_VERSION);
        return 0;
    }
    if (c.o.help || n_args == 0) {
        fputs(usage, c.o.help ? stdout : stderr);
        return c.o.help ? 0 : 1;
    }
    if (c.o.silent)
        log_set_level(LOG_ERROR);
    _cleanup_free_ char *root = absolute(c.o.root);
    _cleanup_free_ char *repository = c.o.repository ? absolute(c.o.repository)
                                                     : path_join(root, "packages");
    c.in = (struct install){.root = root,
        .repository = repository,
        .config_dir = c.o.config_dir,
        .state_dir_root = c.o.state_dir_root,
        .systemd_dir = c.o.rooted_systemd ? root : "/etc/systemd/system",
        .manage_systemd = !c.o.no_systemd,
        .block_systemd = !c.o.no_block_systemd,
        .manage_users = true,
        .manage_state = true};
    c.command = args[0];
    c.args = args + 1;
    c.n_args = n_args - 1;
    r = trust_load_host(c.o.config_dir, false, &c.trust, &err);
    if (r == 0 && c.o.digests)
        r = trust_load_digests(c.trust, c.o.digests, true, &err);
    if (r == 0)
        r = run_command(&c, &err);
    if (r < 0)
        r = print_error(&err, c.o.json);
    if (c.trust)
        trust_free(c.trust);
    strings_done(&c.done);
    return r;
}
