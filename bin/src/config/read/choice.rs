//! Kinds that are one word of a few, or a list of such words.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde_json::Value;

use super::super::node::Node;
use super::super::types::{
    Aggregate, Compressor, ControlSocket, EolRequired, HttpProtocol, InstanceTag, LogLevel, Pin,
    Port, Receipt, TlsVersion, UseV3,
};
use super::plain::{is, list, truth};
use super::{Kind, Reading, good, good_or, is_plain, json};

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

/// Where a last line needs its line feed. Words that are no listener are left out.
pub(crate) const EOL: Kind<EolRequired> = Kind {
    noun: "a list of listeners",
    accepted: "udp, uds, named_pipe, separated by blanks, or a list",
    read: |node| {
        let Some(words) = list(node, char::is_whitespace) else { return Reading::Bad };
        let has = |listener: &str| words.iter().any(|word| word == listener);
        let required = EolRequired { udp: has("udp"), uds: has("uds") };
        let known = |word: &String| ["udp", "uds", "named_pipe"].contains(&word.as_str());
        good_or(words.iter().all(known).then_some(required), required)
    },
    show: |required| {
        let listeners = [("udp", required.udp), ("uds", required.uds)];
        listeners.iter().filter(|(_, is)| *is).map(|&(name, _)| Value::from(name)).collect()
    },
};

/// What a histogram sends. Words that are no aggregate are left out.
pub(crate) const AGGREGATES: Kind<Vec<Aggregate>> = Kind {
    noun: "a list of aggregates",
    accepted: "max, min, median, avg, sum, count, separated by blanks, or a list",
    read: |node| {
        let Some(words) = list(node, char::is_whitespace) else { return Reading::Bad };
        let read: Vec<Aggregate> = words.iter().filter_map(|word| aggregate(word)).collect();
        let all = read.len() == words.len();
        let mut once = Vec::new();
        for aggregate in read {
            if !once.contains(&aggregate) {
                once.push(aggregate);
            }
        }
        if all { Reading::Good(once) } else { Reading::Replaced(once) }
    },
    show: json,
};

/// Whether series are sent as v3.
pub(crate) const USE_V3: Kind<UseV3> = Kind {
    noun: "a choice of v3",
    accepted: "true, false, datadog_only",
    read: |node| good_or(use_v3(node), UseV3::Never),
    show: json,
};

/// Compression of bodies.
pub(crate) const COMPRESSOR: Kind<Compressor> = Kind {
    noun: "a compression",
    accepted: "zstd, zlib, gzip, none",
    read: |node| {
        let words = [
            ("zstd", Compressor::Zstd),
            ("zlib", Compressor::Zlib),
            ("gzip", Compressor::Gzip),
            ("none", Compressor::None),
        ];
        good_or(one_of(node, &words), Compressor::None)
    },
    show: json,
};

/// Level of zstd.
pub(crate) const ZSTD_LEVEL: Kind<i32> = Kind {
    noun: "a level of zstd",
    accepted: "1 to 22",
    read: |node| good(super::plain::number(node).filter(|level| (1..=22).contains(level))),
    show: json,
};

/// Level of zstd, or that of all bodies.
pub(crate) const ZSTD_LEVEL_OR_ZERO: Kind<i32> = Kind {
    noun: "a level of zstd",
    accepted: "1 to 22, or 0: as for all payloads",
    read: |node| good(super::plain::number(node).filter(|level| (0..=22).contains(level))),
    show: json,
};

/// Oldest version of TLS.
pub(crate) const TLS_VERSION: Kind<TlsVersion> = Kind {
    noun: "a version of TLS that is served here",
    accepted: "tlsv1.2, tlsv1.3",
    read: |node| {
        let words = [("tlsv1.2", TlsVersion::V1_2), ("tlsv1.3", TlsVersion::V1_3)];
        good_or(one_of(node, &words), TlsVersion::V1_2)
    },
    show: json,
};

