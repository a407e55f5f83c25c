;; Writes to the log, then answers with an empty payload.
;;
;;   hello  a line to stdout, a line to stderr, a line by `__console_log`, and to stdout
;;          a line that does not end
;;   any other operation: 10 000 lines to stdout
(module
  (import "wasmbus" "__guest_request" (func $request (param i32 i32)))
  (import "wasmbus" "__console_log" (func $log (param i32 i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "to stdout\nto stderr\nno end")

  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    ;; The operation at 1024, the payload at 4096; both small.
    (call $request (i32.const 1024) (i32.const 4096))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 0x68))               ;; "h"
      (then (call $hello))
      (else (call $flood)))
    (i32.const 1))

  (func $hello
    (call $write (i32.const 1) (i32.const 0) (i32.const 10))
    (call $write (i32.const 2) (i32.const 10) (i32.const 10))
    (call $log (i32.const 0) (i32.const 9))
    (call $write (i32.const 1) (i32.const 20) (i32.const 3))
    (call $write (i32.const 1) (i32.const 23) (i32.const 3)))

  (func $flood
    (local $left i32)
    (local.set $left (i32.const 10000))
    (loop $again
      (call $write (i32.const 1) (i32.const 0) (i32.const 10))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))

  (func $write (param $fd i32) (param $start i32) (param $length i32)
    ;; The one buffer is described at 512, what was written is told at 520.
    (i32.store (i32.const 512) (local.get $start))
    (i32.store (i32.const 516) (local.get $length))
    (if (call $fd_write (local.get $fd) (i32.const 512) (i32.const 1) (i32.const 520))
      (then unreachable))))
