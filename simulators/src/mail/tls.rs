//! TLS for SMTP, either implicit or with STARTTLS.

use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};

use super::settings::{TlsMode, TlsSettings};

/// A connection that may use TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) struct Tls {
    pub(super) mode: TlsMode,
    acceptor: TlsAcceptor,
}

impl Tls {
    pub(super) fn open(settings: &TlsSettings) -> io::Result<Self> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&settings.certificate).map_err(pem_error)?.collect();
        let chain = chain.map_err(pem_error)?;
        let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(pem_error)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(io::Error::other)?;
        Ok(Self { mode: settings.mode, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(super) async fn accept(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.acceptor.accept(stream).await?))
    }
}

fn pem_error(error: pem::Error) -> io::Error {
    io::Error::other(format!("cannot read the certificate or key: {error}"))
}
