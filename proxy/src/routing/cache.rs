//! Verdicts by statement, so that a plugin is asked once and not per execution.
//!
//! One cache a worker thread: no lock. Entries are found by exact text or by
//! shape, always compared in full. The memory is bounded by two generations:
//! when the young one is full it becomes the old one, and what nobody asked
//! for since is gone with the former old one.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash, Hasher};
use std::mem;

/// What an entry costs besides its text and value.
const OVERHEAD: usize = 64;
/// Texts seen once are remembered by this many hashes.
const SEEN: usize = 4096;

/// By what an entry is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    Text,
    Shape,
}

/// Where to look: in which scope, by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    /// The number of the scope, see [`Scope`](super::Scope).
    pub scope: u32,
    pub by: By,
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct Entry<V> {
    hash: u64,
    scope: u32,
    by: By,
    bytes: Box<[u8]>,
    value: V,
    cost: usize,
}

impl<V> Entry<V> {
    fn is(&self, hash: u64, key: &Key) -> bool {
        self.hash == hash && self.scope == key.scope && self.by == key.by && *self.bytes == *key.bytes
    }
}

#[derive(Debug)]
pub struct Cache<V> {
    hasher: DefaultHashBuilder,
    young: HashTable<Entry<V>>,
    old: HashTable<Entry<V>>,
    /// Bytes in the young generation.
    used: usize,
    /// Bytes a generation may have.
    limit: usize,
    /// Hashes of texts which were asked for once, by their low bits.
    seen: Box<[u64]>,
}

impl<V> Cache<V> {
    /// A cache of at most `bytes`.
    pub fn new(bytes: usize) -> Self {
        Cache {
            hasher: DefaultHashBuilder::default(),
            young: HashTable::new(),
            old: HashTable::new(),
            used: 0,
            limit: bytes / 2,
            seen: vec![0; SEEN].into_boxed_slice(),
        }
    }

    fn hash(&self, key: &Key) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(key.scope);
        hasher.write_u8(key.by as u8);
        hasher.write(key.bytes);
        hasher.finish()
    }

    pub fn get(&mut self, key: Key) -> Option<&V> {
        let hash = self.hash(&key);
        let young = |entry: &Entry<V>| entry.is(hash, &key);
        if self.young.find(hash, young).is_none() {
            let found = self.old.find_entry(hash, young).ok()?;
            let (entry, _) = found.remove();
            self.admit(entry);
        }
        self.young.find(hash, young).map(|entry| &entry.value)
    }

    /// Whether this text was asked for before: only then is it worth keeping
    /// next to its shape.
    pub fn seen_before(&mut self, key: Key) -> bool {
        let hash = self.hash(&key);
        let place = &mut self.seen[hash as usize % SEEN];
        mem::replace(place, hash) == hash
    }

    /// `cost`: about how many bytes the value occupies.
    pub fn insert(&mut self, key: Key, value: V, cost: usize) {
        let hash = self.hash(&key);
        if let Ok(present) = self.young.find_entry(hash, |entry| entry.is(hash, &key)) {
            let (removed, _) = present.remove();
            self.used -= removed.cost;
        }
        let cost = key.bytes.len() + cost + OVERHEAD;
        if cost > self.limit {
            return;
        }
        self.admit(Entry { hash, scope: key.scope, by: key.by, bytes: key.bytes.into(), value, cost });
    }

    fn admit(&mut self, entry: Entry<V>) {
        if self.used + entry.cost > self.limit {
            self.old = mem::take(&mut self.young);
            self.used = 0;
        }
        self.used += entry.cost;
        self.young.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
