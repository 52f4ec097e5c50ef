//! Listening TCP sockets of this host, by the kernel's socket monitoring (`sock_diag`). The tables in `/proc/net` have
//! the same content, but reading one takes milliseconds where the table is sized for many connections.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};

use crate::model::endpoint::Endpoint;

/// Largest part of its list that the kernel sends.
const PART_BYTES: usize = 32 << 10;
/// Bound on the list: some hundred sockets a part, where few machines have thousands.
const PARTS_MAX: usize = 10_000;

/// Inode of a listening socket, and its endpoint.
pub(crate) type Listening = (u64, Endpoint);

/// Returns all listening sockets, or an error if either address family can't be read.
pub(crate) fn sockets() -> io::Result<Vec<Listening>> {
    let mut sockets = of_family(AF_INET)?;
    sockets.extend(of_family(AF_INET6)?);
    Ok(sockets)
}

/// Returns the listening sockets of the address families that can be read.
pub(crate) fn known_sockets() -> Vec<Listening> {
    [AF_INET, AF_INET6].into_iter().flat_map(|family| of_family(family).unwrap_or_default()).collect()
}

/// Returns the listening sockets of one address family. A kernel may be built without socket monitoring, and a sandbox
/// may refuse it; the table exists nearly everywhere.
fn of_family(family: u8) -> io::Result<Vec<Listening>> {
    monitored(family).or_else(|_| match if family == AF_INET { tcp() } else { tcp6() } {
        Ok(entries) => Ok(listening(entries)),
        // A kernel without IPv6 has no table for it.
        Err(ProcError::NotFound(_)) if family == AF_INET6 => Ok(Vec::new()),
        Err(error) => Err(io::Error::other(error)),
    })
}

/// Queries the kernel's socket monitoring.
fn monitored(family: u8) -> io::Result<Vec<Listening>> {
    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // The kernel prepares each part within the call before it: a part that is not there at once never comes.
    socket.set_non_blocking(true)?;
    socket.send(&request(family), 0)?;
    let mut found = Vec::new();
    for _ in 0..PARTS_MAX {
        let mut part = Vec::with_capacity(PART_BYTES);
        socket.recv(&mut part, 0)?;
        if !add(&mut found, &part)? {
            return Ok(found);
        }
    }
    Err(io::Error::other("the kernel's list of sockets does not end"))
}

/// Request for all listening TCP sockets of a family.
fn request(family: u8) -> Vec<u8> {
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

/// Adds the sockets of one part of the list; returns true if another part follows.
fn add(found: &mut Vec<Listening>, part: &[u8]) -> io::Result<bool> {
    let mut rest = part;
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
        let length = usize::try_from(message.header.length).unwrap_or(rest.len());
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let socket = response.header;
                // Another kernel may list sockets of all states.
                if socket.state == TCP_LISTEN {
                    let id = &socket.socket_id;
                    found.push((u64::from(socket.inode), Endpoint::tcp(Some(id.source_address), id.source_port)));
                }
            }
            // The last message states why a list is incomplete: a kernel that can't load its module sends an empty one.
            NetlinkPayload::Done(done) if done.code == 0 => return Ok(false),
            NetlinkPayload::Done(done) => return Err(io::Error::from_raw_os_error(done.code.saturating_abs())),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => return Err(io::Error::other("unexpected message from the kernel")),
        }
        // Each message begins at a multiple of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

fn listening(table: Vec<TcpNetEntry>) -> Vec<Listening> {
    let listening = table.into_iter().filter(|entry| entry.state == TcpState::Listen);
    let endpoint = |address: std::net::SocketAddr| Endpoint::tcp(Some(address.ip()), address.port());
    listening.map(|entry| (entry.inode, endpoint(entry.local_address))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use netlink_packet_core::{DoneMessage, ErrorMessage};
    use netlink_packet_sock_diag::inet::{InetResponse, InetResponseHeader, SocketId};
    use procfs::net::tcp;
    use smallvec::SmallVec;

    use super::{
        AF_INET, Endpoint, NetlinkHeader, NetlinkMessage, NetlinkPayload, SockDiagMessage, TCP_LISTEN, add, listening,
        monitored, sockets,
    };

    fn inode(socket: &impl AsFd) -> u64 {
        rustix::fs::fstat(socket).expect("a socket").st_ino
    }

    #[test]
    fn socket_monitoring_and_the_table_agree() {
        // More sockets than one part holds.
        let listeners: Vec<TcpListener> =
            (0..100).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        // A sandbox may refuse the request.
        let Ok(monitored) = monitored(AF_INET) else { return };
        let table = listening(tcp().expect("a table"));
        for listener in listeners {
            let address = listener.local_addr().expect("an address");
            let expected = (inode(&listener), Endpoint::tcp(Some(address.ip()), address.port()));
            let in_both = monitored.contains(&expected) && table.contains(&expected);
            assert!(in_both, "{expected:?} in {monitored:?} and {table:?}");
        }
    }

    #[test]
    fn a_socket_that_listens_on_an_ipv6_address_is_found() {
        // A kernel may have no IPv6.
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        let address = listener.local_addr().expect("an address");
        let expected = (inode(&listener), Endpoint::tcp(Some(address.ip()), address.port()));
        assert!(sockets().expect("readable sockets").contains(&expected));
    }

    #[test]
    fn a_connection_is_no_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let client = inode(&client);
        assert!(sockets().expect("readable sockets").iter().all(|(inode, _)| *inode != client));
    }

    fn bytes(payload: NetlinkPayload<SockDiagMessage>) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn response(inode: u32, port: u16, state: u8) -> Vec<u8> {
        let socket_id = SocketId { source_port: port, ..SocketId::new_v4() };
        let header = InetResponseHeader {
            family: AF_INET,
            state,
            timer: None,
            socket_id,
            recv_queue: 0,
            send_queue: 0,
            uid: 0,
            inode,
        };
        let response = InetResponse { header, nlas: SmallVec::new() };
        bytes(SockDiagMessage::InetResponse(Box::new(response)).into())
    }

    fn done(code: i32) -> Vec<u8> {
        let mut done = DoneMessage::default();
        done.code = code;
        bytes(NetlinkPayload::Done(done))
    }

    #[test]
    fn a_list_is_complete_only_with_its_final_message() {
        let mut found = Vec::new();
        assert!(add(&mut found, &response(7, 80, TCP_LISTEN)).expect("more follows"));
        let connection = response(8, 81, 1);
        let last = [connection, response(9, 82, TCP_LISTEN), done(0)].concat();
        assert!(!add(&mut found, &last).expect("the end"));
        assert_eq!(found, [(7, 80.into()), (9, 82.into())]);
        // ENOENT: there is no module for TCP.
        assert_eq!(add(&mut found, &done(-2)).expect_err("incomplete").raw_os_error(), Some(2));
        let refused = bytes(NetlinkPayload::Error(ErrorMessage::default()));
        assert!(add(&mut found, &refused).is_err());
        let whole = response(7, 80, TCP_LISTEN);
        assert!(add(&mut found, &whole[..whole.len() - 8]).is_err());
    }
}
