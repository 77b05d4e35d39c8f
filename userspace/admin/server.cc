#include "admin/server.h"

#include <microhttpd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "admin/listen.h"
#include "admin/router.h"
#include "base/fd.h"

namespace sluice::admin {

namespace {

struct StopDaemon {
    void operator()(MHD_Daemon* daemon) const { MHD_stop_daemon(daemon); }
};

// One listening socket and what its requests need to know. Has a fixed address: the callbacks point at it.
struct DoorState {
    Door door = Door::kTcp;
    Backend* backend = nullptr;
    std::string own_host;
    std::size_t body_limit = 0;
    std::unique_ptr<MHD_Daemon, StopDaemon> daemon;
};

// One request while its body arrives. Owned by the connection until on_completed.
struct Pending {
    Request request;
    bool too_large = false;
};

MHD_Result take_parameter(void* out, MHD_ValueKind, const char* key, const char* value) {
    static_cast<Request*>(out)->query[key] = value ? value : "";
    return MHD_YES;
}

Peer peer_of(MHD_Connection* connection) {
    const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    ucred credentials{};
    socklen_t length = sizeof(credentials);
    if (info && ::getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) {
        return {static_cast<std::int64_t>(credentials.uid), static_cast<std::int64_t>(credentials.pid)};
    }
    return {};
}

void free_body(void* body) {
    delete static_cast<std::string*>(body);
}

MHD_Result send(MHD_Connection* connection, Answer answer) {
    auto body = std::make_unique<std::string>(std::move(answer.body));
    MHD_Response* response =
        MHD_create_response_from_buffer_with_free_callback_cls(body->size(), body->data(), free_body, body.get());
    if (!response) {
        return MHD_NO;
    }
    static_cast<void>(body.release());  // the response owns it
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.type.c_str());
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    MHD_Result queued = MHD_queue_response(connection, static_cast<unsigned>(answer.status), response);
    MHD_destroy_response(response);
    return queued;
}

Pending* begin(const DoorState& door, MHD_Connection* connection, const char* url, const char* method) {
    auto pending = std::make_unique<Pending>();
    pending->request.door = door.door;
    // HEAD is GET; libmicrohttpd leaves the body out.
    pending->request.method = std::string_view(method) == MHD_HTTP_METHOD_HEAD ? MHD_HTTP_METHOD_GET : method;
    pending->request.path = url;
    const char* host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    pending->request.host = host ? host : "";
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_parameter, &pending->request);
    if (door.door == Door::kUnix) {
        pending->request.peer = peer_of(connection);
    }
    return pending.release();
}

MHD_Result on_request(void* state, MHD_Connection* connection, const char* url, const char* method, const char*,
                      const char* upload, std::size_t* upload_size, void** slot) {
    const DoorState& door = *static_cast<DoorState*>(state);
    if (!*slot) {
        *slot = begin(door, connection, url, method);
        return MHD_YES;
    }
    Pending& pending = *static_cast<Pending*>(*slot);
    if (*upload_size != 0) {
        // The TCP door keeps no body: it answers none.
        std::size_t limit = door.door == Door::kUnix ? door.body_limit : 0;
        if (pending.request.body.size() + *upload_size > limit) {
            pending.too_large = door.door == Door::kUnix;
            pending.request.body = {};
        } else if (!pending.too_large) {
            pending.request.body.append(upload, *upload_size);
        }
        *upload_size = 0;
        return MHD_YES;
    }
    if (pending.too_large) {
        return send(connection,
                    error_answer(413, "the body is larger than " + std::to_string(door.body_limit) + " bytes"));
    }
    return send(connection, route(*door.backend, pending.request, door.own_host));
}

void on_completed(void*, MHD_Connection*, void** slot, MHD_RequestTerminationCode) {
    delete static_cast<Pending*>(std::exchange(*slot, nullptr));
}

Result<> serve(DoorState& door, Fd listener, unsigned threads, const ServerOptions& options) {
    std::vector<MHD_OptionItem> items{
        {MHD_OPTION_LISTEN_SOCKET, listener.get(), nullptr},
        {MHD_OPTION_CONNECTION_LIMIT, static_cast<intptr_t>(options.connections), nullptr},
        {MHD_OPTION_CONNECTION_TIMEOUT, static_cast<intptr_t>(options.timeout_s), nullptr},
        {MHD_OPTION_NOTIFY_COMPLETED, reinterpret_cast<intptr_t>(&on_completed), nullptr},
    };
    if (threads > 1) {
        items.push_back({MHD_OPTION_THREAD_POOL_SIZE, static_cast<intptr_t>(threads), nullptr});
    }
    items.push_back({MHD_OPTION_END, 0, nullptr});
    door.daemon.reset(MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC, 0, nullptr,
                                       nullptr, &on_request, &door, MHD_OPTION_ARRAY, items.data(), MHD_OPTION_END));
    if (!door.daemon) {
        return fail_errno("starting the HTTP server");
    }
    static_cast<void>(listener.release());  // closed by MHD_stop_daemon
    return {};
}

}  // namespace

struct Server::Impl {
    std::string socket;
    std::uint16_t port = 0;
    std::vector<std::unique_ptr<DoorState>> doors;

    ~Impl() {
        if (!socket.empty()) {
            ::unlink(socket.c_str());
        }
        doors.clear();
    }
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;

Result<Server> Server::start(const ServerOptions& options, Backend& backend) {
    auto impl = std::make_unique<Impl>();
    auto add = [&](Door door, Fd listener, std::string host, unsigned threads) {
        auto state = std::make_unique<DoorState>();
        state->door = door;
        state->backend = &backend;
        state->own_host = std::move(host);
        state->body_limit = options.body_bytes;
        impl->doors.push_back(std::move(state));
        return serve(*impl->doors.back(), std::move(listener), threads, options);
    };
    // TCP is bound first: its address is the likelier mistake, and a failed start should not touch the socket file. It
    // answers last: who sees /readyz finds the socket.
    TcpListener tcp;
    if (!options.http.empty()) {
        auto listener = listen_tcp(options.http);
        if (!listener) {
            return std::unexpected(std::move(listener.error()).within("--http"));
        }
        tcp = std::move(*listener);
        impl->port = tcp.port;
    }
    if (!options.socket.empty()) {
        auto listener = listen_unix(options.socket);
        if (!listener) {
            return std::unexpected(std::move(listener.error()).within("--run"));
        }
        impl->socket = options.socket;
        if (auto started = add(Door::kUnix, std::move(*listener), {}, 2); !started) {
            return std::unexpected(started.error());
        }
    }
    if (tcp.fd) {
        if (auto started = add(Door::kTcp, std::move(tcp.fd), tcp.host, 1); !started) {
            return std::unexpected(started.error());
        }
    }
    return Server(std::move(impl));
}

std::uint16_t Server::http_port() const {
    return impl_->port;
}

}  // namespace sluice::admin
