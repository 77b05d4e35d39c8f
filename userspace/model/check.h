// What is wrong with objects whatever the client: references into nothing, endpoints twice, addresses claimed twice.
#pragma once

#include <string>
#include <vector>

#include "model/index.h"
#include "model/report.h"

namespace sluice::model {

// Subsets that any DestinationRule declares for a host, sorted.
std::vector<std::string> subsets_of(const Index& index, const std::string& host);
// A VirtualService's hosts and destinations, a DestinationRule's host.
void check_references(const Index& index, const config::Object& rule, bool references_warn, Report& report);
// A ServiceEntry's or Service's endpoints and virtual addresses, against all others.
void check_service(const Index& index, const config::Object& service, Report& report);

}  // namespace sluice::model
