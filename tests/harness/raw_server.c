/* An HTTP/1.1 server whose answers are what the request's target asks for, octet by octet if need be.
 *
 *   raw_server --version V --late MS ADDR4:PORT [more addresses]
 *
 * GET /?status=200&frame=length&size=1000 and further parameters, all optional:
 *   status=N    of the final answer; 204 and 304 have no body
 *   frame=F     length (default) | chunked | close (the connection ends with the body)
 *   size=N      octets of body, at most 1 MiB: wire_octet(0), wire_octet(1), ...
 *   ext=1       chunks have extensions
 *   interim=N   that many 103 heads come first
 *   wait=MS     before the first octet; --late comes on top
 *   split=N     send N octets at a time, each send a segment of its own
 *   at=N        send N octets, then, after the pause, the rest
 *   pause=US    between two sends
 *   cut=N       the connection ends after N octets of the answer (FIN); with rst=1 by RST
 * Every head carries x-version; whoever expects it gets a 100 first. One thread a connection; says `ready` when all
 * addresses listen, ends on SIGTERM.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "raw_http.h"

#define HEAD_MAX 65536u
#define LISTENERS_MAX 64

static const char* version;
static long late_ms;

struct wanted {
    char frame[12];
    long status, size, interim, wait_ms, split, at, pause_us, cut, rst, extensions;
    int head; /* the method was HEAD */
};

/* What was read and not used yet. */
struct input {
    int fd;
    size_t from, to;
    char data[HEAD_MAX + 1];
};

static int fill(struct input* in) {
    if (in->from > 0) {
        memmove(in->data, in->data + in->from, in->to - in->from);
        in->to -= in->from;
        in->from = 0;
    }
    if (in->to == HEAD_MAX)
        return 0;
    ssize_t n = recv(in->fd, in->data + in->to, HEAD_MAX - in->to, 0);
    if (n <= 0)
        return 0;
    in->to += (size_t)n;
    return 1;
}

/* Length of what ends with `end`, from the first unused octet; 0: the connection ended before. */
static size_t find(struct input* in, const char* end) {
    for (;;) {
        const char* at = memmem(in->data + in->from, in->to - in->from, end, strlen(end));
        if (at)
            return (size_t)(at - (in->data + in->from)) + strlen(end);
        if (!fill(in))
            return 0;
    }
}

static int skip(struct input* in, size_t count) {
    for (;;) {
        size_t there = in->to - in->from;
        size_t now = there < count ? there : count;
        in->from += now;
        count -= now;
        if (count == 0)
            return 1;
        if (!fill(in))
            return 0;
    }
}

static int skip_chunks(struct input* in) {
    for (;;) {
        size_t line = find(in, "\r\n");
        if (line == 0)
            return 0;
        size_t size = strtoul(in->data + in->from, NULL, 16);
        if (!skip(in, line + size + 2)) /* without trailers the last chunk is an empty line too */
            return 0;
        if (size == 0)
            return 1;
    }
}

static long number(const char* target, const char* name, long otherwise) {
    char pattern[16];
    snprintf(pattern, sizeof(pattern), "%s=", name);
    for (const char* at = target; (at = strstr(at, pattern)); at++)
        if (at[-1] == '?' || at[-1] == '&')
            return atol(at + strlen(pattern));
    return otherwise;
}

static struct wanted parse(const char* target, int head) {
    struct wanted w = {.frame = "length", .head = head};
    const char* frame = strstr(target, "frame=");
    if (frame)
        sscanf(frame, "frame=%11[a-z]", w.frame);
    w.status = number(target, "status", 200);
    w.size = number(target, "size", 0);
    w.interim = number(target, "interim", 0);
    w.wait_ms = number(target, "wait", 0);
    w.split = number(target, "split", 0);
    w.at = number(target, "at", 0);
    w.pause_us = number(target, "pause", 0);
    w.cut = number(target, "cut", -1);
    w.rst = number(target, "rst", 0);
    w.extensions = number(target, "ext", 0);
    if (w.size < 0 || w.size > WIRE_BODY_MAX)
        w.size = 0;
    return w;
}

/* Reads one request with its body; 0: the connection ended. */
static int receive(struct input* in, struct wanted* w) {
    size_t length = find(in, "\r\n\r\n");
    if (length == 0)
        return 0;
    char* head = strndup(in->data + in->from, length);
    if (!head)
        abort();
    char* line_end = strchr(head, '\r');
    *line_end = 0;
    char* target = strchr(head, ' ');
    *w = parse(target ? target + 1 : "", strncmp(head, "HEAD ", 5) == 0);
    const char* rest = line_end + 1;
    const char* counted = strcasestr(rest, "\ncontent-length:");
    int chunked = strcasestr(rest, "\ntransfer-encoding: chunked") != NULL;
    size_t body = counted ? strtoul(counted + 16, NULL, 10) : 0;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    int asks = strcasestr(rest, "\nexpect: 100-continue") != NULL;
    free(head);
    if (asks && !wire_send(in->fd, go_on, sizeof(go_on) - 1))
        return 0;
    return skip(in, length + body) && (!chunked || skip_chunks(in));
}

