//! How far a standby is behind, in bytes and in time, and whether that is too
//! far.

use crate::config::{Config, LogStandbyDelay};
use std::time::{Duration, Instant};

/// How far behind is too far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    None,
    /// `delay_threshold`
    Bytes(u64),
    /// `delay_threshold_by_time`, which goes before the other
    Time(Duration),
}

impl Threshold {
    pub fn of(config: &Config) -> Self {
        match (config.delay_threshold_by_time, config.delay_threshold) {
            (Some(time), _) => Threshold::Time(time),
            (None, Some(bytes)) => Threshold::Bytes(bytes),
            (None, None) => Threshold::None,
        }
    }
}

/// One server's. The primary's stays at nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Delay {
    /// Of WAL not yet replayed.
    bytes: u64,
    /// As the primary, or `replication_delay_source_cmd`, says.
    reported: Option<Duration>,
    /// A moment since when it is surely behind.
    behind: Option<Behind>,
    delayed: bool,
    /// What the balancers were last told.
    told: Option<(u64, Duration)>,
}

/// At this moment the primary was here, and the standby still is not.
#[derive(Debug, Clone, Copy)]
struct Behind {
    since: Instant,
    position: u64,
}

impl Delay {
    /// The standby has replayed so much.
    pub(super) fn saw(&mut self, replayed: u64, primary: u64, now: Instant) {
        self.bytes = primary.saturating_sub(replayed);
        let caught_up = self.behind.is_none_or(|behind| replayed >= behind.position);
        if caught_up {
            self.behind = (self.bytes > 0).then_some(Behind { since: now, position: primary });
        }
    }

    pub(super) fn report(&mut self, time: Option<Duration>) {
        self.reported = time;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where nobody reports it: as long as it is known to be behind. Some bytes
    /// are at least a microsecond, so zero is nothing.
    pub(super) fn time(&self, now: Instant) -> Duration {
        let known = || self.behind.map(|behind| now.saturating_duration_since(behind.since));
        let time = self.reported.or_else(known).unwrap_or_default();
        if self.bytes > 0 { time.max(Duration::from_micros(1)) } else { time }
    }

    pub(super) fn is_delayed(&self) -> bool {
        self.delayed
    }

    /// Returns whether the server became, or ceased to be, too far behind.
    pub(super) fn judge(&mut self, threshold: Threshold, now: Instant) -> bool {
        let delayed = match threshold {
            Threshold::None => false,
            Threshold::Bytes(limit) => self.bytes > limit,
            Threshold::Time(limit) => self.time(now) > limit,
        };
        std::mem::replace(&mut self.delayed, delayed) != delayed
    }

    /// Whether it changed so much since it was last told to the balancers that
    /// they should know. They are told now, if so.
    pub(super) fn is_news(&mut self, now: Instant) -> bool {
        /// Less than a page of WAL, or than this time, changes no decision.
        const BYTES: u64 = 8192;
        const TIME: Duration = Duration::from_millis(10);
        let (bytes, time) = (self.bytes, self.time(now));
        let (told_bytes, told_time) = self.told.unwrap_or_default();
        let news = bytes.abs_diff(told_bytes) > BYTES.max(told_bytes / 8)
            || time.abs_diff(told_time) > TIME.max(told_time / 8);
        if news {
            self.told = Some((bytes, time));
        }
        news
    }

    /// A line for the log, in Pgpool-II's words, if one is wanted.
    pub(super) fn line(
        &self,
        standby: usize,
        primary: usize,
        threshold: Threshold,
        log: LogStandbyDelay,
        now: Instant,
    ) -> Option<String> {
        let time = self.time(now);
        let (behind, over) = match threshold {
            Threshold::None => (self.bytes > 0, false),
            Threshold::Bytes(limit) => (self.bytes > 0, self.bytes > limit),
            Threshold::Time(limit) => (!time.is_zero(), time > limit),
        };
        let wanted = match log {
            LogStandbyDelay::None => false,
            LogStandbyDelay::IfOverThreshold => over,
            LogStandbyDelay::Always => behind,
        };
        let amount = match threshold {
            Threshold::Time(_) => format!("{:.6} second(s)", time.as_secs_f64()),
            _ => format!("{} bytes", self.bytes),
        };
        wanted.then(|| {
            format!(
                "Replication of node: {standby} is behind {amount} from the primary server (node: {primary})"
            )
        })
    }
}

#[cfg(test)]
mod tests;
