#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "base/alloc.h"
#include "bootstrap/bootstrap.h"
#include "pkgpanda/run.h"

/* What the operator's script prints, without blanks around it; caller frees. */
static int detect(const struct node *n, const char *program, char **ret, struct error *err)
{
    _cleanup_free_ char *path = node_path(n, program);
    _cleanup_buf_ struct buf output = BUF_INIT;
    const char *const argv[] = {path, NULL};
    const struct run_options options = {.output = &output};
    if (access(path, X_OK) < 0)
        return error_errno(err, -errno, "%s", path);
    int status = run_program(argv, &options, err);
    struct str text = str_trim(buf_str(&output));
    if (status < 0)
        return status;
    if (status > 0)
        return error_set(err, -EIO, "%s exits with %d and says: %.*s", path, status,
            (int)MIN(text.n, (size_t)200), text.n ? text.p : "");
    *ret = xstrndup(text.n ? text.p : "", text.n);
    return 0;
}

int node_detect_ip(const struct node *n, char **ret, struct error *err)
{
    char binary[sizeof(struct in6_addr)];
    _cleanup_free_ char *text = NULL;
    int r = detect(n, "/opt/mesosphere/bin/detect_ip", &text, err);
    if (r < 0)
        return r;
    if (inet_pton(AF_INET, text, binary) != 1 && inet_pton(AF_INET6, text, binary) != 1)
        return error_set(err, -EINVAL, "detect_ip prints no address: %.100s", text);
    *ret = TAKE_PTR(text);
    return 0;
}

int node_detect_domain(const struct node *n, char **ret, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    *ret = NULL;
    int r = detect(n, "/opt/mesosphere/bin/detect_fault_domain", &text, err);
    if (r == -ENOENT)
        return 0;
    if (r < 0 || !*text)
        return r;
    _cleanup_json_ json_t *json = NULL;
    _cleanup_buf_ struct buf compact = BUF_INIT;
    r = json_parse(text, strlen(text), &json, err);
    if (r < 0)
        return error_prefix(err, r, "detect_fault_domain");
    json_dump(json, &compact);
    *ret = buf_steal(&compact);
    return 0;
}
