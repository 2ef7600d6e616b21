#include <errno.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "gen/config.h"
#include "installer/web.h"

/* config.yaml, the SSH key and ip-detect, read and changed by the browser. */

enum { SMALL_FILE_MAX = 1024 * 1024 };

static const char default_config[] = "cluster_name: DC/OS\n"
                                     "master_discovery: static\n"
                                     "exhibitor_storage_backend: static\n"
                                     "resolvers:\n"
                                     "- 8.8.8.8\n"
                                     "- 8.8.4.4\n"
                                     "ssh_port: 22\n"
                                     "process_timeout: 10000\n"
                                     "bootstrap_url: file://" INSTALL_TMP "\n";

static const struct {
    const char *name, *file;
    mode_t mode;
} files[] = {{"ssh_key", "ssh_key", 0600}, {"ip_detect_script", "ip-detect", 0644}};

int web_config_default(const struct installer *in, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, "config.yaml");
    if (path_exists(path))
        return 0;
    int r = mkdir_all(in->genconf, 0755, err);
    return r < 0 ? r : file_write_atomic(path, default_config, strlen(default_config), 0644, err);
}

static int read_mapping(const struct installer *in, json_t **ret, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, "config.yaml");
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct config config = {0};
    int r = file_read(path, CONFIG_MAX, &text, err);
    if (r == 0)
        r = config_read(buf_cstr(&text), text.n, &config, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    *ret = json_deep_copy(config.json);
    config_done(&config);
    return 0;
}

/* With what the files hold, or null. */
static int read_with_files(const struct installer *in, json_t **ret, struct error *err)
{
    json_t *config = NULL;
    int r = read_mapping(in, &config, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *path = installer_path(in, files[i].file);
        _cleanup_buf_ struct buf text = BUF_INIT;
        json_t *value = NULL;
        if (file_read(path, SMALL_FILE_MAX, &text, NULL) == 0)
            value = json_stringn(buf_cstr(&text), text.n);
        json_object_set_new(config, files[i].name, value ? value : json_null());
    }
    *ret = config;
    return 0;
}

/* A key that was given is used, not told. */
int web_config_read(const struct installer *in, json_t **ret, struct error *err)
{
    int r = read_with_files(in, ret, err);
    if (r == 0)
        json_object_set_new(*ret, "ssh_key", json_null());
    return r;
}

/* JSON is YAML: one line for each name. */
static void write_mapping(const json_t *config, struct buf *out)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config, name, value)
    {
        buf_printf(out, "%s: ", name);
        json_dump(value, out);
        buf_putc(out, '\n');
    }
}

static void add_error(json_t *errors, const char *name, const char *message)
{
    if (!json_object_get(errors, name))
        json_object_set_new(errors, name, json_string(message));
}

/* A browser knows the list, not the count that is made of it. */
static const char *shown_name(const char *name)
{
    return streq(name, "num_masters") ? "master_list" : name;
}

static void check_gen(const struct gen *g, json_t *errors)
{
    size_t n;
    const struct gen_problem *problems = gen_errors(g, &n);
    for (size_t i = 0; i < n; i++)
        add_error(errors, shown_name(problems[i].name), problems[i].message);
}

static void check_key(const char *text, json_t *errors)
{
    if (!text || !strstr(text, "PRIVATE KEY-----"))
        add_error(errors, "ssh_key",
            text ? "This is no private key in PEM or OpenSSH format." : "Must set ssh_key.");
}

static void check_ssh(const json_t *config, json_t *errors)
{
    static const char *const lists[] = {"agent_list", "public_agent_list", "master_list"};
    size_t hosts = 0;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        hosts += json_array_size(json_at(config, lists[i]));
    if (hosts == 0)
        add_error(errors, "master_list", "Must name at least one host.");
    check_key(json_str_at(config, "ssh_key", NULL), errors);
}

