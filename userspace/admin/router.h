// Requests to backend calls and back; knows no sockets.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "admin/backend.h"

namespace sluice::admin {

enum class Door { kUnix, kTcp };  // writes only through the Unix socket

struct Request {
    Door door = Door::kTcp;
    std::string method{};
    std::string path{};  // decoded, without the query
    std::map<std::string, std::string> query{};
    std::string host{};  // Host header; empty: none
    std::string body{};
    Peer peer{};  // Unix door only
};

// 404 unknown path, 405 a write through TCP or another method than the path has, 403 a Host that is not ours (DNS
// rebinding), 400 a bad parameter.
Answer route(Backend& backend, const Request& request, const std::string& own_host);

// Whether a Host header may name this server on TCP: localhost, an IP address literal, or `own_host` (the configured
// one, without port). A name of somebody else means that a browser was led here by DNS rebinding.
bool host_allowed(std::string_view header, std::string_view own_host);

}  // namespace sluice::admin
