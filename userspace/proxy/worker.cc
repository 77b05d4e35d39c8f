#include "proxy/worker.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <ctime>
#include <latch>

#include "bpf/lib/random.h"
#include "proxy/downstream.h"

namespace sluice::proxy {

static constexpr std::size_t kFreeExchanges = 256;  // kept for later requests, beyond a second

// A worker's socket of a listener.
class Worker::Listening final : public io::AcceptHandler {
  public:
    Listening(Worker& worker, std::shared_ptr<const Door> door, Fd socket)
        : worker_(worker), door_(std::move(door)), listener_(worker.loop(), std::move(socket), *this) {}

    // Takes what the kernel has accepted already, so that closing the socket resets nobody.
    void close() {
        const Fd socket = listener_.release();
        for (;;) {
            Fd accepted(::accept4(socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!accepted) {
                return;
            }
            worker_.accepted(*door_, std::move(accepted));
        }
    }

    const std::string& name() const { return door_->name; }

  private:
    void on_accept(Fd socket) override { worker_.accepted(*door_, std::move(socket)); }
    void on_accept_error(int) override { worker_.recorder().refused(nullptr, "accept"); }

    Worker& worker_;
    const std::shared_ptr<const Door> door_;
    io::Listener listener_;
};

// Records nothing.
class NoRecorder final : public Recorder {
    void finished(const Record&) override {}
    void tried(const TryRecord&) override {}
    void mirror_skipped(const VirtualHost&, const Cluster*, const char*) override {}
    void refused(const VirtualHost*, const char*) override {}
};

Worker::Worker(Shared& shared, std::uint32_t number) : shared_(shared), number_(number) {}

Result<std::unique_ptr<Worker>> Worker::start(Shared& shared, std::uint32_t number) {
    std::unique_ptr<Worker> worker(new Worker(shared, number));
    if (const auto opened = worker->open(); !opened) {
        return std::unexpected(opened.error());
    }
    worker->thread_ = std::thread([w = worker.get(), &began = shared.options.thread_began] {
        if (began) {
            began();
        }
        w->loop_->run();
    });
    const std::string name = "sluice-w" + std::to_string(number);
    pthread_setname_np(worker->thread_.native_handle(), name.c_str());
    return worker;
}

Result<> Worker::open() {
    auto loop = io::Loop::open({.backend = shared_.options.backend});
    if (!loop) {
        return std::unexpected(std::move(loop.error()).within("worker " + std::to_string(number_)));
    }
    loop_ = std::move(*loop);
    if (::getrandom(&random_, sizeof(random_), 0) != sizeof(random_)) {
        return fail_errno("getrandom");
    }
    if (shared_.options.recorder) {
        recorder_ = shared_.options.recorder(number_);
    }
    if (recorder_ == nullptr) {
        recorder_ = std::make_unique<NoRecorder>();
    }
    upstreams_ = std::make_unique<Upstreams>(*loop_, shared_.tables, Upstreams::Options{shared_.options.limits.head},
                                             shared_.options.sockets, shared_.options.events);
    mirrors_ = std::make_unique<Mirrors>(*this);
    sweep_timer_ = std::make_unique<io::Timer>(*loop_, *this, [](Worker& w) { w.sweep(); });
    loop_->set_turn([this](bool awake) { turn_ended(awake); });
    sweep();
    return {};
}

Worker::~Worker() {
    if (thread_.joinable()) {
        run([this] { cut(); });
        loop_->stop();
        thread_.join();
    }
    destroy(dead_);
    free_exchanges_.clear();
    listening_.clear();
    mirrors_.reset();
    upstreams_.reset();
    sweep_timer_.reset();
}

void Worker::run(const std::function<void()>& call) {
    std::latch done(1);
    loop_->post([&] {
        call();
        done.count_down();
    });
    done.wait();
}

// The exchange of a word that the publisher's side loads orders this worker's reads of tables after waking behind what
// was published before, and those of the turn that ended before what is reused afterwards.
void Worker::turn_ended(bool awake) {
    const std::uint64_t turn = turn_.load(std::memory_order_relaxed);
    if (awake == ((turn & 1) != 0)) {
        turn_.exchange(turn + 2, std::memory_order_seq_cst);
    } else {
        turn_.exchange(turn + 1, std::memory_order_seq_cst);
    }
    if (!awake) {
        destroy(dead_);
    }
}

void Worker::destroy(ClientConnection*& list) {
    while (list != nullptr) {
        delete std::exchange(list, list->next);
    }
}

void Worker::sweep() {
    char text[40];
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    date_.assign(text, std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts));
    refresh_table();
    upstreams_->sweep();
    if (free_exchanges_.size() > kFreeExchanges) {
        free_exchanges_.resize(kFreeExchanges);
    }
    sweep_timer_->start(std::chrono::seconds(1));
}

std::uint64_t Worker::random() {
    sl_random state{random_};
    const std::uint64_t word = sl_random_next(&state);
    random_ = state.state;
    return word;
}

std::string& Worker::text() {
    text_.clear();
    return text_;
}

// ---- tables ----------------------------------------------------------------------------------------------------

void Worker::refresh_table() {
    const std::uint64_t version = shared_.version.load(std::memory_order_acquire);
    if (table_ != nullptr && table_->version == version) {
        return;
    }
    auto newer = std::make_unique<HeldTable>();
    {
        const std::lock_guard lock(shared_.mutex);
        newer->table = shared_.table;
        newer->version = shared_.version.load(std::memory_order_relaxed);
    }
    if (newer->table == nullptr) {
        return;
    }
    if (table_ != nullptr && table_->users != 0) {
        older_tables_.push_back(std::move(table_));
    }
    table_ = std::move(newer);
}

HeldTable* Worker::hold_table() {
    refresh_table();
    if (table_ != nullptr) {
        ++table_->users;
    }
    return table_.get();
}

void Worker::release_table(HeldTable* held) {
    if (--held->users == 0 && held != table_.get()) {
        std::erase_if(older_tables_, [&](const auto& older) { return older.get() == held; });
    }
}

// ---- connections -----------------------------------------------------------------------------------------------

void Worker::listen(std::shared_ptr<const Door> door, Fd socket) {
    listening_.push_back(std::make_unique<Listening>(*this, std::move(door), std::move(socket)));
}

void Worker::stop_listening(const std::string& name) {
    std::erase_if(listening_, [&](const auto& listening) {
        if (listening->name() != name) {
            return false;
        }
        listening->close();
        return true;
    });
}

void Worker::accepted(const Door& door, Fd socket) {
    if (connection_count_ >= limits().connections) {
        return recorder_->refused(nullptr, "connections");
    }
    std::shared_ptr<const Dialled> dialled = door.dialled;
    if (door.identify) {
        std::optional<Dialled> found = door.identify(socket.get());
        if (!found) {
            return recorder_->refused(nullptr, "unknown_destination");
        }
        dialled = std::make_shared<const Dialled>(std::move(*found));
    }
    auto* connection = new ClientConnection(*this, std::move(socket), std::move(dialled));
    connection->next = connections_;
    if (connections_ != nullptr) {
        connections_->previous = connection;
    }
    connections_ = connection;
    ++connection_count_;
    ++connections_total_;
    connection->start();
}

void Worker::left(ClientConnection& connection) {
    (connection.previous == nullptr ? connections_ : connection.previous->next) = connection.next;
    if (connection.next != nullptr) {
        connection.next->previous = connection.previous;
    }
    connection.next = dead_;
    connection.previous = nullptr;
    dead_ = &connection;
    --connection_count_;
}

void Worker::drain() {
    draining_ = true;
    for (const auto& listening : listening_) {
        listening->close();
    }
    listening_.clear();
    for (ClientConnection* c = connections_; c != nullptr;) {
        ClientConnection* const following = c->next;
        c->drain();
        c = following;
    }
    upstreams_->drain();
}

void Worker::cut() {
    while (connections_ != nullptr) {
        connections_->cut();
    }
}

Exchange* Worker::take_exchange() {
    ++requests_active_;
    ++requests_total_;
    if (free_exchanges_.empty()) {
        return new Exchange(*this);
    }
    Exchange* const exchange = free_exchanges_.back().release();
    free_exchanges_.pop_back();
    return exchange;
}

void Worker::give_back(Exchange* exchange) {
    --requests_active_;
    exchange->clear();
    free_exchanges_.emplace_back(exchange);
}

WorkerStats Worker::stats() const {
    return {.loop = loop_->stats(),
            .upstreams = upstreams_->stats(),
            .connections = connection_count_,
            .connections_total = connections_total_,
            .requests_active = requests_active_,
            .requests_total = requests_total_};
}

}  // namespace sluice::proxy
