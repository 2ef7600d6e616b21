#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/gen-internal.h"
#include "gen/params.h"
#include "gen/render.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/id.h"
#include "pkgpanda/late.h"
#include "transfer/pack.h"

/* From arguments to packages, lists and what is on a host before them. Everything is made in memory
 * first; writing comes last and knows nothing of configurations. */

#define WORK_PREFIX ".gen."
#define CONFIG_PACKAGE "dcos-config"
#define METADATA_PACKAGE "dcos-metadata"
#define BINS_PACKAGE "custom-check-bins"

static void add_file(json_t *files, const char *path, const struct buf *content, const char *mode)
{
    json_array_append_new(files, json_pack("{s:s,s:s,s:s}", "path", path, "content",
                                     buf_cstr(content), "permissions", mode));
}

/* ---- arguments ---- */

static void gather_arguments(struct gen *g)
{
    size_t pos = 0;
    g->arguments = json_object();
    g->public = json_object();
    g->late = json_object();
    for (const struct graph_node *n; (n = graph_next(g->graph, &pos));) {
        if (n->state != NODE_SET)
            continue;
        json_object_set_new(g->arguments, n->name, json_string(n->value));
        if (!gen_is_secret(g, n->name)) {
            _cleanup_buf_ struct buf shown = BUF_INIT;
            gen_shown(g, n->name, n->value, &shown);
            json_object_set_new(g->public, n->name, json_string(buf_cstr(&shown)));
        }
        if (n->source == FROM_LATE)
            json_object_set_new(g->late, n->name, json_string(n->setter->value));
    }
}

static void set_both(struct gen *g, const char *name, const char *value)
{
    json_object_set_new(g->arguments, name, json_string(value));
    json_object_set_new(g->public, name, json_string(value));
}

/* config.yaml as it was given, or with secrets hidden. JSON values are YAML, too. */
static void user_config(const struct gen *g, bool full, struct buf *out)
{
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_entry *e = &g->config.entries[i];
        _cleanup_json_ json_t *name = json_string(e->name);
        config_dump(name, out);
        buf_puts(out, ": ");
        _cleanup_buf_ struct buf shown = BUF_INIT;
        if (!full)
            gen_shown(g, e->name, e->value ? e->value : "", &shown);
        bool hide = !full && (gen_is_secret(g, e->name) ||
                                 !streq(buf_cstr(&shown), e->value ? e->value : ""));
        _cleanup_json_ json_t *text = hide ? json_string(buf_cstr(&shown)) : NULL;
        config_dump(hide ? text : e->json, out);
        buf_putc(out, '\n');
    }
    if (g->config.n == 0)
        buf_puts(out, "{}\n");
}

/* {name: text} of config.yaml. */
static json_t *user_arguments(const struct gen *g, bool full)
{
    json_t *all = json_object();
    for (size_t i = 0; i < g->config.n; i++) {
        const struct config_entry *e = &g->config.entries[i];
        _cleanup_buf_ struct buf shown = BUF_INIT;
        if (full)
            buf_puts(&shown, e->value);
        else
            gen_shown(g, e->name, e->value, &shown);
        json_object_set_new(all, e->name, json_string(buf_cstr(&shown)));
    }
    return all;
}

static json_t *template_names(const struct gen *g)
{
    json_t *list = render_template_names(), *text;
    const char *name;
    json_object_foreach(g->extra.templates, name, text)
    {
        json_array_append_new(list, json_sprintf(EXTRA_FOLDER "/%s", name));
    }
    return list;
}

static void set_text(struct gen *g, const char *name, const struct buf *text, bool full)
{
    json_object_set_new(g->arguments, name, json_stringn(buf_cstr(text), text->n));
    if (!full)
        json_object_set_new(g->public, name, json_stringn(buf_cstr(text), text->n));
}

/* Arguments that are about all others; templates may use them. Those with secrets end in "_full".
 */
static void add_built_ins(struct gen *g)
{
    _cleanup_json_ json_t *names = template_names(g),
                          *packages = json_pack("[s,s]", CONFIG_PACKAGE, METADATA_PACKAGE);
    struct buf lists[2] = {BUF_INIT, BUF_INIT};
    static const char *const wanted[][3] = {{"expanded_config", "config_yaml", "user_arguments"},
        {"expanded_config_full", "config_yaml_full", "user_arguments_full"}};
    struct buf texts[2][3] = {0};
    for (int full = 0; full < 2; full++) {
        _cleanup_json_ json_t *arguments = user_arguments(g, full);
        json_write_pretty(full ? g->arguments : g->public, &texts[full][0]);
        user_config(g, full, &texts[full][1]);
        config_dump(arguments, &texts[full][2]);
    }
    config_dump(names, &lists[0]);
    config_dump(packages, &lists[1]);
    for (int full = 0; full < 2; full++) {
        for (size_t i = 0; i < ARRAY_SIZE(wanted[0]); i++) {
            set_text(g, wanted[full][i], &texts[full][i], full);
            buf_done(&texts[full][i]);
        }
    }
    set_text(g, "template_filenames", &lists[0], false);
    set_text(g, "config_package_names", &lists[1], false);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        buf_done(&lists[i]);
}

