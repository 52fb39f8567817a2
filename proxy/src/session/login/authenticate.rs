//! A client proves who it is.

use super::auth_query::AuthQuery;
use super::newcomer::Newcomer;
use crate::auth::client::{self, ClientAuth, Method, Step};
use crate::auth::server::Credentials;
use crate::auth::{AuthError, MAX_PASSWORD_MESSAGE, Secret, sqlstate};
use crate::protocol::startup::Startup;
use crate::protocol::{Frame, HEADER_LEN, PgError, backend};
use crate::session::{End, server_rules};
use crate::worker::Worker;
use std::rc::Rc;
use std::time::Instant;

/// What is known of the user's password.
struct Stored {
    secret: Option<Secret>,
    /// When it was looked up on a server, if it was: it may be another one now.
    looked_up: Option<Instant>,
}

impl Newcomer {
    pub(super) async fn authenticate(
        &mut self,
        worker: &Rc<Worker>,
        startup: &Startup,
    ) -> Result<Credentials, End> {
        let access = worker.proxy.access();
        let by_our_rules = worker.proxy.config().enable_pool_hba;
        let method = match by_our_rules {
            true => Some(access.rules.method(&self.peer, startup.wanted(), &startup.user).map_err(refused)?),
            false if server_rules::trusts(&worker.proxy, startup).await? => Some(Method::Trust),
            false => None,
        };
        let mut secret = Stored::of(worker, startup, method == Some(Method::Trust)).await?;
        let method = method.unwrap_or_else(|| server_rules::method(secret.secret.as_ref()));
        let acceptor = access.acceptor.as_ref().filter(|_| self.peer.tls);
        let end_point = acceptor.and_then(|acceptor| acceptor.end_point_hash()).cloned();
        let mut step = client::start(method, &startup.user, secret.secret.clone(), end_point);
        loop {
            step = match step {
                Step::Continue { send, next } => {
                    self.send_authentication(&send).await?;
                    let frame = self.read_password().await?;
                    let body = &self.client.inbox.bytes()[HEADER_LEN..frame.len];
                    let step = secret.check(worker, startup, next, body).await?;
                    self.client.inbox.consume(frame.len);
                    step
                }
                Step::Done { send, proof } => {
                    if let Some(last) = send {
                        self.send_authentication(&last).await?;
                    }
                    return Ok(Credentials::new(secret.secret.as_ref(), &proof));
                }
                Step::Fail(error) => return Err(refused(error)),
            }
        }
    }

    async fn send_authentication(&mut self, body: &[u8]) -> Result<(), End> {
        let mut out = Vec::with_capacity(body.len() + HEADER_LEN);
        backend::authentication(&mut out, body);
        self.send(&out).await
    }

    async fn read_password(&mut self) -> Result<Frame, End> {
        let invalid = |message: &str| End::Fatal(PgError::fatal("08P01", message.to_owned()));
        loop {
            match Frame::from_client(self.client.inbox.bytes()) {
                Ok(Some(frame)) if frame.tag != b'p' => {
                    return Err(invalid("expected password response, got another message"));
                }
                Ok(Some(frame)) if frame.len > MAX_PASSWORD_MESSAGE => {
                    return Err(invalid("invalid message length"));
                }
                Ok(Some(frame)) if self.client.inbox.len() >= frame.len => return Ok(frame),
                Ok(Some(frame)) => self.client.inbox.reserve(frame.len),
                Ok(None) => {}
                Err(_) => return Err(invalid("expected password response, got another message")),
            }
            self.fill().await?;
        }
    }
}

impl Stored {
    async fn of(worker: &Rc<Worker>, startup: &Startup, is_trusted: bool) -> Result<Self, End> {
        let proxy = &worker.proxy;
        let access = proxy.access();
        if is_trusted || access.users.contains(&startup.user) {
            return Ok(Stored { secret: access.users.secret(&startup.user).cloned(), looked_up: None });
        }
        let since = AuthQuery::fresh_enough(proxy);
        let mut stored = Stored { secret: None, looked_up: Some(Instant::now()) };
        stored.look_up(worker, startup, since).await?;
        Ok(stored)
    }

    async fn look_up(&mut self, worker: &Rc<Worker>, startup: &Startup, since: Instant) -> Result<(), End> {
        let proxy = &worker.proxy;
        // It is rare, and larger than what every client has to carry along.
        let found = Box::pin(proxy.auth_query.secret(proxy, &startup.database, &startup.user, since));
        self.secret = found.await.map_err(End::Fatal)?;
        Ok(())
    }

    /// Takes the client's answer. If it is wrong for what was looked up a while
    /// ago, it is compared with what is stored now, once. SCRAM began with the
    /// old secret and cannot go on with another: it fails, but the next login
    /// finds the new one.
    async fn check(
        &mut self,
        worker: &Rc<Worker>,
        startup: &Startup,
        asked: ClientAuth,
        body: &[u8],
    ) -> Result<Step, End> {
        let again = asked.again();
        let step = asked.on_message(body);
        let is_wrong = matches!(&step, Step::Fail(error) if error.sqlstate == sqlstate::INVALID_PASSWORD);
        let Some(began) = self.looked_up.take_if(|_| is_wrong) else {
            return Ok(step);
        };
        self.look_up(worker, startup, began).await?;
        Ok(match again {
            Some(again) => again.with(self.secret.clone()).on_message(body),
            None => step,
        })
    }
}

fn refused(error: AuthError) -> End {
    if let Some(reason) = &error.log {
        tracing::info!("login failed: {reason}");
    }
    let fatal = PgError::fatal(error.sqlstate, error.message);
    End::Fatal(match error.detail {
        Some(detail) => fatal.with_detail(detail),
        None => fatal,
    })
}
