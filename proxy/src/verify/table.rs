//! One table, until the answer can be trusted.

use super::catalog::Table;
use super::checksum::{Sum, sums};
use super::report::{TableReport, Verdict};
use super::rows::{self, Differing, differ};
use super::{Failure, Gate, Options, Sessions};
use std::time::Duration;

/// Looks at a table that differs. TRUNCATE and its like are seen by snapshots
/// that are older, so even with a gate one look is not enough.
const LOOKS: usize = 4;
const PAUSE: Duration = Duration::from_millis(200);

struct Look {
    sums: Vec<Sum>,
    differing: Differing,
}

/// Leaves the sessions at another point if it has to look again.
pub async fn compare<G: Gate>(
    sessions: &mut Sessions,
    gate: &G,
    options: &Options,
    table: &Table,
) -> Result<TableReport, Failure> {
    if let Some(hindrance) = &table.hindrance {
        let verdict = Verdict::Differs { rows: Vec::new(), count: 0, more: false };
        return Ok(TableReport {
            name: table.name.clone(),
            counts: Vec::new(),
            verdict,
            note: Some(hindrance.clone()),
        });
    }
    match looks(sessions, gate, options, table).await {
        Err(failure) if failure.is_refusal() => Ok(TableReport::failed(&table.name, &failure.to_string())),
        other => other,
    }
}

async fn looks<G: Gate>(
    sessions: &mut Sessions,
    gate: &G,
    options: &Options,
    table: &Table,
) -> Result<TableReport, Failure> {
    let report = |sums: &[Sum], verdict| TableReport {
        name: table.name.clone(),
        counts: sums.iter().map(|sum| sum.rows).collect(),
        verdict,
        note: None,
    };
    let mut before: Option<Look> = None;
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
            sessions.point(gate).await?;
        }
        let sums = sums(sessions, table, options.rate).await?;
        if !differ(&sums) {
            return Ok(report(&sums, Verdict::Equal));
        }
        let most = sums.iter().map(|sum| sum.rows).max().unwrap_or(0);
        let differing = rows::differing(sessions, table, options.rate, most).await?;
        let now = Look { sums, differing };
        if let Some(real) = before.as_ref().and_then(|before| now.real::<G>(before)) {
            let count = real.rows.len();
            let mut described = Vec::new();
            for row in real.rows.values().take(options.rows) {
                described.push(rows::describe(sessions, table, row).await?);
            }
            let verdict = Verdict::Differs { rows: described, count, more: real.more };
            return Ok(report(&now.sums, verdict));
        }
        before = Some(now);
    }
    let sums = before.map(|look| look.sums).unwrap_or_default();
    Ok(report(&sums, Verdict::Moving))
}

impl Look {
    /// What differs for sure, as far as two looks tell. Without a gate data moves
    /// between the servers while it is looked at: what stays as it is does not.
    fn real<G: Gate>(&self, before: &Look) -> Option<Differing> {
        if G::EXACT {
            return Some(self.differing.clone());
        }
        let stayed = self.differing.clone().in_both(&before.differing);
        match stayed.rows.is_empty() {
            false => Some(stayed),
            true => (self.sums == before.sums).then(|| self.differing.clone()),
        }
    }
}
