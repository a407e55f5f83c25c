;; Goes wrong in the way that the operation names:
;;
;;   trap     `unreachable`               oob    a load outside of memory
;;   spin     an endless loop             div    a division by zero
;;   hog      memory until it is refused  error  an error of the guest's own
;;   recurse  an endless recursion        echo   does not go wrong: answers with the payload
;;
;; The first two letters count. Any other operation is an error of the guest's own too.
(module
  (import "wasmbus" "__guest_request" (func $request (param i32 i32)))
  (import "wasmbus" "__guest_response" (func $response (param i32 i32)))
  (import "wasmbus" "__guest_error" (func $error (param i32 i32)))

  (memory (export "memory") 2)
  (data (i32.const 0) "this guest says no")
  (data (i32.const 32) "no such operation")

  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (local $name i32)
    ;; The operation at 64, the payload at 1024; both small.
    (call $request (i32.const 64) (i32.const 1024))
    (local.set $name (i32.load16_u (i32.const 64)))
    (if (i32.eq (local.get $name) (i32.const 0x7274)) (then (call $trap)))     ;; "tr"
    (if (i32.eq (local.get $name) (i32.const 0x7073)) (then (call $spin)))     ;; "sp"
    (if (i32.eq (local.get $name) (i32.const 0x6f68)) (then (call $hog)))      ;; "ho"
    (if (i32.eq (local.get $name) (i32.const 0x6572)) (then (drop (call $recurse (i32.const 0))))) ;; "re"
    (if (i32.eq (local.get $name) (i32.const 0x6f6f)) (then (call $oob)))      ;; "oo"
    (if (i32.eq (local.get $name) (i32.const 0x6964)) (then (call $div)))      ;; "di"
    (if (i32.eq (local.get $name) (i32.const 0x7265))                          ;; "er"
      (then
        (call $error (i32.const 0) (i32.const 18))
        (return (i32.const 0))))
    (if (i32.eq (local.get $name) (i32.const 0x6365))                          ;; "ec"
      (then
        (call $response (i32.const 1024) (local.get $payload))
        (return (i32.const 1))))
    (call $error (i32.const 32) (i32.const 17))
    (i32.const 0))

  (func $trap unreachable)

  (func $spin (loop $again (br $again)))

  (func $hog
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable)

  (func $recurse (param $depth i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get $depth) (i32.const 1)))))

  (func $oob (drop (i32.load (i32.const 0x7ffffff0))))

  (func $div (drop (i32.div_u (i32.const 1) (i32.load (i32.const 60))))))
