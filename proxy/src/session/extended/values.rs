//! Values that rewriters want to have put in, in the extended protocol: they are
//! parameters of the prepared text, behind the client's own, which each Bind gets
//! on its way. The client sees its own alone.

use super::super::Session;
use super::super::fanout::first_word;
use super::super::links::{Destination, LinkError};
use super::super::values::Gaps;
use super::batch::{Message, body_of};
use crate::plugin::contract::{Kind, Transaction as Told};
use crate::protocol::frontend::{self, Bind, Bound, Parse, declared_types};
use crate::protocol::{HEADER_LEN, PgError};
use crate::routing::values::{Filled, Gap};
use crate::routing::{Classified, Sent};
use std::rc::Rc;

/// A Bind of the batch, by where it begins, and what it needs.
pub type Wanted = Vec<(usize, Rc<Gaps>)>;

/// What a statement needs with each execution. A PREPARE needs nothing, but what
/// it prepares does.
fn gaps_of(classified: &Classified, body: &[u8]) -> Option<Rc<Gaps>> {
    if !classified.has_gaps() || classified.verdict().kind == Kind::Prepare {
        return None;
    }
    let declared = Parse::read(body).map_or(0, |parse| declared_types(body, parse));
    Gaps::of(classified, declared)
}

/// Whether this cannot be prepared with parameters.
pub(super) fn takes_no_parameters(classified: &Classified, text: &[u8]) -> Option<PgError> {
    let takes = match classified.verdict().kind {
        // CREATE TABLE … AS
        Kind::Ddl => first_word(text).eq_ignore_ascii_case("create"),
        Kind::Select | Kind::Dml | Kind::Explain | Kind::Prepare | Kind::Cursor | Kind::Utility => true,
        _ => false,
    };
    (!takes).then(|| {
        PgError::error("0A000", "a rewriter wants to put values into a statement that takes no parameters")
            .with_hint("Send the statement by the simple protocol.")
    })
}

impl Session {
    /// How many parameters of a statement the client knows of, if there are more.
    pub(in super::super) fn own_parameters(&self, name: &[u8]) -> Option<usize> {
        match self.prepared.get(name) {
            Some(statement) => {
                let classified = statement.classified.borrow();
                gaps_of(&classified, &statement.asked()[HEADER_LEN..]).map(|gaps| gaps.own)
            }
            None => self.prepared.sql_named(name)?.gaps.as_ref().map(|gaps| gaps.own),
        }
    }

    /// Whether a statement prepared earlier may need values.
    pub(super) fn may_need_values(&self, name: &[u8]) -> bool {
        let needs = |classified: &Classified| {
            classified.has_gaps() || self.executed_gaps(classified.verdict()).is_some()
        };
        match self.prepared.get(name) {
            Some(statement) => needs(&statement.classified.borrow()),
            None => self.prepared.sql_named(name).is_some_and(|statement| statement.gaps.is_some()),
        }
    }

