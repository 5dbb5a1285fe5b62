/* The C library that the function needs. It uses no header and no libc, so one compiler for an
   architecture serves both of its targets, gnu and musl. */

const char *greeting(void) {
    return "good day from C";
}
