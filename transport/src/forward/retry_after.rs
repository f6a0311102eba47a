//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date in one of the three forms that a
//! recipient must read (section 5.6.7).

use std::time::Duration;

/// Reads the value of a `Retry-After` field as a pause from `now_s` on (seconds since 1970).
///
/// A date that has passed is a pause of nothing. `None` if the value is neither form: then it is as
/// if the field weren't there.
#[must_use]
pub fn parse(value: &[u8], now_s: u64) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean "very long", not "nothing".
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date_s = date(text, now_s)?;
    Some(Duration::from_secs(date_s.saturating_sub(now_s)))
}

/// Seconds since 1970 of an HTTP date; dates before 1970 are not dates of an answer.
fn date(text: &str, now_s: u64) -> Option<u64> {
    let (weekday, rest) = text.split_once([',', ' '])?;
    if !weekday.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let mut words = rest.split_ascii_whitespace();
    let first = words.next()?;
    let (day, month, year, clock) = if let Some((day, rest)) = first.split_once('-') {
        // Sunday, 06-Nov-94 08:49:37 GMT
        let (month, year) = rest.split_once('-')?;
        let clock = words.next()?;
        (day, month, full_year(number(year)?, now_s), clock)
    } else if first.starts_with(|c: char| c.is_ascii_digit()) {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let (month, year, clock) = (words.next()?, words.next()?, words.next()?);
        (first, month, number(year)?, clock)
    } else {
        // Sun Nov  6 08:49:37 1994
        let (day, clock, year) = (words.next()?, words.next()?, words.next()?);
        return seconds(number(year)?, first, day, clock).filter(|_| words.next().is_none());
    };
    if words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    seconds(year, month, day, clock)
}

/// The year that two digits mean: never more than 50 years ahead (RFC 9110, section 5.6.7).
fn full_year(two_digits: u64, now_s: u64) -> u64 {
    let this_year = 1970 + now_s / 31_556_952;
    let year = this_year - this_year % 100 + two_digits;
    if year > this_year + 50 { year - 100 } else { year }
}

fn seconds(year: u64, month: &str, day: &str, clock: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let day = number(day)?;
    let mut parts = clock.split(':');
    let (hour, minute, second) =
        (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let whole = parts.next().is_none();
    let real = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    // A leap second is written as 60.
    if !whole || !real || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March
/// so that the leap day comes last.
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// Digits as a number; four at most, more than that is no part of a date.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37 UTC, the example of RFC 9110.
    const EXAMPLE_S: u64 = 784_111_777;

    #[test]
    fn seconds_and_the_three_forms_of_a_date_are_read() {
        for (value, pause_s) in [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 37),
            ("Sun Nov  6 08:49:37 1994", 37),
        ] {
            let pause = parse(value.as_bytes(), EXAMPLE_S - 37);
            assert_eq!(pause, Some(Duration::from_secs(pause_s)), "{value}");
        }
    }

    #[test]
    fn a_date_that_has_passed_asks_for_no_pause() {
        let pause = parse(b"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE_S + 1);
        assert_eq!(pause, Some(Duration::ZERO));
    }

    #[test]
    fn a_number_beyond_counting_is_a_very_long_pause() {
        let pause = parse(b"99999999999999999999999999", 0);
        assert_eq!(pause, Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn calendar_days_are_counted_over_leap_years() {
        for (year, month, day, days) in [
            (1970, 1, 1, 0),
            (1970, 3, 1, 59),
            (1972, 2, 29, 789),
            (1972, 3, 1, 790),
            (2000, 2, 29, 11_016),
            (2026, 12, 31, 20_818),
            (2100, 3, 1, 47_541),
        ] {
            assert_eq!(days_since_1970(year, month, day), days, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn what_is_no_retry_after_is_as_if_absent() {
        for value in [
            "",
            "-1",
            "1.5",
            "soon",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, 06 Not 1994 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sunday, 06-Nov 08:49:37 GMT",
            "\u{661}\u{662}",
        ] {
            assert_eq!(parse(value.as_bytes(), EXAMPLE_S), None, "{value}");
        }
        assert_eq!(parse(b"\xff\xfe", EXAMPLE_S), None);
    }
}
