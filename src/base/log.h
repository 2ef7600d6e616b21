#ifndef DCOS_BASE_LOG_H
#define DCOS_BASE_LOG_H

/*
 * One line per event on stderr: time, level, program, message, then key=value fields, as in
 *     log_info("agent registered agent=%s hostname=%s", id, hostname);
 * Control characters in the text are escaped, so that nobody can forge a line. Only programs log
 * above debug; libraries return errors.
 */

#include "base/macro.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* `program` must outlive the process. Level defaults to info. */
void log_init(const char *program);
void log_set_level(enum log_level level);
enum log_level log_level(void);
/* "error", "warn"/"warning", "info", "debug", in capitals or not; -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *ret);
bool log_enabled(enum log_level level);

/* Lines also go to this file, which is appended to; at LOG_FILE_MAX bytes it is renamed to
 * "<path>.1", in place of the one before. 0 or negative errno. */
enum { LOG_FILE_MAX = 128 * 1024 * 1024 };
int log_to_file(const char *path);

void log_write(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_DEBUG))                                                                \
            log_write(LOG_DEBUG, __VA_ARGS__);                                                     \
    } while (0)

#endif
