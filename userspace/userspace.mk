# Rooms in layer order, lowest last: a room may include only rooms to its right (tests/check enforces the arrows).
ROOMS := daemon ctl admin rollout verify proxy telemetry state source bpf io compile model config http base
LIBS_daemon := -lspdlog -lfmt -lcap
LIBS_ctl := -lyaml -lncurses -ltinfo
LIBS_admin := -lmicrohttpd
LIBS_state := -lsqlite3
LIBS_rollout := -lcurl
LIBS_proxy := -lre2
LIBS_bpf := -lbpf -lelf -lz
LIBS_io := -luring
LIBS_config := -lyaml
LIBS := $(foreach r,$(ROOMS),$(LIBS_$(r))) -lpthread

# Every .cc of a room but the one with main() goes into its archive.
room-sources = $(filter-out %/main.cc,$(wildcard userspace/$(1)/*.cc))
# room-archive VARIANT,ROOM
define room-archive
$(BUILD)/$(1)/lib$(2).a: $$(patsubst %.cc,$(BUILD)/$(1)/%.o,$$(call room-sources,$(2)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call say,AR)
	$$(Q)ar rcsD $$@ $$^
endef
$(foreach v,release asan tsan,$(foreach r,$(ROOMS),$(eval $(call room-archive,$(v),$(r)))))

# llhttp, of which Debian ships the sources, is a part of the http room: strict, with each variant's flags, its warnings not ours.
# llhttp VARIANT,OBJECTS' DIRECTORY,COMPILER,FLAGS
LLHTTP_FLAGS := -x c -w -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp
llhttp-objects = $(patsubst %,$(1)/llhttp/%.o,llhttp api http)
define llhttp
$(call llhttp-objects,$(1)): $(1)/llhttp/%.o: | $(BUILD)/.setup
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$(2) $(LLHTTP_FLAGS) $(3) -c /usr/share/llhttp/$$*.c -o $$@
endef
$(foreach v,release asan tsan,$(eval $(call llhttp,$(BUILD)/$(v),$(CXX),$(filter-out -std=% $(WARN) -MMD -MP,$(CXXFLAGS_$(v)))))\
    $(eval $(BUILD)/$(v)/libhttp.a: $(call llhttp-objects,$(BUILD)/$(v)))\
    $(eval $(patsubst %.cc,$(BUILD)/$(v)/%.o,$(wildcard userspace/http/*.cc)): CXXFLAGS_$(v) += -isystem /usr/share/include))

# Archives that a room may use: itself and all rooms to its right, but none with a program of its own.
rooms-from = $(if $(filter $(1),$(firstword $(2))),$(2),$(call rooms-from,$(1),$(wordlist 2,$(words $(2)),$(2))))
room-archives = $(patsubst %,$(BUILD)/$(1)/lib%.a,$(filter-out $(filter-out $(2),daemon ctl),$(call rooms-from,$(2),$(ROOMS))))

# Only the bpf room sees skeletons.
$(patsubst %.cc,$(BUILD)/release/%.o,$(wildcard userspace/bpf/*.cc)) \
$(patsubst %.cc,$(BUILD)/asan/%.o,$(wildcard userspace/bpf/*.cc)) \
$(patsubst %.cc,$(BUILD)/tsan/%.o,$(wildcard userspace/bpf/*.cc)): | $(SKELETONS)

# product VARIANT,ROOM,NAME
define product
$(BUILD)/$(1)/bin/$(3): $(BUILD)/$(1)/userspace/$(2)/main.o $$(call room-archives,$(1),$(2))
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$$(Q)$$(CXX) $$(LDFLAGS_$(1)) $$^ $$(LIBS) -o $$@
endef
$(foreach v,release asan tsan,$(eval $(call product,$(v),daemon,sluiced))$(eval $(call product,$(v),ctl,sluice)))

.PHONY: products
products: $(BUILD)/sluiced $(BUILD)/sluice
$(BUILD)/sluiced $(BUILD)/sluice: $(BUILD)/%: $(BUILD)/release/bin/%
	@ln -f $< $@
