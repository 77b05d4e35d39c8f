#include "verify/pages.h"

#include <vector>

namespace sluice::verify {

std::span<const Page> pages() {
    static const std::vector<Page> all = [] {
        std::vector<Page> joined;
        for (const std::span<const Page> part : {rule_pages(), policy_pages(), split_pages()}) {
            joined.insert(joined.end(), part.begin(), part.end());
        }
        return joined;
    }();
    return all;
}

}  // namespace sluice::verify
