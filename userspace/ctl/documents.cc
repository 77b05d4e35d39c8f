#include "ctl/documents.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <istream>
#include <sstream>

namespace sluice::ctl {

Answer<Documents> read_documents(const std::vector<std::string>& files, std::istream& standard_input) {
    Documents out;
    int line = 1;
    for (const std::string& file : files) {
        std::ostringstream bytes;
        if (file == "-") {
            bytes << standard_input.rdbuf();
        } else {
            std::ifstream in(file, std::ios::binary);
            if (in) {
                in.peek();  // a directory opens and only fails to read
            }
            if (in.bad() || !in.is_open() || (in.fail() && !in.eof())) {
                return std::unexpected(Failure{kUsage, "cannot read " + file + ": " + std::strerror(errno)});
            }
            in.clear();
            bytes << in.rdbuf();
        }
        std::string text = std::move(bytes).str();
        if (!out.parts.empty()) {
            out.body += out.body.ends_with('\n') ? "---\n" : "\n---\n";
        }
        line = 1 + static_cast<int>(std::ranges::count(out.body, '\n'));
        out.parts.push_back({file == "-" ? "<stdin>" : file, line});
        out.body += text;
    }
    out.name = out.parts.size() == 1 ? out.parts.front().file : "apply";
    return out;
}

std::string Documents::translated(const std::string& diagnostic) const {
    const std::string prefix = name + ":";
    int line = 0;
    if (parts.size() < 2 || !diagnostic.starts_with(prefix)) {
        return diagnostic;
    }
    const char* first = diagnostic.data() + prefix.size();
    const auto parsed = std::from_chars(first, diagnostic.data() + diagnostic.size(), line);
    if (parsed.ec != std::errc()) {
        return diagnostic;
    }
    const auto after = std::ranges::find_if(parts, [line](const Part& part) { return part.first_line > line; });
    const Part& part = after == parts.begin() ? parts.front() : *(after - 1);
    return part.file + ":" + std::to_string(line - part.first_line + 1) +
           std::string(parsed.ptr, diagnostic.data() + diagnostic.size());
}

}  // namespace sluice::ctl
