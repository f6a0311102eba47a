//! Test vectors: each a JSON object with a datagram and the settings it is to be read with.

use serde_json::Value;

use super::{Reader, Stage};
use crate::json::{Json, from_hex};
use crate::vectors::{
    MessageConfig, MessageSettings, VectorError, config, object, string, unexpected,
};

/// The answer to one vector: the list of its messages, or an object that says why it can't be read.
pub(super) fn answer(line: &[u8]) -> Json {
    match Vector::read(line) {
        Ok(Vector { datagram, stage, settings }) => {
            let messages = Reader::new(settings, stage).messages(&datagram);
            messages.into_iter().flatten().map(Json::from).collect::<Vec<_>>().into()
        }
        Err(error) => error.answer().into(),
    }
}

struct Vector {
    datagram: Vec<u8>,
    stage: Stage,
    settings: MessageSettings,
}

impl Vector {
    fn read(line: &[u8]) -> Result<Self, VectorError> {
        let vector = object(line)?;
        let datagram = match (vector.get("in"), vector.get("in_hex")) {
            (Some(text), None) => string("in", text)?.into_bytes(),
            (None, Some(digits)) => from_hex(string("in_hex", digits)?.as_bytes())
                .ok_or_else(|| unexpected("in_hex", "pairs of hex digits"))?,
            _ => return Err(VectorError::Whole("expected one of `in` and `in_hex`")),
        };
        let stage = match vector.get("stage") {
            None | Some(Value::Null) => Stage::Parsed,
            Some(name) if name == "enriched" => Stage::Enriched,
            Some(_) => return Err(unexpected("stage", "\"enriched\", or no stage at all")),
        };
        let mut settings = MessageConfig::default();
        config(&vector)?.try_for_each(|(key, value)| settings.set(key, value))?;
        Ok(Self { datagram, stage, settings: settings.settings() })
    }
}
