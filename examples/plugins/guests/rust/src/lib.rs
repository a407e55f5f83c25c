//! A plugin in Rust: a discount of a tenth on each line of many pieces. It numbers the orders that it has seen in its
//! store, and writes a line to its log for each one.

use std::time::{SystemTime, UNIX_EPOCH};

wit_bindgen::generate!({ path: "../../wit", world: "plugin", generate_all });

use shop::plugins::log::{self, Level};
use wasi::keyvalue::{atomics, store};

struct Discount;

export!(Discount);

impl Guest for Discount {
    fn transform(mut order: Order) -> Result<Order, String> {
        if order.lines.is_empty() {
            log::write(Level::Warning, &format!("order {} has no lines", order.id));
            return Err("an order needs a line".to_owned());
        }

        let number = count().map_err(|error| error.to_string())?;
        let many = many();
        let lines = order.lines.iter_mut().filter(|line| line.quantity >= many);
        let discounted = lines.map(|line| line.unit_price *= 0.9).count();

        log::write(
            Level::Info,
            &format!(
                "order {} is number {number}, discounts: {discounted}",
                order.id
            ),
        );
        Ok(order)
    }
}

/// How many pieces are many: a hundred, and ten on Sundays (UTC).
fn many() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let day = now.map_or(0, |time| time.as_secs() / 86_400);
    // The first day of 1970 was a Thursday.
    if day % 7 == 3 {
        10
    } else {
        100
    }
}

/// How many orders the plugin has seen, with this one.
fn count() -> Result<u64, store::Error> {
    let bucket = store::open("default")?;
    atomics::increment(&bucket, "orders", 1)
}
