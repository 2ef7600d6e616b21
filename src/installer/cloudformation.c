#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/cloud.h"
#include "gen/config.h"
#include "installer/installer.h"
#include "storage/request.h"
#include "storage/storage.h"

/* --aws-cloudformation: templates of one's own cluster, and all that is fetched by them. */

#define STORAGE "aws_template_storage_"

/* Stands for the address while only what is wrong and the id are asked for. */
static const char any_url[] = "https://s3.amazonaws.com";

struct making {
    const struct installer *in;
    struct gen *g;       /* of the whole config.yaml: where templates go */
    struct buf own;      /* config.yaml without that: what nodes are told */
    char *id, *folder;   /* of this configuration */
    char *base, *url;    /* of the bucket's folder, of this configuration's in it */
    char *path, *region; /* in the bucket, "" or without outer slashes */
    json_t *artifacts;
    struct strings copied; /* of the installer, below the folder */
};

static const char *value(const struct making *m, const char *name)
{
    return config_value(m->g, name, "");
}

static bool on(const struct making *m, const char *name)
{
    return streq(value(m, name), "true");
}

/* ---- what is wrong ---- */

/* The configuration with an address that it must not have itself. */
static int gen_at(
    const struct gen_input *input, const char *url, struct gen **ret, struct error *err)
{
    struct gen_input in = *input;
    _cleanup_free_ struct gen_setting *settings = xnew_array(struct gen_setting, in.n_settings + 1);
    settings[0] = (struct gen_setting){"bootstrap_url", url, .fixed = true};
    memcpy(settings + 1, in.settings, in.n_settings * sizeof(*settings));
    in.settings = settings;
    in.n_settings++;
    return cloud_gen_own(0, &in, ret, err);
}

static int first_look(const struct gen_input *input, void *userdata, struct error *err)
{
    struct making *m = userdata;
    return gen_at(input, any_url, &m->g, err);
}

/* Where templates are kept is nothing that nodes must know: it has a key. */
static int leave_out_storage(const struct gen_input *input, struct buf *ret, struct error *err)
{
    struct config config;
    const char *name;
    json_t *member;
    void *next;
    int r = config_read(input->config, input->config_n, &config, err);
    if (r < 0)
        return r;
    json_object_foreach_safe(config.json, next, name, member)
    {
        if (has_prefix(name, "aws_template_"))
            json_object_del(config.json, name);
    }
    config_dump(config.json, ret);
    config_done(&config);
    return 0;
}

/* 1 when config.yaml is wrong, which is told. */
static int check(struct making *m, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = config_use(m->in, first_look, m, err);
    if (r < 0)
        return r;
    config_warnings(m->g, &text);
    struct str rest = buf_str(&text), line;
    while (rest.n > 0 && str_split(&rest, '\n', &line)) {
        if (line.n > 0)
            fprintf(stderr, "WARNING: " STR_FMT "\n", STR_ARG(line));
    }
    buf_clear(&text);
    config_problems(m->g, &text);
    static const char *const needed[] = {STORAGE "bucket", STORAGE "region_name"};
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        /* Who uploads can ask where the bucket is. */
        bool can_ask = i == 1 && on(m, "aws_template_upload");
        if (!*value(m, needed[i]) && !can_ask && gen_ok(m->g))
            buf_printf(
                &text, "%s: Must set %s, no way to calculate value.\n", needed[i], needed[i]);
    }
    fputs(buf_cstr(&text), stderr);
    return text.n > 0;
}

/* ---- the bucket ---- */

static const char *endpoint(void)
{
    const char *url = getenv("AWS_ENDPOINT_URL_S3"); /* as Amazon's own tools have it */
    return url && *url ? url : NULL;
}

static int find_region(struct making *m, struct error *err)
{
    struct request q = REQUEST_INIT;
    const char *bucket = value(m, STORAGE "bucket");
    if (*value(m, STORAGE "region_name")) {
        m->region = xstrdup(value(m, STORAGE "region_name"));
        return 0;
    }
    _cleanup_free_ char *name = request_encode(bucket, false);
    _cleanup_free_ char *url = xasprintf("%s/%s", endpoint() ? endpoint() : any_url, name);
    q.method = "HEAD";
    q.url = url;
    int r = request_run(&q, err);
    /* Said with every answer about a bucket that there is, also to who may not see it. */
    if (r == 0)
        m->region = request_answer_header(&q, "x-amz-bucket-region");
    if (r == 0 && (!m->region || !*m->region))
        r = error_set(err, -ENOENT,
            STORAGE "region_name: S3 does not say where the bucket %s is (it answers %ld)", bucket,
            q.status);
    request_done(&q);
    return r;
}

