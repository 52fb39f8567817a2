//! The version of this plugin, and its mood: bytes in the compiled file, for
//! tests to change.

use waypool_plugin_sdk::Error;

/// What tests look for in the file; three digits and the mood follow.
pub const MARK: &str = "waypool-witness:";

/// As built: version 1, sound.
static STAMP: [u8; 30] = *b"waypool-witness:001:sound     ";

/// How a version behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Sound,
    /// It traps in `init`.
    Stillborn,
    /// Its self-test fails.
    Sick,
    /// It traps at every text that clients send.
    Fragile,
    /// It traps when statements are to be routed, and nothing shows it before.
    Traitor,
}

/// The words for them, of ten bytes at most.
pub const MOODS: [(&str, Mood); 5] = [
    ("sound", Mood::Sound),
    ("stillborn", Mood::Stillborn),
    ("sick", Mood::Sick),
    ("fragile", Mood::Fragile),
    ("traitor", Mood::Traitor),
];

/// The version and the mood.
pub fn read() -> Result<(u32, Mood), Error> {
    // SAFETY: a reference to a static is good to read from. Volatile, so that
    // the compiler does not take the bytes for what they are in the source.
    let stamp = unsafe { std::ptr::read_volatile(&raw const STAMP) };
    parse(&stamp).ok_or_else(|| format!("not a stamp: {}", stamp.escape_ascii()).into())
}

fn parse(stamp: &[u8]) -> Option<(u32, Mood)> {
    let (version, word) = std::str::from_utf8(stamp).ok()?.strip_prefix(MARK)?.split_once(':')?;
    let (_, mood) = MOODS.iter().find(|(known, _)| *known == word.trim_end())?;
    Some((version.parse().ok()?, *mood))
}
