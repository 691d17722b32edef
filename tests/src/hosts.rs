//! Hosts on one machine: network namespaces, each with an address of its own, joined by a bridge in one of them.
//!
//! Making them takes root and Linux. Where that is missing, [`Hosts::make`] says why, and the test is skipped. Everything is
//! taken away again with the value, also when a test fails; the names hold the test's process id, so that nothing of
//! anybody else's is touched.

use std::process::Command;

/// The hosts; the first one has the bridge.
pub struct Hosts {
    prefix: String,
    names: Vec<&'static str>,
}

impl Hosts {
    /// Makes hosts with these names, with the addresses 10.77.0.1, 10.77.0.2 and so on.
    ///
    /// # Errors
    /// What this machine does not allow.
    pub fn make(names: &[&'static str]) -> Result<Self, String> {
        let mut hosts = Self { prefix: format!("fog{}", std::process::id()), names: Vec::new() };
        for (number, name) in names.iter().copied().enumerate() {
            let host = hosts.namespace(name);
            ip(&["netns", "add", &host])?;
            hosts.names.push(name);
            ip(&["-n", &host, "link", "set", "lo", "up"])?;
            let address = format!("{}/24", Self::address(number));
            let hub = hosts.namespace(names[0]);
            if number == 0 {
                ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
                ip(&["-n", &hub, "addr", "add", &address, "dev", "bridge"])?;
                ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
            } else {
                let port = format!("port{number}");
                ip(&[
                    "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &host,
                ])?;
                ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
                ip(&["-n", &host, "addr", "add", &address, "dev", "eth0"])?;
                ip(&["-n", &host, "link", "set", "eth0", "up"])?;
            }
        }
        Ok(hosts)
    }

    /// The address of a host by its place in the list.
    pub fn address(number: usize) -> String {
        format!("10.77.0.{}", number + 1)
    }

    /// The system's name for a host's namespace.
    pub fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Takes a host's cable out, or puts it in again.
    pub fn connect(&self, name: &str, connected: bool) {
        let number = self.names.iter().position(|n| *n == name).expect("a host");
        assert!(number > 0, "the first host has the bridge");
        let state = if connected { "up" } else { "down" };
        ip(&["-n", &self.namespace(self.names[0]), "link", "set", &format!("port{number}"), state])
            .unwrap_or_else(|e| panic!("{e}"));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(e) = ip(&["netns", "del", &self.namespace(name)]) {
                eprintln!("{e}");
            }
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    match Command::new("ip").args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(e) => Err(format!("ip cannot be started: {e}")),
    }
}
