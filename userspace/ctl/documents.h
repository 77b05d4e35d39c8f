// Files given to `apply` and `diff`, sent as one body so that they take effect together.
#pragma once

#include <string>
#include <vector>

#include "ctl/session.h"

namespace sluice::ctl {

struct Documents {
    std::string body;
    std::string name;  // how the agent shall call the body in diagnostics

    // A diagnostic about the body, with the file and line that the user knows.
    std::string translated(const std::string& diagnostic) const;

    struct Part {
        std::string file;
        int first_line = 1;  // of the body
    };
    std::vector<Part> parts;
};

// "-" is the standard input, read by the caller into `standard_input`.
Answer<Documents> read_documents(const std::vector<std::string>& files, std::istream& standard_input);

}  // namespace sluice::ctl
