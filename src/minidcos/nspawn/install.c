/* The real way: genconf, then the installer's actions through SSH. */

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/ca.h"
#include "auth/credentials.h"
#include "auth/rsa.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "json/writer.h"
#include "minidcos/nspawn/nspawn.h"
#include "json/yaml_read.h"

enum {
    CONFIG_MAX = 4 * 1024 * 1024,
    SECRET_MAX = 4096,
    MESSAGE_LINES = 12,
    LOG_MAX = 64 * 1024 * 1024,
    SALT_RANDOM = 16, /* bytes */
};

static const char TARGET[] = "/opt/dcos_install_tmp"; /* the installer's folder on nodes */

static const char IP_DETECT[] =
    "#!/bin/sh\n"
    "set -e\n"
    "ip -4 -o address show dev host0 | sed -n 's/.* inet \\([0-9.]*\\).*/\\1/p' | head -n 1\n";

/* ---- config.yaml ---- */

static void put_list(
    struct buf *out, const struct machines *m, enum node_role role, const char *key)
{
    buf_printf(out, "%s: [", key);
    bool first = true;
    VEC_FOREACH (node, &m->nodes) {
        if (node->role != role)
            continue;
        buf_printf(out, "%s%s", first ? "" : ", ", node->ip);
        first = false;
    }
    buf_puts(out, "]\n");
}

static int password_hash(const struct machines *m, struct buf *out, struct error *err)
{
    static const char DIGITS[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    _cleanup_free_ char *folder = machines_path(m, "secrets");
    _cleanup_free_ char *path = machines_path(m, "secrets/superuser.password");
    _cleanup_secret_ struct buf password = BUF_INIT;
    unsigned char random[SALT_RANDOM];
    char setting[8 + SALT_RANDOM] = "$6$";
    int r = mkdir_all(folder, 0700, err);
    if (r == 0 && !path_exists(path))
        r = secret_create(path, err);
    if (r == 0)
        r = file_read(path, SECRET_MAX, &password, err);
    if (r < 0)
        return r;
    random_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        setting[3 + i] = DIGITS[random[i] & 63];
    _cleanup_free_ char *text = str_dup(str_trim(buf_str(&password)));
    struct crypt_data *data = xnew(struct crypt_data);
    const char *hash = crypt_rn(text, setting, data, (int)sizeof(*data));
    if (hash)
        buf_puts(out, hash);
    else
        r = error_errno(err, -errno, "cannot hash the password of the first user");
    rsa_wipe(text);
    text = NULL;
    free(data);
    return r;
}

/* Each key of a YAML map on a line of its own, its value as JSON, which is YAML too. */
static void put_map(struct buf *out, const json_t *map)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        buf_printf(out, "%s: ", key);
        json_dump(value, out);
        buf_putc(out, '\n');
    }
}

int install_extra(const char *path, json_t **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *map = NULL;
    int r = file_read(path, CONFIG_MAX, &text, err);
    if (r == 0)
        r = yaml_read(buf_cstr(&text), text.n, &map, err);
    if (r == 0 && !json_is_object(map))
        r = error_set(err, -EINVAL, "it is not a map");
    if (r < 0)
        return error_prefix(err, -EINVAL, "--extra-config %s", path);
    *ret = TAKE_PTR(map);
    return 0;
}

