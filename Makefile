# Builds the gm tools. `make` builds, `make check` tests, `make lint` reads the code, `make sanitize` tests under
# AddressSanitizer and UndefinedBehaviorSanitizer, `make torture` attacks for an hour, `make fuzz` searches for inputs
# that hurt, `make valgrind` tests under Valgrind, `make bench` measures, `make bench-deps` gets what it compares with,
# `make install` installs.
# Debian packages that are missing are installed first; GM_NO_INSTALL=1 only says which. `make MPI=1` installs OpenMPI too, for
# runs on several machines.

BUILD    ?= build
PREFIX   ?= /usr/local
VERSION  := $(shell sed -n 's/^.define GM_VERSION "\(.*\)"/\1/p' include/gm/filter.h)
ifeq ($(origin CC),default)
CC       := gcc
endif
# -ffp-contract=off and no reassociation: equal bits however the compiler vectorises.
# Loops begin with a line of the cache: where they do not, a step takes up to 2 % more or less as code before them grows.
OPT      ?= -O3 -g -falign-functions=64 -falign-loops=64
# Against what a damaged or hostile input might find: checked copies, guarded stacks, no fixed addresses, no tables of
# functions that can be written. Sanitizers have checks of their own.
HARDEN   ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fPIE
HARDEN_LINK ?= -pie -Wl,-z,relro,-z,now
WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wvla
COMPILE   = $(CC) -std=c17 -D_GNU_SOURCE $(OPT) -ffp-contract=off -fno-math-errno -fno-trapping-math $(HARDEN) $(WARNINGS) \
            -Iinclude $(INCLUDES) -pthread -MMD -MP $(CPPFLAGS) $(CFLAGS)
