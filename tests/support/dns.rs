//! A name server on a loopback address of its own, for functions that look a name up.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

/// The name that the server knows.
pub const NAME: &str = "orders.lambda-bundle.test";

/// Its address, of a block for documentation.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// Starts a server on port 53 and returns where it listens. Its thread ends with the test process.
///
/// `/etc/resolv.conf` names no port, so it has to be that one; the address is the first free one.
pub fn start() -> io::Result<Ipv4Addr> {
    let mut last = Err(io::Error::from(io::ErrorKind::AddrInUse));
    for number in 1..=250 {
        let address = Ipv4Addr::new(127, 53, 53, number);
        last = UdpSocket::bind((address, 53)).map(|socket| (address, socket));
        if last.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            continue;
        }
        break;
    }
    let (address, socket) = last?;
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..size]) {
                // Who asked may be gone.
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(address)
}

/// The answer to a query with one question; `None` to what is no such query.
///
/// Source: RFC 1035, section 4.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut at = 12;
    while *query.get(at)? != 0 {
        let length = usize::from(query[at]);
        name.push(std::str::from_utf8(query.get(at + 1..at + 1 + length)?).ok()?);
        at += 1 + length;
    }
    let question = query.get(12..at + 5)?;
    let is_known = name.join(".").eq_ignore_ascii_case(NAME);
    // Type A; another type of a known name has no records.
    let has_address = is_known && question.ends_with(&[0, 1, 0, 1]);
    // A response, recursion available, and "no error" or "no such name"; the counts of the four sections.
    let flags = if is_known { [0x81, 0x80] } else { [0x81, 0x83] };
    let counts = [0, 1, 0, u8::from(has_address), 0, 0, 0, 0];
    let mut answer = [&query[..2], &flags, &counts, question].concat();
    if has_address {
        // The name of the question, type A, class IN, a minute to live, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(ADDRESS.octets());
    }
    Some(answer)
}
