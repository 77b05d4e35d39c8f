// Writing back: exactly the applied documents change, whatever else happens to the files.
#include <sys/file.h>

#include "base/fd.h"
#include "tests/unit/source/write_back.h"

namespace sluice::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(WriteBackTest, replaces_one_document_and_no_other_byte) {
    const std::string before = "# Licence\n\n---\n# The first.\n" + document("a") + "# after a   \n--- # separator\n\n";
    const std::string after = "# behind b\n\n\n---\n" + document("c") + "...\n# the end";
    put("x.yaml", before + document("b") + after);
    Directory directory = open_accepted();
    const std::string next =
        "kind: WorkloadEntry\napiVersion: networking.istio.io/v1\nmetadata:\n  name: b # changed\n  namespace: ml\n"
        "spec: {address: 10.7.7.7}\n";
    write(directory, {{key("b"), next}});
    EXPECT_EQ(get("x.yaml"), before + next + after);
    EXPECT_EQ(written_[0].action, WriteAction::kReplaced);
    EXPECT_EQ(written_[0].file, path("x.yaml"));
}

TEST_F(WriteBackTest, several_documents_of_one_file_come_with_one_rename) {
    put("x.yaml", document("a") + "---\n" + document("b") + "---\n" + document("c") + "---\n" + document("d"));
    Directory directory = open_accepted();
    std::vector<std::string> steps;
    auto transaction = WriteBack::prepare(directory, {{key("d"), document("d", "10.0.0.4")},
                                                      {key("a"), document("a", "192.168.100.100")},
                                                      {key("b"), std::nullopt}});
    ASSERT_TRUE(transaction.has_value());
    ASSERT_TRUE(transaction->commit([&](const char* step) { steps.emplace_back(step); }));
    EXPECT_EQ(std::ranges::count(steps, "exchanged"), 1);
    EXPECT_EQ(get("x.yaml"),
              document("a", "192.168.100.100") + "---\n" + document("c") + "---\n" + document("d", "10.0.0.4"));
    EXPECT_TRUE(directory.scan().nothing_changed());
}

TEST_F(WriteBackTest, keeps_crlf_and_a_missing_final_newline) {
    std::string crlf = document("a") + "---\n" + document("b");
    for (std::size_t at = 0; (at = crlf.find('\n', at)) != std::string::npos; at += 2) {
        crlf.insert(at, "\r");
    }
    put("x.yaml", crlf + "# last\r\n");
    put("y.yaml", document("c") + "---\n" + document("d").substr(0, document("d").size() - 1));
    Directory directory = open_accepted();
    write(directory, {{key("a"), document("a", "10.0.0.9")}, {key("c"), "\n\n" + document("c", "10.0.0.9")}});
    const std::string rest = crlf.substr(crlf.find("---"));
    EXPECT_EQ(get("x.yaml"), document("a", "10.0.0.9") + rest + "# last\r\n");
    EXPECT_EQ(get("y.yaml"), document("c", "10.0.0.9") + "---\n" + document("d").substr(0, document("d").size() - 1));
    write(directory, {{key("d"), document("d", "10.0.0.8")}});
    EXPECT_THAT(get("y.yaml"), testing::EndsWith("---\n" + document("d", "10.0.0.8")));
    const std::string bare = document("b", "10.0.0.8");
    write(directory, {{key("b"), bare.substr(0, bare.size() - 1)}});
    EXPECT_EQ(get("x.yaml"), document("a", "10.0.0.9") + "---\r\n" + bare + "# last\r\n");
}

TEST_F(WriteBackTest, an_indented_document_is_replaced_with_its_indentation) {
    std::string indented = "  " + document("b");
    for (std::size_t at = indented.find('\n'); at + 1 < indented.size(); at = indented.find('\n', at + 1)) {
        indented.insert(at + 1, "  ");
    }
    put("x.yaml", document("a") + "--- # b\n" + indented + "---\n" + document("c"));
    Directory directory = open_accepted();
    write(directory, {{key("b"), document("b", "10.0.0.4")}});
    EXPECT_EQ(get("x.yaml"), document("a") + "--- # b\n" + document("b", "10.0.0.4") + "---\n" + document("c"));
}

