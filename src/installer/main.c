#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/rng.h"
#include "console/prompt.h"
#include "installer/progress.h"
#include "installer/web.h"

/* The command line of dcos-installer, which is that of dcos_generate_config.sh. */

static const char usage[] =
    "Makes, installs and changes DC/OS clusters. Everything is below ./genconf: write config.yaml "
    "and\n"
    "ip-detect there, and ssh_key when hosts are to be reached over SSH.\n"
    "\n"
    "Usage: dcos_generate_config.sh [ACTION] [OPTIONS]\n"
    "\n"
    "Actions:\n"
    "  --genconf                 make genconf/serve, what nodes fetch, out of config.yaml "
    "(default)\n"
    "  --validate-config         only say what is wrong with config.yaml\n"
    "  --preflight               look on all hosts whether DC/OS can be installed\n"
    "  --deploy                  install DC/OS on all hosts\n"
    "  --postflight              wait until the checks of all hosts pass\n"
    "  --uninstall               take DC/OS off all hosts; what services stored stays\n"
    "  --upgrade                 take all hosts to what genconf/serve holds, a few at a time; "
    "stops when\n"
    "                            one does not become healthy\n"
    "  --rollback                take all hosts back to before the last upgrade\n"
    "  --generate-node-upgrade-script VERSION\n"
    "                            --genconf, and a script that upgrades a node of that version\n"
    "  --aws-cloudformation      make templates of this cluster for AWS, in "
    "genconf/cloudformation, and\n"
    "                            upload them to aws_template_storage_bucket\n"
    "  --hash-password [PW]      print a hash for config.yaml\n"
    "  --set-superuser-password [PW]\n"
    "                            put the hash into config.yaml\n"
    "  --web                     an installer for the browser; the way in is printed\n"
    "  --version, --help\n"
    "\n"
    "Options:\n"
    "  --accept-host-keys        trust hosts on first contact and record their keys in\n"
    "                            genconf/state/known_hosts; without it they must be there\n"
    "  --retry                   only hosts that did not succeed the last time; --deploy clears "
    "them first\n"
    "  --chunk-size N            --upgrade, --rollback: agents at a time (default: a tenth of "
    "them)\n"
    "  --address IP, --port N    --web: where to listen (127.0.0.1, 9000)\n"
    "  -v, --verbose             more in the log\n"
    "\n"
    "For who builds installers:\n"
    "  dcos-installer bundle --artifacts=DIR --output=FILE --version=V --commit=K "
    "--bootstrap-id=ID\n"
    "                        [--variant=NAME]\n";

enum mode {
    MODE_NONE,
    MODE_GENCONF,
    MODE_VALIDATE,
    MODE_PREFLIGHT,
    MODE_DEPLOY,
    MODE_POSTFLIGHT,
    MODE_UNINSTALL,
    MODE_UPGRADE,
    MODE_ROLLBACK,
    MODE_UPGRADE_SCRIPT,
    MODE_HASH,
    MODE_SET_PASSWORD,
    MODE_WEB,
    MODE_PREREQUISITES,
    MODE_CLOUDFORMATION,
    MODE_VERSION,
    MODE_HELP,
};

struct options {
    enum mode mode;
    const char *mode_name, *argument; /* of the mode */
    const char *genconf, *artifacts, *port, *address, *chunk, *output, *version, *commit,
        *bootstrap, *variant;
    bool verbose, retry, accept, bundle, offline, no_telemetry;
};

/* Usage errors have a status of their own, as argparse gives them. */
enum { EXIT_USAGE = 2, WEB_PORT = 9000, UPGRADE_ID_SIZE = UUID_TEXT_SIZE };

static int set_mode(struct options *o, enum mode mode, const char *name, struct error *err)
{
    if (o->mode != MODE_NONE)
        return error_set(
            err, -EINVAL, "argument %s: not allowed with argument %s", name, o->mode_name);
    o->mode = mode;
    o->mode_name = name;
    return 0;
}

