//! Kinds of values: what each is called, what is accepted, how it is read and how it is shown.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::node::Node;
use super::secret::{Secret, Url};
use super::types::{LogLevel, Pin, Port, Receipt};

/// What reading a value gave.
pub(crate) enum Reading<T> {
    /// A good value.
    Good(T),
    /// Something bad, and what the key's rule puts in its place.
    Replaced(T),
    /// Something bad.
    Bad,
}

/// What became of a value: the same as [`Reading`], with the value as it may be shown.
pub(crate) enum Put {
    /// It is in the configuration.
    Good(Value),
    /// Something else is.
    Replaced(Value),
    /// Nothing is.
    Bad,
}

/// A kind of values.
pub(crate) struct Kind<T> {
    /// What a value is, with its article.
    pub(crate) noun: &'static str,
    /// What is accepted.
    pub(crate) accepted: &'static str,
    /// Reads one.
    pub(crate) read: fn(&Node) -> Reading<T>,
    /// Shows one to programs; a secret masked.
    pub(crate) show: fn(&T) -> Value,
}

impl<T> Kind<T> {
    /// Reads a value into its place in the configuration.
    pub(crate) fn put(&self, node: &Node, place: &mut T) -> Put {
        let (value, put): (T, fn(Value) -> Put) = match (self.read)(node) {
            Reading::Good(value) => (value, Put::Good),
            Reading::Replaced(value) => (value, Put::Replaced),
            Reading::Bad => return Put::Bad,
        };
        let shown = (self.show)(&value);
        *place = value;
        put(shown)
    }
}

/// Text as it is, without blanks around it.
pub(crate) const TEXT: Kind<String> = Kind {
    noun: "text",
    accepted: "text in one line",
    read: |node| good(node.as_text().filter(|text| is_plain(text)).map(str::to_owned)),
    show: json,
};

/// An address or name to bind to.
pub(crate) const HOST: Kind<String> = Kind {
    noun: "a host",
    accepted: "a name or an address, without a port",
    read: |node| {
        let host = node.as_text().filter(|text| !text.is_empty() && !text.contains(['/', ' ']));
        good(host.filter(|text| is_plain(text)).map(str::to_owned))
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

/// Yes or no.
pub(crate) const BOOL: Kind<bool> = Kind {
    noun: "true or false",
    accepted: "true, false, yes, no, on, off, 1, 0",
    read: |node| {
        good(match node.as_text().map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "t" | "yes" | "y" | "on" | "1") => Some(true),
            Some("false" | "f" | "no" | "n" | "off" | "0") => Some(false),
            _ => None,
        })
    },
    show: json,
};

/// A UDP port.
pub(crate) const PORT: Kind<Port> = Kind {
    noun: "a port",
    accepted: "0 to 65535, or __random__",
    read: |node| {
        good(node.as_text().and_then(|text| match text {
            "__random__" => Some(Port::Random),
            _ => Some(NonZeroU16::new(text.parse().ok()?).map_or(Port::Off, Port::Fixed)),
        }))
    },
    show: |port| match port {
        Port::Off => 0.into(),
        Port::Random => "__random__".into(),
        Port::Fixed(port) => port.get().into(),
    },
};

/// A number of threads.
pub(crate) const THREADS: Kind<usize> = Kind {
    noun: "a number of threads",
    accepted: "1 to 64",
    read: |node| good(number(node).filter(|count| (1..=64).contains(count))),
    show: json,
};

/// A number of bytes, or none given.
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
    read: |node| {
        let seconds = number(node).map(Duration::from_secs);
        good(seconds.or_else(|| node.as_text().and_then(duration)))
    },
    show: |time| show_time(*time),
};

