//! The three requests that put blobs and manifests into a registry over plain HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::layer::sha256;

/// A registry's answer: its status and where it points to.
struct Answer {
    status: u16,
    location: String,
}

/// Uploads `bytes` to `repository` and hands back their digest; what is there already is not sent again.
pub fn push_blob(host: &str, repository: &str, bytes: &[u8]) -> io::Result<String> {
    let digest = sha256(bytes);
    let there = request(host, "HEAD", &format!("/v2/{repository}/blobs/{digest}"), None, &[])?;
    if there.status == 200 {
        return Ok(digest);
    }
    let begun = request(host, "POST", &format!("/v2/{repository}/blobs/uploads/"), None, &[])?;
    let place = begun.location.split_once(host).map_or(begun.location.as_str(), |(_, path)| path);
    let joint = if place.contains('?') { '&' } else { '?' };
    let path = format!("{place}{joint}digest={digest}");
    let done = request(host, "PUT", &path, Some("application/octet-stream"), bytes)?;
    created(&done, repository).map(|()| digest)
}

/// Puts a manifest or index under `tag`, or under its digest, which is handed back.
pub fn push_manifest(
    host: &str,
    repository: &str,
    tag: Option<&str>,
    media_type: &str,
    bytes: &[u8],
) -> io::Result<String> {
    let digest = sha256(bytes);
    let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&digest));
    let done = request(host, "PUT", &path, Some(media_type), bytes)?;
    created(&done, repository).map(|()| digest)
}

fn created(answer: &Answer, repository: &str) -> io::Result<()> {
    match answer.status {
        201 => Ok(()),
        status => Err(io::Error::other(format!("registry answered {status} to an upload to {repository}"))),
    }
}

fn request(
    host: &str,
    method: &str,
    path: &str,
    media_type: Option<&str>,
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(host)?;
    let content_type = media_type.map(|t| format!("Content-Type: {t}\r\n")).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{content_type}Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = BufReader::new(stream.take(64 * 1024));
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not an HTTP answer: {line}")))?;
    let mut location = String::new();
    loop {
        line.clear();
        if answer.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Answer { status, location });
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("location")
        {
            location = value.trim().to_owned();
        }
    }
}
