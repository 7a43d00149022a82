# SPDX-License-Identifier: BSD-2-Clause
# The front door; CMake presets do the work. `make help` lists what there is.
.DEFAULT_GOAL := release
.PHONY: release asan tsan packages demo test test-xen ctest-xen bench fuzz fuzz-targets coverage lint install clean help

JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
as_root := $(if $(filter 0,$(shell id -u)),,sudo)
launcher := $(if $(shell command -v ccache),-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
ctest := python3 -B tests/run_tests.py --output-on-failure --no-tests=error
# Folders of tests/unit, which their tests' names begin with.
tsan_folders := frontend|process|rump|rumprun
failures := build/failures.txt
configure = cmake --log-level=NOTICE --preset

release: ## build everything into build/release (the default)
	@$(configure) release $(launcher)
	@cmake --build --preset release --parallel $(JOBS)

asan: ## build the unit tests with address and undefined-behaviour sanitizers into build/asan
	@$(configure) asan $(launcher)
	@cmake --build --preset asan --parallel $(JOBS) --target tests/unit/all

tsan: ## build the tests of the frontend, of process/ and of the rump components with the thread sanitizer into build/tsan
	@$(configure) tsan $(launcher)
	@cmake --build --preset tsan --parallel $(JOBS) --target $(patsubst %,tests/unit/%/all,$(subst |, ,$(tsan_folders)))

packages: ## install the Debian packages that are missing (as root or through sudo)
	@.ci/packages

demo: packages ## nginx, redis and others on one IP address, a server that is killed, a switch to a VF: build/demo.json, build/demo-switch.svg
	@$(MAKE) --no-print-directory release
	@$(as_root) python3 -B tests/smoke/demo.py

test: packages ## all tests, of those on Xen the ones with our hypervisor, the unit tests once more with sanitizers, each fuzz target for 10 s
	@$(MAKE) --no-print-directory release
	@$(MAKE) --no-print-directory asan
	@$(MAKE) --no-print-directory tsan
	@$(MAKE) --no-print-directory fuzz-targets
	@rm -f $(failures); status=0; \
	echo "== fuzz targets, build/fuzz"; \
	FUZZ_SECONDS=10 $(ctest) --failures $(failures) --test-dir build/fuzz -j2 -R '^fuzz\.' || status=$$?; \
	echo "== tests on Xen, build/release"; \
	XEN_MINUTES="$(or $(XEN_MINUTES),7)" XEN_TESTS="$(or $(XEN_TESTS),PortmapHypercall OnPatchedXen)" $(MAKE) --no-print-directory ctest-xen as_root= || status=$$?; \
	echo "== unit tests with sanitizers, build/asan"; \
	$(ctest) --again --failures $(failures) --test-dir build/asan -j2 -L '^unit$$' || status=$$?; \
	echo "== tests of frontend and components with the thread sanitizer, build/tsan"; \
	$(ctest) --again --failures $(failures) --test-dir build/tsan -j2 -R '^($(tsan_folders))\.' || status=$$?; \
	echo "== all other tests, build/release"; \
	$(ctest) --again --failures $(failures) --test-dir build/release -j2 -LE '^xen$$' || status=$$?; \
	if [ $$status -ne 0 ]; then echo "== what failed, of all of these"; cat $(failures); fi; \
	exit $$status

test-xen: packages ## tests on a real Xen in an emulated machine; prepared once in build/xen or $XEN_WORK
	@$(MAKE) --no-print-directory release
	@$(MAKE) --no-print-directory ctest-xen

# Verbose: its output is the results' table, as it grows.
ctest-xen:
	@if [ -n "$(SKIP_XEN)" ]; then echo "skipped: SKIP_XEN is set"; else \
	    $(as_root) env XEN_WORK="$(or $(XEN_WORK),$(CURDIR)/build/xen)" XEN_PATIENCE="$(or $(XEN_PATIENCE),2)" \
	        $(ctest) --failures $(failures) --test-dir build/release --verbose -L '^xen$$'; fi

bench: release ## speed and memory against the peers: build/bench.json, build/bench.svg
	@$(as_root) python3 tests/bench/run.py

fuzz-targets:
	@$(configure) fuzz $(launcher)
	@cmake --build --preset fuzz --parallel $(JOBS) --target tests/fuzz/all

fuzz: fuzz-targets ## libFuzzer targets, each for FUZZ_SECONDS (default 60)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(ctest) --test-dir build/fuzz -R '^fuzz\.'

coverage: ## line coverage of the unit tests (needs gcovr): build/coverage/lines.html
	@$(configure) coverage
	@cmake --build --preset coverage --parallel $(JOBS) --target tests/unit/all
	@find build/coverage -name '*.gcda' -delete
	@$(ctest) --test-dir build/coverage -L '^unit$$' -j2 || true
	@gcovr --root . --object-directory build/coverage --exclude 'tests/' --exclude 'build/' \
	    --gcov-ignore-parse-errors --html build/coverage/lines.html --print-summary

lint: ## contract, layers, data path, licence lines, length, formatting; needs no build
	@status=0; for check in contract layers hot_path spdx length open_ends machine format man_pages; do \
	    python3 -B tests/lint/run.py $$check || { [ $$? -eq 77 ] || status=1; }; done; exit $$status

install: ## install build/release; PREFIX (default /usr/local) and DESTDIR as usual
	@test -f build/release/build.ninja || $(MAKE) --no-print-directory release
	@cmake --log-level=NOTICE -DCMAKE_INSTALL_PREFIX=$(or $(PREFIX),/usr/local) build/release
	@cmake --install build/release

clean: ## remove build/
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1@\2/p' $(MAKEFILE_LIST) | while IFS=@ read -r name text; do \
	    printf '%-14s %s\n' "$$name" "$$text"; done
