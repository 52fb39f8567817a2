//! The contract's enumerations as the words of `waypool.wit`.

use std::fmt::Debug;

use crate::{Depends, Effects, Kind, NodeRole, RelationFacts, Servers, Transaction, Volatility};

/// `SetLocal` is "set-local".
pub fn word(value: impl Debug) -> String {
    let debug = format!("{value:?}");
    let name = debug.rsplit("::").next().unwrap_or_default();
    let mut word = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(char.to_ascii_lowercase());
    }
    word
}

/// The value that is called so.
fn named<T: Copy + Debug>(values: &[T], wanted: &str) -> Result<T, String> {
    let found = values.iter().find(|value| word(value) == wanted);
    found.copied().ok_or_else(|| format!("\"{wanted}\" is no word of the contract"))
}

macro_rules! values {
    ($($function:ident $type:ident: $($value:ident)*;)*) => {$(
        pub fn $function(wanted: &str) -> Result<$type, String> {
            named(&[$($type::$value),*], wanted)
        }
    )*};
}

values! {
    depends Depends: Shape Text Moment;
    servers Servers: Any Primary All;
    transaction Transaction: Idle Open Failed;
    node_role NodeRole: Primary Standby Unknown;
    volatility Volatility: Immutable Stable Volatile;
    kind Kind: Unknown Empty Select Dml Ddl CopyTo Explain Show Set SetLocal Reset Begin Commit
        Rollback Savepoint Release RollbackTo PrepareTransaction FinishPrepared Prepare Execute
        Deallocate Discard Cursor Listen Lock Utility;
}

macro_rules! flags {
    ($($function:ident $type:ident;)*) => {$(
        pub fn $function(words: &[String]) -> Result<$type, String> {
            let mut flags = $type::empty();
            for word in words {
                let name = word.to_ascii_uppercase().replace('-', "_");
                flags |= $type::from_name(&name)
                    .ok_or_else(|| format!("\"{word}\" is no word of the contract"))?;
            }
            Ok(flags)
        }
    )*};
}

flags! {
    effects Effects;
    relation_facts RelationFacts;
}

pub fn effect_words(effects: Effects) -> Vec<String> {
    effects.iter_names().map(|(name, _)| name.to_ascii_lowercase().replace('_', "-")).collect()
}

#[cfg(test)]
mod tests;
