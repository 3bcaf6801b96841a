/* SPDX-License-Identifier: MIT */
/* What the tool says: JSON documents, errors in both forms, tables, text safe for a terminal. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "cli.h"

/* Characters that steer a terminal or turn the direction of text. */
static int is_unsafe(wchar_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* Writes one character, escaped where needed, to `stream` (NULL: only measured); adds its width. */
static const char *put_one(FILE *stream, const char *text, size_t *width)
{
    wchar_t c = 0;
    mbstate_t state = {0};
    size_t bytes = mbrtowc(&c, text, strlen(text), &state);
    char escape[16];

    if (bytes == (size_t)-1 || bytes == (size_t)-2) {
        bytes = 1;
        snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)*text);
    } else if (is_unsafe(c)) {
        snprintf(escape, sizeof escape, c < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)c);
    } else {
        if (stream != NULL) {
            fwrite(text, 1, bytes, stream);
        }
        *width += wcwidth(c) > 0 ? (size_t)wcwidth(c) : 0;
        return text + bytes;
    }
    if (stream != NULL) {
        fputs(escape, stream);
    }
    *width += strlen(escape);
    return text + bytes;
}

void cli_put(FILE *stream, const char *text)
{
    size_t width = 0;

    while (*text != '\0') {
        text = put_one(stream, text, &width);
    }
}

size_t cli_width(const char *text)
{
    size_t width = 0;

    while (*text != '\0') {
        text = put_one(NULL, text, &width);
    }
    return width;
}

void cli_line(const char *label, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        printf("%-16s ", label);
        cli_put(stdout, text);
        putchar('\n');
    }
}

/* One line on standard error: "modelmgr: ", the prefix if any, the text. */
static void error_line(const char *prefix, const char *text)
{
    cli_progress_hide();
    fputs("modelmgr: ", stderr);
    if (prefix != NULL) {
        fprintf(stderr, "%s: ", prefix);
    }
    cli_put(stderr, text);
    fputc('\n', stderr);
    cli_progress_show();
}

void cli_note(struct cli *cli, const char *format, ...)
{
    char text[2048];
    va_list arguments;

    if (cli->quiet) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_line(NULL, text);
}

void cli_log(enum mmgr_log_level level, const char *component, const char *message, void *user)
{
    char prefix[64];

    (void)user;
    snprintf(prefix, sizeof prefix, "%s: %s", level == MMGR_LOG_ERROR ? "error" : "warning",
             component);
    error_line(prefix, message);
}

json_t *cli_json_text(const char *text)
{
    json_t *value;
    char *copy;
    size_t used = 0;

    if (text == NULL) {
        return json_null();
    }
    value = json_string(text);
    if (value != NULL) {
        return value;
    }
    // Names of files may be any bytes; what is no UTF-8 becomes the replacement character.
    copy = malloc(strlen(text) * 3 + 1);
    if (copy == NULL) {
        return NULL;
    }
    while (*text != '\0') {
        size_t length = 0;

        // The shortest piece that is UTF-8 is one character.
        do {
            value = json_stringn(text, ++length);
        } while (value == NULL && length < 4 && text[length] != '\0');
        if (value != NULL) {
            memcpy(copy + used, text, length);
            used += length;
            text += length;
        } else {
            memcpy(copy + used, "\xef\xbf\xbd", 3);
            used += 3;
            text++;
        }
        json_decref(value);
    }
    value = json_stringn(copy, used);
    free(copy);
    return value;
}

json_t *cli_json_size(uint64_t number)
{
    return number <= INT64_MAX ? json_integer((json_int_t)number) : json_null();
}

int cli_print_text(struct cli *cli, const char *json)
{
    (void)cli;
    fputs(json, stdout);
    putchar('\n');
    return 0;
}

