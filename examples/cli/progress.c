/* SPDX-License-Identifier: MIT */
/* Progress of a download or install on standard error: bars on a terminal, else plain lines.
 *
 * The main thread feeds and draws; log lines of other threads take the bars away for a moment, so
 * that the lock is held while anything is written to the terminal. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "cli.h"

#define REDRAW_NS INT64_C(100000000)
#define LINE_NS INT64_C(5000000000)      /* a plain line at least so often while bytes come */
#define LINE_LEAST_NS INT64_C(1000000000)
#define RATE_NS INT64_C(500000000)       /* span over which a rate is taken */
#define MOST_BARS 12
#define NAME_COLUMNS 34       /* most of a line that the name of a file takes */
#define WIDE_COLUMNS 110      /* room for both sizes */
#define LEAST_COLUMNS 64      /* room for rate and time */

struct part {
    char *name;
    uint64_t bytes, total;
    int said; /* its last line has been printed */
};

static struct {
    pthread_mutex_t mutex;
    enum { OFF, BARS, LINES } mode;
    struct part *parts;
    uint32_t part_count;
    uint64_t bytes, total;
    int placing;            /* downloads are complete */
    unsigned drawn;         /* lines of the bars that are on the terminal */
    int64_t last_draw, last_sample;
    uint64_t sample_bytes;
    double rate;            /* bytes a second, smoothed */
    unsigned last_tenth;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER};

int64_t cli_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void cli_progress_begin(const struct cli *cli)
{
    if (cli->quiet || cli->json || cli->events || cli_has(cli, OPT_NO_PROGRESS)) {
        return;
    }
    state.mode = isatty(STDERR_FILENO) ? BARS : LINES;
    state.last_draw = state.last_sample = cli_now();
}

static void forget_parts(void)
{
    uint32_t i;

    for (i = 0; i < state.part_count; i++) {
        free(state.parts[i].name);
    }
    free(state.parts);
    state.parts = NULL;
    state.part_count = 0;
}

static void take_parts(const mmgr_event *event)
{
    uint32_t i, count = mmgr_event_part_count(event);

    if (count != state.part_count) {
        forget_parts();
        state.parts = calloc(count, sizeof *state.parts);
        if (state.parts == NULL) {
            return;
        }
        state.part_count = count;
    }
    for (i = 0; i < count; i++) {
        struct part *part = &state.parts[i];
        const char *path;

        if (mmgr_event_part(event, i, &path, &part->bytes, &part->total) == MMGR_OK &&
            part->name == NULL) {
            part->name = strdup(path);
        }
    }
}

void cli_progress_event(const mmgr_event *event)
{
    enum mmgr_event_type type = mmgr_event_type(event);
    uint32_t i;

    if (state.mode == OFF) {
        return;
    }
    pthread_mutex_lock(&state.mutex);
    if (type == MMGR_EVENT_INSTALL_DOWNLOADS_COMPLETE || type == MMGR_EVENT_INSTALL_RUNNING) {
        // The last bytes are not always reported before this event.
        for (i = 0; i < state.part_count; i++) {
            state.parts[i].bytes = state.parts[i].total;
        }
        state.bytes = state.total;
        state.placing = 1;
    } else if (mmgr_event_total_bytes(event) > 0) {
        state.bytes = mmgr_event_bytes(event);
        state.total = mmgr_event_total_bytes(event);
    }
    if (mmgr_event_part_count(event) > 0) {
        take_parts(event);
    }
    pthread_mutex_unlock(&state.mutex);
}

static void sample_rate(int64_t now)
{
    double seconds = (double)(now - state.last_sample) / 1e9;
    double rate;

    if (now - state.last_sample < RATE_NS) {
        return;
    }
    // What a resumed job had at its start is no speed.
    if (state.sample_bytes != 0 && state.bytes >= state.sample_bytes) {
        rate = (double)(state.bytes - state.sample_bytes) / seconds;
        state.rate = state.rate == 0 ? rate : state.rate * 0.7 + rate * 0.3;
    }
    state.sample_bytes = state.bytes;
    state.last_sample = now;
}

static void put_rate(FILE *out)
{
    char text[CLI_SIZE_TEXT];
    uint64_t left;

    if (state.rate < 1) {
        return;
    }
    left = state.bytes < state.total ? (uint64_t)((double)(state.total - state.bytes) / state.rate)
                                     : 0;
    fprintf(out, "  %s/s", cli_size(text, (uint64_t)state.rate));
    if (left >= 3600) {
        fprintf(out, "  %llu:%02llu h left", (unsigned long long)(left / 3600),
                (unsigned long long)(left / 60 % 60));
    } else {
        fprintf(out, "  %llu:%02llu left", (unsigned long long)(left / 60),
                (unsigned long long)(left % 60));
    }
}

static const char *next_character(const char *text)
{
    do {
        text++;
    } while (((unsigned char)*text & 0xc0) == 0x80);
    return text;
}

/* A name padded to the columns. Of a long one the middle goes: the folder in front and the ending
 * tell most. */
