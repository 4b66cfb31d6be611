//! Counters for Prometheus: by refusal and by status, never by token.

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jeton_core::refusal::Refusal;

use crate::http::{door::Doors, query::Source};

/// Counters of the doors.
pub struct Metrics {
    allowed: AtomicU64,
    refused: Vec<AtomicU64>,
    callers_refused: Vec<AtomicU64>,
    in_header: AtomicU64,
    in_query: AtomicU64,
    requests: [AtomicU64; 6],
    request_us: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let per_refusal = || Refusal::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            allowed: AtomicU64::new(0),
            refused: per_refusal(),
            callers_refused: per_refusal(),
            in_header: AtomicU64::new(0),
            in_query: AtomicU64::new(0),
            requests: Default::default(),
            request_us: AtomicU64::new(0),
        }
    }
}

fn count(counters: &[AtomicU64], refusal: Refusal) {
    let at = Refusal::ALL.iter().position(|r| *r == refusal);
    if let Some(counter) = at.and_then(|at| counters.get(at)) {
        counter.fetch_add(1, Relaxed);
    }
}

impl Metrics {
    /// Counts a verdict.
    pub fn check(&self, refusal: Option<Refusal>) {
        match refusal {
            None => {
                self.allowed.fetch_add(1, Relaxed);
            }
            Some(refusal) => count(&self.refused, refusal),
        }
    }

    /// Counts a caller of jeton's own API.
    pub fn caller(&self, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            count(&self.callers_refused, refusal);
        }
    }

    /// Counts a credential that a proxy passed on.
    pub fn credential(&self, source: Source) {
        let counter = match source {
            Source::Header => &self.in_header,
            Source::Query => &self.in_query,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a request to the management API.
    pub fn request(&self, status: u16, took: Duration) {
        if let Some(counter) = self.requests.get(usize::from(status / 100)) {
            counter.fetch_add(1, Relaxed);
        }
        self.request_us
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Relaxed);
    }
}

/// All counters in the text format of Prometheus 0.0.4.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table: one row for each counter")]
pub fn text(doors: &Doors) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, rows: &[(String, u64)]| {
        out.extend([format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")]);
        for (labels, value) in rows {
            out.extend([format!("{name}{labels} {value}\n")]);
        }
    };
    let metrics = &doors.metrics;
    let by_refusal = |counters: &[AtomicU64]| -> Vec<(String, u64)> {
        let rows = Refusal::ALL
            .iter()
            .zip(counters)
            .map(|(r, c)| (r.code(), c.load(Relaxed)));
        rows.filter(|(_, n)| *n > 0)
            .map(|(code, n)| (format!("{{code=\"{code}\"}}"), n))
            .collect()
    };
    let one = |n: u64| vec![(String::new(), n)];
    family(
        "jeton_checks_allowed_total",
        "counter",
        "Checks allowed.",
        &one(metrics.allowed.load(Relaxed)),
    );
    family(
        "jeton_checks_refused_total",
        "counter",
        "Checks refused, by code.",
        &by_refusal(&metrics.refused),
    );
    family(
        "jeton_callers_refused_total",
        "counter",
        "Callers of the management API refused, by code.",
        &by_refusal(&metrics.callers_refused),
    );
    let by_source = |source: Source, counter: &AtomicU64| {
        let label = format!("{{source=\"{}\"}}", source.as_str());
        (label, counter.load(Relaxed))
    };
    family(
        "jeton_forward_credentials_total",
        "counter",
        "Credentials read at the forward-auth door, by where they stood.",
        &[
            by_source(Source::Header, &metrics.in_header),
            by_source(Source::Query, &metrics.in_query),
        ],
    );
    let statuses: Vec<_> = metrics
        .requests
        .iter()
        .enumerate()
        .skip(1)
        .map(|(class, n)| (format!("{{class=\"{class}xx\"}}"), n.load(Relaxed)))
        .collect();
    family(
        "jeton_requests_total",
        "counter",
        "Management requests, by class of status.",
        &statuses,
    );
    let us = metrics.request_us.load(Relaxed);
    family(
        "jeton_request_microseconds_total",
        "counter",
        "Time spent on management requests.",
        &one(us),
    );
    let (len, live, bytes, terms) = doors
        .node
        .verifier
        .with_index(|i| (u64::from(i.len()), i.live(), i.bytes(), i.terms_count()));
    family(
        "jeton_ledger_size",
        "gauge",
        "Events that this node has seen.",
        &one(doors.node.verifier.size()),
    );
    family(
        "jeton_index_secrets",
        "gauge",
        "Secrets in the index, tombstones included.",
        &one(len),
    );
    family(
        "jeton_index_live_tokens",
        "gauge",
        "Tokens not revoked.",
        &one(live),
    );
    family(
        "jeton_index_bytes",
        "gauge",
        "Memory of the index.",
        &one(u64::try_from(bytes).unwrap_or(0)),
    );
    family(
        "jeton_index_terms",
        "gauge",
        "Different terms.",
        &one(u64::try_from(terms).unwrap_or(0)),
    );
    let shown = doors.node.published.borrow().as_ref().map_or(0, |s| s.size);
    family(
        "jeton_ledger_published_size",
        "gauge",
        "Events that the published checkpoint covers.",
        &one(shown),
    );
    let witnesses = doors.quorum.iter().flat_map(|q| q.sizes());
    let witnesses: Vec<_> = witnesses
        .map(|(name, size)| (format!("{{witness=\"{name}\"}}"), size))
        .collect();
    family(
        "jeton_witness_cosigned_size",
        "gauge",
        "Events that the last checkpoint which a witness cosigned covers.",
        &witnesses,
    );
    family(
        "jeton_quarantined",
        "gauge",
        "1 while nothing is allowed, changed or signed.",
        &one(u64::from(doors.node.gate.is_closed())),
    );
    let shared = doors.node.writer.shared();
    family(
        "jeton_commits_total",
        "counter",
        "Durable commits.",
        &one(shared.commits.load(Relaxed)),
    );
    family(
        "jeton_events_total",
        "counter",
        "Events stored since the start.",
        &one(shared.events.load(Relaxed)),
    );
    family(
        "jeton_observations_total",
        "counter",
        "Batches of observations.",
        &one(shared.observations.load(Relaxed)),
    );
    family(
        "jeton_store_full",
        "gauge",
        "1 while only revocations are accepted.",
        &one(u64::from(shared.full.load(Relaxed))),
    );
    let audit = &doors.audit;
    family(
        "jeton_audit_findings",
        "gauge",
        "Differences between the store and the ledger that the rolling audit found and that still stand.",
        &one(audit.count()),
    );
    family(
        "jeton_audit_rounds_total",
        "counter",
        "Rounds of the rolling audit that ended.",
        &one(audit.rounds()),
    );
    family(
        "jeton_audit_round_milliseconds",
        "gauge",
        "How long its last round took.",
        &one(audit.took_ms()),
    );
    family(
        "jeton_audit_round_events",
        "gauge",
        "How many events its last round walked.",
        &one(audit.events()),
    );
    let conns = doors.conns.counts();
    family(
        "jeton_connections",
        "gauge",
        "Connections open now.",
        &one(conns.active),
    );
    family(
        "jeton_connections_total",
        "counter",
        "Connections accepted.",
        &one(conns.accepted),
    );
    family(
        "jeton_connections_refused_total",
        "counter",
        "Connections refused at accept.",
        &one(conns.refused_total + conns.refused_per_ip),
    );
    out
}
