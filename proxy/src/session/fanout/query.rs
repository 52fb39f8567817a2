//! The simple protocol: Query and FunctionCall.

use super::super::link::{Link, Servers, bit};
use super::super::links::{Destination, LinkError};
use super::super::{End, Session};
use super::main_of;
use super::plan::{Order, first_word, plan};
use super::unit::{Result, Unit};
use crate::fanout::Until;
use crate::plugin::contract::{Effects, Kind};
use crate::protocol::backend::TransactionStatus;
use crate::protocol::frontend;
use crate::protocol::{Frame, HEADER_LEN};
use crate::routing::Classified;
use std::rc::Rc;
use std::time::Instant;

impl Session {
    /// Runs a Query on all servers. `what`: what an EXECUTE executes.
    pub(in super::super) async fn fan_out_query(
        &mut self,
        frame: Frame,
        classified: &Rc<Classified>,
        what: &Rc<Classified>,
        began: Option<Instant>,
    ) -> std::result::Result<(), LinkError> {
        let kind = classified.verdict().kind;
        if self.has_failed() && !matches!(kind, Kind::Commit | Kind::Rollback | Kind::RollbackTo) {
            return Err(LinkError::Statement(super::commit::aborted()));
        }
        let servers = self.connect_members().await?;
        let edited = self.edited_for_all(frame, classified, what, servers).await?;
        let servers = servers & self.links.which(|_| true);
        if servers == 0 {
            return Err(LinkError::Statement(super::nobody()));
        }
        let mut bytes = std::mem::take(&mut self.fan().unit);
        bytes.clear();
        match &edited {
            Some(edited) => frontend::query(&mut bytes, edited),
            None => bytes.extend_from_slice(&self.client.inbox.bytes()[..frame.len]),
        }
        let text = query_text(&bytes);
        self.client.inbox.consume(frame.len);
        let unit = Unit::new(&bytes, Until::Ready, &text);
        let run = self.run_query_unit(unit, classified, what, began, servers).await;
        self.fan().keep(bytes);
        let (main, result) = run?;
        self.note_numbered(&result).await?;
        Ok(self.finish_unit(main, result)?)
    }

    /// The text with the values that it needs, and what has to come before it on
    /// the servers.
    async fn edited_for_all(
        &mut self,
        frame: Frame,
        classified: &Rc<Classified>,
        what: &Rc<Classified>,
        servers: Servers,
    ) -> std::result::Result<Option<Vec<u8>>, LinkError> {
        let text = query_text(&self.client.inbox.bytes()[..frame.len]);
        self.fan().locks.clear();
        self.bring_prepared_everywhere(classified, &text).await?;
        if !self.has_failed() && classified.verdict().kind != Kind::Prepare {
            let executed = self.executed_text(classified);
            self.lock_for_insert((what, executed.as_deref().unwrap_or(&text)), &text, servers).await?;
        }
        let main = main_of(servers);
        let to = Destination { lead: main, others: servers & !bit(main) };
        self.edited_query(frame, classified, to).await
    }

    /// The PREPARE of what an EXECUTE executes.
    fn executed_text(&self, classified: &Classified) -> Option<String> {
        let verdict = classified.verdict();
        let name = verdict.name.as_deref().filter(|_| verdict.kind == Kind::Execute)?;
        Some(String::from_utf8_lossy(&self.prepared.sql.get(name)?.text).into_owned())
    }

    async fn run_query_unit(
        &mut self,
        unit: Unit<'_>,
        classified: &Rc<Classified>,
        what: &Rc<Classified>,
        began: Option<Instant>,
        servers: Servers,
    ) -> std::result::Result<(usize, Result), LinkError> {
        let (verdict, kind) = (what.verdict(), classified.verdict().kind);
        let main = main_of(servers);
        if kind == Kind::Rollback {
            // The transaction that it may begin has none yet.
            self.fan().snapshot = false;
        }
        if verdict.effects.contains(Effects::UNUSED_DATABASE) {
            self.worker.proxy.close_unused();
        }
        if self.has_effects(classified) {
            let text: Box<[u8]> = unit.text.as_bytes().into();
            self.note(classified, &text, servers);
        }
        self.make_sticky(classified, main);
        self.tell_nodes("", unit.text.as_bytes(), servers)?;
        self.count_everywhere(what, servers);
        if let Some(began) = began {
            self.watch_query(began, main, verdict);
        }
        self.prepared.forget_unnamed();
        self.sent += 1;
        self.now_running(main, servers);
        if self.has_failed() {
            let result = self.run_failed(unit, kind).await;
            return result.map(|result| (main, result));
        }
        let plan = plan(verdict, self.transaction.status, first_word(unit.text.as_bytes()));
        self.note_isolation(classified);
        let result = match plan.order {
            Order::Commit => self.commit_unit(unit, servers).await?,
            Order::Prepare => self.prepare_transaction(unit, plan, servers).await?,
            _ => self.run_unit(unit, plan, servers).await?,
        };
        // The main server may be another one by now.
        let left = self.links.which(|_| true) & servers;
        Ok((if left == 0 { main } else { main_of(left) }, result))
    }

