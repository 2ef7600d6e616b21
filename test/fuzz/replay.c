/* Runs a fuzz target once over every file of the folder given, and over the empty input; with a
 * number, also over so many short inputs, for targets that make long runs of them. */

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLAY_FILE_MAX = 16 << 20 };

int main(int argc, char **argv)
{
    uint64_t more = 0;
    if (argc < 2 || argc > 3 || (argc == 3 && parse_u64(str_of(argv[2]), &more) < 0)) {
        fprintf(stderr, "usage: %s CORPUS_DIRECTORY [NUMBER]\n", argv[0]);
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    if (!dir) {
        perror(argv[1]);
        return 1;
    }
    unsigned files = 0;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        _cleanup_free_ char *path = path_join(argv[1], e->d_name);
        _cleanup_buf_ struct buf b = BUF_INIT;
        struct error err = ERROR_INIT;
        if (file_read(path, REPLAY_FILE_MAX, &b, &err) < 0) {
            fprintf(stderr, "%s\n", err.msg);
            closedir(dir);
            return 1;
        }
        /* An allocation of exactly the input's size lets the address sanitizer see over-reads. */
        uint8_t *exact = xmemdup(b.p, b.n);
        LLVMFuzzerTestOneInput(exact, b.n);
        free(exact);
        files++;
    }
    closedir(dir);
    for (uint64_t i = 0; i < more; i++) {
        uint8_t input[sizeof(i)];
        memcpy(input, &i, sizeof(i));
        LLVMFuzzerTestOneInput(input, sizeof(input));
        files++;
    }
    printf("%u inputs replayed\n", files);
    return 0;
}
