//! One connection to a server.

use super::Identity;
use super::connect::Parts;
use super::queue::Slot;
use super::state::State;
use crate::census::{self, Meter};
use crate::net::{Ends, Inbox, Outbox, Stream};
use crate::protocol::backend::{TransactionStatus, parse_data_row, parse_parameter_status};
use crate::protocol::error::ErrorFields;
use crate::protocol::{Frame, HEADER_LEN, frontend};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long one reset statement may take, as in Pgpool-II.
const RESET_TIMEOUT: Duration = Duration::from_secs(10);

/// What ParameterStatus messages have said. Shared between the connections and
/// the clients for which it is the same.
pub type Parameters = Arc<Vec<(String, String)>>;

/// A connection which has logged in.
#[derive(Debug)]
pub struct ServerConn {
    pub stream: Stream,
    pub inbox: Inbox,
    pub outbox: Outbox,
    /// The server's process and the key to cancel its query.
    pub pid: u32,
    pub key: Arc<[u8]>,
    /// What the server reports by ParameterStatus, as of now.
    pub parameters: Parameters,
    /// What a client was shown that need hear of nothing here; kept so that the
    /// next look takes no comparison.
    pub shown: Option<Parameters>,
    /// As of the last ReadyForQuery.
    pub status: TransactionStatus,
    pub identity: Arc<Identity>,
    pub state: State,
    pub(super) idle_since: Instant,
    /// When it was opened, and how often it has been lent.
    pub(super) since: Instant,
    pub(super) uses: usize,
    /// The socket failed, or the server may be in the middle of a message:
    /// then a goodbye would be taken for the rest of it.
    pub broken: bool,
    /// What its clients do, for `SHOW`.
    pub meter: Meter,
    slot: Slot,
}

/// Why a statement of ours failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error("{message} (SQLSTATE {sqlstate})")]
    Server { sqlstate: String, message: String },
}

/// Rows of text columns.
pub type Rows = Vec<Vec<Option<String>>>;

impl ServerConn {
    pub(super) fn new(parts: Parts, identity: Arc<Identity>, slot: Slot) -> Box<Self> {
        slot.server().logged_in(parts.pid, Ends::of(&parts.stream));
        Box::new(ServerConn {
            meter: Meter::new(slot.server().clone()),
            stream: parts.stream,
            inbox: parts.inbox,
            outbox: Outbox::default(),
            pid: parts.pid,
            key: parts.key.into(),
            parameters: Arc::new(parts.parameters),
            shown: None,
            status: parts.status,
            identity,
            state: State::fresh(),
            idle_since: Instant::now(),
            since: Instant::now(),
            uses: 0,
            broken: false,
            slot,
        })
    }

    /// Remembers a ParameterStatus message.
    pub fn note_parameter(&mut self, body: &[u8]) {
        note_parameter(Arc::make_mut(&mut self.parameters), body);
        self.shown = None;
    }

    /// Whether the server has said or ended nothing while nobody listened.
    pub fn is_alive(&self) -> bool {
        self.stream.is_silent()
    }

