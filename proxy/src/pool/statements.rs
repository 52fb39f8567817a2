//! Prepared statements that sessions share: the same text, with the same
//! parameter types, has one name on every server connection, whatever its
//! clients call it. So it is parsed once for a connection and not once for a
//! client.

use crate::protocol::HEADER_LEN;
use crate::protocol::backend::message;
use hashbrown::{DefaultHashBuilder, HashTable};
use lru::LruCache;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What the names begin with; no client may bind one.
pub const PREFIX: &[u8] = b"wp_";
const DIGITS: usize = 12;
const NAME_LEN: usize = PREFIX.len() + DIGITS;
/// A name that no statement ever has.
pub const NOTHING: &[u8] = b"wp_";

/// One text with its parameter types.
#[derive(Debug)]
pub struct Shared {
    number: u64,
    /// The Parse frame that prepares it, with the name of ours.
    pub parse: Box<[u8]>,
}

impl Shared {
    fn new(number: u64, text_and_types: &[u8]) -> Self {
        let mut parse = Vec::with_capacity(HEADER_LEN + NAME_LEN + 1 + text_and_types.len());
        message(&mut parse, b'P', |body| {
            body.extend_from_slice(PREFIX);
            body.extend_from_slice(format!("{number:0DIGITS$x}").as_bytes());
            body.push(0);
            body.extend_from_slice(text_and_types);
        });
        Shared { number, parse: parse.into() }
    }

    /// What the servers call it.
    pub fn name(&self) -> &[u8] {
        &self.parse[HEADER_LEN..HEADER_LEN + NAME_LEN]
    }

    fn text_and_types(&self) -> &[u8] {
        &self.parse[HEADER_LEN + NAME_LEN + 1..]
    }
}

/// All that clients have prepared by name. Asked once for each Parse.
#[derive(Debug, Default)]
pub struct SharedStatements {
    known: Mutex<HashTable<Weak<Shared>>>,
    hasher: DefaultHashBuilder,
    next: AtomicU64,
    /// Raised when a plan turned out to be outdated: whatever was prepared
    /// before is prepared anew.
    epoch: AtomicU64,
}

impl SharedStatements {
    /// `text_and_types`: the body of a Parse behind the name.
    pub fn find(&self, text_and_types: &[u8]) -> Arc<Shared> {
        let hash = self.hasher.hash_one(text_and_types);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |entry: &Weak<Shared>| {
            entry.upgrade().is_some_and(|shared| shared.text_and_types() == text_and_types)
        };
        if let Some(shared) = known.find(hash, same).and_then(Weak::upgrade) {
            return shared;
        }
        if known.len() == known.capacity() {
            // Before it grows: those that nobody has any more.
            known.retain(|entry| entry.strong_count() > 0);
        }
        let shared = Arc::new(Shared::new(self.next.fetch_add(1, Ordering::Relaxed), text_and_types));
        known.insert_unique(hash, Arc::downgrade(&shared), |entry| {
            entry.upgrade().map_or(0, |shared| self.hasher.hash_one(shared.text_and_types()))
        });
        shared
    }

    /// Live and dead ones.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn epoch(&self) -> u64 {
        // An entry with 0 is in doubt.
        self.epoch.load(Ordering::Relaxed) + 1
    }

    pub fn outdated(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }
}

/// Those that one server connection has, the most recently used first.
#[derive(Debug)]
pub struct OnConnection(LruCache<u64, Entry>);

#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    /// 0: it is not known whether the server has it.
    epoch: u64,
}

impl Default for OnConnection {
    fn default() -> Self {
        // The limit is the configuration's, and may change.
        OnConnection(LruCache::unbounded())
    }
}

impl OnConnection {
    /// Whether the server has it, as of this epoch.
    pub fn has(&mut self, shared: &Shared, epoch: u64) -> bool {
        self.0.get(&shared.number).is_some_and(|entry| entry.epoch == epoch)
    }

    /// It is about to be prepared. `close` gets what has to be closed before:
    /// the one that it takes the place of, and the one used least.
    pub fn add(&mut self, shared: &Arc<Shared>, epoch: u64, most: usize, mut close: impl FnMut(Arc<Shared>)) {
        if let Some(before) = self.0.put(shared.number, Entry { shared: shared.clone(), epoch }) {
            close(before.shared);
        }
        while self.0.len() > most.max(1) {
            if let Some((_, victim)) = self.0.pop_lru() {
                close(victim.shared);
            }
        }
    }

    /// A Parse or Close of it was not answered.
    pub fn doubt(&mut self, shared: &Arc<Shared>) {
        self.0.put(shared.number, Entry { shared: shared.clone(), epoch: 0 });
    }

    /// Any of them may be gone.
    pub fn doubt_all(&mut self) {
        for (_, entry) in self.0.iter_mut() {
            entry.epoch = 0;
        }
    }

    /// The server has dropped them all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
