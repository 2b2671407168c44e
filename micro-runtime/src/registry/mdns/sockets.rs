//! Sockets: the shared port that hears the group, and those that a lookup asks from.
//!
//! Sending does not wait: a datagram that the system has no room for is lost, as datagrams are.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use super::interfaces::{Interface, Interfaces};

/// Room for the answers of some hundred nodes that answer at once; the system may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Where everybody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
    pub(super) port: u16,
}

impl Default for Group {
    /// Multicast DNS's own.
    fn default() -> Self {
        Self {
            v4: Ipv4Addr::new(224, 0, 0, 251),
            v6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb),
            port: 5353,
        }
    }
}

/// On which interfaces something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Loopback,
}

/// Two sockets, of which one may be missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    pub(super) v4: Option<Arc<UdpSocket>>,
    pub(super) v6: Option<Arc<UdpSocket>>,
}

impl Pair {
    /// Sockets to ask from: any port, and no membership.
    ///
    /// # Errors
    /// Where there is neither IPv4 nor IPv6.
    pub(super) fn to_ask() -> io::Result<Self> {
        match (open(Domain::IPV4, None), open(Domain::IPV6, None)) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => Ok(Self {
                v4: v4.ok().map(Arc::new),
                v6: v6.ok().map(Arc::new),
            }),
        }
    }

    /// Sends `datagram` to the group on each interface, and gives how often that worked.
    ///
    /// Nobody else may send from these sockets meanwhile: the interface is the socket's state.
    pub(super) fn send(
        &self,
        datagram: &[u8],
        group: Group,
        interfaces: &Interfaces,
        scope: Scope,
    ) -> usize {
        let mut sent = 0;
        for interface in &interfaces.0 {
            if scope == Scope::Loopback && !interface.loopback {
                continue;
            }
            if let Some(socket) = &self.v4 {
                // Each address of its own: the sender's address is that of the interface, and
                // who answers may have a way to one network and none to the other.
                for (address, _) in &interface.v4 {
                    sent += told(send_v4(socket, datagram, group, *address), interface);
                }
            }
            if let Some(socket) = &self.v6
                && !interface.v6.is_empty()
            {
                sent += told(send_v6(socket, datagram, group, interface.index), interface);
            }
        }
        sent
    }

    /// Answers one asker.
    pub(super) fn reply(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let socket = match to {
            SocketAddr::V4(_) => &self.v4,
            SocketAddr::V6(_) => &self.v6,
        };
        let Some(socket) = socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        SockRef::from(&**socket)
            .send_to(datagram, &to.into())
            .map(drop)
    }
}

fn send_v4(
    socket: &UdpSocket,
    datagram: &[u8],
    group: Group,
    interface: Ipv4Addr,
) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_multicast_if_v4(&interface)?;
    let to = SocketAddrV4::new(group.v4, group.port);
    socket.send_to(datagram, &to.into()).map(drop)
}

fn send_v6(socket: &UdpSocket, datagram: &[u8], group: Group, index: u32) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_multicast_if_v6(index)?;
    let to = SocketAddrV6::new(group.v6, group.port, 0, index);
    socket.send_to(datagram, &to.into()).map(drop)
}

/// 1 for success. Failures are everyday: IPv6 has no multicast on loopback, links go down.
fn told(sent: io::Result<()>, interface: &Interface) -> usize {
    match sent {
        Ok(()) => 1,
        Err(error) => {
            tracing::trace!(interface = interface.index, %error, "cannot send to the mDNS group");
            0
        }
    }
}

/// The port that hears the group, with its memberships.
#[derive(Debug, Default)]
pub(super) struct Port {
    pub(super) sockets: Pair,
    joined_v4: Vec<u32>,
    joined_v6: Vec<u32>,
}

