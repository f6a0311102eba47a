//! What is replayed: a test vector, or a sample of a recording.

use std::sync::Arc;

use lastdrop_engine::bucket::HistogramSettings;
use lastdrop_engine::enrich::Enricher;
use lastdrop_engine::inline::Inline;
use lastdrop_engine::merge::{Incomplete, MergeSettings};
use lastdrop_engine::sampler::LateArrival;
use lastdrop_engine::series::Origin;
use lastdrop_engine::time::{NS_PER_S, Stamp};
use lastdrop_engine::worker::{Timestamped, WorkerSettings};
use serde_json::{Map, Value};

use super::player::Player;
use crate::json::Object;
use crate::vectors::{
    MessageConfig, VectorError, config, flag, object, string, strings, unexpected,
};

/// One vector.
pub(super) struct Replay {
    settings: ReplaySettings,
    samples: Vec<Sample>,
    /// In the order in which they run.
    prior_flushes: Vec<PriorFlush>,
    flush_at: Stamp,
}

/// Lines that were received at one time.
pub(super) struct Sample {
    pub(super) at: Stamp,
    line: String,
}

/// A flush whose outcome is not asked for.
struct PriorFlush {
    /// Samples that are in before it.
    after: usize,
    at: Stamp,
}

/// How the engine is set up.
pub(super) struct ReplaySettings {
    pub(super) worker: WorkerSettings,
    pub(super) merge: MergeSettings,
}

impl Replay {
    /// Reads a vector; keys that it doesn't know are nothing.
    ///
    /// # Errors
    ///
    /// The first thing that isn't as it should be.
    pub(super) fn read(line: &[u8]) -> Result<Self, VectorError> {
        let vector = object(line)?;
        if vector.contains_key("line") {
            return Err(VectorError::Whole("a recorded sample: use --flush-at to replay it"));
        }
        let mut settings = Config::default();
        config(&vector)?.try_for_each(|(key, value)| settings.set(key, value))?;
        let samples = list(&vector, "samples")?.ok_or_else(|| missing("samples"))?;
        let samples: Vec<_> = samples.iter().map(Sample::of).collect::<Result<_, _>>()?;
        let flushes = list(&vector, "prior_flushes")?.unwrap_or_default();
        let flush = |flush: &Value| PriorFlush::of(flush, samples.len());
        let mut prior_flushes: Vec<_> = flushes.iter().map(flush).collect::<Result<_, _>>()?;
        prior_flushes.sort_by_key(|flush| flush.after);
        let incomplete = match vector.get("incomplete") {
            None | Some(Value::Null) => Incomplete::Dropped,
            Some(value) if flag("incomplete", value)? => Incomplete::Shipped,
            Some(_) => Incomplete::Dropped,
        };
        let flush_at = time(&vector, "flush_at")?;
        Ok(Self { settings: settings.settings(incomplete), samples, prior_flushes, flush_at })
    }

    /// Runs it: what its last flush makes.
    pub(super) fn answer(self) -> Object {
        let mut player = Player::new(self.settings);
        let mut flushes = self.prior_flushes.iter().peekable();
        for (index, sample) in self.samples.iter().enumerate() {
            while let Some(flush) = flushes.next_if(|flush| flush.after <= index) {
                player.flush(flush.at);
            }
            player.push(sample);
        }
        for flush in flushes {
            player.flush(flush.at);
        }
        player.finish(self.flush_at)
    }
}

impl Sample {
    /// Reads a line of a recording.
    ///
    /// # Errors
    ///
    /// The first thing that isn't as it should be.
    pub(super) fn read(line: &[u8]) -> Result<Self, VectorError> {
        let sample = object(line)?;
        if sample.contains_key("samples") {
            return Err(VectorError::Whole("a vector: replay it without --flush-at"));
        }
        Self::of_object(&sample)
    }

    fn of(value: &Value) -> Result<Self, VectorError> {
        let object = value.as_object();
        Self::of_object(object.ok_or_else(|| unexpected("samples", "a list of objects"))?)
    }

    fn of_object(sample: &Map<String, Value>) -> Result<Self, VectorError> {
        let line = sample.get("line").ok_or_else(|| missing("line"))?;
        let sample = Self { at: time(sample, "t")?, line: string("line", line)? };
        let fits = |line: &str| line.len() < Inline::DATAGRAM_BYTES_MAX;
        match sample.line.split('\n').all(fits) {
            true => Ok(sample),
            false => Err(unexpected("line", "no message longer than 256 KiB")),
        }
    }

    /// The lines as datagrams that the engine takes.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.line.as_bytes();
        std::iter::from_fn(move || {
            let (window, behind) =
                rest.split_at_checked(Inline::DATAGRAM_BYTES_MAX).unwrap_or((rest, &[]));
            let end = match window.iter().rposition(|byte| *byte == b'\n') {
                Some(newline) if !behind.is_empty() => newline + 1,
                _ => window.len(),
            };
            let (datagram, behind) = rest.split_at(end);
            rest = behind;
            (!datagram.is_empty()).then_some(datagram)
        })
    }
}