/// HTTP version.
pub(crate) const HTTP_PROTOCOL: Kind<HttpProtocol> = Kind {
    noun: "an HTTP version",
    accepted: "auto, http1",
    read: |node| {
        let words = [("auto", HttpProtocol::Auto), ("http1", HttpProtocol::Http1)];
        good_or(one_of(node, &words), HttpProtocol::Auto)
    },
    show: json,
};

/// When to pin threads.
pub(crate) const PIN: Kind<Pin> = Kind {
    noun: "a way to pin",
    accepted: "auto, always, never",
    read: |node| {
        let words = [("auto", Pin::Auto), ("always", Pin::Always), ("never", Pin::Never)];
        good(one_of(node, &words))
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

/// What tells instances apart.
pub(crate) const INSTANCE_TAG: Kind<InstanceTag> = Kind {
    noun: "an instance tag",
    accepted: "off, random, platform",
    read: |node| {
        let words = [
            ("off", InstanceTag::Off),
            ("random", InstanceTag::Random),
            ("platform", InstanceTag::Platform),
        ];
        // YAML and people write `off` in other words too.
        let off = (truth(node) == Some(false)).then_some(InstanceTag::Off);
        good(one_of(node, &words).or(off))
    },
    show: json,
};

/// Where the agent is asked for its status.
pub(crate) const CONTROL_SOCKET: Kind<ControlSocket> = Kind {
    noun: "a place for the control socket",
    accepted: "auto, off, or a path",
    read: |node| {
        let place = node.as_text().filter(|text| !text.is_empty() && is_plain(text));
        good(place.map(|place| match place {
            "auto" => ControlSocket::Auto,
            "off" => ControlSocket::Off,
            path => ControlSocket::Path(PathBuf::from(path)),
        }))
    },
    show: |socket| match socket {
        ControlSocket::Auto => "auto".into(),
        ControlSocket::Off => "off".into(),
        ControlSocket::Path(path) => path.to_string_lossy().into(),
    },
};

/// A loopback address for the pages over HTTP.
pub(crate) const HTTP_ADDRESS: Kind<Option<SocketAddr>> = Kind {
    noun: "a loopback address with a port",
    accepted: "off, a port of 127.0.0.1, or a loopback address and port: 127.0.0.1:9125, [::1]:9125",
    read: |node| {
        let address = node.as_text().and_then(|text| match text.parse::<u16>() {
            Ok(port) => Some(SocketAddr::from(([127, 0, 0, 1], port))).filter(|_| port > 0),
            Err(_) => text.parse().ok(),
        });
        let loopback = address.filter(|address: &SocketAddr| address.ip().is_loopback());
        let off = (truth(node) == Some(false)).then_some(None);
        good(off.or_else(|| loopback.map(Some)))
    },
    show: |address| address.map_or_else(|| "off".into(), |address| address.to_string().into()),
};

/// A log level.
pub(crate) const LOG_LEVEL: Kind<LogLevel> = Kind {
    noun: "a log level",
    accepted: "off, critical, error, warn, info, debug, trace",
    read: |node| {
        let words = [
            ("off", LogLevel::Off),
            ("critical", LogLevel::Error),
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("warning", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        good(one_of(node, &words))
    },
    show: json,
};

/// Reads whether series are sent as v3.
pub(super) fn use_v3(node: &Node) -> Option<UseV3> {
    match truth(node) {
        Some(true) => Some(UseV3::Always),
        Some(false) => Some(UseV3::Never),
        None => is(node, "datadog_only").then_some(UseV3::DatadogOnly),
    }
}

fn one_of<T: Copy>(node: &Node, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(word, _)| is(node, word)).map(|&(_, value)| value)
}

fn aggregate(word: &str) -> Option<Aggregate> {
    match word {
        "max" => Some(Aggregate::Max),
        "min" => Some(Aggregate::Min),
        "median" => Some(Aggregate::Median),
        "avg" => Some(Aggregate::Avg),
        "sum" => Some(Aggregate::Sum),
        "count" => Some(Aggregate::Count),
        _ => None,
    }
}
