/* shim.c: a library that is preloaded into a tool and makes one of its calls go wrong.
 *
 *   FAULT_CALLS=write,fsync  what is counted: system calls by name, and malloc (with calloc, realloc and the aligned
 *                            ones), pthread_create, fork
 *   FAULT_AT=3               the third of them, the tool's threads taken together, goes wrong
 *   FAULT_DO=kill            the process ends before it, as by SIGKILL; `cut`: after half of it, if it writes; `power`:
 *                            and of files the disk has nothing by which they grew after their last sync; or the name of
 *                            an error (ENOSPC), with which it fails
 *   FAULT_ON=1               it and all that follow
 *   FAULT_TOLD=FILE          made when it happens
 *   FAULT_PIECES=7           reads and writes of 1 to 7 bytes instead, this is the seed; FAULT_EINTR=read,futex: and
 *                            every third of these calls fails with EINTR
 *
 * A seccomp filter makes the kernel hand the counted system calls back as SIGSYS, so that stdio's own and those of
 * libraries that are linked statically are seen too, which symbols that are put in front of libc's do not give. The
 * handler makes them itself at an address that the filter lets through. x86-64 only. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <dlfcn.h>

typedef struct name {
    const char *text;
    long number;
} name;

enum { MALLOC = -1, PTHREAD_CREATE = -2, FORK = -3 };
static const name calls[] = {{"read", SYS_read},
                             {"readv", SYS_readv},
                             {"pread64", SYS_pread64},
                             {"write", SYS_write},
                             {"writev", SYS_writev},
                             {"pwrite64", SYS_pwrite64},
                             {"openat", SYS_openat},
                             {"open", SYS_open},
                             {"close", SYS_close},
                             {"mmap", SYS_mmap},
                             {"msync", SYS_msync},
                             {"fsync", SYS_fsync},
                             {"fdatasync", SYS_fdatasync},
                             {"rename", SYS_rename},
                             {"renameat2", SYS_renameat2},
                             {"link", SYS_link},
                             {"linkat", SYS_linkat},
                             {"unlink", SYS_unlink},
                             {"unlinkat", SYS_unlinkat},
                             {"ftruncate", SYS_ftruncate},
                             {"fallocate", SYS_fallocate},
                             {"fcntl", SYS_fcntl},
                             {"flock", SYS_flock},
                             {"futex", SYS_futex},
                             {"lseek", SYS_lseek},
                             {"newfstatat", SYS_newfstatat},
                             {"poll", SYS_poll},
                             {"nanosleep", SYS_clock_nanosleep},
                             {"socket", SYS_socket},
                             {"bind", SYS_bind},
                             {"listen", SYS_listen},
                             {"connect", SYS_connect},
                             {"accept4", SYS_accept4},
                             {"getsockopt", SYS_getsockopt},
                             {"sendmsg", SYS_sendmsg},
                             {"recvmsg", SYS_recvmsg},
                             {"recvfrom", SYS_recvfrom},
                             {"memfd_create", SYS_memfd_create},
                             {"getrandom", SYS_getrandom},
                             {"malloc", MALLOC},
                             {"pthread_create", PTHREAD_CREATE},
                             {"fork", FORK}};
static const name errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOMEM", ENOMEM}, {"EAGAIN", EAGAIN},
                              {"EMFILE", EMFILE}, {"ENOLCK", ENOLCK}, {"EACCES", EACCES}};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static long counted[COUNT(calls)], interrupted[COUNT(calls)];
static size_t counted_count, interrupted_count;
static long fault_at, fault_error;
static bool fault_kill, fault_cut, fault_power, fault_on, pieces;
static long told_fd = -1; /* had before the tool gives up other files */
static atomic_long seen, interruptible;
static _Atomic uint32_t dice;

/* ---- system calls that the filter lets through ---- */

long shim_call(long number, long a, long b, long c, long d, long e, long f);
extern const char shim_called[];
__asm__(
    ".text\n.globl shim_call\n.hidden shim_call\n.type shim_call, @function\nshim_call:\n"
    "mov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\nmov %rcx, %rdx\nmov %r8, %r10\nmov %r9, %r8\nmov 8(%rsp), %r9\n"
    "syscall\n.globl shim_called\n.hidden shim_called\nshim_called:\nret\n");

