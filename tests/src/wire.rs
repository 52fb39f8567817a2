//! A client that speaks the protocol by hand, for what real clients never send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::{PATIENCE, Proxy};

/// One message of a server: its type and what follows the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse: `b'C'` is the SQLSTATE,
    /// `b'M'` the message.
    pub fn field(&self, wanted: u8) -> Option<String> {
        let mut fields = self.body.split(|byte| *byte == 0);
        let found = fields.find(|field| field.first() == Some(&wanted))?;
        Some(String::from_utf8_lossy(&found[1..]).into_owned())
    }

    /// The columns of a DataRow as text; NULL is `None`.
    pub fn columns(&self) -> Vec<Option<String>> {
        let mut rest = &self.body[2..];
        let mut columns = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (value, after) = after.split_at(length.unwrap_or(0));
            columns.push(length.map(|_| String::from_utf8_lossy(value).into_owned()));
            rest = after;
        }
        columns
    }
}

/// A TCP connection to the proxy.
#[derive(Debug)]
pub struct Wire {
    pub stream: TcpStream,
}

impl Wire {
    /// Connects, and says nothing.
    pub fn connect(proxy: &Proxy) -> Wire {
        Wire::connect_to(proxy.port())
    }

    /// Connects to a port of this machine: a server's, past the proxy.
    pub fn connect_to(port: u16) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket option");
        let timeout = Some(PATIENCE);
        stream.set_read_timeout(timeout).expect("a socket option");
        stream.set_write_timeout(timeout).expect("a socket option");
        Wire { stream }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("waypool reads");
    }

    /// All messages up to and with ReadyForQuery; panics at a closed connection.
    pub fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message =
                self.next().unwrap_or_else(|| panic!("the connection was closed after {messages:?}"));
            let ready = message.tag == b'Z';
            messages.push(message);
            if ready {
                return messages;
            }
        }
    }

    /// The next message; none when the connection is closed. The error is a
    /// silence, or an end in the middle of a message.
    pub fn read_message(&mut self) -> io::Result<Option<Message>> {
        let mut header = [0; 5];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if is_closed(error.kind()) => return Ok(None),
            Err(error) => return Err(error),
        }
        let [tag, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize;
        let mut body = vec![0; length.checked_sub(4).expect("a length of at least 4")];
        self.stream.read_exact(&mut body)?;
        Ok(Some(Message { tag, body }))
    }

    /// All messages until the proxy closes the connection.
    pub fn until_closed(&mut self) -> Vec<Message> {
        self.collect()
    }

    /// One Query message, and everything that answers it.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.send(&query(sql));
        self.until_ready()
    }
}

/// The messages of the proxy, until it closes the connection; panics when it
/// says nothing for too long.
impl Iterator for Wire {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.read_message().unwrap_or_else(|error| panic!("waypool does not answer: {error}"))
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

// === messages of a client ===

/// A message: its type, its length, its parts one after another.
pub fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(untagged(parts));
    bytes
}

fn untagged(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&length.to_be_bytes()[..], &body].concat()
}

/// A string with its terminator.
pub fn string(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// StartupMessage with this protocol version.
pub fn startup(version: (u16, u16), parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = [version.0.to_be_bytes(), version.1.to_be_bytes()].concat();
    for (name, value) in parameters {
        body.extend(string(name));
        body.extend(string(value));
    }
    body.push(0);
    untagged(&[&body])
}

/// SSLRequest
pub fn ssl_request() -> Vec<u8> {
    untagged(&[&80_877_103_u32.to_be_bytes()])
}

/// CancelRequest
pub fn cancel_request(pid: u32, key: &[u8]) -> Vec<u8> {
    untagged(&[&80_877_102_u32.to_be_bytes(), &pid.to_be_bytes(), key])
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[&string(sql)])
}

/// Parse, without parameter types.
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[&string(name), &string(sql), &[0, 0]])
}

/// Bind with parameters in text form, results in text form.
pub fn bind(portal: &str, statement: &str, values: &[&str]) -> Vec<u8> {
    let count = u16::try_from(values.len()).expect("few parameters").to_be_bytes();
    let mut body = [string(portal), string(statement), vec![0, 0], count.to_vec()].concat();
    for value in values {
        let length = u32::try_from(value.len()).expect("a short value");
        body.extend(length.to_be_bytes());
        body.extend(value.as_bytes());
    }
    message(b'B', &[&body, &[0, 0]])
}

/// Describe: `kind` is `b'S'` for a statement, `b'P'` for a portal.
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    message(b'D', &[&[kind], &string(name)])
}

/// Execute; `rows` of 0 is all.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    message(b'E', &[&string(portal), &rows.to_be_bytes()])
}

/// Close: `kind` as in [`describe`].
pub fn close(kind: u8, name: &str) -> Vec<u8> {
    message(b'C', &[&[kind], &string(name)])
}

pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}
