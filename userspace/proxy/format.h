// Values of header operations with Envoy's command operators: %REQ(X?Y):N% and others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::proxy {

struct Asked;
struct Rule;
class Lines;

// What operators refer to. `lines`: the head that is rewritten, as far as it is.
struct Subject {
    const Asked* asked = nullptr;
    const Rule* rule = nullptr;
    std::size_t destination = 0;
    int status = 0;
    const Lines* lines = nullptr;
    bool response = false;  // `lines` are an answer's
};

class Format {
  public:
    // Errors: the operator that is not supported, or a '%' that ends nothing. Supported: REQ, RESP (answers only),
    // PROTOCOL, DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT, DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT,
    // DOWNSTREAM_LOCAL_PORT, UPSTREAM_CLUSTER, ROUTE_NAME, RESPONSE_CODE (answers only), and %% for one percent.
    static Result<Format> make(std::string_view text, bool response);
    // The text when it has no operators: it may be viewed instead of appended.
    const std::string* literal() const { return pieces_.empty() ? &text_ : nullptr; }
    // False: nothing was referred to but what is absent, so the header is not to be made (Envoy's empty value).
    bool append(const Subject& subject, std::string& out) const;

  private:
    enum class Operator : std::uint8_t {
        kText,
        kRequestField,
        kResponseField,
        kProtocol,
        kClientAddress,
        kPort,
        kCluster,
        kRouteName,
        kStatus,
    };
    struct Piece {
        Operator op = Operator::kText;
        std::string text;         // or the field's name
        std::string alternative;  // the field that stands in
        std::size_t max = std::string::npos;
    };
    static Result<Piece> parse_operator(std::string_view text, bool response);
    static void append_piece(const Piece& piece, const Subject& subject, std::string& out);

    std::string text_;  // when there are no pieces
    std::vector<Piece> pieces_;
};

}  // namespace sluice::proxy
