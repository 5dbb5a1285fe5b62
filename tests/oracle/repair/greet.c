// libgreet.so.1; WHO tells its copies apart.
#include <stdio.h>
const char *deep(void);
static __thread int count;
static __thread char text[80];
int counted(void) { return ++count; }
void call(void (*function)(void)) {
    function();
    puts("returned");
}
const char *greet(void) {
    snprintf(text, sizeof text, "%s, deep %s", WHO, deep());
    return text;
}
