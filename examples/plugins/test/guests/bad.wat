;; A plugin that misbehaves by the first letter of the order's id: `t` traps, `l` loops, `m` takes memory without end.
;; Any other order comes back as it is.
(component
  (import "shop:plugins/types@1.0.0" (instance $types
    (type $currency' (enum "chf" "eur" "usd"))
    (export "currency" (type $currency (eq $currency')))
    (type $line' (record (field "article" string) (field "quantity" u32) (field "unit-price" f64)))
    (export "line" (type $line (eq $line')))
    (type $order' (record
      (field "id" string) (field "currency" $currency) (field "lines" (list $line)) (field "note" (option string))))
    (export "order" (type (eq $order')))))
  (alias export $types "order" (type $order))

  (core module $code
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))

    (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at))

    ;; The order is passed flat. The answer is a result in memory: its case, then the order as it is laid out there.
    (func (export "transform")
      (param $id i32) (param $id_length i32)
      (param $currency i32)
      (param $lines i32) (param $lines_length i32)
      (param $note i32) (param $note_text i32) (param $note_length i32)
      (result i32)
      (local $letter i32)
      (local.set $letter (i32.load8_u (local.get $id)))
      (if (i32.eq (local.get $letter) (i32.const 0x74)) (then (unreachable)))
      (if (i32.eq (local.get $letter) (i32.const 0x6c)) (then (loop $again (br $again))))
      (if (i32.eq (local.get $letter) (i32.const 0x6d))
        (then
          (loop $more
            (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
          (unreachable)))
      (i32.store8 (i32.const 8) (i32.const 0))
      (i32.store (i32.const 12) (local.get $id))
      (i32.store (i32.const 16) (local.get $id_length))
      (i32.store8 (i32.const 20) (local.get $currency))
      (i32.store (i32.const 24) (local.get $lines))
      (i32.store (i32.const 28) (local.get $lines_length))
      (i32.store8 (i32.const 32) (local.get $note))
      (i32.store (i32.const 36) (local.get $note_text))
      (i32.store (i32.const 40) (local.get $note_length))
      (i32.const 8)))
  (core instance $code (instantiate $code))

  (func (export "transform") (param "order" $order) (result (result $order (error string)))
    (canon lift (core func $code "transform") (memory $code "memory") (realloc (func $code "realloc")))))