static void add_records(struct gen *g)
{
    static const struct {
        const char *path, *mode, *name;
    } records[] = {{"/etc/user.config.yaml", "0644", "config_yaml"},
        {"/etc/user.config.full.yaml", "0600", "config_yaml_full"},
        {"/etc/expanded.config.json", "0644", "expanded_config"},
        {"/etc/expanded.config.full.json", "0600", "expanded_config_full"}};
    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        json_array_append_new(g->config_files,
            json_pack("{s:s,s:O,s:s}", "path", records[i].path, "content",
                json_object_get(g->arguments, records[i].name), "permissions", records[i].mode));
    }
}

/* ---- late values ---- */

/* Takes files with placeholders out of the configuration package: the host makes a package of them.
 */
static int split_late(struct gen *g, struct error *err)
{
    json_t *now = json_array(), *file;
    size_t i;
    g->late_files = json_array();
    json_array_foreach(g->config_files, i, file)
    {
        const char *path = json_str_at(file, "path", "");
        if (strstr(path, LATE_START)) {
            json_decref(now);
            return error_set(
                err, -EINVAL, "late values may be in contents of files only: %.200s", path);
        }
        bool late = strstr(json_str_at(file, "content", ""), LATE_START);
        json_array_append(late ? g->late_files : now, file);
    }
    json_decref(g->config_files);
    g->config_files = now;
    if (json_array_size(g->late_files)) {
        const struct buf empty = {.p = (char *)(uintptr_t) "{}", .n = 2};
        add_file(g->late_files, "/pkginfo.json", &empty, "0644");
    }
    return 0;
}

static char *late_id(const struct gen *g)
{
    return xasprintf(
        "dcos-provider-%s-%s--setup", gen_value(g, "config_id"), gen_value(g, "provider"));
}

char *gen_late_file(const struct gen *g)
{
    if (json_array_size(g->late_files) == 0)
        return NULL;
    _cleanup_free_ char *id = late_id(g);
    return xasprintf("packages/%.*s/%s.dcos_config", (int)(strstr(id, "--") - id), id, id);
}

/* ---- ids ---- */

/* Over everything that the packages are made of: a change of any argument, of a script that it
 * names, or of a template gives new ids. */
static int config_id(const struct gen *g, char ret[SHA1_TEXT], struct error *err)
{
    _cleanup_json_ json_t *all = json_object(), *contents = json_array();
    json_t *file;
    size_t i;
    json_array_foreach(g->config_files, i, file)
    {
        json_array_append_new(
            contents, json_sprintf("%s %s %s", json_str_at(file, "path", ""),
                          json_str_at(file, "permissions", ""), json_str_at(file, "content", "")));
    }
    json_array_foreach(g->metadata_files, i, file)
    {
        json_array_append_new(contents,
            json_sprintf("%s %s", json_str_at(file, "path", ""), json_str_at(file, "content", "")));
    }
    json_object_set_new(all, "commit", json_string(gen_value(g, "dcos_image_commit")));
    json_object_set_new(all, "template_filenames", template_names(g));
    json_object_set(all, "argument_dict", g->arguments);
    json_object_set(all, "contents", contents);
    return content_hash(all, ret, err);
}

