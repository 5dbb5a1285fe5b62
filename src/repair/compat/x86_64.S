# Functions of glibc since 2.36 (arc4random and kin) and 2.38 (strlcpy and kin), for a runtime that lacks them.
#
# The assembled bytes are in x86_64.bin; a test assembles this file and compares. The code can be anywhere, keeps no
# data, and calls two functions of the C library through slots, which are 0x10400 and 0x10408 after its start.
# Arguments are in rdi, rsi, rdx and rcx, the result is in rax; these and r8 to r11 need not be preserved.
# Jumping to a function of the C library leaves the stack as that function expects it.

        .intel_syntax noprefix
        .text
start:
        .set    abort_slot, start + 0x10400
        .set    chk_fail_slot, start + 0x10408

# size_t __strlcpy_chk(char *to, const char *from, size_t size, size_t room): room is the size that the compiler knows.
# The other functions with _chk are alike.
        .globl  __strlcpy_chk
__strlcpy_chk:
        endbr64
        cmp     rcx, rdx
        jae     copy
fail:   jmp     qword ptr [rip + chk_fail_slot]

# size_t strlcpy(char *to, const char *from, size_t size): returns the length of `from`, and copies as much of it as
# fits with a NUL.
        .globl  strlcpy
strlcpy:
        endbr64
copy:   xor     eax, eax                # the place in `to` and `from`
1:      movzx   ecx, byte ptr [rsi + rax]
        cmp     rax, rdx
        jae     2f                      # only the length is wanted
        mov     byte ptr [rdi + rax], cl
2:      inc     rax
        test    ecx, ecx
        jnz     1b
        dec     rax                     # without the NUL
        cmp     rax, rdx
        jb      3f                      # the NUL had room
        test    rdx, rdx
        jz      3f
        mov     byte ptr [rdi + rdx - 1], 0
3:      ret

# size_t strlcat(char *to, const char *from, size_t size): returns the length of both together. `to` counts as
# `size` long if it has no NUL before that, and then stays as it is.
        .globl  __strlcat_chk
__strlcat_chk:
        endbr64
        cmp     rcx, rdx
        jae     append
        jmp     fail

        .globl  strlcat
strlcat:
        endbr64
append: xor     r8d, r8d                # the length of `to`
1:      cmp     r8, rdx
        jae     2f
        cmp     byte ptr [rdi + r8], 0
        je      2f
        inc     r8
        jmp     1b
2:      add     rdi, r8
        sub     rdx, r8
        call    copy
        add     rax, r8
        ret

# size_t wcslcpy(wchar_t *to, const wchar_t *from, size_t size): sizes are in characters of four bytes.
        .globl  __wcslcpy_chk
__wcslcpy_chk:
        endbr64
        cmp     rcx, rdx
        jae     wide_copy
        jmp     fail

        .globl  wcslcpy
wcslcpy:
        endbr64
wide_copy:
        xor     eax, eax
1:      mov     ecx, dword ptr [rsi + rax * 4]
        cmp     rax, rdx
        jae     2f
        mov     dword ptr [rdi + rax * 4], ecx
2:      inc     rax
        test    ecx, ecx
        jnz     1b
        dec     rax
        cmp     rax, rdx
        jb      3f
        test    rdx, rdx
        jz      3f
        mov     dword ptr [rdi + rdx * 4 - 4], 0
3:      ret

        .globl  __wcslcat_chk
__wcslcat_chk:
        endbr64
        cmp     rcx, rdx
        jae     wide_append
        jmp     fail

        .globl  wcslcat
wcslcat:
        endbr64
wide_append:
        xor     r8d, r8d
1:      cmp     r8, rdx
        jae     2f
        cmp     dword ptr [rdi + r8 * 4], 0
        je      2f
        inc     r8
        jmp     1b
2:      lea     rdi, [rdi + r8 * 4]
        sub     rdx, r8
        call    wide_copy
        add     rax, r8
        ret

# void arc4random_buf(void *to, size_t size): calls the kernel's getrandom, repeatedly if needed. It may return fewer
# bytes than requested, and be interrupted (EINTR, 4). Any other error ends the process.
        .globl  arc4random_buf
arc4random_buf:
        endbr64
fill:   mov     r8, rsi                 # what is left; system calls change rax, rcx and r11 only
1:      test    r8, r8
        jz      3f
        mov     rsi, r8
        xor     edx, edx
        mov     eax, 318                # getrandom
        syscall
        test    rax, rax
        jle     2f
        add     rdi, rax
        sub     r8, rax
        jmp     1b
2:      cmp     rax, -4
        je      1b
        jmp     qword ptr [rip + abort_slot]
3:      ret

# uint32_t arc4random(void)
        .globl  arc4random
arc4random:
        endbr64
random: sub     rsp, 24
        mov     rdi, rsp
        mov     esi, 4
        call    fill
        mov     eax, dword ptr [rsp]
        add     rsp, 24
        ret

# uint32_t arc4random_uniform(uint32_t limit): all numbers below the limit are equally likely. Numbers with as many
# bits as limit - 1 are drawn until one is below the limit.
        .globl  arc4random_uniform
arc4random_uniform:
        endbr64
        xor     eax, eax
        lea     ecx, [rdi - 1]
        cmp     edi, 2
        jb      2f
        bsr     ecx, ecx
        xor     ecx, 31                 # the leading zeros
        mov     r9d, edi
        or      r10d, -1
        shr     r10d, cl                # the mask
        sub     rsp, 8                  # a multiple of 16 at each call
1:      call    random
        and     eax, r10d
        cmp     eax, r9d
        jae     1b
        add     rsp, 8
2:      ret
