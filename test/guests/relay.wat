;; Hands every operation with its payload to whoever it is linked to as `test:probe`, and answers with
;; what came back, or with the host's error as its own.
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

  ;; Room for a payload of a megabyte, after the two names.
  (memory (export "memory") 17)
  (data (i32.const 0) "default")
  (data (i32.const 16) "test:probe")

  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (local $code i32) (local $length i32) (local $at i32)
    ;; The payload at 64, the operation behind it.
    (local.set $at (i32.add (i32.const 64) (local.get $payload)))
    (call $request (local.get $at) (i32.const 64))
    (local.set $code
      (call $host_call
        (i32.const 0) (i32.const 7)
        (i32.const 16) (i32.const 10)
        (local.get $at) (local.get $operation)
        (i32.const 64) (local.get $payload)))
    (if (i32.eq (local.get $code) (i32.const 1))
      (then
        (local.set $length (call $host_response_length))
        (call $host_response (i32.const 64))
        (call $response (i32.const 64) (local.get $length))
        (return (i32.const 1))))
    (local.set $length (call $host_error_length))
    (call $host_error (i32.const 64))
    (call $error (i32.const 64) (local.get $length))
    (i32.const 0)))
