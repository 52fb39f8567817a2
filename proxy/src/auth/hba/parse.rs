//! Parses host-based rules.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use super::{Action, Address, Database, Encryption, Origin, Rule, User};
use crate::auth::client::Method;

/// What is wrong with a line, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hba rule in line {line}: {message}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

/// One element of a field. Quotes take the meaning of a keyword away.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    quoted: bool,
}

/// A field is a list of elements with commas between them.
type Field = Vec<Token>;

const LAYOUT: &str = "write: local DATABASE USER METHOD, or: host DATABASE USER ADDRESS METHOD";

/// Parses all rules of a list.
pub fn rules<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Rule>, ParseError> {
    let mut rules = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        let parsed = fields(line).and_then(|fields| match fields.is_empty() {
            true => Ok(None),
            false => rule(&fields).map(Some),
        });
        let line = index + 1;
        rules.extend(parsed.map_err(|message| ParseError { line, message })?);
    }
    Ok(rules)
}

/// Splits a line into fields; a comment ends it.
fn fields(line: &str) -> Result<Vec<Field>, String> {
    if line.trim_end().ends_with('\\') {
        return Err("a rule cannot be continued on the next line: write it on one line".into());
    }
    let mut fields: Vec<Field> = Vec::new();
    // After a comma the field goes on, whatever the white space.
    let mut goes_on = false;
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        if let Some(tail) = rest.strip_prefix(',') {
            if fields.is_empty() {
                return Err("a rule cannot begin with a comma".into());
            }
            goes_on = true;
            rest = tail.trim_start();
            continue;
        }
        let (token, tail) = token(rest)?;
        match fields.last_mut() {
            Some(field) if goes_on => field.push(token),
            _ => fields.push(vec![token]),
        }
        goes_on = false;
        rest = tail.trim_start();
    }
    if goes_on {
        return Err("the list ends with a comma: remove it or write another name".into());
    }
    Ok(fields)
}

/// Reads one element; `""` inside of quotes stands for one quote.
fn token(text: &str) -> Result<(Token, &str), String> {
    let mut value = String::new();
    let mut quoted = false;
    let mut inside = false;
    let mut characters = text.char_indices().peekable();
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if inside && characters.next_if(|(_, next)| *next == '"').is_some() => {
                value.push('"');
            }
            '"' => {
                quoted |= value.is_empty() && !inside;
                inside = !inside;
            }
            ',' | '#' if !inside => {
                end = at;
                break;
            }
            _ if character.is_whitespace() && !inside => {
                end = at;
                break;
            }
            _ => value.push(character),
        }
    }
    if inside {
        return Err(format!("the closing quote of \"{value} is missing"));
    }
    let text = &text[end..];
    Ok((Token { text: value, quoted }, text))
}

fn rule(fields: &[Field]) -> Result<Rule, String> {
    let [kind, databases, users, rest @ ..] = fields else {
        return Err(format!("too few fields: {LAYOUT}"));
    };
    let (origin, rest) = origin(&single(kind, "type")?.text, rest)?;
    let [method_field, options @ ..] = rest else {
        return Err(format!("the method is missing: {LAYOUT}"));
    };
    let action = action(&single(method_field, "method")?.text)?;
    if let Some(option) = options.first().and_then(|field| field.first()) {
        let option = &option.text;
        return Err(format!("option \"{option}\" after the method is not supported: remove it"));
    }
    Ok(Rule {
        origin,
        databases: databases.iter().map(database).collect::<Result<_, _>>()?,
        users: users.iter().map(user).collect::<Result<_, _>>()?,
        action,
    })
}

/// Reads the type and, after a host type, the address.
fn origin<'a>(kind: &str, rest: &'a [Field]) -> Result<(Origin, &'a [Field]), String> {
    let encryption = match kind {
        "local" => return Ok((Origin::Local, rest)),
        // Waypool never encrypts with GSSAPI.
        "host" | "hostnogssenc" => Encryption::Any,
        "hostssl" => Encryption::Required,
        "hostnossl" => Encryption::Refused,
        "hostgssenc" => {
            return Err("hostgssenc: Waypool has no GSSAPI encryption: remove the rule".into());
        }
        _ => {
            return Err(format!("unknown type \"{kind}\": write local, host, hostssl or hostnossl"));
        }
    };
    let [field, rest @ ..] = rest else {
        return Err(format!("the address is missing: {LAYOUT}"));
    };
    let token = single(field, "address")?;
    let (address, rest) = address(token, rest)?;
    Ok((Origin::Host(encryption, address), rest))
}

