//! The contract's enumerations as the words of `waypool.wit`, which tables of
//! statements are written in.

use std::fmt::Debug;

use waypool_plugin_table::{Fact, Facts};

use crate::admin::route::EFFECTS;
use crate::plugin::FactSource;
use crate::plugin::contract::{
    Depends, Effects, FunctionFact, Kind, NodeRole, RelationFact, RelationFacts, Servers, Transaction,
    Volatility,
};

/// `SetLocal` is "set-local".
pub fn word(value: impl Debug) -> String {
    let mut word = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

/// The value that is called so. Tables are checked when they are read: another
/// word is a mistake of this program.
fn named<T: Copy + Debug>(values: &[T], wanted: &str) -> Result<T, String> {
    let found = values.iter().find(|value| word(value) == wanted);
    found.copied().ok_or_else(|| format!("\"{wanted}\" is no word of this Waypool's contract"))
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

pub fn effects(words: &[String]) -> Result<Effects, String> {
    let mut effects = Effects::empty();
    for word in words {
        let found = EFFECTS.iter().find(|(_, name)| name == word);
        let (effect, _) =
            found.ok_or_else(|| format!("\"{word}\" is no effect of this Waypool's contract"))?;
        effects |= *effect;
    }
    Ok(effects)
}

pub fn effect_words(effects: Effects) -> Vec<String> {
    let named = EFFECTS.iter().filter(|(effect, _)| effects.contains(*effect));
    named.map(|(_, name)| (*name).to_owned()).collect()
}

/// The catalog of a table.
pub struct Catalog(pub Facts);

impl FactSource for Catalog {
    fn epoch(&self) -> u64 {
        // Every case has an instance of its own: nothing is kept from another.
        1
    }

    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        function_fact(self.0.function(schema, name))
    }

    fn operator_fact(&self, name: &str) -> FunctionFact {
        function_fact(self.0.operator(name))
    }

    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match self.0.relation(schema, name) {
            Fact::Unknown => RelationFact::Unknown,
            Fact::Missing => RelationFact::Missing,
            Fact::Found(words) => {
                let facts = words.into_iter().filter_map(relation_fact);
                RelationFact::Found(facts.fold(RelationFacts::empty(), |all, one| all | one))
            }
        }
    }
}

fn function_fact(fact: Fact<&str>) -> FunctionFact {
    match fact {
        Fact::Unknown => FunctionFact::Unknown,
        Fact::Missing => FunctionFact::Missing,
        Fact::Found(word) => volatility(word).map_or(FunctionFact::Unknown, FunctionFact::Found),
    }
}

fn relation_fact(word: &str) -> Option<RelationFacts> {
    Some(match word {
        "temporary" => RelationFacts::TEMPORARY,
        "unlogged" => RelationFacts::UNLOGGED,
        "catalog" => RelationFacts::CATALOG,
        "view" => RelationFacts::VIEW,
        "volatile" => RelationFacts::VOLATILE,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
