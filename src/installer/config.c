#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/rng.h"
#include "installer/installer.h"
#include "pkgpanda/hash.h"

/* From genconf/config.yaml to arguments. */

enum { COMPLETE_MAX = 1024 * 1024 };

#define PASSWORD_FILE "superuser.password"
#define HASH_FILE "superuser.hash"

char *installer_path(const struct installer *in, const char *name)
{
    return path_join(in->genconf, name);
}

/* Packages of the installer, as JSON text: cache/complete's list without the bootstrap's id. */
static int read_package_ids(const struct installer *in, struct buf *out, struct error *err)
{
    _cleanup_free_ char *name = xasprintf(
        "complete/%s%scomplete.latest.json", in->variant, in->variant[0] ? "." : "");
    _cleanup_free_ char *path = path_join(in->artifacts, name);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *complete = NULL;
    int r = file_read(path, COMPLETE_MAX, &text, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, &complete, err);
    if (r == 0 && !json_is_array(json_at(complete, "packages")))
        r = error_set(err, -EBADMSG, "it has no packages");
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    json_write_line(json_at(complete, "packages"), out);
    return 0;
}

/* ---- the first superuser's password ---- */

enum { SECRET_MAX = 1024, PASSWORD_BYTES = 18 /* 24 letters, no padding */ };

static int read_secret(
    const struct installer *in, const char *name, struct buf *out, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, name);
    int r = file_read(path, SECRET_MAX, out, err);
    while (r == 0 && out->n > 0 && out->p[out->n - 1] == '\n')
        out->p[--out->n] = '\0';
    if (r == 0 && out->n == 0)
        return error_set(err, -EBADMSG, "%s is empty: remove it to get a new one", path);
    return r;
}

static int write_secret(
    const struct installer *in, const char *name, const char *text, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, name);
    _cleanup_free_ char *line = xasprintf("%s\n", text);
    return file_write_atomic(path, line, strlen(line), 0600, err);
}

static bool has_secret(const struct installer *in, const char *name)
{
    _cleanup_free_ char *path = installer_path(in, name);
    return path_exists(path);
}

/* Once for a folder: the hash tells configurations apart, and has a salt. */
int config_draw_password(const struct installer *in, struct error *err)
{
    _cleanup_buf_ struct buf password = BUF_INIT;
    _cleanup_free_ char *hash = NULL;
    int r = 0;
    if (has_secret(in, HASH_FILE))
        return 0;
    if (has_secret(in, PASSWORD_FILE)) { /* cut off before the hash was written */
        r = read_secret(in, PASSWORD_FILE, &password, err);
    } else {
        uint8_t bytes[PASSWORD_BYTES];
        random_bytes(bytes, sizeof(bytes));
        base64_encode(&password, bytes, sizeof(bytes));
        for (size_t i = 0; i < password.n; i++) /* nothing that shells or addresses read */
            password.p[i] = password.p[i] == '+' ? '-' : password.p[i] == '/' ? '_' : password.p[i];
        explicit_bzero(bytes, sizeof(bytes));
        r = write_secret(in, PASSWORD_FILE, buf_cstr(&password), err);
    }
    if (r == 0)
        r = password_hash(buf_cstr(&password), &hash, err);
    return r < 0 ? r : write_secret(in, HASH_FILE, hash, err);
}

bool config_drew_password(const struct installer *in, const struct gen *g)
{
    _cleanup_buf_ struct buf hash = BUF_INIT;
    return has_secret(in, PASSWORD_FILE) && has_secret(in, HASH_FILE) &&
           read_secret(in, HASH_FILE, &hash, NULL) == 0 &&
           streq(buf_cstr(&hash), config_value(g, "superuser_password_hash", ""));
}

/* ---- arguments ---- */

