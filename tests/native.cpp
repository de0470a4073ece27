// One program, many attacks: reads the name of one on stdin, prints what came of it as JSON.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <new>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

static void list(const char* folder) {
    DIR* directory = opendir(folder);
    std::printf("[");
    bool first = true;
    if (directory)
        while (dirent* entry = readdir(directory))
            if (entry->d_name[0] != '.') std::printf("%s\"%s\"", first ? "" : ", ", entry->d_name), first = false;
    std::printf("]");
}

static void daemonise(const char* name) {
    if (fork()) return;
    setsid();
    if (fork()) _exit(0);
    prctl(PR_SET_NAME, name);
    for (int number = 1; number < 64; number++) signal(number, SIG_IGN);
    for (;;) sleep(1);
}

static void writes() {
    const char* paths[] = {"/left", "/etc/left", "/usr/bin/left", "/usr/left", "/var/tmp/left", "/evolve/left",
                           "/evolve/sandbox/left", "/python/left", "/packages/left", "/jobs/left", "/proc/left",
                           "/dev/left", "/run/left", "/run/evolve/control", "/root/left", "../left"};
    std::printf("[");
    bool first = true;
    for (const char* path : paths)
        if (open(path, O_CREAT | O_WRONLY, 0666) >= 0) std::printf("%s\"%s\"", first ? "" : ", ", path), first = false;
    std::printf("]");
}

static void calls(pid_t server) {
    struct { const char* name; long result; } tried[] = {
        {"inet", socket(AF_INET, SOCK_STREAM, 0)}, {"inet6", socket(AF_INET6, SOCK_DGRAM, 0)},
        {"unix", socket(AF_UNIX, SOCK_STREAM, 0)}, {"netlink", socket(AF_NETLINK, SOCK_RAW, 0)},
        {"vsock", socket(AF_VSOCK, SOCK_STREAM, 0)}, {"alg", socket(AF_ALG, SOCK_SEQPACKET, 0)},
        {"unshare", syscall(SYS_unshare, 0x10000000)}, {"mount", syscall(SYS_mount, "a", "/", "tmpfs", 0, 0)},
        {"ptrace", syscall(SYS_ptrace, 16, server, 0, 0)}, {"bpf", syscall(SYS_bpf, 0, 0, 0)},
        {"io_uring", syscall(SYS_io_uring_setup, 1, 0)}, {"keyctl", syscall(SYS_keyctl, 0, 0)},
        {"perf", syscall(SYS_perf_event_open, 0, 0, 0, 0, 0)}, {"userfaultfd", syscall(SYS_userfaultfd, 0)},
        {"shmget", syscall(SYS_shmget, 7, 4096, 01600)}, {"semget", syscall(SYS_semget, 7, 1, 01600)},
        {"msgget", syscall(SYS_msgget, 7, 01600)}, {"mq_open", syscall(SYS_mq_open, "left", 0102, 0600, 0)},
        {"clone", syscall(SYS_clone, 0x10000000 | SIGCHLD, 0, 0, 0, 0)}, {"chroot", syscall(SYS_chroot, ".")},
        {"setns", syscall(SYS_setns, 0, 0)}, {"memfd", syscall(SYS_memfd_create, "x", 0)},
        {"kill", kill(server, SIGTERM)}, {"stop", kill(server, SIGSTOP)}, {"init", kill(1, SIGTERM)},
        {"tgkill", syscall(SYS_tgkill, server, server, SIGTERM)}, {"tkill", syscall(SYS_tkill, server, SIGTERM)},
        {"queue", syscall(SYS_rt_sigqueueinfo, server, SIGTERM, 0)},
        {"setuid", getuid() != 0 && setuid(0) == 0 ? 0 : -1}, {"capability", [] {
             unsigned header[2] = {0x20080522, 0}, data[6] = {};
             return syscall(SYS_capget, header, data) == 0 && !(data[0] | data[1] | data[3] | data[4]) ? -1L : 0L;
         }()}, {"limit", [] {
             rlimit more = {RLIM_INFINITY, RLIM_INFINITY};
             return (long)setrlimit(RLIMIT_NPROC, &more);
         }()},
    };
    std::printf("[");
    bool first = true;
    for (auto& one : tried)
        if (one.result >= 0) std::printf("%s\"%s\"", first ? "" : ", ", one.name), first = false;
    std::printf("]");
}

