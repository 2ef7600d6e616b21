#include <errno.h>
#include <stdio.h>
#include <sys/timex.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "bootstrap/bootstrap.h"
#include "pkgpanda/names.h"

enum { ERROR_LIMIT_US = 100 * 1000 /* of the clock, as the kernel estimates it */ };

/* "net.ipv4.ip_forward" is the file net/ipv4/ip_forward. Keys come from packages, which root chose.
 */
static int set_one(const struct node *n, const char *key, const char *value, struct error *err)
{
    _cleanup_buf_ struct buf now = BUF_INIT;
    _cleanup_free_ char *path = xasprintf("%s/proc/sys/%s", n->prefix, key);
    if (strstr(key, "..") || strchr(key, '/'))
        return error_set(err, -EINVAL, "%s is no kernel setting", key);
    for (char *p = path + strlen(n->prefix) + strlen("/proc/sys/"); *p; p++)
        if (*p == '.')
            *p = '/';
    if (file_read(path, NODE_TEXT_MAX, &now, NULL) >= 0 && str_eq_c(str_trim(buf_str(&now)), value))
        return 0;
    struct error why = ERROR_INIT;
    int r = file_write_string(path, value, &why);
    if (r == -EROFS || r == -EACCES || r == -EPERM || r == -ENOENT) {
        log_warn("the kernel setting cannot be made here, ignoring key=%s value=%s error=%s", key,
            value, why.msg);
        return 0;
    }
    return r < 0 ? error_set(err, r, "%s", why.msg) : 0;
}

int kernel_settings(const struct node *n, struct error *err)
{
    _cleanup_free_ char *text = node_text(n, "/opt/mesosphere/etc/dcos-service-configuration.json");
    _cleanup_json_ json_t *json = NULL;
    if (!text)
        return 0;
    int r = json_parse(text, strlen(text), &json, err);
    if (r < 0)
        return error_prefix(err, r, "dcos-service-configuration.json");
    const char *key;
    json_t *value;
    json_t *settings = json_object_get(json_object_get(json, "sysctl"), n->service);
    json_object_foreach(settings, key, value)
    {
        if (!json_is_string(value))
            return error_set(err, -EINVAL, "the kernel setting %s is no text", key);
        r = set_one(n, key, json_string_value(value), err);
        if (r < 0)
            return r;
    }
    return 0;
}

void kernel_loose_filters(const struct node *n)
{
    _cleanup_free_ char *folder = node_path(n, "/proc/sys/net/ipv4/conf");
    _cleanup_strings_ struct strings names = {0};
    (void)strings_read_folder(folder, &names, NULL); /* a host without IPv4 has none */
    for (size_t i = 0; i < names.n; i++) {
        struct error err = ERROR_INIT;
        _cleanup_free_ char *path = path_join(folder, names.items[i], "rp_filter");
        if (file_write_string(path, "2", &err) < 0)
            log_warn("the reverse path filter stays as it is error=%s, ignoring", err.msg);
    }
}

int kernel_check_time(struct error *err)
{
    struct timex t = {0};
    const char *wanted = node_setting("ENABLE_CHECK_TIME");
    if (!wanted || streq(wanted, "false"))
        return 0;
    if (!streq(wanted, "true"))
        return error_set(err, -EINVAL, "ENABLE_CHECK_TIME is true or false, not %.50s", wanted);
    int state = adjtimex(&t);
    if (state < 0)
        return error_errno(err, -errno, "cannot ask for the state of the clock");
    if (state == TIME_ERROR || (t.status & STA_UNSYNC))
        return error_set(err, -EAGAIN,
            "the clock is not in step with a time server (timesyncd, chrony or ntpd must run; "
            "check_time: false in config.yaml does without)");
    if (t.esterror > ERROR_LIMIT_US)
        return error_set(
            err, -EAGAIN, "the clock may be wrong by %ld ms", (long)(t.esterror / 1000));
    return 0;
}
