/* Runs seeds. Each tenth is run twice and must give the same trace. */

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/parse.h"
#include "world.h"

static int usage(void)
{
    fprintf(stderr, "Usage: sim [--seeds=N] [--first=SEED] [--seed=SEED] [--trace]\n"
                    "  --seeds=N     run so many seeds (default 100)\n"
                    "  --first=SEED  the first of them (default 1)\n"
                    "  --seed=SEED   run this one only, twice\n"
                    "  --new         start at a seed nobody chose\n"
                    "  --trace       print what happens\n");
    return 2;
}

static bool number(const char *arg, const char *name, uint64_t *ret)
{
    return has_prefix(arg, name) && parse_u64(str_of(arg + strlen(name)), ret) == 0;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 100, first = 1, steps = 0, launches = 0;
    bool trace = false, twice = false;
    for (int i = 1; i < argc; i++) {
        if (number(argv[i], "--seeds=", &seeds) || number(argv[i], "--first=", &first))
            continue;
        if (number(argv[i], "--seed=", &first)) {
            seeds = 1;
            twice = true;
        } else if (streq(argv[i], "--trace")) {
            trace = true;
        } else if (streq(argv[i], "--new")) {
            random_bytes(&first, sizeof(first));
            first &= 0xffffffff;
        } else {
            return usage();
        }
    }
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        uint64_t hash, again, s, l;
        world_run(seed, trace, &hash, &s, &l);
        steps += s;
        launches += l;
        if (twice || seed % 10 == 0) {
            world_run(seed, false, &again, &s, &l);
            if (hash != again) {
                fprintf(stderr, "seed %" PRIu64 ": two runs differ\n", seed);
                return 1;
            }
        }
    }
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " tasks launched\n",
        seeds, first, steps, launches);
    return 0;
}
