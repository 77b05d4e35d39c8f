// `sluice explain CODE`: what advice means.
#include <algorithm>

#include "ctl/explain_parts.h"
#include "verify/advice.h"

namespace sluice::ctl {

bool looks_like_code(const std::string& text) {
    constexpr std::size_t kPrefix = 2, kSize = 5;
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return text.size() == kSize && (text.starts_with("SL") || text.starts_with("sl")) &&
           std::all_of(text.begin() + kPrefix, text.end(), digit);
}

void explain_code(Session& session, const std::string& code) {
    const verify::Page* page = verify::find_page("SL" + code.substr(2));
    if (page == nullptr) {
        session.refuse({kNo, "there is no advice " + code + "; `sluice explain --codes` lists them"});
    } else if (session.format == Format::kTable) {
        session.out << page->code << ": " << page->title << '\n' << page->text;
    } else {
        session.print({{"code", page->code}, {"title", page->title}, {"text", page->text}});
    }
}

void list_codes(Session& session) {
    Json rows = Json::array();
    for (const verify::Page& page : verify::pages()) {
        rows.push_back({{"code", page.code}, {"title", page.title}});
    }
    session.print(rows);
}

}  // namespace sluice::ctl
