// Functions of glibc since 2.36 (arc4random and kin) and 2.38 (strlcpy and kin), for a runtime that lacks them.
//
// The assembled bytes are in aarch64.bin; a test assembles this file and compares. The code can be anywhere, keeps no
// data, and calls two functions of the C library through slots, which are 0x10400 and 0x10408 after its start.
// Arguments are in x0 to x3, the result is in x0; x0 to x17 need not be preserved. `bti c` does nothing
// where branch targets are not checked.

        .text
        .arch   armv8-a
start:
        .set    abort_slot, start + 0x10400
        .set    chk_fail_slot, start + 0x10408

// size_t __strlcpy_chk(char *to, const char *from, size_t size, size_t room): room is the size that the compiler knows.
// The other functions with _chk are alike.
        .globl  __strlcpy_chk
__strlcpy_chk:
        hint    #34                     // bti c
        cmp     x3, x2
        b.hs    copy
fail:   ldr     x16, chk_fail_slot
        br      x16

// size_t strlcpy(char *to, const char *from, size_t size): returns the length of `from`, and copies as much of it as
// fits with a NUL.
        .globl  strlcpy
strlcpy:
        hint    #34
copy:   mov     x4, #0                  // the place in `to` and `from`
1:      ldrb    w5, [x1, x4]
        cmp     x4, x2
        b.hs    2f                      // only the length is wanted
        strb    w5, [x0, x4]
2:      add     x4, x4, #1
        cbnz    w5, 1b
        sub     x4, x4, #1              // without the NUL
        cmp     x4, x2
        b.lo    3f                      // the NUL had room
        cbz     x2, 3f
        add     x5, x0, x2
        strb    wzr, [x5, #-1]
3:      mov     x0, x4
        ret

// size_t strlcat(char *to, const char *from, size_t size): returns the length of both together. `to` counts as
// `size` long if it has no NUL before that, and then stays as it is.
        .globl  __strlcat_chk
__strlcat_chk:
        hint    #34
        cmp     x3, x2
        b.hs    append
        b       fail

        .globl  strlcat
strlcat:
        hint    #34
append: mov     x6, #0                  // the length of `to`
1:      cmp     x6, x2
        b.hs    2f
        ldrb    w5, [x0, x6]
        cbz     w5, 2f
        add     x6, x6, #1
        b       1b
2:      add     x0, x0, x6
        sub     x2, x2, x6
        mov     x7, x30
        bl      copy
        add     x0, x0, x6
        ret     x7

// size_t wcslcpy(wchar_t *to, const wchar_t *from, size_t size): sizes are in characters of four bytes.
        .globl  __wcslcpy_chk
__wcslcpy_chk:
        hint    #34
        cmp     x3, x2
        b.hs    wide_copy
        b       fail

        .globl  wcslcpy
wcslcpy:
        hint    #34
wide_copy:
        mov     x4, #0
1:      ldr     w5, [x1, x4, lsl #2]
        cmp     x4, x2
        b.hs    2f
        str     w5, [x0, x4, lsl #2]
2:      add     x4, x4, #1
        cbnz    w5, 1b
        sub     x4, x4, #1
        cmp     x4, x2
        b.lo    3f
        cbz     x2, 3f
        add     x5, x0, x2, lsl #2
        str     wzr, [x5, #-4]
3:      mov     x0, x4
        ret

        .globl  __wcslcat_chk
__wcslcat_chk:
        hint    #34
        cmp     x3, x2
        b.hs    wide_append
        b       fail

        .globl  wcslcat
wcslcat:
        hint    #34
wide_append:
        mov     x6, #0
1:      cmp     x6, x2
        b.hs    2f
        ldr     w5, [x0, x6, lsl #2]
        cbz     w5, 2f
        add     x6, x6, #1
        b       1b
2:      add     x0, x0, x6, lsl #2
        sub     x2, x2, x6
        mov     x7, x30
        bl      wide_copy
        add     x0, x0, x6
        ret     x7

// void arc4random_buf(void *to, size_t size): calls the kernel's getrandom, repeatedly if needed. It may return fewer
// bytes than requested, and be interrupted (EINTR, 4). Any other error ends the process.
        .globl  arc4random_buf
arc4random_buf:
        hint    #34
fill:   mov     x4, x0                  // where to; system calls change x0 only
        mov     x5, x1                  // what is left
1:      cbz     x5, 3f
        mov     x0, x4
        mov     x1, x5
        mov     x2, #0
        mov     x8, #278                // getrandom
        svc     #0
        cmp     x0, #0
        b.le    2f
        add     x4, x4, x0
        sub     x5, x5, x0
        b       1b
2:      cmn     x0, #4
        b.eq    1b
        ldr     x16, abort_slot
        br      x16
3:      ret

// uint32_t arc4random(void)
        .globl  arc4random
arc4random:
        hint    #34
random: sub     sp, sp, #16
        str     x30, [sp, #8]
        mov     x0, sp
        mov     x1, #4
        bl      fill
        ldr     w0, [sp]
        ldr     x30, [sp, #8]
        add     sp, sp, #16
        ret

// uint32_t arc4random_uniform(uint32_t limit): all numbers below the limit are equally likely. Numbers with as many
// bits as limit - 1 are drawn until one is below the limit.
        .globl  arc4random_uniform
arc4random_uniform:
        hint    #34
        mov     w6, w0
        mov     w0, #0
        cmp     w6, #2
        b.lo    2f
        sub     w7, w6, #1
        clz     w7, w7                  // the leading zeros
        mov     w9, #-1
        lsr     w7, w9, w7              // the mask
        mov     x9, x30
1:      bl      random
        and     w0, w0, w7
        cmp     w0, w6
        b.hs    1b
        mov     x30, x9
2:      ret
