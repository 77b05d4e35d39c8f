// Scanning: what changed since the last accepted content, and nothing else.
#include "source/directory.h"

#include "tests/unit/source/fixture.h"

namespace sluice::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Strings = std::vector<std::string>;

TEST_F(DirectoryTest, the_first_scan_reads_all_rule_files_of_the_tree) {
    std::filesystem::create_directories(path("team/models"));
    put("a.yaml", document("a") + "---\n" + document("b"));
    put("team/models/c.yml", document("c"));
    put("notes.txt", "not yaml: [");
    put(".hidden.yaml", "{");
    put("a.yaml~", "{");
    put("#a.yaml#", "{");
    put(".#a.yaml", "{");
    put("a.test.yaml", "rules: .\ntests: []\n");
    put("team/b.test.yml", "{");
    std::filesystem::create_directory(path(".git"));
    put(".git/x.yaml", "{");
    Directory directory = open();
    const Scan scan = directory.scan();
    EXPECT_THAT(errors(scan), IsEmpty());
    EXPECT_THAT(changes(scan), ElementsAre("+WorkloadEntry ml/a", "+WorkloadEntry ml/b", "+WorkloadEntry ml/c"));
    EXPECT_EQ(scan.changes[2].object->file, path("team/models/c.yml"));
    directory.accept();
    EXPECT_EQ(directory.files(), 2u);
    EXPECT_EQ(directory.documents(), 3u);
    EXPECT_TRUE(directory.scan(true).nothing_changed());
}

TEST_F(DirectoryTest, only_changed_documents_of_changed_files_are_reported) {
    put("a.yaml", document("a") + "---\n" + document("b") + "---\n" + document("c"));
    put("d.yaml", document("d"));
    Directory directory = open_accepted();
    put("a.yaml", document("a") + "# a comment\n---\n" + document("b", "10.9.9.9") + "---\n" + document("e"));
    const Scan scan = directory.scan();
    EXPECT_THAT(changes(scan), ElementsAre("+WorkloadEntry ml/b", "-WorkloadEntry ml/c", "+WorkloadEntry ml/e"));
    EXPECT_EQ(scan.files_parsed, 1u);
    directory.accept();
    EXPECT_TRUE(directory.scan().nothing_changed());
}

TEST_F(DirectoryTest, the_same_bytes_written_again_are_not_parsed) {
    put("a.yaml", document("a"));
    Directory directory = open_accepted();
    put("a.yaml", document("a"));
    const Scan scan = directory.scan(true);
    EXPECT_TRUE(scan.nothing_changed());
    EXPECT_EQ(scan.files_parsed, 0u);
}

TEST_F(DirectoryTest, a_change_within_one_tick_of_the_clock_with_equal_size_is_seen) {
    put("a.yaml", document("a", "10.0.0.1"));
    Directory directory = open_accepted();
    struct stat status {};
    ASSERT_EQ(::stat(path("a.yaml").c_str(), &status), 0);
    {
        std::ofstream out(path("a.yaml"), std::ios::binary | std::ios::in);  // the same inode
        out << document("a", "10.0.0.2");
    }
    const timespec times[2] = {status.st_atim, status.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, path("a.yaml").c_str(), times, 0), 0);
    EXPECT_THAT(changes(directory.scan(true)), ElementsAre("+WorkloadEntry ml/a"));
}

