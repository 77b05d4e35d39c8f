# Sluice. Verbs only; each room brings what it builds in its .mk.
#   BUILD=DIR puts everything that is built elsewhere than build/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PRECIOUS: %.o
MAKEFLAGS += --no-builtin-rules
# All cores, unless the caller says otherwise.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif

export BUILD ?= build
CXX := g++
CLANG ?= clang-14
FUZZ_CXX ?= clang++-19
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)

include scripts/build.mk
include bpf/bpf.mk
include userspace/userspace.mk
include tests/tests.mk
include $(wildcard examples/*/*.mk)

.PHONY: all help setup demo test check bench kernels fuzz clean
all: setup-if-missing products ## build sluiced and sluice into build/

setup: ## install what is missing (idempotent, needs root)
	scripts/setup

demo: all ## run the main job: a canary moved live in the kernel, the rules that look into requests, canaries that run by themselves
	scripts/demo
	scripts/demo-requests
	scripts/demo-canary

test: all ## all tests: unit, bpf, end to end, short fuzzing
	tests/run

check: setup-if-missing ## format, lint, include order, headers alone, ABI three ways, repo rules
	tests/check/run

bench: all bench-tools ## measurements side by side, into build/bench.json
	scripts/bench

kernels: all kernel-tools ## load and attach every program on other kernels
	scripts/kernels

fuzz: fuzzers ## fuzz every target for FUZZ_SECONDS each (default 300)
	tests/fuzz/run --seconds $${FUZZ_SECONDS:-300}

clean: ## remove what was built
	rm -rf -- "$(BUILD)"

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12
