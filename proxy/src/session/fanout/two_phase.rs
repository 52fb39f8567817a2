//! `commit_mode = "two_phase"`: the servers' side of
//! [`commit::two_phase`](crate::commit::two_phase).

use super::super::link::{Servers, bit};
use super::super::{End, Session};
use super::commit::{Committed, has_committed, says_rollback};
use super::exchange::Answers;
use crate::commit::Decisions;
use crate::commit::two_phase::{self, Ended, Participants};
use crate::fanout::{Hearing, State, Until};
use crate::pool::QueryError;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::error::ErrorFields;
use crate::protocol::frontend;
use crate::protocol::{HEADER_LEN, PgError};
use std::io;

/// The servers of a session that have its transaction open.
struct Members<'a> {
    session: &'a mut Session,
    ids: Vec<usize>,
    /// The client's COMMIT, and how its answer ends.
    message: &'a [u8],
    until: Until,
    /// What the transaction is that its COMMIT ends after all.
    begin: String,
    /// What was heard last.
    answers: Answers,
    /// Why the session has to end.
    end: Option<End>,
}

impl Participants for Members<'_> {
    fn count(&self) -> usize {
        self.ids.len()
    }

    fn name(&self, place: usize) -> String {
        self.session.worker.proxy.cluster.backends[self.ids[place]].address().to_string()
    }

    async fn run(&mut self, places: &[usize], sql: &str) -> Vec<Result<(), QueryError>> {
        let (ours, bytes, until) = self.packed(sql);
        let mut answers = Answers::new();
        for id in places.iter().map(|place| self.ids[*place]) {
            let mut hearing = self.session.tell(id, ours, &bytes, until, false);
            hearing.keeps_all();
            answers.push((id, hearing));
        }
        if sql.starts_with("COMMIT") {
            let servers = answers.iter().fold(0, |all, (id, _)| all | bit(*id));
            self.session.fan().committing = servers;
        }
        let heard = self.session.hear(&mut answers).await;
        self.session.fan().committing = 0;
        let ends = heard.is_err();
        // Those that are left have answered all the same.
        self.end = self.end.take().or(heard.err());
        let mut results: Vec<_> = answers.iter().map(|(_, hearing)| result_of(hearing)).collect();
        if ends && sql.starts_with("PREPARE") {
            // Only the connection was lost, and its server is not detached: the
            // others must not commit without it.
            for result in results.iter_mut().filter(|result| matches!(result, Err(QueryError::Io(_)))) {
                let message = "the connection was lost".to_owned();
                *result = Err(QueryError::Server { sqlstate: "08006".to_owned(), message });
            }
        }
        self.answers = answers;
        results
    }
}

impl Members<'_> {
    /// A COMMIT PREPARED goes ahead of the client's own COMMIT, which so has an
    /// answer by the server itself, whatever messages it is made of; it ends
    /// a transaction of ours in which nothing is done.
    fn packed(&self, sql: &str) -> (usize, Vec<u8>, Until) {
        let mut bytes = Vec::with_capacity(sql.len() + self.begin.len() + self.message.len() + 16);
        if sql == "COMMIT" {
            bytes.extend_from_slice(self.message);
            return (0, bytes, self.until);
        }
        frontend::query(&mut bytes, sql.as_bytes());
        if !sql.starts_with("COMMIT PREPARED") {
            return (0, bytes, Until::Ready);
        }
        frontend::query(&mut bytes, self.begin.as_bytes());
        bytes.extend_from_slice(self.message);
        (2, bytes, self.until)
    }
}

fn result_of(hearing: &Hearing) -> Result<(), QueryError> {
    if hearing.is_lost() {
        return Err(QueryError::Io(io::ErrorKind::ConnectionAborted.into()));
    }
    if hearing.has_failed() {
        let fields = ErrorFields::parse(hearing.error.get(HEADER_LEN..).unwrap_or_default());
        return Err(QueryError::Server {
            sqlstate: fields.sqlstate.to_owned(),
            message: fields.message.to_owned(),
        });
    }
    // What PREPARE TRANSACTION is in a failed transaction.
    if says_rollback(hearing) {
        let message = "the transaction has failed on this server".to_owned();
        return Err(QueryError::Server { sqlstate: "25P02".to_owned(), message });
    }
    Ok(())
}