static size_t body_of(const struct wanted* w, char* out) {
    static const size_t sizes[] = {1, 2, 15, 16, 255, 4096, 70000};
    size_t used = 0, done = 0;
    if (strcmp(w->frame, "chunked") != 0) {
        for (; done < (size_t)w->size; done++)
            out[done] = wire_octet(done);
        return done;
    }
    for (unsigned i = 0; done < (size_t)w->size; i++) {
        size_t left = (size_t)w->size - done, now = sizes[i % 7] < left ? sizes[i % 7] : left;
        used += (size_t)sprintf(out + used, "%zx%s\r\n", now, w->extensions ? ";a=\"b\"" : "");
        for (size_t end = done + now; done < end; done++)
            out[used++] = wire_octet(done);
        used += (size_t)sprintf(out + used, "\r\n");
    }
    return used + (size_t)sprintf(out + used, "0\r\n\r\n");
}

/* The whole answer, in memory of the caller's. */
static size_t answer_of(const struct wanted* w, char** out) {
    /* Each chunk adds 14 octets at most, and six chunks in seven are short. */
    char* text = *out = malloc((size_t)w->size + (size_t)w->size / 64 + 8192 + (size_t)w->interim * 128);
    if (!text)
        abort();
    size_t used = 0;
    for (long i = 0; i < w->interim; i++)
        used += (size_t)sprintf(text + used, "HTTP/1.1 103 Early Hints\r\nlink: </%ld>\r\n\r\n", i);
    used += (size_t)sprintf(text + used, "HTTP/1.1 %ld Said So\r\nx-version: %s\r\n", w->status, version);
    int bodiless = w->status == 204 || w->status == 304;
    if (strcmp(w->frame, "chunked") == 0 && !bodiless)
        used += (size_t)sprintf(text + used, "transfer-encoding: chunked\r\n\r\n");
    else if (strcmp(w->frame, "close") == 0)
        used += (size_t)sprintf(text + used, "connection: close\r\n\r\n");
    else
        used += (size_t)sprintf(text + used, w->status == 204 ? "\r\n" : "content-length: %ld\r\n\r\n", w->size);
    if (!w->head && !bodiless)
        used += body_of(w, text + used);
    return used;
}

/* 1: the connection goes on. */
static int answer(int fd, const struct wanted* w) {
    char* text;
    size_t length = answer_of(w, &text), end = length;
    int going_on = strcmp(w->frame, "close") != 0;
    if (w->cut >= 0 && (size_t)w->cut < end) {
        end = (size_t)w->cut;
        going_on = 0;
    }
    wire_pause_us((late_ms + w->wait_ms) * 1000);
    size_t first = w->at > 0 ? (size_t)w->at : 0, step = w->split > 0 ? (size_t)w->split : end;
    for (size_t from = 0; from < end;) {
        size_t now = from == 0 && first ? first : step;
        now = now < end - from ? now : end - from;
        if (!wire_send(fd, text + from, now)) {
            going_on = 0;
            break;
        }
        from += now;
        if (from < end)
            wire_pause_us(w->pause_us);
    }
    free(text);
    if (w->rst) {
        struct linger reset = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        going_on = 0;
    }
    return going_on;
}

static void* serve(void* argument) {
    int fd = (int)(long)argument, one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct input* in = calloc(1, sizeof(*in));
    if (!in)
        abort();
    in->fd = fd;
    struct wanted w;
    while (receive(in, &w) && answer(fd, &w)) {
    }
    free(in);
    close(fd);
    return NULL;
}

static void* accept_all(void* argument) {
    int listener = (int)(long)argument;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 128 << 10);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (fd >= 0 && pthread_create(&thread, &attributes, serve, (void*)(long)fd) != 0)
            close(fd);
    }
    return NULL;
}

static int listen_at(char* text) {
    struct sockaddr_in address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!wire_address(text, &address))
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr*)&address, sizeof(address)) || listen(fd, 4096)) {
        perror(text);
        return -1;
    }
    return fd;
}

int main(int argc, char** argv) {
    if (argc < 6 || argc > 5 + LISTENERS_MAX || strcmp(argv[1], "--version") || strcmp(argv[3], "--late"))
        return 2;
    version = argv[2];
    late_ms = atol(argv[4]);
    pthread_t threads[LISTENERS_MAX];
    for (int i = 5; i < argc; i++) {
        int fd = listen_at(argv[i]);
        if (fd < 0 || pthread_create(&threads[i - 5], NULL, accept_all, (void*)(long)fd))
            return 1;
    }
    puts("ready");
    fflush(stdout);
    pthread_join(threads[0], NULL);
    return 0;
}
