//! Facts of the catalog, which a plugin may ask for during a call.

use super::contract::{ColumnsFact, FunctionFact, RelationFact};

/// The facts of one database, as far as they are known now. Answers at once:
/// what it does not know is `Unknown`, and comes back to the caller as a
/// [`FactKey`] to look up before asking again.
pub trait FactSource {
    /// As long as this is the same, facts that were found or missing stay so:
    /// plugins keep them. Numbers of two sources are never the same.
    fn epoch(&self) -> u64;

    /// The most volatile of the functions of this name; without a schema, in
    /// any schema.
    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact;

    /// The most volatile function behind the operators of this name.
    fn operator_fact(&self, name: &str) -> FunctionFact;

    /// What the relations of this name are, taken together; without a schema,
    /// in any schema.
    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact;

    /// The columns of each table and view of this name; without a schema, in
    /// any schema.
    fn columns_fact(&self, _schema: Option<&str>, _name: &str) -> ColumnsFact {
        ColumnsFact::Unknown
    }
}

/// Knows nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoFacts;

impl FactSource for NoFacts {
    fn epoch(&self) -> u64 {
        0
    }

    fn function_fact(&self, _schema: Option<&str>, _name: &str) -> FunctionFact {
        FunctionFact::Unknown
    }

    fn operator_fact(&self, _name: &str) -> FunctionFact {
        FunctionFact::Unknown
    }

    fn relation_fact(&self, _schema: Option<&str>, _name: &str) -> RelationFact {
        RelationFact::Unknown
    }
}

/// A [`FactKey`] that owns nothing: what a map of facts is asked for.
///
/// The variants and fields are those of `FactKey`, in the same order, so that
/// both hash alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactRef<'a> {
    Function { schema: Option<&'a str>, name: &'a str },
    Operator { name: &'a str },
    Relation { schema: Option<&'a str>, name: &'a str },
    Columns { schema: Option<&'a str>, name: &'a str },
}

impl<'a> From<&'a FactKey> for FactRef<'a> {
    fn from(key: &'a FactKey) -> Self {
        match key {
            FactKey::Function { schema, name } => FactRef::Function { schema: schema.as_deref(), name },
            FactKey::Operator { name } => FactRef::Operator { name },
            FactKey::Relation { schema, name } => FactRef::Relation { schema: schema.as_deref(), name },
            FactKey::Columns { schema, name } => FactRef::Columns { schema: schema.as_deref(), name },
        }
    }
}

impl hashbrown::Equivalent<FactKey> for FactRef<'_> {
    fn equivalent(&self, key: &FactKey) -> bool {
        *self == FactRef::from(key)
    }
}

/// A fact that a plugin asked for and that was not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FactKey {
    Function { schema: Option<String>, name: String },
    Operator { name: String },
    Relation { schema: Option<String>, name: String },
    Columns { schema: Option<String>, name: String },
}
