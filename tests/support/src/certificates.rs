//! Certificates as openssl makes them: for servers, for boards, for another time, and taken back again.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::run;
use crate::secrets;

/// How a private key is made and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// ECDSA P-256 as `PRIVATE KEY`.
    Pkcs8,
    /// ECDSA P-256 as `EC PRIVATE KEY`.
    Sec1,
    /// RSA as `RSA PRIVATE KEY`.
    Pkcs1,
    /// RSA as `PRIVATE KEY`.
    RsaPkcs8,
    /// Ed25519, which is written in one way only.
    Ed25519,
    /// ECDSA P-384 as `PRIVATE KEY`.
    P384,
}

impl KeyForm {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pkcs8, Self::Sec1, Self::Pkcs1, Self::RsaPkcs8, Self::Ed25519, Self::P384];

    fn making(self) -> &'static str {
        match self {
            Self::Pkcs8 => "genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            Self::Sec1 => "ecparam -name prime256v1 -genkey -noout",
            Self::Pkcs1 => "genrsa -traditional",
            Self::RsaPkcs8 => "genpkey -quiet -algorithm RSA",
            Self::Ed25519 => "genpkey -quiet -algorithm ed25519",
            Self::P384 => "genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        }
    }
}

/// Makes a certificate of the authority in `dir` for a client called `name`, and its key: `NAME.crt` and `NAME.key`.
pub fn client(dir: &Path, name: &str, form: KeyForm) -> io::Result<(PathBuf, PathBuf)> {
    let script = format!(
        "umask 077
         openssl {} -out {name}.key
         openssl req -new -key {name}.key -subj /CN={name} -out {name}.csr
         echo extendedKeyUsage=clientAuth > {name}.ext
         openssl x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAserial {name}.srl -CAcreateserial -days 30 \
           -extfile {name}.ext -out {name}.crt",
        form.making()
    );
    run(Command::new("sh").arg("-ec").arg(script).current_dir(dir))?;
    let key = dir.join(format!("{name}.key"));
    secrets::plant_key(&key)?;
    Ok((dir.join(format!("{name}.crt")), key))
}

/// What `openssl ca` needs to work in a directory.
const CA: &str = "cat > ca.cnf <<'END'
[ca]
default_ca = here
[here]
database = ./index.txt
new_certs_dir = .
certificate = ./ca.crt
private_key = ./ca.key
rand_serial = yes
default_md = sha256
default_crl_days = 30
policy = any
[any]
commonName = supplied
END
touch index.txt
";

/// Makes `server.crt` anew, for 127.0.0.1 and localhost, to count from `from` to `to`, written as `YYYYMMDDHHMMSSZ`.
pub fn server_for(dir: &Path, from: &str, to: &str) -> io::Result<()> {
    let script = format!(
        "{CA}openssl ca -batch -notext -config ca.cnf -in server.csr -extfile server.ext -startdate {from} -enddate {to} \
         -out server.crt"
    );
    run(Command::new("sh").arg("-ec").arg(script).current_dir(dir)).map(drop)
}

/// Takes the certificate of `name` back; the list that says so, `ca.crl`.
pub fn revoke(dir: &Path, name: &str) -> io::Result<PathBuf> {
    let script = format!(
        "{CA}openssl ca -batch -config ca.cnf -revoke {name}.crt
         openssl ca -batch -config ca.cnf -gencrl -out ca.crl"
    );
    run(Command::new("sh").arg("-ec").arg(script).current_dir(dir))?;
    Ok(dir.join("ca.crl"))
}
