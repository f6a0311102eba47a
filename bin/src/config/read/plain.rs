//! Kinds that are one text, number or time, or a list of texts.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use super::super::node::Node;
use super::super::secret::{Secret, Url};
use super::{Kind, Reading, good, good_or, is_plain, json};

/// Sizes of the receive buffer in bytes: the protocol's clients pack up to 8 KiB, a UDP datagram ends
/// at 64 KiB, a frame of a stream may be larger.
const BUFFER_BYTES: RangeInclusive<usize> = 512..=1 << 20;

/// Most threads of a kind: more than any machine that runs sidecars has processors to spare.
const THREADS_MAX: usize = 64;

/// Most connections, requests or payloads that a count may ask for.
const COUNT_MAX: usize = 100_000;

/// Longest time in seconds that a number may ask for: ten years.
const SECONDS_MAX: u64 = 10 * 366 * 86_400;

/// Text as it is, without blanks around it.
pub(crate) const TEXT: Kind<String> = Kind {
    noun: "text",
    accepted: "text in one line",
    read: |node| good(node.as_text().filter(|text| is_plain(text)).map(str::to_owned)),
    show: json,
};

/// The value of a tag, in lower case.
pub(crate) const TAG_VALUE: Kind<String> = Kind {
    noun: "the value of a tag",
    accepted: "text in one line, without commas",
    read: |node| {
        let value = node.as_text().filter(|text| is_plain(text) && !text.contains(','));
        good(value.map(str::to_lowercase))
    },
    show: json,
};

/// A name or address to bind to.
pub(crate) const HOST: Kind<String> = Kind {
    noun: "a host",
    accepted: "a name or an address, without a port",
    read: |node| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%[]".contains(&byte);
        let host = node.as_text().filter(|text| !text.is_empty() && text.bytes().all(fits));
        good(host.map(|host| host.trim_matches(['[', ']']).to_owned()))
    },
    show: json,
};

/// A domain.
pub(crate) const SITE: Kind<String> = Kind {
    noun: "a site",
    accepted: "a domain, as datadoghq.eu",
    read: |node| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        let site = node.as_text().filter(|text| !text.is_empty() && text.bytes().all(fits));
        good(site.map(str::to_owned))
    },
    show: json,
};

/// A path, or none.
pub(crate) const PATH: Kind<Option<PathBuf>> = Kind {
    noun: "a path",
    accepted: "a path, or nothing for none",
    read: |node| {
        let path = node.as_text().filter(|text| is_plain(text));
        good(path.map(|path| (!path.is_empty()).then(|| PathBuf::from(path))))
    },
    show: json,
};

/// The API key. One that was not resolved is as good as none.
pub(crate) const API_KEY: Kind<Option<Secret>> = Kind {
    noun: "an API key",
    accepted: "visible ASCII characters",
    read: |node| match node.as_text() {
        Some("") => Reading::Good(None),
        Some(text) if is_placeholder(text) => Reading::Replaced(None),
        text => good(text.and_then(Secret::new).map(Some)),
    },
    show: |key| key.as_ref().map_or(Value::Null, |key| key.to_string().into()),
};

/// An address, or none.
pub(crate) const URL: Kind<Option<Url>> = Kind {
    noun: "a URL",
    accepted: "http://… or https://…",
    read: |node| match node.as_text() {
        Some("") => Reading::Good(None),
        text => good(text.and_then(Url::new).map(Some)),
    },
    show: show_url,
};

/// The address of a proxy, or none. One without a scheme is taken for `http`.
pub(crate) const PROXY: Kind<Option<Url>> = Kind {
    noun: "the URL of a proxy",
    accepted: "http://host:port, also with user:password@, or nothing for none",
    read: |node| match node.as_text() {
        Some("") => Reading::Good(None),
        Some(text) if !text.contains("://") => good(Url::new(&format!("http://{text}")).map(Some)),
        text => good(text.and_then(Url::new).map(Some)),
    },
    show: show_url,
};

/// Addresses.
pub(crate) const URLS: Kind<Vec<Url>> = Kind {
    noun: "a list of URLs",
    accepted: "URLs separated by blanks, or a list",
    read: |node| {
        let urls = list(node, char::is_whitespace);
        good(urls.and_then(|urls| urls.iter().map(|url| Url::new(url)).collect()))
    },
    show: |urls| urls.iter().map(ToString::to_string).collect(),
};

