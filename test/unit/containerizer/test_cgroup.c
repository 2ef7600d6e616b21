/* Groups on trees of ordinary files, laid out as the kernel would. */

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "containerizer/cgroup.h"

static char tmp[64];

static int make_tmp(void **state)
{
    snprintf(tmp, sizeof tmp, "/tmp/dcos-cgroup-XXXXXX");
    return mkdtemp(tmp) ? 0 : -1;
}

static int drop_tmp(void **state)
{
    return remove_tree(tmp, NULL);
}

/* A file that a write finds, as in cgroupfs. */
static void put(const char *dir, const char *file, const char *text)
{
    assert_int_equal(mkdir_all(dir, 0755, NULL), 0);
    _cleanup_free_ char *path = path_join(dir, file);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_file(const char *dir, const char *file, const char *text)
{
    _cleanup_free_ char *path = path_join(dir, file);
    _cleanup_buf_ struct buf b = BUF_INIT;
    assert_int_equal(file_read(path, 4096, &b, NULL), 0);
    /* An ordinary file keeps the tail of a longer text before. */
    assert_true(strncmp(buf_cstr(&b), text, strlen(text)) == 0);
}

static struct cgroup_fs parse(const char *mounts, const char *self, const char *root)
{
    struct cgroup_fs fs;
    struct error err = ERROR_INIT;
    if (cgroup_fs_parse(str_of(mounts), str_of(self), root, &fs, &err) < 0)
        fail_msg("%s", err.msg);
    return fs;
}

static const char v1_mounts[] =
    "21 1 0:20 / / rw - ext4 /dev/vda rw\n"
    "30 21 0:26 / /cg/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "31 21 0:27 / /cg/mem\\040ory rw,relatime - cgroup cgroup rw,memory\n"
    "32 21 0:28 /docker/x /cg/pids rw shared:1 master:2 - cgroup cgroup rw,pids\n"
    "33 21 0:29 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
static const char v1_self[] = "9:name=systemd:/init.scope\n8:pids:/docker/x/sub\n"
                              "4:memory:/own/group\n2:cpu,cpuacct:/\n";

static void test_v1(void **state)
{
    struct cgroup_fs fs = parse(v1_mounts, v1_self, "dcos");
    assert_string_equal(cgroup_fs_mode(&fs), "v1");
    assert_string_equal(fs.base[CGROUP_CPU], "/cg/cpu,cpuacct/dcos");
    assert_string_equal(fs.base[CGROUP_CPUACCT], "/cg/cpu,cpuacct/dcos");
    assert_string_equal(fs.base[CGROUP_MEMORY], "/cg/mem ory/own/group/dcos");
    assert_string_equal(fs.base[CGROUP_PIDS], "/cg/pids/sub/dcos");
    assert_null(fs.base[CGROUP_FREEZER]);
    assert_null(fs.unified);
    for (int c = 0; c < CGROUP_CONTROLLERS; c++)
        fs.enabled[c] = fs.base[c] != NULL;
    char *dirs[CGROUP_CONTROLLERS + 1];
    size_t n = cgroup_dirs(&fs, "id", dirs);
    assert_int_equal(n, 3); /* the shared hierarchy once */
    assert_string_equal(dirs[0], "/cg/cpu,cpuacct/dcos/id");
    for (size_t i = 0; i < n; i++)
        free(dirs[i]);
    cgroup_fs_done(&fs);
    /* From the mount's root. */
    fs = parse(v1_mounts, v1_self, "/a/b");
    assert_string_equal(fs.base[CGROUP_MEMORY], "/cg/mem ory/a/b");
    cgroup_fs_done(&fs);
}

static void test_hybrid(void **state)
{
    char mounts[1024];
    snprintf(mounts, sizeof mounts, "%s%s", v1_mounts,
        "40 21 0:30 / /cg/unified rw - cgroup2 cgroup2 rw\n");
    struct cgroup_fs fs = parse(mounts, "4:memory:/\n0::/user/me\n", "dcos");
    assert_string_equal(cgroup_fs_mode(&fs), "hybrid");
    assert_string_equal(fs.unified, "/cg/unified/user/me/dcos");
    assert_string_equal(fs.base[CGROUP_MEMORY], "/cg/mem ory/dcos");
    cgroup_fs_done(&fs);
    /* Outside of the namespace's view. */
    fs = parse(mounts, "4:memory:/../../x\n0::/..\n", "dcos");
    assert_string_equal(fs.base[CGROUP_MEMORY], "/cg/mem ory/dcos");
    assert_string_equal(fs.unified, "/cg/unified/dcos");
    cgroup_fs_done(&fs);
}

static void test_v2_parse(void **state)
{
    struct cgroup_fs fs = parse(
        "40 21 0:30 / /cg rw - cgroup2 cgroup2 rw\n", "0::/system.slice/a.service\n", "dcos");
    assert_string_equal(cgroup_fs_mode(&fs), "v2");
    assert_string_equal(fs.unified, "/cg/dcos");
    assert_string_equal(fs.base[CGROUP_MEMORY], "/cg/dcos");
    cgroup_fs_done(&fs);
}

static void test_garbage(void **state)
{
    struct cgroup_fs fs;
    static const char *const texts[] = {"", "\n\n", "1 2 3", "- cgroup2", "1 2 3 / /x rw cgroup2 -",
        "1 2 3 / /x rw -", "1 2 3 / /x rw - cgroup x", "a b c d e f - ext4 x rw\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_int_equal(
            cgroup_fs_parse(str_of(texts[i]), str_of("::\n:"), "dcos", &fs, NULL), -ENOENT);
}

static struct cgroup_fs make_tree(bool v2)
{
    char mounts[1024], root[80];
    snprintf(root, sizeof root, "%s/%s", tmp, v2 ? "v2" : "v1");
    if (v2) {
        put(root, "cgroup.subtree_control", "");
        char base[96];
        snprintf(base, sizeof base, "%s/dcos", root);
        put(base, "cgroup.subtree_control", "");
        snprintf(mounts, sizeof mounts, "1 1 0:1 / %s rw - cgroup2 x rw\n", root);
    } else {
        snprintf(mounts, sizeof mounts,
            "1 1 0:1 / %s/cpu rw - cgroup x rw,cpu\n2 1 0:2 / %s/memory rw - cgroup x rw,memory\n",
            root, root);
    }
    struct cgroup_fs fs = parse(mounts, "", "dcos");
    assert_int_equal(cgroup_fs_prepare(&fs, NULL), 0);
    return fs;
}

static void test_limits_v1(void **state)
{
    struct cgroup_fs fs = make_tree(false);
    assert_int_equal(cgroup_create(&fs, "c1", NULL), 0);
    _cleanup_free_ char *cpu = cgroup_dir(&fs, CGROUP_CPU, "c1");
    _cleanup_free_ char *mem = cgroup_dir(&fs, CGROUP_MEMORY, "c1");
    assert_null(cgroup_dir(&fs, CGROUP_PIDS, "c1"));
    put(cpu, "cpu.shares", "1024");
    put(cpu, "cpu.cfs_quota_us", "-1");
    put(cpu, "cpu.cfs_period_us", "100000");
    put(mem, "memory.soft_limit_in_bytes", "9223372036854771712\n");
    put(mem, "memory.limit_in_bytes", "9223372036854771712\n");
    struct container_limits l = {
        .cpus_milli = 500, .cpu_limit_milli = 1500, .mem_bytes = 64 << 20, .pids_max = 5};
    assert_int_equal(cgroup_set_limits(&fs, "c1", &l, false, true, NULL), 0);
    assert_file(cpu, "cpu.shares", "512");
    assert_file(cpu, "cpu.cfs_quota_us", "150000");
    assert_file(mem, "memory.soft_limit_in_bytes", "67108864");
    assert_file(mem, "memory.limit_in_bytes", "67108864");
    put(mem, "memory.limit_in_bytes", "67108864");
    l.mem_bytes = 1; /* below the least, and lower than before */
    assert_int_equal(cgroup_set_limits(&fs, "c1", &l, false, false, NULL), 0);
    assert_file(mem, "memory.soft_limit_in_bytes", "33554432");
    assert_file(mem, "memory.limit_in_bytes", "67108864");
    l.mem_limit_bytes = 128 << 20;
    assert_int_equal(cgroup_set_limits(&fs, "c1", &l, false, false, NULL), 0);
    assert_file(mem, "memory.limit_in_bytes", "134217728");
    l.mem_limit_bytes = -1;
    assert_int_equal(cgroup_set_limits(&fs, "c1", &l, false, true, NULL), 0);
    assert_file(mem, "memory.limit_in_bytes", "-1");
    put(mem, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    assert_int_equal(cgroup_oom_kills(&fs, "c1"), 7);
    cgroup_fs_done(&fs);
}

static void test_limits_v2(void **state)
{
    struct cgroup_fs fs = make_tree(true);
    assert_int_equal(cgroup_create(&fs, "c1", NULL), 0);
    _cleanup_free_ char *dir = cgroup_dir(&fs, CGROUP_MEMORY, "c1");
    static const char *const files[] = {
        "cpu.weight", "cpu.max", "memory.low", "memory.max", "pids.max"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        put(dir, files[i], "");
    struct container_limits l = {
        .cpus_milli = 2000, .cpu_limit_milli = -1, .mem_bytes = 64 << 20, .pids_max = 5};
    assert_int_equal(cgroup_set_limits(&fs, "c1", &l, true, true, NULL), 0);
    assert_file(dir, "cpu.weight", "200");
    assert_file(dir, "cpu.max", "max 100000");
    assert_file(dir, "memory.low", "67108864");
    assert_file(dir, "memory.max", "67108864");
    assert_file(dir, "pids.max", "5");
    put(dir, "memory.events", "low 0\noom 3\noom_kill 2\n");
    put(dir, "memory.current", "4096\n");
    put(dir, "memory.stat", "anon 111\nfile 222\nfile_mapped 5\nunevictable 0\n");
    put(dir, "cpu.stat", "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_throttled 1\n");
    put(dir, "cpu.max", "150000 100000\n");
    put(dir, "cgroup.procs", "1\n2\n");
    put(dir, "cgroup.threads", "1\n2\n3\n");
    struct container_usage u;
    memset(&u, 0xff, sizeof u);
    cgroup_usage(&fs, "c1", &u);
    assert_int_equal(u.cpus_user_time_us, 5);
    assert_int_equal(u.cpus_limit_milli, 1500);
    assert_int_equal(u.cpus_soft_limit_milli, 2000);
    assert_int_equal(u.mem_total_bytes, 4096);
    assert_int_equal(u.mem_rss_bytes, 111);
    assert_int_equal(u.mem_limit_bytes, 64 << 20);
    assert_int_equal(u.mem_swap_bytes, -1);
    assert_int_equal(u.processes, 2);
    assert_int_equal(u.threads, 3);
    assert_int_equal(cgroup_oom_kills(&fs, "c1"), 2);
    cgroup_fs_done(&fs);
}

/* Each folder on the way down has to be told, or the groups have no controllers at all. */
static void test_v2_nested_root(void **state)
{
    char mounts[256], top[80];
    snprintf(top, sizeof top, "%s/v2", tmp);
    _cleanup_free_ char *middle = path_join(top, "a");
    _cleanup_free_ char *base = path_join(top, "a", "b");
    put(top, "cgroup.subtree_control", "");
    put(middle, "cgroup.subtree_control", "");
    put(base, "cgroup.subtree_control", "");
    snprintf(mounts, sizeof mounts, "1 1 0:1 / %s rw - cgroup2 x rw\n", top);
    struct cgroup_fs fs = parse(mounts, "", "a/b");
    assert_int_equal(cgroup_fs_prepare(&fs, NULL), 0);
    assert_file(top, "cgroup.subtree_control", "+pids");
    assert_file(middle, "cgroup.subtree_control", "+pids");
    assert_file(base, "cgroup.subtree_control", "+pids");
    struct buf missing = BUF_INIT;
    cgroup_fs_missing(&fs, &missing);
    assert_string_equal(buf_cstr(&missing), "");

    /* Somebody made the root anew: the next group shows it. */
    put(base, "cgroup.subtree_control", "");
    _cleanup_free_ char *group = path_join(base, "c1");
    put(group, "cgroup.controllers", "cpu pids\n");
    assert_int_equal(cgroup_create(&fs, "c1", NULL), 0);
    assert_file(base, "cgroup.subtree_control", "+memory");
    put(base, "cgroup.subtree_control", "");
    put(group, "cgroup.controllers", "cpu memory pids\n");
    assert_int_equal(cgroup_create(&fs, "c1", NULL), 0);
    _cleanup_free_ char *path = path_join(base, "cgroup.subtree_control");
    _cleanup_buf_ struct buf text = BUF_INIT;
    assert_int_equal(file_read(path, 100, &text, NULL), 0);
    assert_int_equal(text.n, 0);
    cgroup_fs_done(&fs);

    /* A folder that refuses (a container's own, with processes in it): no limits, and it shows. */
    assert_int_equal(unlink(path), 0);
    fs = parse(mounts, "", "a/b");
    assert_int_equal(cgroup_fs_prepare(&fs, NULL), 0);
    cgroup_fs_missing(&fs, &missing);
    assert_string_equal(buf_cstr(&missing), "cpu,memory,pids");
    buf_done(&missing);
    cgroup_fs_done(&fs);
}

static void test_numbers(void **state)
{
    assert_int_equal(cgroup_cpu_shares(1, false), 2);
    assert_int_equal(cgroup_cpu_shares(100, false), 102);
    assert_int_equal(cgroup_cpu_shares(1000, false), 1024);
    assert_int_equal(cgroup_cpu_shares(2000, true), 20);
    assert_int_equal(cgroup_cpu_shares(100, true), 2);
    assert_int_equal(cgroup_cpu_weight(3000, true), 3);
    assert_int_equal(cgroup_cpu_weight(1, false), 1);
    assert_int_equal(cgroup_cpu_weight(500, false), 50);
    assert_int_equal(cgroup_cpu_weight(1000000, false), 10000);
    assert_int_equal(cgroup_cpu_quota_us(1), 1000);
    assert_int_equal(cgroup_cpu_quota_us(250), 25000);
    assert_int_equal(cgroup_keyed(str_of("a 1\nab 2\nb x\n"), "ab"), 2);
    assert_int_equal(cgroup_keyed(str_of("a 1\nb x\n"), "b"), -1);
    assert_int_equal(cgroup_keyed(str_of(""), "b"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1),
        cmocka_unit_test(test_hybrid),
        cmocka_unit_test(test_v2_parse),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test_setup_teardown(test_limits_v1, make_tmp, drop_tmp),
        cmocka_unit_test_setup_teardown(test_limits_v2, make_tmp, drop_tmp),
        cmocka_unit_test_setup_teardown(test_v2_nested_root, make_tmp, drop_tmp),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
