;; Counts to a million for each byte of its payload, then answers "first".
(module
  (import "wasmbus" "__guest_response" (func $response (param i32 i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "first")

  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (local $left i64)
    (local.set $left (i64.mul (i64.extend_i32_u (local.get $payload)) (i64.const 1000000)))
    (block $done
      (loop $again
        (br_if $done (i64.eqz (local.get $left)))
        ;; A store that nobody reads, so that the loop is not empty.
        (i64.store (i32.const 8) (local.get $left))
        (local.set $left (i64.sub (local.get $left) (i64.const 1)))
        (br $again)))
    (call $response (i32.const 0) (i32.const 5))
    (i32.const 1)))