TEST_F(DirectoryTest, a_removed_file_removes_its_objects_and_a_renamed_one_changes_nothing) {
    put("a.yaml", document("a"));
    put("b.yaml", document("b"));
    Directory directory = open_accepted();
    std::filesystem::rename(path("a.yaml"), path("z.yaml"));
    EXPECT_TRUE(directory.scan().nothing_changed());
    EXPECT_EQ(directory.locate(key("a"))->file, path("z.yaml"));
    std::filesystem::remove(path("b.yaml"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("-WorkloadEntry ml/b"));
}

TEST_F(DirectoryTest, documents_that_trade_files_are_no_duplicates) {
    put("a.yaml", document("a"));
    put("b.yaml", document("b"));
    Directory directory = open_accepted();
    put("a.yaml", document("b"));
    put("b.yaml", document("a"));
    EXPECT_TRUE(directory.scan().nothing_changed());
    EXPECT_EQ(directory.locate(key("a"))->file, path("b.yaml"));
    EXPECT_EQ(directory.documents(), 2u);
}

TEST_F(DirectoryTest, what_was_not_accepted_is_reported_again) {
    put("a.yaml", document("a"));
    Directory directory = open();
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/a"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/a"));
    directory.accept();
    put("b.yaml", document("b"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/b"));
    put("c.yaml", document("c"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/b", "+WorkloadEntry ml/c"));
    std::filesystem::remove(path("b.yaml"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/c"));
}

TEST_F(DirectoryTest, an_error_anywhere_changes_nothing_until_it_is_gone) {
    put("a.yaml", document("a"));
    put("b.yaml", document("b"));
    Directory directory = open_accepted();
    put("a.yaml", document("a", "10.1.1.1"));
    put("b.yaml", "kind: [\n");
    const Scan broken = directory.scan();
    EXPECT_THAT(changes(broken), IsEmpty());
    ASSERT_EQ(broken.diagnostics.items.size(), 1u);
    EXPECT_THAT(errors(broken)[0], HasSubstr(path("b.yaml") + ":"));
    directory.accept();  // nothing to accept
    put("b.yaml", document("b"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/a"));
}

TEST_F(DirectoryTest, a_key_in_two_documents_is_an_error_that_names_both) {
    put("a.yaml", "# first\n" + document("x"));
    Directory directory = open_accepted();
    put("b.yaml", document("other") + "---\n" + document("x"));
    const Scan scan = directory.scan();
    ASSERT_EQ(scan.diagnostics.items.size(), 1u);
    EXPECT_EQ(errors(scan)[0], path("b.yaml") + ":7:1: metadata.name: WorkloadEntry ml/x is already defined in " +
                                   path("a.yaml") + ":2");
    put("b.yaml", document("other") + "---\n" + document("other", "10.0.0.7"));
    EXPECT_THAT(errors(directory.scan())[0],
                HasSubstr("WorkloadEntry ml/other is already defined in " + path("b.yaml") + ":1"));
    put("b.yaml", document("other"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/other"));
}

TEST_F(DirectoryTest, limits_and_odd_files_are_named) {
    DirectoryLimits limits;
    limits.files = 2;
    limits.parse.file_bytes = 1000;
    put("a.yaml", std::string(1001, '#'));
    ASSERT_EQ(::mkfifo(path("fifo.yaml").c_str(), 0600), 0);
    Directory directory = open(limits);
    auto found = errors(directory.scan());
    ASSERT_EQ(found.size(), 2u);
    EXPECT_THAT(found, testing::Contains(HasSubstr("fifo.yaml: is not a regular file")));
    EXPECT_THAT(found,
                testing::Contains(HasSubstr("a.yaml: has 1001 bytes or more, allowed are 1000 (limit file_bytes)")));
    std::filesystem::remove(path("fifo.yaml"));
    for (const char* name : {"a.yaml", "b.yaml", "c.yaml"}) {
        put(name, document(name));
    }
    EXPECT_THAT(errors(directory.scan())[0], HasSubstr("(limit files)"));
    std::filesystem::remove(path("c.yaml"));
    EXPECT_THAT(errors(directory.scan()), IsEmpty());
    directory.accept();
    put("c.yaml", document("c"));
    EXPECT_THAT(errors(directory.scan())[0], HasSubstr("(limit files)")) << "also when only one file was looked at";
}

TEST_F(DirectoryTest, total_size_and_depth_are_limited) {
    DirectoryLimits limits;
    limits.total_bytes = 300;
    limits.depth = 1;
    put("a.yaml", document("a"));
    put("b.yaml", document("b"));
    Directory directory = open(limits);
    put("c.yaml", document("c"));
    EXPECT_THAT(errors(directory.scan())[0], HasSubstr("(limit total_bytes)"));
    std::filesystem::remove(path("c.yaml"));
    std::filesystem::create_directories(path("one/two"));
    EXPECT_THAT(errors(directory.scan())[0], HasSubstr("(limit depth)"));
}

TEST_F(DirectoryTest, links_to_files_are_followed_and_watched_links_to_directories_are_not) {
    std::filesystem::create_directories(base_ + "/elsewhere");
    std::ofstream(base_ + "/elsewhere/real") << document("a");
    std::filesystem::create_symlink(base_ + "/elsewhere/real", path("a.yaml"));
    std::filesystem::create_directory_symlink(base_ + "/elsewhere", path("dir.yaml"));
    Directory directory = open();
    Scan scan = directory.scan();
    EXPECT_THAT(changes(scan), ElementsAre("+WorkloadEntry ml/a"));
    ASSERT_EQ(scan.diagnostics.items.size(), 1u);
    EXPECT_EQ(scan.diagnostics.items[0].severity, Severity::kWarning);
    directory.accept();
    std::ofstream(base_ + "/elsewhere/real") << document("b");
    EXPECT_THAT(changes(directory.scan()), ElementsAre("-WorkloadEntry ml/a", "+WorkloadEntry ml/b"));
    std::filesystem::remove(base_ + "/elsewhere/real");
    EXPECT_THAT(errors(directory.scan())[0], HasSubstr("symbolic link leads nowhere"));
}

TEST_F(DirectoryTest, a_kubernetes_volume_swapped_by_its_data_link_is_seen) {
    std::filesystem::create_directories(path("..1"));
    std::filesystem::create_directories(path("..2"));
    std::ofstream(path("..1/a.yaml")) << document("a");
    std::ofstream(path("..2/a.yaml")) << document("b");
    std::filesystem::create_symlink("..1", path("..data"));
    std::filesystem::create_symlink("..data/a.yaml", path("a.yaml"));
    Directory directory = open_accepted();
    std::filesystem::create_symlink("..2", path("..tmp"));
    std::filesystem::rename(path("..tmp"), path("..data"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("-WorkloadEntry ml/a", "+WorkloadEntry ml/b"));
}

TEST_F(DirectoryTest, a_lost_directory_changes_nothing_and_a_new_one_in_its_place_is_read) {
    put("a.yaml", document("a"));
    Directory directory = open_accepted();
    std::filesystem::rename(root_, base_ + "/gone");
    EXPECT_THAT(errors(directory.scan())[0], HasSubstr("cannot be listed"));
    std::filesystem::create_directory(root_);
    put("b.yaml", document("b"));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("-WorkloadEntry ml/a", "+WorkloadEntry ml/b"));
}

TEST_F(DirectoryTest, assumed_objects_are_the_base_of_the_first_scan) {
    put("a.yaml", document("a") + "---\n" + document("b") + "---\n" + document("c"));
    std::vector<config::ObjectPtr> objects;
    Diagnostics diagnostics;
    config::parse(document("a") + "---\n" + document("b", "10.9.9.9") + "---\n" + document("gone"), "state", {},
                  objects, diagnostics);
    ASSERT_EQ(objects.size(), 3u);
    Directory directory = open();
    for (const auto& object : objects) {
        directory.assume(*object);
    }
    EXPECT_THAT(changes(directory.scan()),
                ElementsAre("+WorkloadEntry ml/b", "+WorkloadEntry ml/c", "-WorkloadEntry ml/gone"));
    directory.accept();
    EXPECT_TRUE(directory.scan(true).nothing_changed());
}

TEST_F(DirectoryTest, locate_follows_documents_that_move_without_changing) {
    put("a.yaml", document("a") + "---\n" + document("b"));
    Directory directory = open_accepted();
    EXPECT_EQ(directory.locate(key("b"))->line, 7);
    put("a.yaml", "# one\n# two\n" + document("a") + "---\n\n" + document("b"));
    EXPECT_TRUE(directory.scan().nothing_changed());
    EXPECT_EQ(directory.locate(key("a"))->line, 3);
    EXPECT_EQ(directory.locate(key("b"))->line, 10);
    EXPECT_FALSE(directory.locate(key("none")).has_value());
}

TEST_F(DirectoryTest, a_path_that_is_no_directory_is_refused_with_its_name) {
    EXPECT_THAT(Directory::open(base_ + "/none").error().text(), HasSubstr(base_ + "/none"));
    EXPECT_THAT(Directory::open("/dev/null").error().text(), HasSubstr("/dev/null"));
}

class WatchTest : public DirectoryTest {
  protected:
    // Polls as the agent does. false: nothing was due within the time.
    static bool wait_due(Directory& directory, std::chrono::milliseconds longest = std::chrono::seconds(10)) {
        const auto deadline = std::chrono::steady_clock::now() + longest;
        while (std::chrono::steady_clock::now() < deadline) {
            pollfd fd{directory.fd(), POLLIN, 0};
            if (::poll(&fd, 1, 20) == 1 && directory.due()) {
                return true;
            }
        }
        return false;
    }
};

TEST_F(WatchTest, every_way_to_save_a_file_is_noticed) {
    put("a.yaml", document("a", "10.0.0.1"));
    Directory directory = open_accepted();
    const auto expect = [&](const char* how) {
        ASSERT_TRUE(wait_due(directory)) << how;
        EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/a")) << how;
        directory.accept();
    };
    put("a.yaml", document("a", "10.0.0.2"));
    expect("rename");
    std::ofstream(path("a.yaml")) << document("a", "10.0.0.3");
    expect("in place");
    std::filesystem::remove(path("a.yaml"));
    std::ofstream(base_ + "/linked") << document("a", "10.0.0.4");
    std::filesystem::create_hard_link(base_ + "/linked", path("a.yaml"));
    expect("hard link");
    std::filesystem::create_directory(base_ + "/sub");
    std::filesystem::rename(path("a.yaml"), base_ + "/sub/a.yaml");
    std::ofstream(base_ + "/sub/a.yaml") << document("a", "10.0.0.5");
    std::filesystem::rename(base_ + "/sub", path("sub"));
    expect("a directory moved in");
    put("sub/a.yaml", document("a", "10.0.0.6"));
    expect("rename in a new subdirectory");
}

TEST_F(WatchTest, a_burst_is_one_scan_and_other_files_are_none) {
    Directory directory = open_accepted();
    for (int i = 0; i < 200; ++i) {
        put("f" + std::to_string(i) + ".yaml", document("w" + std::to_string(i)));
    }
    int scans = 0;
    std::size_t found = 0;
    while (found < 200 && wait_due(directory)) {
        found += directory.scan().changes.size();
        directory.accept();
        ++scans;
    }
    EXPECT_EQ(found, 200u);
    EXPECT_LE(scans, 20) << "events are gathered";
    put("notes.txt", "x");
    put(".hidden.yaml", "x");
    EXPECT_FALSE(wait_due(directory, std::chrono::milliseconds(150)));
}

TEST_F(WatchTest, an_overflow_of_the_event_queue_is_answered_by_a_full_scan) {
    put("a.yaml", document("a", "10.0.0.1"));
    Directory directory = open_accepted();
    int queue = 0;
    std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> queue;
    ASSERT_GT(queue, 0);
    // Alternate names: equal events in a row are merged by the kernel.
    for (int i = 0; i < queue / 2 + 1000; ++i) {
        const std::string name = path(i % 2 ? "x" : "y");
        ::close(::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ::unlink(name.c_str());
    }
    put("a.yaml", document("a", "10.0.0.2"));
    ASSERT_TRUE(wait_due(directory));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/a"));
}

TEST_F(WatchTest, a_directory_replaced_as_a_whole_is_noticed) {
    put("a.yaml", document("a"));
    Directory directory = open_accepted();
    std::filesystem::create_directory(base_ + "/next");
    std::ofstream(base_ + "/next/b.yaml") << document("b");
    std::filesystem::rename(root_, base_ + "/last");
    std::filesystem::rename(base_ + "/next", root_);
    ASSERT_TRUE(wait_due(directory));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("-WorkloadEntry ml/a", "+WorkloadEntry ml/b"));
    directory.accept();
    put("b.yaml", document("b", "10.0.0.9"));
    ASSERT_TRUE(wait_due(directory));
    EXPECT_THAT(changes(directory.scan()), ElementsAre("+WorkloadEntry ml/b"));
}

}  // namespace
}  // namespace sluice::source
