/* Dials one address again and again and believes an answer only if it carries this connection's nonce and a version.
 *
 *   dial --to ADDR:PORT [--count N] [--seconds S] [--threads T] [--rate PER_SECOND] [--source ADDR4] [--sources N]
 *        [--timeout-ms MS] [--fin] --log FILE
 *
 * It ends by itself: after N connections, after S seconds (120 at the most), or on SIGTERM, always with the log whole.
 * One line a connection: start_ns end_ns thread result version server, times of CLOCK_MONOTONIC, result one of
 * ok | E<errno name> (connect failed) | reset | silent | wrong (answer without our nonce) | peer (getpeername differs
 * from what was dialled). Connections end by RST, so no TIME_WAIT uses up ports, unless --fin.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 32
#define SECONDS_MAX 120.0

struct record {
    uint64_t start_ns, end_ns;
    char result[16], version[16], server[64];
};

struct worker {
    pthread_t thread;
    int number;
    struct record* records;
    size_t used, capacity;
};

static struct sockaddr_storage to;
static socklen_t to_length;
static long count = 1;
static double seconds = SECONDS_MAX, rate;
static int threads = 1, timeout_ms = 5000, fin, sources = 1;
static struct in_addr source;
static long taken;
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

/* Copies the JSON string value of "key":"..." in text. */
static int field(const char* text, const char* key, char* out, size_t size) {
    char pattern[32];
    snprintf(pattern, sizeof(pattern), "\"%s\":\"", key);
    const char* from = strstr(text, pattern);
    if (!from)
        return 0;
    from += strlen(pattern);
    const char* end = strchr(from, '"');
    if (!end || (size_t)(end - from) >= size)
        return 0;
    memcpy(out, from, (size_t)(end - from));
    out[end - from] = 0;
    return 1;
}

/* Reads one answer with its Content-Length; 1 when whole. */
static int read_answer(int fd, char* buffer, size_t size) {
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t n = recv(fd, buffer + used, size - 1 - used, 0);
        if (n <= 0)
            return n < 0 && errno == ECONNRESET ? -1 : 0;
        used += (size_t)n;
        buffer[used] = 0;
        const char* body = strstr(buffer, "\r\n\r\n");
        const char* length = strcasestr(buffer, "content-length:");
        if (body && length && used >= (size_t)(body + 4 - buffer) + strtoul(length + 15, NULL, 10))
            return 1;
    }
    return 0;
}

static void exchange(int fd, struct record* r) {
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof(peer);
    if (getpeername(fd, (struct sockaddr*)&peer, &peer_length) || peer_length != to_length ||
        memcmp(&peer, &to, to_length) != 0) {
        strcpy(r->result, "peer");
        return;
    }
    uint64_t random;
    char nonce[24], body[64], request[256], answer[4096], echoed[24];
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort();
    snprintf(nonce, sizeof(nonce), "%016llx", (unsigned long long)random);
    int body_length = snprintf(body, sizeof(body), "{\"nonce\":\"%s\"}", nonce);
    int length = snprintf(request, sizeof(request),
                          "POST /v1/models/content-ranking:predict HTTP/1.1\r\nhost: content-ranking\r\n"
                          "content-length: %d\r\n\r\n%s",
                          body_length, body);
    strcpy(r->result, "silent");
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        if (errno == ECONNRESET || errno == EPIPE)
            strcpy(r->result, "reset");
        return;
    }
    int got = read_answer(fd, answer, sizeof(answer));
    if (got < 0)
        strcpy(r->result, "reset");
    if (got <= 0)
        return;
    strcpy(r->result, "wrong");
    if (field(answer, "nonce", echoed, sizeof(echoed)) && strcmp(echoed, nonce) == 0 &&
        field(answer, "version", r->version, sizeof(r->version)) &&
        field(answer, "server", r->server, sizeof(r->server)))
        strcpy(r->result, "ok");
}

