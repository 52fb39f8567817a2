#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn reserved_ports_differ_and_can_be_bound() {
    let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
    let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 50);
    TcpListener::bind((Ipv4Addr::LOCALHOST, numbers[0])).unwrap();
}

#[test]
fn a_port_in_use_is_not_given_out() {
    let port = Port::reserve().unwrap();
    let number = port.number();
    assert!(Port::claim(number).is_none(), "reserved twice");
    drop(port);
    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
    assert!(Port::claim(number).is_none(), "somebody listens");
}
