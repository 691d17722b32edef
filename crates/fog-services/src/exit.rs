//! What a service connects its streams to: one local server, and for an exit the targets that its operator allows.

use crate::stream::{Refusal, Target};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};

/// How long a connection to a target may take.
const CONNECT: Duration = Duration::from_secs(20);

/// A target that an exit allows: `HOST:PORT`, where the host may be `*` for every public one, and the port `*` for
/// every port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// None: every host with a public address.
    host: Option<String>,
    port: Option<u16>,
}

/// Why a text is no [`Allowed`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not HOST:PORT (the host may be * for every public host, the port * for every port)")]
pub struct NotAllowedText(String);

impl FromStr for Allowed {
    type Err = NotAllowedText;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAllowedText(text.into());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = match port {
            "*" => None,
            number => Some(number.parse().ok().filter(|p| *p != 0).ok_or_else(wrong)?),
        };
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong());
        }
        Ok(Self { host: (host != "*").then(|| host.to_ascii_lowercase()), port })
    }
}

impl Allowed {
    fn is_port(&self, port: u16) -> bool {
        self.port.is_none_or(|p| p == port)
    }
}

/// What a service offers.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// The server behind the service's name, and the port under which the name has it.
    pub local: Option<(u16, SocketAddr)>,
    /// What streams may be opened to as an exit.
    pub allowed: Vec<Allowed>,
}

/// How far a target is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// By its name: whatever address it has.
    Named,
    /// Public addresses alone.
    Public,
}

impl Offer {
    fn reach(&self, host: &str, port: u16) -> Option<Reach> {
        let fits = |a: &&Allowed| a.is_port(port);
        let named = |a: &Allowed| a.host.as_deref().is_some_and(|h| h.eq_ignore_ascii_case(host));
        if self.allowed.iter().filter(fits).any(named) {
            return Some(Reach::Named);
        }
        self.allowed.iter().filter(fits).any(|a| a.host.is_none()).then_some(Reach::Public)
    }

    /// Connects to a target.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn connect(&self, target: &Target) -> Result<TcpStream, Refusal> {
        let connecting = async {
            match target {
                Target::Service { port } => match self.local {
                    Some((offered, address)) if offered == *port => {
                        TcpStream::connect(address).await.map_err(|e| refusal(&e))
                    }
                    _ => Err(Refusal::ConnectionRefused),
                },
                Target::Connect { host, port } => {
                    let reach = self.reach(host, *port).ok_or(Refusal::NotAllowed)?;
                    let found = lookup_host((host.as_str(), *port)).await;
                    let found: Vec<SocketAddr> = found.map_err(|_| Refusal::HostUnreachable)?.collect();
                    let usable: Vec<SocketAddr> = found
                        .iter()
                        .copied()
                        .filter(|a| reach == Reach::Named || is_public(a.ip()))
                        .collect();
                    if usable.is_empty() {
                        // A public name may lead to an address of the exit's own network.
                        return Err(if found.is_empty() {
                            Refusal::HostUnreachable
                        } else {
                            Refusal::NotAllowed
                        });
                    }
                    TcpStream::connect(&usable[..]).await.map_err(|e| refusal(&e))
                }
            }
        };
        tokio::time::timeout(CONNECT, connecting).await.unwrap_or(Err(Refusal::TimedOut))
    }
}

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Refusal::ConnectionRefused,
        io::ErrorKind::NetworkUnreachable => Refusal::NetworkUnreachable,
        io::ErrorKind::HostUnreachable => Refusal::HostUnreachable,
        io::ErrorKind::TimedOut => Refusal::TimedOut,
        _ => Refusal::General,
    }
}

/// False for addresses that lead into the own machine or network, or nowhere (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [first, second, ..] = ip.segments();
    // Global unicast is 2000::/3; of it, not documentation, 6to4 and Teredo, which hold other addresses.
    let special = (first == 0x2001 && (second == 0xdb8 || second < 0x200)) || first == 0x2002;
    (0x2000..0x4000).contains(&first) && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(allowed: &[&str]) -> Offer {
        Offer { local: None, allowed: allowed.iter().map(|a| a.parse().expect("reads")).collect() }
    }

    #[test]
    fn only_what_is_allowed_is_reached() {
        let o = offer(&["example.org:443", "*:80", "[::1]:7000", "10.0.0.1:*"]);
        assert_eq!(o.reach("EXAMPLE.org", 443), Some(Reach::Named));
        assert_eq!(o.reach("example.org", 80), Some(Reach::Public));
        assert_eq!(o.reach("a.example.org", 443), None);
        assert_eq!(o.reach("::1", 7000), Some(Reach::Named));
        assert_eq!(o.reach("10.0.0.1", 1), Some(Reach::Named));
        assert_eq!(o.reach("10.0.0.2", 1), None);
        assert_eq!(offer(&[]).reach("example.org", 80), None);
        for wrong in ["", "example.org", "example.org:", "example.org:0", "example.org:65536", ":80", "a b:1"]
        {
            assert!(wrong.parse::<Allowed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_the_own_network_are_not_public() {
        for own in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2001::1",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(own.parse().expect("an address")), "{own}");
        }
        for public in ["1.1.1.1", "198.51.99.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    #[tokio::test]
    async fn a_wildcard_does_not_lead_into_the_own_machine() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let target = |host: &str| Target::Connect { host: host.into(), port };
        let connect =
            async |allowed: &str, host: &str| offer(&[allowed]).connect(&target(host)).await.map(|_| ());
        assert_eq!(connect("*:*", "127.0.0.1").await, Err(Refusal::NotAllowed));
        assert_eq!(connect("*:*", "localhost").await, Err(Refusal::NotAllowed));
        assert_eq!(connect("localhost:*", "localhost").await, Ok(()));
        assert_eq!(connect("127.0.0.1:1", "127.0.0.1").await, Err(Refusal::NotAllowed));
        drop(listener);
        assert_eq!(connect("127.0.0.1:*", "127.0.0.1").await, Err(Refusal::ConnectionRefused));
        let local = Offer { local: Some((80, ([127, 0, 0, 1], port).into())), allowed: Vec::new() };
        assert_eq!(
            local.connect(&Target::Service { port: 81 }).await.map(|_| ()),
            Err(Refusal::ConnectionRefused)
        );
    }
}
