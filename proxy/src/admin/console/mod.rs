//! The admin database `waypool`: PgBouncer's console.
//!
//! - [`command`]: what may be said
//! - [`show`]: what is answered, one file a `SHOW`; [`table`]: rows and types
//! - [`control`]: what is done
//! - [`extended`]: for drivers that prepare everything
//!
//! Its clients are known by the same passwords and rules as all others; what
//! they may do says `admin_users` and `stats_users`. No plugin is asked, and no
//! server.

pub mod command;
pub mod control;
pub mod extended;
pub mod show;
pub mod table;

use crate::census::{self, Member};
use crate::config::Config;
use crate::life::Phase;
use crate::net::Ends;
use crate::protocol::backend::{self, TransactionStatus, command_complete, message, ready_for_query};
use crate::protocol::error::notice;
use crate::protocol::startup::Startup;
use crate::protocol::{Frame, HEADER_LEN, PgError, frontend};
use crate::session::login::farewell;
use crate::session::{Client, End, cancel};
use crate::worker::Worker;
use command::Command;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use table::Table;
use tokio::sync::{Notify, watch};

/// The database whose clients talk to the proxy itself.
pub const DATABASE: &str = "waypool";

/// The longest message that is read.
const LONGEST: usize = 64 * 1024;

/// What a client of the console may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// `admin_users`: everything.
    Admin,
    /// `stats_users`: `SHOW`.
    Stats,
}

/// What a command is answered with.
#[derive(Debug, Default)]
pub struct Answer {
    pub notice: Option<String>,
    pub table: Option<Table>,
    /// Empty: nothing was asked.
    pub tag: &'static str,
}

/// One client of the console.
struct Console {
    worker: Rc<Worker>,
    client: Client,
    rights: Rights,
    member: Member,
    /// A cancel request came.
    cancelled: Arc<Notify>,
    cancel: cancel::Handle,
    extended: extended::Statements,
}

/// Whether it is the console that a client wants.
pub fn is_meant(startup: &Startup) -> bool {
    startup.database == DATABASE && startup.replication.is_none()
}

/// Serves a client that has proved who it is, to its end.
pub async fn serve(
    worker: Rc<Worker>,
    mut client: Client,
    startup: Startup,
    mut stop: watch::Receiver<Phase>,
) {
    let rights = match rights(&worker.proxy.config(), &startup.user) {
        Ok(rights) => rights,
        Err(error) => return farewell(&mut client, error).await,
    };
    let mut console = Console::new(worker, client, &startup, rights);
    let member = console.member.clone();
    let end = tokio::select! {
        biased;
        end = console.run() => end,
        () = member.kill.wait() => End::Fatal(PgError::fatal("57P01", "admin forced disconnect")),
        _ = stop.wait_for(|phase| *phase >= Phase::Fast) => End::Fatal(PgError::fatal(
            "57P01",
            "terminating connection due to administrator command",
        )),
    };
    if *stop.borrow() == Phase::Immediate {
        return;
    }
    if let End::Fatal(error) = end {
        farewell(&mut console.client, error).await;
    }
}

fn rights(config: &Config, user: &str) -> Result<Rights, PgError> {
    let listed = |users: &[String]| users.iter().any(|listed| listed == user);
    if listed(&config.admin_users) {
        return Ok(Rights::Admin);
    }
    if listed(&config.stats_users) {
        return Ok(Rights::Stats);
    }
    Err(PgError::fatal("42501", format!("user \"{user}\" is not allowed on the admin console"))
        .with_detail(format!("The database \"{DATABASE}\" is Waypool's own."))
        .with_hint("List the user in admin_users, or in stats_users, in waypool.toml."))
}

impl Console {
    fn new(worker: Rc<Worker>, client: Client, startup: &Startup, rights: Rights) -> Self {
        let application_name = startup.parameters.iter().find(|(name, _)| name == "application_name");
        let application_name = application_name.map_or("", |(_, name)| name);
        let ends = Ends::of(&client.stream);
        let entry =
            census::Client::new(startup.user.as_str().into(), DATABASE.into(), application_name, ends);
        let cancelled = Arc::new(Notify::new());
        let cancel = worker.proxy.cancels.enter(if startup.minor >= 2 { 32 } else { 4 });
        cancel.tell(&cancelled);
        Console {
            member: worker.proxy.census.clients.enter(entry),
            worker,
            client,
            rights,
            cancelled,
            cancel,
            extended: extended::Statements::default(),
        }
    }

