#include <errno.h>
#include <gnu/libc-version.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/template.h"
#include "installer/installer.h"
#include "installer/text.h"

/* dcos_install.sh and dcos_node_upgrade.sh. */

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
/* Programs that were built with one release of glibc need it, or a newer one. */
static const char glibc_least[] = TEXT(__GLIBC__) "." TEXT(__GLIBC_MINOR__);

static int render(const char *name, const json_t *arguments, struct buf *out, struct error *err)
{
    _cleanup_(template_freep)
    struct template *template = NULL;
    const char *text = installer_text(name);
    int r = template_parse(text, strlen(text), &template, err);
    if (r == 0)
        r = template_render(template, arguments, NULL, 0, out, err);
    return r < 0 ? error_prefix(err, r, "%s", name) : 0;
}

static void set(json_t *arguments, const char *name, const char *value)
{
    json_object_set_new(arguments, name, json_string(value));
}

static void write_file_call(
    struct buf *out, const char *path, const char *mode, const char *content)
{
    _cleanup_free_ char *quoted_path = ssh_quote(path), *quoted_mode = ssh_quote(mode),
                        *quoted = ssh_quote(content);
    buf_printf(out, "    write_file %s %s %s\n", quoted_path, quoted_mode, quoted);
}

static void put_files(const struct gen *g, const char *digests, json_t *arguments)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    size_t i;
    json_t *file;
    json_array_foreach(
        json_object_get((json_t *)(uintptr_t)gen_cloud_config(g), "write_files"), i, file)
    {
        write_file_call(&out, json_str_at(file, "path", ""),
            json_str_at(file, "permissions", "0644"), json_str_at(file, "content", ""));
    }
    write_file_call(&out, "/etc/mesosphere/setup-flags/digests", "0644", digests);
    set(arguments, "installer_write_files", buf_cstr(&out));
}

/* Units of cloud-config: written, then started in their order. A "true" may be text, as YAML has
 * it. */
static void put_units(const struct gen *g, json_t *arguments)
{
    _cleanup_buf_ struct buf out = BUF_INIT, start = BUF_INIT;
    size_t i;
    json_t *unit;
    json_array_foreach(json_object_get((json_t *)(uintptr_t)gen_cloud_config(g), "units"), i, unit)
    {
        const char *name = json_str_at(unit, "name", "");
        _cleanup_free_ char *path = xasprintf("/etc/systemd/system/%s", name);
        _cleanup_free_ char *word = ssh_quote(name);
        write_file_call(&out, path, "0644", json_str_at(unit, "content", ""));
        if (json_bool_at(unit, "enable", streq(json_str_at(unit, "enable", ""), "true")))
            buf_printf(&start, "    systemctl enable %s || die \"cannot enable \"%s\n", word, word);
        if (streq(json_str_at(unit, "command", ""), "start"))
            buf_printf(&start, "    start_unit %s%s\n",
                streq(name, "dcos-setup.service") ? "${1:+\"$1\"} " : "", word);
    }
    set(arguments, "installer_write_units", buf_cstr(&out));
    set(arguments, "installer_start_units", buf_cstr(&start));
}

int script_install(const struct gen *g, const char *digests, struct buf *out, struct error *err)
{
    struct utsname machine;
    _cleanup_json_ json_t *arguments = json_copy((json_t *)(uintptr_t)gen_arguments(g));
    if (uname(&machine) < 0)
        return error_errno(err, -errno, "uname");
    set(arguments, "installer_machine", machine.machine);
    set(arguments, "installer_glibc", glibc_least);
    put_files(g, digests, arguments);
    put_units(g, arguments);
    return render("dcos_install.sh", arguments, out, err);
}

/* Ids of all packages, with blanks between. */
static int put_packages(
    const struct installer *in, const struct gen *g, json_t *arguments, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *ids = NULL;
    size_t i;
    json_t *id;
    int r = cluster_package_ids(in, g, &ids, err);
    if (r < 0)
        return r;
    json_array_foreach(ids, i, id)
        buf_printf(&text, "%s%s", i > 0 ? " " : "", json_string_value(id));
    set(arguments, "installer_cluster_packages", buf_cstr(&text));
    return 0;
}

int script_upgrade(const struct installer *in, const struct gen *g, const char *installed_version,
    struct buf *out, struct error *err)
{
    _cleanup_json_ json_t *arguments = json_copy((json_t *)(uintptr_t)gen_arguments(g));
    set(arguments, "installed_cluster_version", installed_version);
    set(arguments, "cluster_package_list_id", config_value(g, "cluster_package_list_id", ""));
    _cleanup_buf_ struct buf digests = BUF_INIT;
    int r = put_packages(in, g, arguments, err);
    if (r == 0)
        r = cluster_digests(in, g, &digests, err);
    if (r < 0)
        return r;
    while (digests.n > 0 && digests.p[digests.n - 1] == '\n')
        digests.p[--digests.n] = '\0';
    set(arguments, "installer_digests", buf_cstr(&digests));
    return render("dcos_node_upgrade.sh", arguments, out, err);
}
