//! Who listens to what, and from when on.
//!
//! Each new subscription has the connection LISTEN, even if it does already: the
//! server's answer tells which notifications are older than it.

use super::{Channels, Ear};
use crate::protocol::{HEADER_LEN, PgError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Of one connection.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// By channel: those who listen to it, by number.
    channels: HashMap<Box<[u8]>, BTreeMap<u64, Stage>>,
    clients: HashMap<u64, Client>,
    /// Channels of which the server is to be told.
    news: BTreeSet<Box<[u8]>>,
    /// What it has been told and has not acknowledged.
    sent: Vec<(Box<[u8]>, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    /// The server has been told.
    Sent,
    /// It has acknowledged that: what comes now is for the client.
    Active,
}

#[derive(Debug)]
struct Client {
    ear: Arc<Ear>,
    channels: Channels,
}

impl Subscriptions {
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The client listens to these and no others.
    pub fn listen(&mut self, id: u64, ear: &Arc<Ear>, channels: &Channels) {
        let before = match self.clients.get(&id) {
            Some(client) => client.channels.clone(),
            None => Channels::new(),
        };
        for gone in before.difference(channels) {
            self.drop_one(gone, id);
        }
        for new in channels.difference(&before) {
            self.channels.entry(new.clone()).or_default().insert(id, Stage::Asked);
            self.news.insert(new.clone());
        }
        match channels.is_empty() {
            true => self.clients.remove(&id),
            false => self.clients.insert(id, Client { ear: ear.clone(), channels: channels.clone() }),
        };
        ear.set_settled(self.is_settled(id));
    }

    pub fn leave(&mut self, id: u64) {
        if let Some(client) = self.clients.remove(&id) {
            client.channels.iter().for_each(|channel| self.drop_one(channel, id));
        }
    }

    fn drop_one(&mut self, channel: &[u8], id: u64) {
        let Some(listeners) = self.channels.get_mut(channel) else {
            return;
        };
        listeners.remove(&id);
        if listeners.is_empty() {
            self.channels.remove(channel);
            self.news.insert(channel.into());
        }
    }

    fn is_settled(&self, id: u64) -> bool {
        let Some(client) = self.clients.get(&id) else {
            return true;
        };
        let stage = |channel| self.channels.get(channel).and_then(|listeners| listeners.get(&id));
        client.channels.iter().all(|channel| stage(channel) == Some(&Stage::Active))
    }

    /// What the server is to be told now, if it has acknowledged all before.
    pub fn order(&mut self) -> Option<Vec<u8>> {
        if self.news.is_empty() {
            return None;
        }
        let mut order = Vec::new();
        for channel in std::mem::take(&mut self.news) {
            let listeners = self.channels.get_mut(&channel);
            order.extend_from_slice(if listeners.is_some() { b"LISTEN " } else { b"UNLISTEN " });
            quote(&mut order, &channel);
            order.push(b';');
            for (id, stage) in listeners.into_iter().flatten().filter(|(_, stage)| **stage == Stage::Asked) {
                *stage = Stage::Sent;
                self.sent.push((channel.clone(), *id));
            }
        }
        Some(order)
    }

    /// The server has done so.
    pub fn acknowledged(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        for (channel, id) in &sent {
            let stage = self.channels.get_mut(channel).and_then(|listeners| listeners.get_mut(id));
            // It may have gone, and come back, meanwhile.
            if let Some(stage) = stage.filter(|stage| **stage == Stage::Sent) {
                *stage = Stage::Active;
            }
        }
        let clients: BTreeSet<u64> = sent.into_iter().map(|(_, id)| id).collect();
        for id in clients {
            if let Some(client) = self.clients.get(&id).filter(|_| self.is_settled(id)) {
                client.ear.set_settled(true);
            }
        }
    }

    /// A NotificationResponse, whole.
    pub fn heard(&self, message: &[u8]) {
        let Some(listeners) = channel_of(message).and_then(|channel| self.channels.get(channel)) else {
            return;
        };
        let message: Arc<[u8]> = message.into();
        for (id, _) in listeners.iter().filter(|(_, stage)| **stage == Stage::Active) {
            if let Some(client) = self.clients.get(id) {
                client.ear.hear(&message);
            }
        }
    }

    /// The connection is gone: whoever listened hears why.
    pub fn fail(&mut self, error: &PgError) {
        for client in std::mem::take(self).clients.into_values() {
            client.ear.fail(error.clone());
        }
    }
}

/// The channel of a NotificationResponse: behind the process that has notified.
pub fn channel_of(message: &[u8]) -> Option<&[u8]> {
    let behind_pid = message.get(HEADER_LEN + 4..)?;
    Some(crate::protocol::backend::split_text(behind_pid)?.0)
}

/// A name as an identifier.
pub fn quote(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b'"');
    for byte in name {
        out.push(*byte);
        if *byte == b'"' {
            out.push(b'"');
        }
    }
    out.push(b'"');
}