static void find_place(struct making *m)
{
    const char *bucket = value(m, STORAGE "bucket"), *path = value(m, STORAGE "bucket_path");
    _cleanup_free_ char *host = endpoint() ? xstrdup(endpoint())
                                           : xasprintf("https://s3.%s.amazonaws.com%s", m->region,
                                                 has_prefix(m->region, "cn-") ? ".cn" : "");
    while (*path == '/')
        path++;
    m->path = xstrdup(path);
    m->base = xasprintf("%s/%s%s%s", host, bucket, *path ? "/" : "", path);
}

static int open_bucket(const struct making *m, struct storage **ret, struct error *err)
{
    _cleanup_free_ char *url = xasprintf("%s/", m->base);
    _cleanup_json_ json_t *options = json_pack("{s:s,s:s,s:s,s:s,s:s}", "kind", "aws_s3", "bucket",
        value(m, STORAGE "bucket"), "object_prefix", m->path, "download_url", url, "region_name",
        m->region);
    static const char *const keys[][2] = {{"access_key_id", STORAGE "access_key_id"},
        {"secret_access_key", STORAGE "secret_access_key"}};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (*value(m, keys[i][1]))
            json_object_set_new(options, keys[i][0], json_string(value(m, keys[i][1])));
    }
    if (endpoint())
        json_object_set_new(options, "endpoint_url", json_string(endpoint()));
    else if (has_prefix(m->region, "cn-")) {
        _cleanup_free_ char *host = xasprintf("https://s3.%s.amazonaws.com.cn", m->region);
        json_object_set_new(options, "endpoint_url", json_string(host));
    }
    return storage_open(STORAGE "bucket", options, ret, err);
}

/* Whether it may be written to is seen at the first file. */
static int check_bucket(const struct making *m, struct storage *bucket, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    if (on(m, STORAGE "bucket_path_autocreate") || !*m->path)
        return 0;
    int r = storage_list(bucket, "", &names, err);
    if (r == 0 && names.n == 0)
        r = error_set(err, -ENOENT,
            STORAGE "bucket_path: there is nothing below %s in the bucket %s, and " STORAGE
                    "bucket_path_autocreate is false",
            m->path, value(m, STORAGE "bucket"));
    return r;
}

/* ---- making ---- */

static int make_templates(const struct gen_input *input, void *userdata, struct error *err)
{
    struct making *m = userdata;
    const char *ids = value(m, "package_ids");
    const struct cloud_variant variant = {m->in->variant, m->in->bootstrap_id, ids};
    struct gen_input in = *input;
    in.config = buf_cstr(&m->own);
    in.config_n = m->own.n;
    const struct cloud_release release = {.in = &in,
        .variants = &variant,
        .n_variants = 1,
        .commit = m->in->commit,
        .version = m->in->version ? m->in->version : DCOS_VERSION,
        .bootstrap_url = m->url,
        .download_url = m->url,
        .folder = m->folder,
        .own = true};
    return cloud_artifacts(CLOUD_AWS, &release, &m->artifacts, err);
}

/* The configuration's id, which must not depend on the address that it becomes part of. */
static int find_id(const struct gen_input *input, void *userdata, struct error *err)
{
    struct making *m = userdata;
    struct gen *g = NULL;
    struct gen_input in = *input;
    int r = leave_out_storage(input, &m->own, err);
    in.config = buf_cstr(&m->own);
    in.config_n = m->own.n;
    if (r == 0)
        r = gen_at(&in, m->base, &g, err);
    if (r < 0)
        return r;
    if (!gen_ok(g))
        r = error_set(err, -EINVAL, "the configuration is wrong without its storage");
    else
        m->id = xstrdup(gen_value(g, "config_id"));
    gen_free(g);
    return r;
}

