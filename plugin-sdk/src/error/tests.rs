#![allow(clippy::unwrap_used)]

use super::{Error, Result};
use std::fmt;

#[derive(Debug)]
struct Outer(std::num::ParseIntError, bool);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.1 {
            true => write!(f, "no limit: {}", self.0),
            false => write!(f, "no limit"),
        }
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn limit(text: &str, shows_source: bool) -> Result<u8> {
    Ok(text.parse().map_err(|error| Outer(error, shows_source))?)
}

#[test]
fn sources_are_told_once() {
    for shows_source in [false, true] {
        let error = limit("many", shows_source).unwrap_err();
        assert_eq!(error.to_string(), "no limit: invalid digit found in string");
    }
}

#[test]
fn texts_are_errors() {
    let text = || -> Result<()> { Err("text")? };
    let string = || -> Result<()> { Err(format!("{}", 7))? };
    let boxed = || -> Result<()> { Err(Box::<dyn std::error::Error>::from("boxed"))? };
    let own = || -> Result<()> { Err(Error::new("own").context("here"))? };
    let said = [text(), string(), boxed(), own()].map(|result| String::from(result.unwrap_err()));
    assert_eq!(said, ["text", "7", "boxed", "here: own"]);
}
