#![allow(clippy::unwrap_used)]
use super::startup::{Replication, Request, Startup, StartupError};
use super::*;

fn startup_packet(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    startup::write_startup(&mut out, parameters.iter().copied());
    out
}

#[test]
fn client_frames_are_checked_as_postgresql_does() {
    assert_eq!(Frame::from_client(b"Q\0\0"), Ok(None));
    assert_eq!(Frame::from_client(b"Q\0\0\0\x06a\0"), Ok(Some(Frame { tag: b'Q', len: 7 })));
    assert_eq!(Frame::from_client(b"Q\0\0\0\x03"), Err(FrameError::InvalidLength));
    assert_eq!(Frame::from_client(b"Q\x7f\xff\xff\xff"), Err(FrameError::InvalidLength));
    assert_eq!(Frame::from_client(b"S\0\x01\0\0"), Err(FrameError::InvalidLength));
    assert_eq!(Frame::from_client(b"!"), Err(FrameError::UnknownType(b'!')));
}

#[test]
fn startup_packets() {
    let packet = startup_packet(&[("user", "alice"), ("application_name", "x")]);
    let (request, len) = startup::read(&packet).unwrap().unwrap();
    assert_eq!(len, packet.len());
    let Request::Startup(startup) = request else { panic!("not a startup") };
    assert_eq!((startup.user.as_str(), startup.database.as_str()), ("alice", "alice"));
    assert_eq!(startup.parameters, [("application_name".to_owned(), "x".to_owned())]);
    assert_eq!(startup::read(&packet[..packet.len() - 1]), Ok(None));
}

#[test]
fn odd_startup_packets_are_refused() {
    assert_eq!(startup::read(b"GET / HTTP/1.1\r\n"), Err(StartupError::Length));
    assert_eq!(startup::read(&[0, 0, 0, 3, 0]), Err(StartupError::Length));
    assert_eq!(startup::read(&startup_packet(&[])), Err(StartupError::NoUser));
    let version2 = [0, 0, 0, 8, 0, 2, 0, 0];
    assert_eq!(startup::read(&version2), Err(StartupError::Version { major: 2, minor: 0 }));
    let mut cut = startup_packet(&[("user", "alice")]);
    cut.pop();
    let len = cut.len() as u32;
    cut[..4].copy_from_slice(&len.to_be_bytes());
    assert_eq!(startup::read(&cut), Err(StartupError::Layout));
}

#[test]
fn cancel_keys_of_any_length() {
    let mut out = Vec::new();
    startup::write_cancel_request(&mut out, 7, &[9; 32]);
    let expected = Request::Cancel { pid: 7, key: vec![9; 32] };
    assert_eq!(startup::read(&out), Ok(Some((expected, 44))));
}

#[test]
fn error_round_trip() {
    let mut out = Vec::new();
    PgError::fatal("53300", "too\0 many").with_hint("wait").write(&mut out);
    let frame = Frame::from_server(&out).unwrap().unwrap();
    assert_eq!(frame, Frame { tag: b'E', len: out.len() });
    let fields = error::ErrorFields::parse(&out[HEADER_LEN..]);
    assert_eq!((fields.severity, fields.sqlstate, fields.message), ("FATAL", "53300", "too many"));
    assert!(fields.ends_connection());
}

#[test]
fn truncated_bodies_are_refused_not_panicked_over() {
    assert_eq!(frontend::Parse::read(b"name\0SELECT"), None);
    assert_eq!(frontend::Bind::read(b"portal"), None);
    assert_eq!(frontend::Named::read(b"X\0"), None);
    assert_eq!(backend::parse_data_row(&[0, 1, 0, 0, 0, 9, 1]), None);
}

#[test]
fn a_parse_with_another_text_keeps_its_name_and_its_types() {
    let body = b"name\0SELECT 1\0\0\x01\0\0\0\x17";
    let parse = frontend::Parse::read(body).unwrap();
    let mut out = Vec::new();
    frontend::parse_with(&mut out, body, parse, b"SELECT 1 LIMIT 5");
    assert_eq!(Frame::from_client(&out), Ok(Some(Frame { tag: b'P', len: out.len() })));
    assert_eq!(out[HEADER_LEN..], *b"name\0SELECT 1 LIMIT 5\0\0\x01\0\0\0\x17");
}