/// Tags.
pub(crate) const TAGS: Kind<Vec<String>> = Kind {
    noun: "a list of tags",
    accepted: "tags separated by blanks or commas, or a list",
    read: read_words,
    show: json,
};

/// Hosts that are reached without a proxy.
pub(crate) const HOSTS: Kind<Vec<String>> = Kind {
    noun: "a list of hosts",
    accepted: "hosts separated by blanks or commas, or a list",
    read: read_words,
    show: json,
};

/// Names of metrics, or beginnings of names.
pub(crate) const NAMES: Kind<Vec<String>> = Kind {
    noun: "a list of names",
    accepted: "names separated by blanks, or a list",
    read: |node| {
        let names = list(node, char::is_whitespace);
        good(names.filter(|names| names.iter().all(|name| is_plain(name))))
    },
    show: json,
};

/// Percentiles. Those that are none are left out.
pub(crate) const PERCENTILES: Kind<Vec<u8>> = Kind {
    noun: "a list of percentiles",
    accepted: "numbers from 0 to 1 separated by blanks, or a list",
    read: |node| {
        let Some(texts) = list(node, char::is_whitespace) else { return Reading::Bad };
        let mut percentiles: Vec<u8> = texts.iter().filter_map(|text| percentile(text)).collect();
        let all = percentiles.len() == texts.len();
        percentiles.sort_unstable();
        percentiles.dedup();
        if all { Reading::Good(percentiles) } else { Reading::Replaced(percentiles) }
    },
    show: json,
};

/// Yes or no.
pub(crate) const BOOL: Kind<bool> = Kind {
    noun: "true or false",
    accepted: "true, false, yes, no, on, off, 1, 0",
    read: |node| good(truth(node)),
    show: json,
};

/// Yes, no, or as the platform needs it.
pub(crate) const BOOL_OR_AUTO: Kind<Option<bool>> = Kind {
    noun: "true, false or auto",
    accepted: "true, false, or auto: as the platform needs it",
    read: |node| good(if is(node, "auto") { Some(None) } else { truth(node).map(Some) }),
    show: |choice| choice.map_or_else(|| "auto".into(), Value::from),
};

/// A number of threads.
pub(crate) const THREADS: Kind<usize> = Kind {
    noun: "a number of threads",
    accepted: "1 to 64",
    read: |node| good(number(node).filter(|count| (1..=THREADS_MAX).contains(count))),
    show: json,
};

/// A number of things, at least one.
pub(crate) const COUNT: Kind<usize> = Kind {
    noun: "a number",
    accepted: "1 to 100000",
    read: |node| good(number(node).filter(|count| (1..=COUNT_MAX).contains(count))),
    show: json,
};

/// A number of things, at least one; one if it is less.
pub(crate) const COUNT_OR_ONE: Kind<usize> = Kind {
    noun: "a number",
    accepted: "1 to 100000",
    read: |node| match number::<i64>(node) {
        Some(..1) => Reading::Replaced(1),
        Some(count) => good(usize::try_from(count).ok().filter(|&count| count <= COUNT_MAX)),
        None => Reading::Bad,
    },
    show: json,
};

/// A number of things, or none.
pub(crate) const COUNT_OR_ZERO: Kind<u64> =
    Kind { noun: "a number", accepted: "0 or more", read: |node| good(number(node)), show: json };

/// A number of things, or nothing.
pub(crate) const COUNT_OR_NOTHING: Kind<Option<u64>> = Kind {
    noun: "a number",
    accepted: "0 or more, or nothing",
    read: |node| match node.as_text() {
        Some("") => Reading::Good(None),
        _ => good(number(node).map(Some)),
    },
    show: json,
};

/// The interval of recovery; two if it is less than one.
pub(crate) const RECOVERY: Kind<u32> = Kind {
    noun: "a number of errors",
    accepted: "1 or more",
    read: |node| match number::<i64>(node) {
        Some(..1) => Reading::Replaced(2),
        Some(count) => good(u32::try_from(count).ok()),
        None => Reading::Bad,
    },
    show: json,
};

/// A number of bytes, or none.
pub(crate) const BYTES: Kind<u64> = Kind {
    noun: "a number of bytes",
    accepted: "bytes, also as 512KiB, 32MiB, 1GiB",
    read: |node| good(bytes(node)),
    show: json,
};

