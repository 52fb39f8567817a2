//! The startup parameter `options`: switches of the server's command line, of
//! which those that set a parameter are of interest here.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS>

/// The settings in `options`, in their order: `-c name=value` and
/// `--name=value`. `None` if there is anything else in it, or a setting without
/// a value: what becomes of that only the server can tell.
pub fn options_settings(options: &str) -> Option<Vec<(String, String)>> {
    let words = split(options);
    let mut words = words.iter().map(String::as_str);
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        settings.push(setting(switch(word, &mut words)?)?);
    }
    Some(settings)
}

/// Takes the setting `name` out of `options`: its value, if it was there, and
/// what is left.
pub fn take_setting(options: &str, name: &str) -> (Option<String>, String) {
    let words = split(options);
    let mut rest = words.iter().map(String::as_str).peekable();
    let (mut value, mut left) = (None, Vec::new());
    while let Some(word) = rest.next() {
        let mut ahead = rest.clone();
        match switch(word, &mut ahead).and_then(setting) {
            Some((known, its_value)) => {
                let taken = words.len() - ahead.len();
                let begins = words.len() - rest.len() - 1;
                if known == name {
                    value = Some(its_value);
                } else {
                    left.extend(words[begins..taken].iter().map(|word| escaped(word)));
                }
                rest = ahead;
            }
            None => left.push(escaped(word)),
        }
    }
    (value, left.join(" "))
}

/// `name=value` of the switch that `word` begins.
fn switch<'w>(word: &'w str, rest: &mut impl Iterator<Item = &'w str>) -> Option<&'w str> {
    match word.strip_prefix("-c") {
        Some("") => rest.next(),
        Some(attached) => Some(attached),
        None => word.strip_prefix("--").filter(|setting| !setting.is_empty()),
    }
}

/// As in the server, a dash in a name stands for an underscore.
fn setting(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.replace('-', "_"), value.to_owned()))
}

/// Words with white space between them; a backslash makes the character behind
/// it part of the word.
fn split(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = options.chars().peekable();
    loop {
        while rest.next_if(|c| is_space(*c)).is_some() {}
        if rest.peek().is_none() {
            return words;
        }
        let mut word = String::new();
        while let Some(c) = rest.next_if(|c| !is_space(*c)) {
            word.extend(if c == '\\' { rest.next() } else { Some(c) });
        }
        words.push(word);
    }
}

fn escaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for c in word.chars() {
        if is_space(c) || c == '\\' {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// C's `isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests;
