//! Facts found before: a call out of WebAssembly costs more than a look here.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// More facts are forgotten, and asked for again.
const MAX_FACTS: usize = 1_000;

/// Facts of one kind, of one epoch.
#[derive(Debug)]
pub struct Memo<F> {
    epoch: u64,
    facts: HashMap<Box<str>, BySchema<F>, BuildHasherDefault<Fnv>>,
}

/// A name is rarely in more than one schema.
type BySchema<F> = Vec<(Option<Box<str>>, F)>;

impl<F: Clone> Memo<F> {
    pub const fn new() -> Self {
        Memo { epoch: 0, facts: HashMap::with_hasher(BuildHasherDefault::new()) }
    }

    /// Facts of another epoch hold no longer.
    #[inline]
    pub fn follow(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.facts.clear();
        }
    }

    /// A fact, asked for if it is not here. It is kept if it is a final one.
    pub fn get(
        &mut self,
        schema: Option<&str>,
        name: &str,
        is_final: impl Fn(&F) -> bool,
        ask: impl FnOnce() -> F,
    ) -> F {
        let here = self.facts.get(name).and_then(|facts| {
            facts.iter().find(|(in_schema, _)| in_schema.as_deref() == schema).map(|(_, fact)| fact.clone())
        });
        if let Some(fact) = here {
            return fact;
        }
        let fact = ask();
        if is_final(&fact) {
            if self.facts.len() >= MAX_FACTS {
                self.facts.clear();
            }
            self.facts.entry(name.into()).or_default().push((schema.map(Box::from), fact.clone()));
        }
        fact
    }
}

/// FNV-1a: names are short, and nobody gains by making them collide in a table
/// of a thousand.
#[derive(Debug)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
