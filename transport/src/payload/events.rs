//! Events as JSON, grouped by source type.
//!
//! The format is an object with one list of events per source type. So events are sorted by it, and
//! what stands before an event is the start of a list, or a comma within one:
//!
//! ```text
//! first   {"apiKey":"","events":{"api":[
//!         {…}
//! next    ,
//!         {…}
//! next    ],"jenkins":[
//!         {…}
//! footer  ]},"internalHostname":"web-1"}
//! ```

use lastdrop_engine::context::Tag;
use lastdrop_engine::series::Event;

use super::json;
use super::split::{Fit, Frame, Lead, Splitter};
use super::{Lost, Payload, PayloadKind, PayloadSettings};

/// Source type of an event that names none.
const SOURCE_TYPE_DEFAULT: &str = "api";

/// Turns events into payloads, a flush's events at a time: see the [module](super).
pub struct EventsBuilder {
    splitter: Splitter,
}

impl EventsBuilder {
    /// An empty builder for the agent that runs on `hostname`, which may be empty.
    #[must_use]
    pub fn new(settings: &PayloadSettings, hostname: &str) -> Self {
        let mut footer = b"]},\"internalHostname\":".to_vec();
        json::string(&mut footer, hostname);
        footer.push(b'}');
        // Each event brings its own lead.
        let frame = Frame { lead: Lead { first: HEADER, next: b"," }, footer: footer.into() };
        Self { splitter: Splitter::new(PayloadKind::Events, frame, settings) }
    }