impl Port {
    /// Opens what is not open and joins the group on interfaces that are new; leaves it on those
    /// that are gone. A socket without a membership is closed again.
    ///
    /// # Errors
    /// Why the group is heard on no interface, where that is so.
    pub(super) fn renew(&mut self, group: Group, interfaces: &Interfaces) -> io::Result<()> {
        let v4 = renew(
            &mut self.sockets.v4,
            &mut self.joined_v4,
            Domain::IPV4,
            group,
            interfaces.0.iter().filter(|one| !one.v4.is_empty()),
        );
        let v6 = renew(
            &mut self.sockets.v6,
            &mut self.joined_v6,
            Domain::IPV6,
            group,
            interfaces.0.iter().filter(|one| !one.v6.is_empty()),
        );
        // On loopback alone IPv6 is joined and carries nothing.
        let carries = |one: &Interface| !one.loopback && self.joined_v6.contains(&one.index);
        let v6 = match v6 {
            Ok(()) if !interfaces.0.iter().any(carries) => {
                Err(io::ErrorKind::NetworkUnreachable.into())
            }
            v6 => v6,
        };
        v4.or(v6)
    }
}

fn renew<'a>(
    socket: &mut Option<Arc<UdpSocket>>,
    joined: &mut Vec<u32>,
    domain: Domain,
    group: Group,
    interfaces: impl Iterator<Item = &'a Interface> + Clone,
) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    if interfaces.clone().next().is_none() && socket.is_none() {
        return Err(last);
    }
    let open = match socket.take() {
        Some(open) => open,
        None => Arc::new(open(domain, Some(group.port))?),
    };
    let is_gone = |index: &u32| interfaces.clone().all(|one| one.index != *index);
    for index in joined.extract_if(.., |index| is_gone(index)) {
        // The interface may have taken the membership with it.
        let _ = leave(&open, domain, group, index);
    }
    for interface in interfaces {
        if joined.contains(&interface.index) {
            continue;
        }
        match join(&open, domain, group, interface) {
            Ok(()) => joined.push(interface.index),
            Err(error) => {
                tracing::debug!(interface = interface.index, %error, "cannot join the mDNS group");
                last = error;
            }
        }
    }
    if joined.is_empty() {
        return Err(last);
    }
    *socket = Some(open);
    Ok(())
}

fn join(socket: &UdpSocket, domain: Domain, group: Group, interface: &Interface) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if domain == Domain::IPV6 {
        return socket.join_multicast_v6(&group.v6, interface.index);
    }
    match (interface.index, interface.v4.first()) {
        (0, Some((address, _))) => socket.join_multicast_v4(&group.v4, address),
        (index, _) => socket.join_multicast_v4_n(&group.v4, &InterfaceIndexOrAddress::Index(index)),
    }
}

fn leave(socket: &UdpSocket, domain: Domain, group: Group, index: u32) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if domain == Domain::IPV6 {
        return socket.leave_multicast_v6(&group.v6, index);
    }
    socket.leave_multicast_v4_n(&group.v4, &InterfaceIndexOrAddress::Index(index))
}

/// A socket on `port` that others may have too, or on any.
fn open(domain: Domain, port: Option<u16>) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    let v6 = domain == Domain::IPV6;
    if v6 {
        // The other socket has IPv4.
        socket.set_only_v6(true)?;
    }
    if port.is_some() {
        socket.set_reuse_address(true)?;
        // There, addresses are shared only so; on Linux this alone would shut out Go Micro.
        #[cfg(any(
            target_vendor = "apple",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd"
        ))]
        socket.set_reuse_port(true)?;
    }
    // What follows is of use and not of need.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = match v6 {
        true => socket.set_multicast_hops_v6(255),
        false => socket.set_multicast_ttl_v4(255),
    };
    let _ = match v6 {
        true => socket.set_multicast_loop_v6(true),
        false => socket.set_multicast_loop_v4(true),
    };
    let port = port.unwrap_or(0);
    let all = match v6 {
        true => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        false => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    };
    socket.bind(&all.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
