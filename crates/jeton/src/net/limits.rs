//! What a stranger may cost, and who has a seat.
//!
//! Every bound on a connection is a field of [`Limits`]; a seat is taken before the first byte is
//! read and given back by being dropped, so that no way out of a connection can forget it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;

/// The bounds of the listeners (THREATS T23, T24, T25). All are per process but where said.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once, all listeners together. Default 8,192.
    ///
    /// A unix socket may go beyond it by [`Limits::unix_reserve`].
    pub connections_max: u64,
    /// Connections beyond `connections_max` that only unix sockets may take, so that whoever runs
    /// this machine is not locked out by a flood from the network. Default 64.
    pub unix_reserve: u64,
    /// Connections open at once from one IPv4 address or one IPv6 /64. Default 256.
    pub connections_per_ip_max: u32,
    /// Networks that `connections_per_ip_max` does not concern: one's own proxies. Default none.
    pub per_ip_exempt: Vec<IpNet>,
    /// From accept to the end of the TLS handshake. Default 10 s.
    pub tls_handshake: Duration,
    /// From its first byte to the end of a request's head; for the first request of a connection,
    /// from the end of the handshake. Default 5 s.
    pub header_read: Duration,
    /// Without any request, from the end of the last one. Default 60 s.
    pub idle: Duration,
    /// A write that the peer does not take. Default 30 s.
    pub write_stall: Duration,
    /// After we have closed, for the peer to read our last words and close too (RFC 9112 §9.6).
    /// Default 1 s.
    pub farewell: Duration,
    /// Bytes in a request's head; in HTTP/2, of the header list as RFC 9113 §6.5.2 counts it.
    /// Default 16 KiB.
    pub header_bytes_max: u32,
    /// Header fields in an HTTP/1 request. In HTTP/2 each counts 32 bytes of `header_bytes_max`
    /// instead. Default 64.
    pub headers_max: usize,
    /// Requests at once in one HTTP/2 connection. Default 100.
    pub h2_streams_max: u32,
    /// HTTP/2 streams that were reset by the peer before we looked at them; more closes the
    /// connection (CVE-2023-44487, "rapid reset"). Default 20.
    pub h2_pending_resets_max: usize,
    /// HTTP/2 streams that we had to reset for the peer's errors; more closes the connection
    /// (CVE-2025-8671, "made you reset"). Default 128.
    pub h2_error_resets_max: usize,
    /// How often an HTTP/2 peer is asked whether it is still there. Default 20 s.
    pub h2_ping: Duration,
    /// How long it may take to say so. Default 10 s.
    pub h2_ping_answer: Duration,
    /// Bytes of answers that wait in one HTTP/2 stream for the peer to take them. Default 256 KiB.
    pub h2_send_buffer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 8_192,
            unix_reserve: 64,
            connections_per_ip_max: 256,
            per_ip_exempt: Vec::new(),
            tls_handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(5),
            idle: Duration::from_mins(1),
            write_stall: Duration::from_secs(30),
            farewell: Duration::from_secs(1),
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            h2_streams_max: 100,
            h2_pending_resets_max: 20,
            h2_error_resets_max: 128,
            h2_ping: Duration::from_secs(20),
            h2_ping_answer: Duration::from_secs(10),
            h2_send_buffer_bytes_max: 256 * 1024,
        }
    }
}

/// Counters of the listeners; they only grow, but for `active`.
#[derive(Debug, Default)]
pub struct ConnStats {
    accepted: AtomicU64,
    active: AtomicU64,
    refused_total: AtomicU64,
    refused_per_ip: AtomicU64,
    handshake_failures: AtomicU64,
    accept_errors: AtomicU64,
    timed_out: AtomicU64,
    panicked: AtomicU64,
}

/// The counters of [`ConnStats`] as they were at one moment (each on its own).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnCounts {
    /// Connections that were given a seat.
    pub accepted: u64,
    /// Connections that have a seat now.
    pub active: u64,
    /// Connections closed at accept because all seats were taken.
    pub refused_total: u64,
    /// Connections closed at accept because their address had its share.
    pub refused_per_ip: u64,
    /// TLS handshakes that failed or took too long.
    pub handshake_failures: u64,
    /// Times that the system could not accept, for want of descriptors for example.
    pub accept_errors: u64,
    /// Connections closed for a head that came too slowly or an answer that was not taken.
    pub timed_out: u64,
    /// Connections that ended in a panic: a defect of the service.
    pub panicked: u64,
}

impl ConnStats {
    /// Reads all counters.
    #[must_use]
    pub fn counts(&self) -> ConnCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnCounts {
            accepted: read(&self.accepted),
            active: read(&self.active),
            refused_total: read(&self.refused_total),
            refused_per_ip: read(&self.refused_per_ip),
            handshake_failures: read(&self.handshake_failures),
            accept_errors: read(&self.accept_errors),
            timed_out: read(&self.timed_out),
            panicked: read(&self.panicked),
        }
    }

    pub(super) fn count_handshake_failure(&self) {
        self.handshake_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_panicked(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }
}

