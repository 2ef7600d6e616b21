#include <errno.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/vec.h"
#include "gen/cloud-internal.h"
#include "pkgpanda/trust.h"

/* All templates of a release for one cloud, with what they name, as artifacts. */

static const char JSON_TYPE[] = "application/json", HTML_TYPE[] = "text/html; charset=utf-8",
                  TEXT_TYPE[] = "text/plain; charset=utf-8";

struct making {
    enum cloud_kind kind;
    const struct cloud_release *release;
    json_t *files, *templates; /* artifacts of both sorts */
    json_t *seen;              /* {path: true} of files */
    VEC(struct cloud_button) buttons;
};

static void add_text(json_t *list, const char *path, const char *type, const struct buf *text)
{
    json_t *a = json_object();
    json_object_set_new(a, "channel_path", json_string(path));
    json_object_set_new(a, "content_type", json_string(type));
    json_object_set_new(a, "local_content", json_stringn(buf_cstr(text), text->n));
    json_array_append_new(list, a);
}

/* A file below the folder, once. */
static void add_file(struct making *m, const char *path, const char *type)
{
    _cleanup_free_ char *local = path_join(m->release->folder, path);
    json_t *a;
    if (json_object_get(m->seen, path))
        return;
    json_object_set_new(m->seen, path, json_true());
    a = json_object();
    json_object_set_new(a, "reproducible_path", json_string(path));
    if (type)
        json_object_set_new(a, "content_type", json_string(type));
    json_object_set_new(a, "local_path", json_string(local));
    json_array_append_new(m->files, a);
}

/* Writes the digest beside a package, which hosts check. */
static int add_package(struct making *m, const char *path, struct error *err)
{
    _cleanup_free_ char *local = path_join(m->release->folder, path);
    _cleanup_free_ char *digest = xasprintf("%s.sha256", path);
    int r = trust_publish(local, NULL, err);
    if (r < 0)
        return r;
    add_file(m, path, NULL);
    add_file(m, digest, TEXT_TYPE);
    return 0;
}

/* What gen_generate() wrote for this configuration. */
static int add_generated(struct making *m, const struct gen *g, struct error *err)
{
    const char *packages = gen_value(g, "cluster_packages"), *name;
    _cleanup_json_ json_t *list = NULL;
    json_t *package;
    int r = gen_generate(g, m->release->folder, err);
    if (r == 0)
        r = json_parse(packages, strlen(packages), &list, err);
    if (r < 0)
        return r;
    json_object_foreach(list, name, package)
    {
        r = add_package(m, json_str_at(package, "filename", ""), err);
        if (r < 0)
            return r;
    }
    _cleanup_free_ char *late = gen_late_file(g);
    _cleanup_free_ char *ids = xasprintf(
        "package_lists/%s.package_list.json", gen_value(g, "cluster_package_list_id"));
    if (late) {
        r = add_package(m, late, err);
        if (r < 0)
            return r;
    }
    add_file(m, ids, JSON_TYPE);
    return 0;
}

static int first_problem(const struct gen *g, struct error *err)
{
    size_t n;
    const struct gen_problem *p = gen_errors(g, &n);
    return n ? error_set(err, -EINVAL, "%s%s%s", p->name, *p->name ? ": " : "", p->message) : 0;
}

/* The caller's settings and those of the release. */
static int configure(struct making *m, const struct cloud_variant *v, unsigned masters,
    struct gen **ret, struct error *err)
{
    const struct cloud_release *release = m->release;
    struct gen_input in = *release->in;
    struct gen_setting own[6];
    size_t n = 0;
    own[n++] = (struct gen_setting){"bootstrap_id", v->bootstrap_id, .fixed = true};
    own[n++] = (struct gen_setting){"bootstrap_variant", v->name, .fixed = true};
    own[n++] = (struct gen_setting){"package_ids", v->package_ids, .fixed = true};
    own[n++] = (struct gen_setting){"dcos_image_commit", release->commit, .fixed = true};
    own[n++] = (struct gen_setting){"dcos_version", release->version, .fixed = true};
    if (release->bootstrap_url)
        own[n++] = (struct gen_setting){"bootstrap_url", release->bootstrap_url, .fixed = true};
    _cleanup_free_ struct gen_setting *settings = xnew_array(struct gen_setting, n + in.n_settings);
    memcpy(settings, own, n * sizeof(*own));
    if (in.n_settings)
        memcpy(settings + n, in.settings, in.n_settings * sizeof(*settings));
    in.settings = settings;
    in.n_settings += n;
    struct gen *g = NULL;
    int r = release->own ? cloud_gen_own(masters, &in, &g, err)
                         : cloud_gen(m->kind, masters, &in, &g, err);
    if (r == 0)
        r = first_problem(g, err);
    if (r < 0) {
        gen_free(g);
        return r;
    }
    *ret = g;
    return 0;
}

