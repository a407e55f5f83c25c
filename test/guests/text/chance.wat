;; What a component sees of time and chance: each function asks one interface of WASI.
(component
  (import "wasi:clocks/wall-clock@0.2.0" (instance $wall
    (type $datetime' (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $datetime')))
    (export "now" (func (result $datetime)))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic
    (type $instant' u64)
    (export "instant" (type $instant (eq $instant')))
    (export "now" (func (result $instant)))))
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
    (export "get-random-u64" (func (result u64)))))
  (import "wasi:random/insecure@0.2.0" (instance $insecure
    (export "get-insecure-random-u64" (func (result u64)))))
  (import "wasi:random/insecure-seed@0.2.0" (instance $seed
    (export "insecure-seed" (func (result (tuple u64 u64))))))

  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))

  (core func $wall-now (canon lower (func $wall "now") (memory $m)))
  (core func $monotonic-now (canon lower (func $monotonic "now")))
  (core func $bytes (canon lower (func $random "get-random-bytes") (memory $m) (realloc $realloc)))
  (core func $number (canon lower (func $random "get-random-u64")))
  (core func $insecure-number (canon lower (func $insecure "get-insecure-random-u64")))
  (core func $insecure-seed (canon lower (func $seed "insecure-seed") (memory $m)))

  (core module $code
    (import "memory" "memory" (memory 1))
    (import "wasi" "wall" (func $wall (param i32)))
    (import "wasi" "bytes" (func $bytes (param i64 i32)))
    (import "wasi" "seed" (func $seed (param i32)))
    ;; Milliseconds since 1970.
    (func (export "wall") (result i64)
      (call $wall (i32.const 16))
      (i64.add
        (i64.mul (i64.load (i32.const 16)) (i64.const 1000))
        (i64.div_u (i64.extend_i32_u (i32.load (i32.const 24))) (i64.const 1000000))))
    (func (export "bytes") (result i64)
      (call $bytes (i64.const 8) (i32.const 16))
      (i64.load (i32.load (i32.const 16))))
    (func (export "seed") (result i64)
      (call $seed (i32.const 16))
      (i64.xor (i64.load (i32.const 16)) (i64.load (i32.const 24)))))
  (core instance $wasi
    (export "wall" (func $wall-now))
    (export "bytes" (func $bytes))
    (export "seed" (func $insecure-seed)))
  (core instance $code (instantiate $code (with "memory" (instance $memory)) (with "wasi" (instance $wasi))))

  (func (export "wall") (result u64) (canon lift (core func $code "wall")))
  (func (export "monotonic") (result u64) (canon lift (core func $monotonic-now)))
  (func (export "bytes") (result u64) (canon lift (core func $code "bytes")))
  (func (export "number") (result u64) (canon lift (core func $number)))
  (func (export "insecure") (result u64) (canon lift (core func $insecure-number)))
  (func (export "seed") (result u64) (canon lift (core func $code "seed"))))
