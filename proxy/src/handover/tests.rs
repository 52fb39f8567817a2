#![allow(clippy::unwrap_used)]
use super::give::{from_hex, to_hex};
use super::*;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use tokio::net::UnixStream;

#[tokio::test]
async fn a_socket_goes_through_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut here, mut there) = UnixStream::pair().unwrap();
    // A line that does not fit into the other's buffer at once.
    let line = "x".repeat(500_000);
    let sockets = [OwnedFd::from(listener)];
    let (sent, received) =
        tokio::join!(message::send(&mut here, &line, &sockets), message::receive(&mut there));
    sent.unwrap();
    let (said, mut sockets_there) = received.unwrap();
    assert_eq!(said, line);
    drop(sockets);
    let listener = TcpListener::from(sockets_there.pop().unwrap());
    let mut client = TcpStream::connect(address).unwrap();
    drop(listener.accept().unwrap());
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_message_is_noticed() {
    let (here, mut there) = UnixStream::pair().unwrap();
    here.try_write(b"half a").unwrap();
    drop(here);
    assert!(message::receive(&mut there).await.is_err());
}

#[test]
fn keys_are_written_in_hexadecimal() {
    for key in [&b""[..], b"\x00\xff\x10", b"0123"] {
        assert_eq!(from_hex(&to_hex(key)).unwrap(), key);
    }
    for nonsense in ["0", "0g", "+1", "\u{e9}"] {
        assert!(from_hex(nonsense).is_none(), "{nonsense}");
    }
}
