# How a file is compiled. Three variants of the same sources:
#   release  what ships            asan  tests: ASan + UBSan            tsan  tests of threaded code
WARN := -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough
CXXFLAGS_common := -std=c++23 $(WARN) -MMD -MP -Iuserspace -Iinclude -I. -I$(BUILD)/gen -fno-omit-frame-pointer
CXXFLAGS_release := $(CXXFLAGS_common) -g -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -ffunction-sections
# Line tables are what a sanitizer's report needs; the rest of -g is a fifth of the time to compile.
CXXFLAGS_asan := $(CXXFLAGS_common) -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
CXXFLAGS_tsan := $(CXXFLAGS_common) -g1 -O1 -fsanitize=thread
# Tests themselves are not optimised, which halves the time to compile them; what they test is. Those of bpf/lib include it.
$(BUILD)/asan/tests/%.o: CXXFLAGS_asan := $(filter-out -O1,$(CXXFLAGS_asan)) -O0
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