/// A number of bytes, at least one.
pub(crate) const SIZE: Kind<usize> = Kind {
    noun: "a size",
    accepted: "1 byte or more, also as 512KiB, 32MiB, 1GiB",
    read: |node| {
        let size = bytes(node).and_then(|bytes| usize::try_from(bytes).ok());
        good(size.filter(|&bytes| bytes > 0))
    },
    show: json,
};

/// The size of a receive buffer.
pub(crate) const BUFFER: Kind<usize> = Kind {
    noun: "the size of a buffer",
    accepted: "512 to 1048576 bytes",
    read: |node| {
        let size = bytes(node).and_then(|bytes| usize::try_from(bytes).ok());
        good(size.filter(|bytes| BUFFER_BYTES.contains(bytes)))
    },
    show: json,
};

/// The size of a socket's buffer.
pub(crate) const SOCKET_BUFFER: Kind<u32> = Kind {
    noun: "the size of a socket's buffer",
    accepted: "0 to 2147483647 bytes",
    read: |node| {
        let size = bytes(node).and_then(|bytes| i32::try_from(bytes).ok());
        good(size.map(i32::unsigned_abs))
    },
    show: json,
};

/// A number of bytes, or as it fits.
pub(crate) const BYTES_OR_AUTO: Kind<Option<u64>> = Kind {
    noun: "a number of bytes",
    accepted: "auto, or bytes, also as 512KiB, 32MiB, 1GiB",
    read: |node| good(if is(node, "auto") { Some(None) } else { bytes(node).map(Some) }),
    show: |bytes| bytes.map_or_else(|| "auto".into(), Value::from),
};

/// A length of time.
pub(crate) const TIME: Kind<Duration> = Kind {
    noun: "a length of time",
    accepted: "seconds, or with a unit: 500ms, 8s, 1m30s",
    read: |node| good(time(node)),
    show: show_time,
};

/// A length of time, or none for the default of the platform.
pub(crate) const TIME_OR_AUTO: Kind<Option<Duration>> = Kind {
    noun: "a length of time",
    accepted: "auto, or seconds, or with a unit: 500ms, 8s, 1m30s",
    read: |node| good(if is(node, "auto") { Some(None) } else { time(node).map(Some) }),
    show: |time| time.as_ref().map_or_else(|| "auto".into(), show_time),
};

/// Whole seconds.
pub(crate) const SECONDS: Kind<Duration> = Kind {
    noun: "a number of seconds",
    accepted: "0 or more",
    read: |node| good(seconds(node)),
    show: show_time,
};

/// Whole seconds, at least one.
pub(crate) const SECONDS_FROM_ONE: Kind<Duration> = Kind {
    noun: "a number of seconds",
    accepted: "1 or more",
    read: |node| good(seconds(node).filter(|time| !time.is_zero())),
    show: show_time,
};

/// Minutes between two checks of the keys; an hour if it is less than one.
pub(crate) const MINUTES: Kind<Duration> = Kind {
    noun: "a number of minutes",
    accepted: "1 or more",
    read: |node| match number::<i64>(node) {
        Some(..1) => Reading::Replaced(Duration::from_secs(3600)),
        Some(minutes) => good(units_of(60, minutes)),
        None => Reading::Bad,
    },
    show: show_time,
};

/// Whole days, at least one.
pub(crate) const DAYS: Kind<Duration> = Kind {
    noun: "a number of days",
    accepted: "1 to 3660",
    read: |node| good(number(node).filter(|&days| days > 0).and_then(|n| units_of(86_400, n))),
    show: show_time,
};

/// The spread of waiting times; 2 if it is less.
pub(crate) const FACTOR: Kind<f64> = Kind {
    noun: "a factor",
    accepted: "2 or more",
    read: |node| match finite(node) {
        Some(factor) => good_or(Some(factor).filter(|&factor| factor >= 2.0), 2.0),
        None => Reading::Bad,
    },
    show: json,
};

/// The shortest waiting time in seconds; 2 if it is not above 0.
pub(crate) const BACKOFF_BASE: Kind<f64> = Kind {
    noun: "a number of seconds",
    accepted: "above 0",
    read: |node| above_zero(node, 2.0),
    show: json,
};

