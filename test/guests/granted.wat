;; Says what WASI shows it of its host, by the operation:
;;
;;   args    its arguments, each ended by a zero byte
;;   env     its environment, NAME=value, each ended by a zero byte
;;   read    what the file named by the payload holds, in the first directory that it was given
;;   write   writes "written" to that file, which need not be there
;;
;; What is refused is an error of the guest's own: "errno " and two digits.
(module
  (import "wasmbus" "__guest_request" (func $request (param i32 i32)))
  (import "wasmbus" "__guest_response" (func $response (param i32 i32)))
  (import "wasmbus" "__guest_error" (func $error (param i32 i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))

  ;; 0: a number that WASI gives. 8: a vector of one buffer. 16 and 32: texts. 64: the operation.
  ;; 1024: the payload. 4096: pointers. 8192: what was read.
  (memory (export "memory") 2)
  (data (i32.const 16) "written")
  (data (i32.const 32) "errno 00")

  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (local $name i32)
    (call $request (i32.const 64) (i32.const 1024))
    (local.set $name (i32.load8_u (i32.const 64)))
    (if (i32.eq (local.get $name) (i32.const 0x61)) (then                              ;; "a"
      (drop (call $args_sizes (i32.const 8) (i32.const 0)))
      (drop (call $args (i32.const 4096) (i32.const 8192)))
      (return (call $answer (i32.const 0)))))
    (if (i32.eq (local.get $name) (i32.const 0x65)) (then                              ;; "e"
      (drop (call $environ_sizes (i32.const 8) (i32.const 0)))
      (drop (call $environ (i32.const 4096) (i32.const 8192)))
      (return (call $answer (i32.const 0)))))
    (if (i32.eq (local.get $name) (i32.const 0x72)) (then                              ;; "r"
      (return (call $answer (call $read (local.get $payload))))))
    (call $answer (call $write (local.get $payload))))

  ;; Answers with as many bytes as 0 says, or with what WASI refused with.
  (func $answer (param $errno i32) (result i32)
    (if (i32.eqz (local.get $errno)) (then
      (call $response (i32.const 8192) (i32.load (i32.const 0)))
      (return (i32.const 1))))
    (i32.store8 (i32.const 38)
      (i32.add (i32.const 0x30) (i32.div_u (local.get $errno) (i32.const 10))))
    (i32.store8 (i32.const 39)
      (i32.add (i32.const 0x30) (i32.rem_u (local.get $errno) (i32.const 10))))
    (call $error (i32.const 32) (i32.const 8))
    (i32.const 0))

  (func $read (param $path i32) (result i32)
    (local $errno i32)
    (local.set $errno (call $open (local.get $path) (i32.const 0) (i64.const 2)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (i32.store (i32.const 8) (i32.const 8192))
    (i32.store (i32.const 12) (i32.const 4096))
    (call $fd_read (i32.load (i32.const 0)) (i32.const 8) (i32.const 1) (i32.const 0)))

  (func $write (param $path i32) (result i32)
    (local $errno i32)
    (local.set $errno (call $open (local.get $path) (i32.const 1) (i64.const 64)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (i32.store (i32.const 8) (i32.const 16))
    (i32.store (i32.const 12) (i32.const 7))
    (call $fd_write (i32.load (i32.const 0)) (i32.const 8) (i32.const 1) (i32.const 0)))

  ;; Leaves a descriptor at 0. Follows symbolic links.
  (func $open (param $path i32) (param $flags i32) (param $rights i64) (result i32)
    (call $path_open (i32.const 3) (i32.const 1) (i32.const 1024) (local.get $path)
      (local.get $flags) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 0))))
