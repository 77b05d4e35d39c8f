# How a file is compiled. Three variants of the same sources:
#   release  what ships            asan  tests: ASan + UBSan            tsan  tests of threaded code
WARN := -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough
CXXFLAGS_common := -std=c++23 $(WARN) -MMD -MP -Iuserspace -Iinclude -I. -I$(BUILD)/gen -fno-omit-frame-pointer
# Line tables are what a backtrace and a sanitizer's report need; the rest of -g is a quarter of the time to compile.
CXXFLAGS_release := $(CXXFLAGS_common) -g1 -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -ffunction-sections
CXXFLAGS_asan := $(CXXFLAGS_common) -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
CXXFLAGS_tsan := $(CXXFLAGS_common) -g1 -O1 -fsanitize=thread
# Tests themselves and the command are not optimised, which halves the time to compile them; what else is tested is. Tests of
# bpf/lib include it.
$(BUILD)/asan/tests/%.o $(BUILD)/asan/userspace/ctl/%.o: CXXFLAGS_asan := $(filter-out -O1,$(CXXFLAGS_asan)) -O0
$(BUILD)/tsan/tests/%.o: CXXFLAGS_tsan := $(filter-out -O1,$(CXXFLAGS_tsan)) -O0
$(BUILD)/asan/tests/unit/lib/%.o: CXXFLAGS_asan := $(CXXFLAGS_asan)
$(BUILD)/tsan/tests/unit/lib/%.o: CXXFLAGS_tsan := $(CXXFLAGS_tsan)
LDFLAGS_release := -Wl,--gc-sections -Wl,-z,relro,-z,now
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread

# One line a step; V=1 shows the commands.
Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-5s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$@)')

# One stamp a setup script version: verbs call scripts/setup only when it is missing or the script changed.
.PHONY: setup-if-missing
setup-if-missing: $(BUILD)/.setup
$(BUILD)/.setup: scripts/setup
	@mkdir -p $(@D)
	scripts/setup
	@touch $@

# variant-rules VARIANT: how to compile a .cc in that variant.
define variant-rules
$(BUILD)/$(1)/%.o: %.cc | $(BUILD)/.setup
	@mkdir -p $$(@D)
	$$(call say,CXX)
	$$(Q)$$(CXX) $$(CXXFLAGS_$(1)) -c $$< -o $$@
endef
$(foreach v,release asan tsan,$(eval $(call variant-rules,$(v))))

DEPFILES = $(shell find $(BUILD) -name '*.d' 2>/dev/null)
-include $(DEPFILES)
