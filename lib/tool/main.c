/* main.c: main() of every tool. */
#include "gm/filter.h"
#include "gm/ops.h"
#include "gm/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* The end of standard output: close(2) can report what write(2) did not, a full disk or a network file system. */
static int output_end(const gm_tool *tool, int status) {
    if (fflush(stdout) == 0 && close(STDOUT_FILENO) == 0) return status;
    if (status == 0) gm_say(tool->name, "standard output: %s", gm_errno_text(errno));
    return status ? status : 1;
}

/* A file that is opened must not become standard input, output or error because that was closed: a message would be
 * written over a model. /dev/null in the wrong mode keeps EBADF for whoever uses the closed one. */
static bool fill_standard_descriptors(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return false;
    return true;
}

int gm_tool_main(const gm_tool *tool, int argc, char **argv) {
    gm_error e = {0};
    gm_call call;
    bool done = false;
    if (!fill_standard_descriptors()) {
        gm_say(tool->name, "a standard descriptor is closed and cannot be replaced: %s", gm_errno_text(errno));
        return 1;
    }
    signal(SIGXFSZ, SIG_IGN); /* a file over its limit is an error that is told and cleaned up after */
    gm_flush_denormals();
    gm_flow flow = {0};
    gm_call *calls[1] = {&call};
    int status = gm_call_open(tool, argc, argv, false, &call, &done, &e);
    if (status == 0 && !done) status = gm_flow_open(&flow, calls, 1, &e);
    if (status == 0 && !done) status = gm_confine(&call, &e); /* before there are threads */
    if (status == 0 && call.threads > 1) status = gm_threads_set(call.threads, &e);
    if (status != 0) {
        gm_calls_cut(calls, 1, &e);
        if (*e.text) gm_say(tool->name, "%s", e.text);
        status = e.usage ? 2 : 1;
    } else if (!done) {
        status = gm_flow_run(&flow);
    }
    gm_flow_close(&flow);
    gm_call_close(&call);
    if (gm_threads() > 1 && gm_threads_set(1, &e) != 0) status = 1;
    return output_end(tool, status);
}
