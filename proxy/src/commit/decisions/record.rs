//! A line of the log: words, and a checksum over them. People can read it.

use std::fmt::Write;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Whose log this is; its first line.
    Header { instance: String, start: u64 },
    /// The transaction is to be committed on these servers.
    Commit { gid: String, servers: Vec<String> },
    /// It has been, on all of them.
    Done { gid: String },
}

impl Record {
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = String::new();
        // Writing to a String does not fail.
        let _ = match self {
            Record::Header { instance, start } => write!(line, "waypool-decisions-1 {instance} {start}"),
            Record::Commit { gid, servers } => {
                let servers: Vec<String> = servers.iter().map(|server| escape(server)).collect();
                write!(line, "commit {gid} {}", servers.join(","))
            }
            Record::Done { gid } => write!(line, "done {gid}"),
        };
        let _ = writeln!(line, " {:08x}", crc32fast::hash(line.as_bytes()));
        out.extend_from_slice(line.as_bytes());
    }

    /// `line` is without its end. `None`: it is damaged.
    pub fn read(line: &[u8]) -> Option<Record> {
        let line = std::str::from_utf8(line).ok()?;
        let (words, sum) = line.rsplit_once(' ')?;
        if sum.len() != 8 || u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(words.as_bytes()) {
            return None;
        }
        match words.split(' ').collect::<Vec<_>>().as_slice() {
            ["waypool-decisions-1", instance, start] => {
                Some(Record::Header { instance: (*instance).to_owned(), start: start.parse().ok()? })
            }
            ["commit", gid, servers] => {
                let servers: Option<Vec<String>> = servers.split(',').map(unescape).collect();
                Some(Record::Commit { gid: (*gid).to_owned(), servers: servers? })
            }
            ["done", gid] => Some(Record::Done { gid: (*gid).to_owned() }),
            _ => None,
        }
    }
}

/// The folder of a Unix socket may have anything in its name.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for c in name.chars() {
        match c {
            '%' | ',' | ' ' | '\n' => {
                let _ = write!(escaped, "%{:02X}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('%');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let code = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        text.push(char::from(code));
        text.push_str(part.get(2..)?);
    }
    Some(text)
}
