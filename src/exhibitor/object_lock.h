#ifndef DCOS_EXHIBITOR_OBJECT_LOCK_H
#define DCOS_EXHIBITOR_OBJECT_LOCK_H

/*
 * A lock of objects, for stores that only put, list and remove, and tell at once what is there:
 * Lamport's bakery. Who wants it says that they choose a number, take one above all that are there,
 * and wait until nobody chooses and nobody has a lower one.
 *
 * Objects of who died are removed by others that saw them for `lease_us`; so the holder must not
 * begin to write later than `hold_us` after taking its number. A write that is on its way for
 * longer than the difference is the limit of this lock.
 */

#include "base/clock.h"
#include "storage/storage.h"

#define OBJECT_LOCK_FOLDER "dcos-exhibitor.lock"
#define OBJECT_LOCK_HOLD_US (15 * USEC_PER_SEC)
#define OBJECT_LOCK_LEASE_US (120 * USEC_PER_SEC)

enum { OBJECT_LOCK_SEEN_MAX = 64 };

struct object_lock {
    struct storage *storage;
    char owner[96];   /* of this taking: "<name>_<random>" */
    char number[128]; /* our object */
    int64_t since_us; /* when it was taken, or before */
    int64_t hold_us, lease_us;
};

/* `name`: of this machine, without '-' and '_'; leftovers of it are removed. -ETIMEDOUT when others
 * have it for too long. */
int object_lock_take(struct object_lock *l, struct storage *s, const char *name, int64_t hold_us,
    int64_t lease_us, struct error *err);
bool object_lock_holds(const struct object_lock *l);
void object_lock_drop(struct object_lock *l);

/* Number and owner of "number-00000012-10.0.0.1_ab", or of "choosing-10.0.0.1_ab", which has the
 * number 0. False for other names. */
bool object_lock_parse(const char *name, uint32_t *ret_number, struct str *ret_owner);

#endif
