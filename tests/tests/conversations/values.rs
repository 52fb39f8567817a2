//! Formats, NULLs, types that do not fit, functions called by their message.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::wire::{bind, describe, execute, parse};

use crate::parts::{bind_as, call, parse_typed};

const INT4: u32 = 23;
const TEXT: u32 = 25;
/// int4pl, textcat, 1 / 0 is int4div.
const INT4PL: u32 = 177;
const INT4DIV: u32 = 154;

pub fn list() -> Vec<Conversation> {
    let types = [INT4, TEXT];
    let sql = "SELECT $1 AS number, $2 AS text, at, amount FROM t WHERE id = 1";
    let seven = 7_i32.to_be_bytes();
    let run = |bind: Vec<u8>| [bind, describe(b'P', ""), execute("", 0)];
    vec![
        talk("all in binary").cycle(&[parse_typed("", sql, &types)]).cycle(&run(bind_as(
            "",
            "",
            &[1],
            &[Some(&seven), Some(b"text")],
            &[1],
        ))),
        talk("a format for each").cycle(&[parse_typed("", sql, &types)]).cycle(&run(bind_as(
            "",
            "",
            &[1, 0],
            &[Some(&seven), Some(b"text")],
            &[0, 1, 0, 1],
        ))),
        talk("NULLs")
            .cycle(&[parse_typed("", sql, &types)])
            .cycle(&run(bind_as("", "", &[], &[None, None], &[])))
            .cycle(&run(bind_as("", "", &[1], &[None, Some(b"")], &[1])))
            .query("SELECT NULL, '', ARRAY[NULL]::text[], ROW(NULL, NULL)"),
        talk("formats that are too many")
            .cycle(&[parse_typed("", sql, &types)])
            .cycle(&run(bind_as("", "", &[1, 0, 0], &[Some(&seven), Some(b"text")], &[])))
            .cycle(&run(bind_as("", "", &[0], &[Some(b"7"), Some(b"text")], &[0, 1])))
            .cycle(&run(bind_as("", "", &[2], &[Some(b"7"), Some(b"text")], &[0]))),
        talk("parameters that are too few, too many, or do not fit")
            .needs_session()
            .cycle(&[parse_typed("fit", "SELECT $1", &[INT4])])
            .cycle(&[bind("", "fit", &[]), execute("", 0)])
            .cycle(&[bind("", "fit", &["1", "2"]), execute("", 0)])
            .cycle(&[bind("", "fit", &["x"]), execute("", 0)])
            .cycle(&[bind("", "fit", &["99999999999"]), execute("", 0)])
            .cycle(&[bind_as("", "fit", &[1], &[Some(b"abc")], &[]), execute("", 0)])
            .cycle(&[bind_as("", "fit", &[1], &[Some(b"abcdefgh")], &[]), execute("", 0)])
            .cycle(&[bind("", "fit", &["5"]), execute("", 0)]),
        talk("text that is no text")
            .cycle(&[parse_typed("", "SELECT length($1)", &[TEXT])])
            .cycle(&[bind_as("", "", &[0], &[Some(b"\xff\xfe")], &[]), execute("", 0)])
            .cycle(&[bind_as("", "", &[0], &[Some(b"a\0b")], &[]), execute("", 0)]),
        talk("types of its own, both ways")
            .cycle(&[parse("", "SELECT mood, pair, list FROM moods WHERE mood = $1")])
            .cycle(&[bind_as("", "", &[], &[Some(b"fine")], &[0]), execute("", 0)])
            .cycle(&[bind_as("", "", &[1], &[Some(b"fine")], &[1, 0, 1]), execute("", 0)])
            .cycle(&[bind_as("", "", &[], &[Some(b"angry")], &[0]), execute("", 0)]),
        talk("a parameter of a megabyte")
            .cycle(&[parse_typed("", "SELECT md5($1), length($1)", &[TEXT])])
            .cycle(&run(bind_as("", "", &[], &[Some(&vec![b'x'; 1 << 20])], &[]))),
        talk("a result of ten megabytes in binary")
            .cycle(&[parse("", "SELECT repeat('0123456789', 1048576)::bytea, generate_series(1, 2)")])
            .cycle(&run(bind_as("", "", &[], &[], &[1]))),
        talk("functions called by their message")
            .say(&[call(INT4PL, 0, &[Some(b"40"), Some(b"2")])])
            .ready(1)
            .say(&[call(INT4PL, 1, &[Some(&seven), Some(&seven)])])
            .ready(1)
            .say(&[call(INT4PL, 0, &[Some(b"40"), None])])
            .ready(1)
            .say(&[call(INT4PL, 0, &[Some(b"40")])])
            .ready(1)
            .say(&[call(INT4DIV, 0, &[Some(b"40"), Some(b"0")])])
            .ready(1)
            .say(&[call(99_999_999, 0, &[])])
            .ready(1)
            .query("SELECT 'goes on'"),
        talk("functions called in a transaction")
            .query("BEGIN")
            .say(&[call(INT4PL, 0, &[Some(b"40"), Some(b"2")])])
            .ready(1)
            .say(&[call(INT4DIV, 0, &[Some(b"40"), Some(b"0")])])
            .ready(1)
            .say(&[call(INT4PL, 0, &[Some(b"40"), Some(b"2")])])
            .ready(1)
            .query("ROLLBACK"),
    ]
}
