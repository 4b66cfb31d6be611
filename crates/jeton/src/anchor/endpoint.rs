//! A server that the command line names: a calendar, or the node of a chain.
//!
//! The client of this house knows one host and no path; these servers have paths, and an RPC provider keeps a secret in it. So
//! the path is cut off first, and stands in no error.

use std::path::Path;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::body::Bytes;

use crate::net::{Client, NetError, Roots};

/// Why a server could not be asked, or what it answered was none.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL is none that can be spoken to.
    #[error("{0} is no URL of a server: https://HOST[:PORT][/PATH], without a query")]
    Url(String),
    /// It is not said whose certificates are good.
    #[error("it is not said which CA to trust for {0}")]
    NoCa(String),
    /// The exchange failed.
    #[error("asking {server}")]
    Net {
        /// The server, without its path.
        server: String,
        /// Why.
        source: NetError,
    },
    /// The answer is no yes.
    #[error("{server} answered {status}")]
    Status {
        /// The server, without its path.
        server: String,
        /// The status.
        status: StatusCode,
    },
}

/// One server, and the path before all paths.
pub struct Endpoint {
    client: Client,
    server: String,
    path: String,
}

impl Endpoint {
    /// A server by its URL: `https` with the authorities in `ca`, or `http` on a loopback address.
    ///
    /// # Errors
    /// [`EndpointError::Url`], [`EndpointError::NoCa`]; [`EndpointError::Net`] for whatever the client finds in the URL, a
    /// name or another address without TLS among it.
    pub fn open(url: &str, ca: Option<&Path>) -> Result<Self, EndpointError> {
        let (server, path) = split(url)?;
        let client = match ca {
            _ if server.starts_with("http://") => Client::plain(&server),
            Some(ca) => Client::https(&server, Roots::File(ca)),
            None => return Err(EndpointError::NoCa(server)),
        };
        match client {
            Ok(client) => Ok(Self {
                client,
                server,
                path,
            }),
            Err(source) => Err(EndpointError::Net { server, source }),
        }
    }

    /// The server, without its path: what may be told.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Posts bytes of a media type to a path behind the server's own, and gives the body of a 200.
    ///
    /// # Errors
    /// [`EndpointError::Net`], [`EndpointError::Status`].
    pub async fn post(
        &self,
        path: &str,
        media_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Bytes, EndpointError> {
        let mut headers = accepts(media_type);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.ask(Method::POST, path, headers, body.into()).await
    }

    /// Gets bytes of a media type from a path behind the server's own: the body of a 200.
    ///
    /// # Errors
    /// As [`Endpoint::post`].
    pub async fn get(&self, path: &str, media_type: &'static str) -> Result<Bytes, EndpointError> {
        self.ask(Method::GET, path, accepts(media_type), Bytes::new())
            .await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Bytes, EndpointError> {
        let path = format!("{}{path}", self.path);
        let path = if path.is_empty() { "/" } else { &path };
        let server = || self.server.clone();
        let answer = self.client.send(method, path, headers, body).await;
        let (status, _, body) = answer.map_err(|source| EndpointError::Net {
            server: server(),
            source,
        })?;
        if status != StatusCode::OK {
            return Err(EndpointError::Status {
                server: server(),
                status,
            });
        }
        Ok(body)
    }
}

fn accepts(media_type: &'static str) -> HeaderMap {
    let value = HeaderValue::from_static(media_type);
    HeaderMap::from_iter([(header::ACCEPT, value)])
}

/// `https://host:port` and the path behind it, without the last slash.
fn split(url: &str) -> Result<(String, String), EndpointError> {
    // What is behind the host may be a secret: it is not repeated.
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/%".contains(c);
    let odd = host.contains(['?', '#', '@']) || !path.chars().all(plain);
    if !matches!(scheme, "http" | "https") || host.is_empty() || odd {
        let shown = if scheme.is_empty() || host.contains(['?', '#', '@']) {
            "what was given"
        } else {
            host
        };
        return Err(EndpointError::Url(shown.to_owned()));
    }
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    Ok((format!("{scheme}://{host}"), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_at_its_path() {
        let cut = |url: &str| split(url).unwrap();
        let of = |server: &str, path: &str| (server.to_owned(), path.to_owned());
        assert_eq!(cut("https://a.test"), of("https://a.test", ""));
        assert_eq!(cut("https://a.test:8/"), of("https://a.test:8", ""));
        assert_eq!(
            cut("http://[::1]:8545/v3/key/"),
            of("http://[::1]:8545", "/v3/key")
        );
    }

    #[test]
    fn what_is_no_url_is_refused_and_its_secrets_are_not_repeated() {
        for bad in [
            "a.test",
            "ftp://a.test/secret",
            "https://",
            "https:///secret",
            "https://a.test/secret?x",
            "https://a.test?secret",
            "https://u:secret@a.test/",
            "https://a.test/secret#x",
            "https://a.test/secret\r\nx",
        ] {
            let error = split(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn only_loopback_goes_without_tls_and_tls_takes_a_ca() {
        assert!(Endpoint::open("http://127.0.0.1:8545", None).is_ok());
        let refused = |url: &str| Endpoint::open(url, None).err().unwrap();
        assert!(matches!(
            refused("http://192.0.2.1:8545"),
            EndpointError::Net { .. }
        ));
        assert!(matches!(
            refused("http://localhost:8545"),
            EndpointError::Net { .. }
        ));
        assert!(matches!(refused("https://a.test"), EndpointError::NoCa(_)));
    }
}
