// JSON values for people and programs. Pure.
#pragma once

#include <ostream>
#include <string>

#include <nlohmann/json.hpp>

namespace sluice::ctl {

using Json = nlohmann::ordered_json;

enum class Format { kTable, kJson, kYaml };

// kTable: an array of flat objects becomes an aligned table with the keys as columns (in order of first appearance),
// anything else a record: scalars by name, then lists and tables under their names.
void render(std::ostream& out, const Json& value, Format format, bool colour);

void render_table(std::ostream& out, const Json& rows, bool colour, const std::string& indent = "");
void render_yaml(std::ostream& out, const Json& value);

// One table cell: "-" for null, yes or no, shares (`column` is share or ends with _share) in percent. Control
// characters are shown as \xNN: names come from files and never steer a terminal.
std::string cell(const Json& value, const std::string& column);
std::string printable(const std::string& text);

}  // namespace sluice::ctl
