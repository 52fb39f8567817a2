//! `commit_mode = "two_phase"`: a transaction is prepared on all servers, the
//! decision written down, and then it is committed on all of them.
//!
//! Until the decision is on disk, any failure rolls it back everywhere; from
//! then on it is committed, and a server that does not hear of it now hears of
//! it from [`resolve`](super::resolve) when it is back.

use super::CommitGate;
use super::decisions::{DecideError, Decisions, Ticket};
use crate::pool::QueryError;

/// The servers with the transaction open, by their places.
#[allow(async_fn_in_trait, reason = "sessions stay on their thread")]
pub trait Participants {
    fn count(&self) -> usize;

    /// The server's address: what the log calls it.
    fn name(&self, place: usize) -> String;

    /// Runs this on some of them at the same time; one answer for each.
    async fn run(&mut self, places: &[usize], sql: &str) -> Vec<Result<(), QueryError>>;
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// It is committed; these places are lost, or will hear of it later.
    Committed { late: Vec<usize> },
    /// It is rolled back, because this server said no.
    RolledBack { place: usize, error: QueryError },
    /// The decision could not be written down, and it is rolled back.
    NotDecided(DecideError),
    /// The same, but it may be in the log: it stays prepared.
    InDoubt(DecideError),
}

/// Commits what all of these have open, in which every one of them has written
/// something. What one cannot prepare is rolled back on all. A server whose
/// connection breaks is left out: the others commit without it.
pub async fn commit<P: Participants>(
    decisions: &Decisions,
    gate: &CommitGate,
    participants: &mut P,
) -> Ended {
    let all: Vec<usize> = (0..participants.count()).collect();
    if let [only] = all.as_slice() {
        let _passing = gate.pass().await;
        let answer = participants.run(&all, "COMMIT").await.pop();
        return match answer {
            Some(Err(error)) => Ended::RolledBack { place: *only, error },
            _ => Ended::Committed { late: Vec::new() },
        };
    }
    let ticket = decisions.begin();
    let prepared = match prepare(&ticket, participants, &all).await {
        Ok(prepared) => prepared,
        Err((place, error)) => return Ended::RolledBack { place, error },
    };
    // The lost ones too: if they have it prepared, they will have to commit it.
    let names: Vec<String> = all.iter().map(|place| participants.name(*place)).collect();
    let _passing = gate.pass().await;
    match decisions.decide_commit(&ticket, &names).await {
        Ok(()) => {}
        Err(error @ DecideError::InDoubt(_)) => return Ended::InDoubt(error),
        Err(error @ DecideError::NotDecided(_)) => {
            roll_back(&ticket, participants, &prepared).await;
            return Ended::NotDecided(error);
        }
    }
    let mut late: Vec<usize> = all.into_iter().filter(|place| !prepared.contains(place)).collect();
    late.extend(commit_prepared(decisions, &ticket, participants, &prepared).await);
    Ended::Committed { late }
}

/// Those that have it prepared; or why none has, and who is to blame.
async fn prepare<P: Participants>(
    ticket: &Ticket,
    participants: &mut P,
    all: &[usize],
) -> Result<Vec<usize>, (usize, QueryError)> {
    let answers = participants.run(all, &format!("PREPARE TRANSACTION '{}'", ticket.gid())).await;
    let (mut prepared, mut lost, mut refused) = (Vec::new(), None, None);
    for (place, answer) in all.iter().copied().zip(answers) {
        match answer {
            Ok(()) => prepared.push(place),
            Err(error @ QueryError::Io(_)) => lost = lost.or(Some((place, error))),
            Err(error) => refused = refused.or(Some((place, error))),
        }
    }
    match refused.or(if prepared.is_empty() { lost } else { None }) {
        None => Ok(prepared),
        Some(failure) => {
            roll_back(ticket, participants, &prepared).await;
            Err(failure)
        }
    }
}

/// Who cannot be told now, is told by [`resolve`](super::resolve).
async fn roll_back<P: Participants>(ticket: &Ticket, participants: &mut P, prepared: &[usize]) {
    let sql = format!("ROLLBACK PREPARED '{}'", ticket.gid());
    let answers = participants.run(prepared, &sql).await;
    for (place, answer) in prepared.iter().zip(answers) {
        if let Err(error) = answer {
            tracing::warn!(
                server = participants.name(*place),
                gid = ticket.gid(),
                "not rolled back yet: {error}"
            );
        }
    }
}

/// Returns those that could not be told.
async fn commit_prepared<P: Participants>(
    decisions: &Decisions,
    ticket: &Ticket,
    participants: &mut P,
    prepared: &[usize],
) -> Vec<usize> {
    let sql = format!("COMMIT PREPARED '{}'", ticket.gid());
    let answers = participants.run(prepared, &sql).await;
    let mut late = Vec::new();
    for (place, answer) in prepared.iter().zip(answers) {
        let server = participants.name(*place);
        match answer {
            Ok(()) => decisions.committed_on(ticket.gid(), &server),
            Err(error) => {
                tracing::warn!(server, gid = ticket.gid(), "not committed yet: {error}");
                late.push(*place);
            }
        }
    }
    late
}

/// undefined_object: there is no such prepared transaction, or no longer.
pub fn is_unknown(error: &QueryError) -> bool {
    matches!(error, QueryError::Server { sqlstate, .. } if sqlstate == "42704")
}
