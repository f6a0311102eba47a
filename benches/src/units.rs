//! Reading of times and sizes as people write them.

use std::time::Duration;

/// Longest time that is read: nothing here is meant to run for longer.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `1500ms`, `2s`, `0.5s` or `3m`, up to a day.
///
/// # Errors
///
/// Says which forms are accepted.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_s = match unit {
        "ms" => Some(0.001),
        "s" => Some(1.0),
        "m" => Some(60.0),
        _ => None,
    };
    let seconds = number.parse::<f64>().ok().zip(unit_s).map(|(number, unit_s)| number * unit_s);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|&time| time <= TIME_MAX)
        .ok_or_else(|| format!("{text:?} is no time up to a day: write 1500ms, 2s or 3m"))
}

/// Reads `512`, `512KiB`, `20MiB` or `1GiB`, up to a tebibyte.
///
/// # Errors
///
/// Says which forms are accepted.
pub fn bytes(text: &str) -> Result<u64, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        _ => None,
    };
    let bytes = number
        .parse::<u64>()
        .ok()
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes
        .filter(|&bytes| bytes <= 1 << 40)
        .ok_or_else(|| format!("{text:?} is no size up to 1024GiB: write 512, 512KiB or 20MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3m"), Ok(Duration::from_secs(180)));
    }

    #[test]
    fn a_time_without_unit_or_sense_is_refused() {
        for text in ["", "5", "s", "-1s", "nans", "1h", "1 s", "1e400s", "1441m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!((bytes("512"), bytes("20MiB")), (Ok(512), Ok(20 << 20)));
        for text in ["", "MiB", "1MB", "-1", "1.5MiB", "2000GiB", "99999999999999999999"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
