//! A time of the day, in UTC.

use waypool_plugin_sdk::{Error, Result};

const MINUTES_A_DAY: u64 = 24 * 60;

/// From one minute of the day up to another, which may be on the next day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    from: u64,
    to: u64,
}

impl Window {
    /// `22:30-02:00`, or nothing for never.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Window { from: 0, to: 0 });
        }
        let wrong = || Error::new(format!("ddl_window = \"{text}\": write it as \"22:30-02:00\""));
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let window = minute(from).zip(minute(to)).map(|(from, to)| Window { from, to });
        window.filter(|window| !window.is_empty()).ok_or_else(wrong)
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Whether this moment, in microseconds since 1970, lies in it.
    pub fn contains(&self, micros: u64) -> bool {
        let minute = micros / 60_000_000 % MINUTES_A_DAY;
        match self.from < self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

/// The minute of the day that `22:30` is; `24:00` is its end.
fn minute(text: &str) -> Option<u64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MINUTES_A_DAY).then_some(minute)
}
