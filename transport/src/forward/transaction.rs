//! A transaction: one payload for one endpoint, with the history of its attempts; and the headers
//! that go with it.
//!
//! The body is shared by all endpoints. The key is not part of a transaction: it is asked for when
//! the request is made, so that a key that was replaced applies to what was queued before.

use super::outcome::{Cause, Taken};
use super::secret::Secret;
use crate::payload::Payload;

/// Version of the Datadog agent that we present ourselves as: the one whose payloads, routes and
/// version prefix (`7-81-2-app.agent.…`) we speak. Intakes gate features on it; our own version
/// would read as an agent from before the protobuf routes.
pub const AGENT_VERSION: &str = "7.81.2";

/// `User-Agent` of every request. Intakes and proxies recognise agent traffic by the
/// `datadog-agent/` prefix, so a name of our own would be treated as an unknown client.
pub const USER_AGENT: &str = "datadog-agent/7.81.2";

/// Version of the public payload definitions (`agent-payload`) that the protobuf bodies follow.
pub const PAYLOAD_VERSION: &str = "v5.0.198";

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
    /// Why the last attempt did not deliver it.
    pub(super) cause: Cause,
    /// The file it was read from, if it comes from the spool.
    pub(super) ticket: Option<Ticket>,
}

impl Transaction {
    pub(super) fn new(id: TransactionId, payload: Payload) -> Self {
        Self { id, payload, attempts: 0, taken: Taken::No, cause: Cause::NeverTried, ticket: None }
    }

    /// Bytes it holds in a queue.
    pub(super) fn bytes(&self) -> usize {
        self.payload.body.len()
    }

    /// Those that are nowhere else.
    pub(super) fn bytes_without_file(&self) -> usize {
        if self.ticket.is_some() { 0 } else { self.bytes() }
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

/// Whether the intake is asked to take tag values of any form (`allow_arbitrary_tags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArbitraryTags {
    /// It is.
    Wanted,
    /// It decides for itself.
    #[default]
    NotWanted,
}

/// Lists the headers of a payload's request, without `Host` and `Content-Length`, which belong to
/// whoever writes the request. No `Accept-Encoding`: compressed answers are not asked for.
pub fn headers<'a>(
    payload: &Payload,
    key: &'a Secret,
    tags: ArbitraryTags,
) -> impl Iterator<Item = Header<'a>> + use<'a> {
    let plain = |name, value| Header { name, value: HeaderValue::Plain(value) };
    let version = payload.kind.is_protobuf().then(|| plain("DD-Agent-Payload", PAYLOAD_VERSION));
    let tags = (tags == ArbitraryTags::Wanted).then(|| plain("Allow-Arbitrary-Tag-Value", "true"));
    [
        Header { name: "DD-Api-Key", value: HeaderValue::Secret(key) },
        plain("DD-Agent-Version", AGENT_VERSION),
        plain("User-Agent", USER_AGENT),
        plain("Content-Type", payload.kind.content_type()),
        plain("Content-Encoding", payload.encoding.name()),
    ]
    .into_iter()
    .chain(version)
    .chain(tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Encoding, PayloadKind};
    use bytes::Bytes;

    fn payload(kind: PayloadKind, encoding: Encoding) -> Payload {
        Payload { kind, encoding, body: Bytes::new(), items: 1, points: 1, uncompressed_bytes: 0 }
    }

    #[test]
    fn a_protobuf_body_names_the_version_of_its_definitions_and_json_does_not() {
        let key = Secret::parse("0123456789abcdef0123456789abcdef").unwrap();
        let of = |kind, encoding| {
            headers(&payload(kind, encoding), &key, ArbitraryTags::NotWanted)
                .map(|header| format!("{}: {}", header.name, header.value.expose()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(PayloadKind::Sketches, Encoding::Zstd),
            [
                "DD-Api-Key: 0123456789abcdef0123456789abcdef",
                "DD-Agent-Version: 7.81.2",
                "User-Agent: datadog-agent/7.81.2",
                "Content-Type: application/x-protobuf",
                "Content-Encoding: zstd",
                "DD-Agent-Payload: v5.0.198",
            ]
        );
        let json = of(PayloadKind::Events, Encoding::Identity);
        assert!(json.contains(&"Content-Type: application/json".to_owned()));
        assert!(!json.iter().any(|line| line.starts_with("DD-Agent-Payload")));
    }

    #[test]
    fn a_printed_list_of_headers_does_not_show_the_key() {
        let key = Secret::parse("0123456789abcdef0123456789abcdef").unwrap();
        let printed = format!(
            "{:?}",
            headers(&payload(PayloadKind::SeriesV2, Encoding::Gzip), &key, ArbitraryTags::Wanted)
                .collect::<Vec<_>>()
        );
        assert!(printed.contains("Allow-Arbitrary-Tag-Value"), "{printed}");
        assert!(printed.contains("***bcdef") && !printed.contains("0123456789"), "{printed}");
    }

    #[test]
    fn the_user_agent_carries_the_agent_version() {
        assert_eq!(USER_AGENT, format!("datadog-agent/{AGENT_VERSION}"));
    }
}
