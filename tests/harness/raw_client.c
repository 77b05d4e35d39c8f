/* An HTTP/1.1 client for raw_server.c that knows each octet and each time of what it asked.
 *
 *   raw_client --to ADDR4:PORT --count N [--threads T] [--mode mix|octets|points|timed] [--seed S] [--seconds S] --log
 * FILE
 *
 *   mix     requests of all methods, framings, sizes and statuses, whole, over keep-alive connections
 *   octets  small ones, every octet of request and answer sent on its own, with pauses
 *   points  request number i and its answer are split at octet i, and nowhere else
 *   timed   small ones, answered after 0, 3, 7 and 30 ms in turn
 *
 * It ends by itself: after N requests, S seconds (100 at the most), or on SIGTERM once the requests in flight have
 * their answers. One line a request: status version method request_octets answer_octets first_octet_ns end_ns result;
 * times since its first octet was sent; result: ok | broken (the connection ended early) | wrong (not the octets
 * expected).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "raw_http.h"

#define THREADS_MAX 64
#define SECONDS_MAX 100.0
#define BUFFER (256u << 10)

enum mode { MIX, OCTETS, POINTS, TIMED };

struct record {
    uint64_t sent, received, first_ns, end_ns;
    const char *method, *result;
    int status;
    char version[8];
};

struct worker {
    pthread_t thread;
    uint64_t random;
    int fd;
    size_t used, capacity;
    struct record* records;
    char buffer[BUFFER];
    size_t from, to; /* of what was read and not used yet */
    uint64_t read_ns, received;
};

struct asked {
    const char *method, *frame;
    int status, chunked;
    size_t size, body, interim;
    char text[4096 + (16u << 10)];
    size_t length;
};

static struct sockaddr_in to;
static long count = 1, taken;
static double seconds = SECONDS_MAX;
static enum mode mode;
static volatile sig_atomic_t stopped;

