use super::*;

fn route(text: &str) -> Option<Command> {
    Some(Command::Route(text.to_owned()))
}

#[test]
fn commands_are_told_from_statements() {
    assert_eq!(Command::read(b" show POOL_NODES ;"), Some(Command::Pool(Pool::Nodes)));
    assert_eq!(Command::read(b"SHOW\tpool_version"), Some(Command::Pool(Pool::Version)));
    assert_eq!(Command::read(b"SHOW waypool.last_commit"), Some(Command::LastCommit));
    for statement in
        ["SHOW", "SHOW work_mem", "SHOW pool_nodes x", "SHOWpool_nodes", "SELECT 1", "", "SHOW \u{ff}"]
    {
        assert_eq!(Command::read(statement.as_bytes()), None, "{statement}");
    }
    assert_eq!(Command::read(b"SHOW \xff"), None);
}

#[test]
fn the_statement_to_explain_comes_in_any_quotes() {
    for (text, expected) in [
        ("SHOW waypool_route FOR SELECT 1", "SELECT 1"),
        ("show waypool_route for $$ SELECT '1' $$;", " SELECT '1' "),
        ("SHOW waypool_route FOR $a$SELECT $$1$$$a$", "SELECT $$1$$"),
        ("SHOW waypool_route FOR 'SELECT ''1'''", "SELECT '1'"),
        ("SHOW waypool_route FOR$$x$$", "x"),
    ] {
        assert_eq!(Command::read(text.as_bytes()), route(expected), "{text}");
    }
    for text in [
        "SHOW waypool_route",
        "SHOW waypool_route FORMAT x",
        "SHOW waypool_route FOR $$x",
        "SHOW waypool_route FOR 'x",
    ] {
        assert_eq!(Command::read(text.as_bytes()), None, "{text}");
    }
}
