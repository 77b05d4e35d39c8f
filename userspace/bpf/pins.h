// Where things are pinned: BPFFS/sluice/v<abi>/{maps,progs,links}/NAME.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::bpf {

class Pins {
  public:
    explicit Pins(std::string bpffs);

    // Mounts bpffs there if the directory is on none (needs CAP_SYS_ADMIN), makes the directories and takes the lock,
    // which lasts as long as the descriptor. Another holder: EBUSY.
    Result<Fd> prepare() const;

    std::string map(const std::string& name) const { return root_ + "/maps/" + name; }
    std::string program(const std::string& name) const { return root_ + "/progs/" + name; }
    std::string link(const std::string& name) const { return root_ + "/links/" + name; }

    // Detaches one program and removes its pins. Nothing there is fine.
    Result<> drop(const std::string& program) const;

    // Detaches and removes what other ABI versions have here, as remove_all() does; their names ("v3"). The lock is the
    // caller's.
    Result<std::vector<std::string>> remove_others() const;
    // Detaches and removes all, of every ABI version: first the links that place connections, so that none is placed
    // which nothing watches. Nothing there is fine.
    Result<> remove_all() const;

  private:
    std::string bpffs_;
    std::string home_;  // BPFFS/sluice
    std::string root_;  // of this ABI
};

// The object pinned at `path`; empty: there is none.
Result<std::optional<Fd>> open_pin(const std::string& path);
// Pins `fd`, replacing what is pinned there in one step.
Result<> replace_pin(int fd, const std::string& path);

// True: the directory is on a bpffs.
Result<bool> is_bpffs(const std::string& path);

}  // namespace sluice::bpf
