//! Messages, and runs of messages, that several conversations have.

use waypool_tests::wire;

/// A statement without a name: Parse to Execute.
pub fn unnamed(sql: &str) -> Vec<u8> {
    [wire::parse("", sql), wire::bind("", "", &[]), wire::describe(b'P', ""), wire::execute("", 0)].concat()
}

/// The same without Describe.
pub fn plain(sql: &str) -> Vec<u8> {
    [wire::parse("", sql), wire::bind("", "", &[]), wire::execute("", 0)].concat()
}

/// Parse with types of the parameters.
pub fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let count = u16::try_from(types.len()).unwrap().to_be_bytes();
    let types: Vec<u8> = types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
    wire::message(b'P', &[&wire::string(name), &wire::string(sql), &count, &types])
}

/// Bind with all that it can say. A format of 0 is text, 1 binary.
pub fn bind_as(
    portal: &str,
    statement: &str,
    formats: &[u16],
    values: &[Option<&[u8]>],
    results: &[u16],
) -> Vec<u8> {
    let numbers = |all: &[u16]| {
        let count = u16::try_from(all.len()).unwrap();
        [count].iter().chain(all).flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>()
    };
    let mut body = [wire::string(portal), wire::string(statement), numbers(formats)].concat();
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    body.extend(numbers(results));
    wire::message(b'B', &[&body])
}

/// FunctionCall, with one format for all.
pub fn call(function: u32, format: u16, arguments: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = [&function.to_be_bytes()[..], &1_u16.to_be_bytes(), &format.to_be_bytes()].concat();
    body.extend(u16::try_from(arguments.len()).unwrap().to_be_bytes());
    for argument in arguments {
        let length = argument.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend(argument.unwrap_or_default());
    }
    body.extend(format.to_be_bytes());
    wire::message(b'F', &[&body])
}
