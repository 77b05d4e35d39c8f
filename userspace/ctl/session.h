// What every verb is given: options that all share, where to print, and the exit code it leaves.
#pragma once

#include <CLI/CLI.hpp>
#include <expected>
#include <ostream>
#include <string>

#include "ctl/render.h"

namespace sluice::ctl {

enum ExitCode { kDone = 0, kNo = 1, kUsage = 2, kUnreachable = 3 };

// Why a verb cannot answer, in words with the remedy.
struct Failure {
    ExitCode code = kNo;
    std::string message;
};
template <typename T>
using Answer = std::expected<T, Failure>;

struct Session {
    std::ostream& out;
    std::ostream& err;
    bool colour = false;    // out is a terminal that wants colours
    bool terminal = false;  // out is the process' own terminal, and so is its input
    std::string run = "/run/sluice";
    std::string config{};  // not empty: offline, from this directory
    bool references_warn = false;
    Format format = Format::kTable;
    int code = kDone;

    bool offline() const { return !config.empty(); }
    // Prints the failure and keeps its code.
    void refuse(const Failure& failure);
    // Prints a value in the asked format; as a table if it is an array of objects, else as a record.
    void print(const Json& value);
};

// One file a verb; each adds its subcommand, whose callback runs it.
void add_status(CLI::App& app, Session& session);
void add_get(CLI::App& app, Session& session);
void add_map(CLI::App& app, Session& session);
void add_explain(CLI::App& app, Session& session);
void add_validate(CLI::App& app, Session& session);
void add_test(CLI::App& app, Session& session);
void add_apply(CLI::App& app, Session& session);
void add_diff(CLI::App& app, Session& session);
void add_history(CLI::App& app, Session& session);
void add_rollback(CLI::App& app, Session& session);
void add_hosts(CLI::App& app, Session& session);
void add_check(CLI::App& app, Session& session);
void add_tail(CLI::App& app, Session& session);
void add_top(CLI::App& app, Session& session);
void add_weight(CLI::App& app, Session& session);
void add_canary(CLI::App& app, Session& session);

// Parses the command line and runs the verb. Returns the process' exit code.
int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err, bool colour, bool terminal = false);

}  // namespace sluice::ctl