/// Hands out the seats.
pub(super) struct Seats {
    total_max: u64,
    unix_reserve: u64,
    per_ip_max: u32,
    exempt: Vec<IpNet>,
    stats: Arc<ConnStats>,
    by_address: Mutex<HashMap<IpAddr, u32>>,
}

impl Seats {
    pub(super) fn new(limits: &Limits, stats: Arc<ConnStats>) -> Arc<Self> {
        Arc::new(Self {
            total_max: limits.connections_max,
            unix_reserve: limits.unix_reserve,
            per_ip_max: limits.connections_per_ip_max,
            exempt: limits.per_ip_exempt.clone(),
            stats,
            by_address: Mutex::new(HashMap::new()),
        })
    }

    /// A seat for a connection from `address`, or from this machine if there is none.
    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Seat> {
        let max = match address {
            Some(_) => self.total_max,
            None => self.total_max.saturating_add(self.unix_reserve),
        };
        if self.stats.active.fetch_add(1, Ordering::Relaxed) >= max {
            self.stats.active.fetch_sub(1, Ordering::Relaxed);
            self.stats.refused_total.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // From here on the drop of the seat gives back what was taken.
        let mut seat = Seat {
            seats: Arc::clone(self),
            source: None,
        };
        if let Some(source) = address.and_then(|address| self.source_of(address)) {
            let mut by_address = self.by_address.lock();
            let held = by_address.entry(source).or_insert(0);
            if *held >= self.per_ip_max {
                self.stats.refused_per_ip.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            *held += 1;
            seat.source = Some(source);
        }
        self.stats.accepted.fetch_add(1, Ordering::Relaxed);
        Some(seat)
    }

    /// What an address is counted under: itself, or its /64, which one holder has at least.
    fn source_of(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&address)) {
            return None;
        }
        Some(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
                address.to_bits() & !u128::from(u64::MAX),
            )),
        })
    }
}

/// One connection's right to exist.
pub(super) struct Seat {
    seats: Arc<Seats>,
    source: Option<IpAddr>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(source) = self.source
            && let Entry::Occupied(mut held) = self.seats.by_address.lock().entry(source)
        {
            *held.get_mut() = held.get().saturating_sub(1);
            if *held.get() == 0 {
                held.remove();
            }
        }
        self.seats.stats.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hall(limits: &Limits) -> (Arc<Seats>, Arc<ConnStats>) {
        let stats = Arc::new(ConnStats::default());
        (Seats::new(limits, Arc::clone(&stats)), stats)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_seat_is_given_and_no_more_until_one_is_free() {
        let limits = Limits {
            connections_max: 2,
            unix_reserve: 1,
            ..Limits::default()
        };
        let (seats, counters) = hall(&limits);
        let first = seats.take(Some(ip("192.0.2.1"))).unwrap();
        let _second = seats.take(Some(ip("192.0.2.2"))).unwrap();
        assert!(seats.take(Some(ip("192.0.2.3"))).is_none());
        let _reserve = seats.take(None).unwrap();
        assert!(seats.take(None).is_none());
        assert_eq!(counters.counts().refused_total, 2);
        drop(first);
        assert!(
            seats.take(Some(ip("192.0.2.3"))).is_none(),
            "the reserve is still taken"
        );
        assert_eq!(counters.counts().active, 2);
    }

    #[test]
    fn an_address_is_counted_however_it_is_written_and_its_share_comes_back() {
        let limits = Limits {
            connections_per_ip_max: 1,
            ..Limits::default()
        };
        let (seats, counters) = hall(&limits);
        let held = seats.take(Some(ip("192.0.2.1"))).unwrap();
        assert!(
            seats.take(Some(ip("::ffff:192.0.2.1"))).is_none(),
            "the same address"
        );
        let _other = seats.take(Some(ip("192.0.2.2"))).unwrap();
        let _six = seats.take(Some(ip("2001:db8::1"))).unwrap();
        assert!(
            seats.take(Some(ip("2001:db8::2"))).is_none(),
            "the same /64"
        );
        let _next = seats.take(Some(ip("2001:db8:0:1::1"))).unwrap();
        assert_eq!(counters.counts().refused_per_ip, 2);
        drop(held);
        assert!(seats.take(Some(ip("192.0.2.1"))).is_some());
        assert_eq!(counters.counts().active, 3);
    }

    #[test]
    fn the_table_of_addresses_forgets_those_that_left() {
        let limits = Limits {
            connections_per_ip_max: 1,
            ..Limits::default()
        };
        let (seats, _) = hall(&limits);
        for last in 0..200 {
            drop(seats.take(Some(IpAddr::from([192, 0, 2, last]))));
        }
        assert!(seats.by_address.lock().is_empty());
    }

    #[test]
    fn an_exempt_network_has_no_share() {
        let exempt = vec!["10.0.0.0/8".parse().unwrap()];
        let limits = Limits {
            connections_per_ip_max: 1,
            per_ip_exempt: exempt,
            ..Limits::default()
        };
        let (seats, _) = hall(&limits);
        let _one = seats.take(Some(ip("10.1.2.3"))).unwrap();
        assert!(seats.take(Some(ip("10.1.2.3"))).is_some());
    }
}