/// The longest waiting time in seconds; 64 if it is not above 0.
pub(crate) const BACKOFF_MAX: Kind<f64> = Kind {
    noun: "a number of seconds",
    accepted: "above 0",
    read: |node| above_zero(node, 64.0),
    show: json,
};

/// A share.
pub(crate) const RATIO: Kind<f64> = Kind {
    noun: "a share",
    accepted: "above 0, at most 1",
    read: |node| good(finite(node).filter(|&ratio| ratio > 0.0 && ratio <= 1.0)),
    show: json,
};

fn read_words(node: &Node) -> Reading<Vec<String>> {
    let words = list(node, |char| char.is_whitespace() || char == ',');
    good(words.filter(|words| words.iter().all(|word| is_plain(word))))
}

fn above_zero(node: &Node, otherwise: f64) -> Reading<f64> {
    match finite(node) {
        Some(number) => good_or(Some(number).filter(|&number| number > 0.0), otherwise),
        None => Reading::Bad,
    }
}

fn show_url(url: &Option<Url>) -> Value {
    url.as_ref().map_or(Value::Null, |url| url.to_string().into())
}

/// Shows whole seconds as such, everything else in milliseconds.
fn show_time(time: &Duration) -> Value {
    match time.subsec_nanos() {
        0 => format!("{}s", time.as_secs()).into(),
        _ => format!("{}ms", time.as_secs_f64() * 1e3).into(),
    }
}

/// Tells whether a value is this word.
pub(super) fn is(node: &Node, word: &str) -> bool {
    node.as_text().is_some_and(|text| text.eq_ignore_ascii_case(word))
}

/// Reads yes or no, in the spellings of YAML and of the reference agent.
pub(crate) fn truth(node: &Node) -> Option<bool> {
    match node.as_text()?.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Reads a number of any type.
pub(super) fn number<T: FromStr>(node: &Node) -> Option<T> {
    node.as_text()?.parse().ok()
}

/// Reads a list: one of the file, a JSON array, or text cut at separators. Empty items are left out.
pub(super) fn list(node: &Node, is_separator: fn(char) -> bool) -> Option<Vec<String>> {
    let items: Vec<String> = match node.structured().as_ref() {
        Node::Text(text) => text.split(is_separator).map(str::to_owned).collect(),
        Node::List(items) => {
            items.iter().map(|item| item.as_text().map(str::to_owned)).collect::<Option<_>>()?
        }
        Node::Map(_) => return None,
    };
    Some(items.into_iter().filter(|item| !item.is_empty()).collect())
}

/// Tells what stands for a value until something resolves it: a secret's handle, a variable, an
/// example.
pub(super) fn is_placeholder(text: &str) -> bool {
    [("ENC[", ']'), ("${", '}'), ("$(", ')'), ("<", '>')]
        .iter()
        .any(|&(open, close)| text.starts_with(open) && text.ends_with(close))
}

fn finite(node: &Node) -> Option<f64> {
    number(node).filter(|number: &f64| number.is_finite())
}

/// Reads a percentile from a share: its nearest whole number, half rounded up.
fn percentile(text: &str) -> Option<u8> {
    let share: f64 = text.parse().ok()?;
    (0..=100).find(|&label| f64::from(label) == (share * 100.0 + 0.5).floor())
}

fn seconds(node: &Node) -> Option<Duration> {
    number(node).and_then(|seconds| units_of(1, seconds))
}

/// Reads a length of time: seconds, or numbers with units.
fn time(node: &Node) -> Option<Duration> {
    seconds(node).or_else(|| node.as_text().and_then(duration))
}

/// Gives so many units of so many seconds, if that is not beyond all reason.
fn units_of(unit_s: u64, count: i64) -> Option<Duration> {
    let seconds = u64::try_from(count).ok()?.checked_mul(unit_s)?;
    (seconds <= SECONDS_MAX).then(|| Duration::from_secs(seconds))
}

/// Reads bytes, with or without a binary unit.
fn bytes(node: &Node) -> Option<u64> {
    let text = node.as_text()?;
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let unit = text.strip_prefix(digits)?.trim_start();
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads a time with units, as the reference agent writes them: `1m30s`, `1.5h`, `100ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|char: char| char.is_ascii_alphabetic())?);
        let end = after.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit_s = match unit {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(digits.parse::<f64>().ok()? * unit_s).ok()?;
        sum = sum.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty() && sum.as_secs() <= SECONDS_MAX).then_some(sum)
}
