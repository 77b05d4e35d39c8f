// The syntax of names: hosts, labels, header names. Pure; each check returns what is wrong, or an empty text.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice::config {

// RFC 1123 label in lower case, at most 63: subset, port and namespace names.
std::string check_label(std::string_view name);
// Dot-joined lower-case labels, at most 253: object names.
std::string check_subdomain(std::string_view name);
// A service's host as Istio takes it: a short or full DNS name, a final dot allowed, no IP address.
std::string check_host(std::string_view host);
// The same, or with "*" or a "*-" prefix as its first label; a lone "*" only when allowed.
std::string check_wildcard_host(std::string_view host, bool lone_star);
// Kubernetes label key ("prefix/name" or "name") and value.
std::string check_label_key(std::string_view key);
std::string check_label_value(std::string_view value);
// Annotation keys: as label keys.
// http:// or https://, a host or an address, perhaps a port and a path; no user, no fragment, nothing to be escaped.
std::string check_http_url(std::string_view url);
// RFC 9110 token; pseudo headers such as ":authority" only when allowed.
std::string check_header_name(std::string_view name, bool pseudo);

// The entry of `allowed` that was probably meant: at most a third of it mistyped (edit distance with transpositions,
// case ignored).
std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> allowed);

}  // namespace sluice::config
