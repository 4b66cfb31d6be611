//! The local authority: made on the first run, so that `curl --cacert ca.pem` works at once.
//!
//! It signs one thing, the certificate of this server, and can sign nothing below itself (path
//! length 0). Who steals `ca.key` can impersonate this server to those who trust `ca.pem`; it is
//! therefore never read but to issue, and may be kept elsewhere between two renewals.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use super::NetError;
use super::files::{self, Readers};
use super::names::certificate_names;
use super::tls;

/// How long the authority lasts: ten years.
pub const CA_LIFETIME_S: u64 = 10 * 365 * DAY_S;
/// How long a server certificate lasts: 90 days.
pub const SERVER_LIFETIME_S: u64 = 90 * DAY_S;
/// A server certificate that has less than this left is issued anew: 30 days.
pub const SERVER_RENEWAL_S: u64 = 30 * DAY_S;

const DAY_S: u64 = 86_400;
/// Certificates start a little before they are made, for peers whose clock is behind.
const CLOCK_SKEW_S: u64 = 3_600;
/// The year 9000; a certificate can state nothing beyond 9999.
const NOW_UNIX_S_MAX: u64 = 221_845_392_000;

/// Where the local authority lives, and what [`ensure_local_ca`] did to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCa {
    /// The certificate of the authority: what clients trust. Public.
    pub ca_pem: PathBuf,
    /// The certificate of this server. Public.
    pub server_pem: PathBuf,
    /// The private key of this server, mode 0600.
    pub server_key: PathBuf,
    /// When the server certificate ends, in Unix seconds.
    pub server_not_after_unix_s: i64,
    /// Was the authority made by this call? Clients must then be given `ca_pem`.
    pub ca_made: bool,
    /// Was the server certificate issued by this call?
    pub server_issued: bool,
}

/// Makes what is missing of the local authority and of the server certificate in `dir`.
///
/// `names` are DNS names and IP addresses; `localhost`, `127.0.0.1` and `::1` are always added. The
/// server certificate is issued anew when the names differ from those in it, when less than
/// [`SERVER_RENEWAL_S`] remain, when it does not fit its key or when the authority did not sign it.
/// Calling it again changes nothing, so it serves for renewal too: call it daily, then reload.
///
/// # Errors
/// [`NetError::ServerName`], [`NetError::TooManyNames`]; [`NetError::KeyExposed`] if a key that must
/// be used is open to others; [`NetError::Pem`] if `ca.pem` is unusable or has ended: it is what
/// clients trust, so it is never replaced in silence; the file errors.
pub fn ensure_local_ca(dir: &Path, names: &[String], now_unix_s: i64) -> Result<LocalCa, NetError> {
    let now_s = u64::try_from(now_unix_s)
        .ok()
        .filter(|now_s| *now_s <= NOW_UNIX_S_MAX)
        .ok_or(NetError::Clock { now_unix_s })?;
    let names = certificate_names(names)?;
    files::make_directory(dir)?;
    let room = Room::of(dir);

    let ca_made = files::is_absent(&room.ca_pem)?;
    if ca_made {
        make_authority(&room, now_s)?;
    }
    let authority = Authority::read(&room.ca_pem)?;
    let standing = standing_until(&room, &authority, &names, now_s)?;
    let server_not_after_unix_s = match standing {
        Some(not_after) => not_after,
        None => issue_server(&room, &authority, &names, now_s)?,
    };
    Ok(LocalCa {
        ca_pem: room.ca_pem,
        server_pem: room.server_pem,
        server_key: room.server_key,
        server_not_after_unix_s,
        ca_made,
        server_issued: standing.is_none(),
    })
}

struct Room {
    ca_pem: PathBuf,
    ca_key: PathBuf,
    server_pem: PathBuf,
    server_key: PathBuf,
}

impl Room {
    fn of(dir: &Path) -> Self {
        Self {
            ca_pem: dir.join("ca.pem"),
            ca_key: dir.join("ca.key"),
            server_pem: dir.join("server.pem"),
            server_key: dir.join("server.key"),
        }
    }
}

/// What the issuer needs to know of `ca.pem`.
struct Authority {
    path: PathBuf,
    der: CertificateDer<'static>,
    common_name: String,
    public_key: Vec<u8>,
    not_after: i64,
}

impl Authority {
    fn read(path: &Path) -> Result<Self, NetError> {
        let bad = |rule| NetError::Pem {
            path: path.to_owned(),
            rule,
        };
        let pem = files::read_certificate(path)?;
        let der = CertificateDer::from_pem_slice(&pem)
            .map_err(|_| bad("it must hold the authority's certificate"))?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| bad("its certificate does not parse"))?;
        let common_name = certificate.subject().iter_common_name().next();
        let common_name = common_name
            .and_then(|name| name.as_str().ok())
            .ok_or_else(|| bad("the authority must have a common name"))?
            .to_owned();
        if !certificate.is_ca() {
            return Err(bad("its certificate is not that of an authority"));
        }
        let public_key = certificate.public_key().subject_public_key.data.to_vec();
        let not_after = certificate.validity().not_after.timestamp();
        Ok(Self {
            path: path.to_owned(),
            common_name,
            public_key,
            not_after,
            der,
        })
    }
}

