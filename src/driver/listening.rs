//! The TCP sockets of this host that listen. The kernel is asked for just these. Its tables in `/proc/net` tell the
//! same, but to read one takes milliseconds where there is room for many connections, however few there are.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};

/// The kernel sends no larger message.
const MESSAGE_BYTES: usize = 32 << 10;
/// Messages of a kernel's answer: some hundred sockets each, and there are 65 535 ports.
const MESSAGES_MAX: usize = 10_000;

/// The port of each listening socket, by its inode.
pub(super) fn sockets() -> io::Result<BTreeMap<u64, u16>> {
    // A kernel may be built without the question, and a sandbox may refuse it; tables are everywhere.
    let mut sockets = asked(AF_INET).or_else(|_| table(tcp()))?;
    sockets.extend(asked(AF_INET6).or_else(|_| table(tcp6()))?);
    Ok(sockets)
}

/// By the kernel's socket monitoring, of one family of addresses.
fn asked(family: u8) -> io::Result<BTreeMap<u64, u16>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // The kernel answers within the call that asks: what is not there at once, never comes.
    socket.set_non_blocking(true)?;
    socket.send(&question(family), 0)?;
    let mut found = BTreeMap::new();
    for _ in 0..MESSAGES_MAX {
        let mut received = Vec::with_capacity(MESSAGE_BYTES);
        socket.recv(&mut received, 0)?;
        if !add(&mut found, &received)? {
            return Ok(found);
        }
    }
    Err(io::Error::other("the kernel's list of sockets does not end"))
}

/// For all sockets of TCP that listen.
fn question(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What one message tells; whether another one follows.
fn add(found: &mut BTreeMap<u64, u16>, received: &[u8]) -> io::Result<bool> {
    let mut rest = received;
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
        let length = usize::try_from(message.header.length).unwrap_or(rest.len());
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let header = response.header;
                found.insert(u64::from(header.inode), header.socket_id.source_port);
            }
            NetlinkPayload::Done(_) => return Ok(false),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => return Err(io::Error::other("the kernel answers something else")),
        }
        // Each begins at a multiple of four.
        rest = rest.get(length.next_multiple_of(4).max(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// A kernel without IPv6 has no table for it.
fn table(read: Result<Vec<TcpNetEntry>, ProcError>) -> io::Result<BTreeMap<u64, u16>> {
    match read {
        Ok(entries) => {
            let listening = entries.into_iter().filter(|entry| entry.state == TcpState::Listen);
            Ok(listening.map(|entry| (entry.inode, entry.local_address.port())).collect())
        }
        Err(ProcError::NotFound(_)) => Ok(BTreeMap::new()),
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use procfs::net::tcp;

    use super::{AF_INET, asked, sockets, table};

    fn inode(socket: &impl AsFd) -> u64 {
        rustix::fs::fstat(socket).expect("a socket").st_ino
    }

    #[test]
    fn the_kernel_and_its_table_tell_the_same() {
        // More than one message holds.
        let listeners: Vec<TcpListener> =
            (0..600).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let (asked, table) = (asked(AF_INET).expect("it answers"), table(tcp()).expect("a table"));
        for listener in listeners {
            let (inode, port) = (inode(&listener), listener.local_addr().expect("an address").port());
            assert_eq!((asked.get(&inode), table.get(&inode)), (Some(&port), Some(&port)));
        }
    }

    #[test]
    fn a_socket_that_listens_on_an_address_of_the_other_kind_is_found() {
        // A kernel may have no IPv6.
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(sockets().expect("they can be told").get(&inode(&listener)), Some(&port));
    }

    #[test]
    fn a_connection_is_no_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        assert_eq!(sockets().expect("they can be told").get(&inode(&client)), None);
    }
}
