// Compiled as C and as C++: a program that uses what an edit could break.
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
#include <stdexcept>
extern "C" {
#endif
const char *greet(void);
int counted(void);
void call(void (*function)(void));
#ifdef __cplusplus
}
#endif

static __thread int mine = 7;
static char bss[1 << 20];

static void *other(void *unused) {
    mine = 8;
    counted();
    printf("there: %d %d\n", mine, counted());
    return unused;
}

#ifdef __cplusplus
static void fail() { throw std::runtime_error("thrown through a library"); }
#endif

int main(void) {
    memset(bss, 1, sizeof bss);
    char *heap = (char *)malloc(1 << 20);
    memset(heap, 2, 1 << 20);
    printf("greet: %s\n", greet());
    pthread_t thread;
    pthread_create(&thread, NULL, other, NULL);
    pthread_join(thread, NULL);
    printf("here: %d %d\n", mine, counted());
#ifdef __cplusplus
    try {
        call(fail);
    } catch (const std::runtime_error &error) {
        printf("caught: %s\n", error.what());
    }
#endif
    void *plugin = dlopen("libplugin.so", RTLD_NOW);
    if (!plugin) {
        printf("plugin: %s\n", dlerror());
        return 1;
    }
    const char *(*name)(void) = (const char *(*)(void))dlsym(plugin, "plugin");
    printf("plugin: %s\n", name());
    void *frames[32];
    printf("frames: %s\n", backtrace(frames, 32) >= 2 ? "some" : "none");
    return bss[77] + heap[77] - 3;
}
