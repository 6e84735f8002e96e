//! Just enough HTTP to ask a server on this machine whether it is ready.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// An answer that takes longer is none.
const TIMEOUT: Duration = Duration::from_secs(3);
/// More of an answer than this is not looked at.
const RESPONSE_LIMIT: u64 = 4096;

/// Succeeds when `GET path` on this machine's `port` is answered with a 2xx status.
pub(crate) fn expect_success(port: u16, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    stream.take(RESPONSE_LIMIT).read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response);
    let status =
        status_code(&response).with_context(|| format!("GET {path}: not an HTTP response"))?;
    if !(200..300).contains(&status) {
        let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
        bail!("GET {path} answers {status} {body}");
    }
    Ok(())
}

fn status_code(response: &str) -> Option<u16> {
    let (version, rest) = response.split_once(' ')?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_code_is_parsed_from_the_first_line() {
        assert_eq!(status_code("HTTP/1.0 200 OK\r\n\r\n{}"), Some(200));
        assert_eq!(status_code("HTTP/1.1 503\r\n\r\n"), Some(503));
        assert_eq!(status_code("SSH-2.0-OpenSSH_9.2"), None);
    }

    #[test]
    fn an_error_response_is_reported_with_its_body() -> Result<()> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let server = std::thread::spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 512];
            let _ = stream.read(&mut request)?;
            stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n{\"database\":\"down\"}")
        });

        let error = expect_success(port, "/ready").err().map(|error| error.to_string());

        assert_eq!(error.as_deref(), Some("GET /ready answers 503 {\"database\":\"down\"}"));
        assert!(server.join().is_ok());
        Ok(())
    }
}
