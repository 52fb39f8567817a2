//! The grammar, for queries which a scan leaves in doubt.
//!
//! The scan has listed functions, relations and locks already, and errs to the
//! safe side. The grammar only says whether the text is a query at all, and
//! one that writes nothing.

/// What the grammar says of a text.
#[cfg_attr(not(feature = "parser"), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// One query that changes no data
    Read,
    /// It changes data
    Write,
    /// Not SQL as known here
    Unparsed,
}

#[cfg(not(feature = "parser"))]
pub fn parse(_text: &str) -> Parsed {
    Parsed::Unparsed
}

#[cfg(feature = "parser")]
pub use grammar::parse;

#[cfg(feature = "parser")]
mod grammar {
    use super::Parsed;
    use sqlparser::ast::{Query, SetExpr, Statement};
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    /// A syntax tree as deep as its text is long (`1+1+1+…`) is freed by
    /// recursion: longer texts could end on the stack's end.
    const LONGEST: usize = 16 * 1024;

    /// The parser's own measure of nesting; its stack frames are large.
    const DEEPEST: usize = 40;

    pub fn parse(text: &str) -> Parsed {
        if text.len() > LONGEST {
            return Parsed::Unparsed;
        }
        let parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEEPEST);
        let statements = parser.try_with_sql(text).and_then(|mut parser| parser.parse_statements());
        match statements.as_deref() {
            Ok([Statement::Query(query)]) => judge(query),
            _ => Parsed::Unparsed,
        }
    }

    /// PostgreSQL allows data-modifying statements only in the outermost WITH,
    /// so its queries are all that has to be looked through.
    fn judge(query: &Query) -> Parsed {
        let mut open = vec![query];
        while let Some(query) = open.pop() {
            open.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| &*cte.query));
            let mut bodies = vec![&*query.body];
            while let Some(body) = bodies.pop() {
                match body {
                    SetExpr::Query(inner) => open.push(inner),
                    SetExpr::SetOperation { left, right, .. } => bodies.extend([&**left, &**right]),
                    SetExpr::Select(select) if select.into.is_none() => {}
                    SetExpr::Values(_) | SetExpr::Table(_) => {}
                    _ => return Parsed::Write,
                }
            }
        }
        Parsed::Read
    }
}

#[cfg(test)]
mod tests;
