//! The grants of the command line: all that a program sees of this machine.

use std::collections::{BTreeMap, HashSet};
use std::env::VarError;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use clap::Args;
use http::Uri;
use http::uri::Authority;
use tokio::net::lookup_host;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// What a program may use.
#[derive(Args, Clone)]
pub(crate) struct Grants {
    /// Open a directory to the program, to read and write: HOST is the path here, GUEST the path that the program sees
    /// (the same if it is left out).
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = directory)]
    directories: Vec<Directory>,
    /// Set an environment variable. Without a value, the program gets the value that it has here.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Let the program send requests and open connections to a host, on one port or all. `*` allows every host, and
    /// accepting connections.
    #[arg(long = "allow-host", value_name = "HOST[:PORT]", value_parser = allowed_host)]
    hosts: Vec<AllowedHost>,
}

/// A directory that is open to the program.
#[derive(Clone)]
struct Directory {
    host: PathBuf,
    guest: String,
}

/// A host that the program may reach.
#[derive(Clone)]
enum AllowedHost {
    Any,
    One { name: String, port: Option<u16> },
}

fn directory(text: &str) -> Result<Directory, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("expected HOST or HOST::GUEST, for example ./data::/data".to_owned());
    }
    let host = PathBuf::from(host);
    if !host.is_dir() {
        return Err(format!("{} is not a directory", host.display()));
    }
    let guest = guest.to_owned();
    Ok(Directory { host, guest })
}

fn variable(text: &str) -> Result<(String, String), String> {
    if let Some((name, value)) = text.split_once('=') {
        if name.is_empty() {
            return Err("expected NAME=VALUE or NAME".to_owned());
        }
        return Ok((name.to_owned(), value.to_owned()));
    }
    match std::env::var(text) {
        Ok(value) => Ok((text.to_owned(), value)),
        Err(VarError::NotPresent) => Err(format!("{text} is not set here; give {text}=VALUE")),
        Err(VarError::NotUnicode(_)) => Err(format!("the value of {text} here is not UTF-8")),
    }
}

fn allowed_host(text: &str) -> Result<AllowedHost, String> {
    if text == "*" {
        return Ok(AllowedHost::Any);
    }
    let wrong = || "expected HOST or HOST:PORT, for example api.example.com:443, or *".to_owned();
    if text.contains('@') {
        return Err(wrong());
    }
    let authority: Authority = text.parse().map_err(|_| wrong())?;
    let port = match authority.port() {
        Some(port) => Some(port.as_str().parse().map_err(|_| wrong())?),
        None if authority.as_str() == authority.host() => None,
        None => return Err(wrong()),
    };
    let name = authority.host().to_ascii_lowercase();
    Ok(AllowedHost::One { name, port })
}

impl Grants {
    /// Whether a request to this address is allowed.
    pub(crate) fn allows_request(&self, uri: &Uri) -> bool {
        let Some(authority) = uri.authority() else {
            return false;
        };
        let is_tls = uri.scheme_str() == Some("https");
        let port = authority
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 });
        self.hosts.iter().any(|host| match host {
            AllowedHost::Any => true,
            AllowedHost::One { name, port: only } => {
                name.eq_ignore_ascii_case(authority.host()) && only.is_none_or(|only| only == port)
            }
        })
    }

    /// Looks up the addresses of the hosts. A name that has none is an error.
    pub(crate) async fn resolve(&self) -> Result<Network, String> {
        let mut network = Network::default();
        for host in &self.hosts {
            match host {
                AllowedHost::Any => {
                    network.is_open = true;
                    network.looks_up_names = true;
                }
                AllowedHost::One { name, port } => {
                    let unbracketed = name.trim_matches(['[', ']']);
                    network.looks_up_names |= unbracketed.parse::<IpAddr>().is_err();
                    let found = lookup_host((unbracketed, port.unwrap_or(0))).await;
                    let found = found.map_err(|error| format!("--allow-host {name}: {error}"))?;
                    network
                        .addresses
                        .extend(found.map(|address| (address.ip(), *port)));
                }
            }
        }
        Ok(network)
    }

    /// A builder with the grants, the program's arguments and the standard streams of this process.
    pub(crate) fn builder(
        &self,
        network: &Arc<Network>,
        arguments: &[String],
    ) -> Result<WasiCtxBuilder, String> {
        let mut builder = WasiCtxBuilder::new();
        builder.args(arguments);
        // The last value of a name counts.
        let variables: BTreeMap<_, _> = self.environment.iter().cloned().collect();
        for (name, value) in variables {
            builder.env(name, value);
        }
        for Directory { host, guest } in &self.directories {
            builder
                .preopened_dir(host, guest, FsPerms::ReadWrite)
                .map_err(|error| format!("--dir {}: {error:#}", host.display()))?;
        }
        if network.reaches_any() {
            let network = Arc::clone(network);
            builder
                .allow_tcp(true)
                .allow_udp(true)
                .allow_ip_name_lookup(network.looks_up_names)
                .socket_addr_check(move |address, usage| {
                    let allows = network.allows(address, usage);
                    Box::pin(async move { allows })
                        as Pin<Box<dyn Future<Output = bool> + Send + Sync>>
                });
        }
        Ok(builder)
    }
}

