//! What a client has heard, and whether two have heard the same.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::hash::{Hash, Hasher};

use crate::wire::Message;

/// The first object identifier that is not the same in all databases.
const FIRST_NORMAL_OID: u32 = 16_384;
/// More of a message is told by its length and a hash.
const SHOWN: usize = 400;

pub(super) const SILENCE: &str = "(silence)";

/// All messages of one conversation.
#[derive(Debug, Default)]
pub struct Heard {
    messages: Vec<Message>,
    /// Not by a ReadyForQuery.
    ended: Option<String>,
}

impl Heard {
    pub(super) fn add(&mut self, message: Message) {
        self.messages.push(message);
    }

    pub(super) fn end(&mut self, how: &str) {
        self.ended = Some(how.to_owned());
    }

    /// More was listened for than came.
    pub fn ends_in_silence(&self) -> bool {
        self.ended.as_deref() == Some(SILENCE)
    }

    /// What BackendKeyData said.
    pub(super) fn cancel_key(&self) -> (u32, &[u8]) {
        let key = self.messages.iter().find(|message| message.tag == b'K').expect("a login");
        let (pid, key) = key.body.split_first_chunk().expect("BackendKeyData");
        (u32::from_be_bytes(*pid), key)
    }

    /// One line a message, without what differs from session to session.
    pub fn lines(&self) -> Vec<String> {
        let mut oids = Oids::default();
        let messages = self.messages.iter().map(|message| line(message, &mut oids));
        let mut lines: Vec<String> = messages.collect();
        // The order of what a login reports is nobody's promise.
        let login = self.messages.iter().position(|message| message.tag == b'Z').unwrap_or(0);
        lines[..login].sort();
        lines.extend(self.ended.clone());
        lines
    }
}

/// Where these two differ; empty if nowhere.
pub fn difference(direct: &Heard, through: &Heard) -> String {
    let (direct, through) = (direct.lines(), through.lines());
    let mut told = String::new();
    for at in 0..direct.len().max(through.len()) {
        let (left, right) = (direct.get(at), through.get(at));
        if !same(left, right) {
            let show = |line: Option<&String>| line.map_or("(nothing)", String::as_str).to_owned();
            let _ = writeln!(told, "  {at:3} direct  {}\n      through {}", show(left), show(right));
        }
    }
    told
}

/// An error of the proxy's own, in PostgreSQL's words, has no place in its source.
fn same(direct: Option<&String>, through: Option<&String>) -> bool {
    let (Some(direct), Some(through)) = (direct, through) else {
        return false;
    };
    direct == through || (!through.contains(SOURCE) && direct.split(SOURCE).next() == Some(through))
}

/// Ahead of an error's place in PostgreSQL's source.
const SOURCE: &str = " at ";

fn line(message: &Message, oids: &mut Oids) -> String {
    let tag = char::from(message.tag);
    match message.tag {
        // A process and its key.
        b'K' => format!("K {} bytes", message.body.len()),
        b'A' => format!("A {}", message.body.get(4..).unwrap_or_default().escape_ascii()),
        b'E' | b'N' => format!("{tag} {}", error(message)),
        b'T' => format!("T {}", shown(&row_description(&message.body, oids))),
        _ => format!("{tag} {}", shown(&message.body)),
    }
}

fn error(message: &Message) -> String {
    let fields = message.body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    let (source, said): (Vec<&[u8]>, Vec<&[u8]>) = fields.partition(|field| b"FLR".contains(&field[0]));
    let join = |fields: Vec<&[u8]>| {
        let texts = fields.iter().map(|field| String::from_utf8_lossy(field));
        texts.collect::<Vec<_>>().join("|")
    };
    match source.is_empty() {
        true => join(said),
        false => format!("{}{SOURCE}{}", join(said), join(source)),
    }
}

fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN {
        return bytes.escape_ascii().to_string();
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{}… {} bytes, {:x}", bytes[..SHOWN].escape_ascii(), bytes.len(), hasher.finish())
}

/// The body with the object identifiers of new tables and types replaced.
fn row_description(body: &[u8], oids: &mut Oids) -> Vec<u8> {
    let mut new = body.to_vec();
    let mut at = 2;
    while let Some(name) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
        let table = at + name + 1;
        // The table and its column, then the type.
        for oid in [table, table + 6] {
            if let Some(place) = new.get_mut(oid..oid + 4) {
                oids.replace(place);
            }
        }
        at = table + 18;
    }
    new
}

/// New object identifiers, in the order in which they are first heard of.
#[derive(Debug, Default)]
struct Oids(Vec<u32>);

impl Oids {
    fn replace(&mut self, place: &mut [u8]) {
        let Ok(bytes) = <[u8; 4]>::try_from(&*place) else { return };
        let oid = u32::from_be_bytes(bytes);
        if oid < FIRST_NORMAL_OID {
            return;
        }
        let known = self.0.iter().position(|known| *known == oid);
        let number = known.unwrap_or_else(|| {
            self.0.push(oid);
            self.0.len() - 1
        });
        let number = FIRST_NORMAL_OID + u32::try_from(number).unwrap_or(0);
        place.copy_from_slice(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
