;; An actor that visits: passes what it is called with to `Greeter.Greet` of the capability
;; `embed:greeter`, and answers with what that answers.
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

  ;; Names below 1024; the operation there, too, and the payload in the pages from 65536 on.
  (memory (export "memory") 17)
  (data (i32.const 0) "default")
  (data (i32.const 16) "embed:greeter")
  (data (i32.const 32) "Greeter.Greet")

  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (local $length i32)
    (call $request (i32.const 1024) (i32.const 65536))
    (if
      (i32.eq
        (call $host_call
          (i32.const 0) (i32.const 7)
          (i32.const 16) (i32.const 13)
          (i32.const 32) (i32.const 13)
          (i32.const 65536) (local.get $payload))
        (i32.const 1))
      (then
        (local.set $length (call $host_response_length))
        (call $host_response (i32.const 65536))
        (call $response (i32.const 65536) (local.get $length))
        (return (i32.const 1))))
    (local.set $length (call $host_error_length))
    (call $host_error (i32.const 65536))
    (call $error (i32.const 65536) (local.get $length))
    (i32.const 0)))
