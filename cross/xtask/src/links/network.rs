//! Two network namespaces, a server's and a board's, with a link between them that can be slow, lossy and down.

use std::io;
use std::process::Command;

use coracle_test_support::process::run;

/// The server's address.
pub const SERVER: &str = "10.213.77.1";
const BOARD: &str = "10.213.77.2";
const DEVICE: &str = "link0";
/// Bytes of headers in front of a segment: IPv4, TCP, and TCP's timestamps.
const HEADER_BYTES: u64 = 20 + 20 + 12;

/// The two of them; removed by name when dropped.
pub struct Network {
    server: String,
    board: String,
}

impl Network {
    /// Makes both, and a link without limits.
    pub fn new() -> io::Result<Self> {
        let name = |side: &str| format!("coracle-links-{}-{side}", std::process::id());
        let network = Self { server: name("server"), board: name("board") };
        let Self { server, board } = &network;
        ip(&format!("netns add {server}"))?;
        ip(&format!("netns add {board}"))?;
        ip(&format!("link add {DEVICE} netns {server} type veth peer name {DEVICE} netns {board}"))?;
        for (side, address) in [(server, SERVER), (board, BOARD)] {
            ip(&format!("-n {side} link set lo up"))?;
            ip(&format!("-n {side} address add {address}/24 dev {DEVICE}"))?;
            // Packets as they are on a real link: else one that is lost has 64 KiB in it.
            ip(&format!("-n {side} link set {DEVICE} gso_max_segs 1 gro_max_size 1500 up"))?;
        }
        Ok(network)
    }

    /// What runs a program at the server's end.
    pub fn at_server(&self) -> [String; 2] {
        at(&self.server)
    }

    /// What runs a program at the board's end.
    pub fn at_board(&self) -> [String; 2] {
        at(&self.board)
    }

    /// Both ways carry so many bits a second, and lose so many packets of a hundred.
    pub fn shape(&self, mbit: u32, loss_percent: u32) -> io::Result<()> {
        for side in [&self.server, &self.board] {
            let rate = format!("rate {mbit}mbit burst 16kb latency 200ms");
            inside(side, &format!("tc qdisc replace dev {DEVICE} root tbf {rate}"))?;
            inside(side, "iptables -F INPUT")?;
            if loss_percent > 0 {
                let chance = format!("0.{loss_percent:02}");
                let lossy = format!("-m statistic --mode random --probability {chance}");
                inside(side, &format!("iptables -A INPUT -i {DEVICE} {lossy} -j DROP"))?;
            }
            inside(side, &format!("iptables -A INPUT -i {DEVICE} -p tcp --sport 5000 -j ACCEPT"))?;
        }
        Ok(())
    }

    /// Takes the server's end of the link down, or up again.
    pub fn carry(&self, up: bool) -> io::Result<()> {
        ip(&format!("-n {} link set {DEVICE} {}", self.server, if up { "up" } else { "down" }))
    }

    /// Has the board's packets vanish without a word, as a firewall's rule does, or lets them pass again.
    pub fn swallow(&self, vanish: bool) -> io::Result<()> {
        let change = if vanish { "-I" } else { "-D" };
        inside(&self.server, &format!("iptables {change} INPUT -i {DEVICE} -j DROP")).map(drop)
    }

    /// Bytes of the server's TCP streams that arrived at the board since the link was shaped, by the packet filter's
    /// count; what came twice counts twice.
    pub fn arrived(&self) -> io::Result<u64> {
        let table = inside(&self.board, "iptables -L INPUT -v -n -x")?;
        let line = table.lines().find(|line| line.contains("spt:5000")).unwrap_or_default();
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(packets)), Some(Ok(bytes))) => Ok(bytes.saturating_sub(packets * HEADER_BYTES)),
            _ => Err(io::Error::other(format!("no counter in {table:?}"))),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The link goes with them.
        for side in [&self.server, &self.board] {
            let _ = ip(&format!("netns delete {side}"));
        }
    }
}

fn at(side: &str) -> [String; 2] {
    ["nsenter".to_owned(), format!("--net=/run/netns/{side}")]
}

fn ip(words: &str) -> io::Result<()> {
    run(Command::new("ip").args(words.split_whitespace())).map(drop)
}

fn inside(side: &str, words: &str) -> io::Result<String> {
    let [program, place] = at(side);
    run(Command::new(program).arg(place).args(words.split_whitespace()))
}
