//! The Gregorian calendar in UTC. Days are written `2026-11-21`.

use std::time::SystemTime;

use crate::text;

/// The year, month and day of a day counted from 1970-01-01.
///
/// Source: `civil_from_days` in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
pub fn civil(days: u64) -> (u64, u8, u8) {
    let days = days + 719_468; // from 0000-03-01, so that a leap day ends its year
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * march_month + 2) / 5 + 1) as u8;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 } as u8;
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The day of a point in time; a time before 1970 is 1970-01-01.
pub fn day(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Seconds since 1970 as `2026-11-21T08:15:00Z`.
///
/// Source: RFC 3339, section 5.6.
pub fn timestamp(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Whether a text is a day of the calendar, written as in this module.
pub fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let &[year, month, day] = &parts[..] else { return false };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) || !parts.iter().all(is_number) {
        return false;
    }
    let number = |part: &str| part.parse::<u64>().unwrap_or(0);
    let (year, month, day) = (number(year), number(month), number(day));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let n_days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=n_days).contains(&day)
}

/// The number of days from one day to another; 0 if the first is later, or one of them is not a day.
pub fn days_between(from: &str, to: &str) -> u64 {
    // Source: `days_from_civil` in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
    let days = |date: &str| -> Option<i64> {
        let mut numbers = date.split('-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let year = if month <= 2 { year - 1 } else { year };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Some(365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year)
    };
    match (days(from), days(to)) {
        (Some(from), Some(to)) => u64::try_from(to - from).unwrap_or(0),
        _ => 0,
    }
}

/// How many days ago, for people.
pub fn days_ago(days: u64) -> String {
    match days {
        0 => "today".to_owned(),
        days => text::age(days * 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for day in ["2024-02-29", "2000-02-29", "2026-12-31", "2026-04-30"] {
            assert!(is_day(day), "{day}");
        }
        for text in
            ["2026-02-29", "1900-02-29", "2026-04-31", "2026-13-01", "2026-00-01", "2026-01-00", "2026-1-01"]
        {
            assert!(!is_day(text), "{text}");
        }
    }

    #[test]
    fn days_between_two_dates() {
        for (from, to, expected) in [
            ("2026-11-21", "2026-11-23", 2),
            ("2024-02-28", "2024-03-01", 2),
            ("2023-02-28", "2023-03-01", 1),
            ("2025-12-31", "2026-01-01", 1),
            ("2000-01-01", "2001-01-01", 366),
            ("2026-11-23", "2026-11-21", 0),
            ("never", "2026-11-21", 0),
        ] {
            assert_eq!(days_between(from, to), expected, "{from} {to}");
        }
    }
}
