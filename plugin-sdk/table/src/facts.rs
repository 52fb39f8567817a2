//! What the catalog knows in a test.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::words;

/// The table `facts`. Names are `schema.name`, or `name` for every schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// The most volatile function of the name: `immutable`, `stable`, `volatile`
    #[serde(deserialize_with = "volatilities")]
    pub functions: BTreeMap<String, String>,
    #[serde(deserialize_with = "volatilities")]
    pub operators: BTreeMap<String, String>,
    /// What it is; nothing for an ordinary table
    #[serde(deserialize_with = "relations")]
    pub relations: BTreeMap<String, Vec<String>>,
    /// Other names are unknown rather than missing.
    pub unknown: bool,
}

/// The answer to a plugin's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    Unknown,
    Missing,
    Found(T),
}

impl Facts {
    /// These and others; a name in both has the other's fact.
    pub fn and(&self, other: &Facts) -> Facts {
        let mut both = self.clone();
        both.functions.extend(other.functions.clone());
        both.operators.extend(other.operators.clone());
        both.relations.extend(other.relations.clone());
        both.unknown |= other.unknown;
        both
    }

    pub fn function(&self, schema: Option<&str>, name: &str) -> Fact<&str> {
        // As it happens, the words are in this order by the alphabet.
        self.found(matching(&self.functions, schema, name).into_iter().map(String::as_str).max())
    }

    pub fn operator(&self, name: &str) -> Fact<&str> {
        self.found(self.operators.get(name).map(String::as_str))
    }

    /// What the relations of this name are, taken together.
    pub fn relation(&self, schema: Option<&str>, name: &str) -> Fact<Vec<&str>> {
        let mut together: Option<Vec<&str>> = None;
        for facts in matching(&self.relations, schema, name) {
            together.get_or_insert_default().extend(facts.iter().map(String::as_str));
        }
        self.found(together)
    }

    fn found<T>(&self, fact: Option<T>) -> Fact<T> {
        match fact {
            Some(fact) => Fact::Found(fact),
            None if self.unknown => Fact::Unknown,
            None => Fact::Missing,
        }
    }
}

/// The rows of this name. A row without a schema is in every schema, and a
/// question without a schema is about all of them.
fn matching<'t, F>(facts: &'t BTreeMap<String, F>, schema: Option<&str>, name: &str) -> Vec<&'t F> {
    let is_asked = |row: &str| match (row.split_once('.'), schema) {
        (Some((row_schema, row_name)), Some(schema)) => row_schema == schema && row_name == name,
        (Some((_, row_name)), None) => row_name == name,
        (None, _) => row == name,
    };
    facts.iter().filter(|(row, _)| is_asked(row)).map(|(_, fact)| fact).collect()
}

fn volatilities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let facts = BTreeMap::<String, String>::deserialize(deserializer)?;
    facts.values().try_for_each(|word| words::check_volatility(word))?;
    Ok(facts)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"table\", \"view\" or a list such as [\"view\", \"volatile\"] was expected")]
enum Relation {
    One(String),
    Several(Vec<String>),
}

fn relations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let facts = BTreeMap::<String, Relation>::deserialize(deserializer)?;
    let listed = facts.into_iter().map(|(name, relation)| {
        let mut facts = match relation {
            Relation::One(fact) => vec![fact],
            Relation::Several(facts) => facts,
        };
        facts.retain(|fact| fact != "table");
        facts.iter().try_for_each(|fact| words::check_relation_fact(fact))?;
        Ok((name, facts))
    });
    listed.collect()
}

#[cfg(test)]
mod tests;
