// A publisher over small tables in memory.
#pragma once

#include <gtest/gtest.h>

#include "compile/publisher.h"
#include "mesh_maker.h"

namespace sluice::compile::test {

struct Publishing : testing::Test {
    HeapTables tables{HeapCapacities{.services = 8,
                                     .routes = 16,
                                     .destinations = 32,
                                     .clusters = 8,
                                     .cluster_rows = 16,
                                     .endpoint_list = 64,
                                     .endpoints = 24,
                                     .hash_entries = 4096,
                                     .identities = 8}};
    int graces = 0;
    Publisher publisher = make();
    Decider decider{tables};

    Publisher make() {
        return {tables.tables(), tables.identities(), tables.services(), tables.clients(), [this] { ++graces; }};
    }
    std::uint64_t used(const std::string& table) const {
        for (const Occupancy& o : publisher.occupancy()) {
            if (o.table == table) {
                return o.used;
            }
        }
        ADD_FAILURE() << table;
        return 0;
    }
    sl_cluster_row row(const std::string& name) {
        const sl_cluster& record = tables.tables().clusters[publisher.cluster_number(Identity::of("cluster/" + name))];
        std::uint32_t number = SL_NONE;
        EXPECT_TRUE(sl_slot_row(const_cast<sl_slot*>(record.slot), publisher.generation(), &number));
        return tables.tables().cluster_rows[number];
    }
};

}  // namespace sluice::compile::test
