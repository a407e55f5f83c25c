;; A component of typed functions, each of which gives back what it takes: a record of ten fields, a string, a list of
;; bytes, a list of records. It imports nothing.
(component
  (type $plan' (enum "free" "team" "business"))
  (export $plan "plan" (type $plan'))
  (type $person' (record
    (field "id" u64) (field "name" string) (field "email" string) (field "street" string) (field "city" string)
    (field "country" string) (field "note" (option string)) (field "plan" $plan) (field "balance" f64)
    (field "is-active" bool)))
  (export $person "person" (type $person'))
  (type $line' (record (field "name" string) (field "count" u32) (field "price" f64)))
  (export $line "line" (type $line'))

  ;; Memory, and room in it for what a call brings, which is given up when the call is over.
  (core module $memory
    (memory (export "memory") 64)
    (global $next (mut i32) (i32.const 64))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
    (func (export "reset") (param i32)
      (global.set $next (i32.const 64))))
  (core instance $memory (instantiate $memory))

  (core module $code
    (import "memory" "memory" (memory 64))
    ;; A record of more than sixteen values comes by its address, and goes by it.
    (func (export "record") (param i32) (result i32) (local.get 0))
    ;; A list or a string comes by address and length, and goes by the address of both.
    (func (export "list") (param $at i32) (param $length i32) (result i32)
      (i32.store (i32.const 8) (local.get $at))
      (i32.store (i32.const 12) (local.get $length))
      (i32.const 8)))
  (core instance $code (instantiate $code (with "memory" (instance $memory))))

  (func (export "record") (param "value" $person) (result $person)
    (canon lift (core func $code "record") (memory $memory "memory") (realloc (func $memory "realloc"))
      (post-return (func $memory "reset"))))
  (func (export "text") (param "value" string) (result string)
    (canon lift (core func $code "list") (memory $memory "memory") (realloc (func $memory "realloc"))
      (post-return (func $memory "reset"))))
  (func (export "bytes") (param "value" (list u8)) (result (list u8))
    (canon lift (core func $code "list") (memory $memory "memory") (realloc (func $memory "realloc"))
      (post-return (func $memory "reset"))))
  (func (export "lines") (param "value" (list $line)) (result (list $line))
    (canon lift (core func $code "list") (memory $memory "memory") (realloc (func $memory "realloc"))
      (post-return (func $memory "reset")))))
