//! What is measured of a server, each with its name, its unit, and which way is better.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that a replica has a number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// What the server's sockets took while it was measured.
    IngressMibPerS,
    /// The same in messages.
    MessagesPerS,
    /// Processor time for a million messages, user and kernel, all threads and children.
    CpuSPerMillion,
    /// Processor time of one processor's.
    CpuPercent,
    /// The most resident memory from the start to the end, the stop included.
    MemoryPeakMib,
    /// Resident memory, the median of the time that was measured.
    MemoryMib,
    /// 99th percentile of how long a client's send took.
    SendP99Us,
    /// Increments, samples, events and checks that were sent and are not at the intake.
    Lost,
    /// Their share.
    LostPercent,
    /// Bytes that were sent and not received, as the server's receipt has it.
    MissedBytes,
    /// From the start of the process to the first datagram that would be taken.
    StartMs,
    /// From SIGTERM to the end.
    StopMs,
}

impl Measure {
    /// All, in the order of tables.
    pub const ALL: [Self; 12] = [
        Self::IngressMibPerS,
        Self::MessagesPerS,
        Self::CpuSPerMillion,
        Self::CpuPercent,
        Self::MemoryPeakMib,
        Self::MemoryMib,
        Self::SendP99Us,
        Self::Lost,
        Self::LostPercent,
        Self::MissedBytes,
        Self::StartMs,
        Self::StopMs,
    ];

    /// What it is called in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IngressMibPerS => "ingress_mib_per_s",
            Self::MessagesPerS => "messages_per_s",
            Self::CpuSPerMillion => "cpu_s_per_million",
            Self::CpuPercent => "cpu_percent",
            Self::MemoryPeakMib => "memory_peak_mib",
            Self::MemoryMib => "memory_mib",
            Self::SendP99Us => "send_p99_us",
            Self::Lost => "lost",
            Self::LostPercent => "lost_percent",
            Self::MissedBytes => "missed_bytes",
            Self::StartMs => "start_ms",
            Self::StopMs => "stop_ms",
        }
    }

    /// What it is called in tables, with its unit.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::IngressMibPerS => "ingress, MiB/s",
            Self::MessagesPerS => "messages/s",
            Self::CpuSPerMillion => "CPU s/million",
            Self::CpuPercent => "CPU, %",
            Self::MemoryPeakMib => "peak memory, MiB",
            Self::MemoryMib => "memory, MiB",
            Self::SendP99Us => "send p99, µs",
            Self::Lost => "lost",
            Self::LostPercent => "lost, %",
            Self::MissedBytes => "missed, bytes",
            Self::StartMs => "start, ms",
            Self::StopMs => "stop, ms",
        }
    }

    /// True of what should be as much as possible.
    #[must_use]
    pub const fn is_better_higher(self) -> bool {
        matches!(self, Self::IngressMibPerS | Self::MessagesPerS)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A measured number with as many digits as it deserves.
#[must_use]
pub fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        0.0 => 0,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_read_by_the_name_that_it_is_written_by() {
        for measure in Measure::ALL {
            let read = serde_json::from_value::<Measure>(measure.name().into()).unwrap();
            assert_eq!(read, measure);
        }
    }
}