int main(int count, char** words) {
    if (count < 2 || std::strcmp(words[1], "inside")) return 9;  // it does to the machine what it can
    char line[200] = "";
    if (!std::fgets(line, sizeof line, stdin)) return 9;
    const std::string attack = std::string(line).substr(1, std::strcspn(line + 1, "\""));
    if (attack == "honest") {
        std::printf("{\"pid\": %s, \"here\": ", getpid() > 0 ? "true" : "false");
        list(".");
        std::printf("}");
    } else if (attack == "processes") {
        FILE* other = popen("echo 41; echo 1", "r");
        int one = 0, two = 0, pair[2];
        if (std::fscanf(other, "%d %d", &one, &two) != 2 || pclose(other) != 0) return 8;
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 7;
        pid_t child = fork();
        if (child == 0) _exit(write(pair[1], "x", 1) == 1 ? 5 : 6);
        int status;
        waitpid(child, &status, 0);
        std::printf("[%d, %d]", one + two, WEXITSTATUS(status));
    } else if (attack == "fork bomb") {
        prctl(PR_SET_NAME, "native-bomb");
        for (int n = 0; n < 2000; n++) fork();
        for (;;) fork();
    } else if (attack == "quick forks") {  // always another process, each gone at once
        prctl(PR_SET_NAME, "native-quick");
        if (fork() == 0)
            for (;;)
                if (fork()) _exit(0);
        std::printf("1");
    } else if (attack == "daemon") {
        daemonise("native-daemon");
        std::printf("2");
    } else if (attack == "killers") {  // shoot at whoever comes to clear up
        if (fork() == 0) {
            prctl(PR_SET_NAME, "native-killer");
            for (;;) kill(-1, SIGSTOP), kill(-1, SIGKILL);
        }
        std::printf("3");
    } else if (attack == "daemon waits") {
        daemonise("native-daemon");
        for (;;) pause();
    } else if (attack == "writes") {
        writes();
    } else if (attack == "shared") {
        for (const char* path : {"/tmp/left", "/dev/shm/left", "left"}) {
            int file = open(path, O_CREAT | O_WRONLY, 0);
            if (file >= 0) close(file);
        }
        mkdir("deep", 0700);
        mkdir("deep/er", 0);
        std::printf("4");
    } else if (attack == "look") {
        const char* folders[] = {"/tmp", "/dev/shm", ".", ".."};
        for (const char* folder : folders) {
            std::printf(folder == folders[0] ? "[" : ", ");
            list(folder);
        }
        std::printf("]");
    } else if (attack == "calls") {
        calls(getppid());
    } else if (attack.rfind("reads ", 0) == 0) {
        std::printf("%d", open(attack.c_str() + 6, O_RDONLY) >= 0 ? 1 : 0);
    } else if (attack == "environment") {
        extern char** environ;
        std::printf("[");
        for (char** one = environ; *one; one++)
            std::printf("%s\"%.*s\"", one == environ ? "" : ", ", (int)std::strcspn(*one, "="), *one);
        std::printf("]");
    } else if (attack == "flood") {
        for (;;) std::puts("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]");
    } else if (attack == "much") {
        for (int n = 0; n < 70000; n++) std::putchar('1');
    } else if (attack == "complaints") {
        for (int n = 0; n < 400000; n++) std::fprintf(stderr, "complaint %d\n", n);
        return 3;
    } else if (attack == "silence") {
    } else if (attack == "garbage") {
        std::printf("NaN, what?");
    } else if (attack == "segfault") {
        *(volatile int*)nullptr = 1;
    } else if (attack == "abort") {
        std::abort();
    } else if (attack == "exit") {
        std::fprintf(stderr, "first\nlast words\n");
        std::printf("5");
        return 3;
    } else if (attack == "loop") {
        for (int number = 1; number < 64; number++) signal(number, SIG_IGN);
        for (;;) {}
    } else if (attack == "sleep") {
        std::printf("6");
        std::fclose(stdout);
        close(1);
        for (;;) pause();
    } else if (attack == "memory") {
        std::vector<char*> held;
        for (;;) {
            held.push_back(new char[1 << 20]);
            std::memset(held.back(), 1, 1 << 20);
        }
    } else if (attack == "disk") {
        std::vector<char> block(1 << 20, 'x');
        for (int n = 0; n < 200; n++) {
            int file = open(("file" + std::to_string(n)).c_str(), O_CREAT | O_WRONLY, 0600);
            if (file < 0 || write(file, block.data(), block.size()) != (ssize_t)block.size()) break;
            std::printf("%s", n ? "" : "7");
        }
        std::printf("8");
    }
    return 0;
}
