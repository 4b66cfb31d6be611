//! What a policy's author should know before relying on it.
//!
//! A policy can be well-formed and worth nothing: one witness, a threshold that lets the log show
//! two faces, four witnesses on one machine. Numbers are counted, independence can only be guessed
//! at from addresses; who runs a witness is for people to find out.

use std::fmt;
use std::net::IpAddr;

use super::{Policy, PolicyWitness, safe_quorum};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; it may be what is wanted.
    Warning,
    /// The policy does not give what a policy is for.
    Error,
}

/// What a policy's author should know; printed as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the sentence")]
pub enum Warning {
    /// No log is listed: no checkpoint satisfies the policy by itself.
    NoLog,
    /// `quorum none`: the log alone decides what each verifier sees.
    NoQuorum,
    /// Two quorums need not share a witness: the log can show two faces and nobody has to lie.
    Disjoint { smallest: usize, witnesses: usize },
    /// One witness is the whole quorum.
    OneWitness,
    /// Fewer colluding witnesses than the safe threshold assumes suffice for a split view.
    Unsafe {
        smallest: usize,
        witnesses: usize,
        colluding: usize,
        safe: usize,
    },
    /// A single silent witness stops everything.
    NoSpare { witnesses: usize },
    /// Several witnesses of the quorum are on one host: they fail, and are taken over, together.
    SameHost { host: String, names: Vec<String> },
    /// A witness is on the verifier's own machine.
    Loopback { name: String },
    /// A witness is spoken to in plain text: what it answers is verified, but anybody can silence it.
    PlainHttp { name: String },
    /// The log's own key is the key of a witness.
    OwnWitness { name: String },
    /// No group that the quorum asks for has this witness.
    Unused { name: String },
}

impl Warning {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::NoLog | Self::NoQuorum | Self::Disjoint { .. } | Self::OwnWitness { .. } => {
                Severity::Error
            }
            Self::OneWitness
            | Self::Unsafe { .. }
            | Self::NoSpare { .. }
            | Self::SameHost { .. }
            | Self::Loopback { .. }
            | Self::PlainHttp { .. }
            | Self::Unused { .. } => Severity::Warning,
        }
    }

    /// A word for programs: `no-quorum`, `same-host`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoLog => "no-log",
            Self::NoQuorum => "no-quorum",
            Self::Disjoint { .. } => "disjoint",
            Self::OneWitness => "one-witness",
            Self::Unsafe { .. } => "unsafe",
            Self::NoSpare { .. } => "no-spare",
            Self::SameHost { .. } => "same-host",
            Self::Loopback { .. } => "loopback",
            Self::PlainHttp { .. } => "plain-http",
            Self::OwnWitness { .. } => "own-witness",
            Self::Unused { .. } => "unused",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLog => f.write_str("no log is listed, so no checkpoint is believed"),
            Self::NoQuorum => {
                f.write_str("no witness is asked for: the log can show everybody something else")
            }
            Self::Disjoint {
                smallest,
                witnesses,
            } => write!(
                f,
                "{smallest} of {witnesses} is a quorum, so two quorums need not share a witness: the \
                 log can split the view, and no witness has to lie"
            ),
            Self::OneWitness => f.write_str(
                "one witness is the quorum: it and the log together can show what they like",
            ),
            Self::Unsafe {
                smallest,
                witnesses,
                colluding,
                safe,
            } => write!(
                f,
                "{smallest} of {witnesses} is a quorum: {colluding} colluding of them suffice for a \
                 split view; safe is {safe} of {witnesses}"
            ),
            Self::NoSpare { witnesses } => write!(
                f,
                "all {witnesses} witnesses matter: one that is down stops new heads from being \
                 believed; 3 of 4 is the smallest safe quorum that can miss one"
            ),
            Self::SameHost { host, names } => write!(
                f,
                "{} are all at {host}: who has that machine has them all",
                names.join(", ")
            ),
            Self::Loopback { name } => {
                write!(f, "{name} is on this machine, so it witnesses nothing")
            }
            Self::PlainHttp { name } => write!(
                f,
                "{name} is reached by plain http: anybody on the way can silence it"
            ),
            Self::OwnWitness { name } => {
                write!(f, "{name} has the key of a log: it witnesses itself")
            }
            Self::Unused { name } => write!(f, "the quorum never asks for {name}"),
        }
    }
}

impl Policy {
    /// What the policy's author should know, the worst first.
    #[must_use]
    pub fn lint(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        if self.logs.is_empty() {
            found.push(Warning::NoLog);
        }
        self.lint_quorum(&mut found);
        self.lint_places(&mut found);
        let counted = self.counted();
        for witness in &self.witnesses {
            let name = || witness.name().to_owned();
            let public = witness.key().public_key();
            if self.logs.iter().any(|log| log.key().public_key() == public) {
                found.push(Warning::OwnWitness { name: name() });
            }
            if !counted.contains(&witness) {
                found.push(Warning::Unused { name: name() });
            }
        }
        found.sort_by_key(|warning| std::cmp::Reverse(warning.severity()));
        found
    }

    fn lint_quorum(&self, found: &mut Vec<Warning>) {
        let Some(strength) = self.strength() else {
            found.push(Warning::NoQuorum);
            return;
        };
        let (witnesses, smallest) = (strength.witnesses, strength.smallest);
        if strength.overlap == 0 {
            found.push(Warning::Disjoint {
                smallest,
                witnesses,
            });
        } else if witnesses == 1 {
            found.push(Warning::OneWitness);
        } else if !strength.is_safe() {
            found.push(Warning::Unsafe {
                smallest,
                witnesses,
                colluding: strength.overlap,
                safe: safe_quorum(witnesses),
            });
        }
        if witnesses > 1 && strength.blocking == 1 {
            found.push(Warning::NoSpare { witnesses });
        }
    }

    /// Where the witnesses are, as far as their URLs say.
    fn lint_places(&self, found: &mut Vec<Warning>) {
        let placed =
            |witness: &PolicyWitness| Some((host(witness.url()?)?, witness.name().to_owned()));
        let places: Vec<(String, String)> = self.witnesses.iter().filter_map(placed).collect();
        for (at, (host, name)) in places.iter().enumerate() {
            if is_loopback(host) {
                found.push(Warning::Loopback { name: name.clone() });
            }
            let same = |(other, _): &&(String, String)| other == host;
            let first = places.iter().position(|(other, _)| other == host) == Some(at);
            let names: Vec<String> = places.iter().filter(same).map(|(_, n)| n.clone()).collect();
            if first && names.len() > 1 {
                let host = host.clone();
                found.push(Warning::SameHost { host, names });
            }
        }
        for witness in &self.witnesses {
            let plain = witness.url().is_some_and(|url| !is_https(url));
            let local = witness
                .url()
                .and_then(host)
                .is_some_and(|host| is_loopback(&host));
            if plain && !local {
                let name = witness.name().to_owned();
                found.push(Warning::PlainHttp { name });
            }
        }
    }
}

fn is_https(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// The host of a URL in lower case, without user, port and brackets (RFC 3986 §3.2).
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit('@').next()?;
    let host = match place.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => place.split(':').next()?,
    };
    let host = host.trim_end_matches('.').to_lowercase();
    (!host.is_empty()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    let local = host == "localhost" || host.ends_with(".localhost");
    local
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