int install_config(const struct machines *m, const char *extra, struct buf *out, struct error *err)
{
    _cleanup_buf_ struct buf base = BUF_INIT, hash = BUF_INIT;
    _cleanup_json_ json_t *config = NULL, *more = NULL;
    _cleanup_free_ char *gateway = machines_address(m, 1);
    int r = password_hash(m, &hash, err);
    if (r < 0)
        return r;
    buf_printf(&base, "cluster_name: DCOS\n");
    buf_printf(&base, "bootstrap_url: file://%s\n", TARGET);
    buf_printf(&base, "exhibitor_storage_backend: static\n");
    buf_printf(&base, "master_discovery: static\n");
    put_list(&base, m, NODE_MASTER, "master_list");
    put_list(&base, m, NODE_AGENT, "agent_list");
    put_list(&base, m, NODE_PUBLIC_AGENT, "public_agent_list");
    /* There is none; the host says so at once, which an address outside does not. */
    buf_printf(&base, "resolvers: [%s]\n", gateway);
    /* The clock of a machine is that of the host. */
    buf_printf(&base, "check_time: 'false'\n");
    buf_printf(&base, "process_timeout: 10000\n");
    buf_printf(&base, "ssh_user: root\n");
    buf_printf(&base, "superuser_password_hash: %s\n", buf_cstr(&hash));
    r = yaml_read(base.p, base.n, &config, err);
    if (r == 0 && extra) {
        r = install_extra(extra, &more, err);
        if (r < 0)
            return r;
        json_object_update(config, more);
    }
    if (r == 0)
        put_map(out, config);
    return r;
}

/* ---- genconf ---- */

static int copy_file(const char *from, const char *to, mode_t mode, struct error *err)
{
    _cleanup_secret_ struct buf text = BUF_INIT;
    int r = file_read(from, CONFIG_MAX, &text, err);
    return r < 0 ? r : file_write_atomic(to, text.p ? text.p : "", text.n, mode, err);
}

static int make_genconf(
    const struct machines *m, const struct install_options *o, const char *work, struct error *err)
{
    _cleanup_free_ char *genconf = path_join(work, "genconf");
    _cleanup_free_ char *config = path_join(genconf, "config.yaml");
    _cleanup_free_ char *detect = path_join(genconf, "ip-detect");
    _cleanup_free_ char *key = path_join(genconf, "ssh_key");
    _cleanup_free_ char *state = path_join(genconf, "state");
    _cleanup_free_ char *known = path_join(state, "known_hosts");
    _cleanup_free_ char *own_key = machines_path(m, "ssh/key");
    _cleanup_free_ char *known_hosts = machines_path(m, "ssh/known_hosts");
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = mkdir_all(genconf, 0755, err);
    if (r == 0 && o->genconf_dir) {
        _cleanup_free_ char *all = xasprintf("%s/.", o->genconf_dir);
        const char *const argv[] = {"cp", "-a", "--", all, genconf, NULL};
        r = child_must(argv, err);
    }
    if (r >= 0)
        r = install_config(m, o->extra_config, &text, err);
    if (r >= 0)
        r = file_write_atomic(config, text.p, text.n, 0600, err);
    if (r >= 0 && !path_exists(detect))
        r = file_write_atomic(detect, IP_DETECT, strlen(IP_DETECT), 0755, err);
    if (r >= 0)
        r = copy_file(own_key, key, 0600, err);
    /* We made the hosts' keys: nothing is trusted on first contact. */
    if (r >= 0)
        r = mkdir_all(state, 0755, err);
    if (r >= 0)
        r = copy_file(known_hosts, known, 0644, err);
    if (r >= 0 && o->license) {
        _cleanup_free_ char *license = path_join(genconf, "license.txt");
        r = copy_file(o->license, license, 0644, err);
    }
    return r;
}

/* ---- the installer ---- */

static int call(const struct machines *m, const struct install_options *o, const char *work,
    const char *const *arguments, struct error *err)
{
    enum { ARGS = 16 };
    const char *argv[ARGS] = {"bash", o->installer};
    _cleanup_free_ char *log = machines_path(m, "logs/installer.log");
    int64_t start = clock_monotonic_us();
    size_t n = 2;
    for (size_t i = 0; arguments[i] && n + 1 < ARGS; i++)
        argv[n++] = arguments[i];
    fprintf(stderr, "%s ...", arguments[0]);
    fflush(stderr);
    struct stat st;
    off_t before = stat(log, &st) == 0 ? st.st_size : 0;
    int r = o->verbose ? child_loud(argv, work, err) : child_log(argv, work, log, err);
    fprintf(stderr, " %.1f s\n", (double)(clock_monotonic_us() - start) / 1e6);
    if (r < 0)
        return r;
    _cleanup_buf_ struct buf text = BUF_INIT, said = BUF_INIT;
    if (!o->verbose && file_read(log, LOG_MAX, &text, NULL) == 0 && text.n >= (size_t)before) {
        struct str own = {text.p + before, text.n - (size_t)before};
        last_lines(own, MESSAGE_LINES, &said);
    }
    if (r > 0 && o->exit_code)
        *o->exit_code = r;
    if (r > 0)
        return error_set(err, -EIO, "%s %s ended with exit code %d (%s): %s", o->installer,
            arguments[0], r, log, buf_cstr(&said));
    return 0;
}

