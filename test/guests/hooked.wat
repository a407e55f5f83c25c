;; A resource that is a number, and functions that call test:hook/hook in the middle: `hook` in the instance of a thing,
;; `run` in any.
(component
  (import "test:hook/hook" (instance $hook (export "run" (func (param "n" u32) (result u32)))))
  (core func $run (canon lower (func $hook "run")))
  (type $thing (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core module $code
    (import "host" "run" (func $run (param i32) (result i32)))
    (import "host" "new" (func $new (param i32) (result i32)))
    (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
    (func (export "value") (param i32) (result i32) (local.get 0))
    (func (export "hook") (param i32) (result i32) (call $run (i32.const 1)))
    (func (export "run") (param i32) (result i32) (call $run (local.get 0))))
  (core instance $code (instantiate $code (with "host" (instance
    (export "run" (func $run)) (export "new" (func $new))))))
  (func $make (param "n" u32) (result (own $thing)) (canon lift (core func $code "make")))
  (func $value (param "thing" (borrow $thing)) (result u32) (canon lift (core func $code "value")))
  (func $hooked (param "thing" (borrow $thing)) (result u32) (canon lift (core func $code "hook")))
  (func $again (param "n" u32) (result u32) (canon lift (core func $code "run")))
  (export $named "thing" (type $thing))
  (export "make" (func $make) (func (param "n" u32) (result (own $named))))
  (export "value" (func $value) (func (param "thing" (borrow $named)) (result u32)))
  (export "hook" (func $hooked) (func (param "thing" (borrow $named)) (result u32)))
  (export "run" (func $again)))