    /// Puts all events into payloads, but for those that are too large for any.
    pub fn push_all(&mut self, events: &[Event]) -> Lost {
        // What came before may have the same source types.
        self.splitter.close();
        let mut sorted: Vec<&Event> = events.iter().collect();
        sorted.sort_by_key(|event| source_type(event));

        let mut lost = Lost::NONE;
        let (mut first, mut next) = (Vec::new(), Vec::new());
        let mut list = None;
        for event in sorted {
            if list != Some(source_type(event)) {
                first.clear();
                first.extend_from_slice(HEADER);
                open_list(&mut first, source_type(event));
                next.clear();
                next.extend_from_slice(b"],");
                open_list(&mut next, source_type(event));
            }
            let lead = Lead { first: &first, next: &next };
            match self.splitter.push_led(lead, 0, |out| write(out, event)) {
                Fit::Taken => {
                    list = Some(source_type(event));
                    next.clear();
                    next.push(b',');
                }
                Fit::TooLarge => lost.too_large += 1,
            }
        }
        lost
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

const HEADER: &[u8] = b"{\"apiKey\":\"\",\"events\":{";

fn source_type(event: &Event) -> &str {
    if event.source_type_name.is_empty() { SOURCE_TYPE_DEFAULT } else { &event.source_type_name }
}

fn open_list(out: &mut Vec<u8>, source_type: &str) {
    json::string(out, source_type);
    out.extend_from_slice(b":[");
}

fn write(out: &mut Vec<u8>, event: &Event) {
    out.extend_from_slice(b"{\"msg_title\":");
    json::string(out, &event.title);
    out.extend_from_slice(b",\"msg_text\":");
    json::string(out, &event.text);
    out.extend_from_slice(b",\"timestamp\":");
    json::integer(out, event.second);
    optional(out, b",\"priority\":", event.priority);
    out.extend_from_slice(b",\"host\":");
    json::string(out, &event.host);
    if !event.tags.is_empty() {
        out.extend_from_slice(b",\"tags\":");
        json::strings(out, event.tags.iter().map(Tag::as_str));
    }
    optional(out, b",\"alert_type\":", event.alert_type);
    optional(out, b",\"aggregation_key\":", &event.aggregation_key);
    optional(out, b",\"source_type_name\":", &event.source_type_name);
    out.push(b'}');
}

fn optional(out: &mut Vec<u8>, key: &[u8], value: &str) {
    if !value.is_empty() {
        out.extend_from_slice(key);
        json::string(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Compression, PayloadLimits};

    fn plain(uncompressed_bytes_max: usize) -> PayloadSettings {
        PayloadSettings {
            compression: Compression::None,
            other: PayloadLimits { uncompressed_bytes_max, ..PayloadLimits::OTHER },
            ..Default::default()
        }
    }

    fn event(title: &str, source_type_name: &str) -> Event {
        Event {
            title: title.to_owned(),
            text: "v2 out".to_owned(),
            second: 1_756_737_057,
            priority: "normal",
            alert_type: "info",
            host: "web-1".to_owned(),
            aggregation_key: String::new(),
            source_type_name: source_type_name.to_owned(),
            tags: vec!["env:prod".into()],
        }
    }

    fn bodies(builder: &mut EventsBuilder) -> Vec<String> {
        let payloads = std::iter::from_fn(|| builder.finish());
        payloads.map(|payload| String::from_utf8(payload.body.to_vec()).unwrap()).collect()
    }

    #[test]
    fn an_event_without_a_source_type_is_the_apis() {
        let mut builder = EventsBuilder::new(&plain(10_000), "web-1");
        assert_eq!(builder.push_all(&[event("deploy", "")]), Lost::NONE);
        let expected = concat!(
            r#"{"apiKey":"","events":{"api":[{"msg_title":"deploy","msg_text":"v2 out","#,
            r#""timestamp":1756737057,"priority":"normal","host":"web-1","tags":["env:prod"],"#,
            r#""alert_type":"info"}]},"internalHostname":"web-1"}"#
        );
        assert_eq!(bodies(&mut builder), [expected]);
    }

    #[test]
    fn what_an_event_does_not_say_is_left_out() {
        let bare = Event {
            title: String::new(),
            text: String::new(),
            second: 0,
            priority: "",
            alert_type: "",
            host: String::new(),
            aggregation_key: "k".to_owned(),
            source_type_name: "s".to_owned(),
            tags: Vec::new(),
        };
        let mut builder = EventsBuilder::new(&plain(10_000), "");
        assert_eq!(builder.push_all(&[bare]), Lost::NONE);
        let expected = concat!(
            r#"{"apiKey":"","events":{"s":[{"msg_title":"","msg_text":"","timestamp":0,"host":"","#,
            r#""aggregation_key":"k","source_type_name":"s"}]},"internalHostname":""}"#
        );
        assert_eq!(bodies(&mut builder), [expected]);
    }

    /// For all limits: every event arrives once, in its source type's list, but for those that a
    /// payload of their own couldn't hold; and no list stands twice in a payload.
    #[test]
    fn events_of_mixed_sources_are_split_without_loss() {
        let mut events: Vec<Event> = (0..40)
            .map(|at| event(&format!("e{at:02}"), ["", "jenkins", "chef", "api"][at % 4]))
            .collect();
        events[7].text = "x".repeat(2000);
        for uncompressed_bytes_max in [100, 260, 500, 1000, 2300, 3000, 100_000] {
            let mut builder = EventsBuilder::new(&plain(uncompressed_bytes_max), "web-1");
            let lost = builder.push_all(&events);
            let mut titles = Vec::new();
            for body in bodies(&mut builder) {
                assert!(body.len() <= uncompressed_bytes_max);
                let read: serde_json::Value = serde_json::from_str(&body).unwrap();
                for (source, list) in read["events"].as_object().unwrap() {
                    assert_eq!(body.matches(&format!("\"{source}\":[{{")).count(), 1, "{body}");
                    for event in list.as_array().unwrap() {
                        let named = event["source_type_name"].as_str().unwrap_or("api");
                        assert_eq!(named, source);
                        titles.push(event["msg_title"].as_str().unwrap().to_owned());
                    }
                }
            }
            titles.sort();
            assert!(titles.windows(2).all(|pair| pair[0] != pair[1]), "doubled: {titles:?}");
            let expected = match uncompressed_bytes_max {
                100 => 40,
                260..2200 => 1,
                _ => 0,
            };
            assert_eq!(lost, Lost { too_large: expected, ..Lost::NONE });
            assert_eq!(titles.len() as u64 + expected, 40, "{uncompressed_bytes_max}");
        }
    }
}
