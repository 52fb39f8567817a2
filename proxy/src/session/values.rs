//! Values that a rewriter wants to have put in: expressions are evaluated on
//! the server whose answer the client sees, behind the client's back and right
//! before the statement, in the transaction that it will run in.

use super::Session;
use super::link::bit;
use super::links::{Destination, LinkError};
use crate::plugin::contract::{Evaluation, Kind, Verdict};
use crate::protocol::PgError;
use crate::protocol::backend::TransactionStatus;
use crate::protocol::backend::parse_data_row;
use crate::protocol::error::ErrorFields;
use crate::routing::edit::execute_with;
use crate::routing::values::{self, Filled, Gap};
use crate::routing::{Classified, Sent};
use std::rc::Rc;

/// The values of a prepared statement: the parameters behind the client's own.
#[derive(Debug)]
pub struct Gaps {
    /// How many the client has.
    pub own: usize,
    pub gaps: Box<[Gap]>,
}

impl Gaps {
    /// Those of a statement that is prepared; `declared`: how many types its
    /// Parse message has. None for most statements.
    pub fn of(classified: &Classified, declared: usize) -> Option<Rc<Gaps>> {
        let Sent::Edited(template) = &classified.sent else {
            return None;
        };
        template.gaps().next()?;
        let gaps = template.gaps().cloned().collect();
        Some(Rc::new(Gaps { own: template.own_parameters(declared), gaps }))
    }
}

/// What a server was asked for, and has said so far.
#[derive(Debug)]
pub struct Asked {
    server: usize,
    rows: Vec<Vec<Option<String>>>,
    error: Option<PgError>,
}

impl Session {
    /// A row that a server has sent for the proxy: whether it was asked for here.
    pub(super) fn on_values(&mut self, server: usize, row: &[u8]) -> bool {
        let Some(asked) = self.asked.as_deref_mut().filter(|asked| asked.server == server) else {
            return false;
        };
        asked.rows.extend(parse_data_row(row));
        true
    }

    /// An error that the client does not see: whether it is an answer to what was
    /// asked here.
    pub(super) fn on_values_failed(&mut self, server: usize, body: &[u8]) -> bool {
        let Some(asked) = self.asked.as_deref_mut().filter(|asked| asked.server == server) else {
            return false;
        };
        asked.error.get_or_insert_with(|| from_server(&ErrorFields::parse(body)));
        true
    }

    /// What stands in these gaps in the execution that comes next.
    pub(super) async fn fill(&mut self, gaps: &[&Gap], to: Destination) -> Result<Vec<Filled>, LinkError> {
        if self.transaction.status == TransactionStatus::Failed {
            // Nothing is run until it has ended: the server says so.
            return Ok(gaps.iter().map(|_| Filled::null()).collect());
        }
        let moments = self.transaction.moments();
        let wanted: Vec<&Evaluation> = gaps.iter().filter_map(|gap| gap.evaluation()).collect();
        let mut evaluated = self.evaluate(&wanted, to).await?.into_iter();
        let filled = gaps.iter().map(|gap| moments.value(gap).or_else(|| evaluated.next()));
        filled.collect::<Option<_>>().ok_or_else(|| LinkError::Statement(unreadable()))
    }

    async fn evaluate(&mut self, wanted: &[&Evaluation], to: Destination) -> Result<Vec<Filled>, LinkError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if self.fans_out() {
            return self.evaluate_everywhere(wanted, to).await;
        }
        // PostgreSQL replicates what the lead runs: the others evaluate nothing.
        self.drain(bit(to.lead)).await?;
        let Some(link) = self.links.get_mut(to.lead) else {
            return Err(LinkError::Statement(unreadable()));
        };
        values::queries(wanted).iter().for_each(|query| link.ask_unseen(query));
        self.asked = Some(Box::new(Asked { server: to.lead, rows: Vec::new(), error: None }));
        let drained = self.drain(bit(to.lead)).await;
        let asked = self.asked.take();
        drained?;
        let Some(asked) = asked else {
            return Err(LinkError::Statement(unreadable()));
        };
        if let Some(error) = asked.error {
            let failed = self.links.get(to.lead).map(|link| link.conn.status);
            self.transaction.status = failed.unwrap_or(self.transaction.status);
            return Err(LinkError::Statement(error));
        }
        values::read(wanted, asked.rows).ok_or_else(|| LinkError::Statement(unreadable()))
    }

    /// The text of a Query as the rewriters want it; `None`: as it is. And what an
    /// EXECUTE in it needs besides.
    pub(super) async fn edited(
        &mut self,
        text: &[u8],
        classified: &Classified,
        to: Destination,
    ) -> Result<Option<Vec<u8>>, LinkError> {
        let verdict = classified.verdict();
        let mut edited = None;
        if let Sent::Edited(template) = &classified.sent {
            edited = Some(match verdict.kind {
                Kind::Prepare => template.parameters(template.own_parameters(0)),
                _ => template.fill(&self.fill(&template.gaps().collect::<Vec<_>>(), to).await?),
            });
        }
        if let Some(gaps) = self.executed_gaps(verdict) {
            let values = self.fill(&gaps.gaps.iter().collect::<Vec<_>>(), to).await?;
            let name = verdict.name.as_deref().unwrap_or_default();
            let text = match &edited {
                Some(edited) => edited,
                None => std::str::from_utf8(text).unwrap_or_default(),
            };
            edited = execute_with(text, name, &values).or(edited);
        }
        Ok(edited.map(String::into_bytes))
    }

    /// The gaps of the statement that this one executes by SQL.
    pub(super) fn executed_gaps(&self, verdict: &Verdict) -> Option<Rc<Gaps>> {
        if !matches!(verdict.kind, Kind::Execute | Kind::Explain | Kind::Ddl) {
            return None;
        }
        self.prepared.sql.get(verdict.name.as_deref()?)?.gaps.clone()
    }
}

/// A server's error, in its own words.
pub(super) fn from_server(fields: &ErrorFields) -> PgError {
    let mut error = PgError::error(fields.sqlstate.to_owned(), fields.message);
    error.detail = Some(fields.detail).filter(|detail| !detail.is_empty()).map(str::to_owned);
    error.hint = Some(fields.hint).filter(|hint| !hint.is_empty()).map(str::to_owned);
    error
}

pub(super) fn unreadable() -> PgError {
    PgError::error("08006", "the server did not tell the values that a rewriter wants to put in")
}
