#include "ctl/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace sluice::ctl {

namespace {

constexpr const char* kBold = "\033[1m";
constexpr const char* kPlain = "\033[0m";

std::string upper(std::string text) {
    for (char& c : text) {
        c = c == '_' ? ' ' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return text;
}

// Columns on the screen: code points, which is right for all that names may hold.
std::size_t width(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

bool is_table(const Json& value) {
    return value.is_array() && !value.empty() &&
           std::ranges::all_of(value, [](const Json& row) { return row.is_object(); });
}

bool scalar(const Json& value) {
    return !value.is_object() && !value.is_array();
}

// Scalars by dotted name; what is no scalar is left for below.
void flatten(const Json& object, const std::string& prefix, std::vector<std::pair<std::string, std::string>>& scalars,
             std::vector<std::pair<std::string, const Json*>>& rest) {
    for (const auto& [name, value] : object.items()) {
        const std::string path = prefix.empty() ? name : prefix + "." + name;
        if (value.is_object()) {
            flatten(value, path, scalars, rest);
        } else if (scalar(value)) {
            scalars.emplace_back(path, cell(value, name));
        } else {
            rest.emplace_back(path, &value);
        }
    }
}

void render_record(std::ostream& out, const Json& object, bool colour) {
    std::vector<std::pair<std::string, std::string>> scalars;
    std::vector<std::pair<std::string, const Json*>> rest;
    flatten(object, "", scalars, rest);
    std::size_t widest = 0;
    for (const auto& [name, text] : scalars) {
        widest = std::max(widest, width(name));
    }
    for (const auto& [name, text] : scalars) {
        out << name << std::string(widest - width(name) + 2, ' ') << text << '\n';
    }
    for (const auto& [name, value] : rest) {
        if (value->empty()) {
            continue;
        }
        out << '\n' << name << '\n';
        if (is_table(*value)) {
            render_table(out, *value, colour, "  ");
            continue;
        }
        for (const Json& item : *value) {
            out << "  " << (scalar(item) ? cell(item, "") : item.dump()) << '\n';
        }
    }
}

// Plain text that YAML 1.1 and 1.2 read as the same string without quotes.
bool yaml_plain(const std::string& text) {
    static constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
    if (text.empty() || std::isalpha(static_cast<unsigned char>(text[0])) == 0) {
        return false;
    }
    std::string lower = text;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return std::ranges::find(kWords, lower) == std::end(kWords) && std::ranges::all_of(text, [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/';
           });
}

std::string yaml_scalar(const Json& value) {
    if (value.is_string() && yaml_plain(value.get_ref<const std::string&>())) {
        return value.get<std::string>();
    }
    if (value.is_array() || value.is_object()) {
        return value.is_array() ? "[]" : "{}";
    }
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);  // JSON's scalars are YAML's
}

void yaml(std::ostream& out, const Json& value, std::size_t indent, bool inline_first) {
    const std::string margin(indent, ' ');
    bool first = inline_first;
    const auto lead = [&] {
        out << (first ? "" : margin);
        first = false;
    };
    if (value.is_object() && !value.empty()) {
        for (const auto& [name, item] : value.items()) {
            lead();
            out << yaml_scalar(Json(name)) << ':';
            if (item.empty() || scalar(item)) {
                out << ' ' << yaml_scalar(item) << '\n';
            } else {
                out << '\n';
                yaml(out, item, indent + (item.is_array() ? 0 : 2), false);
            }
        }
    } else if (value.is_array() && !value.empty()) {
        for (const Json& item : value) {
            lead();
            out << "- ";
            yaml(out, item, indent + 2, true);
        }
    } else {
        lead();
        out << yaml_scalar(value) << '\n';
    }
}

}  // namespace

std::string printable(const std::string& text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    return out;
}

std::string cell(const Json& value, const std::string& column) {
    if (value.is_null()) {
        return "-";
    }
    if (value.is_boolean()) {
        return value.get<bool>() ? "yes" : "no";
    }
    if (value.is_number() && (column == "share" || column.ends_with("_share"))) {
        return fmt::format("{:.2f}%", value.get<double>() * 100);
    }
    if (value.is_number_float()) {
        return fmt::format("{:.6g}", value.get<double>());
    }
    if (value.is_string()) {
        const std::string text = printable(value.get_ref<const std::string&>());
        return text.empty() ? "-" : text;
    }
    return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void render_table(std::ostream& out, const Json& rows, bool colour, const std::string& indent) {
    std::vector<std::string> columns;
    for (const Json& row : rows) {
        for (const auto& [name, value] : row.items()) {
            if (std::ranges::find(columns, name) == columns.end()) {
                columns.push_back(name);
            }
        }
    }
    std::vector<bool> numeric(columns.size(), true);
    std::vector<std::size_t> widths;
    std::vector<std::vector<std::string>> cells;
    for (const std::string& column : columns) {
        widths.push_back(width(column));
    }
    for (const Json& row : rows) {
        std::vector<std::string>& line = cells.emplace_back();
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const auto value = row.find(columns[i]);
            line.push_back(value == row.end() ? "-" : cell(*value, columns[i]));
            widths[i] = std::max(widths[i], width(line.back()));
            numeric[i] = numeric[i] && (value == row.end() || value->is_number() || value->is_null());
        }
    }
    const auto print = [&](const std::vector<std::string>& line) {
        std::string text = indent;
        for (std::size_t i = 0; i < line.size(); ++i) {
            const std::string pad(widths[i] - width(line[i]), ' ');
            text += (i == 0 ? "" : "  ") + (numeric[i] ? pad + line[i] : line[i] + pad);
        }
        out << text.substr(0, text.find_last_not_of(' ') + 1);
    };
    std::vector<std::string> heads;
    for (const std::string& column : columns) {
        heads.push_back(upper(column));
    }
    out << (colour ? kBold : "");
    print(heads);
    out << (colour ? kPlain : "") << '\n';
    for (const auto& line : cells) {
        print(line);
        out << '\n';
    }
}

void render_yaml(std::ostream& out, const Json& value) {
    yaml(out, value, 0, false);
}

void render(std::ostream& out, const Json& value, Format format, bool colour) {
    switch (format) {
        case Format::kJson:
            out << value.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
            return;
        case Format::kYaml:
            render_yaml(out, value);
            return;
        case Format::kTable:
            break;
    }
    if (is_table(value)) {
        render_table(out, value, colour);
    } else if (value.is_object()) {
        render_record(out, value, colour);
    } else if (value.is_array()) {
        for (const Json& item : value) {
            out << cell(item, "") << '\n';
        }
    } else {
        out << cell(value, "") << '\n';
    }
}

}  // namespace sluice::ctl
