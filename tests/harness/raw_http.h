/* What raw_server.c and raw_client.c agree on. */
#ifndef SLUICE_TESTS_RAW_HTTP_H
#define SLUICE_TESTS_RAW_HTTP_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define WIRE_BODY_MAX (1l << 20)

/* Octets of every body: heads of answers that nobody sent, to lead astray whoever loses count. */
static inline char wire_octet(size_t at) {
    static const char text[] = "HTTP/1.1 500 No\r\ncontent-length: 7\r\n\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n";
    return text[at % (sizeof(text) - 1)];
}

static inline void wire_pause_us(long us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    if (us > 0)
        nanosleep(&t, NULL);
}

/* 1: all of it was taken. */
static inline int wire_send(int fd, const char* data, size_t length) {
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n <= 0)
            return 0;
        data += n;
        length -= (size_t)n;
    }
    return 1;
}

/* Reads ADDR4:PORT; 0: it is none. */
static inline int wire_address(const char* text, struct sockaddr_in* out) {
    char host[32];
    const char* colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(host))
        return 0;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    memset(out, 0, sizeof(*out));
    out->sin_family = AF_INET;
    out->sin_port = htons((unsigned short)atoi(colon + 1));
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

#endif