    /// What the Bind at this place of the batch needs.
    fn bind_needs(&self, at: usize) -> Result<Option<Rc<Gaps>>, PgError> {
        let body = self.message_body(&self.batch.messages[at]);
        let Some(bind) = Bind::read(body) else {
            return Ok(None);
        };
        if let Some(classified) = self.bound(at, bind.statement)
            && self.executed_gaps(classified.verdict()).is_some()
        {
            return Err(PgError::error("0A000", "this EXECUTE needs values that a rewriter wants to put in")
                .with_hint("Send the EXECUTE by the simple protocol, or bind the statement by its name."));
        }
        let Some(gaps) = self.gaps_bound(at, bind.statement) else {
            return Ok(None);
        };
        let given = Bound::read(body).map(|bound| bound.parameters);
        if given.is_some_and(|given| given != gaps.own) {
            let name = String::from_utf8_lossy(bind.statement);
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{name}\" requires {}",
                given.unwrap_or_default(),
                gaps.own
            );
            return Err(PgError::error("08P01", message));
        }
        Ok(Some(gaps))
    }

    fn gaps_bound(&self, at: usize, name: &[u8]) -> Option<Rc<Gaps>> {
        let mut parsed = self.batch.messages[..at].iter().filter(|message| message.tag == b'P').count();
        for message in self.batch.messages[..at].iter().rev().filter(|message| message.tag == b'P') {
            parsed -= 1;
            let body = self.message_body(message);
            if Parse::read(body).is_some_and(|parse| parse.statement == name) {
                return gaps_of(self.batch.parsed.get(parsed)?, body);
            }
        }
        match self.prepared.get(name) {
            Some(statement) => gaps_of(&statement.classified.borrow(), &statement.asked()[HEADER_LEN..]),
            None => self.prepared.sql_named(name)?.gaps.clone(),
        }
    }

    /// What the Binds of the batch need. A transaction command before them goes
    /// ahead: what is evaluated belongs behind it. `None`: a message has to be
    /// here as a whole first.
    pub(in super::super) fn batch_values(&mut self) -> Result<Option<Wanted>, LinkError> {
        if !self.batch.may_need_values {
            return Ok(Some(Vec::new()));
        }
        let mut wanted = Vec::new();
        let mut behind = None;
        for at in 0..self.batch.messages.len() {
            let message = &self.batch.messages[at];
            if message.tag != b'B' {
                continue;
            }
            let (start, end) = (message.frame.start, message.frame.end);
            if let Some(gaps) = self.bind_needs(at).map_err(LinkError::Statement)? {
                if let Some(execute) = behind {
                    self.batch.cut_behind(execute);
                    return Ok(Some(Vec::new()));
                }
                if end > self.client.inbox.len() {
                    self.client.inbox.reserve(end);
                    return Ok(None);
                }
                wanted.push((start, gaps));
            } else if wanted.is_empty() && self.binds_transaction_command(at) {
                let execute = self.batch.messages[at..].iter().position(|message| message.tag == b'E');
                behind = execute.map(|execute| at + execute);
            }
        }
        Ok(Some(wanted))
    }

    fn binds_transaction_command(&self, at: usize) -> bool {
        let bind = Bind::read(self.message_body(&self.batch.messages[at]));
        let bound = bind.and_then(|bind| self.bound(at, bind.statement));
        bound.is_some_and(|classified| is_transaction_command(classified.verdict().kind))
    }

    /// Evaluates what the Binds of the batch need. In an open cycle this ends what
    /// stands before it.
    pub(super) async fn fill_batch(&mut self, wanted: Wanted, to: Destination) -> Result<(), LinkError> {
        if wanted.is_empty() || self.cycle.skips() {
            return Ok(());
        }
        if self.cycle.is_open() {
            if self.cycle.executed && self.state().transaction == Told::Idle {
                return Err(LinkError::Statement(within_implicit_transaction()));
            }
            self.sync_early().await?;
            if self.cycle.skips() {
                return Ok(());
            }
        }
        self.fill_binds(wanted, to).await
    }

    /// The same where nothing stands before it.
    pub(in super::super) async fn fill_binds(
        &mut self,
        wanted: Wanted,
        to: Destination,
    ) -> Result<(), LinkError> {
        let gaps: Vec<&Gap> = wanted.iter().flat_map(|(_, gaps)| gaps.gaps.iter()).collect();
        let mut values = self.fill(&gaps, to).await?.into_iter();
        let filled = wanted.iter().map(|(at, gaps)| (*at, values.by_ref().take(gaps.gaps.len()).collect()));
        self.batch.filled = filled.collect();
        Ok(())
    }

    /// Adds a Bind with the values that it needs, with this name of its statement;
    /// `false`: it needs none.
    pub(in super::super) fn bind_filled(
        &self,
        message: &Message,
        name: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> bool {
        let filled = self.batch.filled.iter().find(|(at, _)| *at == message.frame.start);
        let body = body_of(&self.client.inbox, message);
        let (Some((_, values)), Some(bind), Some(bound)) = (filled, Bind::read(body), Bound::read(body))
        else {
            return false;
        };
        let values = values.iter().map(|filled: &Filled| filled.value.as_deref());
        frontend::bind_with(out, bind.portal, name.unwrap_or(bind.statement), bound, values);
        true
    }

    /// Something that is part of an implicit transaction is about to be sent.
    pub(super) fn note_executed(&mut self, classified: &Classified) {
        self.cycle.executed |= !is_transaction_command(classified.verdict().kind);
    }
}

/// A Parse as the rewriters want it; `None`: as it is.
pub fn edited(classified: &Classified, body: &[u8], parse: Parse<'_>) -> Option<Vec<u8>> {
    let Sent::Edited(template) = &classified.sent else {
        return None;
    };
    let text = template.parameters(template.own_parameters(declared_types(body, parse)));
    let mut frame = Vec::new();
    frontend::parse_with(&mut frame, body, parse, text.as_bytes());
    Some(frame)
}

fn is_transaction_command(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::RollbackTo
            | Kind::Savepoint
            | Kind::Release
            | Kind::PrepareTransaction
    )
}

fn within_implicit_transaction() -> PgError {
    PgError::error(
        "0A000",
        "values that a rewriter wants to put in cannot be had in the middle of a pipeline",
    )
    .with_detail("Statements before this one have been flushed, and wait for the Sync.")
    .with_hint("Send a Sync before the statement, or BEGIN a transaction before the first.")
}
