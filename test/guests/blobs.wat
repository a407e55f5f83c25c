;; A component that uses a blob store whose interface has resources, which a link may answer, and streams of `wasi:io`,
;; which are the host's own.
;;
;;   open    opens a stream
;;   count   asks for a number, which a link may answer
;;   nine    asks nobody
(component
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type (sub resource)))))
  (alias export $streams "input-stream" (type $input))
  (import "wasi:blobstore/types@0.2.0-draft" (instance $types
    (alias outer 1 $input (type $input))
    (export "input-stream" (type (eq $input)))
    (export "incoming-value" (type $value (sub resource)))
    (export "[method]incoming-value.read" (func
      (param "self" (borrow $value)) (result (own $input))))))
  (import "wasi:blobstore/blobstore@0.2.0-draft" (instance $store
    (alias outer 1 $input (type $input))
    (export "input-stream" (type (eq $input)))
    (export "open" (func (result (own $input))))
    (export "count" (func (result u32)))))
  (core func $open (canon lower (func $store "open")))
  (core func $count (canon lower (func $store "count")))
  (core module $guest
    (import "store" "open" (func $open (result i32)))
    (import "store" "count" (func $count (result i32)))
    (func (export "open") (drop (call $open)))
    (func (export "count") (result i32) (call $count))
    (func (export "nine") (result i32) (i32.const 9)))
  (core instance $guest (instantiate $guest
    (with "store" (instance (export "open" (func $open)) (export "count" (func $count))))))
  (func (export "open") (canon lift (core func $guest "open")))
  (func (export "count") (result u32) (canon lift (core func $guest "count")))
  (func (export "nine") (result u32) (canon lift (core func $guest "nine"))))
