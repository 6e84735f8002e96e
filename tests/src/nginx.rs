//! A real nginx with the configuration in `deploy/`.

use crate::eventually::eventually;
use crate::ports::free_port;
use crate::servers;
use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/nginx.conf");

/// An nginx process, which is killed on drop.
pub struct Nginx {
    child: Child,
    pub https: u16,
    pub http: u16,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx in front of the API at `api`, given as a host and port.
    pub async fn start(api: &str) -> Nginx {
        let folder = TempDir::new().expect("a folder");
        let (https, http) = (free_port(), free_port());
        write_certificate(folder.path());
        let config = configuration(api, https, http, folder.path());
        std::fs::write(folder.path().join("nginx.conf"), config).expect("a written file");
        let log = File::create(folder.path().join("nginx.log")).expect("a log file");
        let child = Command::new(servers::nginx())
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off;"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("nginx starts");
        let nginx = Nginx { child, https, http, folder };
        eventually("nginx to listen", || async { TcpStream::connect(("127.0.0.1", https)).ok() })
            .await;
        nginx
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.folder.path().join("nginx.log");
            eprintln!("--- log of nginx ---\n{}", std::fs::read_to_string(log).unwrap_or_default());
        }
    }
}

/// Returns the configuration with the addresses and paths of a test instead of a container's.
fn configuration(api: &str, https: u16, http: u16, folder: &Path) -> String {
    let folder = folder.to_str().expect("a path");
    let mut config = std::fs::read_to_string(CONFIG).expect("the configuration");
    for (text, times, replacement) in [
        (" /tmp/", 6, format!(" {folder}/")),
        ("listen 8443", 1, format!("listen 127.0.0.1:{https}")),
        ("listen 8080", 1, format!("listen 127.0.0.1:{http}")),
        ("http://api:8080", 1, format!("http://{api}")),
        ("/etc/nginx/tls/", 2, format!("{folder}/")),
    ] {
        assert_eq!(config.matches(text).count(), times, "{text} in deploy/nginx.conf");
        config = config.replace(text, &replacement);
    }
    config
}

fn write_certificate(folder: &Path) {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let key = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(folder.join("fullchain.pem"), key.cert.pem()).expect("a written file");
    std::fs::write(folder.join("privkey.pem"), key.signing_key.serialize_pem())
        .expect("a written file");
}