impl Session {
    pub(super) async fn commit_two_phase(
        &mut self,
        decisions: &Decisions,
        servers: Servers,
        message: &[u8],
        until: Until,
    ) -> Result<Committed, End> {
        let gate = self.worker.proxy.commit_gate.clone();
        let begin = self.begin_alike(servers, message).await;
        let ids = (0..self.links.len()).filter(|id| servers & bit(*id) != 0).collect();
        let mut members =
            Members { session: self, ids, message, until, begin, answers: Answers::new(), end: None };
        let ended = two_phase::commit(decisions, &gate, &mut members).await;
        let Members { answers, end, ids, .. } = members;
        let error = match ended {
            Ended::Committed { late } => {
                let late = late.iter().map(|place| ids[*place]).collect();
                return self.two_phase_committed(answers, end, late).await;
            }
            Ended::RolledBack { error, .. } => refusal(&error),
            Ended::NotDecided(error) => {
                PgError::error("58030", format!("the transaction is rolled back: {error}"))
            }
            Ended::InDoubt(error) => {
                let error = PgError::fatal("08007", error.to_string()).with_detail(
                    "The transaction stays prepared on the servers; it is ended when Waypool is started again.",
                );
                return Err(End::Fatal(error));
            }
        };
        match end {
            Some(end) => Err(end),
            None => Ok(Committed::No(refused(until, &error))),
        }
    }

    /// It is committed, whatever becomes of servers or client now.
    async fn two_phase_committed(
        &mut self,
        mut answers: Answers,
        end: Option<End>,
        late: Vec<usize>,
    ) -> Result<Committed, End> {
        for id in late {
            if self.links.get(id).is_none() {
                continue;
            }
            // It commits when it is asked again; until then it lags behind.
            self.worker
                .proxy
                .cluster
                .detach(id, "it has prepared a transaction, and not committed it with the others");
            self.give_up(id).await;
            self.follow_main(id);
        }
        if let Some(end) = end {
            return Err(end);
        }
        let speaker = answers.iter().position(|(_, hearing)| has_committed(hearing));
        match speaker {
            Some(at) => Ok(Committed::Yes(answers.swap_remove(at).1)),
            None => Err(End::Fatal(
                PgError::fatal("08006", "no server is left to say that the transaction is committed")
                    .with_detail("It is: the servers commit it as soon as they are back."),
            )),
        }
    }

    /// COMMIT AND CHAIN begins another transaction like the one that ends, which
    /// is ours by then.
    async fn begin_alike(&mut self, servers: Servers, message: &[u8]) -> String {
        const LIKE: &str =
            "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')";
        if !message.windows(5).any(|word| word.eq_ignore_ascii_case(b"chain")) {
            return "BEGIN".to_owned();
        }
        match self
            .ask_main(servers, LIKE)
            .await
            .map(|rows| rows.into_iter().flatten().collect::<Vec<_>>())
            .as_deref()
        {
            Ok([Some(isolation), Some(read_only)]) => {
                let access = if read_only == "on" { "READ ONLY" } else { "READ WRITE" };
                format!("BEGIN ISOLATION LEVEL {isolation} {access}")
            }
            _ => "BEGIN".to_owned(),
        }
    }
}

/// What the client is told when a server has refused to prepare.
fn refusal(error: &QueryError) -> PgError {
    let QueryError::Server { sqlstate, message } = error else {
        return PgError::error("08006", format!("the transaction is rolled back: {error}"));
    };
    let error = PgError::error(sqlstate.clone(), message.clone());
    match sqlstate.as_str() {
        "0A000" => error
            .with_detail("With commit_mode = \"two_phase\" every transaction is prepared before it is committed.")
            .with_hint(
                "Leave that out of transactions that write; or write commit_mode = \"ordered\", in waypool.toml.",
            ),
        "55000" | "53200" => error.with_hint("Raise max_prepared_transactions of the servers to their max_connections."),
        _ => error,
    }
}

/// Nothing is open any more, on any server.
fn refused(until: Until, error: &PgError) -> Hearing {
    let mut hearing = Hearing::new(0, until, false);
    error.write(&mut hearing.error);
    hearing.held.clone_from(&hearing.error);
    hearing.state = match until {
        Until::Ready => State::Ready(TransactionStatus::Idle),
        _ => State::Flushed,
    };
    hearing
}
