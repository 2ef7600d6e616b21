/* dcos security org users|groups|service-accounts|permissions: the commands of the Enterprise CLI
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/rsa.h"
#include "base/file.h"
#include "cli/iam.h"
#include "console/print.h"
#include "console/prompt.h"

enum { KEY_FILE_MAX = 64 * 1024 };

/* ---- what accounts and groups have in common ---- */

static int put_one(
    struct cli *c, const char *collection, const char *id, json_t *body, struct error *err)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    iam_path(&path, collection, id);
    int r = iam_call(c, "PUT", buf_cstr(&path), body, NULL, err);
    json_decref(body);
    return r;
}

static int delete_one(struct cli *c, const char *collection, const char *id, struct error *err)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    iam_path(&path, collection, id);
    return iam_call(c, "DELETE", buf_cstr(&path), NULL, NULL, err);
}

static int run_delete_user(const struct invocation *inv, struct error *err)
{
    return delete_one(cli_of(inv), "users", inv->args[0], err);
}

static int run_delete_group(const struct invocation *inv, struct error *err)
{
    return delete_one(cli_of(inv), "groups", inv->args[0], err);
}

static int grant(const struct invocation *inv, const char *who, struct error *err)
{
    return iam_grant(cli_of(inv), who, inv->args[0], inv->args[1], inv->args[2],
        option_text(inv, "description") ?: "Created with the security CLI", err);
}

static int run_grant_user(const struct invocation *inv, struct error *err)
{
    return grant(inv, "users", err);
}

static int run_grant_group(const struct invocation *inv, struct error *err)
{
    return grant(inv, "groups", err);
}

static int run_revoke_user(const struct invocation *inv, struct error *err)
{
    return iam_revoke(cli_of(inv), "users", inv->args[0], inv->args[1], inv->args[2], err);
}

static int run_revoke_group(const struct invocation *inv, struct error *err)
{
    return iam_revoke(cli_of(inv), "groups", inv->args[0], inv->args[1], inv->args[2], err);
}

static void put_action_names(struct buf *out, const json_t *actions)
{
    for (size_t i = 0; i < json_array_size(actions); i++)
        buf_printf(
            out, "%s%s", out->n ? " " : "", json_str_at(json_array_get(actions, i), "name", "?"));
}

/* [{rid, description, actions}]; those of groups name the group. */
static void put_permissions(struct table *t, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        _cleanup_buf_ struct buf actions = BUF_INIT;
        put_action_names(&actions, json_at(p, "actions"));
        table_cell(t, json_str_at(p, "rid", ""));
        table_cell(t, buf_cstr(&actions));
        table_cell(t, json_str_at(p, "gid", ""));
    }
}

static int show_permissions(const struct invocation *inv, const char *collection, struct error *err)
{
    static const char *const headers[] = {"RID", "ACTIONS", "GROUP"};
    _cleanup_json_ json_t *json = NULL;
    if (inv->n_args != 1)
        return error_set(err, -EINVAL, "--permissions needs one id");
    _cleanup_buf_ struct buf path = BUF_INIT;
    iam_path(&path, collection, inv->args[0]);
    buf_puts(&path, "/permissions");
    int r = iam_call(cli_of(inv), "GET", buf_cstr(&path), NULL, &json, err);
    if (r < 0)
        return r;
    if (option_bool(inv, "json")) {
        json_print(json, 4, 0, stdout);
        return 0;
    }
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    put_permissions(&t, json_at(json, "direct"));
    put_permissions(&t, json_at(json, "groups"));
    put_permissions(&t, json_at(json, "array"));
    print_table(&t);
    return 0;
}

/* The objects that the arguments name, or all of `list`, as an array. */
static int fetch(const struct invocation *inv, const char *collection, const char *list,
    json_t **ret, struct error *err)
{
    struct cli *c = cli_of(inv);
    _cleanup_json_ json_t *out = json_array();
    if (inv->n_args == 0) {
        _cleanup_json_ json_t *all = NULL;
        int r = iam_call(c, "GET", list, NULL, &all, err);
        if (r < 0)
            return r;
        const json_t *array = json_at(all, "array");
        *ret = json_is_array(array) ? json_deep_copy(array) : json_array();
        return 0;
    }
    for (size_t i = 0; i < inv->n_args; i++) {
        _cleanup_buf_ struct buf path = BUF_INIT;
        json_t *one = NULL;
        iam_path(&path, collection, inv->args[i]);
        int r = iam_call(c, "GET", buf_cstr(&path), NULL, &one, err);
        if (r < 0)
            return r;
        json_array_append_new(out, one ?: json_object());
    }
    *ret = TAKE_PTR(out);
    return 0;
}