static void add_package(json_t *packages, json_t *ids, const char *name, const char *id)
{
    json_object_set_new(packages, name,
        json_pack(
            "{s:s,s:o}", "id", id, "filename", json_sprintf("packages/%s/%s.tar.xz", name, id)));
    json_array_append_new(ids, json_string(id));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *sorted(const json_t *list)
{
    size_t n = json_array_size(list);
    json_t *ret = json_array();
    _cleanup_free_ const char **items = xnew_array(const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        items[i] = json_string_value(json_array_get(list, i));
    qsort(items, n, sizeof(*items), by_text);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(ret, json_string(items[i]));
    return ret;
}

/* The cluster's packages: those of the release, and those made here. */
static int name_packages(struct gen *g, struct error *err)
{
    _cleanup_json_ json_t *packages = json_object(), *ids = json_array(), *bins = NULL,
                          *wanted = gen_list(g, "wanted_package_ids");
    _cleanup_buf_ struct buf b = BUF_INIT;
    char hash[SHA1_TEXT];
    json_t *item;
    size_t i;
    int r = config_id(g, hash, err);
    if (r < 0)
        return r;
    set_both(g, "config_id", hash);
    _cleanup_free_ char *config = xasprintf(CONFIG_PACKAGE "--setup_%s", hash);
    _cleanup_free_ char *metadata = xasprintf(METADATA_PACKAGE "--setup_%s", hash);
    add_package(packages, ids, CONFIG_PACKAGE, config);
    add_package(packages, ids, METADATA_PACKAGE, metadata);
    r = rule_parse_dictionary(gen_value(g, "custom_check_bins"), &bins, err);
    if (r < 0)
        return r;
    if (json_str_at(bins, "id", NULL))
        add_package(packages, ids, BINS_PACKAGE, json_str_at(bins, "id", NULL));
    json_array_foreach(wanted, i, item)
    {
        if (!json_is_string(item) || !package_id_valid(json_string_value(item)))
            return error_set(
                err, -EINVAL, "package_ids: '%.100s' is not a package id", json_string_value(item));
        json_array_append(ids, item);
    }
    g->list = sorted(ids);
    r = content_hash(g->list, hash, err);
    if (r < 0)
        return r;
    set_both(g, "cluster_package_list_id", hash);
    config_dump(packages, &b);
    set_both(g, "cluster_packages", buf_cstr(&b));
    return 0;
}

/* ---- hosts ---- */

static int cloud_config(struct gen *g, struct error *err)
{
    _cleanup_json_ json_t *root = NULL, *services = NULL, *files = NULL;
    int r = render_yaml("cloud-config.yaml", g->extra.templates, g->arguments, &root, err);
    if (r == 0)
        r = render_files(json_at(root, "root"), &files, err);
    if (r == 0)
        r = render_yaml("dcos-services.yaml", g->extra.templates, g->arguments, &services, err);
    if (r < 0)
        return r;
    if (json_array_size(g->late_files)) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        _cleanup_free_ char *id = late_id(g);
        buf_printf(&b, "late_bound_package_id: %s\nbound_values: ", id);
        config_dump(g->late, &b);
        buf_putc(&b, '\n');
        add_file(files, "/etc/mesosphere/setup-flags/late-config.yaml", &b, "0644");
    }
    g->cloud_config = json_object();
    json_object_set(g->cloud_config, "write_files", files);
    json_object_set(g->cloud_config, "units", json_object_get(services, "units"));
    return 0;
}

int gen_outputs(struct gen *g, struct error *err)
{
    _cleanup_json_ json_t *config = NULL, *metadata = NULL;
    gather_arguments(g);
    add_built_ins(g);
    int r = render_yaml("dcos-config.yaml", g->extra.templates, g->arguments, &config, err);
    if (r == 0)
        r = render_files(json_at(config, "package"), &g->config_files, err);
    if (r == 0)
        r = render_yaml("dcos-metadata.yaml", g->extra.templates, g->arguments, &metadata, err);
    if (r == 0)
        r = render_files(json_at(metadata, "package"), &g->metadata_files, err);
    if (r < 0)
        return r;
    add_records(g);
    r = name_packages(g, err);
    if (r == 0)
        r = split_late(g, err);
    if (r == 0)
        r = cloud_config(g, err);
    return r;
}

/* ---- writing ---- */

/* A file of `text` that appears whole; what is there stays when `keep`. */
static int write_text(
    const char *folder, const char *name, const struct buf *text, bool keep, struct error *err)
{
    _cleanup_free_ char *path = path_join(folder, name), *above = xstrdup(path);
    *strrchr(above, '/') = '\0';
    if (keep && path_exists(path))
        return 0;
    int r = mkdir_all(above, 0755, err);
    if (r < 0)
        return r;
    return file_write_atomic(path, buf_cstr(text), text->n, 0644, err);
}

/* Packs a folder of files to packages/<name>/<id>.tar.xz. */
static int pack_folder(const char *folder, const char *work, const char *path, struct error *err)
{
    _cleanup_free_ char *temporary = xasprintf("%s.tmp.%d", path, (int)getpid()),
                        *above = xstrdup(path);
    *strrchr(above, '/') = '\0';
    int r = mkdir_all(above, 0755, err);
    if (r < 0)
        return r;
    _cleanup_close_ int root = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = open(
        temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    _cleanup_close_ int parent = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fd < 0 || parent < 0)
        return error_errno(err, -errno, "%s", path);
    r = pack_tree(root, PACK_XZ, fd, err);
    if (r == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0 || fsync(parent) < 0))
        r = error_errno(err, -errno, "%s", path);
    if (r < 0)
        unlink(temporary);
    return r;
}