/* Errors of the mapping as it would be. */
static int check_mapping(
    const struct installer *in, const json_t *config, json_t **ret_errors, struct error *err)
{
    _cleanup_(gen_freep)
    struct gen *g = NULL;
    _cleanup_json_ json_t *errors = json_object(), *plain = json_copy((json_t *)(uintptr_t)config);
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error problem = ERROR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        json_object_del(plain, files[i].name);
    write_mapping(plain, &text);
    int r = config_load_text(in, buf_cstr(&text), text.n, &g, &problem);
    if (r < 0 && r != -EBADMSG)
        return error_set(err, r, "%s", problem.msg);
    if (r < 0)
        add_error(errors, "config", problem.msg);
    else
        check_gen(g, errors);
    check_ssh(config, errors);
    *ret_errors = TAKE_PTR(errors);
    return 0;
}

int web_config_check(const struct installer *in, json_t **ret_errors, struct error *err)
{
    _cleanup_json_ json_t *config = NULL;
    int r = read_with_files(in, &config, err);
    return r < 0 ? r : check_mapping(in, config, ret_errors, err);
}

/* Only what was posted is the browser's business: it asks page by page. */
static json_t *only_posted(const json_t *errors, const json_t *posted)
{
    json_t *out = json_object(), *message;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)errors, name, message)
    {
        bool ip_detect = has_prefix(name, "ip_detect") && json_at(posted, "ip_detect_script");
        if (json_at(posted, name) && !ip_detect)
            json_object_set(out, name, message);
    }
    return out;
}

static int write_files(const struct installer *in, const json_t *posted, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++) {
        const char *text = json_str_at(posted, files[i].name, NULL);
        _cleanup_free_ char *path = installer_path(in, files[i].file);
        if (text)
            r = file_write_atomic(path, text, strlen(text), files[i].mode, err);
    }
    return r;
}

/* Who may read it stays as it is: it may have a password's hash. */
static int write_config(const struct installer *in, const struct buf *text, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, "config.yaml");
    struct stat st;
    mode_t mode = stat(path, &st) == 0 ? st.st_mode & 0777 : 0644;
    return file_write_atomic(path, text->p, text->n, mode, err);
}

static bool is_file(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (streq(files[i].name, name))
            return true;
    }
    return false;
}

/* Names become keys of YAML as they are. */
static bool name_is_plain(const char *name)
{
    return name[0] && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")];
}

int web_config_change(
    const struct installer *in, const json_t *posted, json_t **ret_errors, struct error *err)
{
    _cleanup_json_ json_t *config = NULL, *all = NULL, *errors = NULL;
    const char *name;
    json_t *value;
    int r = read_with_files(in, &config, err);
    if (r < 0)
        return r;
    errors = json_object();
    json_object_foreach((json_t *)(uintptr_t)posted, name, value)
    {
        if (!name_is_plain(name))
            add_error(errors, name, "This is no name of a parameter.");
        else if (json_is_null(value) && !is_file(name)) /* files stay: what was read is sent back */
            json_object_del(config, name);
        else if (json_is_null(value))
            continue;
        else
            json_object_set(config, name, value);
    }
    if (json_object_size(errors) == 0) {
        r = check_mapping(in, config, &all, err);
        if (r < 0)
            return r;
        json_decref(errors);
        errors = only_posted(all, posted);
    }
    if (json_object_size(errors) == 0) {
        _cleanup_buf_ struct buf text = BUF_INIT;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
            json_object_del(config, files[i].name);
        write_mapping(config, &text);
        r = write_files(in, posted, err);
        if (r == 0)
            r = write_config(in, &text, err);
        if (r < 0)
            return r;
    }
    *ret_errors = TAKE_PTR(errors);
    return 0;
}

const char *web_config_type(const json_t *config)
{
    static const char *const advanced[] = {"docker_remove_delay", "gc_delay", "roles", "weights"};
    static const struct {
        const char *name, *simple;
    } simple[] = {{"bootstrap_url", "file://" INSTALL_TMP}, {"exhibitor_storage_backend", "static"},
        {"master_discovery", "static"}};
    for (size_t i = 0; i < ARRAY_SIZE(advanced); i++) {
        if (json_at(config, advanced[i]))
            return "advanced";
    }
    for (size_t i = 0; i < ARRAY_SIZE(simple); i++) {
        if (!streq(json_str_at(config, simple[i].name, simple[i].simple), simple[i].simple))
            return "advanced";
    }
    return "minimal";
}