    /// Runs one statement of ours and reads its whole answer.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Rows, QueryError> {
        frontend::query(self.outbox.push(), sql.as_bytes());
        let result = self.read_answer().await;
        if matches!(result, Err(QueryError::Io(_))) {
            self.broken = true;
        }
        result
    }

    /// The same with values for `$1` and so on.
    pub async fn query_with(&mut self, sql: &str, values: &[&str]) -> Result<Rows, QueryError> {
        frontend::query_with(self.outbox.push(), sql, values);
        let result = self.read_answer().await;
        if matches!(result, Err(QueryError::Io(_))) {
            self.broken = true;
        }
        result
    }

    /// Sends what is pending and waits until the next message lies whole at the
    /// head of the inbox. May be given up at any moment.
    pub async fn next_message(&mut self) -> io::Result<Frame> {
        let ServerConn { stream, outbox, .. } = self;
        poll_fn(|cx| outbox.poll_flush(cx, stream)).await?;
        next_frame(&mut self.stream, &mut self.inbox).await
    }

    async fn read_answer(&mut self) -> Result<Rows, QueryError> {
        let ServerConn { stream, outbox, .. } = self;
        poll_fn(|cx| outbox.poll_flush(cx, stream)).await?;
        let mut rows = Rows::new();
        let mut failure = None;
        loop {
            let frame = next_frame(&mut self.stream, &mut self.inbox).await?;
            let body = &self.inbox.bytes()[HEADER_LEN..frame.len];
            match frame.tag {
                b'D' => rows.extend(parse_data_row(body)),
                b'S' => {
                    note_parameter(Arc::make_mut(&mut self.parameters), body);
                    self.shown = None;
                }
                b'E' => {
                    let fields = ErrorFields::parse(body);
                    failure = Some(QueryError::Server {
                        sqlstate: fields.sqlstate.to_owned(),
                        message: fields.message.to_owned(),
                    });
                }
                b'Z' => {
                    self.status = status_of(body)?;
                    self.inbox.consume(frame.len);
                    return failure.map_or(Ok(rows), Err);
                }
                _ => {}
            }
            self.inbox.consume(frame.len);
        }
    }

    /// Cleans the connection and gives it back to its pool. One that cannot
    /// be cleaned is closed.
    pub async fn release(mut self: Box<Self>, reset_query_list: &[String]) {
        if self.broken || !self.inbox.is_empty() || !self.outbox.is_empty() {
            return;
        }
        if self.meter.server.is_retired() {
            return;
        }
        self.meter.left();
        self.meter.server.set_state(census::State::Tested);
        for statement in reset_query_list {
            let is_abort =
                statement.eq_ignore_ascii_case("ABORT") || statement.eq_ignore_ascii_case("ROLLBACK");
            if is_abort && self.status == TransactionStatus::Idle {
                continue;
            }
            match tokio::time::timeout(RESET_TIMEOUT, self.simple_query(statement)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return tracing::debug!("reset query \"{statement}\" failed: {error}"),
                Err(_) => {
                    self.broken = true;
                    return tracing::warn!("reset query \"{statement}\" took longer than 10 s");
                }
            }
        }
        self.state = State::fresh();
        self.hand_back();
    }

    /// Gives the connection back to its pool as it is.
    pub fn hand_back(mut self: Box<Self>) {
        let quiet = self.inbox.is_empty() && self.outbox.is_empty();
        if self.status != TransactionStatus::Idle || self.broken || !quiet {
            return;
        }
        if let Some(pool) = self.slot.pool().cloned() {
            self.idle_since = self.meter.idle_since();
            self.uses += 1;
            self.meter.server.set_prepared(self.state.statements.len());
            self.meter.server.set_state(census::State::Idle);
            pool.put_back(self);
        }
    }
}

impl Drop for ServerConn {
    fn drop(&mut self) {
        if self.broken {
            return;
        }
        // A courtesy: without it the server logs an unexpected end of file.
        let mut goodbye = Vec::with_capacity(HEADER_LEN);
        frontend::terminate(&mut goodbye);
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.outbox.send(&mut cx, &mut self.stream, &goodbye);
    }
}

fn note_parameter(parameters: &mut Vec<(String, String)>, body: &[u8]) {
    let Some((name, value)) = parse_parameter_status(body) else {
        return;
    };
    match parameters.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => parameters.push((name.to_owned(), value.to_owned())),
    }
}

pub(super) fn status_of(body: &[u8]) -> io::Result<TransactionStatus> {
    let status = body.first().copied().and_then(TransactionStatus::from_byte);
    status.ok_or_else(|| invalid_data("ReadyForQuery without a transaction status"))
}

pub(super) fn invalid_data(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Waits until the next frame of a server lies whole in `inbox`.
pub(super) async fn next_frame(stream: &mut Stream, inbox: &mut Inbox) -> io::Result<Frame> {
    loop {
        let frame = Frame::from_server(inbox.bytes()).map_err(|error| invalid_data(&error.to_string()))?;
        match frame {
            Some(frame) if inbox.len() >= frame.len => return Ok(frame),
            Some(frame) => inbox.reserve(frame.len),
            None => {}
        }
        if poll_fn(|cx: &mut Context<'_>| -> Poll<io::Result<usize>> { inbox.poll_fill(cx, stream) }).await?
            == 0
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
