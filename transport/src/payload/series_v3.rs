//! Series as columns, cut into payloads within the limits.
//!
//! Columns can't be compressed as they grow: they are written one behind the other in the end. So
//! the uncompressed size decides, taken as if compression gained nothing. It costs little: a payload
//! mostly ends at its limit of points first.

use std::collections::VecDeque;

use bytes::Bytes;
use lastdrop_engine::series::Series;

use super::columns::Columns;
use super::compress::Compressor;
use super::split::Fit;
use super::{Payload, PayloadKind, PayloadLimits, PayloadSettings};

/// Collects series in columns and closes payloads.
pub(super) struct ColumnsSplitter {
    limits: PayloadLimits,
    compressor: Compressor,
    columns: Columns,
    /// Points in `columns`.
    points: u64,
    plain: Vec<u8>,
    body: Vec<u8>,
    ready: VecDeque<Payload>,
}

impl ColumnsSplitter {
    pub(super) fn new(settings: &PayloadSettings) -> Self {
        Self {
            limits: settings.series,
            compressor: Compressor::new(settings.compression),
            columns: Columns::default(),
            points: 0,
            plain: Vec::new(),
            body: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Puts a series of so many points into a payload. One that doesn't fit into an empty payload is
    /// thrown away.
    pub(super) fn push(&mut self, points: u64, series: &Series<'_>) -> Fit {
        if points > self.limits.points_max {
            return Fit::TooLarge;
        }
        if self.points.saturating_add(points) > self.limits.points_max {
            self.close();
        }
        // How much a series adds depends on what the dictionaries know: only a try can tell.
        let mark = self.columns.mark();
        self.columns.push_series(series);
        if !self.fits() && self.columns.items() > 1 {
            self.columns.undo(&mark);
            self.close();
            self.columns.push_series(series);
        }
        if !self.fits() {
            self.columns.clear();
            return Fit::TooLarge;
        }
        self.points += points;
        Fit::Taken
    }

    /// Takes a closed payload.
    pub(super) fn take_full(&mut self) -> Option<Payload> {
        self.ready.pop_front()
    }

    /// Takes a closed payload; when there is none left, closes and takes the open one.
    pub(super) fn finish(&mut self) -> Option<Payload> {
        if self.ready.is_empty() {
            self.close();
        }
        self.ready.pop_front()
    }

    fn fits(&self) -> bool {
        let bytes = self.columns.encoded_bytes();
        bytes <= self.limits.uncompressed_bytes_max
            && self.compressor.bytes_max(bytes) <= self.limits.compressed_bytes_max
    }

    fn close(&mut self) {
        if self.columns.items() == 0 {
            return;
        }
        self.columns.write(&mut self.plain);
        self.compressor.finish(&self.plain, &mut self.body);
        self.ready.push_back(Payload {
            kind: PayloadKind::SeriesV3,
            body: Bytes::copy_from_slice(&self.body),
            encoding: self.compressor.encoding(),
            points: self.points,
            items: self.columns.items(),
            uncompressed_bytes: self.plain.len() as u64,
        });
        self.columns.clear();
        self.points = 0;
        self.plain.clear();
        self.body.clear();
    }
}
