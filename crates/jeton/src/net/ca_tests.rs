//! The local authority: what is made, kept, renewed, and never replaced.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::NetError;
use super::ca::{LocalCa, ensure_local_ca, names_in};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn ensure(dir: &Path, names: &[&str], now: i64) -> Result<LocalCa, NetError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    ensure_local_ca(dir, &names, now)
}

#[test]
fn the_first_run_makes_all_and_the_second_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("tls");
    let made = ensure(&dir, &["api.example"], NOW).unwrap();
    assert!(made.ca_made && made.server_issued);
    assert_eq!(made.server_not_after_unix_s, NOW + 90 * DAY);
    let modes = ["ca.pem", "ca.key", "server.pem", "server.key"]
        .map(|name| std::fs::metadata(dir.join(name)).unwrap().mode() & 0o777);
    assert_eq!(modes[1], 0o600);
    assert_eq!(modes[3], 0o600);
    assert_eq!(modes[0] & 0o400, 0o400);
    let before = std::fs::read(&made.server_pem).unwrap();
    let again = ensure(&dir, &["API.example."], NOW).unwrap();
    assert!(!again.ca_made && !again.server_issued);
    assert_eq!(std::fs::read(&again.server_pem).unwrap(), before);
}

#[test]
fn the_authority_may_sign_nothing_below_itself_and_lasts_ten_years() {
    let dir = tempfile::tempdir().unwrap();
    let made = ensure(dir.path(), &[], NOW).unwrap();
    let pem = std::fs::read(&made.ca_pem).unwrap();
    let der = CertificateDer::from_pem_slice(&pem).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
    assert_eq!(
        certificate.validity().not_after.timestamp(),
        NOW + 3650 * DAY
    );
}

#[test]
fn the_server_certificate_is_for_servers_and_for_these_names_only() {
    let dir = tempfile::tempdir().unwrap();
    let made = ensure(dir.path(), &["api.example", "192.0.2.7"], NOW).unwrap();
    let pem = std::fs::read(&made.server_pem).unwrap();
    let der = CertificateDer::from_pem_slice(&pem).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let names: Vec<String> = names_in(&certificate).unwrap().into_iter().collect();
    assert_eq!(
        names,
        ["127.0.0.1", "192.0.2.7", "::1", "api.example", "localhost"]
    );
}

#[test]
fn a_certificate_is_renewed_when_less_than_thirty_days_remain() {
    let dir = tempfile::tempdir().unwrap();
    ensure(dir.path(), &[], NOW).unwrap();
    assert!(
        !ensure(dir.path(), &[], NOW + 60 * DAY)
            .unwrap()
            .server_issued
    );
    let renewed = ensure(dir.path(), &[], NOW + 60 * DAY + 1).unwrap();
    assert!(renewed.server_issued && !renewed.ca_made);
    assert_eq!(renewed.server_not_after_unix_s, NOW + 150 * DAY + 1);
}

#[test]
fn other_names_a_strange_key_or_a_strange_authority_mean_a_new_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let made = ensure(dir.path(), &["a.example"], NOW).unwrap();
    assert!(
        ensure(dir.path(), &["a.example", "b.example"], NOW)
            .unwrap()
            .server_issued
    );
    assert!(
        ensure(dir.path(), &["b.example"], NOW)
            .unwrap()
            .server_issued,
        "one name less"
    );

    let other = tempfile::tempdir().unwrap();
    let strange = ensure(other.path(), &["b.example"], NOW).unwrap();
    std::fs::copy(&strange.server_key, &made.server_key).unwrap();
    assert!(
        ensure(dir.path(), &["b.example"], NOW)
            .unwrap()
            .server_issued,
        "another key"
    );
    std::fs::copy(&strange.server_key, &made.server_key).unwrap();
    std::fs::copy(&strange.server_pem, &made.server_pem).unwrap();
    assert!(
        ensure(dir.path(), &["b.example"], NOW)
            .unwrap()
            .server_issued,
        "another CA"
    );
    std::fs::write(&made.server_pem, "rubbish").unwrap();
    assert!(
        ensure(dir.path(), &["b.example"], NOW)
            .unwrap()
            .server_issued,
        "rubbish"
    );
    assert!(
        !ensure(dir.path(), &["b.example"], NOW)
            .unwrap()
            .server_issued,
        "control"
    );
}

#[test]
fn the_key_of_the_authority_is_needed_to_issue_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    ensure(dir.path(), &[], NOW).unwrap();
    let key = dir.path().join("ca.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(!ensure(dir.path(), &[], NOW).unwrap().server_issued);
    let exposed = ensure(dir.path(), &["new.example"], NOW);
    assert!(matches!(
        exposed,
        Err(NetError::KeyExposed { mode: 0o644, .. })
    ));
    std::fs::remove_file(&key).unwrap();
    assert!(
        !ensure(dir.path(), &[], NOW).unwrap().server_issued,
        "the key may live elsewhere"
    );
    assert!(matches!(
        ensure(dir.path(), &["new.example"], NOW),
        Err(NetError::Read { .. })
    ));
}

#[test]
fn an_authority_that_ends_is_not_replaced_behind_the_clients_back() {
    let dir = tempfile::tempdir().unwrap();
    let made = ensure(dir.path(), &[], NOW).unwrap();
    let before = std::fs::read(&made.ca_pem).unwrap();
    let last = ensure(dir.path(), &[], NOW + 3600 * DAY).unwrap();
    assert_eq!(
        last.server_not_after_unix_s,
        NOW + 3650 * DAY,
        "not beyond the authority"
    );
    let ended = ensure(dir.path(), &[], NOW + 3650 * DAY);
    assert!(matches!(ended, Err(NetError::Pem { .. })));
    assert_eq!(std::fs::read(&made.ca_pem).unwrap(), before);
}

#[test]
fn a_time_that_no_certificate_can_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for now in [-1, i64::MAX] {
        assert!(matches!(
            ensure(dir.path(), &[], now),
            Err(NetError::Clock { .. })
        ));
    }
}
