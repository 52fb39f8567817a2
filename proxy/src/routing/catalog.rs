//! Catalog facts in SQL: one query for all that a classifier wants to know.

mod columns;

use crate::plugin::FactKey;
use crate::plugin::contract::{ColumnsFact, FunctionFact, RelationFact, RelationFacts, Volatility};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// Also of an operator: of the function behind it.
    Function(FunctionFact),
    Relation(RelationFact),
    Columns(Arc<ColumnsFact>),
}

/// What the rows are about: the first column of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Function,
    Operator,
    Relation,
    Columns,
}

impl About {
    fn of(key: &FactKey) -> Self {
        match key {
            FactKey::Function { .. } => About::Function,
            FactKey::Operator { .. } => About::Operator,
            FactKey::Relation { .. } => About::Relation,
            FactKey::Columns { .. } => About::Columns,
        }
    }

    fn read(column: &str) -> Option<Self> {
        match column {
            "f" => Some(About::Function),
            "o" => Some(About::Operator),
            "r" => Some(About::Relation),
            "c" => Some(About::Columns),
            _ => None,
        }
    }
}

fn name_of(key: &FactKey) -> &str {
    match key {
        FactKey::Function { name, .. }
        | FactKey::Operator { name }
        | FactKey::Relation { name, .. }
        | FactKey::Columns { name, .. } => name,
    }
}

fn schema_of(key: &FactKey) -> Option<&str> {
    match key {
        FactKey::Function { schema, .. }
        | FactKey::Relation { schema, .. }
        | FactKey::Columns { schema, .. } => schema.as_deref(),
        FactKey::Operator { .. } => None,
    }
}

fn quoted(text: &str) -> String {
    // E'' so that the meaning does not hang on standard_conforming_strings.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

const FUNCTIONS: &str = "SELECT 'f', n.nspname, p.proname, p.provolatile::text FROM pg_catalog.pg_proc p \
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.proname IN ";

const OPERATORS: &str = "SELECT 'o', n.nspname, o.oprname, p.provolatile::text FROM pg_catalog.pg_operator o \
    JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
    JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode WHERE o.oprname IN ";

/// A relation with its persistence and kind, and the same of all that it reads
/// as a view, at any depth. The tree of a view's query names relations and
/// functions, those behind operators too, by number.
const RELATIONS: (&str, &str) = (
    "WITH RECURSIVE named AS (SELECT c.oid, n.nspname, c.relname, c.relpersistence, c.relkind \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname IN ",
    "), read (root, oid) AS (SELECT oid, oid FROM named WHERE relkind = 'v' UNION \
     SELECT r.root, c.oid FROM read r \
     JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid AND w.ev_type = '1' \
     CROSS JOIN LATERAL pg_catalog.regexp_matches(w.ev_action::text, E':relid (\\\\d+)', 'g') m \
     JOIN pg_catalog.pg_class c ON c.oid = m[1]::pg_catalog.oid) \
     SELECT 'r', named.nspname, named.relname, named.relpersistence::text || named.relkind::text \
     || COALESCE((SELECT pg_catalog.string_agg(DISTINCT c.relpersistence::text, '') \
     FROM read JOIN pg_catalog.pg_class c ON c.oid = read.oid WHERE read.root = named.oid), '') \
     || CASE WHEN EXISTS (SELECT 1 FROM read \
     JOIN pg_catalog.pg_rewrite w ON w.ev_class = read.oid AND w.ev_type = '1' \
     CROSS JOIN LATERAL pg_catalog.regexp_matches(w.ev_action::text, \
     E':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\\\d+)', 'g') m \
     JOIN pg_catalog.pg_proc p ON p.oid = m[1]::pg_catalog.oid \
     WHERE read.root = named.oid AND p.provolatile = 'v') THEN 'v' ELSE '' END FROM named",
);

/// Everything of those names, in any schema: what it is about, schema, name,
/// what is known.
pub(super) fn query(wanted: &[&FactKey]) -> String {
    let names = |about: About| {
        let names = wanted.iter().filter(|key| About::of(key) == about);
        let names: Vec<_> = names.map(|key| quoted(name_of(key))).collect();
        if names.is_empty() { None } else { Some(format!("({})", names.join(","))) }
    };
    let functions = names(About::Function).map(|names| format!("{FUNCTIONS}{names}"));
    let operators = names(About::Operator).map(|names| format!("{OPERATORS}{names}"));
    let relations = names(About::Relation).map(|names| format!("({}{names}{})", RELATIONS.0, RELATIONS.1));
    let columns = names(About::Columns).map(|names| format!("{}{names}", columns::QUERY));
    let parts: Vec<_> = [functions, operators, relations, columns].into_iter().flatten().collect();
    parts.join(" UNION ALL ")
}

/// What the rows of [`query`] say about each of `wanted`.
pub(super) fn facts(wanted: &[&FactKey], rows: &[Vec<Option<String>>]) -> Vec<(FactKey, Fact)> {
    let rows: Vec<Row> = rows.iter().filter_map(|row| Row::read(row)).collect();
    wanted.iter().map(|key| ((*key).clone(), Fact::from_rows(key, &rows))).collect()
}

struct Row<'a> {
    about: About,
    schema: &'a str,
    name: &'a str,
    what: &'a str,
}

impl<'a> Row<'a> {
    fn read(row: &'a [Option<String>]) -> Option<Self> {
        let [Some(about), Some(schema), Some(name), Some(what)] = row else {
            return None;
        };
        Some(Row { about: About::read(about)?, schema, name, what })
    }

    fn is_meant_by(&self, key: &FactKey) -> bool {
        self.about == About::of(key)
            && self.name == name_of(key)
            && schema_of(key).is_none_or(|schema| schema == self.schema)
    }

    fn volatility(&self) -> Volatility {
        match self.what {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            _ => Volatility::Volatile,
        }
    }

    /// Persistence and kind of the relation, then what its query reads and calls.
    fn relation(&self) -> RelationFacts {
        let mut letters = self.what.chars();
        let persistence = letters.next();
        let kind = letters.next();
        let inside = letters.as_str();
        let these = [
            (persistence == Some('t') || inside.contains('t'), RelationFacts::TEMPORARY),
            (persistence == Some('u') || inside.contains('u'), RelationFacts::UNLOGGED),
            (self.schema == "pg_catalog", RelationFacts::CATALOG),
            (kind == Some('v'), RelationFacts::VIEW),
            (inside.contains('v'), RelationFacts::VOLATILE),
        ];
        let holding = these.into_iter().filter(|(holds, _)| *holds);
        holding.fold(RelationFacts::empty(), |facts, (_, fact)| facts | fact)
    }
}

impl Fact {
    fn from_rows(key: &FactKey, rows: &[Row]) -> Fact {
        let found = rows.iter().filter(|row| row.is_meant_by(key));
        match About::of(key) {
            About::Function | About::Operator => {
                let worst = found.map(Row::volatility).max();
                Fact::Function(worst.map_or(FunctionFact::Missing, FunctionFact::Found))
            }
            About::Relation => {
                let all = found.map(Row::relation).reduce(|all, one| all | one);
                Fact::Relation(all.map_or(RelationFact::Missing, RelationFact::Found))
            }
            About::Columns => Fact::Columns(Arc::new(columns::fact(found))),
        }
    }
}

#[cfg(test)]
mod tests;
