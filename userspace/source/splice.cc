#include "source/splice.h"

#include <algorithm>

namespace sluice::source {

namespace {

struct Range {
    std::size_t begin = 0, end = 0;
};

std::size_t line_start(std::string_view text, std::size_t at) {
    const std::size_t newline = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
    return newline == std::string_view::npos ? 0 : newline + 1;
}

std::size_t next_line(std::string_view text, std::size_t at) {
    const std::size_t newline = text.find('\n', at);
    return newline == std::string_view::npos ? text.size() : newline + 1;
}

bool blank(std::string_view text) {
    return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// A line that is only a document separator: "---" and white space.
bool bare_separator(std::string_view line) {
    return line.starts_with("---") && blank(line.substr(3));
}

int count_lines(std::string_view text) {
    return static_cast<int>(std::ranges::count(text, '\n'));
}

Range deleted_range(std::string_view text, const Document& document) {
    Range range{document.begin, document.end};
    if (range.end > 0 && text[range.end - 1] != '\n' &&
        blank(text.substr(range.end, next_line(text, range.end) - range.end))) {
        range.end = next_line(text, range.end);
    }
    const std::size_t previous = range.begin == 0 ? 0 : line_start(text, range.begin - 1);
    const std::size_t following = next_line(text, range.end);
    const bool separator_before = range.begin > 0 && bare_separator(text.substr(previous, range.begin - previous));
    const bool separator_after = bare_separator(text.substr(range.end, following - range.end));
    if (separator_before && (separator_after || blank(text.substr(range.end)))) {
        range.begin = previous;
    } else if (separator_after && blank(text.substr(0, range.begin))) {
        range.end = following;
    }
    return range;
}

bool only_separators(std::string_view text, bool or_comments = false) {
    while (!text.empty()) {
        const std::string_view line = text.substr(0, next_line(text, 0));
        if (!blank(line) && !bare_separator(line) && !(or_comments && line.starts_with('#'))) {
            return false;
        }
        text.remove_prefix(line.size());
    }
    return true;
}

std::string cannot(const config::ObjectKey& key, const std::string& why) {
    return key.text() + " cannot be written back into its file: " + why + "; edit the file by hand";
}

// Parses what stands between the documents before and after and compares it with what was meant.
Result<> check_segment(std::string_view segment, const config::ObjectKey& key, const NewDocument* wanted,
                       const config::ParseLimits& limits) {
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(segment, "", limits, objects, diagnostics);
    const bool same = wanted == nullptr
                          ? objects.empty()
                          : objects.size() == 1 && objects[0]->key == key && objects[0]->digest == wanted->digest;
    if (diagnostics.has_errors() || !same) {
        return fail(cannot(key, "it is not a document of its own there"));
    }
    return {};
}

// Copies the text from front to back, with the edits.
class Splicer {
  public:
    Splicer(std::string_view text, const std::vector<Document>& documents) : text_(text), documents_(documents) {}

    // Edited documents must be apart from all others; items of a List may touch each other.
    Result<> check_ranges(const std::vector<DocumentEdit>& edits) const {
        for (const DocumentEdit& edit : edits) {
            const Document& document = documents_[edit.index];
            const std::size_t before = edit.index == 0 ? 0 : documents_[edit.index - 1].end;
            const std::size_t after =
                edit.index + 1 == documents_.size() ? text_.size() : documents_[edit.index + 1].begin;
            if (document.list_item || before > document.begin || document.begin > document.end ||
                document.end > after || after > text_.size()) {
                return fail(cannot(document.key, "it shares its document with another object"));
            }
        }
        return {};
    }

    void keep(Document document) {
        copy_to(document.begin);
        const std::size_t size = document.end - document.begin;
        document.begin = out_.bytes.size();
        copy_to(document.end);
        document.end = document.begin + size;
        document.line += line_shift_;
        out_.documents.push_back(std::move(document));
    }

    void replace(Document document, const NewDocument& with) {
        copy_to(document.begin);
        const std::string_view content = with.content();
        const std::string_view old = text_.substr(document.begin, document.end - document.begin);
        done_ = document.end;
        document.begin = out_.bytes.size();
        out_.bytes += content;
        document.end = out_.bytes.size();
        document.digest = with.digest;
        document.line += line_shift_;
        line_shift_ += count_lines(content) - count_lines(old);
        checks_.push_back({document.key, &with, out_.documents.size(), out_.documents.size() + 1});
        out_.documents.push_back(std::move(document));
    }

    void erase(const Document& document) {
        Range range = deleted_range(text_, document);
        range.begin = std::max(range.begin, done_);  // the separator may have gone with the document before
        copy_to(range.begin);
        done_ = range.end;
        line_shift_ -= count_lines(text_.substr(range.begin, range.end - range.begin));
        checks_.push_back({document.key, nullptr, out_.documents.size(), out_.documents.size()});
    }

    // After all others; the first of its file stands behind the comments that are left there.
    void append(const AppendedDocument& added) {
        copy_to(text_.size());
        if (!out_.bytes.empty() && out_.bytes.back() != '\n') {
            out_.bytes += '\n';
        }
        if (!only_separators(out_.bytes, true)) {
            out_.bytes += "---\n";
        }
        const NewDocument& with = *added.document;
        const std::size_t begin = out_.bytes.size();
        const int line = count_lines(out_.bytes);
        out_.bytes += with.text;
        checks_.push_back({added.key, &with, out_.documents.size(), out_.documents.size() + 1});
        out_.documents.push_back(
            {added.key, begin + with.begin, begin + with.end, line + with.line, with.digest, false});
    }

    Result<Spliced> finish(const config::ParseLimits& limits) && {
        copy_to(text_.size());
        for (const Check& check : checks_) {
            const std::size_t begin = check.from == 0 ? 0 : out_.documents[check.from - 1].end;
            const std::size_t end =
                check.to == out_.documents.size() ? out_.bytes.size() : out_.documents[check.to].begin;
            const std::string_view segment = std::string_view(out_.bytes).substr(begin, end - begin);
            if (auto checked = check_segment(segment, check.key, check.wanted, limits); !checked) {
                return std::unexpected(checked.error());
            }
        }
        out_.empty = out_.documents.empty() && only_separators(out_.bytes);
        return std::move(out_);
    }

  private:
    struct Check {
        config::ObjectKey key;
        const NewDocument* wanted;
        std::size_t from, to;  // of out_.documents: what stands between from - 1 and to
    };

    void copy_to(std::size_t end) {
        if (end > done_) {
            out_.bytes.append(text_, done_, end - done_);
            done_ = end;
        }
    }

    std::string_view text_;
    const std::vector<Document>& documents_;
    Spliced out_;
    std::vector<Check> checks_;
    std::size_t done_ = 0;  // of text_
    int line_shift_ = 0;
};

}  // namespace

Result<NewDocument> NewDocument::parse(const config::ObjectKey& key, std::string bytes,
                                       const config::ParseLimits& limits) {
    if (!bytes.ends_with('\n')) {
        bytes += '\n';
    }
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(bytes, "", limits, objects, diagnostics);
    if (diagnostics.has_errors()) {
        return fail(key.text() + ": " + diagnostics.items.front().text());
    }
    if (objects.size() != 1 || objects[0]->key != key) {
        return fail(key.text() + ": its text is not exactly one document of that kind, namespace and name");
    }
    const config::Object& object = *objects[0];
    return NewDocument{std::move(bytes), object.begin, object.end, object.place.line, object.digest};
}

Result<Spliced> splice(std::string_view text, const std::vector<Document>& documents, std::vector<DocumentEdit> edits,
                       const config::ParseLimits& limits, const std::vector<AppendedDocument>& appended) {
    std::ranges::sort(edits, {}, &DocumentEdit::index);
    Splicer splicer(text, documents);
    if (auto fits = splicer.check_ranges(edits); !fits) {
        return std::unexpected(fits.error());
    }
    auto edit = edits.begin();
    for (std::size_t i = 0; i < documents.size(); ++i) {
        if (edit == edits.end() || edit->index != i) {
            splicer.keep(documents[i]);
        } else if (const NewDocument* with = (edit++)->with; with != nullptr) {
            splicer.replace(documents[i], *with);
        } else {
            splicer.erase(documents[i]);
        }
    }
    for (const AppendedDocument& added : appended) {
        splicer.append(added);
    }
    return std::move(splicer).finish(limits);
}

}  // namespace sluice::source
