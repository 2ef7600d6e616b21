#ifndef DCOS_BASE_MACRO_H
#define DCOS_BASE_MACRO_H

/* Language-level helpers: attributes, scope-bound ownership, sizes. */

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/param.h> /* has a MIN and MAX of its own, which other headers pull in */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                                            \
    ({                                                                                             \
        const typeof(((type *)0)->member) *container_of_p = (ptr);                                 \
        (type *)(void *)((char *)(uintptr_t)container_of_p - offsetof(type, member));              \
    })

#undef MIN
#undef MAX
#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        typeof(a) min_a = (a);                                                                     \
        typeof(b) min_b = (b);                                                                     \
        min_a < min_b ? min_a : min_b;                                                             \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        typeof(a) max_a = (a);                                                                     \
        typeof(b) max_b = (b);                                                                     \
        max_a > max_b ? max_a : max_b;                                                             \
    })

#define _unused_ __attribute__((unused))
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _must_check_ __attribute__((warn_unused_result))
#define _noreturn_ __attribute__((noreturn))

/* `_cleanup_(map_freep) struct map *m = NULL;` runs map_freep(&m) when the scope ends. */
#define _cleanup_(f) __attribute__((cleanup(f)))

/* Moves a pointer out of a variable that its scope would clean up. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        typeof(p) take_p = (p);                                                                    \
        (p) = NULL;                                                                                \
        take_p;                                                                                    \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_fd = (fd);                                                                        \
        (fd) = -1;                                                                                 \
        take_fd;                                                                                   \
    })

/* Defines `static inline void free_fn##p(type *p)` for use with _cleanup_. */
#define DEFINE_CLEANUP(type, free_fn)                                                              \
    static inline _unused_ void free_fn##p(type *p)                                                \
    {                                                                                              \
        if (*p)                                                                                    \
            free_fn(*p);                                                                           \
    }

#endif
