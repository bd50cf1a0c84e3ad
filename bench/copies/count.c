// Counts what memcpy and memmove copy in a process, by caller, in the file $COPIES/copies.PID, which read.py reads.
// cc -O2 -fno-builtin -fno-tree-loop-distribute-patterns -shared -fPIC -o count.so count.c
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
enum { SLOTS = 8192 };
struct slot { uint64_t caller, calls, bytes, unused; };
static struct slot *table;
__attribute__((constructor)) static void open_table(void) {
    const char *dir = getenv("COPIES");
    if (!dir) return;
    char path[256];
    snprintf(path, sizeof path, "%s/copies.%d", dir, getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, SLOTS * sizeof(struct slot))) return;
    void *p = mmap(0, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED) table = p;
}
static inline void count(uint64_t caller, size_t n) {
    if (!table || n == 0) return;
    uint64_t i = (caller * 0x9e3779b97f4a7c15ull) >> 51;
    for (int k = 0; k < 64; k++, i = (i + 1) % SLOTS) {
        if (table[i].caller == caller || table[i].caller == 0) {
            table[i].caller = caller;
            __atomic_fetch_add(&table[i].calls, 1, __ATOMIC_RELAXED);
            __atomic_fetch_add(&table[i].bytes, n, __ATOMIC_RELAXED);
            return;
        }
    }
}
static void *forward(void *d, const void *s, size_t n) {
    void *r = d;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return r;
}
void *memcpy(void *d, const void *s, size_t n) { count((uint64_t)__builtin_return_address(0), n); return forward(d, s, n); }
void *memmove(void *d, const void *s, size_t n) {
    count((uint64_t)__builtin_return_address(0), n);
    if ((uint64_t)d - (uint64_t)s >= n) return forward(d, s, n);
    char *a = (char *)d + n - 1; const char *b = (const char *)s + n - 1; size_t c = n;
    __asm__ volatile("std\n rep movsb\n cld" : "+D"(a), "+S"(b), "+c"(c) : : "memory");
    return d;
}
