# One object and one skeleton a file in progs/. The compiler is Debian's clang 14: verifier budgets are recorded for it.
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Iinclude -Ibpf -I/usr/include/$(shell uname -m)-linux-gnu
BPF_PROGS := $(patsubst bpf/progs/%.bpf.c,%,$(wildcard bpf/progs/*.bpf.c))
BPF_OBJECTS := $(patsubst %,$(BUILD)/bpf/%.bpf.o,$(BPF_PROGS))
SKELETONS := $(patsubst %,$(BUILD)/gen/%.skel.h,$(BPF_PROGS))

$(BUILD)/bpf/%.bpf.o: bpf/progs/%.bpf.c | $(BUILD)/.setup
	@mkdir -p $(@D)
	$(call say,BPF)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/gen/%.skel.h: $(BUILD)/bpf/%.bpf.o
	@mkdir -p $(@D)
	$(call say,SKEL)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@
