;; Counts its calls in a global and in memory and answers with both as two digits: "11" for the
;; first call of an instance, "22" for the second.
(module
  (import "wasmbus" "__guest_response" (func $response (param i32 i32)))

  (memory (export "memory") 1)
  (data (i32.const 1) "0")
  (global $calls (mut i32) (i32.const 0x30))

  (func (export "__guest_call") (param i32 i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store8 (i32.const 0) (global.get $calls))
    (i32.store8 (i32.const 1) (i32.add (i32.load8_u (i32.const 1)) (i32.const 1)))
    (call $response (i32.const 0) (i32.const 2))
    (i32.const 1)))
