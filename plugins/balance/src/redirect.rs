//! The redirect preference lists: where the reads of some users, databases or
//! applications go.

use regex_lite::{Regex, RegexBuilder};
use waypool_plugin_sdk::SessionInfo;

use crate::config::Items;

/// Which list, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    User,
    Database,
    AppName,
}

impl List {
    pub const ALL: [Self; 3] = [Self::User, Self::Database, Self::AppName];

    pub fn key(self) -> &'static str {
        match self {
            Self::User => "user_redirect_preference_list",
            Self::Database => "database_redirect_preference_list",
            Self::AppName => "app_name_redirect_preference_list",
        }
    }
}

/// An entry of a list, small enough to be kept with the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub list: List,
    pub at: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preference {
    pub target: Target,
    /// How many of the reads, or sessions, go there: 0 to 1.
    pub ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Primary,
    Standby,
    Node(u32),
}

/// All three lists.
#[derive(Debug)]
pub struct Redirects([Vec<(Regex, Preference)>; 3]);

impl Redirects {
    pub fn new(lists: [(List, &Items); 3]) -> Result<Self, String> {
        let mut made = [const { Vec::new() }; 3];
        for (list, items) in lists {
            for item in items.iter() {
                let parsed = parse(item).map_err(|why| format!("{} = \"{item}\": {why}", list.key()))?;
                made[list as usize].push(parsed);
            }
            if made[list as usize].len() > usize::from(u16::MAX) {
                return Err(format!("{}: it may have up to {} entries", list.key(), u16::MAX));
            }
        }
        Ok(Self(made))
    }

    /// What holds for a session: the first match of the strongest list.
    pub fn find(&self, session: &SessionInfo) -> Option<Entry> {
        List::ALL.into_iter().rev().find_map(|list| {
            let name = match list {
                List::User => &session.user,
                List::Database => &session.database,
                List::AppName => &session.application_name,
            };
            // Who gives no application name matches none, not even `.*`.
            if list == List::AppName && name.is_empty() {
                return None;
            }
            let at = self.0[list as usize].iter().position(|(pattern, _)| pattern.is_match(name))?;
            Some(Entry { list, at: at as u16 })
        })
    }

    pub fn get(&self, entry: Entry) -> Option<Preference> {
        let (_, preference) = self.0[entry.list as usize].get(usize::from(entry.at))?;
        Some(*preference)
    }
}

/// `pattern:node(ratio)`
fn parse(item: &str) -> Result<(Regex, Preference), String> {
    // A node has no colon, a pattern in an array may.
    let Some((pattern, wish)) = item.rsplit_once(':') else {
        return Err("it has the form pattern:node or pattern:node(ratio)".to_owned());
    };
    let (node, ratio) = match wish.split_once('(') {
        Some((node, ratio)) => (node, parse_ratio(ratio)?),
        None => (wish, 1.0),
    };
    let target = match node.trim() {
        "primary" => Target::Primary,
        "standby" => Target::Standby,
        node => match node.parse() {
            Ok(id) => Target::Node(id),
            Err(_) => {
                return Err(format!(
                    "\"{node}\" may be primary, standby or the number of a backend, counted from 0"
                ));
            }
        },
    };
    Ok((compile(pattern.trim())?, Preference { target, ratio }))
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.trim_end().strip_suffix(')').and_then(|number| number.trim().parse().ok());
    ratio.filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| {
        format!("the ratio \"({text}\" may be a number from 0 to 1 in parentheses, such as (0.5)")
    })
}

/// Anchored without a group, as Pgpool-II does: `a|b` is `^a|b$` there.
fn compile(pattern: &str) -> Result<Regex, String> {
    let start = if pattern.starts_with('^') { "" } else { "^" };
    let end = if pattern.ends_with('$') { "" } else { "$" };
    let anchored = format!("{start}{pattern}{end}");
    let regex = RegexBuilder::new(&anchored).case_insensitive(true).build();
    regex.map_err(|error| format!("\"{pattern}\" is not a regular expression: {error}"))
}
