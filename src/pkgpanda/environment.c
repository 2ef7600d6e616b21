#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/internal.h"

/* Files that say what is active: variables, provenance, kernel settings. */

enum { BUILDINFO_MAX = 8 * 1024 * 1024, SEARCH_DEPTH_MAX = 32 };

/* Staged; synced with all the rest. */
static int write_part(
    const struct install *in, const char *name, const struct buf *text, struct error *err)
{
    _cleanup_free_ char *path = path_join(in->root, name);
    return file_write_atomic(path, buf_cstr(text), text->n, 0644, err);
}

/* As a shell reads it: in quotes only where needed, so that plain values look as they always did.
 */
static void put_shell_value(struct buf *out, const char *value)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=:,./@%";
    if (value[strspn(value, plain)] == '\0') {
        buf_puts(out, value);
        return;
    }
    buf_putc(out, '\'');
    for (; *value; value++) {
        if (*value == '\'')
            buf_puts(out, "'\\''");
        else
            buf_putc(out, *value);
    }
    buf_putc(out, '\'');
}

int write_environment(const struct install *in, const struct packages *p, struct error *err)
{
    _cleanup_buf_ struct buf unit = BUF_INIT, shell = BUF_INIT;
    const char *root = link_root(in), *key;
    buf_puts(&unit, "# Pkgpanda provided environment variables\n");
    buf_printf(&unit, "LD_LIBRARY_PATH=%s/lib\n", root);
    buf_printf(&unit, "PATH=%s/bin:/usr/bin:/bin:/sbin\n\n", root);
    buf_puts(&shell, "# Pkgpanda provided environment variables\n");
    buf_printf(&shell, "export LD_LIBRARY_PATH=%s/lib\n", root);
    buf_printf(&shell, "export PATH=\"%s/bin:$PATH\"\n\n", root);
    for (size_t i = 0; i < p->n; i++) {
        json_t *value;
        buf_printf(&unit, "# package: %s\n", p->items[i]->id);
        buf_printf(&shell, "# package: %s\n", p->items[i]->id);
        json_object_foreach((json_t *)(uintptr_t)p->items[i]->environment, key, value)
        {
            buf_printf(&unit, "%s=%s\n", key, json_string_value(value));
            buf_printf(&shell, "export %s=", key);
            put_shell_value(&shell, json_string_value(value));
            buf_putc(&shell, '\n');
        }
        buf_putc(&unit, '\n');
        buf_putc(&shell, '\n');
    }
    int r = write_part(in, "environment" NEW, &unit, err);
    return r < 0 ? r : write_part(in, "environment.export" NEW, &shell, err);
}

/* Packages made by hand, as configuration is, have none: null. */
static int read_buildinfo(const struct package *p, json_t **ret, struct error *err)
{
    _cleanup_free_ char *path = path_join(p->path, "buildinfo.full.json");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (!path_exists(path)) {
        *ret = json_null();
        return 0;
    }
    int r = file_read(path, BUILDINFO_MAX, &text, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, ret, err);
    return r < 0 ? error_prefix(err, r, "buildinfo.full.json of package %s", p->id) : 0;
}

int write_buildinfo(const struct install *in, const struct packages *p, struct error *err)
{
    json_t *all = json_object(), *one = NULL;
    int r = 0;
    for (size_t i = 0; i < p->n && r == 0; i++) {
        r = read_buildinfo(p->items[i], &one, err);
        if (r == 0)
            json_object_set_new(all, p->items[i]->name, one);
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_write_pretty(all, &text);
    json_decref(all);
    return r < 0 ? r : write_part(in, "active.buildinfo.full.json" NEW, &text, err);
}

/* ---- sysctl ---- */

/* Names of all *.service files of a package, wherever they are in it. */
static int find_services(const char *folder, unsigned depth, struct strings *ret, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(folder, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        _cleanup_free_ char *path = path_join(folder, names.items[i]);
        struct stat st;
        if (has_suffix(names.items[i], ".service"))
            strings_add(ret, names.items[i]);
        else if (depth < SEARCH_DEPTH_MAX && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            r = find_services(path, depth + 1, ret, err);
    }
    return r;
}

static int add_sysctl(json_t *all, const struct package *p, struct error *err)
{
    _cleanup_strings_ struct strings services = {0};
    const char *service;
    json_t *values;
    if (!p->sysctl || json_object_size(p->sysctl) == 0)
        return 0;
    int r = find_services(p->path, 0, &services, err);
    if (r < 0)
        return r;
    if (services.n == 0)
        return error_set(err, -EINVAL,
            "Package %s has sysctl settings but no service that they could be applied for.", p->id);
    json_object_foreach((json_t *)(uintptr_t)p->sysctl, service, values)
    {
        _cleanup_free_ char *unit = xasprintf("%s.service", service);
        if (!strings_has(&services, unit))
            continue;
        json_t *there = json_object_get(all, service);
        if (there)
            json_object_update(there, values);
        else
            json_object_set_new(all, service, json_copy(values));
    }
    return 0;
}

int write_service_configuration(
    const struct install *in, const struct packages *p, struct error *err)
{
    json_t *document = json_object(), *all = json_object();
    json_object_set_new(document, "sysctl", all);
    int r = 0;
    for (size_t i = 0; i < p->n && r == 0; i++)
        r = add_sysctl(all, p->items[i], err);
    _cleanup_buf_ struct buf text = BUF_INIT;
    json_write_pretty(document, &text);
    json_decref(document);
    return r < 0 ? r : write_part(in, "etc" NEW "/dcos-service-configuration.json", &text, err);
}
