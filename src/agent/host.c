#include "agent/host.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/file.h"
#include "wire/codec.h"

/* The rules of the reference: leave a gigabyte of memory and five of disk to the system, or half
 * where there is little. Sizes in megabytes. */
enum {
    MEM_RESERVE_MB = 1024,
    DISK_RESERVE_MB = 5 * 1024,
    MEM_UNKNOWN_MB = 1024,
    DISK_UNKNOWN_MB = 10 * 1024,
    FILE_TEXT_MAX = 64 * 1024,
};
#define BYTES_PER_MB (1024.0 * 1024.0)
static const char default_ports[] = "ports:[31000-32000]";

static int64_t leave(int64_t total_mb, int64_t reserve_mb)
{
    return total_mb >= 2 * reserve_mb ? total_mb - reserve_mb : total_mb / 2;
}

static int64_t detect_mem_mb(void)
{
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return MEM_UNKNOWN_MB;
    return leave((int64_t)((double)info.totalram * info.mem_unit / BYTES_PER_MB), MEM_RESERVE_MB);
}

static int64_t detect_disk_mb(const char *work_dir)
{
    struct statvfs fs;
    if (statvfs(work_dir, &fs) < 0)
        return DISK_UNKNOWN_MB;
    return leave(
        (int64_t)((double)fs.f_blocks * (double)fs.f_frsize / BYTES_PER_MB), DISK_RESERVE_MB);
}

static int add_text(
    struct resources *ret, const char *text, const char *default_role, struct error *err)
{
    struct resources more = RESOURCES_INIT;
    int r = resources_parse(str_of(text), default_role, &more, err);
    if (r < 0)
        return r;
    resources_add(ret, &more);
    resources_done(&more);
    return 0;
}

/* "file:///path" or an absolute path names a file with the text. */
static int load_text(const char *text, struct buf *out, struct error *err)
{
    if (has_prefix(text, "file://"))
        text += strlen("file://");
    else if (text[0] != '/') {
        buf_puts(out, text);
        return 0;
    }
    return file_read(text, FILE_TEXT_MAX, out, err);
}

int host_resources(const char *text, const char *default_role, const char *work_dir,
    struct resources *ret, struct error *err)
{
    struct resources all = RESOURCES_INIT;
    struct buf given = BUF_INIT;
    int r = text ? load_text(text, &given, err) : 0;
    if (r >= 0 && str_trim(buf_str(&given)).n)
        r = resources_parse(str_trim(buf_str(&given)), default_role, &all, err);
    /* A resource that was named with nothing in it is meant to be missing: look at the text. */
    struct {
        const char *name;
        int64_t value;
    } scalars[] = {
        {"cpus", sysconf(_SC_NPROCESSORS_ONLN)},
        {"mem", detect_mem_mb()},
        {"disk", detect_disk_mb(work_dir)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(scalars) && r >= 0; i++) {
        if (resources_has(&all, scalars[i].name) || strstr(buf_cstr(&given), scalars[i].name))
            continue;
        struct buf one = BUF_INIT;
        buf_printf(&one, "%s:%lld", scalars[i].name, (long long)MAX(scalars[i].value, 1));
        r = add_text(&all, buf_cstr(&one), default_role, err);
        buf_done(&one);
    }
    if (r >= 0 && !resources_has(&all, "ports") && !strstr(buf_cstr(&given), "ports"))
        r = add_text(&all, default_ports, default_role, err);
    buf_done(&given);
    if (r < 0) {
        resources_done(&all);
        return error_prefix(err, r, "--resources");
    }
    resources_move(ret, &all);
    return 0;
}

int host_oversubscribed(const char *text, struct resources *ret, struct error *err)
{
    if (!text)
        return 0;
    _cleanup_arena_ struct arena arena = ARENA_INIT;
    _cleanup_buf_ struct buf given = BUF_INIT;
    _cleanup_resources_ struct resources plain = RESOURCES_INIT;
    int r = load_text(text, &given, err);
    if (r >= 0)
        r = resources_parse(str_trim(buf_str(&given)), "*", &plain, err);
    size_t n = 0;
    Mesos__V1__Resource **list = NULL;
    if (r >= 0)
        list = resources_to_wire(&plain, 0, &arena, &n);
    for (size_t i = 0; i < n && r >= 0; i++) {
        list[i]->revocable = arena_new(&arena, Mesos__V1__Resource__RevocableInfo);
        mesos__v1__resource__revocable_info__init(list[i]->revocable);
        if (list[i]->n_reservations || list[i]->disk)
            r = error_set(err, -EINVAL, "'%s' is reserved or a disk of its own", list[i]->name);
    }
    if (r >= 0)
        r = resources_from_wire(list, n, ret, err);
    return r < 0 ? error_prefix(err, r, "--oversubscribed_resources") : 0;
}

int host_domain(
    const char *text, struct arena *arena, Mesos__V1__DomainInfo **ret, struct error *err)
{
    *ret = NULL;
    if (!text)
        return 0;
    _cleanup_buf_ struct buf given = BUF_INIT;
    ProtobufCMessage *m = NULL;
    int r = load_text(text, &given, err);
    if (r >= 0)
        r = wire_parse_json(&mesos__v1__domain_info__descriptor, arena, given.p, given.n, &m, err);
    if (r >= 0)
        r = wire_check_required(m, err);
    if (r < 0)
        return error_prefix(err, r, "--domain");
    Mesos__V1__DomainInfo *d = (Mesos__V1__DomainInfo *)m;
    if (!d->fault_domain || !d->fault_domain->region->name[0] || !d->fault_domain->zone->name[0])
        return error_set(err, -EINVAL,
            "--domain wants a fault domain with the names of a region and a zone, such as "
            "{\"fault_domain\":{\"region\":{\"name\":\"eu\"},\"zone\":{\"name\":\"a\"}}}");
    *ret = d;
    return 0;
}

void host_boot_id(struct buf *out)
{
    struct buf text = BUF_INIT;
    if (file_read("/proc/sys/kernel/random/boot_id", FILE_TEXT_MAX, &text, NULL) >= 0) {
        struct str id = str_trim(buf_str(&text));
        buf_append(out, id.p, id.n);
    }
    buf_done(&text);
}
