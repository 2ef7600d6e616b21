#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "bootstrap/bootstrap.h"

static void usage(FILE *out)
{
    fputs("dcos-bootstrap: prepares a node for a service\n\n"
          "Usage: dcos-bootstrap [--prefix=DIR] SERVICE\n\n"
          "Units call it as root before the service. Files are below DIR, which is for tests.\n"
          "Services:\n",
        out);
    for (const char *const *name = service_names(); *name; name++)
        fprintf(out, "  %s\n", *name);
}

int main(int argc, char **argv)
{
    static const char option[] = "--prefix=";
    struct node n = {.prefix = ""};
    struct error err = ERROR_INIT;
    for (int i = 1; i < argc; i++) {
        if (streq(argv[i], "--help") || streq(argv[i], "-h")) {
            usage(stdout);
            return 0;
        }
        if (streq(argv[i], "--version")) {
            puts("dcos-bootstrap " DCOS_VERSION);
            return 0;
        }
        if (has_prefix(argv[i], option)) {
            n.prefix = argv[i] + sizeof(option) - 1;
        } else if (n.service || argv[i][0] == '-') {
            usage(stderr);
            return 2;
        } else {
            n.service = argv[i];
        }
    }
    if (!n.service) {
        usage(stderr);
        return 2;
    }
    umask(022);
    log_init("dcos-bootstrap");
    int r = service_prepare(&n, &err);
    buf_done(&n.env);
    if (r < 0)
        log_error("%s cannot start now error=%s", n.service, err.msg);
    return r < 0;
}
