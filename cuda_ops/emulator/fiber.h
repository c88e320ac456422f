// Owns stacks that take turns on one CPU thread: each emulated CUDA thread is a fiber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define RESTORE_ASAN 1
#endif

#if defined(__x86_64__) && !defined(RESTORE_ASAN)
// Six saved registers and two stack pointers: some thirty times as quick as swapcontext, which asks the kernel for the
// signal mask each time.  Floating-point modes are the same in all fibers.
extern "C" void restore_switch_stack(void** save, void* load);
asm(R"(
.text
.globl restore_switch_stack
.hidden restore_switch_stack
.type restore_switch_stack, @function
restore_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size restore_switch_stack, .-restore_switch_stack
)");

namespace restore::emulator {

class Fiber {
 public:
  void start(size_t stack_bytes, void (*entry)()) {
    stack_.reset(new char[stack_bytes]);
    // As after a call: the stack is 8 off a multiple of 16, below it six registers that nobody reads.
    uintptr_t top = (reinterpret_cast<uintptr_t>(stack_.get()) + stack_bytes) / 16 * 16 - 16;
    *reinterpret_cast<void (**)()>(top) = entry;
    at_ = reinterpret_cast<void*>(top - 6 * sizeof(void*));
  }
  void enter() { restore_switch_stack(&host_, at_); }  // from the host; returns at the fiber's leave()
  void leave(bool /*forever*/) { restore_switch_stack(&at_, host_); }
  void entered() {}

 private:
  std::unique_ptr<char[]> stack_;
  void* at_ = nullptr;
  static inline void* host_ = nullptr;
};

}  // namespace restore::emulator
#else
#include <ucontext.h>

namespace restore::emulator {

class Fiber {
 public:
  void start(size_t stack_bytes, void (*entry)()) {
    stack_.reset(new char[stack_bytes]);
    bytes_ = stack_bytes;
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_.get();
    context_.uc_stack.ss_size = stack_bytes;
    context_.uc_link = &host_;
    makecontext(&context_, entry, 0);
  }
  void enter() {
#ifdef RESTORE_ASAN
    __sanitizer_start_switch_fiber(&host_fake_, stack_.get(), bytes_);
#endif
    swapcontext(&host_, &context_);
#ifdef RESTORE_ASAN
    __sanitizer_finish_switch_fiber(host_fake_, nullptr, nullptr);
#endif
  }
  void leave(bool forever) {
#ifdef RESTORE_ASAN
    __sanitizer_start_switch_fiber(forever ? nullptr : &fake_, host_stack_, host_bytes_);
#else
    (void)forever;
#endif
    swapcontext(&context_, &host_);
    entered();
  }
  void entered() {  // first thing on the fiber's own stack
#ifdef RESTORE_ASAN
    __sanitizer_finish_switch_fiber(fake_, &host_stack_, &host_bytes_);
#endif
  }

 private:
  std::unique_ptr<char[]> stack_;
  size_t bytes_ = 0;
  ucontext_t context_{};
  void* fake_ = nullptr;
  static inline ucontext_t host_{};
  static inline void* host_fake_ = nullptr;
  static inline const void* host_stack_ = nullptr;
  static inline size_t host_bytes_ = 0;
};

}  // namespace restore::emulator
#endif