static void put_name(FILE *out, const char *name, unsigned columns)
{
    char *escaped = NULL;
    size_t size;
    FILE *memory = open_memstream(&escaped, &size);
    const char *head, *tail;

    if (memory == NULL) {
        return;
    }
    cli_put(memory, name != NULL ? name : "");
    fclose(memory);
    head = tail = escaped;
    if (cli_width(escaped) > columns) {
        size_t all = cli_width(escaped);

        while (all - cli_width(head) < columns / 3) {
            head = next_character(head);
        }
        while (all - cli_width(head) + 2 + cli_width(tail) > columns) {
            tail = next_character(tail);
        }
        fprintf(out, "%.*s..", (int)(head - escaped), escaped);
        columns -= (unsigned)(all - cli_width(head)) + 2;
    }
    fprintf(out, "%s%*s", tail, (int)(columns - cli_width(tail)), "");
    free(escaped);
}

static void put_bar(FILE *out, const char *name, uint64_t bytes, uint64_t total, unsigned columns,
                    int is_total)
{
    char done[CLI_SIZE_TEXT], all[CLI_SIZE_TEXT];
    int is_wide = columns >= WIDE_COLUMNS;
    unsigned name_columns = columns / 4 < NAME_COLUMNS ? columns / 4 : NAME_COLUMNS;
    // What is left of the line after name, sizes and, in the last line, rate and time.
    int bar = (int)columns - (int)name_columns - (is_wide ? 29 : 16) - 3 - 28;
    double part = total > 0 ? (double)bytes / (double)total : 0;
    int i;

    part = part > 1 ? 1 : part;
    put_name(out, name, name_columns);
    if (bar > 4) {
        fputs(" [", out);
        for (i = 0; i < bar; i++) {
            fputc(i < (int)(part * bar) ? '#' : '.', out);
        }
        fputc(']', out);
    }
    fprintf(out, " %3d%%", (int)(part * 100));
    fprintf(out, " %10s", cli_size(done, bytes));
    if (is_wide) {
        fprintf(out, " / %s", total > 0 ? cli_size(all, total) : "?");
    }
    if (is_total && columns >= LEAST_COLUMNS) {
        put_rate(out);
    }
    fputs("\x1b[K\n", out);
}

static void erase(FILE *out)
{
    if (state.drawn > 0) {
        fprintf(out, "\r\x1b[%uA\x1b[J", state.drawn);
        state.drawn = 0;
    }
}

static void draw_bars(FILE *out)
{
    struct winsize window = {0};
    unsigned columns = 80, bars = MOST_BARS;
    uint32_t i;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
        columns = window.ws_col;
        bars = window.ws_row > 4 && window.ws_row - 3u < bars ? window.ws_row - 3u : bars;
    }
    columns = columns > 20 ? columns - 1 : 20;
    erase(out);
    for (i = 0; state.part_count > 1 && i < state.part_count; i++) {
        struct part *part = &state.parts[i];

        // A finished file moves up, out of the part that is drawn again and again.
        if (!part->said && part->total > 0 && part->bytes >= part->total) {
            put_bar(out, part->name, part->bytes, part->total, columns, 0);
            part->said = 1;
        }
    }
    for (i = 0; state.part_count > 1 && i < state.part_count && state.drawn < bars; i++) {
        struct part *part = &state.parts[i];

        if (part->bytes > 0 && !part->said) {
            put_bar(out, part->name, part->bytes, part->total, columns, 0);
            state.drawn++;
        }
    }
    put_bar(out, state.placing ? "identifying, placing" : "total", state.bytes, state.total,
            columns, !state.placing);
    state.drawn++;
}

static void put_line(FILE *out, int64_t now)
{
    char done[CLI_SIZE_TEXT], all[CLI_SIZE_TEXT];
    unsigned tenth = state.total > 0 ? (unsigned)(state.bytes * 10.0 / (double)state.total) : 0;

    if (now - state.last_draw < LINE_LEAST_NS ||
        (tenth == state.last_tenth && now - state.last_draw < LINE_NS) || state.total == 0) {
        return;
    }
    fprintf(out, "modelmgr: %3d%% %s / %s",
            (int)((double)state.bytes * 100.0 / (double)state.total), cli_size(done, state.bytes),
            cli_size(all, state.total));
    put_rate(out);
    fputc('\n', out);
    state.last_tenth = tenth;
    state.last_draw = now;
}

/* Everything of one redraw in one write, so that nothing flickers. */
static void draw(int64_t now)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);

    if (memory == NULL) {
        return;
    }
    if (state.mode == LINES) {
        put_line(memory, now);
    } else {
        draw_bars(memory);
        state.last_draw = now;
    }
    fclose(memory);
    fwrite(text, 1, size, stderr);
    fflush(stderr);
    free(text);
}

void cli_progress_tick(void)
{
    int64_t now = cli_now();

    if (state.mode == OFF) {
        return;
    }
    pthread_mutex_lock(&state.mutex);
    sample_rate(now);
    if (state.mode == LINES || (now - state.last_draw >= REDRAW_NS && state.total > 0)) {
        draw(now);
    }
    pthread_mutex_unlock(&state.mutex);
}

void cli_progress_hide(void)
{
    pthread_mutex_lock(&state.mutex);
    erase(stderr);
}

void cli_progress_show(void)
{
    pthread_mutex_unlock(&state.mutex);
}

void cli_progress_end(void)
{
    pthread_mutex_lock(&state.mutex);
    if (state.mode == BARS && state.total > 0) {
        draw(cli_now());
    }
    state.drawn = 0; // the last picture stays
    forget_parts();
    state.mode = OFF;
    pthread_mutex_unlock(&state.mutex);
}