static void add_template(struct making *m, const json_t *made)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    cloud_write(json_at(made, "template"), &text);
    add_text(m->templates, json_str_at(made, "path", ""), JSON_TYPE, &text);
}

static int add_simple(
    struct making *m, const struct cloud_variant *v, unsigned masters, struct error *err)
{
    _cleanup_(gen_freep)
    struct gen *g = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *path = cloud_file_name(m->kind, v->name, masters);
    int r = configure(m, v, masters, &g, err);
    if (r == 0)
        r = cloud_template(m->kind, g, &text, err);
    if (r == 0)
        r = add_generated(m, g, err);
    if (r < 0)
        return r;
    add_text(m->templates, path, JSON_TYPE, &text);
    struct cloud_button button = {xasprintf("%s%s%u master%s", v->name, *v->name ? ", " : "",
                                      masters, masters > 1 ? "s" : ""),
        TAKE_PTR(path)};
    vec_push(&m->buttons, button);
    return 0;
}

/* One configuration for each number of masters, and their nested stacks. */
static int add_advanced(struct making *m, const struct cloud_variant *v, struct error *err)
{
    static const unsigned counts[] = {1, 3, 5, 7};
    struct gen *all[ARRAY_SIZE(counts)] = {0};
    _cleanup_json_ json_t *made = json_array();
    const char *url = m->release->fixed_url ? m->release->fixed_url : m->release->download_url;
    size_t n = ARRAY_SIZE(counts);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        r = configure(m, v, counts[i], &all[i], err);
        /* Masters that config.yaml names are as many as they are. */
        if (r == 0 && i == 1 &&
            streq(gen_value(all[1], "master_list"), gen_value(all[0], "master_list")))
            n = 1;
    }
    if (r == 0)
        r = cloud_aws_advanced(all, n, v->name, url, made, err);
    for (size_t i = 0; i < n && r == 0; i++)
        r = add_generated(m, all[i], err);
    for (size_t i = 0; i < json_array_size(made) && r == 0; i++)
        add_template(m, json_array_get(made, i));
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        gen_free(all[i]);
    return r;
}

static int make_all(struct making *m, struct error *err)
{
    static const unsigned aws[] = {1, 3}, azure[] = {1, 3, 5};
    bool is_aws = m->kind == CLOUD_AWS;
    const unsigned *counts = is_aws ? aws : azure;
    size_t n_counts = is_aws ? ARRAY_SIZE(aws) : ARRAY_SIZE(azure);
    for (size_t v = 0; v < m->release->n_variants; v++) {
        for (size_t i = 0; i < n_counts && !m->release->own; i++) {
            int r = add_simple(m, &m->release->variants[v], counts[i], err);
            if (r < 0)
                return r;
        }
        int r = is_aws ? add_advanced(m, &m->release->variants[v], err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int cloud_artifacts(
    enum cloud_kind kind, const struct cloud_release *release, json_t **ret, struct error *err)
{
    struct making m = {.kind = kind,
        .release = release,
        .files = json_array(),
        .templates = json_array(),
        .seen = json_object()};
    _cleanup_buf_ struct buf page = BUF_INIT;
    int r = make_all(&m, err);
    if (r == 0 && !release->own) {
        cloud_page(
            kind, release->version, release->download_url, m.buttons.items, m.buttons.n, &page);
        add_text(m.templates, kind == CLOUD_AWS ? "aws.html" : "azure.html", HTML_TYPE, &page);
    }
    if (r == 0) {
        json_array_extend(m.files, m.templates);
        *ret = json_incref(m.files);
    }
    VEC_FOREACH (b, &m.buttons) {
        free(b->label);
        free(b->path);
    }
    vec_done(&m.buttons);
    json_decref(m.files);
    json_decref(m.templates);
    json_decref(m.seen);
    return r;
}
