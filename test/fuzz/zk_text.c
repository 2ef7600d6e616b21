/* What stands in ZooKeeper and in flags: MasterInfo in both forms, names of members, URLs. */

#include "base/alloc.h"
#include "zk/master_info.h"
#include "zk/member.h"
#include "zk/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct zk_master m, back;
    if (zk_master_read((const char *)data, n, &m, NULL) == 0) {
        static const char *const none[] = {NULL};
        _cleanup_buf_ struct buf b = BUF_INIT;
        zk_master_write(&m, "1", none, &b);
        /* Bytes that are not UTF-8 change on the way; the port does not. */
        if (zk_master_read(b.p, b.n, &back, NULL) == 0 && back.port != m.port)
            abort();
    }
    _cleanup_free_ char *text = xstrndup((const char *)data, n);
    struct zk_member member;
    if (zk_member_parse(text, ZK_MASTER_LABEL, &member) && member.label.n >= n)
        abort();
    struct zk_url u;
    if (zk_url_parse(text, &u, NULL) == 0) {
        if (u.path[0] != '/' || !u.servers[0])
            abort();
        zk_url_done(&u);
    }
    return 0;
}