    async fn run(&mut self) -> End {
        self.greet();
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    /// What PgBouncer's console says of itself, which some drivers look at.
    fn greet(&mut self) {
        let out = self.client.outbox.push();
        backend::authentication_ok(out);
        for (name, value) in [
            ("server_version", concat!(env!("CARGO_PKG_VERSION"), "/waypool")),
            ("client_encoding", "UTF8"),
            ("server_encoding", "UTF8"),
            ("DateStyle", "ISO"),
            ("TimeZone", "GMT"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("is_superuser", "on"),
        ] {
            backend::parameter_status(out, name, value);
        }
        backend::backend_key_data(out, self.cancel.pid, self.cancel.key());
        ready_for_query(out, TransactionStatus::Idle);
    }

    /// Sends what is to be sent, then takes one message.
    async fn turn(&mut self) -> Result<(), End> {
        self.flush().await?;
        let frame = self.next_frame().await?;
        let body = self.client.inbox.bytes()[HEADER_LEN..frame.len].to_vec();
        self.client.inbox.consume(frame.len);
        match frame.tag {
            b'Q' => self.on_query(&body).await,
            b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' => self.on_extended(frame.tag, &body).await,
            b'X' => Err(End::Client),
            // COPY data that nobody waits for is ignored, as PostgreSQL does.
            b'd' | b'c' | b'f' => Ok(()),
            b'F' => {
                self.error(&PgError::error("0A000", "the admin console has no functions to call"));
                self.ready();
                Ok(())
            }
            tag => {
                let error = format!("unsupported packet type for admin console: {tag}");
                Err(End::Fatal(PgError::fatal("08P01", error)))
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Frame, End> {
        let violation = |text: String| End::Fatal(PgError::fatal("08P01", text));
        loop {
            match Frame::from_client(self.client.inbox.bytes()) {
                Err(error) => return Err(violation(error.to_string())),
                Ok(Some(frame)) if frame.len > LONGEST => {
                    return Err(violation("message too long for the admin console".to_owned()));
                }
                Ok(Some(frame)) if self.client.inbox.len() >= frame.len => return Ok(frame),
                Ok(Some(frame)) => self.client.inbox.reserve(frame.len),
                Ok(None) => {}
            }
            let Client { stream, inbox, .. } = &mut self.client;
            match poll_fn(|cx| inbox.poll_fill(cx, stream)).await {
                Ok(0) | Err(_) => return Err(End::Client),
                Ok(_) => {}
            }
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        let Client { stream, outbox, .. } = &mut self.client;
        poll_fn(|cx| outbox.poll_flush(cx, stream)).await.map_err(|_| End::Client)
    }

    async fn on_query(&mut self, body: &[u8]) -> Result<(), End> {
        let text = frontend::query_text(body).unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        match self.execute(&text).await? {
            Ok(answer) => self.whole(&answer),
            Err(error) => self.error(&error),
        }
        self.ready();
        Ok(())
    }

    /// Does what a command says. The outer error ends the connection.
    async fn execute(&mut self, text: &str) -> Result<Result<Answer, PgError>, End> {
        let command = match Command::parse(text) {
            Ok(command) => command,
            Err(error) => return Ok(Err(error)),
        };
        if self.rights == Rights::Stats && !command.only_looks() {
            return Ok(Err(PgError::error("42501", "admin access needed")
                .with_hint("Only admin_users may do that; stats_users may SHOW.")));
        }
        match command {
            Command::Show(what) => Ok(Ok(show::answer(what, &self.worker.proxy))),
            Command::Empty => Ok(Ok(Answer::default())),
            Command::Ignored(tag) => Ok(Ok(Answer { tag, ..Answer::default() })),
            command => self.control(command).await,
        }
    }

    /// Orders may take long: meanwhile the client may go, or change its mind.
    async fn control(&mut self, command: Command) -> Result<Result<Answer, PgError>, End> {
        tracing::info!(user = &*self.member.user, "{command:?} issued on the admin console");
        let proxy = self.worker.proxy.clone();
        let cancelled = self.cancelled.clone();
        let undo = command.clone();
        let done = tokio::select! {
            biased;
            done = control::carry_out(&proxy, command) => done,
            end = gone(&mut self.client) => return Err(end),
            () = cancelled.notified() => {
                control::take_back(&proxy, &undo);
                Err(PgError::error("57014", "canceling statement due to user request"))
            }
        };
        Ok(done.map(|tag| Answer { tag, ..Answer::default() }))
    }

    // === answers

    fn error(&mut self, error: &PgError) {
        error.write(self.client.outbox.push());
    }

    fn ready(&mut self) {
        ready_for_query(self.client.outbox.push(), TransactionStatus::Idle);
    }

    fn whole(&mut self, answer: &Answer) {
        let out = self.client.outbox.push();
        if let Some(text) = &answer.notice {
            notice(out, "00000", text);
        }
        if let Some(table) = &answer.table {
            table.describe(&[], out);
            table.rows.iter().for_each(|row| table.row(row, &[], out));
        }
        complete(out, answer.tag);
    }
}

/// CommandComplete, or EmptyQueryResponse.
fn complete(out: &mut Vec<u8>, tag: &str) {
    match tag {
        "" => message(out, b'I', |_| {}),
        tag => command_complete(out, tag),
    }
}

/// Waits until the client has gone. What it sends meanwhile is kept.
async fn gone(client: &mut Client) -> End {
    let Client { stream, inbox, .. } = client;
    while inbox.len() < LONGEST {
        match poll_fn(|cx| inbox.poll_fill(cx, stream)).await {
            Ok(0) | Err(_) => return End::Client,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}