static void dial(struct record* r, long number) {
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (!fin)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (source.s_addr) {
        int one = 1;
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(ntohl(source.s_addr) + (uint32_t)(number % sources));
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
        if (bind(fd, (struct sockaddr*)&from, sizeof(from)))
            perror("dial: bind");
    }
    r->start_ns = now_ns();
    if (connect(fd, (struct sockaddr*)&to, to_length))
        snprintf(r->result, sizeof(r->result), "%s", strerrorname_np(errno));
    else
        exchange(fd, r);
    close(fd);
    r->end_ns = now_ns();
}

static void* work(void* argument) {
    struct worker* w = argument;
    uint64_t begin = now_ns();
    while (!stopped && (double)(now_ns() - begin) / 1e9 < seconds) {
        long number = __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
        if (number >= count)
            break;
        if (rate > 0) {
            uint64_t due = begin + (uint64_t)((double)number / rate * 1e9);
            struct timespec t = {(time_t)(due / 1000000000ull), (long)(due % 1000000000ull)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        }
        if (w->used == w->capacity) {
            w->capacity = w->capacity ? 2 * w->capacity : 1024;
            w->records = realloc(w->records, w->capacity * sizeof(*w->records));
            if (!w->records)
                abort();
        }
        struct record* r = &w->records[w->used++];
        memset(r, 0, sizeof(*r));
        dial(r, number);
    }
    return NULL;
}

static int parse_address(char* text) {
    char* colon = strrchr(text, ':');
    if (!colon)
        return -1;
    *colon = 0;
    uint16_t port = htons((uint16_t)atoi(colon + 1));
    struct sockaddr_in* v4 = (struct sockaddr_in*)&to;
    struct sockaddr_in6* v6 = (struct sockaddr_in6*)&to;
    if (text[0] == '[') {
        text[strlen(text) - 1] = 0;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
        to_length = sizeof(*v6);
        return inet_pton(AF_INET6, text + 1, &v6->sin6_addr) == 1 ? 0 : -1;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = port;
    to_length = sizeof(*v4);
    return inet_pton(AF_INET, text, &v4->sin_addr) == 1 ? 0 : -1;
}

int main(int argc, char** argv) {
    static const struct option options[] = {
        {"to", 1, 0, 'a'},   {"count", 1, 0, 'c'},  {"seconds", 1, 0, 's'}, {"threads", 1, 0, 't'},
        {"rate", 1, 0, 'r'}, {"source", 1, 0, 'b'}, {"sources", 1, 0, 'n'}, {"timeout-ms", 1, 0, 'm'},
        {"fin", 0, 0, 'f'},  {"log", 1, 0, 'l'},    {0, 0, 0, 0},
    };
    const char* log_path = NULL;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int bad = 0;
        switch (option) {
            case 'a':
                bad = parse_address(optarg);
                break;
            case 'c':
                count = atol(optarg);
                break;
            case 's':
                seconds = atof(optarg);
                break;
            case 't':
                threads = atoi(optarg);
                break;
            case 'r':
                rate = atof(optarg);
                break;
            case 'b':
                bad = inet_pton(AF_INET, optarg, &source) != 1;
                break;
            case 'n':
                sources = atoi(optarg);
                break;
            case 'm':
                timeout_ms = atoi(optarg);
                break;
            case 'f':
                fin = 1;
                break;
            case 'l':
                log_path = optarg;
                break;
            default:
                bad = 1;
        }
        if (bad)
            return 2;
    }
    if (!to_length || !log_path || threads < 1 || threads > THREADS_MAX || sources < 1)
        return 2;
    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    FILE* log = fopen(log_path, "w");
    if (!log)
        return 2;
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    static struct worker workers[THREADS_MAX];
    puts("dialling");
    fflush(stdout);
    for (int i = 0; i < threads; i++) {
        workers[i].number = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            abort();
    }
    for (int i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < threads; i++)
        for (size_t j = 0; j < workers[i].used; j++) {
            const struct record* r = &workers[i].records[j];
            fprintf(log, "%llu %llu %d %s %s %s\n", (unsigned long long)r->start_ns, (unsigned long long)r->end_ns, i,
                    r->result, r->version[0] ? r->version : "-", r->server[0] ? r->server : "-");
        }
    return fclose(log) ? 1 : 0;
}
