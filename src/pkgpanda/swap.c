#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/internal.h"

/*
 * The swap. Two stages, each of steps that may be done twice:
 *
 *   archive   units stop, their files go, every part in force becomes its .old
 *   move_new  every .new comes into force, unit files take their places
 *
 * install_progress names the stage and is synced, together with all the renames of the stage
 * before, when that begins. Whoever finds the file goes on from there.
 */

enum { PROGRESS_MAX = 4096 };
enum { STAGE_NONE, STAGE_ARCHIVE, STAGE_MOVE_NEW };

void parts_init(struct parts *p, const struct install *in)
{
    static const struct {
        const char *name;
        bool directory;
    } in_root[] = {{"active", true}, {"active.buildinfo.full.json", false}, {"bin", true},
        {"environment", false}, {"environment.export", false}, {"etc", true}, {"include", true},
        {"lib", true}};
    *p = (struct parts){0};
    for (size_t i = 0; i < ARRAY_SIZE(in_root); i++)
        p->items[p->n++] = (struct part){xstrdup(in->root), in_root[i].name, in_root[i].directory};
    if (in->systemd_dir)
        p->items[p->n++] = (struct part){xstrdup(in->systemd_dir), WANTS_NAME, true};
}

void parts_done(struct parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->items[i].folder);
    p->n = 0;
}

char *part_path(const struct part *p, const char *suffix)
{
    return xasprintf("%s/%s%s", p->folder, p->name, suffix);
}

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

int folder_sync(const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? error_errno(err, -errno, "cannot sync %s", path) : 0;
}

static int sync_folders(const struct install *in, struct error *err)
{
    int r = folder_sync(in->root, err);
    return r < 0 || !in->systemd_dir ? r : folder_sync(in->systemd_dir, err);
}

/* ---- the progress file ---- */

static int write_progress(
    const struct install *in, const char *stage, bool rollback, struct error *err)
{
    _cleanup_free_ char *path = path_join(in->root, PROGRESS_FILE);
    _cleanup_free_ char *text = xasprintf("{\"stage\": \"%s\", \"extension\": \"" NEW "\"%s}",
        stage, rollback ? ", \"rollback\": true" : "");
    int r = file_write_atomic(path, text, strlen(text), 0644, err);
    step(in, "write progress");
    return r;
}