static void on_term(int sig) {
    (void)sig;
    stopped = 1;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* xorshift64* */
static uint64_t draw(struct worker* w, uint64_t below) {
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (w->random * 2685821657736338717ull >> 16) % below;
}

static int dial(struct worker* w) {
    int one = 1;
    struct timeval limit = {20, 0};
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    w->from = w->to = 0;
    if (connect(w->fd, (struct sockaddr*)&to, sizeof(to)) == 0)
        return 1;
    close(w->fd);
    w->fd = -1;
    return 0;
}

/* What to ask, and the octets of it. `i`: the request's number. */
static void choose(struct worker* w, long i, struct asked* a) {
    static const int statuses[] = {200, 200, 200, 200, 204, 304, 404, 500, 503};
    static const char* frames[] = {"length", "length", "length", "chunked", "chunked", "close"};
    static const char* methods[] = {"GET", "GET", "POST", "HEAD", "PUT"};
    static const size_t sizes[] = {0, 1, 17, 100, 1000, 1448, 4096, 20000};
    static const int waits[] = {0, 3, 7, 30};
    a->status = statuses[draw(w, 9)];
    a->frame = frames[draw(w, 6)];
    a->method = methods[draw(w, 5)];
    a->size = sizes[draw(w, mode == MIX ? 8 : 4)];
    if (mode == MIX && draw(w, 100) == 0)
        a->size = (size_t)WIRE_BODY_MAX;
    a->interim = draw(w, 8) == 0 ? 2 : 0;
    a->chunked = (int)draw(w, 2);
    a->body = a->method[0] == 'P' ? draw(w, mode == MIX ? 16000 : 20) : 0;
    char split[64] = "";
    if (mode == OCTETS)
        snprintf(split, sizeof(split), "&split=1&pause=%d", (int)draw(w, 60));
    if (mode == TIMED)
        snprintf(split, sizeof(split), "&wait=%d", waits[i % 4]);
    if (mode == POINTS)
        snprintf(split, sizeof(split), "&at=%ld&pause=300", 1 + i % 250);
    int n = snprintf(a->text, sizeof(a->text),
                     "%s /?status=%d&frame=%s&size=%zu&interim=%zu%s HTTP/1.1\r\nhost: content-ranking\r\n", a->method,
                     a->status, a->frame, a->size, a->interim, split);
    size_t used = (size_t)n;
    if (a->method[0] != 'P') {
        a->length = used + (size_t)sprintf(a->text + used, "\r\n");
        return;
    }
    used += (size_t)(a->chunked ? sprintf(a->text + used, "transfer-encoding: chunked\r\n\r\n")
                                : sprintf(a->text + used, "content-length: %zu\r\n\r\n", a->body));
    for (size_t done = 0; done < a->body;) {
        size_t now = a->chunked && a->body - done > 999 ? 999 : a->body - done;
        if (a->chunked)
            used += (size_t)sprintf(a->text + used, "%zX\r\n", now);
        for (size_t end = done + now; done < end; done++)
            a->text[used++] = wire_octet(done);
        if (a->chunked)
            used += (size_t)sprintf(a->text + used, "\r\n");
    }
    if (a->chunked)
        used += (size_t)sprintf(a->text + used, "0\r\n\r\n");
    a->length = used;
}

static int send_request(struct worker* w, long i, const struct asked* a) {
    if (mode == MIX || mode == TIMED)
        return wire_send(w->fd, a->text, a->length);
    size_t point = 1 + (size_t)i % (a->length - 1);
    for (size_t from = 0, now; from < a->length; from += now) {
        now = mode == OCTETS ? 1 : from == 0 ? point : a->length - from;
        if (!wire_send(w->fd, a->text + from, now))
            return 0;
        wire_pause_us(mode == OCTETS ? (long)draw(w, 60) : from == 0 ? 300 : 0);
    }
    return 1;
}

static int fill(struct worker* w) {
    if (w->from == w->to)
        w->from = w->to = 0;
    if (w->from > 0 && w->to == BUFFER) {
        memmove(w->buffer, w->buffer + w->from, w->to - w->from);
        w->to -= w->from;
        w->from = 0;
    }
    ssize_t n = recv(w->fd, w->buffer + w->to, BUFFER - w->to, 0);
    w->read_ns = now_ns();
    if (n <= 0)
        return 0;
    w->to += (size_t)n;
    w->received += (size_t)n;
    return 1;
}

/* A line or a head with its end; its length, 0: the connection ended. */
static size_t until(struct worker* w, const char* end) {
    for (;;) {
        char* at = memmem(w->buffer + w->from, w->to - w->from, end, strlen(end));
        if (at)
            return (size_t)(at - (w->buffer + w->from)) + strlen(end);
        if (!fill(w))
            return 0;
    }
}

/* Takes `size` octets of body from position `done` on: 1 when they came and are the expected ones. */
static int take_body(struct worker* w, size_t done, size_t size) {
    while (size > 0) {
        if (w->from == w->to && !fill(w))
            return 0;
        for (; w->from < w->to && size > 0; size--)
            if (w->buffer[w->from++] != wire_octet(done++))
                return 0;
    }
    return 1;
}

static int take_chunks(struct worker* w, size_t size) {
    for (size_t done = 0;;) {
        size_t line = until(w, "\r\n");
        if (line == 0)
            return 0;
        size_t now = strtoul(w->buffer + w->from, NULL, 16);
        w->from += line;
        if (!take_body(w, done, now) || until(w, "\r\n") != 2)
            return 0;
        w->from += 2;
        done += now;
        if (now == 0)
            return done == size;
    }
}

/* Reads the answer; the request's result. */
static const char* receive(struct worker* w, const struct asked* a, struct record* r, uint64_t began) {
    w->received = 0;
    for (size_t heads = 0;; heads++) {
        if (w->from == w->to && !fill(w))
            return "broken";
        r->first_ns = w->read_ns - began;
        size_t length = until(w, "\r\n\r\n");
        if (length == 0)
            return "broken";
        const char* head = w->buffer + w->from;
        r->status = atoi(head + 9);
        const char* version = memmem(head, length, "x-version: ", 11);
        if (version)
            sscanf(version + 11, "%7[a-z0-9]", r->version);
        w->from += length;
        if (r->status >= 200) {
            if (r->status != a->status || heads != a->interim)
                return "wrong";
            break;
        }
    }
    int bodiless = a->method[0] == 'H' || a->status == 204 || a->status == 304;
    int whole = bodiless || (strcmp(a->frame, "chunked") == 0 ? take_chunks(w, a->size) : take_body(w, 0, a->size));
    if (whole && strcmp(a->frame, "close") == 0)
        whole = w->from == w->to && !fill(w) && errno != ECONNRESET;
    r->end_ns = w->read_ns - began;
    r->received = w->received;
    return whole && w->from == w->to ? "ok" : "wrong";
}

static struct record* next_record(struct worker* w) {
    if (w->used == w->capacity) {
        w->capacity = w->capacity ? 2 * w->capacity : 1024;
        w->records = realloc(w->records, w->capacity * sizeof(*w->records));
        if (!w->records)
            abort();
    }
    struct record* r = &w->records[w->used++];
    *r = (struct record){.method = "-", .result = "broken", .version = "-"};
    return r;
}

static void* work(void* argument) {
    struct worker* w = argument;
    uint64_t begin = now_ns();
    static _Thread_local struct asked a;
    w->fd = -1;
    while (!stopped && (double)(now_ns() - begin) / 1e9 < seconds) {
        long i = __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
        if (i >= count)
            break;
        choose(w, i, &a);
        struct record* r = next_record(w);
        r->method = a.method;
        if (w->fd < 0 && !dial(w))
            continue;
        uint64_t began = now_ns();
        r->sent = a.length;
        if (send_request(w, i, &a))
            r->result = receive(w, &a, r, began);
        if (strcmp(r->result, "ok") != 0 || strcmp(a.frame, "close") == 0 || draw(w, 50) == 0) {
            close(w->fd);
            w->fd = -1;
        }
    }
    if (w->fd >= 0)
        close(w->fd);
    return NULL;
}

static enum mode mode_of(const char* text) {
    static const char* names[] = {"mix", "octets", "points", "timed"};
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum mode)i;
    exit(2);
}

