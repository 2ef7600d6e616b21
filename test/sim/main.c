/*
 * Runs seeds. Each tenth is run twice and must give the same trace. With --defect, asserts the
 * opposite of all other runs: that one of the seeds ends with a finding.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"
#include "world.h"

static const char *const defect_names[SIM_DEFECTS] = {
    [DEFECT_NONE] = "none",
    [DEFECT_MASTER_HASTE] = "master-haste",
    [DEFECT_AGENT_HASTE] = "agent-haste",
    [DEFECT_AGENT_AMNESIA] = "agent-amnesia",
    [DEFECT_AGENT_LOST_WRITE] = "agent-lost-write",
    [DEFECT_EXECUTOR_AMNESIA] = "executor-amnesia",
    [DEFECT_TWIN_CONTAINERS] = "twin-containers",
    [DEFECT_NETWORK_LOSES] = "network-loses",
    [DEFECT_LEAKED_TASKS] = "leaked-tasks",
    [DEFECT_STORE_UNFENCED] = "store-unfenced",
    [DEFECT_AGENT_OLD_EPOCH] = "agent-old-epoch",
    [DEFECT_OPERATOR_HASTE] = "operator-haste",
    [DEFECT_FORGOTTEN_NODES] = "forgotten-nodes",
    [DEFECT_LOST_HOLDINGS] = "lost-holdings",
    [DEFECT_VOLUME_REMOVED] = "volume-removed",
    [DEFECT_OPERATION_ONCE] = "operation-once",
    [DEFECT_FORGOTTEN_QUOTAS] = "forgotten-quotas",
    [DEFECT_NO_FENCING] = "no-fencing",
    [DEFECT_NO_LIMIT] = "no-limit",
};

struct run {
    uint64_t first, seeds;
    bool twice;
    struct sim_options options;
};

static int usage(void)
{
    fprintf(stderr,
        "Usage: sim [--seeds=N] [--first=SEED | --seed=SEED | --new] [--agents=KIND] [--trace]\n"
        "  --seeds=N      run so many seeds (default 100)\n"
        "  --first=SEED   the first of them (default 1)\n"
        "  --seed=SEED    run this one only, twice\n"
        "  --new          start at a seed nobody chose\n"
        "  --agents=KIND  real, model, or mixed (default)\n"
        "  --masters=N    1 or 3 (default: drawn from the seed)\n"
        "  --trace        print what happens\n"
        "  --defect=NAME  make a known mistake and succeed when a check finds it:\n");
    for (size_t i = 1; i < SIM_DEFECTS; i++)
        fprintf(stderr, "                 %s\n", defect_names[i]);
    return 2;
}

static bool number(const char *arg, const char *name, uint64_t *ret)
{
    return has_prefix(arg, name) && parse_u64(str_of(arg + strlen(name)), ret) == 0;
}

static bool choice(
    const char *arg, const char *name, const char *const *from, size_t n, size_t *ret)
{
    if (!has_prefix(arg, name))
        return false;
    for (*ret = 0; *ret < n; (*ret)++)
        if (streq(arg + strlen(name), from[*ret]))
            return true;
    return false;
}

static bool parse(int argc, char **argv, struct run *run)
{
    static const char *const kinds[] = {"mixed", "model", "real"};
    for (int i = 1; i < argc; i++) {
        size_t pick;
        uint64_t masters;
        if (number(argv[i], "--seeds=", &run->seeds) || number(argv[i], "--first=", &run->first))
            continue;
        if (number(argv[i], "--seed=", &run->first)) {
            run->seeds = 1;
            run->twice = true;
        } else if (number(argv[i], "--masters=", &masters) && (masters == 1 || masters == 3)) {
            run->options.masters = (unsigned)masters;
        } else if (streq(argv[i], "--trace")) {
            run->options.trace = true;
        } else if (streq(argv[i], "--new")) {
            random_bytes(&run->first, sizeof(run->first));
            run->first &= 0xffffffff;
        } else if (choice(argv[i], "--agents=", kinds, ARRAY_SIZE(kinds), &pick)) {
            run->options.agents = (enum sim_agents)pick;
        } else if (choice(argv[i], "--defect=", defect_names, SIM_DEFECTS, &pick)) {
            run->options.defect = (enum sim_defect)pick;
        } else {
            return false;
        }
    }
    return true;
}

/* Each seed in a process of its own: a finding ends it. */
static int expect_finding(const struct run *run)
{
    for (uint64_t seed = run->first; seed < run->first + run->seeds; seed++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0) {
            struct world_result result;
            world_run(seed, &run->options, &result);
            _exit(0);
        }
        int status;
        while (waitpid(pid, &status, 0) < 0)
            if (errno != EINTR)
                return 1;
        if (WIFEXITED(status) && WEXITSTATUS(status) == SIM_FOUND) {
            printf("%s was found by seed %" PRIu64 "\n", defect_names[run->options.defect], seed);
            return 0;
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            fprintf(stderr, "seed %" PRIu64 " ended by status %d, not by a check\n", seed, status);
            return 1;
        }
    }
    fprintf(stderr, "%s was not found by %" PRIu64 " seeds from %" PRIu64 "\n",
        defect_names[run->options.defect], run->seeds, run->first);
    return 1;
}

int main(int argc, char **argv)
{
    struct run run = {.first = 1, .seeds = 100};
    if (!parse(argc, argv, &run))
        return usage();
    if (run.options.defect)
        return expect_finding(&run);
    struct world_result sum = {0};
    /* Said before, for a run that ends without a word of its own. */
    printf("sim --first=%" PRIu64 " --seeds=%" PRIu64 "\n", run.first, run.seeds);
    fflush(stdout);
    for (uint64_t seed = run.first; seed < run.first + run.seeds; seed++) {
        struct world_result result, again;
        world_run(seed, &run.options, &result);
        sum.steps += result.steps;
        sum.launches += result.launches;
        sum.faults += result.faults;
        sum.refusals += result.refusals;
        if (!run.twice && seed % 10)
            continue;
        struct sim_options silent = run.options;
        silent.trace = false;
        world_run(seed, &silent, &again);
        if (result.hash != again.hash) {
            fprintf(stderr, "seed %" PRIu64 ": two runs differ\n", seed);
            return 1;
        }
    }
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " faults, %" PRIu64
           " tasks started, deposed leaders refused %" PRIu64 " times\n",
        run.seeds, run.first, sum.steps, sum.faults, sum.launches, sum.refusals);
    return 0;
}
