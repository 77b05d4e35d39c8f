#include "config/parse.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <utility>

#include "config/build.h"
#include "config/document.h"
#include "config/report.h"
#include "config/split.h"

namespace sluice::config {

namespace {

class FileParser {
  public:
    FileParser(std::string_view bytes, const ParseLimits& limits, Report& report, std::vector<ObjectPtr>& objects)
        : bytes_(bytes), limits_(limits), report_(report), objects_(objects) {}

    void run();

  private:
    bool readable();
    void section(const Section& whole);
    bool directives(Section& section);
    void item(const Tree& tree, const Item& found, std::size_t problems, std::vector<std::shared_ptr<Object>>& out);
    void stamp(Object& object, std::size_t begin, std::size_t end) const {
        object.begin = begin;
        object.end = end;
        object.digest = document_digest(bytes_.substr(begin, end - begin));
    }

    std::string_view bytes_;
    const ParseLimits& limits_;
    Report& report_;
    std::vector<ObjectPtr>& objects_;
    Tree tree_;
    std::size_t documents_ = 0;
};

bool FileParser::readable() {
    if (bytes_.size() > limits_.file_bytes) {
        report_.error({}, "",
                      "found a file of " + std::to_string(bytes_.size()) + " bytes; the limit is " +
                          std::to_string(limits_.file_bytes));
        return false;
    }
    using namespace std::string_view_literals;
    if (bytes_.starts_with("\xff\xfe"sv) || bytes_.starts_with("\xfe\xff"sv)) {
        report_.error({1, 1}, "", "found a UTF-16 or UTF-32 file; a rule file is UTF-8 text");
        return false;
    }
    return true;
}

void FileParser::run() {
    if (!readable()) {
        return;
    }
    const std::size_t mark = bytes_.starts_with("\xef\xbb\xbf") ? 3 : 0;  // a UTF-8 byte order mark
    Sections sections(bytes_.substr(mark));
    while (auto next = sections.next()) {
        next->begin += mark;
        next->end += mark;
        const std::size_t problems = report_.mark();
        if (next->text_column != 0) {
            report_.error({next->line - 1, next->text_column}, "",
                          "found text behind the separator; '---' and '...' stand on a line of their own");
        } else {
            section(*next);
        }
        report_.sort_from(problems);
        if (documents_ > limits_.documents) {
            report_.error({next->line, 1}, "",
                          "found more than " + std::to_string(limits_.documents) +
                              " documents, which is the limit of a file; the rest is not read");
            return;
        }
    }
}

// %YAML lines stand in front of a '---' and say nothing here.
bool FileParser::directives(Section& section) {
    while (section.begin < section.end && bytes_[section.begin] == '%') {
        const std::size_t newline = std::min(bytes_.find('\n', section.begin), section.end - 1);
        const std::string_view line = bytes_.substr(section.begin, newline + 1 - section.begin);
        if (!line.starts_with("%YAML 1.")) {
            report_.error({section.line, 1}, "",
                          "found the directive " + quoted(line.substr(0, line.find_first_of("\r\n"))) +
                              "; the only one allowed is %YAML 1.1 or %YAML 1.2");
            return false;
        }
        section.begin = newline + 1;
        ++section.line;
        section = trim(bytes_, section);
    }
    return true;
}

void FileParser::section(const Section& whole) {
    // Comments too: what is not text to the end of the section is no rule file.
    if (const auto problem = check_encoding(bytes_.substr(whole.begin, whole.end - whole.begin), whole.line)) {
        report_.error(problem->place, "", problem->message);
        return;
    }
    Section content = trim(bytes_, whole);
    if (content.begin == content.end) {
        return;
    }
    if (++documents_ > limits_.documents) {
        return;
    }
    const auto text = [&] { return bytes_.substr(content.begin, content.end - content.begin); };
    if (!directives(content) || content.begin == content.end) {
        return;
    }
    const std::size_t problems = report_.errors();
    const std::size_t mark = report_.mark();
    std::vector<std::shared_ptr<Object>> items;
    std::size_t item_problems = problems;  // errors when the item began
    const Chunk chunk{text(), content.begin, content.line};
    const bool built = build(chunk, limits_, report_, tree_, [&](const Tree& tree, const Item& found) {
        item(tree, found, item_problems, items);
        item_problems = report_.errors();
    });
    if (!built || tree_.empty()) {
        return;
    }
    if (has_items(tree_) && !is_list(tree_)) {  // what looked like items is one unknown field
        report_.drop_from(mark);
        items.clear();
    }
    auto object = read_document(tree_, report_, -1);
    for (std::shared_ptr<Object>& each : items) {
        objects_.push_back(std::move(each));
    }
    if (object && report_.errors() == problems) {
        stamp(*object, content.begin, content.end);
        objects_.push_back(std::move(object));
    }
}

void FileParser::item(const Tree& tree, const Item& found, std::size_t problems,
                      std::vector<std::shared_ptr<Object>>& out) {
    if (++documents_ > limits_.documents) {
        return;
    }
    auto object = tree.empty() ? nullptr : read_document(tree, report_, found.index);
    if (!object || report_.errors() != problems) {
        return;
    }
    stamp(*object, found.begin, found.end);
    object->list_item = true;
    object->item_flow = found.flow;
    object->item_column = found.column;
    out.push_back(std::move(object));
}

}  // namespace

std::uint64_t document_digest(std::string_view bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

void parse(std::string_view bytes, const std::string& file, const ParseLimits& limits, std::vector<ObjectPtr>& objects,
           Diagnostics& diagnostics) {
    Report report(file);
    FileParser(bytes, limits, report, objects).run();
    std::move(report).flush(limits.diagnostics, diagnostics);
}

}  // namespace sluice::config
