//! A component that can do nothing itself: each of its functions calls the one it imports.

use exosuit::test::calculator;
use exports::exosuit::test::delegator::Guest;

wit_bindgen::generate!({ path: "../wit/test.wit", world: "delegating" });

export!(Delegator);

struct Delegator;

impl Guest for Delegator {
    fn add(a: i32, b: i32) -> i32 {
        calculator::add(a, b)
    }

    fn greet(name: String) -> String {
        calculator::greet(&name)
    }

    fn reverse(bytes: Vec<u8>) -> Vec<u8> {
        calculator::reverse(&bytes)
    }

    fn sum(numbers: Vec<u64>) -> u64 {
        calculator::sum(&numbers)
    }

    fn maybe(text: Option<String>) -> Option<String> {
        calculator::maybe(text.as_deref())
    }

    fn divide(a: i32, b: i32) -> Result<i32, String> {
        calculator::divide(a, b)
    }

    fn check(good: bool) -> Result<(), ()> {
        calculator::check(good)
    }

    fn fail() {
        calculator::fail();
    }

    fn spin() {
        calculator::spin();
    }

    fn grow(pages: u32) -> u32 {
        calculator::grow(pages)
    }
}