    /// COMMIT of the client's transaction.
    pub(super) async fn commit_unit(
        &mut self,
        unit: Unit<'_>,
        servers: Servers,
    ) -> std::result::Result<Result, End> {
        use super::commit::Committed::{No, Yes};
        let (hearing, failed) = match self.commit(servers, unit.bytes, unit.until).await? {
            Yes(hearing) => (hearing, false),
            No(hearing) => (hearing, true),
        };
        let status = hearing.status().unwrap_or_default();
        self.watch_marks(&hearing.marks);
        let ended = hearing.status().is_some();
        Ok(Result { ended, ..Result::ended(hearing.held, status, failed) })
    }

    /// All servers have it prepared, or none.
    pub(super) async fn prepare_transaction(
        &mut self,
        unit: Unit<'_>,
        plan: super::plan::Plan,
        servers: Servers,
    ) -> std::result::Result<Result, End> {
        let result = self.run_unit(unit, plan, servers).await?;
        let prepared = self.links.which(|link| !link.in_transaction());
        if result.failed && prepared != 0 {
            let left = self.links.which(Link::in_transaction);
            if let Some(name) = prepared_name(unit.text) {
                self.run_on(prepared, &format!("ROLLBACK PREPARED {name}")).await?;
            }
            self.run_on(left, "ROLLBACK").await?;
            return Ok(Result { status: TransactionStatus::Idle, ..result });
        }
        Ok(result)
    }

    /// Whoever commits decides by it.
    pub(super) fn note_isolation(&mut self, classified: &Classified) {
        if classified.verdict().effects.contains(Effects::SERIALIZABLE) {
            self.fan().serializable = true;
        }
    }

    /// What an EXECUTE, or what embeds one, needs to be prepared by SQL.
    pub(super) async fn bring_prepared_everywhere(
        &mut self,
        classified: &Classified,
        text: &str,
    ) -> std::result::Result<(), End> {
        if self.prepared.sql.is_empty() {
            return Ok(());
        }
        let verdict = classified.verdict();
        let embedded = || executed_name(text).filter(|_| verdict.kind == Kind::Ddl);
        let Some(name) = verdict.name.clone().or_else(embedded) else {
            return Ok(());
        };
        let all = self.links.which(|_| true);
        if self.prepared.sql.get(&name).is_none_or(|statement| statement.on & all == all) {
            return Ok(());
        }
        for id in (0..self.links.len()).filter(|id| all & bit(*id) != 0) {
            match verdict.kind {
                Kind::Ddl => self.bring_named(&name, id),
                _ => self.bring_prepared(classified, id),
            }
        }
        self.drain(all).await
    }

    pub(super) fn count_everywhere(&self, what: &Classified, servers: Servers) {
        for id in (0..self.links.len()).filter(|id| servers & bit(*id) != 0) {
            self.count(what, id);
        }
    }
}

/// The text of a Query; none of a FunctionCall.
fn query_text(frame: &[u8]) -> String {
    let is_query = frame.first() == Some(&b'Q');
    let text = frontend::query_text(frame.get(HEADER_LEN..).unwrap_or_default()).filter(|_| is_query);
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

/// The name in `CREATE TABLE … AS EXECUTE name`, folded and unquoted.
fn executed_name(text: &str) -> Option<String> {
    let word = "execute ";
    let at = text.to_ascii_lowercase().find(word)?;
    let rest = text.get(at + word.len()..)?.trim_start();
    if let Some(quoted) = rest.strip_prefix('"') {
        return quoted.split_once('"').map(|(name, _)| name.to_owned());
    }
    let end = rest.find(|char: char| !(char.is_alphanumeric() || matches!(char, '_' | '$')));
    Some(rest[..end.unwrap_or(rest.len())].to_lowercase())
}

/// The name in `PREPARE TRANSACTION 'name'`, as it stands there.
fn prepared_name(text: &str) -> Option<&str> {
    let word = "transaction";
    let at = text.to_ascii_lowercase().find(word)?;
    Some(text.get(at + word.len()..)?.trim().trim_end_matches(';').trim_end())
}
