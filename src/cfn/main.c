/*
 * dcos-cfn-signal: tells CloudFormation that this machine is ready.
 *
 * A resource with a CreationPolicy is not complete before each of its machines said so, with a call
 * of SignalResource that is signed with the credentials of the machine's role. Those, and the
 * machine's id, come from the metadata service (version 2, which wants a token). This program is
 * for the unit dcos-cfn-signal.service, which runs the node's checks before it and tries it again
 * until it succeeds.
 */

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/options.h"
#include "storage/aws_metadata.h"
#include "storage/request.h"

static const char usage[] =
    "dcos-cfn-signal: tell CloudFormation that this machine is ready\n"
    "\n"
    "Usage: dcos-cfn-signal [--leader=NAME]\n"
    "\n"
    "  --leader=NAME   what must have an address before [default: leader.mesos]\n"
    "  --version, --help\n"
    "\n"
    "Environment: CFN_ENDPOINT, CFN_REGION, CFN_STACK and CFN_RESOURCE say where and what for;\n"
    "DCOS_MASTERS, on agents, is a host whose port 80 must answer before;\n"
    "AWS_EC2_METADATA_SERVICE_ENDPOINT is http://169.254.169.254 unless it is set.\n"
    "Exit code: 0 told, or nobody waits for it any more; 1 not yet, try again; 2 usage.\n";

enum { EXIT_USAGE = 2 };

struct settings {
    const char *endpoint, *region, *stack, *resource, *masters, *metadata;
};

static int read_settings(struct settings *s, struct error *err)
{
    const struct {
        const char *name;
        const char **value;
        const char *fallback;
    } table[] = {{"CFN_ENDPOINT", &s->endpoint, NULL}, {"CFN_REGION", &s->region, NULL},
        {"CFN_STACK", &s->stack, NULL}, {"CFN_RESOURCE", &s->resource, NULL},
        {"DCOS_MASTERS", &s->masters, ""},
        {AWS_METADATA_VARIABLE, &s->metadata, AWS_METADATA_DEFAULT}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const char *value = getenv(table[i].name);
        *table[i].value = value && *value ? value : table[i].fallback;
        if (!*table[i].value)
            return error_set(err, -EINVAL, "%s is not set", table[i].name);
    }
    return 0;
}

/* ---- the cluster ---- */

static int find_leader(const char *name, struct error *err)
{
    struct addrinfo *found = NULL;
    int r = getaddrinfo(name, NULL, NULL, &found);
    if (r != 0)
        return error_set(err, -EAGAIN, "%s: %s", name, gai_strerror(r));
    freeaddrinfo(found);
    return 0;
}

/* Any answer will do that is not the load balancer's own. */
static int ask_masters(const char *host, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *url = xasprintf("http://%s/", host);
    q.method = "GET";
    q.url = url;
    q.direct = true;
    int r = request_run(&q, err);
    if (r == 0 && q.status >= 500)
        r = request_refused(&q, url, err);
    request_done(&q);
    return r;
}

/* ---- the signal ---- */

/* The parameters are in the order that the signature wants. */
static int send_signal(const struct settings *s, const struct aws_credentials *c,
    const char *machine, struct error *err)
{
    struct request q = REQUEST_INIT;
    _cleanup_free_ char *resource = request_encode(s->resource, false),
                        *stack = request_encode(s->stack, false),
                        *id = request_encode(machine, false);
    _cleanup_free_ char *url = xasprintf(
        "%s/?Action=SignalResource&LogicalResourceId=%s&StackName=%s&Status=SUCCESS&UniqueId=%s"
        "&Version=2010-05-15",
        s->endpoint, resource, stack, id);
    q.method = "GET";
    q.url = url;
    q.aws_service = "cloudformation";
    q.aws_region = s->region;
    q.aws_key = c->key;
    q.aws_secret = c->secret;
    request_header(&q, "x-amz-security-token: %s", c->token);
    int r = request_run(&q, err);
    /* A machine that was added later, or a signal that came through before its answer did: the
     * resource "is in CREATE_COMPLETE state". That there is no such stack has the same code. */
    if (r == 0 && q.status == 400 && strstr(buf_cstr(&q.answer), "<Code>ValidationError</Code>") &&
        !strstr(buf_cstr(&q.answer), "does not exist"))
        log_info("CloudFormation waits for no signal of this machine stack=%s resource=%s",
            s->stack, s->resource);
    else if (r == 0 && (q.status < 200 || q.status > 299))
        r = request_refused(&q, "SignalResource", err);
    request_done(&q);
    return r;
}

static int run(const struct settings *s, const char *leader, struct error *err)
{
    struct aws_metadata m = {0};
    struct aws_credentials c = {0};
    _cleanup_free_ char *machine = NULL;
    int r = find_leader(leader, err);
    if (r == 0 && *s->masters)
        r = ask_masters(s->masters, err);
    if (r == 0)
        r = aws_metadata_open(&m, s->metadata, err);
    if (r == 0)
        r = aws_metadata_word(&m, "meta-data/instance-id", &machine, err);
    if (r == 0)
        r = aws_metadata_credentials(&m, &c, err);
    if (r == 0)
        r = send_signal(s, &c, machine, err);
    aws_credentials_done(&c);
    aws_metadata_done(&m);
    return r;
}

int main(int argc, char **argv)
{
    const char *leader = "leader.mesos";
    bool help = false, version = false;
    size_t n = 0;
    struct settings settings;
    struct error err = ERROR_INIT;
    const struct option table[] = {{"--leader", NULL, &leader}, {"--help", "-h", NULL, &help},
        {"--version", NULL, NULL, &version}};
    log_init("dcos-cfn-signal");
    int r = options_parse(
        "dcos-cfn-signal", table, ARRAY_SIZE(table), argc, argv, NULL, 0, &n, &err);
    if (r == 0 && (help || version)) {
        printf("%s", help ? usage : "dcos-cfn-signal " DCOS_VERSION "\n");
        return 0;
    }
    if (r == 0)
        r = read_settings(&settings, &err);
    if (r < 0) {
        fprintf(stderr, "dcos-cfn-signal: %s\n", err.msg);
        return EXIT_USAGE;
    }
    r = run(&settings, leader, &err);
    if (r < 0)
        fprintf(stderr, "dcos-cfn-signal: %s\n", err.msg);
    return r < 0;
}
