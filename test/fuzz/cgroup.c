/* /proc/self/mountinfo and cgroup, separated by a NUL; also one line of /proc/<pid>/stat. */

#include "containerizer/cgroup.h"
#include "containerizer/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    ptrdiff_t cut = str_index(text, '\0');
    struct str mounts = cut >= 0 ? (struct str){text.p, (size_t)cut} : text;
    struct str self = cut >= 0 ? (struct str){text.p + cut + 1, size - (size_t)cut - 1} : STR("");
    struct cgroup_fs fs;
    if (cgroup_fs_parse(mounts, self, "dcos", &fs, NULL) == 0)
        cgroup_fs_done(&fs);
    struct proc_stat s;
    proc_stat_parse(text, &s);
    cgroup_keyed(text, "oom_kill");
    return 0;
}
