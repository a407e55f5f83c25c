;; A component that answers each message which awaits an answer with what the message said, by
;; `wasmcloud:messaging` 0.2. What goes wrong with that goes wrong with the handling of the message.
(component
  (import "wasmcloud:messaging/types@0.2.0" (instance $types
    (type $fields
      (record (field "subject" string) (field "body" (list u8)) (field "reply-to" (option string))))
    (export "broker-message" (type (eq $fields)))))
  (alias export $types "broker-message" (type $message))
  (import "wasmcloud:messaging/consumer@0.2.0" (instance $consumer
    (alias outer 1 $message (type $outer))
    (export "broker-message" (type $message (eq $outer)))
    (export "publish" (func (param "msg" $message) (result (result (error string)))))))

  ;; Memory, and room in it for what comes in: an instance handles one message.
  (core module $memory
    (memory (export "memory") 17)
    (global $free (mut i32) (i32.const 64))
    (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
      (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $at) (local.get $size)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))

  (core func $publish
    (canon lower (func $consumer "publish")
      (memory $memory "memory") (realloc (func $memory "realloc"))))

  (core module $main
    (import "" "memory" (memory 17))
    ;; Subject, body, whether there is a subject for answers, that subject; and where the result goes.
    (import "" "publish" (func $publish (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (func (export "handle")
      (param $subject i32) (param $subject_length i32)
      (param $body i32) (param $body_length i32)
      (param $is_awaited i32) (param $reply_to i32) (param $reply_to_length i32)
      (result i32)
      ;; The result at 16: well, unless the answer cannot be sent.
      (if (local.get $is_awaited)
        (then
          (call $publish
            (local.get $reply_to) (local.get $reply_to_length)
            (local.get $body) (local.get $body_length)
            (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 16))))
      (i32.const 16)))
  (core instance $main
    (instantiate $main
      (with "" (instance
        (export "memory" (memory $memory "memory"))
        (export "publish" (func $publish))))))

  (func $handle (param "msg" $message) (result (result (error string)))
    (canon lift (core func $main "handle")
      (memory $memory "memory") (realloc (func $memory "realloc"))))
  (instance $handler (export "handle-message" (func $handle)))
  (export "wasmcloud:messaging/handler@0.2.0" (instance $handler)))