static void print_users(const json_t *users)
{
    static const char *const headers[] = {"UID", "DESCRIPTION", "TYPE", "PROVIDER"};
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(users); i++) {
        const json_t *u = json_array_get(users, i);
        table_cell(&t, json_str_at(u, "uid", ""));
        table_cell(&t, json_str_at(u, "description", ""));
        table_cell(&t, json_bool_at(u, "is_service", false)  ? "service"
                       : json_bool_at(u, "is_remote", false) ? "remote"
                                                             : "local");
        table_cell(&t, json_str_at(u, "provider_id", NULL) ?: "");
    }
    print_table(&t);
}

static void print_groups(const json_t *groups)
{
    static const char *const headers[] = {"GID", "DESCRIPTION"};
    struct table t;
    table_init(&t, headers, ARRAY_SIZE(headers));
    for (size_t i = 0; i < json_array_size(groups); i++) {
        table_cell(&t, json_str_at(json_array_get(groups, i), "gid", ""));
        table_cell(&t, json_str_at(json_array_get(groups, i), "description", ""));
    }
    print_table(&t);
}

static int show(
    const struct invocation *inv, const char *collection, const char *list, struct error *err)
{
    _cleanup_json_ json_t *found = NULL;
    if (option_bool(inv, "permissions"))
        return show_permissions(inv, collection, err);
    int r = fetch(inv, collection, list, &found, err);
    if (r < 0)
        return r;
    if (option_bool(inv, "json"))
        json_print(inv->n_args == 1 ? json_array_get(found, 0) : found, 4, 0, stdout);
    else if (streq(collection, "groups"))
        print_groups(found);
    else
        print_users(found);
    return 0;
}

static int run_show_users(const struct invocation *inv, struct error *err)
{
    return show(inv, "users", "/users", err);
}

static int run_show_services(const struct invocation *inv, struct error *err)
{
    return show(inv, "users", "/users?type=service", err);
}

static int run_show_groups(const struct invocation *inv, struct error *err)
{
    return show(inv, "groups", "/groups", err);
}

/* ---- users ---- */

static int run_create_user(const struct invocation *inv, struct error *err)
{
    const char *password = option_text(inv, "password"), *text = option_text(inv, "description");
    char *asked = NULL;
    /* A remote user has none: an empty answer leaves that to the service. */
    if (!password) {
        int r = prompt_line("Password: ", true, &asked, err);
        if (r < 0)
            return r;
        password = asked;
    }
    json_t *body = json_object();
    if (text)
        json_object_set_new(body, "description", json_string(text));
    if (*password)
        json_object_set_new(body, "password", json_string(password));
    int r = put_one(cli_of(inv), "users", inv->args[0], body, err);
    rsa_wipe(asked);
    return r;
}

/* ---- groups ---- */

static int run_create_group(const struct invocation *inv, struct error *err)
{
    json_t *body = json_object();
    json_object_set_new(
        body, "description", json_string(option_text(inv, "description") ?: inv->args[0]));
    return put_one(cli_of(inv), "groups", inv->args[0], body, err);
}

static int member(const struct invocation *inv, const char *method, struct error *err)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    iam_path(&path, "groups", inv->args[0]);
    iam_path(&path, "users", inv->args[1]);
    return iam_call(cli_of(inv), method, buf_cstr(&path), NULL, NULL, err);
}

static int run_add_user(const struct invocation *inv, struct error *err)
{
    return member(inv, "PUT", err);
}

static int run_del_user(const struct invocation *inv, struct error *err)
{
    return member(inv, "DELETE", err);
}

static int run_members(const struct invocation *inv, struct error *err)
{
    _cleanup_json_ json_t *json = NULL, *users = json_array();
    _cleanup_buf_ struct buf path = BUF_INIT;
    iam_path(&path, "groups", inv->args[0]);
    buf_puts(&path, "/users");
    int r = iam_call(cli_of(inv), "GET", buf_cstr(&path), NULL, &json, err);
    if (r < 0)
        return r;
    const json_t *list = json_at(json, "array");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *user = json_object_get(json_array_get(list, i), "user");
        if (user)
            json_array_append(users, user);
    }
    if (option_bool(inv, "json"))
        json_print(users, 4, 0, stdout);
    else
        print_users(users);
    return 0;
}

/* ---- service accounts ---- */

static int read_key(const char *path, struct buf *out, struct error *err)
{
    return file_read(streq(path, "-") ? "/dev/stdin" : path, KEY_FILE_MAX, out, err);
}

