// How a request ends with its connection: who ended it, and whose failure that is.
#include "tests/bpf/http.h"

namespace sluice::test {
namespace {

using Endings = HttpTest;

void reset(int fd) {
    const linger now{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

TEST_F(Endings, OfAnswersThatTheEndpointCutsShortAreItsFailures) {
    serve([](sl_cluster_row& row) {
        row.flags |= SL_CLUSTER_OUTLIER;
        row.consecutive_5xx = 4;
    });
    const std::string begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome";
    EXPECT_EQ("done", with_pair([&](Pair& p) {  // FIN before any answer
                  const bool asked = p.ask(get());
                  p.server.reset();
                  char end = 0;
                  return asked && read(p.client.get(), &end, 1) == 0;
              }));
    EXPECT_EQ("0/upstream_closedx1", counts());
    EXPECT_EQ("done", with_pair([&](Pair& p) {  // FIN in the body
                  const bool done = p.ask(get()) && p.answer(begun);
                  p.server.reset();
                  char end = 0;
                  return done && read(p.client.get(), &end, 1) == 0;
              }));
    EXPECT_EQ("0/upstream_closedx1 200/upstream_closedx1", counts());
    // The head in between was a success: the run of failures began again.
    EXPECT_EQ(1u, rules_->tables().health[0].consecutive_5xx);
    EXPECT_EQ("done", with_pair([&](Pair& p) {  // RST
                  const bool asked = p.ask(get());
                  reset(p.server.get());
                  p.server.reset();
                  char end = 0;
                  return asked && read(p.client.get(), &end, 1) == -1 && errno == ECONNRESET;
              }));
    EXPECT_TRUE(eventually([&] { return counts() == "0/upstream_closedx2 200/upstream_closedx1"; })) << counts();
    EXPECT_EQ(2u, rules_->tables().health[0].consecutive_5xx);
}

TEST_F(Endings, OfRequestsThatTheClientGivesUpAreNobodysFailures) {
    serve([](sl_cluster_row& row) {
        row.flags |= SL_CLUSTER_OUTLIER;
        row.consecutive_5xx = 1;
    });
    EXPECT_EQ("done", with_pair([&](Pair& p) {
                  const bool asked = p.ask(get());
                  p.client.reset();
                  char end = 0;
                  return asked && read(p.server.get(), &end, 1) == 0;
              }));
    EXPECT_EQ("0/downstream_closedx1", counts());
    EXPECT_EQ("done", with_pair([&](Pair& p) {
                  const bool done = p.ask(get()) && p.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
                  reset(p.client.get());
                  p.client.reset();
                  return done;
              }));
    EXPECT_EQ("0/downstream_closedx1 200/downstream_closedx1", counts());
    EXPECT_EQ(0u, rules_->tables().health[0].failures_total);
}

TEST_F(Endings, OfAHalfClosedClientIsTheAnswersOwn) {
    serve();
    EXPECT_EQ("done", with_pair([&](Pair& p) {
                  const bool asked = p.ask(get());
                  shutdown(p.client.get(), SHUT_WR);
                  const bool answered = p.answer("HTTP/1.0 200 OK\r\n\r\nbody");
                  p.server.reset();
                  char end = 0;
                  return asked && answered && read(p.client.get(), &end, 1) == 0;
              }));
    EXPECT_EQ("200x1", counts());
}

TEST_F(Endings, OfEarlyAnswersCountWhenTheRequestIsWholeToo) {
    serve();
    EXPECT_EQ("done", with_pair([&](Pair& p) {
                  return p.ask(post("Content-Length: 10\r\n", "12345")) && p.answer(answer_of(413, 4)) &&
                         p.ask("67890") && p.ask(get()) && p.answer(answer_of(200, 4));
              }));
    EXPECT_EQ("200x1 413x1", counts());
    EXPECT_EQ("done", with_pair([&](Pair& p) {  // and when the rest never comes
                  const bool done = p.ask(post("Content-Length: 10\r\n", "12345")) && p.answer(answer_of(413, 4));
                  p.client.reset();
                  return done;
              }));
    EXPECT_TRUE(eventually([&] { return counts() == "200x1 413x2"; })) << counts();
}

}  // namespace
}  // namespace sluice::test
