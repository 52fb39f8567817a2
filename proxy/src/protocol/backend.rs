//! Messages of a server, as the proxy sends them to its clients and reads
//! them from servers.

/// What ReadyForQuery says of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransactionStatus {
    #[default]
    Idle,
    Open,
    Failed,
}

impl TransactionStatus {
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Open),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }
}

/// Appends one message: `fill` writes its body, the length is put in after.
pub fn message(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend([0; 4]);
    fill(out);
    // Bodies of ours are far below 4 GB.
    let len = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|&b| b != 0));
    out.push(0);
}

/// Authentication…: the body is a code and what belongs to it.
pub fn authentication(out: &mut Vec<u8>, body: &[u8]) {
    message(out, b'R', |b| b.extend_from_slice(body));
}

pub fn authentication_ok(out: &mut Vec<u8>) {
    authentication(out, &[0, 0, 0, 0]);
}

pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, b'S', |b| {
        text(b, name);
        text(b, value);
    });
}

pub fn backend_key_data(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    message(out, b'K', |b| {
        b.extend(pid.to_be_bytes());
        b.extend_from_slice(key);
    });
}

/// NegotiateProtocolVersion: the newest minor we speak (of major 3), and the
/// `_pq_.` options which we do not know.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, minor: u16, unknown: &[String]) {
    message(out, b'v', |b| {
        b.extend(((3u32 << 16) | u32::from(minor)).to_be_bytes());
        b.extend((unknown.len() as u32).to_be_bytes());
        for option in unknown {
            text(b, option);
        }
    });
}

/// A ParseComplete, whole.
pub const PARSE_COMPLETE: [u8; 5] = [b'1', 0, 0, 0, 4];

/// A ParameterDescription with the first of the parameters of another one alone.
pub fn fewer_parameters(out: &mut Vec<u8>, body: &[u8], keep: usize) {
    let types = body.get(2..).unwrap_or_default();
    let types = types.get(..4 * keep).unwrap_or(types);
    message(out, b't', |b| {
        b.extend(((types.len() / 4) as u16).to_be_bytes());
        b.extend_from_slice(types);
    });
}

pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    message(out, b'Z', |b| b.push(status.byte()));
}

pub fn command_complete(out: &mut Vec<u8>, tag: &str) {
    message(out, b'C', |b| text(b, tag));
}

/// A whole answer of text columns: RowDescription, rows, CommandComplete.
pub fn text_result(out: &mut Vec<u8>, columns: &[&str], rows: &[Vec<String>], tag: &str) {
    const TEXT_OID: u32 = 25;
    message(out, b'T', |b| {
        b.extend((columns.len() as u16).to_be_bytes());
        for column in columns {
            text(b, column);
            b.extend([0; 6]); // no table, no column number
            b.extend(TEXT_OID.to_be_bytes());
            b.extend((-1i16).to_be_bytes()); // variable length
            b.extend((-1i32).to_be_bytes()); // no type modifier
            b.extend([0; 2]); // text format
        }
    });
    for row in rows {
        message(out, b'D', |b| {
            b.extend((row.len() as u16).to_be_bytes());
            for value in row {
                b.extend((value.len() as u32).to_be_bytes());
                b.extend_from_slice(value.as_bytes());
            }
        });
    }
    command_complete(out, tag);
}

/// Splits the first NUL-terminated string off.
pub fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The name and value of a ParameterStatus body.
pub fn parse_parameter_status(body: &[u8]) -> Option<(&str, &str)> {
    let (name, rest) = split_text(body)?;
    let (value, _) = split_text(rest)?;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

/// The process id and secret key of a BackendKeyData body.
pub fn parse_key_data(body: &[u8]) -> Option<(u32, &[u8])> {
    let (pid, key) = body.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*pid), key))
}

/// The columns of a DataRow in text format; `None` if malformed.
pub fn parse_data_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Vec::with_capacity(usize::from(u16::from_be_bytes(*count)));
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        let len = i32::from_be_bytes(*len);
        if len < 0 {
            row.push(None);
            continue;
        }
        let (value, tail) = rest.split_at_checked(len as usize)?;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = tail;
    }
    Some(row)
}
