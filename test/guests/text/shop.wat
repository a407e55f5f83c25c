;; The interface of guides/components.md: `place` gives back the order that it takes.
;;
;; An order is passed flat: the list as address and length, the shipping as case, address and length, the color, and
;; the rights. The answer is a result in memory: its case, then the order as it is laid out there.
(component
  (type $color_ (enum "red" "green"))
  (export $color "color" (type $color_))
  (type $rights_ (flags "read" "write"))
  (export $rights "rights" (type $rights_))
  (type $line_ (record
    (field "name" string) (field "price" f64) (field "unit-count" u8) (field "note" (option string))))
  (export $line "line" (type $line_))
  (type $shipping_ (variant (case "pickup") (case "parcel" string)))
  (export $shipping "shipping" (type $shipping_))
  (type $order_ (record
    (field "lines" (list $line)) (field "shipping" $shipping) (field "color" $color) (field "rights" $rights)))
  (export $order "order" (type $order_))

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
  (instance $orders
    (export "color" (type $color))
    (export "rights" (type $rights))
    (export "line" (type $line))
    (export "shipping" (type $shipping))
    (export "order" (type $order))
    (export "place" (func $place)))
  (export "acme:shop/orders@1.0.0" (instance $orders)))
