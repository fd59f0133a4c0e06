# Builds the gm tools. `make` builds, `make check` tests, `make lint` reads, `make bench` measures, `make install` installs.
# What is missing is installed from Debian's packages first; GM_NO_INSTALL=1 only says what is missing.

BUILD    ?= build
PREFIX   ?= /usr/local
VERSION  := $(shell sed -n 's/^\#define GM_VERSION "\(.*\)"/\1/p' include/gm/filter.h)
CC       ?= cc
ifeq ($(origin CC),default)
CC       := gcc
endif
# -ffp-contract=off, and no reassociation: equal bits whatever the compiler vectorises.
OPT      ?= -O3 -g
WARN     := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wvla
CFLAGS_  := -std=c17 -D_GNU_SOURCE $(OPT) -ffp-contract=off -fno-math-errno -fno-trapping-math $(WARN) $(WERROR) -Iinclude -pthread -MMD -MP
ARCH     := $(shell $(CC) -print-multiarch 2>/dev/null)
BLAS_INC := /usr/include/$(ARCH)/openblas-serial
BLAS_LIB := /usr/lib/$(ARCH)/openblas-serial/libopenblas.a
LIBS     := -lmsgpackc -lzstd -lxxhash -lcsv -lpng -lz -lm

LIB_SRC  := $(sort $(wildcard lib/*/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
TOOL_SRC := $(sort $(wildcard cmd/gm-*.c))
TOOLS    := $(TOOL_SRC:cmd/%.c=$(BUILD)/bin/%)
UNIT_SRC := $(sort $(wildcard tests/unit/*_test.c tests/grad/*_test.c))
UNITS    := $(UNIT_SRC:tests/%.c=$(BUILD)/tests/%)

all: deps
	@$(MAKE) --no-print-directory build
build: $(TOOLS)

$(BUILD)/lib/math/blas.o: CFLAGS_ += -I$(BLAS_INC)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/lib/libgm.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# Every tool is its filter object and one main; gm-pipe links them all.
$(BUILD)/main/%.o: cmd/main.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_) $(CPPFLAGS) $(CFLAGS) -DGM_TOOL=$(subst -,_,$*)_tool -c -o $@ $<
$(BUILD)/bin/gm-pipe: $(TOOL_SRC:%.c=$(BUILD)/%.o)
$(BUILD)/bin/%: $(BUILD)/main/%.o $(BUILD)/cmd/%.o $(BUILD)/lib/libgm.a
	@mkdir -p $(@D)
	$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter-out %.a,$^) $(BUILD)/lib/libgm.a -Wl,--as-needed $(LIBS) $(BLAS_LIB) -lm

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/lib/libgm.a
	@mkdir -p $(@D)
	$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/lib/libgm.a -Wl,--as-needed $(LIBS) $(BLAS_LIB) -lm
units: $(UNITS)

clean:
	rm -rf $(BUILD)

.PHONY: all build units clean deps
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
