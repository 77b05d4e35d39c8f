// A client's connection: its octets in, requests one after the other, answers out in the same order.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/parser.h"
#include "io/loop.h"
#include "proxy/proxy.h"

namespace sluice::proxy {

class Exchange;
class Worker;
struct VirtualHost;

// Belongs to its worker, which destroys it at the end of the turn in which it left.
//
// While a request is under way the connection is read on, so that a client that goes away is seen. What a client sends
// behind a request that is whole waits: the first such piece is kept, and reading pauses.
class ClientConnection final : public io::StreamHandler {
  public:
    ClientConnection(Worker& worker, Fd socket, std::shared_ptr<const Dialled> dialled);
    ~ClientConnection();

    // --- the worker's ---
    void start();
    // Closes it now if it is between requests.
    void drain();
    void cut();
    ClientConnection* next = nullptr;
    ClientConnection* previous = nullptr;

    // --- the exchange's ---
    const Dialled& dialled() const { return *dialled_; }
    const Client& client() const { return *dialled_->client; }
    std::string_view local_address() const { return local_; }
    std::string_view remote_address() const { return remote_; }
    std::uint64_t number() const { return number_; }
    // Octets given to the stream since the connection began, heads and framing included.
    std::uint64_t written() const { return written_; }
    // True once the client has sent its FIN: nothing more will come.
    bool half_closed() const { return half_closed_; }

    // An answer's head; all begin with the same octet, which may have been sent before.
    void write_head(std::string_view text);
    void write(std::string_view text);
    void write(io::Slice data);
    std::size_t queued() const { return stream_.queued(); }
    void want_drained() { stream_.want_drained(); }
    // Back-pressure: while paused nothing is read.
    void pause(bool paused);
    // The protocol was changed: what was read behind the head, and all that comes, is raw.
    void tunnel();
    // The answer was given whole. `again`: another request may follow.
    void exchange_over(bool again);
    // The answer cannot be completed, and the client must see that.
    void exchange_cut(bool reset);

  private:
    enum class Mode : std::uint8_t { kOpen, kLingering, kOver };
    enum class Waiting : std::uint8_t { kNothing, kLast, kNext, kHead, kLinger };  // timer_

    void on_data(io::Slice data) override;
    void on_end() override;
    void on_drained() override;
    void on_closed(int error) override;
    void on_timer();

    void take(io::Slice data);
    bool step(io::Slice& data);
    void open_exchange();
    void keep(io::Slice data);
    void resume();
    void wait(Waiting what, std::chrono::nanoseconds time);
    void wait_for_nothing();
    void became_idle();
    void refuse(int status, std::string_view body, const char* why);
    void broken();
    void gone();
    void head_late_or_idle();
    void close(bool unread);
    void over();

    Worker& worker_;
    const std::shared_ptr<const Dialled> dialled_;
    io::Stream stream_;
    io::Timer timer_;
    Exchange* exchange_ = nullptr;  // null: between requests
    io::Slice rest_;                // read behind a whole request; then reading is paused
    std::uint64_t idle_since_ns_ = 0;
    std::uint64_t written_ = 0;
    std::uint64_t number_;
    std::string local_, remote_;
    Mode mode_ = Mode::kOpen;
    Waiting waiting_ = Waiting::kNothing;
    bool taking_ = false;
    bool paused_ = false;  // by the exchange, until its endpoint has taken what it was given
    bool half_closed_ = false;
    bool probed_ = false;  // the first octet of the answer was sent already
    std::uint8_t lingered_s_ = 0;
};

}  // namespace sluice::proxy