/// Tags.
pub(crate) const TAGS: Kind<Vec<String>> = Kind {
    noun: "a list of tags",
    accepted: "tags separated by blanks or commas, or a list",
    read: |node| {
        let tags = list(node, |byte| byte.is_whitespace() || byte == ',');
        good(tags.filter(|tags| tags.iter().all(|tag| is_plain(tag))))
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
    show: show_secret,
};

/// An address, or none.
pub(crate) const URL: Kind<Option<Url>> = Kind {
    noun: "a URL",
    accepted: "http://… or https://…",
    read: |node| match node.as_text() {
        Some("") => Reading::Good(None),
        text => good(text.and_then(Url::new).map(Some)),
    },
    show: |url| url.as_ref().map_or(Value::Null, |url| url.to_string().into()),
};

/// A path, or none.
pub(crate) const PATH: Kind<Option<PathBuf>> = Kind {
    noun: "a path",
    accepted: "a path",
    read: |node| {
        let path = node.as_text().filter(|text| is_plain(text));
        good(path.map(|path| (!path.is_empty()).then(|| PathBuf::from(path))))
    },
    show: json,
};

/// When to pin threads.
pub(crate) const PIN: Kind<Pin> = Kind {
    noun: "a way to pin",
    accepted: "auto, always, never",
    read: |node| {
        good(one_of(node, &[("auto", Pin::Auto), ("always", Pin::Always), ("never", Pin::Never)]))
    },
    show: json,
};

/// Where the receipt goes.
pub(crate) const RECEIPT: Kind<Receipt> = Kind {
    noun: "a place for the receipt",
    accepted: "stderr, off, or a path",
    read: |node| {
        let place = node.as_text().filter(|text| !text.is_empty() && is_plain(text));
        good(place.map(|place| match place {
            "stderr" => Receipt::Stderr,
            "off" => Receipt::Off,
            path => Receipt::File(PathBuf::from(path)),
        }))
    },
    show: |receipt| match receipt {
        Receipt::Stderr => "stderr".into(),
        Receipt::Off => "off".into(),
        Receipt::File(path) => path.to_string_lossy().into(),
    },
};

/// A log level.
pub(crate) const LOG_LEVEL: Kind<LogLevel> = Kind {
    noun: "a log level",
    accepted: "off, critical, error, warn, info, debug, trace",
    read: |node| {
        good(one_of(
            node,
            &[
                ("off", LogLevel::Off),
                ("critical", LogLevel::Error),
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("warning", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("trace", LogLevel::Trace),
            ],
        ))
    },
    show: json,
};

fn good<T>(value: Option<T>) -> Reading<T> {
    value.map_or(Reading::Bad, Reading::Good)
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn show_secret(secret: &Option<Secret>) -> Value {
    secret.as_ref().map_or(Value::Null, |secret| secret.to_string().into())
}

/// Shows a time in the largest unit that keeps it whole, down to milliseconds.
fn show_time(time: Duration) -> Value {
    match time.subsec_nanos() {
        0 => format!("{}s", time.as_secs()).into(),
        _ => format!("{}ms", time.as_millis()).into(),
    }
}

fn is(node: &Node, word: &str) -> bool {
    node.as_text().is_some_and(|text| text.eq_ignore_ascii_case(word))
}

fn one_of<T: Copy>(node: &Node, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(word, _)| is(node, word)).map(|&(_, value)| value)
}

/// Text that can stand in a line of a log or of a payload.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// What stands for a value until something resolves it: a secret's handle, a variable, an example.
fn is_placeholder(text: &str) -> bool {
    [("ENC[", ']'), ("${", '}'), ("$(", ')'), ("<", '>')]
        .iter()
        .any(|&(open, close)| text.starts_with(open) && text.ends_with(close))
}

fn number<T: std::str::FromStr>(node: &Node) -> Option<T> {
    node.as_text()?.parse().ok()
}

/// Reads bytes, with or without a binary unit.
fn bytes(node: &Node) -> Option<u64> {
    let text = node.as_text()?;
    let (digits, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: u64 = match unit.trim_start() {
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
        let (digits, after) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
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
    (!text.is_empty()).then_some(sum)
}

/// Reads a list: one of the file, a JSON array, or text cut at separators. Empty items are left out.
fn list(node: &Node, is_separator: fn(char) -> bool) -> Option<Vec<String>> {
    let items: Vec<String> = match node.structured().as_ref() {
        Node::Text(text) => text.split(is_separator).map(str::to_owned).collect(),
        Node::List(items) => {
            items.iter().map(|item| item.as_text().map(str::to_owned)).collect::<Option<_>>()?
        }
        Node::Map(_) => return None,
    };
    Some(items.into_iter().filter(|item| !item.is_empty()).collect())
}
