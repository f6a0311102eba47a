//! Service checks as a JSON array.

use lastdrop_engine::context::Tag;
use lastdrop_engine::series::ServiceCheck;

use super::json;
use super::split::{Fit, Frame, Lead, Splitter};
use super::{Lost, Payload, PayloadKind, PayloadSettings};

/// Turns service checks into payloads, item by item: see the [module](super).
pub struct ServiceChecksBuilder {
    splitter: Splitter,
}

impl ServiceChecksBuilder {
    /// An empty builder. Allocates with the first check.
    #[must_use]
    pub fn new(settings: &PayloadSettings) -> Self {
        let lead = Lead { first: b"[", next: b"," };
        let frame = Frame { lead, footer: b"]"[..].into() };
        Self { splitter: Splitter::new(PayloadKind::ServiceChecks, frame, settings) }
    }

    /// Puts a check into a payload, unless it is too large for any.
    pub fn push(&mut self, check: &ServiceCheck) -> Lost {
        match self.splitter.push(0, |out| write(out, check)) {
            Fit::Taken => Lost::NONE,
            Fit::TooLarge => Lost { too_large: 1, ..Lost::NONE },
        }
    }

    /// Takes a payload that is full.
    pub fn take_full(&mut self) -> Option<Payload> {
        self.splitter.take_full()
    }

    /// Takes what is left, full or not; `None` when all is taken and the builder is empty again.
    pub fn finish(&mut self) -> Option<Payload> {
        self.splitter.finish()
    }
}

fn write(out: &mut Vec<u8>, check: &ServiceCheck) {
    out.extend_from_slice(b"{\"check\":");
    json::string(out, &check.name);
    out.extend_from_slice(b",\"host_name\":");
    json::string(out, &check.host);
    out.extend_from_slice(b",\"timestamp\":");
    json::integer(out, check.second);
    out.extend_from_slice(b",\"status\":");
    json::integer(out, check.status as i64);
    out.extend_from_slice(b",\"message\":");
    json::string(out, &check.message);
    out.extend_from_slice(b",\"tags\":");
    if check.tags.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        json::strings(out, check.tags.iter().map(Tag::as_str));
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use lastdrop_engine::series::CheckStatus;

    use super::*;
    use crate::payload::Compression;

    fn check(name: &str, tags: &[&str]) -> ServiceCheck {
        ServiceCheck {
            name: name.to_owned(),
            status: CheckStatus::Critical,
            second: 1_756_737_057,
            host: "web-1".to_owned(),
            message: String::new(),
            tags: tags.iter().map(|&tag| tag.into()).collect(),
        }
    }

    #[test]
    fn every_key_of_a_check_is_there_even_if_empty() {
        let plain = PayloadSettings { compression: Compression::None, ..Default::default() };
        let mut builder = ServiceChecksBuilder::new(&plain);
        assert_eq!(builder.push(&check("app.ok", &["env:prod", "a"])), Lost::NONE);
        assert_eq!(builder.push(&check("", &[])), Lost::NONE);
        let payload = builder.finish().unwrap();
        assert_eq!(
            payload.body,
            concat!(
                r#"[{"check":"app.ok","host_name":"web-1","timestamp":1756737057,"status":2,"#,
                r#""message":"","tags":["env:prod","a"]},"#,
                r#"{"check":"","host_name":"web-1","timestamp":1756737057,"status":2,"#,
                r#""message":"","tags":null}]"#
            )
        );
        assert_eq!((payload.items, payload.points), (2, 0));
        assert_eq!(builder.finish(), None);
    }

    #[test]
    fn nothing_to_say_makes_no_payload() {
        assert_eq!(ServiceChecksBuilder::new(&PayloadSettings::default()).finish(), None);
    }
}