static int use_text(const struct installer *in, const char *text, size_t n, config_use_fn *use,
    void *userdata, struct error *err)
{
    _cleanup_buf_ struct buf packages = BUF_INIT, hash = BUF_INIT;
    int r = read_package_ids(in, &packages, err);
    if (r == 0 && has_secret(in, HASH_FILE))
        r = read_secret(in, HASH_FILE, &hash, err);
    if (r < 0)
        return r;
    /* Names in config.yaml begin beside the folder: genconf/ip-detect. */
    _cleanup_free_ char *genconf = realpath(in->genconf, NULL);
    if (!genconf)
        return error_errno(err, -errno, "%s", in->genconf);
    *strrchr(genconf, '/') = '\0';
    const struct gen_setting settings[] = {
        {"provider", "onprem", true}, {"bootstrap_id", in->bootstrap_id, true},
        {"bootstrap_variant", in->variant, true}, {"package_ids", buf_cstr(&packages), true},
        {"dcos_image_commit", in->commit, true},
        {"dcos_version", in->version ? in->version : DCOS_VERSION, true},
        {"superuser_password_hash", buf_cstr(&hash)}, /* unless config.yaml has one */
    };
    /* The extension of who made this installer; else one beside the folder. */
    _cleanup_free_ char *extension = path_join(in->artifacts, "installer/gen_extra");
    _cleanup_free_ char *extra = realpath(extension, NULL);
    const struct gen_input input = {.config = text,
        .config_n = n,
        .folder = genconf[0] ? genconf : "/",
        .settings = settings,
        .n_settings = ARRAY_SIZE(settings) - (hash.n == 0),
        .extra = extra};
    return use(&input, userdata, err);
}

static int make_gen(const struct gen_input *input, void *ret, struct error *err)
{
    return gen_new(input, ret, err);
}

int config_load_text(
    const struct installer *in, const char *text, size_t n, struct gen **ret, struct error *err)
{
    return use_text(in, text, n, make_gen, ret, err);
}

int config_use(const struct installer *in, config_use_fn *use, void *userdata, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, "config.yaml");
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (!path_exists(path))
        return error_set(err, -ENOENT,
            "Specified config file '%s' does not exist. Please create a configuration file there, "
            "see the documentation of config.yaml",
            path);
    int r = file_read(path, CONFIG_MAX, &text, err);
    if (r < 0)
        return error_prefix(err, r, "Failed to open config file");
    r = use_text(in, buf_cstr(&text), text.n, use, userdata, err);
    return r == -EBADMSG ? error_prefix(err, r, "%s", path) : r;
}

int config_load(const struct installer *in, struct gen **ret, struct error *err)
{
    return config_use(in, make_gen, ret, err);
}

int config_load_whole(const struct installer *in, struct gen **ret, struct error *err)
{
    struct gen *g = NULL;
    int r = config_load(in, &g, err);
    if (r < 0)
        return r;
    if (gen_ok(g) && !config_value(g, "superuser_password_hash", "")[0] &&
        !config_value(g, "superuser_service_account_uid", "")[0]) {
        gen_free(g);
        r = config_draw_password(in, err);
        return r < 0 ? r : config_load(in, ret, err);
    }
    *ret = g;
    return 0;
}

static void put_problems(const struct gen_problem *problems, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        const struct gen_problem *p = &problems[i];
        buf_printf(out, "%s%s%s", p->name, p->name[0] ? ": " : "", p->message);
        if (p->line > 0)
            buf_printf(out, " (line %u)", p->line);
        buf_putc(out, '\n');
    }
}

void config_problems(const struct gen *g, struct buf *out)
{
    size_t n;
    const struct gen_problem *problems = gen_errors(g, &n);
    put_problems(problems, n, out);
}

void config_warnings(const struct gen *g, struct buf *out)
{
    size_t n;
    const struct gen_problem *problems = gen_warnings(g, &n);
    put_problems(problems, n, out);
}

const char *config_value(const struct gen *g, const char *name, const char *fallback)
{
    const char *value = gen_value(g, name);
    return value ? value : fallback;
}