/// The addresses that sockets of the program may use.
#[derive(Default)]
pub(crate) struct Network {
    is_open: bool,
    /// A host is granted by its name: the program may look up names.
    looks_up_names: bool,
    addresses: HashSet<(IpAddr, Option<u16>)>,
}

impl Network {
    fn reaches_any(&self) -> bool {
        self.is_open || !self.addresses.is_empty()
    }

    /// A socket that connects is bound before, to any port of this machine.
    fn allows(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        if self.is_open {
            return true;
        }
        match usage {
            SocketAddrUse::TcpListen => false,
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.port() == 0,
            _ => {
                let ip = address.ip();
                self.addresses.contains(&(ip, None))
                    || self.addresses.contains(&(ip, Some(address.port())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(hosts: &[&str]) -> Grants {
        let hosts = hosts.iter().map(|host| allowed_host(host).expect("a host"));
        Grants {
            directories: Vec::new(),
            environment: Vec::new(),
            hosts: hosts.collect(),
        }
    }

    #[test]
    fn requests_reach_the_hosts_that_are_allowed() {
        let grants = granted(&["api.example.com", "127.0.0.1:8080"]);
        for (uri, is_allowed) in [
            ("https://api.example.com/a", true),
            ("https://API.example.com:8443/a", true),
            ("http://127.0.0.1:8080/", true),
            ("http://127.0.0.1/", false),
            ("https://example.com/", false),
            ("/a", false),
        ] {
            let uri = uri.parse().expect("a URI");
            assert_eq!(grants.allows_request(&uri), is_allowed, "{uri}");
        }
        assert!(granted(&["*"]).allows_request(&"http://any.example/".parse().expect("a URI")));
    }

    #[test]
    fn sockets_reach_the_addresses_of_these_hosts() {
        let mut network = Network::default();
        network
            .addresses
            .insert(("10.0.0.1".parse().expect("an address"), Some(53)));
        let allows =
            |address: &str, usage| network.allows(address.parse().expect("an address"), usage);
        assert!(allows("10.0.0.1:53", SocketAddrUse::TcpConnect));
        assert!(!allows("10.0.0.1:54", SocketAddrUse::TcpConnect));
        assert!(!allows("10.0.0.2:53", SocketAddrUse::UdpSend));
        assert!(allows("0.0.0.0:0", SocketAddrUse::UdpBind));
        assert!(!allows("0.0.0.0:80", SocketAddrUse::TcpBind));
        assert!(!allows("0.0.0.0:0", SocketAddrUse::TcpListen));
    }

    #[tokio::test]
    async fn names_are_looked_up_by_programs_that_have_a_host_by_its_name() {
        for (host, looks_up_names) in [
            ("127.0.0.1:80", false),
            ("[::1]", false),
            ("localhost", true),
        ] {
            let network = granted(&[host]).resolve().await.expect("addresses");
            assert_eq!(network.looks_up_names, looks_up_names, "{host}");
            assert!(network.reaches_any() && !network.is_open);
        }
        let refused = granted(&["nowhere.invalid"]).resolve().await.err();
        assert!(refused.is_some_and(|error| error.contains("nowhere.invalid")));
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        for text in ["", "a b", "user@host", "host:port"] {
            assert!(allowed_host(text).is_err(), "{text:?} passed");
        }
        assert!(variable("=a").is_err());
        assert!(directory("/nowhere::/data").is_err_and(|error| error.contains("/nowhere")));
    }
}
