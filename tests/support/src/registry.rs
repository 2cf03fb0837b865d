//! Debian's `docker-registry` on a free loopback port with a directory of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::process::{Running, free_port, run};
use crate::scratch::TempDir;
use crate::secrets;

/// The only user of a registry that asks for a password.
pub const USER: &str = "board";

/// That user's password.
pub const PASSWORD: &str = secrets::REGISTRY_PASSWORD;

/// [`PASSWORD`] in the one form that docker-registry reads (bcrypt, cost 5).
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuuuWWIjKNd9FSIBYaGbET1xh1y3OOZsRO";

/// [`USER`] and [`PASSWORD`] as `auth.json` and the header have them.
pub fn auth() -> String {
    STANDARD.encode(format!("{USER}:{PASSWORD}"))
}

/// What a registry asks of its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asks {
    /// Speak TLS, with a certificate for 127.0.0.1 and localhost that [`Registry::ca`] signs.
    pub tls: bool,
    /// Want [`USER`] and [`PASSWORD`].
    pub password: bool,
    /// Want a certificate that [`Registry::ca`] signs, as [`crate::certificates::client`] makes them; needs `tls`.
    pub certificate: bool,
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    process: Running,
    port: u16,
    dir: TempDir,
}

impl Registry {
    /// Starts a registry that anyone may read and write over plain HTTP.
    pub fn start() -> io::Result<Self> {
        Self::start_asking(Asks::default())
    }

    /// Starts a registry with TLS, a password, or both.
    pub fn start_asking(asks: Asks) -> io::Result<Self> {
        let dir = TempDir::new("registry");
        if asks.tls {
            certificate(&dir)?;
        }
        fs::write(dir.join("htpasswd"), format!("{USER}:{PASSWORD_HASH}\n"))?;
        // Somebody else may take the port between our look and the registry's start.
        let mut tries = 0;
        loop {
            let port = free_port();
            let settings = dir.join("registry.yml");
            fs::write(&settings, configuration(&dir, port, asks))?;
            let mut command = Command::new("docker-registry");
            command
                .arg("serve")
                .arg(&settings)
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default());
            let mut process = Running::start("docker-registry", &mut command, &dir.join("registry.log"))?;
            match process.until_answering(([127, 0, 0, 1], port).into()) {
                Ok(()) => return Ok(Self { process, port, dir }),
                Err(_) if tries < 3 => tries += 1,
                Err(e) => return Err(e),
            }
        }
    }

    /// `127.0.0.1:PORT`: the registry part of its references.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT/NAME`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// The certificate that signed its own, when it speaks TLS.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Starts another registry with the same content, by way of `wrapper`; `host` is where it listens there.
    pub fn again_under(&self, wrapper: &[&str], host: &str) -> io::Result<Running> {
        let settings = self.dir.join("again.yml");
        let own = format!("addr: 127.0.0.1:{}", self.port);
        let text = configuration(&self.dir, self.port, Asks::default());
        fs::write(&settings, text.replace(&own, &format!("addr: {host}")))?;
        let (program, words) = wrapper.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(words).args(["docker-registry", "serve"]).arg(&settings);
        Running::start("docker-registry", &mut command, &self.dir.join("again.log"))
    }

    /// What it logged: one line a request.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Its process, to stop or kill it in the middle of a transfer.
    pub fn process(&mut self) -> &mut Running {
        &mut self.process
    }
}

fn configuration(dir: &Path, port: u16, asks: Asks) -> String {
    let dir = dir.display();
    let mut text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {dir}/data\n  delete:\n    \
         enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n  secret: only-for-tests\n"
    );
    if asks.tls {
        text += &format!("  tls:\n    certificate: {dir}/server.crt\n    key: {dir}/server.key\n");
    }
    if asks.certificate {
        text += &format!("    clientcas:\n      - {dir}/ca.crt\n");
    }
    if asks.password {
        text += &format!("auth:\n  htpasswd:\n    realm: bench\n    path: {dir}/htpasswd\n");
    }
    text
}

/// Writes `ca.crt`, `ca.key`, `server.crt` and `server.key` into `dir`, for 127.0.0.1, localhost and what this machine's
/// loopback is called in a machine under qemu.
pub fn certificate(dir: &Path) -> io::Result<()> {
    let script = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=Coracle test CA' \
          -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign -keyout ca.key -out ca.crt
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
          -keyout server.key -out server.csr
        printf 'subjectAltName=IP:127.0.0.1,IP:10.0.2.2,DNS:localhost\\nbasicConstraints=CA:FALSE\\nextendedKeyUsage=serverAuth\\n' \
          > server.ext
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile server.ext \
          -out server.crt";
    run(Command::new("sh").arg("-ec").arg(script).current_dir(dir)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What skopeo complains of when it asks for tags of a repository that is not there.
    fn complaint(registry: &Registry, words: &[&str]) -> String {
        let url = format!("docker://{}", registry.reference("none"));
        run(Command::new("skopeo").arg("list-tags").args(words).arg(url)).unwrap_err().to_string()
    }

    #[test]
    fn a_registry_with_tls_and_a_password_turns_strangers_away() {
        let registry = Registry::start_asking(Asks { tls: true, password: true, ..Asks::default() }).unwrap();
        let certs = TempDir::new("certs");
        fs::copy(registry.ca(), certs.join("ca.crt")).unwrap();
        let certs = format!("--cert-dir={}", certs.display());
        let credentials = format!("--creds={USER}:{PASSWORD}");
        let rows = [
            (&[][..], "certificate"),
            (&[&certs, "--no-creds"], "authentication required"),
            (&[&certs, &credentials], "404"),
        ];
        for (words, expected) in rows {
            let complaint = complaint(&registry, words);
            assert!(complaint.contains(expected), "{words:?}: {complaint}");
        }
    }
}