static int read_progress(const struct install *in, int *ret, bool *ret_rollback, struct error *err)
{
    _cleanup_free_ char *path = path_join(in->root, PROGRESS_FILE);
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_json_ json_t *json = NULL;
    *ret = STAGE_NONE;
    *ret_rollback = false;
    if (!there(path))
        return 0;
    int r = file_read(path, PROGRESS_MAX, &text, err);
    if (r == 0)
        r = json_parse(buf_cstr(&text), text.n, &json, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    const char *stage = json_str_at(json, "stage", "");
    *ret_rollback = json_is_true(json_object_get(json, "rollback"));
    if (streq(stage, "archive"))
        *ret = STAGE_ARCHIVE;
    else if (streq(stage, "move_new"))
        *ret = STAGE_MOVE_NEW;
    else
        return error_set(err, -EBADMSG, "%s names an unknown stage '%.64s'", path, stage);
    return 0;
}

static int remove_progress(const struct install *in, struct error *err)
{
    _cleanup_free_ char *path = path_join(in->root, PROGRESS_FILE);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_errno(err, -errno, "cannot remove %s", path);
    step(in, "remove progress");
    return folder_sync(in->root, err);
}

/* ---- parts ---- */

static int remove_staged(const struct install *in, struct error *err)
{
    _cleanup_parts_ struct parts parts;
    parts_init(&parts, in);
    for (size_t i = 0; i < parts.n; i++) {
        _cleanup_free_ char *path = part_path(&parts.items[i], NEW);
        if (!there(path))
            continue;
        int r = remove_tree(path, err);
        if (r < 0)
            return r;
        step(in, "remove part");
    }
    return 0;
}

/* Units that were staged, and files that were being written when something was cut off. */
static bool is_stale(const char *name)
{
    return has_suffix(name, UNIT_NEW) || strstr(name, NEW ".tmp.") ||
           has_prefix(name, PROGRESS_FILE ".tmp.") || has_prefix(name, TARGET_NAME ".tmp.");
}

static int remove_stale(const struct install *in, const char *folder, struct error *err)
{
    _cleanup_strings_ struct strings names = {0};
    int r = strings_read_folder(folder, &names, err);
    for (size_t i = 0; i < names.n && r == 0; i++) {
        if (!is_stale(names.items[i]))
            continue;
        _cleanup_free_ char *path = path_join(folder, names.items[i]);
        if (unlink(path) < 0 && errno != ENOENT)
            r = error_errno(err, -errno, "cannot remove %s", path);
        step(in, "remove stale file");
    }
    return r;
}

int swap_discard(const struct install *in, struct error *err)
{
    int r = remove_staged(in, err);
    if (r == 0)
        r = remove_stale(in, in->root, err);
    return r < 0 || !in->systemd_dir ? r : remove_stale(in, in->systemd_dir, err);
}

static int check_staged(const struct install *in, bool or_in_force, struct error *err)
{
    _cleanup_parts_ struct parts parts;
    parts_init(&parts, in);
    for (size_t i = 0; i < parts.n; i++) {
        _cleanup_free_ char *staged = part_path(&parts.items[i], NEW);
        _cleanup_free_ char *current = part_path(&parts.items[i], "");
        if (!there(staged) && !(or_in_force && there(current)))
            return error_set(err, -ENOENT, "%s is missing, the change cannot be finished", staged);
    }
    return 0;
}

/* ---- the stages ---- */

static int move_to_old(const struct install *in, struct error *err)
{
    _cleanup_parts_ struct parts parts;
    parts_init(&parts, in);
    for (size_t i = 0; i < parts.n; i++) {
        _cleanup_free_ char *current = part_path(&parts.items[i], "");
        _cleanup_free_ char *old = part_path(&parts.items[i], OLD);
        if (!there(current))
            continue; /* moved before, or never was */
        int r = remove_tree(old, err);
        if (r < 0)
            return r;
        if (rename(current, old) < 0)
            return error_errno(err, -errno, "cannot rename %s", current);
        step(in, "archive part");
    }
    return sync_folders(in, err);
}

/* Units of the set that goes, in force or archived already. */
static int old_units(const struct install *in, struct strings *ret, struct error *err)
{
    if (!in->systemd_dir)
        return 0;
    _cleanup_free_ char *wants = path_join(in->systemd_dir, WANTS_NAME);
    return units_in(in, there(wants) ? "" : OLD, ret, err);
}

static int archive(const struct install *in, bool rollback, struct error *err)
{
    _cleanup_strings_ struct strings units = {0};
    int r = check_staged(in, false, err);
    if (r == 0)
        r = write_progress(in, "archive", rollback, err);
    if (r == 0)
        r = old_units(in, &units, err);
    if (r == 0)
        r = systemd_stop(in, &units, err);
    step(in, "stop units");
    if (r == 0)
        r = units_remove(in, &units, err);
    return r < 0 ? r : move_to_old(in, err);
}

static int move_parts(const struct install *in, struct error *err)
{
    _cleanup_parts_ struct parts parts;
    parts_init(&parts, in);
    for (size_t i = 0; i < parts.n; i++) {
        _cleanup_free_ char *current = part_path(&parts.items[i], "");
        _cleanup_free_ char *staged = part_path(&parts.items[i], NEW);
        if (!there(staged))
            continue; /* moved before */
        if (rename(staged, current) < 0)
            return error_errno(err, -errno, "cannot rename %s", staged);
        step(in, "move part");
    }
    return 0;
}

/* A unit file of the old set may only still be there when this stage was begun by another release.
 */
static int remove_left_units(const struct install *in, struct error *err)
{
    _cleanup_strings_ struct strings old = {0}, current = {0}, left = {0};
    int r = units_in(in, OLD, &old, err);
    if (r == 0)
        r = units_in(in, "", &current, err);
    for (size_t i = 0; i < old.n && r == 0; i++)
        if (!strings_has(&current, old.items[i]))
            strings_add(&left, old.items[i]);
    return r < 0 ? r : units_remove(in, &left, err);
}

static int move_new(const struct install *in, bool rollback, struct error *err)
{
    int r = check_staged(in, true, err);
    if (r == 0)
        r = write_progress(in, "move_new", rollback, err);
    if (r == 0)
        r = move_parts(in, err);
    if (r == 0 && in->systemd_dir)
        r = remove_left_units(in, err);
    if (r == 0 && in->systemd_dir)
        r = units_place(in, err);
    if (r == 0)
        r = sync_folders(in, err);
    return r < 0 ? r : remove_progress(in, err);
}

/* Everything staged is on disk before the first word of a swap is. */
static int sync_stage(const struct install *in, struct error *err)
{
    const char *folders[] = {in->root, in->systemd_dir};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        if (!folders[i])
            continue;
        _cleanup_close_ int fd = open(folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || syncfs(fd) < 0)
            return error_errno(err, -errno, "cannot sync %s", folders[i]);
    }
    return 0;
}

/* What is of the set before stays until the progress file is there: half of it would be read as a
 * set by a rollback. */
int swap_run(const struct install *in, bool rollback, struct error *err)
{
    _cleanup_free_ char *progress = path_join(in->root, PROGRESS_FILE);
    int r = sync_stage(in, err);
    if (r == 0)
        r = archive(in, rollback, err);
    if (r < 0 && !there(progress)) /* it has not begun: a full disk has better use for the space */
        (void)swap_discard(in, NULL);
    return r < 0 ? r : move_new(in, rollback, err);
}

int swap_recover(const struct install *in, struct error *err)
{
    int stage;
    bool rollback;
    int r = read_progress(in, &stage, &rollback, err);
    if (r < 0 || stage == STAGE_NONE)
        return r;
    if (stage == STAGE_ARCHIVE)
        r = archive(in, rollback, err);
    if (r == 0)
        r = move_new(in, rollback, err);
    if (r == 0)
        r = swap_discard(in, err); /* files that were being written */
    return r < 0 ? r : (rollback ? SWAP_RECOVERED_ROLLBACK : SWAP_RECOVERED);
}
