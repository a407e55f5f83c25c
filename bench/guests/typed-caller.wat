;; A component that has each of its functions done by `bench:typed/desk`: the record of a number, and a list of bytes
;; that comes back.
(component
  (import "bench:typed/desk" (instance $desk
    (type $plan' (enum "free" "team" "business"))
    (export "plan" (type $plan (eq $plan')))
    (type $person' (record
      (field "id" u64) (field "name" string) (field "email" string) (field "street" string) (field "city" string)
      (field "country" string) (field "note" (option string)) (field "plan" $plan) (field "balance" f64)
      (field "is-active" bool)))
    (export "person" (type $person (eq $person')))
    (export "find" (func (param "id" u64) (result $person)))
    (export "bytes" (func (param "value" (list u8)) (result (list u8))))))
  (alias export $desk "person" (type $person'))
  (export $person "person" (type $person'))

  ;; Memory, and room in it for what a call brings, which is given up when the call is over.
  (core module $memory
    (memory (export "memory") 64)
    (global $next (mut i32) (i32.const 256))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
    (func (export "reset") (param i32)
      (global.set $next (i32.const 256))))
  (core instance $memory (instantiate $memory))

  (core func $find (canon lower (func $desk "find")
    (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core func $bytes (canon lower (func $desk "bytes")
    (memory $memory "memory") (realloc (func $memory "realloc"))))

  ;; The last argument of an import is where its result goes.
  (core module $code
    (import "desk" "find" (func $find (param i64 i32)))
    (import "desk" "bytes" (func $bytes (param i32 i32 i32)))
    (func (export "find") (param $id i64) (result i32)
      (call $find (local.get $id) (i32.const 8))
      (i32.const 8))
    (func (export "bytes") (param $at i32) (param $length i32) (result i32)
      (call $bytes (local.get $at) (local.get $length) (i32.const 8))
      (i32.const 8)))
  (core instance $code (instantiate $code (with "desk" (instance
    (export "find" (func $find))
    (export "bytes" (func $bytes))))))

  (func (export "find") (param "id" u64) (result $person)
    (canon lift (core func $code "find") (memory $memory "memory") (realloc (func $memory "realloc"))
      (post-return (func $memory "reset"))))
  (func (export "bytes") (param "value" (list u8)) (result (list u8))
    (canon lift (core func $code "bytes") (memory $memory "memory") (realloc (func $memory "realloc"))
      (post-return (func $memory "reset")))))
