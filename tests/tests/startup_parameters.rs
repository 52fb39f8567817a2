//! What a client says in its startup packet, through the proxy and directly.
#![allow(clippy::unwrap_used)]

use waypool_sandbox::Server;
use waypool_tests::raw::Raw;
use waypool_tests::twins::told;
use waypool_tests::wire::{self, Message, Wire};
use waypool_tests::{Proxy, primary_and_standby};

type Parameters<'a> = &'a [(&'a str, &'a str)];

fn primary() -> &'static Server {
    primary_and_standby().primary()
}

/// All that answers a startup packet, without the key, which is nobody else's.
fn greeting(mut wire: Wire, version: (u16, u16), parameters: Parameters<'_>) -> Vec<Message> {
    let mut all = vec![("user", "postgres"), ("database", "postgres")];
    all.extend(parameters);
    wire.send(&wire::startup(version, &all));
    let mut messages = wire.until_ready();
    messages.retain(|message| message.tag != b'K');
    messages
}

#[track_caller]
fn same_greeting(proxy: &Proxy, version: (u16, u16), parameters: Parameters<'_>) {
    let through = greeting(Wire::connect(proxy), version, parameters);
    let direct = greeting(Wire::connect_to(primary().port()), version, parameters);
    assert_eq!(told(&through), told(&direct), "{version:?} {parameters:?}");
}

/// What the parameters set, where a read and where a write runs.
#[track_caller]
fn same_settings(proxy: &Proxy, parameters: Parameters<'_>) {
    let settings = "concat_ws('|', current_setting('work_mem'), current_setting('search_path'), \
        current_setting('application_name'), current_setting('datestyle'), current_setting('timezone'), \
        current_setting('client_encoding'), current_setting('geqo'), current_setting('statement_timeout'), \
        current_setting('my.own', true))";
    let read = format!("SELECT {settings}");
    let write = format!("SELECT {settings} FROM random()");
    let direct = Raw::direct(primary(), parameters).value(&read);
    let mut through = Raw::login_with(proxy, parameters);
    assert_eq!(through.value(&write), direct, "on the primary: {parameters:?}");
    assert_eq!(through.value(&read), direct, "on the standby: {parameters:?}");
    through.leave();
}

#[test]
fn startup_parameters_reach_the_servers_and_the_greeting_tells_so() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start();
    let cases: &[Parameters<'_>] = &[
        &[],
        &[("application_name", "probe")],
        &[("application_name", "pröbe\n")],
        &[("options", "")],
        &[("options", "-c work_mem=7MB -c statement_timeout=5s")],
        &[("options", "-cwork_mem=7MB --statement-timeout=5s")],
        &[("options", r"-c search_path=a,\ b --my.own=back\\slash\ and\	tab")],
        &[("options", r"-c application_name=from\ options")],
        &[("options", r"-c application_name=from\ options"), ("application_name", "itself")],
        &[("options", "-c datestyle=German -c timezone=Asia/Tokyo"), ("TimeZone", "Europe/Berlin")],
        &[("DateStyle", "SQL, DMY"), ("client_encoding", "LATIN1"), ("geqo", "off")],
        &[("options", "-c geqo=off -fs"), ("work_mem", "7MB"), ("my.own", "yes")],
    ];
    for parameters in cases {
        same_greeting(&proxy, (3, 0), parameters);
        same_settings(&proxy, parameters);
    }
    proxy.stop();
}

#[test]
fn what_the_server_refuses_the_client_hears_in_the_servers_words() {
    let proxy = Proxy::builder(primary_and_standby()).start();
    for parameters in [
        ("options", "-c"),
        ("options", "-c work_mem"),
        ("options", "--no-such-parameter=1"),
        ("options", "-c work_mem=much"),
        ("options", "word"),
        ("options", "-c wal_level=minimal"),
        ("work_mem", "much"),
        ("no_such_parameter", "1"),
        ("client_encoding", "no such encoding"),
        ("replication", "maybe"),
    ] {
        let error = |mut wire: Wire| {
            let all = [("user", "postgres"), ("database", "postgres"), parameters];
            wire.send(&wire::startup((3, 0), &all));
            let messages = wire.until_closed();
            let error = messages.iter().find(|message| message.tag == b'E').unwrap();
            [b'S', b'C', b'M'].map(|field| error.field(field))
        };
        let through = error(Wire::connect(&proxy));
        assert_eq!(through, error(Wire::connect_to(primary().port())), "{parameters:?}");
    }
    proxy.stop();
}

#[test]
fn a_kept_connection_greets_as_a_new_one() {
    let proxy = Proxy::builder(primary_and_standby()).top("default_pool_size = 1").start();
    let parameters = [("options", "-c datestyle=German"), ("application_name", "kept")];
    let login = || Raw::login_with(&proxy, &parameters);
    let mut first = login();
    let pid = first.backend_pid();
    first.run("SET datestyle = ISO; SET application_name = another; SET timezone = 'Asia/Tokyo'");
    first.leave();
    let greeted = greeting(Wire::connect(&proxy), (3, 0), &parameters);
    let direct = greeting(Wire::connect_to(primary().port()), (3, 0), &parameters);
    assert_eq!(told(&greeted), told(&direct));
    assert_eq!(login().backend_pid(), pid);
    proxy.stop();
}

#[test]
fn protocol_options_that_nobody_knows_are_answered_as_by_the_server() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).start();
    same_greeting(&proxy, (3, 0), &[("_pq_.shiny", "yes")]);
    same_greeting(&proxy, (3, 0), &[("_pq_.b", ""), ("application_name", "x"), ("_pq_.a", "1")]);
    proxy.stop();
}