int cli_print_tree(struct cli *cli, json_t *tree)
{
    char *text = tree != NULL ? json_dumps(tree, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;

    json_decref(tree);
    if (text == NULL) {
        return cli_fail(cli, MMGR_ERR_NO_MEMORY, NULL, NULL, "out of memory");
    }
    cli_print_text(cli, text);
    free(text);
    return 0;
}

struct report {
    enum mmgr_result code;
    const char *message, *field, *subject;
    int http_status, os_errno;
    uint64_t offset;
    int status;
};

/* An error in both forms; the one place that knows them. Returns the exit status. */
static int print_report(struct cli *cli, const struct report *report)
{
    error_line(cli->command != NULL ? cli->command->name : NULL, report->message);
    if (cli->json || cli->events) {
        json_t *error = json_object();
        json_t *document = json_object();

        json_object_set_new(error, "code", json_string(mmgr_result_name(report->code)));
        json_object_set_new(error, "message", cli_json_text(report->message));
        json_object_set_new(error, "field", cli_json_text(report->field));
        json_object_set_new(error, "subject", cli_json_text(report->subject));
        json_object_set_new(error, "http_status",
                            report->http_status != 0 ? json_integer(report->http_status)
                                                     : json_null());
        json_object_set_new(error, "os_errno",
                            report->os_errno != 0 ? json_integer(report->os_errno) : json_null());
        json_object_set_new(error, "offset", report->offset != MMGR_NO_OFFSET
                                                 ? cli_json_size(report->offset) : json_null());
        json_object_set_new(error, "retryable",
                            json_boolean(mmgr_result_is_retryable(report->code)));
        json_object_set_new(document, "error", error);
        json_dumpf(document, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(document);
    }
    return report->status;
}

int cli_fail_error(struct cli *cli, const mmgr_error *error)
{
    struct report report = {
        .code = mmgr_error_code(error),
        .message = mmgr_error_message(error),
        .field = mmgr_error_field(error),
        .subject = mmgr_error_subject(error),
        .http_status = mmgr_error_http_status(error),
        .os_errno = mmgr_error_os_errno(error),
        .offset = error != NULL ? mmgr_error_offset(error) : MMGR_NO_OFFSET,
        .status = mmgr_result_exit_code(mmgr_error_code(error)),
    };

    if (report.message[0] == '\0') {
        report.message = mmgr_result_text(report.code);
    }
    // Whoever calls this has failed, whatever the library remembers of it.
    report.status = report.status == 0 ? 1 : report.status;
    return print_report(cli, &report);
}

int cli_fail_last(struct cli *cli)
{
    return cli_fail_error(cli, mmgr_last_error());
}

int cli_fail(struct cli *cli, enum mmgr_result code, const char *field, const char *subject,
             const char *format, ...)
{
    char text[1024];
    struct report report = {.code = code, .message = text, .field = field, .subject = subject,
                            .offset = MMGR_NO_OFFSET, .status = mmgr_result_exit_code(code)};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return print_report(cli, &report);
}

int cli_fail_usage(struct cli *cli, const char *format, ...)
{
    char text[1024];
    struct report report = {.code = MMGR_ERR_ARGUMENT, .message = text, .offset = MMGR_NO_OFFSET,
                            .status = CLI_USAGE};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return print_report(cli, &report);
}

int cli_interrupted(struct cli *cli, int signal, const char *message)
{
    struct report report = {.code = MMGR_ERR_CANCELLED,
                            .message = message,
                            .offset = MMGR_NO_OFFSET,
                            .status = 128 + signal};

    return print_report(cli, &report);
}

const char *cli_size(char text[CLI_SIZE_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double number = (double)bytes;
    size_t unit = 0;

    while (number >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]) {
        number /= 1024;
        unit++;
    }
    snprintf(text, CLI_SIZE_TEXT, unit == 0 ? "%.0f %s" : "%.1f %s", number, units[unit]);
    return text;
}

int cli_table(const char *const *cells, size_t rows, size_t columns)
{
    size_t row, column;
    size_t *widths = calloc(columns, sizeof *widths);

    if (widths == NULL) {
        return 1;
    }
    for (row = 0; row < rows; row++) {
        for (column = 0; column < columns; column++) {
            const char *cell = cells[row * columns + column];
            size_t width = cli_width(cell != NULL ? cell : "-");

            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    for (row = 0; row < rows; row++) {
        for (column = 0; column < columns; column++) {
            const char *cell = cells[row * columns + column];

            cell = cell != NULL ? cell : "-";
            cli_put(stdout, cell);
            if (column + 1 < columns) {
                printf("%*s", (int)(widths[column] - cli_width(cell) + 2), "");
            }
        }
        putchar('\n');
    }
    free(widths);
    return 0;
}

/* Output that nobody could read is a failure, except that a reader may leave early. */
int cli_finish(struct cli *cli, int status)
{
    struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
    int failed = ferror(stdout);

    errno = 0;
    if (fflush(stdout) == 0 && !failed) {
        return status;
    }
    if (errno == EPIPE || (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR) != 0)) {
        return 141; // what a shell reports for SIGPIPE
    }
    (void)cli;
    error_line("standard output", errno != 0 ? strerror(errno) : "writing failed");
    return 1;
}
