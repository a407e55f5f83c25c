;; A WASI command of preview 1. What comes in goes out in capitals, and a line to the standard error
;; says so; its status is the number in its first argument, or 0.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $arguments_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $arguments (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))

  ;; At 0 what is to be read or written: address, length. At 8 how much it was.
  ;; At 16 the line for the standard error. At 64 the addresses of the arguments.
  ;; From 4096 on a piece of the input; from 8192 on the arguments.
  (memory (export "memory") 1)
  (data (i32.const 16) "shouted\n")

  (func (export "_start")
    (local $length i32)
    (loop $pieces
      (local.set $length (call $read_piece))
      (if (local.get $length)
        (then
          (call $to_capitals (local.get $length))
          (call $write_all (i32.const 1) (i32.const 4096) (local.get $length))
          (br $pieces))))
    (call $write_all (i32.const 2) (i32.const 16) (i32.const 8))
    (call $exit (call $status)))

  ;; Reads a piece of the input, and says how long it is: 0 at the end.
  (func $read_piece (result i32)
    (call $buffer (i32.const 4096) (i32.const 4096))
    (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
      (then unreachable))
    (i32.load (i32.const 8)))

  (func $write_all (param $file i32) (param $address i32) (param $length i32)
    (loop $parts
      (call $buffer (local.get $address) (local.get $length))
      (if (call $write (local.get $file) (i32.const 0) (i32.const 1) (i32.const 8))
        (then unreachable))
      (local.set $address (i32.add (local.get $address) (i32.load (i32.const 8))))
      (local.set $length (i32.sub (local.get $length) (i32.load (i32.const 8))))
      (br_if $parts (local.get $length))))

  (func $buffer (param $address i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $address))
    (i32.store (i32.const 4) (local.get $length)))

  (func $to_capitals (param $length i32)
    (local $at i32)
    (local $letter i32)
    (local.set $at (i32.const 4096))
    (local.set $length (i32.add (local.get $length) (i32.const 4096)))
    (loop $letters
      (local.set $letter (i32.load8_u (local.get $at)))
      (if (call $between (local.get $letter) (i32.const 97) (i32.const 122))
        (then (i32.store8 (local.get $at) (i32.sub (local.get $letter) (i32.const 32)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $letters (i32.lt_u (local.get $at) (local.get $length)))))

  ;; The number in the argument behind the program's name; traps if the arguments do not fit.
  (func $status (result i32)
    (local $at i32)
    (local $digit i32)
    (local $number i32)
    (if (call $arguments_sizes (i32.const 0) (i32.const 4))
      (then unreachable))
    (if (i32.lt_u (i32.load (i32.const 0)) (i32.const 2))
      (then (return (i32.const 0))))
    (if (i32.or
          (i32.gt_u (i32.load (i32.const 0)) (i32.const 1000))
          (i32.gt_u (i32.load (i32.const 4)) (i32.const 57344)))
      (then unreachable))
    (if (call $arguments (i32.const 64) (i32.const 8192))
      (then unreachable))
    (local.set $at (i32.load (i32.const 68)))
    (loop $digits
      (local.set $digit (i32.load8_u (local.get $at)))
      (if (call $between (local.get $digit) (i32.const 48) (i32.const 57))
        (then
          (local.set $number
            (i32.add
              (i32.mul (local.get $number) (i32.const 10))
              (i32.sub (local.get $digit) (i32.const 48))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $digits))))
    (local.get $number))

  (func $between (param $value i32) (param $least i32) (param $most i32) (result i32)
    (i32.and
      (i32.ge_u (local.get $value) (local.get $least))
      (i32.le_u (local.get $value) (local.get $most)))))