static int parse(struct options *o, int argc, char **argv, struct error *err)
{
    enum { NO_ARGUMENT, MAY_HAVE, MUST_HAVE };
    static const struct {
        const char *name;
        enum mode mode;
        int argument;
    } modes[] = {{"--genconf", MODE_GENCONF}, {"--validate-config", MODE_VALIDATE},
        {"--preflight", MODE_PREFLIGHT}, {"--deploy", MODE_DEPLOY},
        {"--postflight", MODE_POSTFLIGHT}, {"--uninstall", MODE_UNINSTALL},
        {"--upgrade", MODE_UPGRADE}, {"--rollback", MODE_ROLLBACK},
        {"--generate-node-upgrade-script", MODE_UPGRADE_SCRIPT, MAY_HAVE},
        {"--hash-password", MODE_HASH, MAY_HAVE},
        {"--set-superuser-password", MODE_SET_PASSWORD, MAY_HAVE}, {"--web", MODE_WEB},
        {"--install-prereqs", MODE_PREREQUISITES}, {"--aws-cloudformation", MODE_CLOUDFORMATION},
        {"--version", MODE_VERSION}, {"--help", MODE_HELP}, {"-h", MODE_HELP}};
    const struct {
        const char *name;
        const char **text;
        bool *flag;
    } table[] = {{"--genconf-dir", &o->genconf}, {"--artifacts", &o->artifacts},
        {"--port", &o->port}, {"-p", &o->port}, {"--address", &o->address},
        {"--chunk-size", &o->chunk}, {"--output", &o->output}, {"--commit", &o->commit},
        {"--bootstrap-id", &o->bootstrap}, {"--variant", &o->variant},
        {"--verbose", NULL, &o->verbose}, {"-v", NULL, &o->verbose}, {"--retry", NULL, &o->retry},
        {"--accept-host-keys", NULL, &o->accept}, {"--offline", NULL, &o->offline},
        {"--cli-telemetry-disabled", NULL, &o->no_telemetry}};
    for (int i = 1; i < argc; i++) {
        size_t n = strcspn(argv[i], "="), j = 0;
        const char *value = argv[i][n] ? argv[i] + n + 1 : NULL;
        if (i == 1 && streq(argv[i], "bundle")) {
            o->bundle = true;
            continue;
        }
        if (o->bundle && n == strlen("--version") && strncmp(argv[i], "--version", n) == 0) {
            o->version = value ? value : i + 1 < argc ? argv[++i] : "";
            continue;
        }
        while (j < ARRAY_SIZE(modes) &&
               (strlen(modes[j].name) != n || strncmp(modes[j].name, argv[i], n) != 0))
            j++;
        if (j < ARRAY_SIZE(modes)) {
            int r = set_mode(o, modes[j].mode, modes[j].name, err);
            if (r < 0)
                return r;
            if (modes[j].argument == NO_ARGUMENT && value)
                return error_set(err, -EINVAL, "argument %s: takes no value", modes[j].name);
            if (modes[j].argument == MAY_HAVE)
                o->argument = value                                           ? value
                              : i + 1 < argc && !has_prefix(argv[i + 1], "-") ? argv[++i]
                                                                              : NULL;
            continue;
        }
        for (j = 0; j < ARRAY_SIZE(table); j++) {
            if (strlen(table[j].name) == n && strncmp(table[j].name, argv[i], n) == 0)
                break;
        }
        if (j == ARRAY_SIZE(table) || (table[j].flag && value))
            return error_set(err, -EINVAL, "unrecognized arguments: %.100s", argv[i]);
        if (table[j].flag)
            *table[j].flag = true;
        else if (!value && i + 1 >= argc)
            return error_set(err, -EINVAL, "argument %s: expected one argument", table[j].name);
        else
            *table[j].text = value ? value : argv[++i];
    }
    return 0;
}

/* ---- actions without hosts ---- */

static int load(const struct installer *in, bool whole, struct gen **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct gen *g = NULL;
    int r = whole ? config_load_whole(in, &g, err) : config_load(in, &g, err);
    if (r < 0)
        return r;
    config_warnings(g, &text);
    struct str rest = buf_str(&text), line;
    while (rest.n > 0 && str_split(&rest, '\n', &line)) {
        if (line.n > 0)
            fprintf(stderr, "WARNING: " STR_FMT "\n", STR_ARG(line));
    }
    if (!gen_ok(g)) {
        buf_clear(&text);
        config_problems(g, &text);
        fputs(buf_cstr(&text), stderr);
        gen_free(g);
        return 1;
    }
    *ret = g;
    return 0;
}

static int do_genconf(const struct installer *in, const struct gen *g, struct error *err)
{
    int r = genconf_make(in, g, err);
    if (r < 0)
        return error_prefix(err, r, "%s/serve cannot be made", in->genconf);
    const char *version = config_value(g, "dcos_version", DCOS_VERSION),
               *url = config_value(g, "bootstrap_url", "a web server");
    if (has_prefix(url, "file://"))
        printf("DC/OS %s is in %s/serve; --preflight, --deploy and --postflight bring it to the "
               "hosts.\n",
            version, in->genconf);
    else
        printf("DC/OS %s is in %s/serve. Let %s serve that folder, then run dcos_install.sh on "
               "each node, or --preflight, --deploy and --postflight here.\n",
            version, in->genconf, url);
    if (config_drew_password(in, g))
        printf("The first login is %s with the password in %s/superuser.password.\n",
            config_value(g, "superuser_username", "bootstrapuser"), in->genconf);
    return 0;
}

