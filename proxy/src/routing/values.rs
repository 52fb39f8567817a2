//! What is known only when a statement is sent: moments, and expressions that
//! the primary evaluates.

use crate::plugin::contract::Evaluation;
use crate::protocol::sql::literal;
use std::time::SystemTime;

const TIMESTAMPTZ: &str = "pg_catalog.timestamptz";

/// More are asked for in several queries: a row has at most 1,664 columns.
const MOST_AT_ONCE: usize = 500;

/// What a rewriter wants to have put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    StatementTimestamp,
    TransactionTimestamp,
    Evaluated(Evaluation),
}

/// A value, in the form that it has in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// `None` is NULL.
    pub value: Option<String>,
    pub type_name: String,
}

/// The moments that an edit may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    pub transaction: SystemTime,
    pub statement: SystemTime,
}

impl Gap {
    /// Stands in the gap for those who look at the text before it is sent.
    pub fn sample(&self) -> String {
        match self {
            Gap::StatementTimestamp | Gap::TransactionTimestamp => {
                format!("'2000-01-01 00:00:00.000000+00'::{TIMESTAMPTZ}")
            }
            Gap::Evaluated(evaluation) => match &evaluation.type_name {
                Some(name) => format!("NULL::{name}"),
                None => "NULL".to_owned(),
            },
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Gap::StatementTimestamp => "{statement_timestamp}".to_owned(),
            Gap::TransactionTimestamp => "{transaction_timestamp}".to_owned(),
            Gap::Evaluated(evaluation) => format!("{{{}}}", evaluation.expression),
        }
    }

    /// As a parameter. The expression's own type is unknown here; but in a CASE
    /// the parameter takes it over, and PostgreSQL drops the branch which is
    /// never reached before it runs anything.
    pub fn parameter(&self, number: usize) -> String {
        match self {
            Gap::StatementTimestamp | Gap::TransactionTimestamp => format!("${number}::{TIMESTAMPTZ}"),
            Gap::Evaluated(Evaluation { type_name: Some(name), .. }) => format!("${number}::{name}"),
            Gap::Evaluated(Evaluation { expression, .. }) => {
                format!("(CASE WHEN true THEN ${number} ELSE ({expression}\n) END)")
            }
        }
    }

    pub fn evaluation(&self) -> Option<&Evaluation> {
        match self {
            Gap::Evaluated(evaluation) => Some(evaluation),
            Gap::StatementTimestamp | Gap::TransactionTimestamp => None,
        }
    }
}

impl Filled {
    /// Where nothing will be run anyway.
    pub fn null() -> Self {
        Filled { value: None, type_name: "unknown".to_owned() }
    }

    pub fn literal(&self) -> String {
        match &self.value {
            Some(value) => format!("{}::{}", literal(value), self.type_name),
            None => format!("NULL::{}", self.type_name),
        }
    }
}

impl Moments {
    pub fn value(&self, gap: &Gap) -> Option<Filled> {
        let moment = match gap {
            Gap::StatementTimestamp => self.statement,
            Gap::TransactionTimestamp => self.transaction,
            Gap::Evaluated(_) => return None,
        };
        let moment = humantime::format_rfc3339_micros(moment).to_string();
        let value = Some(moment.replace('T', " ").replace('Z', "+00"));
        Some(Filled { value, type_name: TIMESTAMPTZ.to_owned() })
    }
}

/// Asks for the values of these expressions: each query has one row, with value
/// and type of each.
pub fn queries(wanted: &[&Evaluation]) -> Vec<String> {
    wanted.chunks(MOST_AT_ONCE).map(query).collect()
}

fn query(wanted: &[&Evaluation]) -> String {
    let (mut outer, mut inner) = (Vec::new(), Vec::new());
    for (number, evaluation) in wanted.iter().enumerate() {
        // JSON has ISO's form, whatever DateStyle is: with others an abbreviation
        // of a zone would stand there, which may be another's, too.
        outer.push(format!(
            "CASE pg_catalog.pg_typeof(v{number}) WHEN '{TIMESTAMPTZ}'::pg_catalog.regtype \
             THEN pg_catalog.to_json(v{number}) #>> '{{}}' ELSE v{number}::pg_catalog.text END, \
             pg_catalog.format_type(pg_catalog.pg_typeof(v{number}), -1)"
        ));
        let cast = evaluation.type_name.as_ref().map(|name| format!("::{name}")).unwrap_or_default();
        inner.push(format!("({}\n){cast} AS v{number}", evaluation.expression));
    }
    // OFFSET keeps the planner from evaluating anything twice.
    format!("SELECT {} FROM (SELECT {} OFFSET 0) AS waypool_values", outer.join(", "), inner.join(", "))
}

/// What the rows of [`queries`] say, in the order of what was wanted.
pub fn read(wanted: &[&Evaluation], rows: Vec<Vec<Option<String>>>) -> Option<Vec<Filled>> {
    let columns: Vec<Option<String>> = rows.into_iter().flatten().collect();
    if columns.len() != 2 * wanted.len() {
        return None;
    }
    let pairs = wanted.iter().zip(columns.chunks(2));
    let filled = pairs.map(|(evaluation, pair)| {
        let [value, its_type] = pair else { return None };
        let type_name = evaluation.type_name.clone().or_else(|| its_type.clone())?;
        Some(Filled { value: value.clone(), type_name })
    });
    filled.collect()
}

#[cfg(test)]
mod tests;
