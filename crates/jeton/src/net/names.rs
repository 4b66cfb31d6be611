//! The names that a server certificate carries.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::NetError;

/// The most names that the server certificate may carry.
const NAMES_MAX: usize = 64;
/// Names by which every server is reached from its own machine.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The names as a certificate carries them: lower case, without the final dot, each once.
pub(super) fn certificate_names(names: &[String]) -> Result<BTreeSet<String>, NetError> {
    let mut all: BTreeSet<String> = OWN_NAMES.iter().map(|name| (*name).to_owned()).collect();
    for name in names {
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        if let Ok(address) = plain.parse::<IpAddr>() {
            all.insert(address.to_string());
        } else if is_dns_name(&plain) {
            all.insert(plain);
        } else {
            return Err(NetError::ServerName { name: name.clone() });
        }
    }
    if all.len() > NAMES_MAX {
        return Err(NetError::TooManyNames {
            count: all.len(),
            max: NAMES_MAX,
        });
    }
    Ok(all)
}

fn is_dns_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str]) -> Result<Vec<String>, NetError> {
        let given: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
        certificate_names(&given).map(|all| all.into_iter().collect())
    }

    #[test]
    fn names_are_written_one_way() {
        let all = names(&[
            "API.example.",
            "api.example",
            "*.api.example",
            "0::1",
            "10.0.0.1",
        ]);
        let own = [
            "*.api.example",
            "10.0.0.1",
            "127.0.0.1",
            "::1",
            "api.example",
            "localhost",
        ];
        assert_eq!(all.unwrap(), own);
    }

    #[test]
    fn only_names_that_a_certificate_can_state_are_taken() {
        let long = "a".repeat(64);
        let bad = [
            "",
            " ",
            "a b",
            "-a.example",
            "a..b",
            "a_b",
            "https://a",
            "a:443",
            "é.example",
        ];
        for name in bad.into_iter().chain(["*", "a.*.example", &long]) {
            assert!(
                matches!(names(&[name]), Err(NetError::ServerName { .. })),
                "{name:?}"
            );
        }
        assert!(names(&[&long[1..]]).is_ok(), "a label has up to 63 bytes");
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let many: Vec<String> = (0..=NAMES_MAX - 3)
            .map(|n| format!("n{n}.example"))
            .collect();
        assert!(certificate_names(&many[1..]).is_ok());
        let refused = certificate_names(&many);
        assert!(matches!(
            refused,
            Err(NetError::TooManyNames { count: 65, max: 64 })
        ));
    }
}