TEST_F(WriteBackTest, a_deleted_document_takes_one_separator_with_it) {
    const auto after_deleting = [this](const std::string& text, const char* name) {
        put("x.yaml", text);
        Directory directory = open_accepted();
        write(directory, {{key(name), std::nullopt}});
        return std::filesystem::exists(path("x.yaml")) ? get("x.yaml") : "<removed>";
    };
    const std::string a = document("a"), b = document("b"), c = document("c");
    EXPECT_EQ(after_deleting(a + "---\n" + b + "---\n" + c, "b"), a + "---\n" + c);
    EXPECT_EQ(after_deleting(a + "---\n" + b, "a"), b);
    EXPECT_EQ(after_deleting(a + "---\n" + b, "b"), a);
    EXPECT_EQ(after_deleting("---\n" + a + "---\n" + b, "a"), "---\n" + b);
    EXPECT_EQ(after_deleting("# keep\n---\n" + a, "a"), "# keep\n");
    EXPECT_EQ(after_deleting(a + "---\n# about b\n" + b + "---\n" + c, "b"), a + "---\n# about b\n---\n" + c);
    EXPECT_EQ(after_deleting("---\n" + a, "a"), "<removed>");
}

TEST_F(WriteBackTest, a_new_object_gets_a_file_of_its_own_and_never_anothers) {
    put("workloadentry-ml-b.yaml", "# somebody's notes\n");
    Directory directory = open_accepted();
    write(directory, {{key("a"), "# why\n" + document("a")}, {key("b"), document("b")}});
    EXPECT_EQ(get("workloadentry-ml-a.yaml"), "# why\n" + document("a"));
    EXPECT_EQ(get("workloadentry-ml-b.yaml"), "# somebody's notes\n");
    EXPECT_EQ(get("workloadentry-ml-b-2.yaml"), document("b"));
    EXPECT_EQ(written_[1].file, path("workloadentry-ml-b-2.yaml"));
    EXPECT_EQ(written_[1].action, WriteAction::kCreated);
}

TEST_F(WriteBackTest, an_object_called_test_does_not_end_up_among_the_rule_tests) {
    Directory directory = open_accepted();
    write(directory, {{key("a.test"), document("a.test")}});
    EXPECT_EQ(get("workloadentry-ml-a_test.yaml"), document("a.test"));
    EXPECT_TRUE(directory.scan(true).nothing_changed());
}

TEST_F(WriteBackTest, the_same_document_again_writes_nothing) {
    put("x.yaml", document("a"));
    Directory directory = open_accepted();
    struct stat before {
    }, after{};
    ::stat(path("x.yaml").c_str(), &before);
    write(directory, {{key("a"), document("a")}});
    ::stat(path("x.yaml").c_str(), &after);
    EXPECT_EQ(before.st_ino, after.st_ino);
    EXPECT_EQ(written_[0].action, WriteAction::kUnchanged);
}