static void end_process(void) {
    shim_call(SYS_kill, shim_call(SYS_getpid, 0, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0, 0);
}

static void tell(void) {
    if (told_fd >= 0) shim_call(SYS_write, told_fd, (long)"!", 1, 0, 0, 0);
}

static bool among(const long *list, size_t count, long number) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == number) return true;
    return false;
}

/* Not counted: of fcntl all but locks, because what else it is used for cannot fail, and messages. */
static bool is_other(long number, const long a[6]) {
    if (number == SYS_fcntl) return a[1] != F_OFD_SETLK && a[1] != F_OFD_GETLK;
    return (number == SYS_write || number == SYS_writev) && a[0] == STDERR_FILENO;
}

/* Counts a call; true if it is to go wrong. */
static bool strikes(long number) {
    if (!among(counted, counted_count, number)) return false;
    long now = atomic_fetch_add(&seen, 1) + 1;
    if (now != fault_at && !(fault_on && now > fault_at)) return false;
    tell();
    if (fault_kill && !fault_cut && !fault_power) end_process();
    return true;
}

static bool writes(long number) {
    return number == SYS_write || number == SYS_writev || number == SYS_pwrite64;
}

static bool is_vector(long number) {
    return number == SYS_readv || number == SYS_writev;
}

/* The first `most` bytes of a read or a write. */
static long in_part(long number, const long a[6], size_t most) {
    if (!is_vector(number))
        return shim_call(number, a[0], a[1], a[2] < (long)most ? a[2] : (long)most, a[3], a[4], a[5]);
    const struct iovec *from = (const struct iovec *)a[1];
    struct iovec part[16];
    int count = 0;
    for (long i = 0; i < a[2] && count < 16 && most > 0; i++) {
        part[count] = from[i];
        if (part[count].iov_len > most) part[count].iov_len = most;
        most -= part[count++].iov_len;
    }
    return shim_call(number, a[0], (long)part, count, 0, 0, 0);
}

static size_t length_of(long number, const long a[6]) {
    if (!is_vector(number)) return (size_t)a[2];
    size_t n = 0;
    for (long i = 0; i < a[2]; i++) n += ((const struct iovec *)a[1])[i].iov_len;
    return n;
}

/* ---- what a loss of power takes ---- */

/* A file that grows, and how long it was when it was synced, or first seen. */
typedef struct growing {
    long fd; /* of our own: it outlives the tool's */
    dev_t device;
    ino_t inode;
    off_t length;
} growing;

static growing files[16];
static size_t file_count;
static atomic_flag files_held = ATOMIC_FLAG_INIT;

static bool grows(long number) {
    return writes(number) || number == SYS_ftruncate || number == SYS_fallocate;
}

static bool syncs(long number) {
    return number == SYS_fsync || number == SYS_fdatasync;
}

/* Before a write, with `synced` false; after a sync, with true. */
static void note_file(long fd, bool synced) {
    struct stat st;
    if (shim_call(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) != 0 || !S_ISREG(st.st_mode)) return;
    while (atomic_flag_test_and_set(&files_held)) continue;
    size_t i = 0;
    while (i < file_count && (files[i].device != st.st_dev || files[i].inode != st.st_ino)) i++;
    if (i < file_count) {
        if (synced) files[i].length = st.st_size;
    } else if (i < COUNT(files)) {
        long own = shim_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 300, 0, 0, 0);
        files[file_count++] = (growing){own, st.st_dev, st.st_ino, st.st_size};
    }
    atomic_flag_clear(&files_held);
}

static void lose_power(void) {
    struct stat st;
    for (size_t i = 0; i < file_count; i++)
        if (shim_call(SYS_fstat, files[i].fd, (long)&st, 0, 0, 0, 0) == 0 && st.st_size > files[i].length)
            shim_call(SYS_ftruncate, files[i].fd, files[i].length, 0, 0, 0, 0);
}

/* ---- answers ---- */

static bool can_be_interrupted(long number, const long a[6]) {
    if (!among(interrupted, interrupted_count, number)) return false;
    if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) != FUTEX_WAIT) return false;
    return atomic_fetch_add(&interruptible, 1) % 3 == 0;
}

