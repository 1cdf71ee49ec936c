// Default options of the sanitizers' run-times, which look these functions up by name. Debian's libraries are not
// instrumented: ThreadSanitizer must not believe what it sees of their synchronization, and gRPC keeps a few allocations
// to the end of the process. What *_OPTIONS says in the environment still comes on top.
//
// Threading: called once, before main. Without a sanitizer this file is empty.

#if defined(__SANITIZE_ADDRESS__)

extern "C" const char* __asan_default_options() {
  return "detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1";
}

extern "C" const char* __lsan_default_suppressions() {
  return "leak:libgrpc.so\n"
         "leak:libgrpc++.so\n"
         "leak:libcares.so\n";  // one allocation when it looks up a name
}

#endif

#if defined(WINNOW_TSAN)

extern "C" const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1:second_deadlock_stack=1:halt_on_error=0";
}

extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "race:libgrpc.so\n"
         "race:libgrpc++.so\n"
         "race:libgpr.so\n"
         "race:libabsl_\n"
         "race:libprotobuf.so\n"
         "race:libcivetweb.so\n"
         "race:libprometheus-cpp\n"
         "mutex:libgrpc.so\n"
         "mutex:libgrpc++.so\n"
         "mutex:libgpr.so\n"
         "mutex:libabsl_\n"
         "deadlock:libgrpc.so\n"
         "deadlock:libgrpc++.so\n"
         "deadlock:libgpr.so\n"
         "deadlock:libabsl_\n"
         "thread:libgrpc.so\n"
         "thread:libgpr.so\n";
}

#endif

// Harmless where UndefinedBehaviorSanitizer is not linked in: g++ defines no macro that tells.
extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1"; }