TEST_F(WriteBackTest, mode_and_owner_stay_and_a_links_target_is_what_is_replaced) {
    std::filesystem::create_directory(base_ + "/elsewhere");
    std::ofstream(base_ + "/elsewhere/real.txt") << document("a");
    std::filesystem::create_symlink(base_ + "/elsewhere/real.txt", path("x.yaml"));
    ASSERT_EQ(::chmod((base_ + "/elsewhere/real.txt").c_str(), 0640), 0);
    const bool root = ::geteuid() == 0;
    if (root) {
        ASSERT_EQ(::chown((base_ + "/elsewhere/real.txt").c_str(), 12345, 54321), 0);
    }
    Directory directory = open_accepted();
    write(directory, {{key("a"), document("a", "10.0.0.2")}});
    EXPECT_TRUE(std::filesystem::is_symlink(path("x.yaml")));
    EXPECT_EQ(get("x.yaml"), document("a", "10.0.0.2"));
    struct stat status {};
    ASSERT_EQ(::stat(path("x.yaml").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0640u);
    EXPECT_TRUE(!root || (status.st_uid == 12345 && status.st_gid == 54321));
}

TEST_F(WriteBackTest, an_item_of_a_list_is_refused_with_its_place) {
    put("x.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: WorkloadEntry\n"
        "  metadata: {name: a, namespace: ml}\n  spec: {address: 10.0.0.1}\n");
    Directory directory = open_accepted();
    const auto refused = WriteBack::prepare(directory, {{key("a"), document("a", "10.0.0.2")}});
    ASSERT_FALSE(refused.has_value());
    EXPECT_THAT(refused.error().text(), HasSubstr("item of a List in " + path("x.yaml") + ":4"));
}

TEST_F(WriteBackTest, document_text_takes_a_list_item_out_of_its_indentation) {
    const std::string body =
        "apiVersion: v1\nkind: List\nitems:\n  - apiVersion: networking.istio.io/v1\n    kind: WorkloadEntry\n\n"
        "    metadata:\n      name: a\n      namespace: ml\n    spec: {address: 10.0.0.1}\n";
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(body, "body", {}, objects, diagnostics);
    ASSERT_EQ(objects.size(), 1u);
    EXPECT_EQ(document_text(body, *objects[0]),
              "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\nmetadata:\n  name: a\n  namespace: ml\n"
              "spec: {address: 10.0.0.1}\n");
}

TEST_F(WriteBackTest, text_that_is_not_exactly_that_document_is_refused) {
    Directory directory = open_accepted();
    for (const std::string& text :
         {document("b"), document("a") + "---\n" + document("b"), std::string("# nothing\n"), std::string("kind: [")}) {
        EXPECT_FALSE(WriteBack::prepare(directory, {{key("a"), text}}).has_value()) << text;
    }
    EXPECT_THAT(WriteBack::prepare(directory, {{key("a"), document("a")}, {key("a"), document("a")}}).error().text(),
                HasSubstr("given twice"));
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(WriteBackTest, nothing_is_written_before_the_directory_was_read_without_errors) {
    put("x.yaml", "kind: [");
    Directory directory = open();
    directory.scan();
    const auto refused = WriteBack::prepare(directory, {{key("a"), document("a")}});
    ASSERT_FALSE(refused.has_value());
    EXPECT_TRUE(is_conflict(refused.error()));
}

// Runs in a child without root's override of permissions.
TEST_F(WriteBackTest, a_read_only_directory_is_refused_before_anything_is_published) {
    put("x.yaml", document("a"));
    std::filesystem::permissions(base_, std::filesystem::perms(0755));
    ASSERT_EQ(::chmod(root_.c_str(), 0555), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) {
            ::_exit(2);
        }
        auto directory = Directory::open(root_);
        if (!directory || directory->scan().diagnostics.has_errors()) {
            ::_exit(3);
        }
        directory->accept();
        const auto checked = WriteBack::check_writable(*directory);
        const auto prepared = WriteBack::prepare(*directory, {{key("a"), document("a", "10.0.0.2")}});
        const bool told = !checked && checked.error().code == EACCES &&
                          checked.error().message.find("make it writable") != std::string::npos;
        ::_exit(told && !prepared ? 0 : 4);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ::chmod(root_.c_str(), 0755);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(get("x.yaml"), document("a"));
}

TEST_F(WriteBackTest, a_file_changed_since_the_scan_is_a_conflict_and_stays) {
    put("x.yaml", document("a"));
    Directory directory = open_accepted();
    put("x.yaml", document("a", "10.5.5.5"));
    const auto refused = WriteBack::prepare(directory, {{key("a"), document("a", "10.0.0.2")}});
    ASSERT_FALSE(refused.has_value());
    EXPECT_TRUE(is_conflict(refused.error()));
    EXPECT_EQ(get("x.yaml"), document("a", "10.5.5.5"));
}

// An editor that knows no lock saves between any two steps of ours: its bytes are never lost.
TEST_F(WriteBackTest, an_editor_that_saves_between_any_two_steps_loses_nothing) {
    const std::string theirs = "# theirs\n" + document("a", "10.5.5.5");
    for (const bool in_place : {false, true}) {
        for (const std::string at : {"read", "created", "written", "synced", "exchanged"}) {
            put("x.yaml", document("a"));
            Directory directory = open_accepted();
            Fd slow;
            auto transaction = WriteBack::prepare(directory, {{key("a"), document("a", "10.0.0.2")}});
            ASSERT_TRUE(transaction.has_value()) << transaction.error().text();
            bool saved = false;
            const auto result = transaction->commit([&](const char* step) {
                if (step != at || saved) {
                    return;
                }
                saved = true;
                if (in_place) {
                    slow.reset(::open(path("x.yaml").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));  // and stays open
                    ASSERT_EQ(::write(slow.get(), theirs.data(), theirs.size()), static_cast<ssize_t>(theirs.size()));
                } else {
                    put("x.yaml", theirs);
                }
            });
            ASSERT_TRUE(saved) << at;
            EXPECT_EQ(get("x.yaml"), theirs) << at << " in place " << in_place;
            if (at != "exchanged") {
                ASSERT_FALSE(result.has_value()) << at;
                EXPECT_TRUE(is_conflict(result.error()));
            }
            EXPECT_THAT(leftovers(), IsEmpty()) << at;
        }
    }
}

TEST_F(WriteBackTest, a_file_that_an_editor_has_open_for_writing_is_a_conflict) {
    put("x.yaml", document("a"));
    Directory directory = open_accepted();
    const Fd editor(::open(path("x.yaml").c_str(), O_WRONLY | O_CLOEXEC));
    auto transaction = WriteBack::prepare(directory, {{key("a"), document("a", "10.0.0.2")}});
    ASSERT_TRUE(transaction.has_value());
    const auto result = transaction->commit();
    ASSERT_FALSE(result.has_value());
    EXPECT_TRUE(is_conflict(result.error()));
    EXPECT_EQ(get("x.yaml"), document("a"));
}

TEST_F(WriteBackTest, two_writers_at_once_lose_no_update) {
    constexpr int kRounds = 40;
    std::string text;
    for (const char* name : {"a", "b"}) {
        text += document(name, "10.0.0.0") + "# after\n---\n";
    }
    put("x.yaml", text);
    std::vector<pid_t> children;
    for (const char* name : {"a", "b"}) {
        const pid_t child = ::fork();
        if (child == 0) {
            auto directory = Directory::open(root_);
            int done = 0;
            for (int tries = 0; done < kRounds && tries < 100'000; ++tries) {
                if (directory->scan().diagnostics.has_errors()) {
                    ::_exit(2);
                }
                directory->accept();
                auto transaction =
                    WriteBack::prepare(*directory, {{key(name), document(name, "10.0.0." + std::to_string(done + 1))}},
                                       std::chrono::seconds(20));
                if (!transaction && !is_conflict(transaction.error())) {
                    ::_exit(3);
                }
                done += transaction && transaction->commit() ? 1 : 0;
            }
            ::_exit(done == kRounds ? 0 : 4);
        }
        children.push_back(child);
    }
    for (const pid_t child : children) {
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(WEXITSTATUS(status), 0);
    }
    const std::string last = "10.0.0." + std::to_string(kRounds);
    EXPECT_EQ(get("x.yaml"), document("a", last) + "# after\n---\n" + document("b", last) + "# after\n---\n");
    EXPECT_THAT(leftovers(), IsEmpty());
}

TEST_F(WriteBackTest, a_lock_held_by_another_writer_is_an_error_after_the_wait) {
    Directory directory = open_accepted();
    const Fd other(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
    const auto refused = WriteBack::prepare(directory, {{key("a"), document("a")}}, std::chrono::milliseconds(10));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, EBUSY);
}

}  // namespace
}  // namespace sluice::source