int main(int argc, char** argv) {
    static const struct option options[] = {
        {"to", 1, 0, 'a'},   {"count", 1, 0, 'c'},   {"threads", 1, 0, 't'}, {"mode", 1, 0, 'm'},
        {"seed", 1, 0, 's'}, {"seconds", 1, 0, 'u'}, {"log", 1, 0, 'l'},     {0, 0, 0, 0},
    };
    const char* log_path = NULL;
    int threads = 1;
    uint64_t seed = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'a' && !wire_address(optarg, &to))
            return 2;
        else if (option == 'c')
            count = atol(optarg);
        else if (option == 't')
            threads = atoi(optarg);
        else if (option == 'm')
            mode = mode_of(optarg);
        else if (option == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 'u')
            seconds = atof(optarg);
        else if (option == 'l')
            log_path = optarg;
        else if (option == '?')
            return 2;
    }
    FILE* log = log_path ? fopen(log_path, "w") : NULL;
    if (!log || !to.sin_port || threads < 1 || threads > THREADS_MAX)
        return 2;
    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    static struct worker workers[THREADS_MAX];
    puts("asking");
    fflush(stdout);
    for (int i = 0; i < threads; i++) {
        workers[i].random = (seed + 1) * 0x9e3779b97f4a7c15ull + (uint64_t)i * 0xbf58476d1ce4e5b9ull;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            abort();
    }
    for (int i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < threads; i++)
        for (size_t j = 0; j < workers[i].used; j++) {
            const struct record* r = &workers[i].records[j];
            fprintf(log, "%d %s %s %llu %llu %llu %llu %s\n", r->status, r->version, r->method,
                    (unsigned long long)r->sent, (unsigned long long)r->received, (unsigned long long)r->first_ns,
                    (unsigned long long)r->end_ns, r->result);
        }
    return fclose(log) ? 1 : 0;
}
