#include "process/daemon.h"

#include <errno.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

int daemon_log_level(const char *text, struct error *err)
{
    enum log_level level;
    if (log_level_parse(text, &level) < 0)
        return error_set(
            err, -EINVAL, "--logging_level is error, warning, info or debug, not '%s'", text);
    log_set_level(level);
    return 0;
}

void daemon_tell_ready(const char *path, const char *ip, uint16_t port, const char *more)
{
    if (!path)
        return;
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct error err = ERROR_INIT;
    buf_printf(&text, "{\"ip\":\"%s\",\"port\":%u,\"pid\":%d%s}\n", ip, port, (int)getpid(),
        more ? more : "");
    if (file_write_atomic(path, text.p, text.n, 0644, &err) < 0)
        log_warn("cannot write the ready file error=%s, ignoring", err.msg);
}

void daemon_slow_store(int64_t waited_us, const char *reason, void *userdata)
{
    (void)userdata;
    log_warn("storage is slow, answers wait waited_ms=%lld reason=%s",
        (long long)(waited_us / USEC_PER_MSEC), *reason ? reason : "none given");
}