static int run_create_service(const struct invocation *inv, struct error *err)
{
    const char *file = option_text(inv, "public-key");
    _cleanup_buf_ struct buf pem = BUF_INIT;
    if (!file)
        return error_set(err, -EINVAL,
            "--public-key=FILE is needed; 'dcos security org service-accounts keypair' makes one");
    int r = read_key(file, &pem, err);
    if (r < 0)
        return r;
    r = rsa_check_public(buf_cstr(&pem), err);
    if (r < 0)
        return error_prefix(err, r, "%s", file);
    json_t *body = json_object();
    json_object_set_new(
        body, "description", json_string(option_text(inv, "description") ?: inv->args[0]));
    json_object_set_new(body, "public_key", json_string(buf_cstr(&pem)));
    return put_one(cli_of(inv), "users", inv->args[0], body, err);
}

static int run_keypair(const struct invocation *inv, struct error *err)
{
    const char *private_path = inv->args[0], *public_path = inv->args[1];
    char *public_pem = NULL, *private_pem = NULL, kid[RSA_KID_SIZE];
    int64_t bits = option_i64(inv, "key-length", RSA_BITS);
    if (bits != 2048 && bits != 4096)
        return error_set(err, -EINVAL, "--key-length is 2048 or 4096");
    /* An old key may be the only one that opens something. */
    if (path_exists(private_path))
        return error_set(err, -EEXIST, "'%s' exists already; choose another name", private_path);
    int r = rsa_generate_bits((unsigned)bits, &public_pem, &private_pem, kid, err);
    if (r == 0)
        r = file_write_atomic(private_path, private_pem, strlen(private_pem), 0600, err);
    if (r == 0)
        r = file_write_atomic(public_path, public_pem, strlen(public_pem), 0644, err);
    rsa_wipe(private_pem);
    free(public_pem);
    return r;
}

/* ---- permissions: resources, and who may do what with them ---- */

static void put_entries(
    struct table *t, const char *rid, const json_t *list, const char *key, const char *kind)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i);
        _cleanup_buf_ struct buf actions = BUF_INIT;
        put_action_names(&actions, json_at(e, "actions"));
        table_cell(t, rid);
        table_cell(t, kind);
        table_cell(t, json_str_at(e, key, ""));
        table_cell(t, buf_cstr(&actions));
    }
}

static int run_show_permissions(const struct invocation *inv, struct error *err)
{
    static const char *const headers[] = {"RID", "TYPE", "ID", "ACTIONS"};
    static const char *const list_headers[] = {"RID", "DESCRIPTION"};
    _cleanup_json_ json_t *acls = NULL;
    struct table t;
    if (inv->n_args) {
        _cleanup_buf_ struct buf path = BUF_INIT;
        iam_path(&path, "acls", inv->args[0]);
        buf_puts(&path, "/permissions");
        int r = iam_call(cli_of(inv), "GET", buf_cstr(&path), NULL, &acls, err);
        if (r < 0)
            return r;
    } else {
        int r = iam_call(cli_of(inv), "GET", "/acls", NULL, &acls, err);
        if (r < 0)
            return r;
    }
    if (option_bool(inv, "json")) {
        json_print(inv->n_args ? acls : json_at(acls, "array"), 4, 0, stdout);
        return 0;
    }
    if (inv->n_args) {
        table_init(&t, headers, ARRAY_SIZE(headers));
        put_entries(&t, inv->args[0], json_at(acls, "users"), "uid", "user");
        put_entries(&t, inv->args[0], json_at(acls, "groups"), "gid", "group");
    } else {
        const json_t *list = json_at(acls, "array");
        table_init(&t, list_headers, ARRAY_SIZE(list_headers));
        for (size_t i = 0; i < json_array_size(list); i++) {
            table_cell(&t, json_str_at(json_array_get(list, i), "rid", ""));
            table_cell(&t, json_str_at(json_array_get(list, i), "description", ""));
        }
    }
    print_table(&t);
    return 0;
}

static int run_delete_permission(const struct invocation *inv, struct error *err)
{
    return delete_one(cli_of(inv), "acls", inv->args[0], err);
}

/* ---- the tree ---- */

static const struct option_spec user_options[] = {
    {"description", 'd', OPTION_STRING, "Description"},
    {"password", 'p', OPTION_STRING, "Password (asked for when it is not given)"}};
static const struct option_spec group_options[] = {
    {"description", 'd', OPTION_STRING, "Description of the group"}};
static const struct option_spec service_options[] = {
    {"description", 'd', OPTION_STRING, "Description; the id of the account by default"},
    {"public-key", 'p', OPTION_STRING, "Path to the public key, '-' reads from stdin"}};
static const struct option_spec keypair_options[] = {
    {"key-length", 'l', OPTION_I64, "Length of the RSA key: 2048 or 4096"}};
static const struct option_spec grant_options[] = {
    {"description", 0, OPTION_STRING, "Description of the resource, where it is not known yet"}};
static const struct option_spec json_options[] = {
    {"json", 'j', OPTION_BOOL, "Print in JSON format"}};