mod replies {
    use crate::protocol::backend::{self, TransactionStatus};
    use crate::protocol::replies::{Event, Replies};

    fn answer() -> Vec<u8> {
        let mut out = Vec::new();
        backend::text_result(&mut out, &["a"], &[vec!["1".into()]], "SELECT 1");
        backend::ready_for_query(&mut out, TransactionStatus::Idle);
        out
    }

    #[test]
    fn a_whole_answer_is_one_span() {
        let mut replies = Replies::<()>::default();
        replies.query(true);
        let bytes = answer();
        let scan = replies.scan(&bytes).unwrap();
        assert_eq!((scan.relay, scan.skip), (bytes.len(), 0));
        assert_eq!(scan.event, Some((Event::Ready { status: TransactionStatus::Idle, relay: true }, 6)));
        assert!(replies.is_quiet());
    }

    #[test]
    fn every_split_of_an_answer_relays_the_same_bytes() {
        let bytes = answer();
        for cut in 0..bytes.len() {
            let mut replies = Replies::<()>::default();
            replies.query(true);
            let first = replies.scan(&bytes[..cut]).unwrap();
            assert_eq!(first.event, None);
            let seen = first.relay + first.skip;
            let second = replies.scan(&bytes[seen..]).unwrap();
            assert_eq!(first.relay + second.relay, bytes.len(), "cut at {cut}");
            assert!(replies.is_quiet());
        }
    }

    #[test]
    fn a_dropped_cycle_relays_nothing() {
        let mut replies = Replies::<()>::default();
        replies.query(false);
        replies.query(true);
        let mut bytes = answer();
        bytes.extend(answer());
        let (mut at, mut relayed, mut ready) = (0, 0, 0);
        while at < bytes.len() {
            let scan = replies.scan(&bytes[at..]).unwrap();
            assert!(scan.relay + scan.skip > 0);
            at += scan.relay + scan.skip;
            relayed += scan.relay;
            ready += usize::from(scan.event.is_some());
        }
        assert_eq!((relayed, ready), (bytes.len() / 2, 2));
    }

    fn notification() -> Vec<u8> {
        let mut out = Vec::new();
        backend::message(&mut out, b'A', |body| body.extend(b"\0\0\0\x07news\0\0"));
        out
    }

    #[test]
    fn notifications_are_told_of_instead_of_relayed_if_somebody_catches_them() {
        let bytes = [notification(), answer()].concat();
        let len = notification().len();
        let mut replies = Replies::<()>::default();
        replies.catch_notifications();
        replies.query(true);
        let half = replies.scan(&bytes[..len - 1]).unwrap();
        assert_eq!((half.relay, half.skip, half.wants), (0, 0, Some(len)));
        let scan = replies.scan(&bytes).unwrap();
        assert_eq!((scan.relay, scan.skip, scan.event), (0, len, Some((Event::Notification, len))));
        assert_eq!(replies.scan(&bytes[len..]).unwrap().relay, bytes.len() - len);
    }

    #[test]
    fn a_notification_is_not_lost_among_dropped_answers() {
        let bytes = notification();
        let mut replies = Replies::<()>::default();
        assert_eq!(replies.scan(&bytes).unwrap().relay, bytes.len(), "between answers it is relayed");
        replies.query(false);
        let scan = replies.scan(&bytes).unwrap();
        assert_eq!((scan.skip, scan.event), (bytes.len(), Some((Event::Notification, bytes.len()))));
    }

    #[test]
    fn notices_and_descriptions_are_not_yet_an_answer() {
        let mut replies = Replies::<()>::default();
        replies.query(true);
        let notice = b"N\0\0\0\x05\0";
        assert!(!replies.scan(&notice[..5]).unwrap().answers);
        assert!(!replies.scan(&notice[5..]).unwrap().answers);
        assert!(!replies.scan(b"T\0\0\0\x06\0\0").unwrap().answers);
        assert!(replies.scan(&[notice.as_slice(), b"I\0\0\0\x04"].concat()).unwrap().answers);
    }

