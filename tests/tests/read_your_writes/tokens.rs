//! `SHOW waypool.last_commit` and `SET waypool.read_after`.

use waypool_tests::psql;
use waypool_tests::raw::{Raw, extended};

use crate::{SEEN, login, pause, proxy, resume, seen, send, servers};

fn token(session: &mut Raw) -> String {
    session.value("SHOW waypool.last_commit")
}

#[test]
fn a_token_takes_a_commit_to_another_session() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary().port(), cluster.server(1).port());
    let proxy = proxy(&cluster, "off", 20).start();
    let [mut writer, mut reader] = ["anna", "bert"].map(|user| login(&proxy, user));
    pause(cluster.server(1));
    writer.run("INSERT INTO t VALUES (1)");
    let token = token(&mut writer);
    assert_eq!(seen(&mut writer), (standby, 0));
    let set = format!("SET waypool.read_after = '{token}'");
    let ways = [set.clone(), format!("SET SESSION waypool.read_after TO '{token}'"), set.to_lowercase()];
    let ends = ["RESET waypool.read_after", "DISCARD ALL", "RESET ALL", "SET waypool.read_after TO DEFAULT"];
    for end in ends {
        for way in &ways {
            assert_eq!(seen(&mut reader), (standby, 0));
            reader.run(way);
            assert_eq!(seen(&mut reader), (primary, 1), "{way}");
            reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
            assert_eq!(seen(&mut reader), (primary, 1), "{way}");
            reader.run("COMMIT");
            reader.run(end);
            assert_eq!(seen(&mut reader), (standby, 0), "{end}");
        }
    }
    send(&mut reader, &extended(&set), 1);
    assert_eq!(seen(&mut reader), (primary, 1));
    reader.run("SET waypool.read_after = ''");
    assert_eq!(seen(&mut reader), (standby, 0));
    // It is for this session alone, and the standby answers when it is there.
    reader.run(&set);
    assert_eq!(seen(&mut login(&proxy, "bert")), (standby, 0));
    assert_eq!(reader.value("SHOW waypool.read_after"), token);
    resume(&cluster, cluster.server(1));
    assert_eq!(seen(&mut reader), (standby, 1));
    proxy.stop();
}

#[test]
fn a_malformed_token_is_told_and_ignored() {
    let cluster = servers();
    let standby = cluster.server(1).port();
    let proxy = proxy(&cluster, "off", 20).start();
    let (mut writer, mut reader) = (Raw::login(&proxy), Raw::login(&proxy));
    pause(cluster.server(1));
    writer.run("INSERT INTO t VALUES (1)");
    for malformed in ["yesterday", "0/XYZ", "1", "0/1/2", "FFFFFFFFF/0", "/"] {
        let answer = reader.query(&format!("SET waypool.read_after = '{malformed}'"));
        let notice = answer.iter().find(|message| message.tag == b'N').expect("a NOTICE");
        assert_eq!(notice.field(b'S').as_deref(), Some("NOTICE"));
        let told = notice.field(b'M').unwrap();
        assert!(told.contains("waypool.read_after") && told.contains(malformed), "{told}");
        assert_eq!(seen(&mut reader), (standby, 0), "{malformed}");
    }
    assert_eq!(psql(&proxy, SEEN), format!("{standby} 0"));
    proxy.stop();
}

#[test]
fn the_token_is_a_position_that_grows() {
    let cluster = servers();
    for scope in ["off", "session", "user"] {
        let proxy = proxy(&cluster, scope, 20).start();
        let mut session = Raw::login(&proxy);
        let mut ask = |sql: &str| -> String {
            session.run(sql);
            let token = token(&mut session);
            cluster.primary().psql(&format!("SELECT '{token}'::pg_lsn - '0/0'::pg_lsn")).unwrap()
        };
        let first: u64 = ask("SELECT 1").parse().unwrap();
        let second: u64 = ask("INSERT INTO t SELECT max(n) + 1 FROM t").parse().unwrap();
        assert!(0 < first && first < second, "{first} {second}");
        proxy.stop();
    }
}
