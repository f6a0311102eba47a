//! Messages that are made to cost, each some 8 KiB long or short and dear: none may cost out of
//! proportion to the others.

use std::fmt::Write as _;

use lastdrop_lab::rig::LoneWorker;

use super::Case;

/// Messages of a run.
const MESSAGES: usize = 50;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("hostile/name-of-8-kib", |number| format!("{}{number}:1|c", "n".repeat(8_100))),
        case("hostile/tag-of-8-kib", |number| format!("a:1|c|#{number}{}", "t".repeat(8_100))),
        case("hostile/tags-all-new", |number| tags(|tag| format!("{number}x{tag:x}"))),
        case("hostile/tags-all-equal", |number| tags(|_| format!("{number}"))),
        case("hostile/tags-descending", |_| tags(|tag| format!("{:04}", 9_999 - tag))),
        case("hostile/tags-empty", |_| format!("a:1|c|#{}", ",".repeat(8_100))),
        case("hostile/many-values", |_| format!("a{}|d", ":7".repeat(4_000))),
        case("hostile/set-members", |number| format!("a:member{number}|s")),
        case("hostile/long-number", |_| format!("a:{}|g", "9".repeat(8_000))),
        case("hostile/long-fraction", |_| format!("a:0.{}1|g", "0".repeat(8_000))),
        case("hostile/tiny-rate", |_| "a:1|d|@1e-300".to_owned()),
        case("hostile/sketch-spread", |number| format!("a:{:e}|d", spread(number))),
        case("hostile/late-times", |number| format!("a:1|c|T{}", 1_000_000 + number * 10)),
        case("hostile/no-message", |_| ":".repeat(8_000)),
        case("hostile/empty-lines", |_| "\n".repeat(8_000)),
        case("hostile/short-lines", |_| "a\n".repeat(4_000)),
        case("hostile/fields", |_| format!("a:1|c{}", "|x".repeat(4_000))),
    ]
}

/// 8 KiB of tags.
fn tags(tag: impl Fn(usize) -> String) -> String {
    let mut message = "a:1|c|#".to_owned();
    for number in 0.. {
        let written = write!(message, "{},", tag(number));
        debug_assert!(written.is_ok(), "a string takes all");
        if message.len() > 8_100 {
            break;
        }
    }
    message
}

/// Values over all orders of magnitude that a sketch tells apart.
fn spread(number: usize) -> f64 {
    let exponent = i32::try_from(number % 24).unwrap_or(0) - 9;
    10_f64.powi(exponent) * f64::from(u32::try_from(1 + number % 97).unwrap_or(1))
}

/// A worker and the datagrams that it gets.
struct Attack {
    worker: LoneWorker,
    datagrams: Vec<String>,
}

fn case(name: &'static str, message: impl Fn(usize) -> String + Copy + 'static) -> Case {
    let datagrams = move || (0..MESSAGES).map(message).collect::<Vec<_>>();
    let make = move || Attack { worker: LoneWorker::default(), datagrams: datagrams() };
    Case::fresh(name, MESSAGES, make, |Attack { worker, datagrams }| {
        for datagram in datagrams {
            worker.push([datagram.as_bytes()].into_iter());
            worker.apply();
        }
    })
}
