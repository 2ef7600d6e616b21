#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "console/completion.h"

enum { VERSION_TIMEOUT_S = 3 };

/* Flags before the first command; parsing stops at anything else. */
struct globals {
    int verbosity;
    bool version, bad;
    int used;
};

static int level_of(const char *text)
{
    if (streq(text, "debug"))
        return 2;
    if (streq(text, "info"))
        return 1;
    return 0;
}

static struct globals parse_globals(int argc, char **argv)
{
    struct globals g = {0};
    uint64_t from_env;
    const char *env = getenv("DCOS_VERBOSITY");
    if (env && parse_u64(str_of(env), &from_env) == 0)
        g.verbosity = (int)MIN(from_env, UINT64_C(3));
    for (int i = 1; i < argc; i++, g.used++) {
        const char *arg = argv[i];
        if (arg[0] == '-' && arg[1] == 'v' && strspn(arg + 1, "v") == strlen(arg + 1)) {
            g.verbosity = (int)strlen(arg + 1);
        } else if (streq(arg, "--debug")) {
            g.verbosity = 2;
        } else if (streq(arg, "--version")) {
            g.version = true;
        } else if (has_prefix(arg, "--log-level=")) {
            g.verbosity = level_of(arg + strlen("--log-level="));
        } else if (streq(arg, "--log-level") && i + 1 < argc) {
            g.verbosity = level_of(argv[++i]);
            g.used++;
        } else {
            g.bad = arg[0] == '-' && !streq(arg, "-h") && !streq(arg, "--help");
            break;
        }
    }
    return g;
}

static const struct option_spec root_options[] = {
    {"version", 0, OPTION_BOOL, "Print version information"},
    {"verbose", 'v', OPTION_BOOL, "Output verbosity: -v, or -vv for every request"},
};

static int run_completion(const struct invocation *inv, struct error *err);

static const struct command *const children[] = {&command_auth, &command_cluster, &command_config,
    &command_marathon, &command_node, &command_security, &command_service, &command_task,
    COMMAND(.name = "completion", .arguments = "<shell>",
        .summary = "Print a completion script for bash or zsh", .min_args = 1, .max_args = 1,
        .hidden = true, .run = run_completion)};
static const struct command root = {
    .name = "dcos", .lenient = true, CHILDREN(children), OPTIONS(root_options)};

static int run_completion(const struct invocation *inv, struct error *err)
{
    _cleanup_buf_ struct buf script = BUF_INIT;
    if (!streq(inv->args[0], "bash") && !streq(inv->args[0], "zsh"))
        return error_set(err, -EINVAL, "invalid shell '%s' given", inv->args[0]);
    command_completion(&root, &script);
    fwrite(script.p, 1, script.n, stdout);
    return 0;
}

static void print_version(struct cli *cli)
{
    static const struct {
        const char *label, *key;
    } lines[] = {{"dcos.version", "version"}, {"dcos.variant", "dcos-variant"},
        {"dcos.commit", "dcos-image-commit"}, {"dcos.bootstrap-id", "bootstrap-id"}};
    printf("dcoscli.version=%s\n", DCOS_VERSION);
    _cleanup_free_ char *base = NULL;
    if (cli_base_url(cli, NULL, "/dcos-metadata/dcos-version.json", &base, NULL, NULL) < 0)
        return;
    json_t *json = NULL;
    struct reply reply = {0};
    const struct request req = {.url = base, .timeout_us = VERSION_TIMEOUT_S * USEC_PER_SEC};
    int r = cli_send(cli, "the cluster", &req, &reply, NULL);
    if (r == 0)
        r = reply.status == 200 ? cli_parse_reply("the cluster", &reply, &json, NULL) : -EPROTO;
    reply_done(&reply);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        printf("%s=%s\n", lines[i].label, r < 0 ? "N/A" : json_str_at(json, lines[i].key, "N/A"));
    json_decref(json);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL); /* `dcos task log | head` ends quietly */
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    struct globals g = parse_globals(argc, argv);
    struct cli cli = {.verbosity = g.verbosity};
    if (g.version) {
        print_version(&cli);
        cli_done(&cli);
        return 0;
    }
    if (g.bad) {
        fprintf(stderr, "Error: unknown flag: %s (see 'dcos --help')\n", argv[1 + g.used]);
        return 1;
    }
    int code = command_main(&root, &cli, argc - 1 - g.used, argv + 1 + g.used);
    cli_done(&cli);
    return code;
}
