//! The product: a small server that does for each request what devices do, some arithmetic, a read, and a record that is
//! on the disk before the answer goes out.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use coracle_test_support::images::layer::sha256;

use super::groups::Group;

/// Bytes of a request, and of its answer: the request's number.
pub const REQUEST_BYTES: usize = 8;
/// Bytes of a record.
const RECORD: usize = 4096;
/// Records in the file.
const RECORDS: u64 = 2048;
/// Bytes that are hashed for a request on this machine: half a millisecond of a quick processor.
const ARITHMETIC: usize = 512 << 10;

/// The server, in a process and a control group of its own; ended on drop.
pub struct Product {
    child: Child,
    port: u16,
}

impl Product {
    /// Starts it with its records on `disk`.
    pub fn start(disk: &Path, group: &Group) -> io::Result<Self> {
        let product = Self::serving(&disk.join("records"), ARITHMETIC)?;
        group.take(product.child.id())?;
        Ok(product)
    }

    /// Starts it with its records in a new file; it hashes so many bytes for each request.
    pub fn serving(records: &Path, arithmetic: usize) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("product").arg(records).arg(arithmetic.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().ok_or_else(|| io::Error::other("the product has no output"))?;
        let mut product = Self { child, port: 0 };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        product.port = line.trim().parse().map_err(|_| io::Error::other("the product did not start"))?;
        Ok(product)
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The hidden command: serves one client until that asks no more; its records are in the file of the first word, and for
/// each request it hashes as many bytes as the second says.
pub fn serve(words: &[String]) -> io::Result<()> {
    let [path, arithmetic] = words else { return Err(io::Error::other("product needs a file and a number")) };
    let arithmetic = arithmetic.parse().map_err(io::Error::other)?;
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    let mut record = vec![0; RECORD];
    for number in 0..RECORDS {
        file.write_all_at(&record, number * RECORD as u64)?;
    }
    file.sync_all()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let (mut client, _) = listener.accept()?;
    client.set_nodelay(true)?;
    let (stock, mut request) = (vec![7; arithmetic], [0; REQUEST_BYTES]);
    loop {
        match client.read_exact(&mut request) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let number = u64::from_le_bytes(request);
        file.read_exact_at(&mut record, (number * 769 % RECORDS) * RECORD as u64)?;
        let sum = sha256(&stock);
        for (to, from) in record.iter_mut().zip(sum.bytes()) {
            *to = from ^ request[0];
        }
        file.write_all_at(&record, (number % RECORDS) * RECORD as u64)?;
        file.sync_data()?;
        client.write_all(&request)?;
    }
}