static const struct option_spec show_options[] = {
    {"json", 'j', OPTION_BOOL, "Print in JSON format"},
    {"permissions", 0, OPTION_BOOL, "Show what the one named may do"}};

#define MANY .max_args = 64
#define EXACTLY(n) .min_args = (n), .max_args = (n)

static const struct command *const users[] = {
    COMMAND(.name = "create", .arguments = "<uid>", .summary = "Create a user",
        OPTIONS(user_options), EXACTLY(1), .run = run_create_user),
    COMMAND(.name = "delete", .arguments = "<uid>", .summary = "Delete a user", EXACTLY(1),
        .run = run_delete_user),
    COMMAND(.name = "grant", .arguments = "<uid> <rid> <action>",
        .summary = "Allow a user an action on a resource", OPTIONS(grant_options), EXACTLY(3),
        .run = run_grant_user),
    COMMAND(.name = "revoke", .arguments = "<uid> <rid> <action>",
        .summary = "Take a permission from a user", EXACTLY(3), .run = run_revoke_user),
    COMMAND(.name = "show", .arguments = "[<uid>...]", .summary = "Show users",
        OPTIONS(show_options), MANY, .run = run_show_users),
};
static const struct command *const groups[] = {
    COMMAND(.name = "add_user", .arguments = "<gid> <uid>", .summary = "Add a user to a group",
        EXACTLY(2), .run = run_add_user),
    COMMAND(.name = "create", .arguments = "<gid>", .summary = "Create a group",
        OPTIONS(group_options), EXACTLY(1), .run = run_create_group),
    COMMAND(.name = "del_user", .arguments = "<gid> <uid>", .summary = "Take a user out of a group",
        EXACTLY(2), .run = run_del_user),
    COMMAND(.name = "delete", .arguments = "<gid>", .summary = "Delete a group", EXACTLY(1),
        .run = run_delete_group),
    COMMAND(.name = "grant", .arguments = "<gid> <rid> <action>",
        .summary = "Allow a group an action on a resource", OPTIONS(grant_options), EXACTLY(3),
        .run = run_grant_group),
    COMMAND(.name = "members", .arguments = "<gid>", .summary = "List the members of a group",
        OPTIONS(json_options), EXACTLY(1), .run = run_members),
    COMMAND(.name = "revoke", .arguments = "<gid> <rid> <action>",
        .summary = "Take a permission from a group", EXACTLY(3), .run = run_revoke_group),
    COMMAND(.name = "show", .arguments = "[<gid>...]", .summary = "Show groups",
        OPTIONS(show_options), MANY, .run = run_show_groups),
};
static const struct command *const services[] = {
    COMMAND(.name = "create", .arguments = "<sid>", .summary = "Create a service account",
        OPTIONS(service_options), EXACTLY(1), .run = run_create_service),
    COMMAND(.name = "delete", .arguments = "<sid>", .summary = "Delete a service account",
        EXACTLY(1), .run = run_delete_user),
    COMMAND(.name = "grant", .arguments = "<sid> <rid> <action>",
        .summary = "Allow a service account an action on a resource", OPTIONS(grant_options),
        EXACTLY(3), .run = run_grant_user),
    COMMAND(.name = "keypair", .arguments = "<private-key> <public-key>",
        .summary = "Make a key pair for a service account", OPTIONS(keypair_options), EXACTLY(2),
        .run = run_keypair),
    COMMAND(.name = "revoke", .arguments = "<sid> <rid> <action>",
        .summary = "Take a permission from a service account", EXACTLY(3), .run = run_revoke_user),
    COMMAND(.name = "show", .arguments = "[<sid>...]", .summary = "Show service accounts",
        OPTIONS(show_options), MANY, .run = run_show_services),
};
static const struct command *const permissions[] = {
    COMMAND(.name = "delete", .arguments = "<rid>",
        .summary = "Delete a resource, with all permissions on it", EXACTLY(1),
        .run = run_delete_permission),
    COMMAND(.name = "show", .arguments = "[<rid>]",
        .summary = "Show all resources, or who may do what with one", OPTIONS(json_options),
        .max_args = 1, .run = run_show_permissions),
};
static const struct command *const org[] = {
    COMMAND(.name = "groups", .summary = "Manage groups and their members", CHILDREN(groups)),
    COMMAND(.name = "permissions", .summary = "Look at permissions by resource",
        CHILDREN(permissions)),
    COMMAND(.name = "service-accounts", .summary = "Manage service accounts", CHILDREN(services)),
    COMMAND(.name = "users", .summary = "Manage users", CHILDREN(users)),
};
static const struct command *const children[] = {
    COMMAND(.name = "org", .summary = "Manage users, groups, service accounts and permissions",
        CHILDREN(org)),
};
const struct command command_security = {
    .name = "security", .summary = "Manage who may do what", CHILDREN(children)};