static int write_templates(const struct making *m, struct error *err)
{
    for (size_t i = 0; i < json_array_size(m->artifacts); i++) {
        const json_t *a = json_array_get(m->artifacts, i);
        const char *name = json_str_at(a, "channel_path", NULL),
                   *text = json_str_at(a, "local_content", NULL);
        if (!name || !text)
            continue;
        _cleanup_free_ char *path = path_join(m->folder, name), *above = xstrdup(path);
        *strrchr(above, '/') = '\0';
        int r = mkdir_all(above, 0755, err);
        if (r == 0)
            r = file_write_atomic(path, text, strlen(text), 0644, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_local(struct making *m, struct error *err)
{
    int r = config_use(m->in, find_id, m, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *name = xasprintf("cloudformation/config_id/%s", m->id);
    m->folder = installer_path(m->in, name);
    m->url = xasprintf("%s/config_id/%s", m->base, m->id);
    r = config_use(m->in, make_templates, m, err);
    if (r < 0)
        return r;
    /* They are about one configuration, and here are several. */
    static const char *const single[] = {
        "cluster-package-info.json", "cluster-package-list.latest"};
    for (size_t i = 0; i < ARRAY_SIZE(single); i++) {
        _cleanup_free_ char *path = path_join(m->folder, single[i]);
        (void)unlink(path);
    }
    _cleanup_json_ json_t *ids = gen_list(m->g, "package_ids");
    r = genconf_copy(m->in, ids, m->folder, &m->copied, err);
    return r < 0 ? r : write_templates(m, err);
}

/* ---- uploading ---- */

static int upload(const struct making *m, struct storage *bucket, const char *name,
    const char *type, bool keep, struct error *err)
{
    _cleanup_free_ char *to = xasprintf("config_id/%s/%s", m->id, name),
                        *local = path_join(m->folder, name);
    const struct storage_content content = {.local_path = local, .content_type = type};
    /* What is named after its contents is there or not. */
    int r = keep ? storage_exists(bucket, to, err) : 0;
    if (r == 0) {
        printf("Uploading %s\n", name);
        r = storage_put(bucket, to, &content, err);
    }
    return MIN(r, 0);
}

static int upload_all(const struct making *m, struct storage *bucket, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < m->copied.n && r == 0; i++)
        r = upload(m, bucket, m->copied.items[i], NULL, true, err);
    for (size_t i = 0; i < json_array_size(m->artifacts) && r == 0; i++) {
        const json_t *a = json_array_get(m->artifacts, i);
        const char *kept = json_str_at(a, "reproducible_path", NULL);
        r = upload(m, bucket, kept ? kept : json_str_at(a, "channel_path", ""),
            json_str_at(a, "content_type", NULL), kept != NULL, err);
    }
    return r;
}

static void print_end(const struct making *m)
{
    bool uploaded = on(m, "aws_template_upload");
    printf("Everything for AWS is in %s.\n", m->folder);
    if (!uploaded)
        printf("Upload that folder, as it is, to %s\n", m->url);
    puts(uploaded ? "CloudFormation templates are at:" : "CloudFormation templates will be at:");
    for (size_t i = 0; i < json_array_size(m->artifacts); i++) {
        const char *name = json_str_at(json_array_get(m->artifacts, i), "channel_path", "");
        if (strstr(name, "-zen-"))
            printf("  %s/%s\n", m->url, name);
    }
    if (config_drew_password(m->in, m->g))
        printf("The first login is %s with the password in %s/superuser.password.\n",
            config_value(m->g, "superuser_username", "bootstrapuser"), m->in->genconf);
}

static int run(struct making *m, struct error *err)
{
    struct storage *bucket = NULL;
    int r = check(m, err);
    if (r == 0 && !*value(m, "superuser_password_hash") &&
        !*value(m, "superuser_service_account_uid")) {
        r = config_draw_password(m->in, err);
        gen_free(TAKE_PTR(m->g));
        if (r == 0)
            r = config_use(m->in, first_look, m, err);
    }
    if (r != 0)
        return r;
    r = find_region(m, err);
    if (r < 0)
        return r;
    find_place(m);
    if (on(m, "aws_template_upload")) {
        r = open_bucket(m, &bucket, err);
        if (r == 0)
            r = check_bucket(m, bucket, err);
    }
    if (r == 0)
        r = make_local(m, err);
    if (r == 0 && bucket)
        r = upload_all(m, bucket, err);
    if (bucket)
        storage_free(bucket);
    if (r == 0)
        print_end(m);
    return r;
}

int cloudformation_make(const struct installer *in, struct error *err)
{
    struct making m = {.in = in};
    int r = run(&m, err);
    gen_free(m.g);
    buf_done(&m.own);
    free(m.id);
    free(m.folder);
    free(m.base);
    free(m.url);
    free(m.path);
    free(m.region);
    json_decref(m.artifacts);
    strings_done(&m.copied);
    return r;
}