static int do_upgrade_script(
    const struct installer *in, const struct gen *g, const char *version, struct error *err)
{
    char id[UPGRADE_ID_SIZE];
    _cleanup_buf_ struct buf script = BUF_INIT_MAX(SCRIPT_MAX);
    if (!version || !version[0] ||
        version[strspn(
            version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+_-")])
        return error_set(err, -EINVAL,
            "Must provide the version of the cluster upgrading from, for example "
            "--generate-node-upgrade-script " DCOS_VERSION);
    int r = do_genconf(in, g, err);
    if (r == 0)
        r = script_upgrade(in, g, version, &script, err);
    if (r < 0)
        return r;
    uuid_random_text(id);
    _cleanup_free_ char *name = xasprintf("serve/upgrade/%s", id);
    _cleanup_free_ char *folder = installer_path(in, name);
    _cleanup_free_ char *path = path_join(folder, "dcos_node_upgrade.sh");
    r = mkdir_all(folder, 0755, err);
    if (r == 0)
        r = file_write_atomic(path, script.p, script.n, 0755, err);
    if (r == 0)
        printf("Node upgrade script URL: %s/upgrade/%s/dcos_node_upgrade.sh\n",
            config_value(g, "bootstrap_url", ""), id);
    return r;
}

/* Hash of a password from the command line, or one that is asked for. */
static int hash_password(const char *password, char **ret, struct error *err)
{
    _cleanup_free_ char *typed = NULL;
    while (!password || !password[0]) {
        free(TAKE_PTR(typed));
        int r = prompt_line("Password: ", true, &typed, err);
        if (r < 0)
            return r;
        password = typed;
    }
    int r = password_hash(password, ret, err);
    if (typed)
        explicit_bzero(typed, strlen(typed));
    return r;
}

static int do_hash(const char *password, struct error *err)
{
    _cleanup_free_ char *hash = NULL;
    int r = hash_password(password, &hash, err);
    if (r == 0)
        puts(hash);
    return r;
}

static int do_set_password(const struct installer *in, const char *password, struct error *err)
{
    _cleanup_free_ char *hash = NULL;
    int r = hash_password(password, &hash, err);
    if (r == 0)
        r = config_set_text(in, "superuser_password_hash", hash, err);
    if (r == 0)
        printf("The hash is in %s/config.yaml; --genconf makes it a cluster's.\n", in->genconf);
    return r;
}

/* ---- actions on hosts ---- */

static struct ssh_cancel g_cancel = {.fd = -1};

static void on_signal(int signum)
{
    ssh_cancel_raise(&g_cancel);
}

static int do_hosts(
    const struct installer *in, const struct gen *g, const struct options *o, struct error *err)
{
    struct progress progress;
    struct action_result result = {0};
    uint32_t chunk = 0;
    if (o->chunk && (parse_u32(str_of(o->chunk), &chunk) < 0 || chunk == 0))
        return error_set(err, -EINVAL, "--chunk-size: %.40s is no number of hosts", o->chunk);
    _cleanup_json_ json_t *masters = gen_list(g, "master_list"),
                          *agents = gen_list(g, "agent_list"),
                          *public = gen_list(g, "public_agent_list");
    progress_init(
        &progress, json_array_size(masters) + json_array_size(agents) + json_array_size(public));
    struct action_options options = {.record_host_keys = o->accept,
        .retry = o->retry,
        .chunk = chunk,
        .cancel = &g_cancel,
        .progress = progress_event,
        .userdata = &progress};
    int r = ssh_cancel_init(&g_cancel, err);
    if (r < 0)
        return r;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    if (o->mode == MODE_UPGRADE || o->mode == MODE_ROLLBACK)
        r = upgrade_run(in, g, o->mode == MODE_ROLLBACK, &options, &result, err);
    else
        r = action_run(in, g, (enum action)(o->mode - MODE_PREFLIGHT), &options, &result, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *logs = installer_path(in, "logs");
    progress_summary(&progress, o->mode_name + strlen("--"), &result, logs);
    action_result_done(&result);
    ssh_cancel_done(&g_cancel);
    return r;
}

/* One run at a time in one folder. The lock goes with the process. */
static int lock_folder(const struct installer *in, struct error *err)
{
    _cleanup_free_ char *state = installer_path(in, "state"), *path = path_join(state, "lock");
    int r = mkdir_all(state, 0755, err);
    if (r < 0)
        return r;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_errno(err, -errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, -EBUSY, "another installer is at work in %s", in->genconf);
    return 0;
}

static int do_web(const struct installer *in, const struct options *o, struct error *err)
{
    struct web_options web = {.host = o->address ? o->address : "127.0.0.1",
        .port = WEB_PORT,
        .record_host_keys = o->accept};
    if (o->port && parse_port(str_of(o->port), &web.port) < 0)
        return error_set(err, -EINVAL, "--port: %.40s is no port", o->port);
    return web_run(in, &web, err);
}

/* Options of DC/OS that stand for what is so here. On stderr: stdout may be JSON. */
static void say_no_effect(const struct options *o)
{
    if (o->offline)
        fputs("--offline has no effect: nothing is ever fetched from outside\n", stderr);
    if (o->no_telemetry)
        fputs("--cli-telemetry-disabled has no effect: nothing ever reports home\n", stderr);
}

static int run(const struct installer *in, const struct options *o, struct error *err)
{
    _cleanup_(gen_freep)
    struct gen *g = NULL;
    int r = lock_folder(in, err);
    if (r == 0 && o->mode == MODE_WEB)
        return do_web(in, o, err);
    if (r == 0 && o->mode == MODE_CLOUDFORMATION)
        return cloudformation_make(in, err);
    if (r == 0 && o->mode == MODE_SET_PASSWORD)
        return do_set_password(in, o->argument, err);
    if (r == 0)
        r = load(in,
            o->mode == MODE_NONE || o->mode == MODE_GENCONF || o->mode == MODE_UPGRADE_SCRIPT, &g,
            err);
    if (r != 0)
        return r;
    switch (o->mode) {
    case MODE_VALIDATE:
        puts("Configuration is valid");
        return 0;
    case MODE_NONE:
    case MODE_GENCONF:
        return do_genconf(in, g, err);
    case MODE_UPGRADE_SCRIPT:
        return do_upgrade_script(in, g, o->argument, err);
    default:
        return do_hosts(in, g, o, err);
    }
}

/* ---- where things are ---- */

static const char *env_or(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value && value[0] ? value : fallback;
}

/* The program is <artifacts>/installer/bin/dcos-installer. */
static char *own_artifacts(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[MAX(n, (ssize_t)0)] = '\0';
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(path, '/');
        if (slash)
            *slash = '\0';
    }
    return xstrdup(path);
}

static char *latest_bootstrap(const char *artifacts, const char *variant)
{
    _cleanup_free_ char *name = xasprintf(
        "bootstrap/%s%sbootstrap.latest", variant, variant[0] ? "." : "");
    _cleanup_free_ char *path = path_join(artifacts, name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    return file_read(path, 256, &text, NULL) == 0 ? str_dup(str_trim(buf_str(&text))) : xstrdup("");
}

static int answer(const struct options *o, struct error *err)
{
    switch (o->mode) {
    case MODE_HELP:
        fputs(usage, stdout);
        return 0;
    case MODE_VERSION:
        printf("{\n  \"variant\": \"%s\",\n  \"version\": \"%s\"\n}\n",
            env_or("BOOTSTRAP_VARIANT", ""), env_or("DCOS_RELEASE_VERSION", DCOS_VERSION));
        return 0;
    case MODE_HASH:
        return do_hash(o->argument, err);
    case MODE_PREREQUISITES:
        puts("Nothing is to be installed before DC/OS: --preflight names what a host lacks");
        return 0;
    default:
        return -ENOENT;
    }
}

static int start(const struct options *o, struct error *err)
{
    if (o->bundle) {
        const struct bundle bundle = {.artifacts = o->artifacts,
            .output = o->output,
            .version = o->version,
            .commit = o->commit,
            .bootstrap_id = o->bootstrap,
            .variant = o->variant ? o->variant : ""};
        if (!o->artifacts || !o->output)
            return error_set(err, -EINVAL, "bundle needs --artifacts and --output");
        return bundle_make(&bundle, err);
    }
    say_no_effect(o);
    int r = answer(o, err);
    if (r != -ENOENT)
        return r;
    _cleanup_free_ char *own = own_artifacts();
    struct installer in = {.genconf = o->genconf ? o->genconf : "genconf",
        .artifacts = o->artifacts ? o->artifacts : own,
        .commit = env_or("DCOS_IMAGE_COMMIT", "unknown"),
        .variant = env_or("BOOTSTRAP_VARIANT", ""),
        .version = env_or("DCOS_RELEASE_VERSION", NULL),
        .verbose = o->verbose};
    _cleanup_free_ char *latest = latest_bootstrap(in.artifacts, in.variant);
    in.bootstrap_id = env_or("BOOTSTRAP_ID", latest);
    return run(&in, o, err);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct error err = ERROR_INIT;
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    log_init("dcos-installer");
    if (parse(&o, argc, argv, &err) < 0) {
        fprintf(stderr, "usage: %s [ACTION] [OPTIONS], see --help\n%s: error: %s\n",
            env_or("INSTALLER_ARGV0", argv[0]), env_or("INSTALLER_ARGV0", argv[0]), err.msg);
        return EXIT_USAGE;
    }
    if (o.verbose)
        log_set_level(LOG_DEBUG);
    int r = start(&o, &err);
    if (r < 0)
        fprintf(stderr, "%s\n", err.msg);
    return r != 0;
}
