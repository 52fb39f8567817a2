//! COPY FROM STDIN: the client's data goes to all servers as it comes.

use super::super::link::bit;
use super::super::{End, Session};
use super::exchange::{Answers, which};
use crate::fanout::{Hearing, State, Until};
use crate::protocol::backend::message;
use crate::protocol::{Frame, PgError, frontend};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

/// What the client has said.
enum Said {
    /// Data, or nothing; there is more to come.
    More,
    /// CopyDone or CopyFail, of so many bytes.
    End(usize),
    /// Something that has no place here: no data follows.
    Other,
}

impl Session {
    /// All servers wait for data. Returns when all have answered to its end.
    pub(super) async fn copy_in(&mut self, answers: &mut Answers, until: Until) -> Result<(), End> {
        // In the extended protocol the Sync behind the Execute is swallowed.
        let ends = match until {
            Until::Ready if !self.copies_extended() => Until::Ready,
            _ => Until::Complete,
        };
        if ends == Until::Complete {
            // The cycle goes on behind the data.
            self.fan().open |= which(answers, |_| true);
        }
        let all = answers.iter().all(|(_, hearing)| hearing.state == State::CopyIn);
        for (_, hearing) in answers.iter_mut().filter(|(_, hearing)| hearing.state == State::CopyIn) {
            hearing.goes_on(ends);
        }
        if !all {
            // Some have failed: the client does not hear that data is wanted.
            return self.fail_copy(answers, ends, "another server cannot take the data").await;
        }
        let wanted = answers.first_mut().map(|(_, hearing)| hearing.take_held()).unwrap_or_default();
        self.answer(&wanted)?;
        for (_, hearing) in answers.iter_mut() {
            hearing.take_held();
        }
        match self.pass_copy_data(answers).await? {
            Said::End(count) => self.end_copy(answers, ends, count).await,
            _ => self.fail_copy(answers, ends, "unexpected message type during COPY from stdin").await,
        }
    }

    fn copies_extended(&self) -> bool {
        self.fanout.as_ref().is_some_and(|fan| fan.unit_is_extended)
    }

    /// Until the client ends it, or the main server does.
    async fn pass_copy_data(&mut self, answers: &mut Answers) -> Result<Said, End> {
        loop {
            match self.take_copy_data(answers)? {
                Said::More => {}
                said => return Ok(said),
            }
            if answers.first().is_none_or(|(_, main)| main.is_done()) {
                return Ok(Said::Other);
            }
            poll_fn(|cx| self.poll_copy(answers, cx)).await?;
            if let Some(exceeded) = self.clock.exceeded() {
                return Err(End::Fatal(exceeded.error()));
            }
        }
    }

    /// Sends the data that has come to those who want it.
    fn take_copy_data(&mut self, answers: &mut Answers) -> Result<Said, End> {
        let bytes = self.client.inbox.bytes();
        let (mut count, mut wants) = (0, 0);
        let mut said = Said::More;
        loop {
            let frame = match Frame::from_client(&bytes[count..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Err(End::Fatal(PgError::fatal("08P01", error.to_string()))),
            };
            match frame.tag {
                // Only whole: a server that fails hears of no more.
                b'd' if bytes.len() - count >= frame.len => count += frame.len,
                b'd' => {
                    wants = frame.len;
                    break;
                }
                // PostgreSQL ignores them here.
                b'H' | b'S' if count == 0 && bytes.len() >= frame.len => {
                    self.client.inbox.consume(frame.len);
                    return self.take_copy_data(answers);
                }
                b'H' | b'S' => break,
                b'c' | b'f' if bytes.len() - count >= frame.len => {
                    said = Said::End(frame.len);
                    break;
                }
                b'c' | b'f' => break,
                _ => {
                    said = Said::Other;
                    break;
                }
            }
        }
        for (id, _) in answers.iter().filter(|(_, hearing)| !hearing.is_done()) {
            if let Some(link) = self.links.get_mut(*id) {
                // An error shows when it is heard.
                let _ = link.send(&self.client.inbox.bytes()[..count]);
            }
        }
        self.client.inbox.consume(count);
        if wants > 0 {
            self.client.inbox.reserve(wants);
        }
        Ok(said)
    }

    /// Ready when there is more data, or a server has something to say.
    fn poll_copy(&mut self, answers: &mut Answers, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.clock.is_exceeded(cx) {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush_client(cx)?;
        let mut stuck = false;
        for (id, hearing) in answers.iter_mut() {
            let was_done = hearing.is_done();
            self.poll_hearing(*id, hearing, cx)?;
            if hearing.is_done() && !was_done {
                return Poll::Ready(Ok(()));
            }
            stuck |= self.links.get(*id).is_some_and(|link| !link.conn.outbox.is_empty());
        }
        if stuck {
            return Poll::Pending;
        }
        let client = &mut self.client;
        match client.inbox.poll_fill(cx, &mut client.stream) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => Poll::Ready(Err(End::Client)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The end of the data goes to the main server first, which may refuse it.
    async fn end_copy(&mut self, answers: &mut Answers, ends: Until, count: usize) -> Result<(), End> {
        let began = Instant::now();
        let mut end = self.client.inbox.bytes()[..count].to_vec();
        self.client.inbox.consume(count);
        let fails = end.first() == Some(&b'f');
        if ends == Until::Complete {
            frontend::flush(&mut end);
        }
        let mut main: Answers = answers.drain(..1).collect();
        self.end_on(&mut main, &end);
        self.hear(&mut main).await?;
        let refused = main.first().is_none_or(|(_, hearing)| hearing.has_failed() || hearing.is_lost());
        if refused && !fails {
            end = copy_fail(ends, "the main server has refused the data");
        }
        self.end_on(answers, &end);
        self.hear_others(answers, began).await?;
        if refused {
            // What they say to that is no answer of theirs.
            answers.clear();
        }
        main.append(answers);
        *answers = main;
        Ok(())
    }

    async fn fail_copy(&mut self, answers: &mut Answers, ends: Until, why: &str) -> Result<(), End> {
        let refused = answers.first().is_some_and(|(_, main)| main.has_failed());
        self.end_on(answers, &copy_fail(ends, why));
        self.hear(answers).await?;
        if refused {
            answers.truncate(1);
        }
        Ok(())
    }

    fn end_on(&mut self, answers: &mut Answers, end: &[u8]) {
        let waiting = which(answers, |hearing: &Hearing| !hearing.is_done());
        for (id, link) in self.links.iter_mut() {
            if waiting & bit(id) != 0 {
                let _ = link.send(end);
            }
        }
    }
}

fn copy_fail(ends: Until, why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, b'f', |body| {
        body.extend_from_slice(why.as_bytes());
        body.push(0);
    });
    if ends == Until::Complete {
        frontend::flush(&mut out);
    }
    out
}
