//! A transaction: one payload for one endpoint, with the history of its attempts; and the headers
//! that go with it.
//!
//! The body is shared by all endpoints. The key is not part of a transaction: it is asked for when
//! the request is made, so that a key that was replaced applies to what was queued before.

use bytes::Bytes;

use super::outcome::{Cause, Connection, Taken};
use super::secret::Secret;

/// Version of the Datadog agent that we present ourselves as: the one whose payloads, routes and
/// version prefix (`7-81-2-app.agent.…`) we speak. Intakes gate features on it; our own version
/// would read as an agent from before the protobuf routes.
pub const AGENT_VERSION: &str = "7.81.2";

/// `User-Agent` of every request. Intakes and proxies recognise agent traffic by the
/// `datadog-agent/` prefix, so a name of our own would be treated as an unknown client.
pub const USER_AGENT: &str = "datadog-agent/7.81.2";

/// Version of the public payload definitions (`agent-payload`) that the protobuf bodies follow.
pub const PAYLOAD_VERSION: &str = "v5.0.198";

/// Where a payload goes: the path, and with it the breaker, since one route of an intake may be
/// broken while the others work. The numbers stand in spooled files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Route {
    /// Series as JSON.
    SeriesV1 = 0,
    /// Series as protobuf.
    SeriesV2 = 1,
    /// Series as columns.
    SeriesV3 = 2,
    /// Sketches as protobuf.
    Sketches = 3,
    /// Events as JSON.
    Events = 4,
    /// Service checks as JSON.
    Checks = 5,
}

impl Route {
    /// Number of routes.
    pub const COUNT: usize = 6;

    /// Every route, in the order of [`Route::index`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::SeriesV1,
        Self::SeriesV2,
        Self::SeriesV3,
        Self::Sketches,
        Self::Events,
        Self::Checks,
    ];

    /// Place in [`Route::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Path of the request, to be appended to the base URL. The final slash of the events route
    /// matters.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::SeriesV1 => "/api/v1/series",
            Self::SeriesV2 => "/api/v2/series",
            Self::SeriesV3 => "/api/intake/metrics/v3/series",
            Self::Sketches => "/api/beta/sketches",
            Self::Events => "/intake/",
            Self::Checks => "/api/v1/check_run",
        }
    }

    /// How the body is written.
    #[must_use]
    pub const fn form(self) -> Form {
        match self {
            Self::SeriesV1 | Self::Events | Self::Checks => Form::Json,
            Self::SeriesV2 | Self::SeriesV3 | Self::Sketches => Form::Protobuf,
        }
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON text.
    Json,
    /// Protobuf messages.
    Protobuf,
}

impl Form {
    /// Value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// How a body is compressed. The numbers stand in spooled files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// Not at all.
    Identity = 0,
    /// zstd frames.
    Zstd = 1,
    /// A zlib stream (RFC 1950): what HTTP calls `deflate`.
    Deflate = 2,
    /// gzip (RFC 1952).
    Gzip = 3,
}

impl Encoding {
    /// Every encoding, each at the place of its number.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Zstd, Self::Deflate, Self::Gzip];

    /// Value of `Content-Encoding`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
        }
    }
}

/// One encoded, compressed request body; a clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Where it goes.
    pub route: Route,
    /// How `body` is compressed.
    pub encoding: Encoding,
    /// The body as it will be sent.
    pub body: Bytes,
    /// Series, sketches, events or checks inside.
    pub items: u32,
    /// Points inside; 0 for events and checks.
    pub points: u32,
}

/// Number of a transaction within its endpoint; never repeats. The older has the smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub(super) u64);

impl TransactionId {
    /// The number, for whoever carries the request.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The transaction of a number that [`TransactionId::number`] gave.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Handle of a spooled file that a transaction was read from; means something to its spool only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// A payload on its way to one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) payload: Payload,
    /// Attempts made so far.
    pub(super) attempts: u32,
    pub(super) taken: Taken,
    pub(super) connection: Connection,
    /// Why the last attempt did not deliver it.
    pub(super) cause: Cause,
    /// The file it was read from, if it comes from the spool.
    pub(super) ticket: Option<Ticket>,
}

