//! Whether servers have answered the same, and which of them are right if not.

use super::hearing::{Hearing, Mark};
use crate::protocol::backend::TransactionStatus;

/// In what answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The numbers of rows inserted, updated or deleted.
    Rows,
    /// The kinds of messages, or the SQLSTATE of an error.
    Kind,
}

/// Servers that differ from the most; of as many, from the main server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub difference: Option<Difference>,
    pub minority: Vec<usize>,
}

type Said<'a> = (&'a [Mark], Option<TransactionStatus>);

/// `answers` are of servers by number, the main server's first. `within`: where
/// the transaction stands afterwards counts as well.
pub fn judge(answers: &[(usize, &Hearing)], within: bool) -> Judgement {
    let said = |hearing| said(hearing, within);
    let Some((_, main)) = answers.first() else {
        return Judgement { difference: None, minority: Vec::new() };
    };
    let main = said(main);
    let differing = answers.iter().map(|(_, hearing)| said(hearing)).filter(|other| *other != main);
    let difference = differing.map(|other| in_what(main, other)).reduce(|one, other| match one {
        Difference::Kind => one,
        Difference::Rows => other,
    });
    let votes = |of: Said<'_>| answers.iter().filter(|(_, hearing)| said(hearing) == of).count();
    let most = answers.iter().map(|(_, hearing)| votes(said(hearing))).max().unwrap_or_default();
    let right = match votes(main) == most {
        true => main,
        false => {
            answers.iter().map(|(_, hearing)| said(hearing)).find(|of| votes(*of) == most).unwrap_or(main)
        }
    };
    let minority = answers.iter().filter(|(_, hearing)| said(hearing) != right).map(|(id, _)| *id).collect();
    Judgement { difference, minority }
}

fn said(hearing: &Hearing, within: bool) -> Said<'_> {
    (&hearing.marks, hearing.status().filter(|_| within))
}

fn in_what((main, status): Said<'_>, (other, other_status): Said<'_>) -> Difference {
    let alike = main.len() == other.len() && main.iter().zip(other).all(|(one, other)| one.is_alike(other));
    if alike && status == other_status { Difference::Rows } else { Difference::Kind }
}

#[cfg(test)]
mod tests;