static long answer(long number, const long a[6]) {
    if (pieces) {
        if (can_be_interrupted(number, a)) return -EINTR;
        if (!is_vector(number) && number != SYS_read && number != SYS_write && number != SYS_pread64 &&
            number != SYS_pwrite64)
            return shim_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
        uint32_t roll = atomic_load(&dice) * 1664525U + 1013904223U; /* Knuth's and Lewis' */
        atomic_store(&dice, roll);
        return in_part(number, a, 1 + (roll >> 16) % 7);
    }
    const bool other = is_other(number, a);
    if (fault_power && !other && grows(number)) note_file(a[0], false);
    if (!other && strikes(number)) {
        if (number == SYS_close) shim_call(number, a[0], 0, 0, 0, 0, 0); /* it closes also when it fails */
        if (!fault_kill) return -fault_error;
        if (fault_cut && writes(number)) (void)in_part(number, a, length_of(number, a) / 2);
        if (fault_power) lose_power();
        end_process();
    }
    const long result = shim_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (fault_power && syncs(number) && result == 0) note_file(a[0], true);
    return result;
}

static void on_call(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    ucontext_t *u = context;
    greg_t *r = u->uc_mcontext.gregs;
    long a[6] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
    r[REG_RAX] = answer(info->si_syscall, a);
}

/* ---- library functions ---- */

/* The function of that name behind this library: libc's, or a sanitizer's. */
static void *next(const char *function) {
    return dlsym(RTLD_NEXT, function);
}

/* Reached without a call, which a sanitizer that is not ready would get. */
static _Thread_local bool exempt __attribute__((tls_model("initial-exec")));

static bool no_memory(void) {
    if (exempt || !strikes(MALLOC)) return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n) {
    static void *(*real)(size_t);
    if (!real) *(void **)&real = next("malloc");
    return no_memory() ? NULL : real(n);
}

void *calloc(size_t n, size_t size) {
    static void *(*real)(size_t, size_t);
    if (!real) *(void **)&real = next("calloc");
    return no_memory() ? NULL : real(n, size);
}

void *realloc(void *old, size_t n) {
    static void *(*real)(void *, size_t);
    if (!real) *(void **)&real = next("realloc");
    return no_memory() ? NULL : real(old, n);
}

void *aligned_alloc(size_t alignment, size_t n) {
    static void *(*real)(size_t, size_t);
    if (!real) *(void **)&real = next("aligned_alloc");
    return no_memory() ? NULL : real(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n) {
    static int (*real)(void **, size_t, size_t);
    if (!real) *(void **)&real = next("posix_memalign");
    return no_memory() ? ENOMEM : real(out, alignment, n);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (strikes(PTHREAD_CREATE)) return EAGAIN;
    if (!real) *(void **)&real = next("pthread_create");
    return real(thread, attributes, run, context);
}

/* A thread that blocks all signals still has to get SIGSYS: the kernel ends it if it cannot. */
int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    static int (*real)(int, const sigset_t *, sigset_t *);
    sigset_t open;
    if (set) {
        open = *set;
        sigdelset(&open, SIGSYS);
    }
    if (!real) *(void **)&real = next("pthread_sigmask");
    return real(how, set ? &open : NULL, old);
}

/* By it a sanitizer finds the stack of a thread that begins, and it does not get over a lack of memory. */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *out) {
    static int (*real)(pthread_t, pthread_attr_t *);
    if (!real) *(void **)&real = next("pthread_getattr_np");
    exempt = true;
    int number = real(thread, out);
    exempt = false;
    return number;
}

pid_t fork(void) {
    static pid_t (*real)(void);
    if (strikes(FORK)) {
        errno = EAGAIN;
        return -1;
    }
    if (!real) *(void **)&real = next("fork");
    return real();
}

/* ---- the environment ---- */

static void complain(const char *text) {
    static const char before[] = "fault shim: ";
    (void)!write(2, before, sizeof before - 1);
    (void)!write(2, text, strlen(text));
    (void)!write(2, "\n", 1);
    _exit(99);
}

static long find(const name *names, size_t count, const char *text, size_t n) {
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i].text) == n && memcmp(names[i].text, text, n) == 0) return names[i].number;
    complain("an unknown name");
    return 0;
}