impl Transaction {
    pub(super) fn new(id: TransactionId, payload: Payload) -> Self {
        Self {
            id,
            payload,
            attempts: 0,
            taken: Taken::No,
            connection: Connection::Any,
            cause: Cause::NeverTried,
            ticket: None,
        }
    }

    /// Bytes it holds in a queue.
    pub(super) fn bytes(&self) -> usize {
        self.payload.body.len()
    }
}

/// A header to be sent; the value of the key prints as a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Name; compared without case on the other side.
    pub name: &'static str,
    /// Value.
    pub value: HeaderValue<'a>,
}

/// Value of a header: plain, or one that must not be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// May be logged.
    Plain(&'static str),
    /// Prints as a mask.
    Secret(&'a Secret),
}

impl<'a> HeaderValue<'a> {
    /// The value as it goes on the wire.
    #[must_use]
    pub fn expose(&self) -> &'a str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(key) => key.expose(),
        }
    }
}

/// Lists the headers of a payload's request, without `Host` and `Content-Length`, which belong to
/// whoever writes the request. No `Accept-Encoding`: compressed answers are not asked for.
pub fn headers<'a>(
    payload: &Payload,
    key: &'a Secret,
) -> impl Iterator<Item = Header<'a>> + use<'a> {
    let plain = |name, value| Header { name, value: HeaderValue::Plain(value) };
    let form = payload.route.form();
    let version = (form == Form::Protobuf).then(|| plain("DD-Agent-Payload", PAYLOAD_VERSION));
    [
        Header { name: "DD-Api-Key", value: HeaderValue::Secret(key) },
        plain("DD-Agent-Version", AGENT_VERSION),
        plain("User-Agent", USER_AGENT),
        plain("Content-Type", form.content_type()),
        plain("Content-Encoding", payload.encoding.token()),
    ]
    .into_iter()
    .chain(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(route: Route, encoding: Encoding) -> Payload {
        Payload { route, encoding, body: Bytes::new(), items: 1, points: 1 }
    }

    #[test]
    fn every_route_and_encoding_stands_at_its_number() {
        for (index, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route.index(), index);
        }
        for (index, encoding) in Encoding::ALL.into_iter().enumerate() {
            assert_eq!(encoding as usize, index);
        }
    }

    #[test]
    fn a_protobuf_body_names_the_version_of_its_definitions_and_json_does_not() {
        let key = Secret::parse("0123456789abcdef0123456789abcdef").unwrap();
        let of = |route, encoding| {
            headers(&payload(route, encoding), &key)
                .map(|header| format!("{}: {}", header.name, header.value.expose()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(Route::Sketches, Encoding::Zstd),
            [
                "DD-Api-Key: 0123456789abcdef0123456789abcdef",
                "DD-Agent-Version: 7.81.2",
                "User-Agent: datadog-agent/7.81.2",
                "Content-Type: application/x-protobuf",
                "Content-Encoding: zstd",
                "DD-Agent-Payload: v5.0.198",
            ]
        );
        let json = of(Route::Events, Encoding::Identity);
        assert!(json.contains(&"Content-Type: application/json".to_owned()));
        assert!(!json.iter().any(|line| line.starts_with("DD-Agent-Payload")));
    }

    #[test]
    fn a_printed_list_of_headers_does_not_show_the_key() {
        let key = Secret::parse("0123456789abcdef0123456789abcdef").unwrap();
        let printed = format!(
            "{:?}",
            headers(&payload(Route::SeriesV2, Encoding::Gzip), &key).collect::<Vec<_>>()
        );
        assert!(printed.contains("***bcdef") && !printed.contains("0123456789"), "{printed}");
    }

    #[test]
    fn the_user_agent_carries_the_agent_version() {
        assert_eq!(USER_AGENT, format!("datadog-agent/{AGENT_VERSION}"));
    }
}