# The serial OpenBLAS, linked statically: one thread per call, and tools that start in a millisecond.
BLAS     := $(shell find /usr/lib -path '*/openblas-serial/libopenblas.a' 2>/dev/null | head -n 1)
BLAS_INC := $(patsubst /usr/lib/%/openblas-serial/libopenblas.a,/usr/include/%/openblas-serial,$(BLAS))
# Its buffers are handed out by lib/math/blas.c, which knows threads.
BLAS_LINK = -Wl,--wrap=blas_memory_alloc,--wrap=blas_memory_free $(BLAS)
# Statically, as BLAS is: a library that is loaded costs each tool a tenth of its start.
LIBS      = -Wl,--as-needed -Wl,-Bstatic -lmsgpackc -lzstd -lxxhash -lcsv -lpng -lz $(LIBC) -lm
# Tools hold the C library, too (STATIC= leaves it to be loaded): nothing is looked for, mapped and relocated at their start.
STATIC   ?= -static-pie
LIBC      = -Wl,-Bdynamic
LINK      = $(CC) -pthread $(CFLAGS) $(HARDEN_LINK) $(LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libgm.a $(BLAS_LINK) $(LIBS)

LIB_OBJECTS  := $(patsubst %.c,$(BUILD)/%.o,$(sort $(filter-out lib/mpi/%,$(wildcard lib/*/*.c))))
TOOL_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard cmd/gm-*.c)))
TOOLS        := $(TOOL_OBJECTS:$(BUILD)/cmd/%.o=$(BUILD)/bin/%)
# Those that load an MPI must load the C library.
HOLDERS      := $(if $(STATIC),$(filter-out $(BUILD)/bin/gm-allreduce $(BUILD)/bin/gm-pipe,$(TOOLS)))
# For tests that preload an object: all tools, with a C library that is loaded.
DYNAMIC      := $(TOOLS:$(BUILD)/bin/%=$(BUILD)/tests/dynamic/%)
UNITS        := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/unit/*_test.c tests/grad/*_test.c)))
FUZZERS      := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
SHIM         := $(if $(filter x86_64,$(shell uname -m)),$(BUILD)/tests/fault/shim.so)
BENCHES      := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/bench/*.c)))
# Where there is an MPI, OpenMPI's or MPICH's, the object that gm-allreduce loads: no tool links an MPI.
MPICC        ?= mpicc
MPI_FLAGS    := $(wordlist 2,99,$(shell command -v $(MPICC) >/dev/null && $(MPICC) -show 2>/dev/null))
MPI_PLUGIN   := $(if $(MPI_FLAGS),$(BUILD)/lib/gm-mpi.so)

BUILD_PACKAGES := gcc libc6-dev libopenblas-serial-dev libcsv-dev libzstd-dev libmsgpack-dev librandom123-dev \
                  libxxhash-dev libpng-dev zlib1g-dev
MPI_PACKAGES   := libopenmpi-dev openmpi-bin
TEST_PACKAGES  := $(MPI_PACKAGES) bats mandoc man-db zstd gnuplot-nox python3-minimal python3-numpy python3-msgpack python3-zstandard \
                  dataset-fashion-mnist procps
LINT_PACKAGES  := $(MPI_PACKAGES) clang clang-format clang-tidy cppcheck mandoc shellcheck
FUZZ_PACKAGES  := clang libclang-rt-dev
VALGRIND_PACKAGES := valgrind libc6-dbg

.PHONY: all build lib units benches fuzzers objects check fuzz torture lint read sanitize valgrind bench bench-deps install uninstall clean packages test-packages fuzz-packages lint-packages valgrind-packages
all: packages
	@$(MAKE) --no-print-directory build
build: $(TOOLS) $(MPI_PLUGIN)
lib: $(BUILD)/libgm.a
units: $(UNITS) $(FUZZERS) $(SHIM) $(DYNAMIC)
fuzzers: $(FUZZERS)
benches: $(BENCHES)
objects: $(LIB_OBJECTS) $(TOOL_OBJECTS) $(BUILD)/main/gm-show.o $(addsuffix .o,$(UNITS) $(FUZZERS) $(BENCHES)) $(FUZZ_MAIN) $(SHIM) $(MPI_PLUGIN)

# ---- packages: $(call require,PACKAGES) ----
define require
@missing=; for p in $(1); do \
	case $$(dpkg-query -W -f='$${Status}' $$p 2>/dev/null) in *'ok installed') ;; *) missing="$$missing $$p" ;; esac; done; \
[ -n "$$missing" ] || exit 0; \
command -v apt-get >/dev/null || { echo "not on Debian: install what these packages hold:$$missing" >&2; exit 1; }; \
[ -z "$${GM_NO_INSTALL:-}" ] || { echo "missing packages:$$missing (apt-get install$$missing)" >&2; exit 1; }; \
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; yes=-y; [ -z "$${CI:-}" ] && [ -t 0 ] && yes=; \
echo "installing with apt-get:$$missing"; \
$$sudo apt-get update -qq || echo "apt-get update failed; trying with the lists that are there" >&2; \
echo "$$sudo apt-get install $$yes --no-install-recommends$$missing"; \
DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -q $$yes --no-install-recommends$$missing >$${TMPDIR:-/tmp}/gm-install.$$$$ 2>&1 || \
	{ status=$$?; cat $${TMPDIR:-/tmp}/gm-install.$$$$ >&2; exit $$status; }; \
rm -f $${TMPDIR:-/tmp}/gm-install.$$$$
endef
packages:
	$(call require,$(BUILD_PACKAGES) $(PIPELINE_PACKAGES) $(if $(MPI),$(MPI_PACKAGES)))
test-packages:
	$(call require,$(BUILD_PACKAGES) $(TEST_PACKAGES))
fuzz-packages:
	$(call require,$(BUILD_PACKAGES) $(FUZZ_PACKAGES))
lint-packages:
	$(call require,$(BUILD_PACKAGES) $(LINT_PACKAGES))
valgrind-packages:
	$(call require,$(BUILD_PACKAGES) $(VALGRIND_PACKAGES))

# ---- objects ----
$(BUILD)/lib/math/blas.o: INCLUDES = -I$(BLAS_INC)
# Unrolled loops over registers: under sanitizers they are most of the time that tests take unless they are optimized, GCC's
# analyzer would take a minute for them, and clang's sanitizers two, so that fuzzers leave them to `make sanitize`.
$(BUILD)/lib/math/tiles_%.o: override OPT += $(if $(findstring -fsanitize,$(CFLAGS)),-O3)
$(BUILD)/lib/math/tiles_%.o: override CFLAGS := $(filter-out -fanalyzer,$(CFLAGS)) $(if $(findstring fuzzer,$(CFLAGS)),-fno-sanitize=all)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<
$(BUILD)/libgm.a: $(LIB_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# A tool is its filter object and the one main; gm-pipe holds all filter objects.
$(BUILD)/main/%.o: cmd/main.c
	@mkdir -p $(@D)
	$(COMPILE) -DGM_TOOL=$(subst -,_,$*)_tool -c -o $@ $<
$(BUILD)/bin/gm-pipe: $(TOOL_OBJECTS)
$(HOLDERS): LIBC = $(STATIC)
$(BUILD)/bin/%: $(BUILD)/main/%.o $(BUILD)/cmd/%.o $(BUILD)/libgm.a
	@mkdir -p $(@D)
	$(LINK)
$(HOLDERS:$(BUILD)/bin/%=$(BUILD)/tests/dynamic/%): $(BUILD)/tests/dynamic/%: $(BUILD)/main/%.o $(BUILD)/cmd/%.o $(BUILD)/libgm.a
	@mkdir -p $(@D)
	$(LINK)
$(BUILD)/tests/dynamic/%: $(BUILD)/bin/%
	@mkdir -p $(@D)
	ln -sf ../../bin/$* $@
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libgm.a
	$(LINK)

$(BUILD)/lib/mpi/%.o: INCLUDES = $(filter -I%,$(MPI_FLAGS)) -fPIC -fvisibility=hidden
$(BUILD)/lib/gm-mpi.so: $(BUILD)/lib/mpi/plugin.o
	$(CC) -shared $(CFLAGS) -Wl,-z,relro,-z,now $(LDFLAGS) -o $@ $< $(filter-out -I%,$(MPI_FLAGS))

# Preloaded into the tools by tests/fault, so never itself under sanitizers.
$(BUILD)/tests/fault/shim.so: tests/fault/shim.c
	@mkdir -p $(@D)
	$(COMPILE) -fno-sanitize=all -fPIC -shared -o $@ $< -ldl

# The fuzzers hold the filter objects too; FUZZ_MAIN is empty where libFuzzer brings its own main().
FUZZ_MAIN ?= $(BUILD)/tests/fuzz/replay.o
$(FUZZERS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(FUZZ_MAIN) $(TOOL_OBJECTS) $(BUILD)/libgm.a
	$(LINK)

# This one holds the filter objects too, and writes down the matrix products they make.
$(BUILD)/tests/bench/iteration.o: INCLUDES = -I$(BLAS_INC)
$(BUILD)/tests/bench/iteration: $(BUILD)/tests/bench/iteration.o $(TOOL_OBJECTS) $(BUILD)/libgm.a
	$(LINK) -Wl,--wrap=gm_matmul,--wrap=gm_matmul_biased,--wrap=gm_matmul_nt,--wrap=gm_matmul_tn

# ---- tests ----
# A second make in each, because packages that were just installed change what this file finds.
check: test-packages
	@$(MAKE) --no-print-directory -j2 build units benches
	@GM_BUILD=$(abspath $(BUILD)) tests/run

MAKE_SANITIZED = $(MAKE) --no-print-directory -j2 BUILD=$(BUILD)-sanitize OPT='-O1 -g' HARDEN= STATIC= \
	CFLAGS='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
sanitize: test-packages
	@$(MAKE_SANITIZED) build units benches
	@GM_BUILD=$(abspath $(BUILD))-sanitize GM_SANITIZED=1 tests/run

# The long dose of tests/faults.bats: all attacks, and what fails once more where leaks are seen.
torture: test-packages
	@$(MAKE) --no-print-directory -j2 build units
	@$(MAKE_SANITIZED) build units
	@GM_BUILD=$(abspath $(BUILD)) tests/fault/run
	@GM_BUILD=$(abspath $(BUILD))-sanitize GM_SANITIZED=1 tests/fault/run failures

# Searches with each of tests/fuzz, by coverage, under the same sanitizers: for SECONDS, or RUNS executions, drawn from SEED.
SECONDS ?= 60
RUNS    ?=
SEED    ?= 0
fuzz: fuzz-packages
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)-fuzz CC=clang OPT='-O1 -g' HARDEN= FUZZ_MAIN= LDFLAGS=-fsanitize=fuzzer \
		CFLAGS='-Werror -Wno-pass-failed -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' fuzzers
	@GM_BUILD=$(abspath $(BUILD))-fuzz SEED=$(SEED) tests/fuzz/run $(if $(RUNS),runs $(RUNS),seconds $(SECONDS))

valgrind: valgrind-packages
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)-valgrind OPT='-O1 -g' STATIC= build $(UNITS:$(BUILD)/%=$(BUILD)-valgrind/%)
	@GM_BUILD=$(abspath $(BUILD))-valgrind tests/valgrind

# GCC 12's analyzer takes memory that a structure keeps for lost, and numbers that a loop set for never set: Valgrind and
# clang-tidy know those better. Optimized code takes it longer.
ANALYZE := -fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-use-of-uninitialized-value
lint: lint-packages
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)-lint CFLAGS=-Werror build units benches
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)-lint/analyzer OPT=-O0 HARDEN= CFLAGS='-Werror $(ANALYZE)' objects
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD)-lint/clang CC=clang OPT=-O1 CFLAGS=-Werror objects
	@$(MAKE) --no-print-directory read
# What `make lint` reads when all is built, and packages are there.
TIDY := -std=c17 -D_GNU_SOURCE $(WARNINGS) -Iinclude -I$(BLAS_INC) $(filter -I%,$(MPI_FLAGS)) -DGM_TOOL=gm_show_tool
read:
	@GM_FLAGS='$(TIDY)' tests/lint

# ROWS='gan mlp' are some of the table's rows. What it is compared with is what bench-deps installs, as far as it is there.
ROWS  ?=
bench: test-packages
	@$(MAKE) --no-print-directory -j2 build benches
	@GM_BUILD=$(abspath $(BUILD)) tests/bench/run $(ROWS)

# All of these together take some 8 GB.
PEERS := torch jax tensorflow onnxruntime onnx scikit-learn pandas polars msgpack zstandard
bench-deps:
	@python3 -m venv $(BUILD)/bench-venv
	@for p in $(PEERS); do echo "pip install $$p"; \
		$(BUILD)/bench-venv/bin/python -m pip install -q --upgrade $$p || echo "$$p could not be installed: make bench does without it" >&2; done

# ---- install ----
install: all $(BUILD)/gm.pc
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/gm \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man,1 5 7) $(addprefix $(DESTDIR)$(PREFIX)/share/gm/,pipelines examples/data examples/slurm tests)
	install $(TOOLS) $(DESTDIR)$(PREFIX)/bin
	$(if $(MPI_PLUGIN),install -D $(MPI_PLUGIN) $(DESTDIR)$(PREFIX)/lib/gm/gm-mpi.so)
	install -m 644 $(BUILD)/libgm.a $(DESTDIR)$(PREFIX)/lib
	install -m 644 $(BUILD)/gm.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 include/gm/*.h $(DESTDIR)$(PREFIX)/include/gm
	for s in 1 5 7; do install -m 644 man/*.$$s $(DESTDIR)$(PREFIX)/share/man/man$$s; done
	install -m 644 pipelines/*.mk $(DESTDIR)$(PREFIX)/share/gm/pipelines
	install pipelines/on-rank $(DESTDIR)$(PREFIX)/share/gm/pipelines
	install examples/slurm/*.sh $(DESTDIR)$(PREFIX)/share/gm/examples/slurm
	install -m 644 examples/data/* $(DESTDIR)$(PREFIX)/share/gm/examples/data
	install -m 644 examples/people.awk $(DESTDIR)$(PREFIX)/share/gm/examples
	install -m 644 tests/helpers.bash $(DESTDIR)$(PREFIX)/share/gm/tests
uninstall:
	rm -f $(TOOLS:$(BUILD)/%=$(DESTDIR)$(PREFIX)/%) $(DESTDIR)$(PREFIX)/lib/libgm.a $(DESTDIR)$(PREFIX)/lib/pkgconfig/gm.pc
	rm -f $(foreach m,$(wildcard man/*),$(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))
	rm -rf $(DESTDIR)$(PREFIX)/include/gm $(DESTDIR)$(PREFIX)/lib/gm $(DESTDIR)$(PREFIX)/share/gm
$(BUILD)/gm.pc: Makefile
	@mkdir -p $(@D)
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: gm' 'Description: models trained and used from the Unix shell' 'Version: $(VERSION)' \
		'Libs: -L$${prefix}/lib -lgm -pthread $(BLAS_LINK) $(LIBS)' 'Cflags: -I$${prefix}/include' >$@

clean:
	rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-fuzz $(BUILD)-lint $(BUILD)-valgrind

# Lists of headers come with their objects; make is not to look for rules that make them.
$(BUILD)/%.d: ;

.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