    #[test]
    fn the_answer_to_a_parse_of_ours_is_dropped() {
        let mut replies = Replies::<()>::default();
        replies.extended(true);
        replies.ack(false, None);
        replies.ack(true, None);
        replies.sync(true);
        let bytes = b"1\0\0\0\x041\0\0\0\x042\0\0\0\x04Z\0\0\0\x05I";
        let scan = replies.scan(bytes).unwrap();
        assert_eq!((scan.relay, scan.skip, scan.event), (0, 5, None));
        let scan = replies.scan(&bytes[5..]).unwrap();
        assert_eq!((scan.relay, scan.skip), (16, 0));
    }

    #[test]
    fn a_failed_cycle_gives_its_unanswered_parses_back_newest_first() {
        let mut replies = Replies::default();
        replies.extended(true);
        replies.ack(true, Some(1));
        replies.ack(true, Some(2));
        replies.ack(true, Some(3));
        replies.sync(true);
        replies.scan(b"1\0\0\0\x04E\0\0\0\x05\0").unwrap();
        replies.scan(b"Z\0\0\0\x05I").unwrap();
        assert_eq!(replies.take_unanswered().collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn a_lost_connection_gives_back_what_its_open_cycles_have_had_answered_too() {
        let mut replies = Replies::default();
        for first in [1, 3] {
            replies.extended(true);
            replies.ack(true, Some(first));
            replies.ack(true, Some(first + 1));
            replies.sync(true);
        }
        replies.scan(b"1\0\0\0\x041\0\0\0\x04Z\0\0\0\x05I").unwrap();
        replies.scan(b"1\0\0\0\x04").unwrap();
        assert_eq!(replies.abandon().collect::<Vec<_>>(), [4, 3]);
    }

    fn complete(tag: &str) -> Vec<u8> {
        let mut out = vec![b'C'];
        out.extend((tag.len() as u32 + 5).to_be_bytes());
        out.extend(tag.as_bytes());
        out.push(0);
        out
    }

    #[test]
    fn complete_commands_are_told_if_somebody_wants_to_know() {
        let mut replies = Replies::<()>::default();
        replies.query(true);
        assert_eq!(replies.scan(&complete("SELECT 7")).unwrap().event, None);
        replies.watch();
        for (tag, rows) in
            [("SELECT 7", 7), ("INSERT 0 12", 12), ("COPY 3", 3), ("BEGIN", 0), ("CREATE TABLE", 0), ("", 0)]
        {
            let bytes = complete(tag);
            let scan = replies.scan(&bytes).unwrap();
            assert_eq!(scan.event, Some((Event::Complete { rows }, bytes.len())), "{tag}");
            assert_eq!((scan.relay, scan.skip), (bytes.len(), 0), "{tag}");
        }
        // Nothing, and a part of the rows
        for frame in [b"I\0\0\0\x04", b"s\0\0\0\x04"] {
            assert_eq!(replies.scan(frame).unwrap().event, Some((Event::Complete { rows: 0 }, 5)));
        }
    }

    #[test]
    fn a_complete_command_is_told_when_it_is_whole() {
        let bytes = complete("UPDATE 42");
        for cut in 0..bytes.len() {
            let mut replies = Replies::<()>::default();
            replies.query(true);
            replies.watch();
            let first = replies.scan(&bytes[..cut]).unwrap();
            assert_eq!((first.relay, first.event), (0, None), "cut at {cut}");
            let second = replies.scan(&bytes).unwrap();
            assert_eq!(second.event, Some((Event::Complete { rows: 42 }, bytes.len())));
        }
    }

    #[test]
    fn of_copies_nobody_hears() {
        let mut replies = Replies::<()>::default();
        replies.query(false);
        replies.watch();
        assert_eq!(replies.scan(&complete("SELECT 7")).unwrap().event, None);
    }

    #[test]
    fn copy_in_swallows_the_sync_behind_the_execute() {
        let mut replies = Replies::<()>::default();
        replies.extended(true);
        replies.sync(true);
        assert!(!replies.is_open());
        let scan = replies.scan(b"G\0\0\0\x07\0\0\0").unwrap();
        assert_eq!(scan.event, Some((Event::CopyIn { ended: false }, 8)));
        assert!(replies.is_open());
        replies.sync(true);
        assert_eq!(replies.cycles(), 1);
    }
}

fn started(parameters: &[(&str, &str)]) -> Result<Startup, StartupError> {
    match startup::read(&startup_packet(parameters))?.unwrap().0 {
        Request::Startup(startup) => Ok(startup),
        other => panic!("{other:?}"),
    }
}

#[test]
fn replication_is_a_boolean_or_of_a_database() {
    let kind = |value: &str| {
        started(&[("user", "alice"), ("replication", value)]).map(|startup| startup.replication)
    };
    for value in ["true", "TRUE", "t", "yes", "y", "on", "1"] {
        assert_eq!(kind(value), Ok(Some(Replication::Physical)), "{value}");
    }
    for value in ["false", "F", "no", "of", "off", "0"] {
        assert_eq!(kind(value), Ok(None), "{value}");
    }
    assert_eq!(kind("database"), Ok(Some(Replication::Database)));
    for value in ["", "o", "truely", "2", "DATABASE"] {
        let error = kind(value).unwrap_err();
        assert_eq!(error, StartupError::Replication(value.to_owned()));
        assert!(error.to_client().hint.unwrap().contains("\"database\""));
    }
    let physical = started(&[("user", "alice"), ("database", "db"), ("replication", "1")]).unwrap();
    assert_eq!((physical.wanted(), &physical.parameters[..]), (None, &[][..]));
    assert_eq!(started(&[("user", "alice")]).unwrap().wanted(), Some("alice"));
}

/// A ParameterDescription of so many int4.
fn described(parameters: u16) -> Vec<u8> {
    let mut out = Vec::new();
    backend::message(&mut out, b't', |body| {
        body.extend(parameters.to_be_bytes());
        body.extend(23u32.to_be_bytes().repeat(usize::from(parameters)));
    });
    out
}

#[test]
fn a_client_sees_no_parameters_of_ours() {
    use crate::protocol::replies::{Event, Replies};
    let mut replies = Replies::<()>::default();
    replies.extended(true);
    replies.describe(None);
    replies.describe(Some(1));
    replies.sync(true);
    replies.extended(true);
    replies.describe(Some(0));
    replies.sync(true);
    let (first, second) = (described(2), described(3));
    let scan = replies.scan(&[first.clone(), second.clone()].concat()).unwrap();
    assert_eq!(scan.relay, first.len(), "as it is");
    assert_eq!((scan.skip, scan.event), (second.len(), Some((Event::Described { keep: 1 }, second.len()))));
    let mut fewer = Vec::new();
    backend::fewer_parameters(&mut fewer, &second[HEADER_LEN..], 1);
    assert_eq!(fewer, described(1));
    // The cycle failed before the third was answered: it is forgotten with it.
    replies.scan(b"Z\0\0\0\x05I").unwrap();
    replies.scan(b"Z\0\0\0\x05I").unwrap();
    replies.extended(true);
    replies.describe(None);
    assert_eq!(replies.scan(&first).unwrap().relay, first.len());
}

#[test]
fn a_bind_gets_further_values_in_text() {
    use frontend::{Bind, Bound, bind_with};
    // Portal, statement, formats, two values of which one is NULL, binary results.
    let body =
        |formats: &[u8], values: &[u8]| [b"p\0s\0".as_slice(), formats, values, &[0, 1, 0, 1]].concat();
    let two = b"\0\x02\0\0\0\x01x\xff\xff\xff\xff";
    let four = b"\0\x04\0\0\0\x01x\xff\xff\xff\xff\0\0\0\x01y\xff\xff\xff\xff";
    for (formats, expected) in [
        (b"\0\0".as_slice(), b"\0\0".as_slice()),
        (b"\0\x01\0\x01", b"\0\x04\0\x01\0\x01\0\0\0\0"),
        (b"\0\x02\0\0\0\x01", b"\0\x04\0\0\0\x01\0\0\0\0"),
    ] {
        let body_before = body(formats, two);
        let bound = Bound::read(&body_before).unwrap();
        assert_eq!(bound.parameters, 2);
        let mut out = Vec::new();
        bind_with(&mut out, b"p", b"s", bound, [Some("y"), None].into_iter());
        assert_eq!(out[HEADER_LEN..], body(expected, four));
        assert_eq!(Bind::read(&out[HEADER_LEN..]).unwrap().portal, b"p");
    }
    assert_eq!(Bound::read(b"p\0s\0\0\0\0\x02\0\0\0\x09x"), None, "a value that is not there");
}