fn make_authority(room: &Room, now_s: u64) -> Result<(), NetError> {
    let issue = |source| NetError::Issue {
        path: room.ca_pem.clone(),
        source,
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue)?;
    let mark = HEXLOWER.encode(Sha256::digest(key.public_key_raw()).get(..4).unwrap_or(&[]));
    let mut params = authority_params(&format!("jeton local CA {mark}"));
    set_lifetime(&mut params, now_s, now_s + CA_LIFETIME_S);
    let certificate = params.self_signed(&key).map_err(issue)?;
    // The key first: a crash in between leaves a key that nobody trusts and the next run replaces.
    let key_pem = Zeroizing::new(key.serialize_pem());
    files::write_atomic(&room.ca_key, key_pem.as_bytes(), Readers::Owner)?;
    files::write_atomic(
        &room.ca_pem,
        certificate.pem().as_bytes(),
        Readers::Everyone,
    )
}

fn issue_server(
    room: &Room,
    authority: &Authority,
    names: &BTreeSet<String>,
    now_s: u64,
) -> Result<i64, NetError> {
    let issue = |source| NetError::Issue {
        path: room.server_pem.clone(),
        source,
    };
    let end_s = u64::try_from(authority.not_after)
        .unwrap_or(0)
        .min(now_s + SERVER_LIFETIME_S);
    if end_s <= now_s.saturating_add(DAY_S) {
        let rule = "the authority has ended or ends within a day; move it away, let a new one be \
                    made, and give the new ca.pem to the clients";
        return Err(NetError::Pem {
            path: authority.path.clone(),
            rule,
        });
    }
    let issuer = Issuer::new(
        authority_params(&authority.common_name),
        ca_key(room, authority)?,
    );

    let all: Vec<String> = names.iter().cloned().collect();
    let mut params = CertificateParams::new(all).map_err(issue)?;
    params.distinguished_name = common_name("jeton server");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_lifetime(&mut params, now_s, end_s);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue)?;
    let certificate = params.signed_by(&key, &issuer).map_err(issue)?;
    // A crash between the two leaves a pair that does not match: the next run issues anew, and a
    // server that reloads in that moment keeps what it has.
    let key_pem = Zeroizing::new(key.serialize_pem());
    files::write_atomic(&room.server_key, key_pem.as_bytes(), Readers::Owner)?;
    files::write_atomic(
        &room.server_pem,
        certificate.pem().as_bytes(),
        Readers::Everyone,
    )?;
    i64::try_from(end_s).map_err(|_| NetError::Clock {
        now_unix_s: i64::MAX,
    })
}

fn ca_key(room: &Room, authority: &Authority) -> Result<KeyPair, NetError> {
    let bad = |rule| NetError::Pem {
        path: room.ca_key.clone(),
        rule,
    };
    let pem = files::read_key(&room.ca_key)?;
    let text = std::str::from_utf8(&pem).map_err(|_| bad("a PEM file is ASCII text"))?;
    let key = KeyPair::from_pem(text).map_err(|_| bad("it must hold the authority's key"))?;
    if key.public_key_raw() != authority.public_key {
        return Err(bad("the key does not belong to ca.pem"));
    }
    Ok(key)
}

/// Until when the server certificate can be used as it is, or `None` if it must be issued.
fn standing_until(
    room: &Room,
    authority: &Authority,
    names: &BTreeSet<String>,
    now_s: u64,
) -> Result<Option<i64>, NetError> {
    if files::is_absent(&room.server_pem)? || files::is_absent(&room.server_key)? {
        return Ok(None);
    }
    let chain_pem = files::read_certificate(&room.server_pem)?;
    let key_pem = files::read_key(&room.server_key)?;
    let Ok(der) = CertificateDer::from_pem_slice(&chain_pem) else {
        return Ok(None);
    };
    let Ok(key) = PrivateKeyDer::from_pem_slice(&key_pem) else {
        return Ok(None);
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else {
        return Ok(None);
    };
    let not_after = certificate.validity().not_after.timestamp();
    let lasts = u64::try_from(not_after).is_ok_and(|end_s| end_s >= now_s + SERVER_RENEWAL_S);
    let same_names = names_in(&certificate).is_some_and(|carried| carried == *names);
    let pair = CertifiedKey::from_der(vec![der.clone()], key, &tls::provider());
    let stands = lasts && same_names && pair.is_ok() && signed_by(&der, authority, now_s);
    Ok(stands.then_some(not_after))
}

fn signed_by(der: &CertificateDer<'_>, authority: &Authority, now_s: u64) -> bool {
    let mut roots = RootCertStore::empty();
    let added = roots.add(authority.der.clone()).is_ok();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s));
    let algorithms = tls::provider().signature_verification_algorithms.all;
    added
        && ParsedCertificate::try_from(der).is_ok_and(|leaf| {
            verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, algorithms).is_ok()
        })
}

pub(super) fn names_in(certificate: &X509Certificate<'_>) -> Option<BTreeSet<String>> {
    let extension = certificate.subject_alternative_name().ok()??;
    let one = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let four = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    extension.value.general_names.iter().map(one).collect()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_lifetime(params: &mut CertificateParams, now_s: u64, end_s: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now_s.saturating_sub(CLOCK_SKEW_S));
    params.not_after = epoch + Duration::from_secs(end_s);
}
