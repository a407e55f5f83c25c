;; Calls out, as its payload says: binding, namespace, operation and body, with a zero byte after
;; each of the first three. Answers with what came back, or with the host's error as its own.
;;
;;   ignore  calls out, reads neither response nor error, and says that all is well
;;   any other operation: as above
(module
  (import "wasmbus" "__guest_request" (func $request (param i32 i32)))
  (import "wasmbus" "__guest_response" (func $response (param i32 i32)))
  (import "wasmbus" "__guest_error" (func $error (param i32 i32)))
  (import "wasmbus" "__host_call"
    (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasmbus" "__host_response_len" (func $host_response_length (result i32)))
  (import "wasmbus" "__host_response" (func $host_response (param i32)))
  (import "wasmbus" "__host_error_len" (func $host_error_length (result i32)))
  (import "wasmbus" "__host_error" (func $host_error (param i32)))

  (memory (export "memory") 1)

  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (local $namespace i32) (local $target_operation i32) (local $body i32)
    (local $code i32) (local $length i32)
    (call $reserve (i32.add (local.get $operation) (local.get $payload)))
    ;; The payload at 0, the operation behind it.
    (call $request (local.get $payload) (i32.const 0))

    (local.set $namespace (call $after_zero (i32.const 0)))
    (local.set $target_operation (call $after_zero (local.get $namespace)))
    (local.set $body (call $after_zero (local.get $target_operation)))
    (local.set $code
      (call $host_call
        (i32.const 0) (call $until (i32.const 0) (local.get $namespace))
        (local.get $namespace) (call $until (local.get $namespace) (local.get $target_operation))
        (local.get $target_operation) (call $until (local.get $target_operation) (local.get $body))
        (local.get $body) (i32.sub (local.get $payload) (local.get $body))))

    (if (i32.eq (i32.load8_u (local.get $payload)) (i32.const 0x69))           ;; "i"
      (then (return (i32.const 1))))

    (if (i32.eq (local.get $code) (i32.const 1))
      (then
        (local.set $length (call $host_response_length))
        (call $reserve (local.get $length))
        (call $host_response (i32.const 0))
        (call $response (i32.const 0) (local.get $length))
        (return (i32.const 1))))
    (local.set $length (call $host_error_length))
    (call $reserve (local.get $length))
    (call $host_error (i32.const 0))
    (call $error (i32.const 0) (local.get $length))
    (i32.const 0))

  ;; Where the text behind the next zero byte starts.
  (func $after_zero (param $at i32) (result i32)
    (loop $again
      (if (i32.load8_u (local.get $at))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $again))))
    (i32.add (local.get $at) (i32.const 1)))

  ;; The length of a text, by where the next one starts.
  (func $until (param $start i32) (param $next i32) (result i32)
    (i32.sub (i32.sub (local.get $next) (local.get $start)) (i32.const 1)))

  ;; Grows the memory to that many bytes, if it is smaller.
  (func $reserve (param $bytes i32)
    (local $missing i32)
    (local.set $missing
      (i32.sub
        (i32.shr_u (i32.add (local.get $bytes) (i32.const 65535)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1))
          (then unreachable))))))
