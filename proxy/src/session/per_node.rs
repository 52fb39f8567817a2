//! `notice_per_node_statement` and `log_per_node_statement`: each statement
//! with the server that gets it, in Pgpool-II's words.

use super::link::{Servers, bit};
use super::{End, Session};
use crate::protocol::error::notice;

impl Session {
    pub(super) fn tells_nodes(&self) -> bool {
        let config = self.worker.proxy.config();
        config.log_per_node_statement || config.notice_per_node_statement
    }

    /// Tells of a statement about to be sent. `what` stands before its text in
    /// the extended protocol: `Parse: `, `Execute: `.
    pub(super) fn tell_nodes(&mut self, what: &str, text: &[u8], servers: Servers) -> Result<(), End> {
        let config = self.worker.proxy.config();
        let (log, tell) = (config.log_per_node_statement, config.notice_per_node_statement);
        drop(config);
        let text = String::from_utf8_lossy(text);
        for id in (0..self.links.len()).filter(|id| servers & bit(*id) != 0) {
            let Some(link) = self.links.get(id) else {
                continue;
            };
            if log {
                let pid = link.conn.pid;
                tracing::info!("DB node id: {id} backend pid: {pid} statement: {what}{text}");
            }
            if tell {
                notice(&mut self.notices, "00000", &format!("DB node id: {id} statement: {what}{text}"));
            }
        }
        self.send_notices()
    }

    /// Notices of ours go out between the messages of a server.
    pub(super) fn send_notices(&mut self) -> Result<(), End> {
        let in_between = self.links.get(self.lead).is_none_or(|link| !link.replies.is_mid_frame());
        if self.notices.is_empty() || !in_between {
            return Ok(());
        }
        let notices = std::mem::take(&mut self.notices);
        self.answer(&notices)
    }
}
