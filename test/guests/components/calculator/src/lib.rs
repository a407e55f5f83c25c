//! A component with a function for each kind of type, and some that misbehave.

use core::arch::wasm32;

use exports::exosuit::test::calculator::Guest;

wit_bindgen::generate!({ path: "../wit/test.wit", world: "calculating" });

export!(Calculator);

struct Calculator;

impl Guest for Calculator {
    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }

    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }

    fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.reverse();
        bytes
    }

    fn sum(numbers: Vec<u64>) -> u64 {
        numbers.into_iter().fold(0, u64::wrapping_add)
    }

    fn maybe(text: Option<String>) -> Option<String> {
        text
    }

    fn divide(a: i32, b: i32) -> Result<i32, String> {
        a.checked_div(b)
            .ok_or_else(|| format!("{a} cannot be divided by {b}"))
    }

    fn check(good: bool) -> Result<(), ()> {
        good.then_some(()).ok_or(())
    }

    fn fail() {
        wasm32::unreachable()
    }

    fn spin() {
        #[allow(clippy::empty_loop, reason = "that is what it is for")]
        loop {}
    }

    fn grow(pages: u32) -> u32 {
        match wasm32::memory_grow(0, pages as usize) {
            usize::MAX => wasm32::unreachable(),
            before => before as u32 + pages,
        }
    }
}