static size_t find_list(const char *text, long list[COUNT(calls)]) {
    size_t count = 0;
    while (text && *text) {
        size_t n = strcspn(text, ",");
        if (count == COUNT(calls)) complain("too many names");
        list[count++] = find(calls, COUNT(calls), text, n);
        text += n + (text[n] == ',');
    }
    return count;
}

/* Where the code of a sanitizer's runtime is, which makes calls of its own; {0, 0} if there is none. */
typedef struct range {
    uint64_t from, to;
} range;

static int find_runtime(struct dl_phdr_info *info, size_t size, void *out) {
    (void)size;
    if (!strstr(info->dlpi_name, "/libasan.so")) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uint64_t from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) *(range *)out = (range){from, from + p->p_memsz};
    }
    return 1;
}

/* Returns SIGSYS for the listed calls, wherever they are made but at shim_called and in a sanitizer's runtime. */
static void filter(const long *list, size_t count) {
    struct sock_filter program[6 * COUNT(calls) + 16];
    size_t n = 0;
    uint64_t from = (uint64_t)(uintptr_t)shim_called;
    range runtime = {0, 0};
    dl_iterate_phdr(find_runtime, &runtime);
    if (runtime.from >> 32 != runtime.to >> 32)
        complain("a sanitizer's runtime lies where no filter tells it (setarch -R)");
    const struct sock_filter begin[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(from >> 32), 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)from, 5, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(runtime.from >> 32), 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)runtime.from, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)runtime.to, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (size_t i = 0; i < COUNT(begin); i++) program[n++] = begin[i];
    for (size_t i = 0; i < count; i++) {
        if (list[i] < 0) continue;
        program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)list[i], 0, 1);
        program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    }
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog all = {.len = (unsigned short)n, .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) != 0)
        complain("the kernel takes no seccomp filter");
}

__attribute__((constructor)) static void begin(void) {
    static const long all_pieces[] = {SYS_read, SYS_readv, SYS_pread64, SYS_write, SYS_writev, SYS_pwrite64};
    static const long to_disk[] = {SYS_write,     SYS_writev, SYS_pwrite64, SYS_ftruncate,
                                   SYS_fallocate, SYS_fsync,  SYS_fdatasync};
    long trapped[3 * COUNT(calls)];
    const char *seed = getenv("FAULT_PIECES"), *at = getenv("FAULT_AT"), *what = getenv("FAULT_DO");
    size_t count = 0;
    counted_count = find_list(getenv("FAULT_CALLS"), counted);
    interrupted_count = find_list(getenv("FAULT_EINTR"), interrupted);
    const char *told = getenv("FAULT_TOLD");
    int file = told ? open(told, O_WRONLY | O_CREAT, 0600) : -1;
    if (file >= 0) {
        told_fd = fcntl(file, F_DUPFD_CLOEXEC, 200); /* where nothing else comes to be */
        close(file);
    }
    fault_on = getenv("FAULT_ON") != NULL;
    pieces = seed != NULL;
    if (seed) atomic_store(&dice, (uint32_t)strtoul(seed, NULL, 10));
    for (size_t i = 0; i < counted_count; i++) trapped[count++] = counted[i];
    for (size_t i = 0; i < interrupted_count; i++) trapped[count++] = interrupted[i];
    for (size_t i = 0; pieces && i < COUNT(all_pieces); i++) trapped[count++] = all_pieces[i];
    if (counted_count > 0) {
        if (!at || !what) complain("FAULT_AT and FAULT_DO are to be given");
        fault_cut = strcmp(what, "cut") == 0;
        fault_power = strcmp(what, "power") == 0;
        fault_kill = fault_cut || fault_power || strcmp(what, "kill") == 0;
        for (size_t i = 0; fault_power && i < COUNT(to_disk); i++) trapped[count++] = to_disk[i];
        if (!fault_kill) fault_error = find(errors, COUNT(errors), what, strlen(what));
    }
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSYS, &action, NULL);
    if (count > 0) filter(trapped, count);
    /* last: what the shim itself did does not count */
    atomic_store(&seen, 0);
    if (at) fault_at = strtol(at, NULL, 10);
}
