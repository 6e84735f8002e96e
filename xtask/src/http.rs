//! Checks whether a server is ready by sending it an HTTP request.

use std::time::Duration;

use anyhow::{Result, bail};

const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum number of bytes of an error response to include in an error message.
const BODY_LIMIT: u64 = 4096;

/// Returns an error unless `GET path` on this port returns a 2xx status.
pub(crate) fn expect_success(port: u16, path: &str) -> Result<()> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .new_agent();
    let mut response = agent.get(format!("http://127.0.0.1:{port}{path}")).call()?;
    let status = response.status();
    if !status.is_success() {
        let body = response.body_mut().with_config().limit(BODY_LIMIT).lossy_utf8(true);
        bail!("GET {path} returned {} {}", status.as_u16(), body.read_to_string()?.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn an_error_response_is_reported_with_its_body() -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let server = std::thread::spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 512];
            let _ = stream.read(&mut request)?;
            stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n{\"database\":\"down\"}")
        });

        let error = expect_success(port, "/ready").err().map(|error| error.to_string());

        assert_eq!(error.as_deref(), Some("GET /ready returned 503 {\"database\":\"down\"}"));
        assert!(server.join().is_ok());
        Ok(())
    }
}