static int check_options(struct install_options *o, char **ret_installer, struct error *err)
{
    *ret_installer = realpath(o->installer, NULL);
    if (!*ret_installer)
        return error_errno(err, -errno, "the installer %s", o->installer);
    o->installer = *ret_installer;
    if (o->security_mode && !streq(o->security_mode, "disabled"))
        return error_set(err, -EOPNOTSUPP,
            "--security-mode=%s is of the enterprise variant; here it is 'disabled' or not given",
            o->security_mode);
    return 0;
}

int install_cluster(struct machines *m, const struct install_options *options, struct error *err)
{
    static const char *const steps[] = {"--genconf", "--preflight", "--deploy", "--postflight"};
    struct install_options o = *options;
    _cleanup_free_ char *installer = NULL;
    _cleanup_free_ char *work = machines_path(m, "install");
    int r = check_options(&o, &installer, err);
    if (r == 0)
        r = make_genconf(m, &o, work, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++) {
        const char *const arguments[] = {steps[i], NULL};
        r = call(m, &o, work, arguments, err);
    }
    if (r < 0)
        return r;
    m->installed = true;
    return machines_save(m, err);
}

/* ---- upgrade ---- */

/* What was made becomes what is, at once: the way back needs what the last way forth was made from,
 * and an upgrade that did not begin must not take that away. */
static int take_over(
    const struct machines *m, const char *work, const char *made, struct error *err)
{
    _cleanup_free_ char *old = machines_path(m, "install.old");
    int r = remove_tree(old, err);
    if (r < 0)
        return r;
    if (renameat2(AT_FDCWD, made, AT_FDCWD, work, RENAME_EXCHANGE) == 0)
        return rename(made, old) < 0 ? error_errno(err, -errno, "cannot move %s away", made) : 0;
    if (errno == ENOENT && rename(made, work) == 0)
        return 0;
    return error_errno(err, -errno, "cannot rename %s", made);
}

/* The cluster's secrets are drawn once; masters would not get into ZooKeeper with others. */
static int keep_secrets(const char *work, const char *made, struct error *err)
{
    _cleanup_free_ char *from = path_join(work, "genconf/secrets");
    _cleanup_free_ char *to = path_join(made, "genconf/secrets");
    const char *const argv[] = {"cp", "-a", "--", from, to, NULL};
    return path_exists(from) ? child_must(argv, err) : 0;
}

int upgrade_cluster(struct machines *m, const struct install_options *options, struct error *err)
{
    static const char *const genconf[] = {"--genconf", NULL};
    static const char *const forth[] = {"--upgrade", NULL};
    static const char *const back[] = {"--rollback", NULL};
    struct install_options o = *options;
    _cleanup_free_ char *installer = NULL;
    _cleanup_free_ char *work = machines_path(m, "install");
    _cleanup_free_ char *made = machines_path(m, "install.new");
    int r = check_options(&o, &installer, err);
    if (r == 0 && !o.rollback) {
        r = remove_tree(made, err);
        if (r == 0)
            r = make_genconf(m, &o, made, err);
        if (r >= 0)
            r = keep_secrets(work, made, err);
        if (r >= 0)
            r = call(m, &o, made, genconf, err);
        if (r >= 0)
            r = take_over(m, work, made, err);
    }
    if (r >= 0)
        r = call(m, &o, work, o.rollback ? back : forth, err);
    return MIN(r, 0);
}
