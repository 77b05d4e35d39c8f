# Tests are found, not listed.
#   tests/unit/ROOM/*_test.cc   one GoogleTest binary a room, in asan (and in tsan for the rooms below)
#   tests/bpf/*_test.cc         one GoogleTest binary a file, with root and the kernel, asan; its other .cc files are shared
#   tests/e2e/test_*.py         pytest, on build/sluiced and build/sluice
#   tests/fuzz/NAME_fuzz.cc     libFuzzer, clang, ASan + UBSan
UNIT_ROOMS := $(sort $(foreach f,$(wildcard tests/unit/*/*_test.cc),$(notdir $(patsubst %/,%,$(dir $(f))))))
# Rooms whose code runs on more than one thread, and the decision core that they share.
TSAN_ROOMS := $(filter compile source admin daemon io proxy rollout state lib,$(UNIT_ROOMS))
# Tests of bpf/lib need nothing of userspace.
test-archives = $(if $(filter lib,$(2)),,$(call room-archives,$(1),$(2)))

# unit VARIANT,ROOM
define unit
$(BUILD)/$(1)/tests/unit_$(2): $$(patsubst %.cc,$(BUILD)/$(1)/%.o,$$(wildcard tests/unit/$(2)/*.cc)) $$(call test-archives,$(1),$(2))
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(CXX) $$(LDFLAGS_$(1)) $$^ -lgtest_main -lgmock -lgtest $$(LIBS) -o $$@
endef
$(foreach r,$(UNIT_ROOMS),$(eval $(call unit,asan,$(r))))
$(foreach r,$(TSAN_ROOMS),$(eval $(call unit,tsan,$(r))))
UNIT_TESTS := $(patsubst %,$(BUILD)/asan/tests/unit_%,$(UNIT_ROOMS)) $(patsubst %,$(BUILD)/tsan/tests/unit_%,$(TSAN_ROOMS))

# Tests of the codec ask llhttp as well.
$(foreach v,asan tsan,$(eval $(patsubst %.cc,$(BUILD)/$(v)/%.o,$(wildcard tests/unit/http/*.cc)): CXXFLAGS_$(v) += -isystem /usr/share/include))

# Release ones are for the other kernels of `make kernels`.
# bpf-test VARIANT,NAME
define bpf-test
$(BUILD)/$(1)/tests/bpf_$(2): $(BUILD)/$(1)/tests/bpf/$(2)_test.o $$(patsubst %.cc,$(BUILD)/$(1)/%.o,$$(BPF_TEST_SUPPORT)) $$(call room-archives,$(1),bpf)
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(CXX) $$(LDFLAGS_$(1)) $$^ -lgtest_main -lgmock -lgtest $$(LIBS) -o $$@
endef
BPF_TEST_SUPPORT := $(filter-out %_test.cc,$(wildcard tests/bpf/*.cc))
BPF_TEST_NAMES := $(patsubst tests/bpf/%_test.cc,%,$(wildcard tests/bpf/*_test.cc))
$(foreach v,asan release,$(foreach t,$(BPF_TEST_NAMES),$(eval $(call bpf-test,$(v),$(t)))))
BPF_TESTS := $(patsubst %,$(BUILD)/asan/tests/bpf_%,$(BPF_TEST_NAMES))
KERNEL_TESTS := $(patsubst %,$(BUILD)/release/tests/bpf_%,$(BPF_TEST_NAMES))

# A fuzz target says which rooms it needs: `// rooms: config base`; without that line they are the room that it is named
# after (ROOM_fuzz.cc, ROOM_what_fuzz.cc) and those to its right. Clang compiles the rooms itself, because coverage needs
# its instrumentation; clang 19 because 14 cannot read libstdc++'s <expected>.
FUZZ_CXXFLAGS := -std=c++23 -g1 -O1 -MMD -MP -Wno-deprecated-declarations -fsanitize=address,undefined -fno-sanitize-recover=all \
    -fno-omit-frame-pointer -Iuserspace -Iinclude -I.
fuzz-room = $(filter $(firstword $(subst _, ,$(1))),$(ROOMS))
fuzz-rooms = $(or $(shell sed -n 's,^// rooms: *,,p' tests/fuzz/$(1)_fuzz.cc),$(if $(fuzz-room),$(call rooms-from,$(fuzz-room),$(ROOMS))))
$(BUILD)/fuzz/obj/%.o: %.cc | $(BUILD)/.setup
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(FUZZ_CXX) $(FUZZ_CXXFLAGS) -fsanitize=fuzzer-no-link -c $< -o $@
# fuzzer NAME
define fuzzer
$(BUILD)/fuzz/$(1): $$(patsubst %.cc,$(BUILD)/fuzz/obj/%.o,tests/fuzz/$(1)_fuzz.cc \
    $$(foreach r,$$(call fuzz-rooms,$(1)),$$(call room-sources,$$(r))))
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(FUZZ_CXX) -fsanitize=fuzzer,address,undefined $$^ $$(LIBS) -o $$@
endef
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.cc,%,$(wildcard tests/fuzz/*_fuzz.cc))
$(foreach f,$(FUZZ_NAMES),$(eval $(call fuzzer,$(f))))

# llhttp in the variant for fuzzing: a part of the http room, and the oracle of the scanner and of the codec.
$(eval $(call llhttp,$(BUILD)/fuzz,$(FUZZ_CXX),-O1 -fsanitize=fuzzer-no-link))
$(BUILD)/fuzz/http1 $(foreach f,$(FUZZ_NAMES),$(if $(filter http,$(call fuzz-rooms,$(f))),$(BUILD)/fuzz/$(f))): $(call llhttp-objects,$(BUILD)/fuzz)
$(BUILD)/fuzz/obj/userspace/http/%.o $(BUILD)/fuzz/obj/tests/fuzz/%.o: FUZZ_CXXFLAGS += -isystem /usr/share/include
FUZZERS := $(patsubst %,$(BUILD)/fuzz/%,$(FUZZ_NAMES))

# What `make kernels` runs inside each kernel: the agent's own loader, and the tests of the programs.
KERNEL_LOADER := $(BUILD)/release/tests/kernel_loader
$(KERNEL_LOADER): $(BUILD)/release/tests/harness/kernel_loader.o $(call room-archives,release,bpf)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) $(LDFLAGS_release) $^ $(LIBS) -o $@

# Load clients and servers of `make bench`: one file a program.
BENCH_TOOLS := $(patsubst tests/bench/%.cc,$(BUILD)/bench/%,$(wildcard tests/bench/*.cc))
$(BENCH_TOOLS): $(BUILD)/bench/%: $(BUILD)/release/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) $(LDFLAGS_release) $^ $(LIBS_bench) -lpthread -o $@
# The bare forwarder is the product's event loop.
$(BUILD)/bench/forward: $(BUILD)/release/libio.a
$(BUILD)/bench/forward: LIBS_bench := $(LIBS_io)

# Programs that do nothing: what timing a program costs.
$(BUILD)/bench/%.bpf.o: tests/bench/%.bpf.c | $(BUILD)/.setup
	@mkdir -p $(@D)
	$(call say,BPF)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@

.PHONY: tests fuzzers kernel-tools bench-tools
tests: $(UNIT_TESTS) $(BPF_TESTS) $(FUZZERS) products $(BUILD)/asan/bin/sluiced $(BUILD)/asan/bin/sluice
fuzzers: $(FUZZERS)
kernel-tools: $(KERNEL_LOADER) $(KERNEL_TESTS)
bench-tools: $(BENCH_TOOLS) $(BUILD)/bench/empty.bpf.o