/// Reads an address and, unless it is in CIDR notation, its mask.
fn address<'a>(token: &Token, rest: &'a [Field]) -> Result<(Address, &'a [Field]), String> {
    let text = token.text.as_str();
    match text {
        "all" if !token.quoted => return Ok((Address::All, rest)),
        "samehost" if !token.quoted => return Ok((Address::SameHost, rest)),
        "samenet" if !token.quoted => {
            return Err("samenet is not supported: write the network, like 10.0.0.0/8".into());
        }
        _ => {}
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok((Address::Net(net), rest));
    }
    let Ok(ip) = text.parse::<IpAddr>() else {
        return Err(match text.contains('/') {
            true => format!("\"{text}\" is not a network: write it like 10.0.0.0/8 or fd00::/8"),
            false => format!(
                "host names are not supported (\"{text}\"): write the address, like 10.0.0.5/32, or all"
            ),
        });
    };
    let mask = rest.first().and_then(|field| field.first());
    let Some(Ok(mask)) = mask.map(|token| token.text.parse::<IpAddr>()) else {
        let length = if ip.is_ipv4() { 32 } else { 128 };
        return Err(format!(
            "the mask after address {ip} is missing: write {ip}/{length} for this host alone"
        ));
    };
    // ipnet takes a mask of the other family at its length.
    let net = IpNet::with_netmask(ip, mask).ok();
    let net = net.filter(|_| ip.is_ipv4() == mask.is_ipv4());
    let net =
        net.ok_or_else(|| format!("{mask} is not a mask for {ip}: write the network as {ip}/LENGTH"))?;
    Ok((Address::Net(net), &rest[1..]))
}

fn database(token: &Token) -> Result<Database, String> {
    let text = token.text.as_str();
    match text {
        _ if token.quoted => name(token, "database", Database::Name, Database::Pattern),
        "all" => Ok(Database::All),
        "sameuser" => Ok(Database::SameUser),
        "replication" => Ok(Database::Replication),
        "samerole" | "samegroup" => {
            Err(format!("{text} is not supported, Waypool does not know roles' members: list the databases"))
        }
        _ => name(token, "database", Database::Name, Database::Pattern),
    }
}

fn user(token: &Token) -> Result<User, String> {
    let text = token.text.as_str();
    if text.starts_with('+') && !token.quoted {
        return Err(format!("{text} is not supported, Waypool does not know roles' members: list the users"));
    }
    match text {
        "all" if !token.quoted => Ok(User::All),
        _ => name(token, "user", User::Name, User::Pattern),
    }
}

/// A plain name, or a regular expression after a slash (quotes around it keep
/// its commas and blanks together).
fn name<T>(
    token: &Token,
    what: &str,
    by_name: impl Fn(String) -> T,
    by_pattern: impl Fn(Regex) -> T,
) -> Result<T, String> {
    let text = token.text.as_str();
    if text.starts_with('@') && !token.quoted {
        return Err(format!("{text}: files of names are not supported: list the {what}s"));
    }
    match text.strip_prefix('/') {
        None => Ok(by_name(text.into())),
        Some(pattern) => Regex::new(pattern)
            .map(by_pattern)
            .map_err(|error| format!("invalid regular expression for a {what}: {error}")),
    }
}

fn action(method: &str) -> Result<Action, String> {
    let method = match method {
        "reject" => return Ok(Action::Reject),
        "trust" => Method::Trust,
        "password" => Method::Password,
        "md5" => Method::Md5,
        "scram-sha-256" => Method::ScramSha256,
        _ => {
            return Err(format!(
                "method \"{method}\" is not supported: \
                 write scram-sha-256, md5, password, trust or reject"
            ));
        }
    };
    Ok(Action::Authenticate(method))
}

/// A field which has to be one element.
fn single<'a>(field: &'a Field, what: &str) -> Result<&'a Token, String> {
    match field.as_slice() {
        [token] => Ok(token),
        _ => Err(format!("the {what} cannot be a list: write one rule for each")),
    }
}
