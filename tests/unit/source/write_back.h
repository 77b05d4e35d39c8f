// Writing back into a directory, with what must hold after each time.
#pragma once

#include "source/write_back.h"
#include "tests/unit/source/fixture.h"

namespace sluice::source {

class WriteBackTest : public DirectoryTest {
  protected:
    // Writes back and checks that neither the next look at the events nor one at everything finds a change, and that a
    // directory opened anew agrees about the places.
    void write(Directory& directory, std::vector<Edit> edits) {
        ASSERT_TRUE(directory.scan().nothing_changed());
        auto transaction = WriteBack::prepare(directory, std::move(edits));
        ASSERT_TRUE(transaction.has_value()) << transaction.error().text();
        auto written = transaction->commit();
        ASSERT_TRUE(written.has_value()) << written.error().text();
        written_ = std::move(*written);
        for (const bool everything : {false, true}) {
            const Scan scan = directory.scan(everything);
            EXPECT_TRUE(scan.nothing_changed())
                << testing::PrintToString(changes(scan)) << testing::PrintToString(errors(scan));
            EXPECT_EQ(scan.files_parsed, 0u);
        }
        Directory anew = open_accepted();
        EXPECT_EQ(anew.documents(), directory.documents());
        for (const std::string name : {"a", "b", "c", "d"}) {
            const auto mine = directory.locate(key(name));
            const auto other = anew.locate(key(name));
            ASSERT_EQ(mine.has_value(), other.has_value()) << name;
            if (mine) {
                EXPECT_EQ(mine->file, other->file);
                EXPECT_EQ(mine->line, other->line) << name;
            }
        }
        EXPECT_THAT(leftovers(), testing::IsEmpty());
    }
    std::vector<std::string> leftovers() const {
        std::vector<std::string> out;
        for (const std::string& name : names()) {
            if (name.starts_with(".")) {
                out.push_back(name);
            }
        }
        return out;
    }

    std::vector<Written> written_;
};

}  // namespace sluice::source