impl PriorFlush {
    fn of(value: &Value, samples: usize) -> Result<Self, VectorError> {
        let expected = || unexpected("prior_flushes", "a list of objects");
        let flush = value.as_object().ok_or_else(expected)?;
        let after = flush.get("after").and_then(Value::as_u64);
        let after = after.and_then(|after| usize::try_from(after).ok());
        let after = after.filter(|after| *after <= samples);
        let after = after.ok_or_else(|| unexpected("after", "how many samples are in"))?;
        Ok(Self { after, at: time(flush, "at")? })
    }
}

/// The settings of a vector, by the names of the reference agent.
struct Config {
    messages: MessageConfig,
    timestamped: Timestamped,
    histogram_aggregates: Vec<String>,
    histogram_percentiles: Vec<String>,
    counter_expiry_s: u64,
    context_expiry_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            messages: MessageConfig::default(),
            timestamped: Timestamped::Aggregated,
            histogram_aggregates: ["max", "median", "avg", "count"].map(String::from).into(),
            histogram_percentiles: vec!["0.95".into()],
            counter_expiry_s: 300,
            context_expiry_s: 20,
        }
    }
}

impl Config {
    fn set(&mut self, key: &str, value: &Value) -> Result<(), VectorError> {
        match key {
            "no_aggregation" => {
                self.timestamped = match flag(key, value)? {
                    true => Timestamped::PassedThrough,
                    false => Timestamped::Aggregated,
                };
            }
            "histogram_aggregates" => self.histogram_aggregates = strings(key, value)?,
            "histogram_percentiles" => self.histogram_percentiles = strings(key, value)?,
            "histogram_weight_mode" => {
                if string(key, value)? != "float" {
                    let expected = "float: integer weights are those of old agents";
                    return Err(unexpected(key, expected));
                }
            }
            "dogstatsd_expiry_seconds" => self.counter_expiry_s = whole_seconds(key, value)?,
            "dogstatsd_context_expiry_seconds" => {
                self.context_expiry_s = whole_seconds(key, value)?;
            }
            _ => return self.messages.set(key, value),
        }
        Ok(())
    }

    /// What the entries amount to together.
    fn settings(self, incomplete: Incomplete) -> ReplaySettings {
        let messages = self.messages.settings();
        // Like the reference agent: bad entries are skipped.
        let (histogram, _bad) =
            HistogramSettings::parse(&self.histogram_aggregates, &self.histogram_percentiles);
        let suffixes: Vec<_> = histogram
            .suffixes()
            .map(|suffix| suffix.text.trim_start_matches('.').to_owned())
            .collect();
        let series_blocklist = messages.enrichment.blocklist.of_histogram_series(&suffixes);
        let enricher = Arc::new(Enricher::new(messages.enrichment));
        ReplaySettings {
            merge: MergeSettings {
                histogram: Arc::new(histogram),
                counter_expiry_s: self.counter_expiry_s,
                context_expiry_s: self.context_expiry_s,
                idle_bytes_max: usize::MAX,
                global_tags: enricher.extra_tags().to_vec(),
                series_blocklist,
                late: LateArrival::ReopensSlot,
                incomplete,
                origin: Origin::DOGSTATSD,
            },
            worker: WorkerSettings {
                parse: messages.options,
                line_end: [messages.line_end; 3],
                context_expiry_s: self.context_expiry_s,
                late: LateArrival::ReopensSlot,
                timestamped: self.timestamped,
                enricher,
                ..WorkerSettings::default()
            },
        }
    }
}

impl ReplaySettings {
    /// The settings of a recording: all defaults.
    pub(super) fn recording(incomplete: Incomplete) -> Self {
        Config::default().settings(incomplete)
    }
}

/// Seconds since 1970 as a stamp, rounded to nanoseconds; none before that, or after 2554.
pub(super) fn stamp(seconds: f64) -> Option<Stamp> {
    let ns = (seconds * NS_PER_S as f64).round();
    #[expect(clippy::cast_possible_truncation, reason = "a whole number that fits")]
    (0.0..u64::MAX as f64).contains(&ns).then(|| Stamp::from_ns(ns as u64))
}

fn time(object: &Map<String, Value>, key: &str) -> Result<Stamp, VectorError> {
    let seconds = object.get(key).ok_or_else(|| missing(key))?.as_f64();
    seconds.and_then(stamp).ok_or_else(|| unexpected(key, "seconds since 1970"))
}

fn whole_seconds(key: &str, value: &Value) -> Result<u64, VectorError> {
    value.as_u64().ok_or_else(|| unexpected(key, "whole seconds"))
}

/// A list, if the key is there.
fn list<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a [Value]>, VectorError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => Err(unexpected(key, "a list")),
    }
}

fn missing(key: &str) -> VectorError {
    unexpected(key, "a value")
}
