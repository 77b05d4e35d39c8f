// Where a value stands in its file.
#pragma once

namespace sluice::config {

// Lines and columns from 1.
struct Place {
    int line = 0;
    int column = 0;
};

}  // namespace sluice::config
