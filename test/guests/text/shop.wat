;; The interface of guides/components.md: `place` gives back the order that it takes.
;;
;; An order is passed flat: the list as address and length, the shipping as case, address and length, the color, and
;; the rights. The answer is a result in memory: its case, then the order as it is laid out there.
(component
  (type $color (enum "red" "green"))
  (type $rights (flags "read" "write"))
  (type $line (record
    (field "name" string) (field "price" f64) (field "unit-count" u8) (field "note" (option string))))
  (type $shipping (variant (case "pickup") (case "parcel" string)))
  (type $order (record
    (field "lines" (list $line)) (field "shipping" $shipping) (field "color" $color) (field "rights" $rights)))

  (core module $memory
    (memory (export "memory") 4)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))

  (core module $code
    (import "memory" "memory" (memory 4))
    (func (export "place")
      (param $lines i32) (param $count i32)
      (param $shipping i32) (param $street i32) (param $length i32)
      (param $color i32) (param $rights i32)
      (result i32)
      (i32.store8 (i32.const 8) (i32.const 0))
      (i32.store (i32.const 12) (local.get $lines))
      (i32.store (i32.const 16) (local.get $count))
      (i32.store8 (i32.const 20) (local.get $shipping))
      (i32.store (i32.const 24) (local.get $street))
      (i32.store (i32.const 28) (local.get $length))
      (i32.store8 (i32.const 32) (local.get $color))
      (i32.store8 (i32.const 33) (local.get $rights))
      (i32.const 8)))
  (core instance $code (instantiate $code (with "memory" (instance $memory))))

  (func $place (param "order" $order) (result (result $order (error string)))
    (canon lift (core func $code "place") (memory $memory "memory") (realloc (func $memory "realloc"))))

  ;; An interface exports the types that its functions use.
  (component $orders
    (type $color' (enum "red" "green"))
    (import "type-color" (type $color (eq $color')))
    (type $rights' (flags "read" "write"))
    (import "type-rights" (type $rights (eq $rights')))
    (type $line' (record
      (field "name" string) (field "price" f64) (field "unit-count" u8) (field "note" (option string))))
    (import "type-line" (type $line (eq $line')))
    (type $shipping' (variant (case "pickup") (case "parcel" string)))
    (import "type-shipping" (type $shipping (eq $shipping')))
    (type $order' (record
      (field "lines" (list $line)) (field "shipping" $shipping) (field "color" $color) (field "rights" $rights)))
    (import "type-order" (type $order (eq $order')))
    (import "place" (func $place (param "order" $order) (result (result $order (error string)))))
    (export $color-out "color" (type $color'))
    (export $rights-out "rights" (type $rights'))
    (export $line-out "line" (type $line'))
    (export $shipping-out "shipping" (type $shipping'))
    (type $order-out' (record
      (field "lines" (list $line-out)) (field "shipping" $shipping-out)
      (field "color" $color-out) (field "rights" $rights-out)))
    (export $order-out "order" (type $order-out'))
    (export "place" (func $place)
      (func (param "order" $order-out) (result (result $order-out (error string))))))
  (instance $orders (instantiate $orders
    (with "type-color" (type $color))
    (with "type-rights" (type $rights))
    (with "type-line" (type $line))
    (with "type-shipping" (type $shipping))
    (with "type-order" (type $order))
    (with "place" (func $place))))
  (export "acme:shop/orders@1.0.0" (instance $orders)))
