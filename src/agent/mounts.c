#include "agent/mounts.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/volume_disk.h"
#include "base/alloc.h"

void mount_list_done(struct mount_list *l)
{
    vec_done(&l->items);
}

static int give_to(const char *path, bool shared, uid_t uid, gid_t gid, struct error *err)
{
    struct stat st;
    if (uid == (uid_t)-1)
        return 0;
    if (lstat(path, &st) < 0)
        return error_errno(err, -errno, "cannot use %s", path);
    if ((st.st_uid == uid && st.st_gid == gid) || (shared && st.st_uid != geteuid()))
        return 0;
    if (lchown(path, uid, gid) < 0)
        return error_errno(err, -errno, "cannot give %s to its user", path);
    return 0;
}

int mounts_of_resources(const char *work_dir, Mesos__V1__Resource *const *list, size_t n, uid_t uid,
    gid_t gid, struct arena *arena, struct mount_list *ret, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const Mesos__V1__Resource *r = list[i];
        if (!r->disk || !r->disk->persistence || !r->disk->volume ||
            !r->disk->volume->container_path)
            continue;
        int e = volume_create(work_dir, r, err);
        if (e < 0)
            return error_prefix(err, e, "Volume '%s'", r->disk->persistence->id);
        _cleanup_free_ char *path = volume_path(work_dir, r);
        e = give_to(path, r->shared != NULL, uid, gid, err);
        if (e < 0)
            return e;
        vec_push(&ret->items, ((struct spawn_mount){
                                  .source = arena_strdup(arena, path),
                                  .target = r->disk->volume->container_path,
                                  .read_only = r->disk->volume->mode == MESOS__V1__VOLUME__MODE__RO,
                              }));
    }
    return 0;
}

void mounts_of_container(const Mesos__V1__ContainerInfo *container, struct mount_list *ret)
{
    for (size_t i = 0; container && i < container->n_volumes; i++) {
        const Mesos__V1__Volume *v = container->volumes[i];
        const char *source = v->host_path;
        if (!source && v->source && v->source->host_path)
            source = v->source->host_path->path;
        if (!source && v->source && v->source->sandbox_path)
            source = v->source->sandbox_path->path;
        if (source && v->container_path)
            vec_push(&ret->items, ((struct spawn_mount){
                                      .source = source,
                                      .target = v->container_path,
                                      .read_only = v->mode == MESOS__V1__VOLUME__MODE__RO,
                                  }));
    }
}
