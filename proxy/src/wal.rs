//! Positions in the write-ahead log.

/// `16/B374D848` as a number of bytes.
pub fn parse(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}

/// As PostgreSQL writes it.
pub fn show(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests;
