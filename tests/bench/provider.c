/* The fake provider of tests/support/provider.py in C, for as much of it as the simulator is measured with: the same
 * bytes for a plain chat completion and for a stream of one. What it costs is what the kernel costs.
 *
 *     cc -O2 -o provider provider.c && ./provider PORT
 *
 * One thread, one epoll; a wheel of milliseconds holds the streams by when their next event is due. Linux only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 16384, SLOTS = 65536, EVENTS = 256 };

#define CHUNK_START \
    "data: {\"id\":\"chatcmpl-8fWz\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"big-1\"," \
    "\"choices\":[{\"index\":0,\"delta\":"
#define FIRST CHUNK_START "{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
#define LAST CHUNK_START "{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
#define CONTENT CHUNK_START "{\"content\":\"%06d lorem lorem lorem lorem\"},\"finish_reason\":null}]}\n\n"
#define STREAM_HEAD \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n" \
    "x-request-id: req_1\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ANSWER \
    "{\"id\":\"chatcmpl-8fWz\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"big-1\"," \
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"xxxxxxxxxxxxxxxxxxxx\"}," \
    "\"finish_reason\":\"stop\",\"logprobs\":null}]," \
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}"

struct peer {
    int fd, size;
    int told, events;       /* of the stream under way: content events sent, and asked for; 0 asked: none is under way */
    double every_ms, due_ms;
    struct peer *next;      /* in its slot of the wheel */
    char request[REQUEST_MAX + 1];
};

static struct peer *wheel[SLOTS];
static long turned; /* the millisecond up to which the wheel has turned */
static int poll_fd;

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void send_all(struct peer *peer, const char *data, int size) {
    if (send(peer->fd, data, size, MSG_NOSIGNAL) != size)
        shutdown(peer->fd, SHUT_RDWR); /* its end is seen in the loop; a client that is too slow is none of these */
}

static int chunk(char *out, const char *events) {
    return sprintf(out, "%zx\r\n%s\r\n", strlen(events), events);
}

static void wait_for_next(struct peer *peer) {
    long tick = (long)peer->due_ms;
    if (tick <= turned)
        tick = turned + 1;
    peer->next = wheel[tick % SLOTS];
    wheel[tick % SLOTS] = peer;
}

static void next_event(struct peer *peer) {
    char events[1024], out[1200];
    if (peer->fd < 0) { /* it has left meanwhile */
        free(peer);
        return;
    }
    if (peer->due_ms > turned + 1) { /* more than a turn of the wheel away */
        wait_for_next(peer);
        return;
    }
    sprintf(events, CONTENT, peer->told++);
    int size = chunk(out, events);
    if (peer->told == peer->events) {
        size += chunk(out + size, LAST);
        size += sprintf(out + size, "0\r\n\r\n");
        peer->events = 0;
    }
    send_all(peer, out, size);
    if (peer->events) {
        peer->due_ms += peer->every_ms;
        wait_for_next(peer);
    }
}

static void turn_wheel(void) {
    for (long until = (long)now_ms(); turned < until;) {
        struct peer *peer = wheel[++turned % SLOTS];
        wheel[turned % SLOTS] = NULL;
        while (peer) {
            struct peer *next = peer->next;
            next_event(peer);
            peer = next;
        }
    }
}

static void serve(struct peer *peer, char *body) {
    static const char plain[] = ANSWER;
    char out[2048];
    if (!strstr(body, "\"stream\":true") && !strstr(body, "\"stream\": true")) {
        int size = sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_1\r\n"
                                "Content-Length: %zu\r\n\r\n%s", sizeof plain - 1, plain);
        send_all(peer, out, size);
        return;
    }
    double every_s = 0, after_s = 0;
    char *play = strstr(body, "play ");
    peer->told = 0;
    if (!play || sscanf(play, "play %d events every %lf s after %lf s", &peer->events, &every_s, &after_s) != 3)
        peer->events = 1;
    int size = sprintf(out, "%s", STREAM_HEAD);
    size += chunk(out + size, FIRST);
    send_all(peer, out, size);
    peer->every_ms = every_s * 1e3;
    peer->due_ms = now_ms() + after_s * 1e3;
    wait_for_next(peer);
}

static void read_requests(struct peer *peer) {
    int got = recv(peer->fd, peer->request + peer->size, REQUEST_MAX - peer->size, 0);
    if (got <= 0 || peer->size + got == REQUEST_MAX) {
        close(peer->fd);
        peer->fd = -1;
        if (!peer->events) /* else it is in the wheel, and freed there */
            free(peer);
        return;
    }
    peer->request[peer->size += got] = 0;
    char *end;
    while (!peer->events && (end = strstr(peer->request, "\r\n\r\n"))) {
        *end = 0;
        char *field = strcasestr(peer->request, "\r\ncontent-length:");
        int head = end + 4 - peer->request, body = field ? atoi(field + 17) : 0;
        *end = '\r';
        if (peer->size < head + body)
            return;
        char kept = peer->request[head + body];
        peer->request[head + body] = 0;
        serve(peer, peer->request + head);
        peer->request[head + body] = kept;
        memmove(peer->request, peer->request + head + body, peer->size -= head + body);
        peer->request[peer->size] = 0;
    }
}

static void take_in(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *peer = calloc(1, sizeof *peer);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        if (!peer)
            exit(1);
        peer->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int count, char **words) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event seen[EVENTS], accepting = {.events = EPOLLIN};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    place.sin_port = htons(count > 1 ? atoi(words[1]) : 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 4096)) {
        perror("provider");
        return 1;
    }
    poll_fd = epoll_create1(0);
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &accepting);
    turned = (long)now_ms();
    for (;;) {
        int found = epoll_wait(poll_fd, seen, EVENTS, 1);
        for (int i = 0; i < found; i++) {
            if (seen[i].data.ptr)
                read_requests(seen[i].data.ptr);
            else
                take_in(listener);
        }
        turn_wheel();
    }
}