static int copy_bins(const struct gen *g, const char *work, struct error *err)
{
    _cleanup_json_ json_t *bins = NULL;
    json_t *name;
    size_t i;
    int r = rule_parse_dictionary(gen_value(g, "custom_check_bins"), &bins, err);
    if (r < 0)
        return r;
    json_array_foreach(json_object_get(bins, "files"), i, name)
    {
        _cleanup_buf_ struct buf b = BUF_INIT;
        _cleanup_free_ char *from = path_join(
            gen_value(g, "custom_check_bins_dir"), json_string_value(name));
        _cleanup_free_ char *to = path_join(work, json_string_value(name));
        r = g->files.read(g->files.userdata, from, GEN_PROGRAM_MAX, &b, err);
        if (r == 0)
            r = file_write_atomic(to, buf_cstr(&b), b.n, 0755, err);
        if (r < 0)
            return r;
    }
    _cleanup_free_ char *info = path_join(work, "pkginfo.json");
    return file_write_atomic(info, "{}", 2, 0644, err);
}

static int write_package(const struct gen *g, const char *folder, const char *name,
    const json_t *files, struct error *err)
{
    _cleanup_json_ json_t *packages = NULL, *config = NULL, *none = json_object();
    int r = rule_parse_dictionary(gen_value(g, "cluster_packages"), &packages, err);
    const char *filename = json_str_at(json_at(packages, name), "filename", NULL);
    if (r < 0 || !filename)
        return r;
    _cleanup_free_ char *path = path_join(folder, filename);
    if (path_exists(path))
        return 0;
    /* Secrets pass through it: nobody else may look in. */
    _cleanup_free_ char *top = path_join(folder, WORK_PREFIX "XXXXXX");
    if (!mkdtemp(top))
        return error_errno(err, -errno, "%s", top);
    _cleanup_free_ char *work = path_join(top, "package");
    r = mkdir_all(work, 0755, err);
    if (r == 0 && files) {
        config = json_pack("{s:O}", "package", files);
        r = late_write_files(work, config, none, err);
    } else if (r == 0) {
        r = copy_bins(g, work, err);
    }
    if (r == 0)
        r = pack_folder(folder, work, path, err);
    remove_tree(top, NULL);
    return r;
}

static int write_late(const struct gen *g, const char *folder, struct error *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    json_t *file;
    size_t i;
    if (json_array_size(g->late_files) == 0)
        return 0;
    _cleanup_free_ char *path = gen_late_file(g);
    buf_puts(&b, "package:\n");
    json_array_foreach(g->late_files, i, file)
    {
        buf_puts(&b, "- ");
        config_dump(file, &b);
        buf_putc(&b, '\n');
    }
    return write_text(folder, path, &b, true, err);
}

static int write_lists(const struct gen *g, const char *folder, struct error *err)
{
    _cleanup_json_ json_t *packages = NULL;
    _cleanup_buf_ struct buf list = BUF_INIT, info = BUF_INIT;
    const char *id = gen_value(g, "cluster_package_list_id");
    struct buf latest = {.p = (char *)(uintptr_t)id, .n = strlen(id)};
    _cleanup_free_ char *name = xasprintf("package_lists/%s.package_list.json", id);
    int r = rule_parse_dictionary(gen_value(g, "cluster_packages"), &packages, err);
    if (r < 0)
        return r;
    json_write_line(g->list, &list);
    json_write_pretty(packages, &info);
    r = write_text(folder, name, &list, true, err);
    if (r == 0)
        r = write_text(folder, "cluster-package-info.json", &info, false, err);
    /* Last: what it names is all there. */
    if (r == 0)
        r = write_text(folder, "cluster-package-list.latest", &latest, false, err);
    return r;
}

/* What a run that was cut off left: secrets have passed through it. */
static int clear_away(const char *folder, struct error *err)
{
    int r = 0;
    DIR *d = opendir(folder);
    if (!d)
        return error_errno(err, -errno, "%s", folder);
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        if (!has_prefix(e->d_name, WORK_PREFIX))
            continue;
        _cleanup_free_ char *path = path_join(folder, e->d_name);
        r = remove_tree(path, err);
    }
    closedir(d);
    return r < 0 ? r : file_clear_unfinished(folder, 2 /* packages/NAME */, err);
}

int gen_generate(const struct gen *g, const char *folder, struct error *err)
{
    if (!gen_ok(g))
        return error_set(err, -EINVAL, "a configuration with errors cannot be generated");
    mode_t old = umask(022);
    int r = mkdir_all(folder, 0755, err);
    if (r == 0)
        r = clear_away(folder, err);
    if (r == 0)
        r = write_package(g, folder, CONFIG_PACKAGE, g->config_files, err);
    if (r == 0)
        r = write_package(g, folder, METADATA_PACKAGE, g->metadata_files, err);
    if (r == 0)
        r = write_package(g, folder, BINS_PACKAGE, NULL, err);
    if (r == 0)
        r = write_late(g, folder, err);
    if (r == 0)
        r = write_lists(g, folder, err);
    umask(old);
    return r;
}
