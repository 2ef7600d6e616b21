/* dcos-checks: the checks that dcos-check-runner runs, each a command. */

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/options.h"
#include "checks/probe.h"

enum { EXIT_USAGE = 3 };

static const char usage[] =
    "dcos-checks: checks of a node\n"
    "\n"
    "Usage: dcos-checks [OPTIONS] CHECK\n"
    "\n"
    "  executable NAME   the program is in PATH\n"
    "  ip                the script prints this node's address [--script=PATH]\n"
    "  journald          the journal's folder can be read by its group [--path=DIR]\n"
    "  time              the kernel's clock is synchronised\n"
    "  components        every unit is well, by dcos-diagnostics [--url=PATH] "
    "[--scheme=http|https]\n"
    "                    [--port=1050], else by systemd [--wants=DIR]; [--exclude=UNIT,...]\n"
    "  mesos-metrics     the master has its state, the agent is registered (--role)\n"
    "  zookeeper         the server on this node is in a quorum [--address=HOST] [--port=2181]\n"
    "  version           not more than two versions in the cluster [--address=HOST of the names' "
    "API]\n"
    "\n"
    "Options:\n"
    "  --role=master|agent\n"
    "  --detect-ip=PATH      [default: /opt/mesosphere/bin/detect_ip]\n"
    "  --node-ip=ADDRESS     instead of asking the script\n"
    "  --force-tls           speak TLS to daemons\n"
    "  --ca-cert=FILE        verify them with this authority instead of the system's\n"
    "  --verbose\n"
    "  --config, --iam-config=FILE   are taken without effect\n"
    "  --version, --help\n"
    "\n"
    "Exit code: 0 fine, 1 a warning, 2 critical, 3 unknown. What is wrong is on stdout.\n";

static const struct {
    const char *name;
    int (*run)(struct probe *p);
    size_t args;
} checks[] = {{"executable", probe_executable, 1}, {"ip", probe_ip}, {"journald", probe_journald},
    {"time", probe_time}, {"components", probe_components}, {"mesos-metrics", probe_mesos_metrics},
    {"zookeeper", probe_zookeeper}, {"version", probe_version}};

struct options {
    struct probe probe;
    const char *args[8];
    size_t n_args;
    bool verbose, help, version;
    const char *config, *iam_config; /* of the original: there is nothing to log in to */
};

static int parse(struct options *o, int argc, char **argv, struct error *err)
{
    struct probe *p = &o->probe;
    const struct option table[] = {{"--role", NULL, &p->role}, {"--detect-ip", NULL, &p->detect_ip},
        {"--node-ip", NULL, &p->node_ip}, {"--ca-cert", NULL, &p->ca_file},
        {"--url", "-u", &p->url}, {"--scheme", "-s", &p->scheme}, {"--port", "-p", &p->port},
        {"--exclude", "-e", &p->exclude}, {"--script", "-d", &p->script},
        {"--path", NULL, &p->folder}, {"--address", "-a", &p->address},
        {"--wants", NULL, &p->wants}, {"--force-tls", NULL, NULL, &p->tls},
        {"--config", NULL, &o->config}, {"--iam-config", NULL, &o->iam_config},
        {"--verbose", NULL, NULL, &o->verbose}, {"--help", "-h", NULL, &o->help},
        {"--version", NULL, NULL, &o->version}};
    return options_parse("dcos-checks", table, ARRAY_SIZE(table), argc, argv, o->args,
        ARRAY_SIZE(o->args), &o->n_args, err);
}

static int run(struct options *o, struct error *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    size_t i = 0;
    while (i < ARRAY_SIZE(checks) && !streq(checks[i].name, o->args[0]))
        i++;
    if (i == ARRAY_SIZE(checks))
        return error_set(err, -EINVAL, "unknown check %.64s, see dcos-checks --help", o->args[0]);
    if (o->n_args - 1 != checks[i].args)
        return error_set(err, -EINVAL, "%s takes %s, see dcos-checks --help", checks[i].name,
            checks[i].args ? "one argument" : "no argument");
    o->probe.args = o->args + 1;
    o->probe.n_args = o->n_args - 1;
    o->probe.out = &out;
    if (checks[i].run == probe_journald && !o->probe.folder)
        o->probe.folder = o->probe.port; /* its -p is the folder */
    if (!o->probe.detect_ip)
        o->probe.detect_ip = "/opt/mesosphere/bin/detect_ip";
    int status = checks[i].run(&o->probe);
    fputs(buf_cstr(&out), stdout);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct error err = ERROR_INIT;
    log_init("dcos-checks");
    int r = parse(&o, argc, argv, &err);
    if (r == 0 && o.version) {
        printf("dcos-checks %s\n", DCOS_VERSION);
        return 0;
    }
    if (r == 0 && (o.help || o.n_args == 0)) {
        fputs(usage, o.help ? stdout : stderr);
        return o.help ? 0 : EXIT_USAGE;
    }
    if (r == 0 && o.verbose)
        log_set_level(LOG_DEBUG);
    if (r == 0)
        r = run(&o, &err);
    if (r < 0)
        fprintf(stderr, "dcos-checks: %s\n", err.msg);
    return r < 0 ? EXIT_USAGE : r;
}
